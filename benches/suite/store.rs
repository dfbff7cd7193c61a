//! The store of a task on RocksDB: get, put and commit, on rows that are in memory (hot) and on any (cold), beside RocksDB alone.
//!
//! Rows are 128 bytes under keys of 12. The numbers of keys are 10,000 and 100,000; `TIDEWATCH_BENCH_KEYS=1000000,10000000` names others.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use tempfile::TempDir;
use tidewatch::streams::clock::Timestamp;
use tidewatch::streams::log::Offset;
use tidewatch::streams::processor::StoreId;
use tidewatch::streams::rocks::{self, Budget, Profile, Rocks};
use tidewatch::streams::state::{Options, StoreLayout, StoreSpec, TaskState};

use super::cpu::{self, ProcessorTime};
use super::pair::Pair;
use super::raw::Raw;

const STORE: StoreId = StoreId(0);
const VALUE_BYTES: usize = 128;

/// Rows of one step, and of one transaction.
const STEP: u64 = 1_000;

/// Keys are met in an order that begins again after so many.
const ORDER: usize = 200_000;

/// What is kept in memory where every row is to come from RocksDB: less than the rows of one step.
const COLD_CACHE_BYTES: usize = 16 << 10;

fn key(number: u64) -> String {
    format!("video-{number:06}")
}

/// Half of a row is the same in all rows and half in none, so that it compresses to about a half.
fn fill(value: &mut [u8; VALUE_BYTES], mut seed: u64) {
    for bytes in value.chunks_exact_mut(8).take(VALUE_BYTES / 16) {
        seed = next(seed);
        bytes.copy_from_slice(&seed.to_be_bytes());
    }
}

/// Knuth's generator: the order in which keys are met. The upper bits are the random ones.
fn next(seed: u64) -> u64 {
    seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}

/// Any of so many keys, one after the other, without end.
struct Keys {
    keys: Vec<String>,
    place: usize,
}

impl Keys {
    fn of(keys: u64, mut seed: u64) -> Self {
        let mut any = || {
            seed = next(seed);
            key((seed >> 24) % keys)
        };
        Self { keys: (0..ORDER).map(|_| any()).collect(), place: 0 }
    }

    fn next(&mut self) -> &str {
        self.place = (self.place + 1) % ORDER;
        &self.keys[self.place]
    }
}

/// The state of a task with rows on its disk.
struct Held {
    state: TaskState,
    next: Offset,
    value: [u8; VALUE_BYTES],
    written: u64,
    _directory: Arc<TempDir>,
}

impl Held {
    fn open(directory: &Arc<TempDir>, cache_bytes: usize) -> Self {
        let options = rocks::Options::new(Profile::State, Budget::new(16 << 20, 32 << 20));
        let rocks = Rocks::open(&directory.path().join("store"), &options).unwrap();
        let specs = vec![StoreSpec { name: "changes".into(), layout: StoreLayout::default() }];
        let options = Options { cache_bytes, ..Options::default() };
        let state = TaskState::open("0_0", Arc::new(rocks), specs, options).unwrap();
        Self { state, next: Offset(0), value: [b'-'; VALUE_BYTES], written: 0, _directory: Arc::clone(directory) }
    }

    /// A directory with so many rows.
    fn filled(keys: u64) -> Arc<TempDir> {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let mut held = Self::open(&directory, Options::default().cache_bytes);
        for number in 0..keys {
            held.put(&key(number));
            if number % 10_000 == 9_999 || number + 1 == keys {
                held.commit();
            }
        }
        held.state.close(Some(held.next)).unwrap();
        directory
    }

    fn get(&mut self, key: &str) {
        assert!(black_box(self.state.store(STORE).get(key.as_bytes())).unwrap().is_some(), "{key} was written");
    }

    fn put(&mut self, key: &str) {
        self.written += 1;
        fill(&mut self.value, self.written);
        self.state.begin_record(Timestamp(0));
        self.state.store(STORE).put(key.as_bytes(), &self.value).unwrap();
    }

    /// The open transaction is committed, its rows go to the disk at once.
    fn commit(&mut self) {
        let mut rows = 0;
        self.state
            .drain(&mut |_, key, value, _| {
                black_box((key, value));
                rows += 1;
                Ok(())
            })
            .unwrap();
        self.next = Offset(self.next.0 + rows);
        self.state.committed(&[(STORE, self.next)]).unwrap();
        self.state.flush(Some(self.next)).unwrap();
    }
}

/// What is called for each key of a step.
type Each = fn(&mut Held, &str);

/// Nothing but reads, or nothing but writes that are taken back.
fn calls(criterion: &mut Criterion<ProcessorTime>, keys: u64, directory: &Arc<TempDir>) {
    for (name, each) in [("get", Held::get as Each), ("put", Held::put)] {
        let mut group = criterion.benchmark_group(format!("store {name}"));
        group.throughput(Throughput::Elements(STEP));
        let mut hot = Held::open(directory, Options::default().cache_bytes);
        let few: Vec<String> = (0..STEP).map(|number| key(number * (keys / STEP))).collect();
        group.bench_function(BenchmarkId::new("hot", keys), |bencher| {
            bencher.iter(|| {
                for key in &few {
                    each(&mut hot, key);
                }
                hot.state.discard();
            });
        });
        drop(hot);
        let mut cold = Held::open(directory, COLD_CACHE_BYTES);
        let mut any = Keys::of(keys, 1);
        group.bench_function(BenchmarkId::new("cold", keys), |bencher| {
            bencher.iter(|| {
                (0..STEP).for_each(|_| each(&mut cold, any.next()));
                cold.state.discard();
            });
        });
        group.finish();
    }
}

/// Transactions of a thousand rows: from the last write to the disk; the writes themselves are not in the figure.
fn commits(criterion: &mut Criterion<ProcessorTime>, keys: u64, directory: &Arc<TempDir>) {
    let mut group = criterion.benchmark_group("store commit");
    group.throughput(Throughput::Elements(STEP));
    for (name, among) in [("hot", STEP), ("cold", keys)] {
        let mut held = Held::open(directory, Options::default().cache_bytes);
        let mut any = Keys::of(among, 2);
        group.bench_function(BenchmarkId::new(name, keys), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut took = Duration::ZERO;
                for _ in 0..iterations {
                    (0..STEP).for_each(|_| held.put(any.next()));
                    let started = cpu::process();
                    held.commit();
                    took += cpu::process().saturating_sub(started);
                }
                took
            });
        });
    }
    group.finish();
}

/// Get, put and commit, by number of keys.
pub(crate) fn stores(criterion: &mut Criterion<ProcessorTime>) {
    let named = std::env::var("TIDEWATCH_BENCH_KEYS").unwrap_or_else(|_| "10000,100000".to_owned());
    for keys in named.split(',') {
        let keys = keys.trim().replace('_', "").parse().unwrap_or(0);
        assert!(keys >= STEP, "TIDEWATCH_BENCH_KEYS has numbers of keys, at least {STEP} each, with commas between them");
        let directory = Held::filled(keys);
        calls(criterion, keys, &directory);
        commits(criterion, keys, &directory);
    }
}

fn raw_of(directory: &Path, keys: u64) -> Raw {
    let raw = Raw::open(&directory.join("raw"));
    let mut value = [b'-'; VALUE_BYTES];
    for first in (0..keys).step_by(10_000) {
        raw.write((first..keys.min(first + 10_000)).map(|number| {
            fill(&mut value, number);
            (key(number), value)
        }));
    }
    raw
}

/// Reads of rows that are on the disk, and whole transactions of rows that are not in memory, beside RocksDB alone: gets, and one batch.
pub(crate) fn pairs() -> Vec<Pair> {
    const KEYS: u64 = 100_000;
    let directory = Held::filled(KEYS);
    let raw = Arc::new(raw_of(directory.path(), KEYS));
    let (mut held, mut any) = (Held::open(&directory, COLD_CACHE_BYTES), Keys::of(KEYS, 3));
    let ours = Box::new(move || (0..STEP).for_each(|_| held.get(any.next())));
    let (peer, mut any) = (Arc::clone(&raw), Keys::of(KEYS, 3));
    let theirs = Box::new(move || (0..STEP).for_each(|_| assert!(black_box(peer.get(any.next())).is_some())));
    let get = Pair { name: "store get, cold, 100,000 keys", records: STEP, ours, peer: "RocksDB", theirs };

    let directory = Held::filled(KEYS);
    let (mut held, mut any) = (Held::open(&directory, Options::default().cache_bytes), Keys::of(KEYS, 4));
    let ours = Box::new(move || {
        (0..STEP).for_each(|_| held.put(any.next()));
        held.commit();
    });
    let (mut any, mut value, mut written) = (Keys::of(KEYS, 4), [b'-'; VALUE_BYTES], 0);
    let theirs = Box::new(move || {
        raw.write((0..STEP).map(|_| {
            written += 1;
            fill(&mut value, written);
            (any.next().to_owned(), value)
        }));
    });
    vec![get, Pair { name: "store put and commit, 100,000 keys", records: STEP, ours, peer: "RocksDB", theirs }]
}
