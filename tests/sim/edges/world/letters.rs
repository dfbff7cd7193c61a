//! The dead letters of the sender: read, and put back by hand.

use std::time::Duration;

use tidewatch::streams::log::{ConsumerOptions, HeadersBuf, Isolation, Log as _, Offset, Polled, RecordBatch, TopicPartition};
use tidewatch::streams::task::REPLAY_HEADER;

use super::super::DEAD_LETTERS;
use super::super::events::Event;
use super::{POISON, World};

impl World {
    /// A dead letter is put back by hand.
    pub(super) fn replay(&mut self) {
        let found = self.letters();
        let mut own = found.iter().filter(|(_, value)| value != POISON);
        let Some((_, value)) = own.next_back().cloned() else { return };
        let text: serde_json::Value = serde_json::from_slice(&value).unwrap();
        let number = Event::number(text["text"].as_str().unwrap());
        let chat = {
            let mut book = self.common.telegram.book.lock();
            let event = &mut book.events[number];
            event.replays += 1;
            event.is_refused = false;
            event.chat.clone()
        };
        let mut headers = HeadersBuf::default();
        headers.push(REPLAY_HEADER, Some(b"by hand"));
        self.producer.begin().unwrap();
        self.put(&chat, &value, headers.as_headers());
        self.producer.commit(Duration::ZERO).unwrap();
        self.count("dead letter put back");
        self.tell(&format!("event {number} is put back"));
    }

    /// The dead letters since the last time: class and value.
    pub(crate) fn letters(&mut self) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        for partition in 0..self.common.partitions {
            let place = TopicPartition::new(DEAD_LETTERS, partition);
            let options = ConsumerOptions { group: None, instance_id: None, isolation: Isolation::ReadCommitted };
            let mut consumer = self.log.consumer(options).unwrap();
            let from = &mut self.letters_read[usize::try_from(partition).unwrap()];
            consumer.assign(&place, *from).unwrap();
            let mut batch = RecordBatch::default();
            while consumer.poll(Duration::ZERO, &mut batch).unwrap() == Polled::Records {
                found.extend(batch.iter().map(|record| {
                    let class = record.headers.last("__streams.errors.exception").unwrap_or_default();
                    (String::from_utf8(class.to_vec()).unwrap(), record.value.unwrap_or_default().to_vec())
                }));
            }
            *from = consumer.position(&place).unwrap();
        }
        found
    }

    /// Reads all dead letters anew.
    pub(crate) fn all_letters(&mut self) -> Vec<(String, Vec<u8>)> {
        self.letters_read.fill(Offset(0));
        self.letters()
    }
}
