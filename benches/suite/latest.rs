//! The step of a latest node: read the video's row, compare, write it, pass the change on. The store is a hash map, so this
//! is the node's own work.

use std::collections::HashMap;
use std::hint::black_box;

use criterion::{Criterion, Throughput};
use tidewatch::avro::Row;
use tidewatch::processors::latest::{Options, Plan};
use tidewatch::streams::clock::Timestamp;
use tidewatch::streams::kv::Visit;
use tidewatch::streams::log::{Headers, Offset, RecordRef, TopicPartition};
use tidewatch::streams::processor::{
    BoxError, InitContext, KeyValueStore, Processor as _, ProcessorContext, Record, RecordContext, StoreId,
};

use super::observations;

const VIDEOS: u64 = 1000;

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
        Err("a latest node reads single keys".into())
    }
}

struct Context {
    store: Store,
    source: TopicPartition,
    offset: Offset,
    forwarded: u64,
}

impl ProcessorContext<Row> for Context {
    fn forward(&mut self, record: &Record<'_, Row>) -> Result<(), BoxError> {
        black_box(record);
        self.forwarded += 1;
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

/// Observations of a thousand videos that change with every poll.
pub(crate) fn step(criterion: &mut Criterion) {
    let shape = observations::watched(&observations::schema("youtube_video"));
    let watch = shape.fields.iter().map(|field| field.path.to_string()).collect();
    let plan = Plan::new(&Options { store: "changes".to_owned(), watch, ..Options::default() }, &shape).unwrap();
    let mut node = plan.processor();
    let stores = [("changes".to_owned(), StoreId(0))];
    node.init(&mut InitContext::new(&stores, &mut Vec::new())).unwrap();
    let mut context =
        Context { store: Store::default(), source: TopicPartition::new("youtube_videos", 0), offset: Offset(0), forwarded: 0 };
    let keys: Vec<String> = (0..VIDEOS).map(|video| format!("video-{video:06}")).collect();
    let mut row = Row::of(&shape);
    let mut index = 0;

    let mut group = criterion.benchmark_group("latest");
    group.throughput(Throughput::Elements(1));
    group.bench_function("step", |bencher| {
        bencher.iter(|| {
            observations::fill(&mut row, index, VIDEOS);
            let key = keys[usize::try_from(index % VIDEOS).unwrap()].as_bytes();
            let record =
                Record { key: Some(key), value: Some(&row), timestamp: Timestamp(i64::try_from(index).unwrap()), headers: Headers::EMPTY };
            node.process(&record, &mut context).unwrap();
            index += 1;
            context.offset = context.offset.next();
        });
    });
    group.finish();
    assert!(context.forwarded + VIDEOS >= index, "observations were to change something");
}
