//! An embedded log with observations in it, and the shipped topology on it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidewatch::avro::{EmbeddedRegistry, Encoder, Registry, Row, SchemaId, wire};
use tidewatch::config::{self, LoadOptions};
use tidewatch::streams::clock::{Clock, SystemClock, Timestamp};
use tidewatch::streams::kv::Kv;
use tidewatch::streams::log::local::LocalLog;
use tidewatch::streams::log::{
    ConsumerOptions, Headers, Isolation, Log, Offset, Polled, ProducerOptions, ProducerRecord, RecordBatch, TopicConfig, TopicPartition,
};
use tidewatch::streams::rocks::{self, Budget, Profile, Rocks};
use tidewatch::streams::runtime::{Options, RocksBackend, StateBackend, Streams};

use super::cpu;
use super::observations;

const INPUT: &str = "youtube_videos";
pub(crate) const OUTPUTS: [&str; 2] = ["youtube_changes", "telegram_outbox"];
pub(crate) const CHANGELOGS: [&str; 2] = ["youtube-changes-changes-changelog", "youtube-changes-views-changelog"];
const TIMEOUT: Duration = Duration::from_secs(60);

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    /// By the clock.
    pub(crate) time: Duration,
    /// Of the processor.
    pub(crate) cpu: Duration,
}

/// A log with observations in it, and what runs on it.
pub(crate) struct Ground {
    log: Arc<dyn Log>,
    registry: Arc<dyn Registry>,
    clock: Arc<dyn Clock>,
    /// What log and stores share.
    budget: Budget,
    partitions: i32,
}

impl Ground {
    fn new(log: Arc<dyn Log>, partitions: i32, budget: Budget) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let registry: Arc<dyn Registry> = Arc::new(EmbeddedRegistry::open(Arc::clone(&log), Arc::clone(&clock)).unwrap());
        let ground = Self { log, registry, clock, budget, partitions };
        for topic in [INPUT].iter().chain(&OUTPUTS) {
            if ground.log.admin().describe(topic).unwrap().is_none() {
                ground.log.admin().create_topic(topic, &TopicConfig::keep(partitions)).unwrap();
            }
        }
        ground
    }

    pub(crate) fn in_memory() -> Self {
        Self::new(LocalLog::in_memory(), 1, budget())
    }

    /// What lies in the directory, or a new one.
    pub(crate) fn durable(directory: &Path, partitions: i32) -> Self {
        Self::durable_through(directory, partitions, |kv| kv)
    }

    /// The same with something between the log and its files.
    pub(crate) fn durable_through(directory: &Path, partitions: i32, wrap: impl FnOnce(Arc<dyn Kv>) -> Arc<dyn Kv>) -> Self {
        let budget = budget();
        let options = rocks::Options::new(Profile::Log, budget.clone());
        let kv = wrap(Arc::new(Rocks::open(&directory.join("log"), &options).unwrap()));
        Self::new(LocalLog::open(kv).unwrap(), partitions, budget)
    }

    /// Appends observations, in transactions of a thousand. `observe` fills the watched fields and names the video.
    pub(crate) fn append(&self, records: u64, observe: &mut dyn FnMut(u64, &mut Row) -> String) {
        let schema = observations::schema("youtube_video");
        let shape = observations::watched(&schema);
        let id: SchemaId = self.registry.register("youtube_videos-value", &schema).unwrap();
        let encoder = Encoder::compile(&schema, &shape).unwrap();
        let options = ProducerOptions { transactional_id: "fill".into(), topics: vec![INPUT.into()], transaction_timeout: TIMEOUT };
        let mut producer = self.log.producer(options).unwrap();
        producer.init_transactions(TIMEOUT).unwrap();
        let (mut value, mut row) = (Vec::new(), Row::of(&shape));
        for index in 0..records {
            if index % 1000 == 0 {
                producer.begin().unwrap();
            }
            let key = observe(index, &mut row);
            value.clear();
            wire::prefix(id, &mut value);
            encoder.encode(&row, None, &mut value).unwrap();
            let record = ProducerRecord {
                topic: 0,
                partition: None,
                key: Some(key.as_bytes()),
                value: Some(&value),
                headers: Headers::EMPTY,
                timestamp: Timestamp(1_767_225_600_000 + i64::try_from(index).unwrap()),
            };
            producer.send(&record).unwrap();
            if index % 1000 == 999 || index + 1 == records {
                producer.flush(TIMEOUT).unwrap();
                producer.commit(TIMEOUT).unwrap();
            }
        }
    }

    /// Appends so many observations of so many videos, one video after the other.
    pub(crate) fn fill(&self, records: u64, videos: u64) {
        self.append(records, &mut |index, row| {
            observations::fill(row, index, videos);
            format!("video-{:06}", index % videos)
        });
    }

    /// Where the stores of a run are kept, on the budget that the log has too.
    pub(crate) fn on_disk(&self, directory: &Path) -> Arc<dyn StateBackend> {
        Arc::new(RocksBackend::new(directory.join("state"), rocks::Options::new(Profile::State, self.budget.clone())))
    }

    /// Runs the shipped topology to the end of its input: opening, assignment and closing are in the figures, as they are for whoever waits for it.
    pub(crate) fn run(&self, backend: Arc<dyn StateBackend>, threads: usize) -> Spent {
        let config = config::shipped(&LoadOptions::offline()).unwrap();
        let topology = config::build(&config, Arc::clone(&self.registry)).unwrap();
        let options = Options { until_end: true, threads, ..config.runtime_options("bench") };
        let (started, cpu) = (Instant::now(), cpu::process());
        let streams = Streams::new(Arc::new(topology), Arc::clone(&self.log), backend, Arc::clone(&self.clock), options).unwrap();
        streams.start().unwrap();
        streams.join(|_| ()).unwrap();
        Spent { time: started.elapsed(), cpu: cpu::process().saturating_sub(cpu) }
    }

    /// Hands out the committed records of a topic, key and value.
    pub(crate) fn read(&self, topic: &str, each: &mut dyn FnMut(&[u8], &[u8])) {
        for partition in 0..self.partitions {
            let options = ConsumerOptions { group: None, instance_id: None, isolation: Isolation::ReadCommitted };
            let mut consumer = self.log.consumer(options).unwrap();
            consumer.assign(&TopicPartition::new(topic, partition), Offset(0)).unwrap();
            let mut batch = RecordBatch::default();
            while consumer.poll(Duration::ZERO, &mut batch).unwrap() == Polled::Records {
                batch.iter().for_each(|record| each(record.key.unwrap_or_default(), record.value.unwrap_or_default()));
            }
        }
    }

    /// How many records a topic was ever given, with the markers of transactions and what compaction took away since.
    pub(crate) fn appended(&self, topic: &str) -> u64 {
        let end = |partition| self.log.admin().watermarks(&TopicPartition::new(topic, partition), Isolation::ReadCommitted).unwrap().1;
        (0..self.partitions).map(|partition| end(partition).0.unsigned_abs()).sum()
    }

    /// The rows of the state, each as it was last written.
    pub(crate) fn rows(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut rows = BTreeMap::new();
        for (store, topic) in (0_u8..).zip(CHANGELOGS) {
            self.read(topic, &mut |key, value| {
                rows.insert([&[store], key].concat(), value.to_vec());
            });
        }
        rows
    }
}

/// As much as the program gives them.
fn budget() -> Budget {
    Budget::new(16 << 20, 32 << 20)
}
