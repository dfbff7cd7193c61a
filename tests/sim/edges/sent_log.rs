//! What the sender has committed, read from its changelog as any other reader would: the referee of what it may do.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidewatch::streams::log::local::LocalLog;
use tidewatch::streams::log::{Consumer, ConsumerOptions, Isolation, Log, Offset, Polled, RecordBatch, TopicPartition};
use tidewatch::streams::runtime::changelog_topic;
use tidewatch::telegram::sent_log::{self, ChatRow, Event, Queued};

/// The committed rows.
pub(crate) struct Committed {
    log: Arc<LocalLog>,
    application: String,
    partitions: i32,
    consumer: Option<Box<dyn Consumer>>,
    batch: RecordBatch,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl fmt::Debug for Committed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Committed").field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}

impl Committed {
    pub(crate) fn new(log: Arc<LocalLog>, application: &str, partitions: i32) -> Self {
        let (batch, rows) = (RecordBatch::default(), BTreeMap::new());
        Self { log, application: application.to_owned(), partitions, consumer: None, batch, rows }
    }

    /// Reads what has come since the last time.
    pub(crate) fn refresh(&mut self) {
        let topic = changelog_topic(&self.application, sent_log::STORE);
        if self.consumer.is_none() {
            if self.log.admin().describe(&topic).unwrap().is_none() {
                return;
            }
            let options = ConsumerOptions { group: None, instance_id: None, isolation: Isolation::ReadCommitted };
            let mut consumer = self.log.consumer(options).unwrap();
            for partition in 0..self.partitions {
                consumer.assign(&TopicPartition::new(topic.as_str(), partition), Offset(0)).unwrap();
            }
            self.consumer = Some(consumer);
        }
        let Some(consumer) = &mut self.consumer else { return };
        while consumer.poll(Duration::ZERO, &mut self.batch).unwrap() == Polled::Records {
            for record in self.batch.iter() {
                let key = record.key.unwrap_or_default().to_vec();
                match record.value {
                    Some(value) => drop(self.rows.insert(key, value.to_vec())),
                    None => drop(self.rows.remove(&key)),
                }
            }
        }
    }

    pub(crate) fn chat(&self, chat: &str) -> Option<ChatRow> {
        self.rows.get(&sent_log::chat_key(chat)).map(|row| ChatRow::decode(row).unwrap())
    }

    /// Whether the request of this process is noted as under way.
    pub(crate) fn has_intent(&self, chat: &str, session: u64, job: u64) -> bool {
        let intent = self.chat(chat).and_then(|row| row.intent);
        intent.is_some_and(|intent| intent.session == session && intent.job == job)
    }

    pub(crate) fn event(&self, chat: &str, event: &str) -> Option<Event> {
        self.rows.get(&sent_log::event_key(chat, event)).map(|row| Event::decode(row).unwrap())
    }

    /// The requests that are noted as under way in the name of a process: chat, number of the request, event.
    pub(crate) fn intents(&self, session: u64) -> Vec<(String, u64, String)> {
        let chats = self.rows.iter().filter_map(|(key, row)| Some((sent_log::chat_of_key(key)?, ChatRow::decode(row).unwrap())));
        let own = chats.filter_map(|(chat, row)| Some((chat, row.head, row.intent.filter(|intent| intent.session == session)?)));
        own.map(|(chat, head, intent)| {
            let message = Queued::decode(&self.rows[&sent_log::message_key(chat, head)]).unwrap();
            (chat.to_owned(), intent.job, message.event_id)
        })
        .collect()
    }

    /// Messages that wait, by their chats.
    pub(crate) fn queued(&self) -> usize {
        self.rows.keys().filter(|key| sent_log::message_of_key(key).is_some()).count()
    }

    /// All rows, in the order of their keys.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&Vec<u8>, &Vec<u8>)> {
        self.rows.iter()
    }
}
