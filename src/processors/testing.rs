//! What tests drive a node with: a store in memory, and a list of what it forwarded.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::avro::Row;
use crate::streams::clock::Timestamp;
use crate::streams::kv::Visit;
use crate::streams::log::{Headers, Offset, RecordRef, TopicPartition};
use crate::streams::processor::{BoxError, InitContext, KeyValueStore, Processor, ProcessorContext, Record, RecordContext, StoreId};

/// A record that a node forwarded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Forwarded {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Row>,
    pub(crate) timestamp: Timestamp,
}

/// The context of one node with one store.
#[derive(Debug)]
pub(crate) struct TestContext {
    pub(crate) store: MemoryStore,
    pub(crate) forwarded: Vec<Forwarded>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    /// The next record's time; moves on by a second with each.
    pub(crate) timestamp: Timestamp,
    /// The next record's offset; moves on by one with each.
    pub(crate) offset: Offset,
    source: TopicPartition,
}

/// A store in memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryStore {
    pub(crate) rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl TestContext {
    pub(crate) fn new() -> Self {
        Self {
            store: MemoryStore::default(),
            forwarded: Vec::new(),
            counts: BTreeMap::new(),
            timestamp: Timestamp(1_000),
            offset: Offset(0),
            source: TopicPartition::new("input", 0),
        }
    }

    /// Lets the node process one record.
    pub(crate) fn process(&mut self, node: &mut dyn Processor<Row>, key: Option<&[u8]>, value: Option<&Row>) -> Result<(), BoxError> {
        self.process_with(node, key, value, Headers::EMPTY)
    }

    /// The same for a record with headers.
    pub(crate) fn process_with(
        &mut self,
        node: &mut dyn Processor<Row>,
        key: Option<&[u8]>,
        value: Option<&Row>,
        headers: Headers<'_>,
    ) -> Result<(), BoxError> {
        let record = Record { key, value, timestamp: self.timestamp, headers };
        let result = node.process(&record, self);
        self.timestamp.0 += 1_000;
        self.offset.0 += 1;
        result
    }

    /// The rows forwarded so far.
    #[cfg(test)]
    pub(crate) fn rows(&self) -> Vec<Row> {
        self.forwarded.iter().filter_map(|record| record.value.clone()).collect()
    }
}

/// Connects the node to the store under this name.
pub(crate) fn connect(node: &mut dyn Processor<Row>, store: &str) -> Result<(), BoxError> {
    let stores = [(store.to_owned(), StoreId(0))];
    node.init(&mut InitContext { stores: &stores, schedules: &mut Vec::new() })
}

impl ProcessorContext<Row> for TestContext {
    fn forward(&mut self, record: &Record<'_, Row>) -> Result<(), BoxError> {
        let forwarded = Forwarded { key: record.key.map(<[u8]>::to_vec), value: record.value.cloned(), timestamp: record.timestamp };
        self.forwarded.push(forwarded);
        Ok(())
    }

    fn store(&mut self, _store: StoreId) -> &mut dyn KeyValueStore {
        &mut self.store
    }

    fn source(&self) -> Option<RecordContext<'_>> {
        let record = RecordRef { offset: self.offset, timestamp: self.timestamp, key: None, value: Some(b"raw"), headers: Headers::EMPTY };
        Some(RecordContext { source: &self.source, record })
    }

    fn stream_time(&self) -> Timestamp {
        self.timestamp
    }

    fn wall_clock(&self) -> Timestamp {
        self.timestamp
    }

    fn count(&mut self, name: &'static str, by: u64) {
        *self.counts.entry(name).or_default() += by;
    }
}

impl KeyValueStore for MemoryStore {
    fn get(&mut self, key: &[u8]) -> Result<Option<&[u8]>, BoxError> {
        Ok(self.rows.get(key).map(Vec::as_slice))
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), BoxError> {
        self.rows.insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), BoxError> {
        self.rows.remove(key);
        Ok(())
    }

    fn range(&mut self, from: &[u8], to: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), BoxError> {
        let upper = to.map_or(Bound::Unbounded, Bound::Excluded);
        for (key, value) in self.rows.range::<[u8], _>((Bound::Included(from), upper)) {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }
}
