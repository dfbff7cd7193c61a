//! The whole engine on the in-memory log: exactly once through failures, restores, rebalances and restarts.

use std::sync::Arc;
use std::time::Duration;

use crate::streams::clock::Timestamp;
use crate::streams::log::local::LocalLog;
use crate::streams::log::{Headers, Log, Partition, Producer, ProducerOptions, ProducerRecord, RecordRef, TopicConfig};
use crate::streams::processor::{
    BoxError, Deserializer, InitContext, Processor, ProcessorContext, Punctuation, PunctuationType, Record, SerdeError, Serializer, StoreId,
};
use crate::streams::runtime::{MemoryBackend, Options, StateBackend};
use crate::streams::state::{StoreLayout, StoreSpec};
use crate::streams::testing::TopologyTestDriver;
use crate::streams::topology::{ErrorPolicy, OnError, Source, Start, Topology, TopologyBuilder};

mod age;
mod faults;
mod faulty;
mod hooks;
mod records;
mod restarts;
mod slow;
mod space;
mod standby;
mod threads;

/// Text in, text out.
#[derive(Debug)]
struct Text;

impl Deserializer<String> for Text {
    fn deserialize(&mut self, bytes: &[u8], _record: &RecordRef<'_>, into: &mut String) -> Result<(), SerdeError> {
        into.clear();
        match std::str::from_utf8(bytes) {
            Ok("outage") => Err(SerdeError::Unavailable("the registry is down".into())),
            Ok(text) => {
                into.push_str(text);
                Ok(())
            }
            Err(error) => Err(SerdeError::Record(Box::new(error))),
        }
    }
}

impl Serializer<String> for Text {
    fn serialize(&mut self, value: &String, _record: &Record<'_, String>, into: &mut Vec<u8>) -> Result<(), SerdeError> {
        if value.contains("unwritable") {
            return Err(SerdeError::Record("cannot be written".into()));
        }
        into.extend_from_slice(value.as_bytes());
        Ok(())
    }
}

/// Counts the records of each key and forwards `key:count:value`.
#[derive(Debug, Default)]
struct Count {
    store: Option<StoreId>,
    out: String,
}

impl Processor<String> for Count {
    fn init(&mut self, context: &mut InitContext<'_>) -> Result<(), BoxError> {
        self.store = context.store("counts");
        Ok(())
    }

    fn process(&mut self, record: &Record<'_, String>, context: &mut dyn ProcessorContext<String>) -> Result<(), BoxError> {
        let key = record.key.ok_or("a record without a key")?;
        let store = self.store.ok_or("no store")?;
        let count: u64 = match context.store(store).get(key)? {
            Some(bytes) => std::str::from_utf8(bytes)?.parse()?,
            None => 0,
        };
        let count = count + 1;
        context.store(store).put(key, count.to_string().as_bytes())?;
        let value = record.value.map_or("null", String::as_str);
        self.out = format!("{}:{count}:{value}", String::from_utf8_lossy(key));
        context.forward(&Record { value: Some(&self.out), ..*record })?;
        match value {
            "poison" => Err("poisoned".into()),
            "panic" => panic!("a fault in a processor"),
            _ => Ok(()),
        }
    }
}

fn counts() -> StoreSpec {
    StoreSpec { name: "counts".into(), layout: StoreLayout { kind: "count".into(), fields: [("n".to_owned(), "long".to_owned())].into() } }
}

pub(super) fn counting(errors: ErrorPolicy) -> Arc<Topology<String>> {
    let topology = TopologyBuilder::new()
        .errors(errors)
        .source("in", Source::new("input", Start::Earliest, || Text, String::new))
        .store(counts())
        .processor("count", &["in"], &["counts"], Count::default)
        .sink("out", &["count"], "output", || Text)
        .build();
    Arc::new(topology.unwrap())
}

/// A log with the topics, and stores, that outlive an engine.
pub(super) struct World {
    pub(super) log: Arc<LocalLog>,
    pub(super) backend: Arc<MemoryBackend>,
}

impl World {
    pub(super) fn new(partitions: i32) -> Self {
        let log = LocalLog::in_memory();
        for topic in ["input", "output"] {
            log.admin().create_topic(topic, &TopicConfig::keep(partitions)).unwrap();
        }
        Self { log, backend: Arc::default() }
    }

    fn driver(&self) -> TopologyTestDriver {
        self.try_driver(counting(ErrorPolicy::default())).unwrap()
    }

    fn try_driver(&self, topology: Arc<Topology<String>>) -> super::Result<TopologyTestDriver> {
        let (log, backend): (Arc<dyn Log>, Arc<dyn StateBackend>) =
            (Arc::<LocalLog>::clone(&self.log), Arc::<MemoryBackend>::clone(&self.backend));
        TopologyTestDriver::with(topology, log, backend, Options::new("app", "instance"))
    }
}

/// Somebody's transaction, with one record at the end of a partition 0: nobody reads past it until it ends.
fn open_transaction(log: &Arc<LocalLog>, id: &str, topic: &str) -> Box<dyn Producer> {
    let transaction_timeout = Duration::from_secs(365 * 24 * 3600);
    let options = ProducerOptions { transactional_id: id.into(), topics: vec![topic.into()], transaction_timeout };
    let mut somebody = log.producer(options).unwrap();
    somebody.init_transactions(Duration::ZERO).unwrap();
    somebody.begin().unwrap();
    let (partition, key, headers) = (Some(Partition(0)), Some(b"somebody's".as_slice()), Headers::EMPTY);
    somebody.send(&ProducerRecord { topic: 0, partition, key, value: key, headers, timestamp: Timestamp(1) }).unwrap();
    somebody.flush(Duration::ZERO).unwrap();
    somebody
}

fn pipe(driver: &mut TopologyTestDriver, key: &str, value: &str) {
    driver.pipe("input", Some(key.as_bytes()), Some(value.as_bytes()), Timestamp(1)).unwrap();
}

/// The values of what came out since the last time.
fn outputs(driver: &mut TopologyTestDriver) -> Vec<String> {
    values(driver, "output")
}

fn values(driver: &mut TopologyTestDriver, topic: &str) -> Vec<String> {
    let text = |value: Option<Vec<u8>>| value.map_or("null".to_owned(), |value| String::from_utf8_lossy(&value).into_owned());
    driver.read(topic).unwrap().into_iter().map(|record| text(record.value)).collect()
}
