//! The whole shipped topology over observations that lie in the log already, and the restore of its state.
//!
//! Each measurement starts an engine on a fresh copy of the same log and runs it until everything is committed: opening,
//! assignment and closing are in the figure, as they are for whoever waits for it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use tidewatch::avro::{EmbeddedRegistry, Registry, SchemaId};
use tidewatch::config::{self, LoadOptions};
use tidewatch::streams::clock::{Clock, SystemClock, Timestamp};
use tidewatch::streams::kv::Kv;
use tidewatch::streams::log::local::LocalLog;
use tidewatch::streams::log::{Headers, Log, ProducerOptions, ProducerRecord, TopicConfig};
use tidewatch::streams::rocks::{self, Budget, Profile, Rocks};
use tidewatch::streams::runtime::{MemoryBackend, Options, RocksBackend, StateBackend, Streams};

use super::observations::{self, Writer};

const TOPIC: &str = "youtube_videos";
const RECORDS: u64 = 100_000;
const VIDEOS: u64 = 20_000;
const VIDEOS_RESTORED: u64 = 200_000;
const TIMEOUT: Duration = Duration::from_secs(60);

/// A log with observations in it, and what runs on it.
struct Ground {
    log: Arc<dyn Log>,
    registry: Arc<dyn Registry>,
    clock: Arc<dyn Clock>,
}

impl Ground {
    fn new(log: Arc<dyn Log>) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let registry: Arc<dyn Registry> = Arc::new(EmbeddedRegistry::open(Arc::clone(&log), Arc::clone(&clock)).unwrap());
        log.admin().create_topic(TOPIC, &TopicConfig::keep(1)).unwrap();
        Self { log, registry, clock }
    }

    fn in_memory() -> Self {
        Self::new(LocalLog::in_memory())
    }

    fn durable(directory: &Path) -> Self {
        let kv: Arc<dyn Kv> = Arc::new(Rocks::open(&directory.join("log"), &rocks_options(Profile::Log)).unwrap());
        Self::new(LocalLog::open(kv).unwrap())
    }

    /// Appends so many observations of so many videos, in transactions of a thousand.
    fn fill(&self, records: u64, videos: u64) {
        let id: SchemaId = self.registry.register("youtube_videos-value", &observations::schema("youtube_video")).unwrap();
        let mut writer = Writer::new(id);
        let options = ProducerOptions { transactional_id: "fill".into(), topics: vec![TOPIC.into()], transaction_timeout: TIMEOUT };
        let mut producer = self.log.producer(options).unwrap();
        producer.init_transactions(TIMEOUT).unwrap();
        let mut value = Vec::new();
        for index in 0..records {
            if index % 1000 == 0 {
                producer.begin().unwrap();
            }
            writer.write(index, videos, &mut value);
            let key = format!("video-{:06}", index % videos);
            let timestamp = Timestamp(1_767_225_600_000 + i64::try_from(index).unwrap());
            let record = ProducerRecord {
                topic: 0,
                partition: None,
                key: Some(key.as_bytes()),
                value: Some(&value),
                headers: Headers::EMPTY,
                timestamp,
            };
            producer.send(&record).unwrap();
            if index % 1000 == 999 {
                producer.flush(TIMEOUT).unwrap();
                producer.commit(TIMEOUT).unwrap();
            }
        }
    }

    /// Runs the shipped topology to the end of its input; how long it took.
    fn run(&self, backend: Arc<dyn StateBackend>) -> Duration {
        let config = config::shipped(&LoadOptions::offline()).unwrap();
        let topology = config::build(&config, Arc::clone(&self.registry)).unwrap();
        for topic in ["youtube_changes", "telegram_outbox"] {
            if self.log.admin().describe(topic).unwrap().is_none() {
                self.log.admin().create_topic(topic, &TopicConfig::keep(1)).unwrap();
            }
        }
        let options = Options { until_end: true, ..Options::new("bench", "bench") };
        let started = Instant::now();
        let streams = Streams::new(Arc::new(topology), Arc::clone(&self.log), backend, Arc::clone(&self.clock), options).unwrap();
        streams.start().unwrap();
        streams.join(|_| ()).unwrap();
        started.elapsed()
    }
}

fn rocks_options(profile: Profile) -> rocks::Options {
    rocks::Options::new(profile, Budget::new(16 << 20, 32 << 20))
}

fn on_disk(directory: &Path) -> Arc<dyn StateBackend> {
    Arc::new(RocksBackend::new(directory.join("state"), rocks_options(Profile::State)))
}

/// A hundred thousand observations of twenty thousand videos: previous and current, changes, messages.
pub(crate) fn topology(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("topology");
    group.sample_size(10).throughput(Throughput::Elements(RECORDS));
    group.bench_function("in memory", |bencher| {
        bencher.iter_custom(|iterations| {
            let once = || {
                let ground = Ground::in_memory();
                ground.fill(RECORDS, VIDEOS);
                ground.run(Arc::new(MemoryBackend::default()))
            };
            (0..iterations).map(|_| once()).sum()
        });
    });
    group.bench_function("durable", |bencher| {
        bencher.iter_custom(|iterations| {
            let once = || {
                let directory = tempfile::tempdir().unwrap();
                let ground = Ground::durable(directory.path());
                ground.fill(RECORDS, VIDEOS);
                ground.run(on_disk(directory.path()))
            };
            (0..iterations).map(|_| once()).sum()
        });
    });
    group.finish();
}

/// The state of all videos, from the changelogs into an empty directory; the figure counts videos.
pub(crate) fn restore(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let ground = Ground::durable(directory.path());
    ground.fill(VIDEOS_RESTORED, VIDEOS_RESTORED);
    ground.run(on_disk(directory.path()));

    let mut group = criterion.benchmark_group("restore");
    group.sample_size(10).throughput(Throughput::Elements(VIDEOS_RESTORED));
    group.bench_function("durable", |bencher| {
        bencher.iter_custom(|iterations| {
            let once = || {
                let empty = tempfile::tempdir().unwrap();
                ground.run(on_disk(empty.path()))
            };
            (0..iterations).map(|_| once()).sum()
        });
    });
    group.finish();
}
