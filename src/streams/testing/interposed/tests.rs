//! An interposer is asked before and after each call, and what it answers counts.

use std::time::Duration;

use parking_lot::Mutex;

use super::*;
use crate::streams::clock::Timestamp;
use crate::streams::log::local::LocalLog;
use crate::streams::log::{ConsumerOptions, Headers, Isolation, Log, ProducerOptions, TopicConfig};
use crate::streams::runtime::{MemoryBackend, StateBackend};

/// Fails the calls that it is told to by name, and writes down all of them.
#[derive(Debug, Default)]
struct Script {
    seen: Mutex<Vec<String>>,
    fails: Mutex<Option<&'static str>>,
}

impl Script {
    fn meet(&self, when: &str, call: &Call<'_>) -> Result<(), Fault> {
        let told = format!("{when} {call:?}");
        let told = told.split(['(', ' ']).take(2).collect::<Vec<_>>().join(" ");
        let fails = self.fails.lock().is_some_and(|fails| fails == told);
        self.seen.lock().push(told);
        if fails { Err(Fault::Log(Error::new(Class::Unknown, "a test", "told to fail"))) } else { Ok(()) }
    }
}

impl Interposer for Script {
    fn before(&self, _: &Client, call: &Call<'_>) -> Result<(), Fault> {
        self.meet("before", call)
    }

    fn after(&self, _: &Client, call: &Call<'_>) -> Result<(), Fault> {
        self.meet("after", call)
    }
}

const TIMEOUT: Duration = Duration::from_secs(1);

#[test]
fn an_error_before_a_commit_keeps_it_from_taking_effect_and_one_after_it_does_not() {
    for (fails, records) in [("before Commit", 0), ("after Commit", 1)] {
        let script = Arc::new(Script::default());
        let log = InterposedLog::new(LocalLog::in_memory(), Arc::clone(&script) as Arc<dyn Interposer>);
        log.admin().create_topic("t", &TopicConfig::keep(1)).unwrap();
        let options =
            ProducerOptions { transactional_id: "id".into(), topics: vec!["t".into()], transaction_timeout: Duration::from_secs(10) };
        let mut producer = log.producer(options).unwrap();
        producer.init_transactions(TIMEOUT).unwrap();
        producer.begin().unwrap();
        let (headers, timestamp) = (Headers::EMPTY, Timestamp(1));
        producer.send(&ProducerRecord { topic: 0, partition: None, key: Some(b"k"), value: Some(b"v"), headers, timestamp }).unwrap();
        producer.flush(TIMEOUT).unwrap();
        *script.fails.lock() = Some(fails);
        assert_eq!(producer.commit(TIMEOUT).unwrap_err().class, Class::Unknown);
        let reader = ConsumerOptions { group: None, instance_id: None, isolation: Isolation::ReadCommitted };
        let mut consumer = log.consumer(reader).unwrap();
        consumer.assign(&TopicPartition::new("t", 0), Offset(0)).unwrap();
        let mut batch = RecordBatch::default();
        let polled = consumer.poll(Duration::ZERO, &mut batch).unwrap();
        assert_eq!(if polled == Polled::Records { batch.len() } else { 0 }, records, "{fails}");
        let seen = script.seen.lock().join(", ");
        assert!(seen.contains("before Init, after Init, before Begin, after Begin, before Send, after Send, before Flush"), "{seen}");
    }
}

#[test]
fn a_store_that_fails_before_a_write_has_not_written() {
    let script = Arc::new(Script::default());
    let backend = InterposedBackend::new(Arc::new(MemoryBackend::default()), Arc::clone(&script) as Arc<dyn Interposer>);
    let store = backend.open(TaskId { subtopology: 0, partition: 0 }).unwrap();
    let mut batch = Batch::default();
    batch.put(b"k", b"v");
    *script.fails.lock() = Some("before Write");
    assert!(matches!(store.write(&batch, Durability::Volatile), Err(kv::Error::Failed { .. })));
    assert!(!store.get(b"k", &mut Vec::new()).unwrap());
    *script.fails.lock() = Some("after Write");
    assert!(store.write(&batch, Durability::Volatile).is_err());
    assert!(store.get(b"k", &mut Vec::new()).unwrap());
}
