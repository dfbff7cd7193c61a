//! Records of one partition in one reused buffer: what a poll fills and a task reads.

use std::ops::Range;

use super::{Headers, Offset, TopicPartition};
use crate::streams::clock::Timestamp;

/// A record, borrowed from the batch that it lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// Its place in the partition.
    pub offset: Offset,
    /// Its time.
    pub timestamp: Timestamp,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: Headers<'a>,
}

#[derive(Debug)]
struct Entry {
    offset: Offset,
    timestamp: Timestamp,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Range<usize>,
}

/// Records of one partition, in the order of their offsets.
#[derive(Debug, Default)]
pub struct RecordBatch {
    source: Option<TopicPartition>,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

impl RecordBatch {
    /// Forgets the records, keeps the buffers, and names the partition of those to come.
    pub fn start(&mut self, source: TopicPartition) {
        self.bytes.clear();
        self.entries.clear();
        self.source = Some(source);
    }

    /// Forgets the records, keeps the buffers.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    /// The partition of all records; none before the first [`start`](Self::start).
    pub fn source(&self) -> Option<&TopicPartition> {
        self.source.as_ref()
    }

    /// Appends a copy of a record.
    pub fn push(&mut self, record: &RecordRef<'_>) {
        let key = record.key.map(|key| self.copy(key));
        let value = record.value.map(|value| self.copy(value));
        let headers = self.copy(record.headers.as_bytes());
        self.entries.push(Entry { offset: record.offset, timestamp: record.timestamp, key, value, headers });
    }

    fn copy(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    /// The offset of the last record.
    pub fn last_offset(&self) -> Option<Offset> {
        self.entries.last().map(|entry| entry.offset)
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of keys, values and headers.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The records in the order of their offsets.
    pub fn iter(&self) -> impl Iterator<Item = RecordRef<'_>> {
        self.entries.iter().map(|entry| RecordRef {
            offset: entry.offset,
            timestamp: entry.timestamp,
            key: entry.key.clone().and_then(|range| self.bytes.get(range)),
            value: entry.value.clone().and_then(|range| self.bytes.get(range)),
            headers: Headers::from_bytes(self.bytes.get(entry.headers.clone()).unwrap_or_default()),
        })
    }
}
