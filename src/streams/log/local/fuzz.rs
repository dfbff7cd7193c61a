//! Fuzz target: the rows of an embedded log, damaged in any way. What they hold is delivered or refused.

use std::sync::Arc;
use std::time::Duration;

use super::LocalLog;
use super::chunk::{Builder, Head, Records};
use super::keys::{self, Place};
use super::partition::Bounds;
use crate::fuzzing::input::run;
use crate::streams::clock::Timestamp;
use crate::streams::kv::memory::Memory;
use crate::streams::kv::{Batch, Durability, Kv};
use crate::streams::log::{ConsumerOptions, Isolation, Log, Offset, Partition, Polled, RecordBatch, TopicPartition};

/// The end of the partition.
const HIGH: i64 = 1 << 16;

/// More polls than any input can need: whoever needs more does not move on.
const POLLS_MAX: usize = 10_000;

const PLACE: Place = Place { topic: 1, partition: Partition(0) };

/// Any number of rows of a log with one partition, each a byte for its kind, its key and its value with their lengths before them.
pub(crate) fn rows(mut input: &[u8]) {
    let mut batch = Batch::default();
    batch.put(keys::FORMAT, b"1");
    batch.put(keys::COUNTERS, &keys::counters(2, 2));
    let topic = r#"{"name":"t","partitions":1,"compact":true,"retention_ms":1000,"delete_retention_ms":1000}"#;
    batch.put(&keys::topic(PLACE.topic), topic.as_bytes());
    Bounds { high: Offset(HIGH), tail_chunks: 1_000, tail_bytes: 1 << 40, dirty_bytes: 1 << 40, ..Bounds::default() }
        .put(PLACE, &mut batch);
    while let Some((&kind, rest)) = input.split_first() {
        input = rest;
        let (key, value) = (run(&mut input).unwrap_or_default(), run(&mut input).unwrap_or_default());
        let number = key.iter().fold(0_i64, |number, &byte| number << 8 & 0xffff | i64::from(byte));
        match kind % 6 {
            0 | 1 => {
                chunk(value);
                batch.put(&keys::chunk(PLACE, Offset(number)), value);
            }
            2 => batch.put(&keys::aborted(PLACE, Offset(number), u64::from(kind)), value),
            3 => batch.put(&[b"x", key].concat(), value),
            4 => batch.put(&[b"o", key].concat(), value),
            _ => batch.put(&keys::meta(PLACE), value),
        }
    }
    let kv = Arc::new(Memory::default());
    if kv.write(&batch, Durability::Volatile).is_err() {
        return;
    }
    let Ok(log) = LocalLog::open(kv) else { return };
    read(&log);
    // Compaction reads what it does not understand as damaged, too.
    let admin = log.admin();
    drop(admin.maintain(Timestamp(1)));
    drop(admin.maintain(Timestamp(i64::MAX)));
    read(&log);
}

fn read(log: &LocalLog) {
    let partition = TopicPartition::new("t", 0);
    for isolation in [Isolation::ReadUncommitted, Isolation::ReadCommitted] {
        let Ok(mut consumer) = log.consumer(ConsumerOptions { group: None, instance_id: None, isolation }) else { return };
        let mut batch = RecordBatch::default();
        if consumer.assign(&partition, Offset(0)).is_err() {
            continue;
        }
        let mut last = Offset(-1);
        for polls in 0.. {
            assert!(polls < POLLS_MAX, "the reader does not move on");
            match consumer.poll(Duration::ZERO, &mut batch) {
                Ok(Polled::Records) => {}
                Ok(_) | Err(_) => break,
            }
            for record in batch.iter() {
                assert!(record.offset > last, "offset {} after {last}", record.offset);
                last = record.offset;
            }
        }
    }
    let admin = log.admin();
    drop(admin.offset_for_time(&partition, Timestamp(0)));
    drop(admin.group_offsets("g"));
}

/// A record: key, value, time.
#[cfg(test)]
pub(crate) type Written = (Option<Vec<u8>>, Option<Vec<u8>>, i32);

/// The chunk of these records.
#[cfg(test)]
pub(crate) fn written(records: &[Written]) -> Vec<u8> {
    let mut builder = Builder::default();
    for (delta, (key, value, time)) in (0..).zip(records) {
        builder.push(delta, Timestamp((*time).into()), key.as_deref(), value.as_deref(), crate::streams::log::Headers::EMPTY);
    }
    builder.finish(1).to_vec()
}

/// A chunk alone: its records written anew are the same records.
fn chunk(bytes: &[u8]) {
    let Some(head) = Head::read(bytes) else { return };
    let mut builder = Builder::default();
    let mut seen = Vec::new();
    for record in Records::new(bytes, Offset(0), &head, 0) {
        if let Ok(delta) = u32::try_from(record.offset.0) {
            builder.push(delta, record.timestamp, record.key, record.value, record.headers);
            seen.push(record);
        }
    }
    let written = builder.finish(head.producer);
    let Some(head) = Head::read(written) else { panic!("a head that was written cannot be read") };
    let mut records = Records::new(written, Offset(0), &head, 0);
    let again: Vec<_> = records.by_ref().collect();
    assert!(records.is_done());
    assert_eq!(again, seen);
}
