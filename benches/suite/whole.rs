//! The whole shipped topology over observations that lie in the log already, and the restore of its state.
//!
//! Each measurement starts an engine on a fresh copy of the same log and runs it until everything is committed.

use std::sync::Arc;

use criterion::{Criterion, Throughput};
use tidewatch::streams::runtime::MemoryBackend;

use super::cpu::ProcessorTime;
use super::ground::Ground;

const RECORDS: u64 = 100_000;
const VIDEOS: u64 = 20_000;
const VIDEOS_RESTORED: u64 = 200_000;

/// A hundred thousand observations of twenty thousand videos: previous and current, changes, messages.
pub(crate) fn topology(criterion: &mut Criterion<ProcessorTime>) {
    let mut group = criterion.benchmark_group("topology");
    group.sample_size(10).throughput(Throughput::Elements(RECORDS));
    group.bench_function("in memory", |bencher| {
        bencher.iter_custom(|iterations| {
            let once = || {
                let ground = Ground::in_memory();
                ground.fill(RECORDS, VIDEOS);
                ground.run(Arc::new(MemoryBackend::default()), 1).cpu
            };
            (0..iterations).map(|_| once()).sum()
        });
    });
    group.bench_function("durable", |bencher| {
        bencher.iter_custom(|iterations| {
            let once = || {
                let directory = tempfile::tempdir().unwrap();
                let ground = Ground::durable(directory.path(), 1);
                ground.fill(RECORDS, VIDEOS);
                ground.run(ground.on_disk(directory.path()), 1).cpu
            };
            (0..iterations).map(|_| once()).sum()
        });
    });
    group.finish();
}

/// The state of all videos, from the changelogs into an empty directory; the figure counts videos.
pub(crate) fn restore(criterion: &mut Criterion<ProcessorTime>) {
    let directory = tempfile::tempdir().unwrap();
    let ground = Ground::durable(directory.path(), 1);
    ground.fill(VIDEOS_RESTORED, VIDEOS_RESTORED);
    ground.run(ground.on_disk(directory.path()), 1);

    let mut group = criterion.benchmark_group("restore");
    group.sample_size(10).throughput(Throughput::Elements(VIDEOS_RESTORED));
    group.bench_function("durable", |bencher| {
        bencher.iter_custom(|iterations| {
            let once = || {
                let empty = tempfile::tempdir().unwrap();
                ground.run(ground.on_disk(empty.path()), 1).cpu
            };
            (0..iterations).map(|_| once()).sum()
        });
    });
    group.finish();
}
