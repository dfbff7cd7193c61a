//! What a log promises, asked of the embedded log in memory and on disk.

use std::sync::Arc;
use std::time::Duration;

use super::LocalLog;
use super::compaction::Settings;
use crate::streams::clock::Timestamp;
use crate::streams::kv::Kv;
use crate::streams::kv::memory::Memory;
use crate::streams::log::{
    Admin, Class, Committed, Consumer, ConsumerOptions, GroupMetadata, Headers, Isolation, Log, Offset, Partition, Polled, Producer,
    ProducerOptions, ProducerRecord, RecordBatch, TopicConfig, TopicPartition,
};
use crate::streams::rocks::{Budget, Options, Profile, Rocks};

mod crash;
mod groups;
mod keeping;
mod model;
mod threads;
mod transactions;

const ZERO: Duration = Duration::ZERO;

/// Runs a script on the log in memory and on disk.
fn on_each(script: impl Fn(Arc<LocalLog>)) {
    script(LocalLog::in_memory());
    let directory = tempfile::tempdir().unwrap();
    let rocks = Rocks::open(&directory.path().join("log"), &Options::new(Profile::Log, Budget::new(1 << 20, 1 << 20))).unwrap();
    script(LocalLog::open(Arc::new(rocks)).unwrap());
}

/// Makes housekeeping due when little is new.
fn eager(log: &LocalLog) {
    log.shared.compactor.lock().settings =
        Settings { step_bytes: 2_000, chunk_bytes: 1_000, keys_max: 450_000, dirty_bytes_min: 10_000, tail_chunks_max: 200 };
}

fn topic(log: &LocalLog, name: &str, config: &TopicConfig) {
    log.admin().create_topic(name, config).unwrap();
}

fn producer(log: &LocalLog, id: &str, topics: &[&str]) -> Box<dyn Producer> {
    let topics = topics.iter().map(|&topic| Arc::from(topic)).collect();
    let options = ProducerOptions { transactional_id: id.into(), topics, transaction_timeout: Duration::from_secs(10) };
    let mut producer = log.producer(options).unwrap();
    producer.init_transactions(ZERO).unwrap();
    producer
}

fn record<'a>(key: &'a str, value: Option<&'a str>, timestamp: i64) -> ProducerRecord<'a> {
    let (key, value) = (Some(key.as_bytes()), value.map(str::as_bytes));
    ProducerRecord { topic: 0, partition: Some(Partition(0)), key, value, headers: Headers::EMPTY, timestamp: Timestamp(timestamp) }
}

/// Sends records `key=value` in a transaction and commits it.
fn commit(producer: &mut dyn Producer, records: &[(&str, &str)]) {
    producer.begin().unwrap();
    for (key, value) in records {
        producer.send(&record(key, Some(value), 0)).unwrap();
    }
    producer.commit(ZERO).unwrap();
}

fn at(topic: &str) -> TopicPartition {
    TopicPartition::new(topic, 0)
}

fn reader(log: &LocalLog, isolation: Isolation) -> Box<dyn Consumer> {
    log.consumer(ConsumerOptions { group: None, instance_id: None, isolation }).unwrap()
}

/// All records of partition 0 as `offset:key=value`, and the position after them.
fn read(log: &LocalLog, topic: &str, isolation: Isolation) -> (Vec<String>, i64) {
    let mut consumer = reader(log, isolation);
    consumer.assign(&at(topic), Offset(0)).unwrap();
    drain(&mut *consumer, topic)
}

fn drain(consumer: &mut dyn Consumer, topic: &str) -> (Vec<String>, i64) {
    let mut seen = Vec::new();
    let mut batch = RecordBatch::default();
    while consumer.poll(ZERO, &mut batch).unwrap() == Polled::Records {
        for record in batch.iter() {
            let text = |bytes: Option<&[u8]>| bytes.map_or("null".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned());
            seen.push(format!("{}:{}={}", record.offset, text(record.key), text(record.value)));
        }
    }
    (seen, consumer.position(&at(topic)).unwrap().0)
}

fn member(log: &LocalLog, group: &str, instance: &str) -> Box<dyn Consumer> {
    let options = ConsumerOptions { group: Some(group.into()), instance_id: Some(instance.into()), isolation: Isolation::ReadCommitted };
    log.consumer(options).unwrap()
}

fn event(consumer: &mut dyn Consumer) -> Polled {
    consumer.poll(ZERO, &mut RecordBatch::default()).unwrap()
}

fn offset(offset: i64) -> Committed {
    Committed { offset: Offset(offset), metadata: "layout".into() }
}

fn no_member(group: &str) -> GroupMetadata {
    GroupMetadata { group: group.into(), member_id: "".into(), generation: -1, native: None }
}
