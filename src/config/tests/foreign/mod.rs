//! Topics of somebody else's at work, from bytes to bytes: JSON, the original's schema, keys that are numbers, schemas of the registry.
//!
//! The production runtime on the in-memory log. Apache Avro writes what others would have written.

use std::path::Path;
use std::sync::Arc;

use apache_avro::types::Value as Avro;
use serde_json::{Value as Json, json};

use super::*;
use crate::avro::{EmbeddedRegistry, Registry, Schema, to_json, wire};
use crate::streams::clock::{ManualClock, Timestamp};
use crate::streams::log::local::LocalLog;
use crate::streams::log::{Headers, Log};
use crate::streams::runtime::MemoryBackend;
use crate::streams::testing::{TestRecord, TopologyTestDriver};

mod derived;
mod example;
mod json;
mod keys;
mod original;

/// A topology at work.
struct Foreign {
    driver: TopologyTestDriver,
    registry: Arc<dyn Registry>,
    application_id: Arc<str>,
    minute: i64,
}

/// A dead letter: the record, and the chain of what was wrong with it on one line.
struct Dead {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    reason: String,
}

/// A log and its registry, before a topology is there.
struct Ground {
    log: Arc<dyn Log>,
    registry: Arc<dyn Registry>,
}

impl Ground {
    fn new() -> Self {
        let log: Arc<dyn Log> = LocalLog::in_memory();
        let registry: Arc<dyn Registry> = Arc::new(EmbeddedRegistry::open(Arc::clone(&log), Arc::new(ManualClock::default())).unwrap());
        Self { log, registry }
    }

    fn options(&self) -> LoadOptions {
        LoadOptions {
            environment: Environment::of([("CHAT", "4711"), ("TELEGRAM_CHAT_ID", "4711")]),
            ..LoadOptions::online().with_registry(RegistryLookup::of(Arc::clone(&self.registry)))
        }
    }

    fn load(&self, text: &str, folder: Option<&Path>) -> Config {
        let loaded = load_text(&SourceFile::new("t.toml", text), folder, &self.options());
        loaded.unwrap_or_else(|faults| panic!("{}", faults.render(Style::Plain)))
    }

    fn start(self, config: &Config) -> Foreign {
        let topology = build(config, Arc::clone(&self.registry)).unwrap();
        let options = config.runtime_options("test");
        let driver = TopologyTestDriver::with(Arc::new(topology), self.log, Arc::new(MemoryBackend::default()), options).unwrap();
        Foreign { driver, registry: self.registry, application_id: Arc::clone(&config.application_id), minute: 0 }
    }
}

impl Foreign {
    fn pipe(&mut self, topic: &str, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.minute += 1;
        self.driver.pipe(topic, key, value, Timestamp(self.minute * 60_000)).unwrap();
    }

    /// Appends what a producer with this schema writes.
    fn avro(&mut self, topic: &str, key: &[u8], schema: &str, value: &Json) {
        let bytes = confluent(&*self.registry, &format!("{topic}-value"), schema, value);
        self.pipe(topic, Some(key), Some(&bytes));
    }

    /// The records of an Avro topic that were not read before.
    fn read(&mut self, topic: &str) -> Vec<(Vec<u8>, Json)> {
        let decode = |record: TestRecord| {
            let value = record.value.unwrap();
            let (id, body) = wire::split(&value, Headers::EMPTY).unwrap();
            let schema = self.registry.lookup(id).unwrap().unwrap();
            (record.key.unwrap(), to_json(&schema, body).unwrap())
        };
        self.driver.read(topic).unwrap().into_iter().map(decode).collect()
    }

    fn texts(&mut self) -> Vec<String> {
        self.read("telegram_outbox").into_iter().map(|(_, value)| value["text"].as_str().unwrap().to_owned()).collect()
    }

    /// The dead letters that were not read before.
    fn dead(&mut self) -> Vec<Dead> {
        let records = self.driver.read(&format!("{}-dead-letters", self.application_id)).unwrap();
        let one = |record: TestRecord| {
            let header = |name: &str| record.headers.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.clone());
            let trace = String::from_utf8(header("__streams.errors.stacktrace").unwrap()).unwrap();
            Dead { key: record.key.clone(), value: record.value.clone(), reason: trace.replace("\ncaused by: ", ": ") }
        };
        records.into_iter().map(one).collect()
    }
}

/// What Confluent's serializer makes of a value, with Apache Avro as the encoder.
fn confluent(registry: &dyn Registry, subject: &str, schema: &str, value: &Json) -> Vec<u8> {
    let parsed = Schema::parse(schema).unwrap();
    let id = registry.register(subject, &parsed).unwrap();
    let theirs = apache_avro::Schema::parse_str(schema).unwrap();
    let value = Avro::try_from(value.clone()).unwrap().resolve(&theirs).unwrap();
    let mut bytes = Vec::new();
    wire::prefix(id, &mut bytes);
    bytes.extend(apache_avro::writer::datum::GenericDatumWriter::builder(&theirs).build().unwrap().write_value_to_vec(value).unwrap());
    bytes
}
