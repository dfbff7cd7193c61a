//! Messages for the sender, written to its outbox at an even rate until told to stop, each chat's in an order that is known.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use tidewatch::avro::{Encoder, Row, Schema, SchemaId, Shape, Value, shipped, wire};

use crate::deliveries::Texts;
use crate::load::{Ends, Reports};
use crate::time::nap;

/// A private chat, a group and another one.
pub(crate) const CHATS: [&str; 3] = ["101", "-102", "103"];

/// Messages a second, for all chats together.
const RATE: u32 = 6;

/// The text of the message about an event.
pub(crate) fn text_of(event: &str) -> String {
    format!("Likes changed: {event}")
}

/// A thread that writes until it is stopped.
#[derive(Debug)]
pub(crate) struct Outbox {
    stop: Arc<AtomicBool>,
    written: Arc<Mutex<Texts>>,
    thread: Option<JoinHandle<()>>,
}

impl Outbox {
    pub(crate) fn start(client: &ClientConfig, topic: &str, schema: SchemaId) -> Self {
        let (ends, mut config) = (Arc::new(Ends::default()), client.clone());
        config.set("partitioner", "murmur2_random").set("enable.idempotence", "true");
        let producer = BaseProducer::from_config_and_context(&config, Reports(Arc::clone(&ends))).unwrap();
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Texts::new())));
        let (told, texts, topic) = (Arc::clone(&stop), Arc::clone(&written), topic.to_owned());
        let thread = std::thread::spawn(move || write(&producer, &ends, &topic, schema, &texts, &told));
        Self { stop, written, thread: Some(thread) }
    }

    /// What is in the topic so far.
    pub(crate) fn written(&self) -> Texts {
        self.written.lock().unwrap().clone()
    }

    /// Stops; all that there is.
    pub(crate) fn stop(&mut self) -> Result<Texts, String> {
        self.stop.store(true, Ordering::Release);
        self.thread.take().map_or(Ok(()), JoinHandle::join).map_err(|_| "the outbox's thread panicked".to_owned())?;
        Ok(self.written())
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

fn write(producer: &BaseProducer<Reports>, ends: &Ends, topic: &str, id: SchemaId, texts: &Mutex<Texts>, stop: &AtomicBool) {
    let schema = Schema::parse(shipped("telegram_message").unwrap()).unwrap();
    let shape = Shape { fields: ["chat_id", "text", "event_id"].map(|path| schema.shape().field(path).unwrap().clone()).to_vec() };
    let encoder = Encoder::compile(&schema, &shape).unwrap();
    let began = Instant::now();
    for number in 0_u32.. {
        while began.elapsed() < Duration::from_secs(1) * number / RATE {
            nap(Duration::from_millis(5));
        }
        if stop.load(Ordering::Acquire) {
            return;
        }
        let chat = CHATS[usize::try_from(number).unwrap() % CHATS.len()];
        let event = format!("{chat}/{}", texts.lock().unwrap().get(chat).map_or(0, Vec::len));
        let text = text_of(&event);
        let mut row = Row::of(&shape);
        row.values = [chat.to_owned(), text.clone(), event].map(Value::String).to_vec();
        let mut value = Vec::new();
        wire::prefix(id, &mut value);
        encoder.encode(&row, None, &mut value).unwrap();
        producer.send(BaseRecord::to(topic).key(chat).payload(&value)).map_err(|(error, _)| error).unwrap();
        // Each is there before it counts.
        producer.flush(Duration::from_secs(60)).unwrap();
        assert_eq!(ends.written(), u64::from(number) + 1, "the brokers did not take a message of the outbox");
        texts.lock().unwrap().entry(chat.to_owned()).or_default().push(text);
    }
}
