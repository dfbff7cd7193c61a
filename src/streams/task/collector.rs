//! Holds the results of one input record until the record is through: a record that fails halfway leaves no result.

use std::ops::Range;

use crate::streams::clock::Timestamp;
use crate::streams::log::{self, Headers, Partition, ProducerRecord};

/// Where finished results go: the thread's open transaction.
pub trait Output {
    /// Queues a record, beginning a transaction if none is open.
    fn send(&mut self, record: &ProducerRecord<'_>) -> log::Result<()>;
    /// Begins a transaction if none is open: there is something to commit, though no record yet.
    fn open(&mut self) -> log::Result<()>;
}

#[derive(Debug)]
struct Entry {
    topic: usize,
    partition: Option<Partition>,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Range<usize>,
    timestamp: Timestamp,
}

/// The results of the record that is being processed.
#[derive(Debug)]
pub struct RecordCollector {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    record_bytes_max: usize,
}

/// A result that no log would take.
#[derive(Debug, thiserror::Error)]
#[error("a result of {bytes} bytes is larger than the limit of {limit} bytes")]
pub(crate) struct TooLarge {
    bytes: usize,
    limit: usize,
}

impl RecordCollector {
    /// A collector that refuses results with more than `record_bytes_max` bytes of key and value.
    pub fn new(record_bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), entries: Vec::new(), record_bytes_max }
    }

    /// Takes a result.
    pub(crate) fn collect(&mut self, record: &ProducerRecord<'_>) -> Result<(), TooLarge> {
        let bytes = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        if bytes > self.record_bytes_max {
            return Err(TooLarge { bytes, limit: self.record_bytes_max });
        }
        let key = record.key.map(|key| self.copy(key));
        let value = record.value.map(|value| self.copy(value));
        let headers = self.copy(record.headers.as_bytes());
        self.entries.push(Entry { topic: record.topic, partition: record.partition, key, value, headers, timestamp: record.timestamp });
        Ok(())
    }

    fn copy(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    /// Forgets what the record gave.
    pub fn discard(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    /// Passes everything on, in order; returns how many results there were.
    pub(crate) fn finish(&mut self, output: &mut dyn Output) -> log::Result<usize> {
        for entry in &self.entries {
            output.send(&ProducerRecord {
                topic: entry.topic,
                partition: entry.partition,
                key: entry.key.clone().and_then(|range| self.bytes.get(range)),
                value: entry.value.clone().and_then(|range| self.bytes.get(range)),
                headers: Headers::from_bytes(self.bytes.get(entry.headers.clone()).unwrap_or_default()),
                timestamp: entry.timestamp,
            })?;
        }
        let count = self.entries.len();
        self.discard();
        Ok(count)
    }
}
