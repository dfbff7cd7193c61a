//! Drives one node by hand, over a store that is a hash map: what is measured is the node's own work.

use std::collections::HashMap;
use std::hint::black_box;

use tidewatch::avro::Row;
use tidewatch::streams::clock::Timestamp;
use tidewatch::streams::kv::Visit;
use tidewatch::streams::log::{Headers, Offset, RecordRef, TopicPartition};
use tidewatch::streams::processor::{BoxError, InitContext, KeyValueStore, Processor, ProcessorContext, Record, RecordContext, StoreId};

#[derive(Debug, Default)]
struct Store(HashMap<Vec<u8>, Vec<u8>>);

impl KeyValueStore for Store {
    fn get(&mut self, key: &[u8]) -> Result<Option<&[u8]>, BoxError> {
        Ok(self.0.get(key).map(Vec::as_slice))
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), BoxError> {
        if let Some(held) = self.0.get_mut(key) {
            held.clear();
            held.extend_from_slice(value);
        } else {
            self.0.insert(key.to_vec(), value.to_vec());
        }
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), BoxError> {
        self.0.remove(key);
        Ok(())
    }

    fn range(&mut self, _: &[u8], _: Option<&[u8]>, _: &mut Visit<'_>) -> Result<(), BoxError> {
        Err("these nodes read single keys".into())
    }
}

/// What a node under measurement sees of the engine.
#[derive(Debug)]
struct Context {
    store: Store,
    source: TopicPartition,
    offset: Offset,
    forwarded: u64,
    /// The rows that were forwarded, where they are wanted.
    kept: Option<Vec<Row>>,
}

impl ProcessorContext<Row> for Context {
    fn forward(&mut self, record: &Record<'_, Row>) -> Result<(), BoxError> {
        black_box(record);
        self.forwarded += 1;
        if let Some(kept) = &mut self.kept {
            kept.extend(record.value.cloned());
        }
        Ok(())
    }

    fn store(&mut self, _: StoreId) -> &mut dyn KeyValueStore {
        &mut self.store
    }

    fn source(&self) -> Option<RecordContext<'_>> {
        let record = RecordRef { offset: self.offset, timestamp: Timestamp(0), key: None, value: None, headers: Headers::EMPTY };
        Some(RecordContext { source: &self.source, record })
    }

    fn stream_time(&self) -> Timestamp {
        Timestamp(0)
    }

    fn wall_clock(&self) -> Timestamp {
        Timestamp(0)
    }

    fn count(&mut self, _: &'static str, _: u64) {}
}

/// A node at work.
#[derive(Debug)]
pub(crate) struct Driven<P> {
    node: P,
    context: Context,
}

impl<P: Processor<Row>> Driven<P> {
    pub(crate) fn new(mut node: P) -> Self {
        let stores = [("changes".to_owned(), StoreId(0))];
        node.init(&mut InitContext::new(&stores, &mut Vec::new())).unwrap();
        let source = TopicPartition::new("youtube_videos", 0);
        Self { node, context: Context { store: Store::default(), source, offset: Offset(0), forwarded: 0, kept: None } }
    }

    pub(crate) fn process(&mut self, key: &[u8], row: &Row) {
        let timestamp = Timestamp(self.context.offset.0);
        let record = Record { key: Some(key), value: Some(row), timestamp, headers: Headers::EMPTY };
        self.node.process(&record, &mut self.context).unwrap();
        self.context.offset = self.context.offset.next();
    }

    /// Keeps what is forwarded from now on.
    pub(crate) fn keep(&mut self) {
        self.context.kept = Some(Vec::new());
    }

    /// What was forwarded since [`keep`](Self::keep).
    pub(crate) fn kept(self) -> Vec<Row> {
        self.context.kept.unwrap_or_default()
    }

    /// How many rows were forwarded.
    pub(crate) fn forwarded(&self) -> u64 {
        self.context.forwarded
    }
}
