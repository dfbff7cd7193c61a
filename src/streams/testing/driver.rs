//! [`TopologyTestDriver`]: a whole topology on the in-memory log with a clock that moves by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::streams::clock::{Clock, ManualClock, Timestamp};
use crate::streams::log::local::LocalLog;
use crate::streams::log::{
    ConsumerOptions, Headers, Isolation, Log, Offset, Partition, Polled, Producer, ProducerOptions, ProducerRecord, RecordBatch,
    TopicConfig, TopicPartition,
};
use crate::streams::runtime::{Error, MemoryBackend, Options, Result, StateBackend, Status};
use crate::streams::topology::Blueprint;

use super::Instance;

/// A record that came out of a topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestRecord {
    /// Its partition.
    pub partition: Partition,
    /// Its offset.
    pub offset: Offset,
    /// Its time.
    pub timestamp: Timestamp,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Runs a topology record by record.
#[derive(Debug)]
pub struct TopologyTestDriver {
    instance: Instance,
    log: Arc<dyn Log>,
    clock: ManualClock,
    inputs: Vec<Arc<str>>,
    producer: Box<dyn Producer>,
    /// How far each output topic was read.
    read: BTreeMap<TopicPartition, Offset>,
}

impl TopologyTestDriver {
    /// Starts `topology` with one partition per topic, at the time zero.
    pub fn new(topology: Arc<dyn Blueprint>) -> Result<Self> {
        Self::with(topology, LocalLog::in_memory(), Arc::new(MemoryBackend::default()), Options::new("test", "driver"))
    }

    /// Starts `topology` on a log and stores that outlive the driver, so that a test can stop it and start another one.
    pub fn with(topology: Arc<dyn Blueprint>, log: Arc<dyn Log>, backend: Arc<dyn StateBackend>, options: Options) -> Result<Self> {
        Self::on_clock(topology, log, backend, options, ManualClock::default())
    }

    /// The same, at the time of a clock that outlives the driver as well.
    pub fn on_clock(
        topology: Arc<dyn Blueprint>,
        log: Arc<dyn Log>,
        backend: Arc<dyn StateBackend>,
        options: Options,
        clock: ManualClock,
    ) -> Result<Self> {
        let admin = log.admin();
        let inputs: Vec<_> = topology.subtopologies().iter().map(|subtopology| Arc::clone(&subtopology.topic)).collect();
        for topic in inputs.iter().chain(topology.sink_topics()) {
            if admin.describe(topic)?.is_none() {
                admin.create_topic(topic, &TopicConfig::keep(1))?;
            }
        }
        let options = Options { offsets_only_interval: Duration::ZERO, ..options };
        let mut producer = log.producer(ProducerOptions {
            transactional_id: "test-driver-input".into(),
            topics: inputs.clone(),
            transaction_timeout: options.transaction_timeout,
        })?;
        producer.init_transactions(options.transaction_timeout)?;
        let shared_clock: Arc<dyn Clock> = Arc::new(clock.clone());
        let options = Options { create_internal_topics: true, ..options };
        let instance = Instance::new(topology, Arc::clone(&log), backend, shared_clock, options)?;
        let mut driver = Self { instance, log, clock, inputs, producer, read: BTreeMap::new() };
        driver.run()?;
        Ok(driver)
    }

    /// Appends a record to an input topic and runs the topology until it stands still.
    pub fn pipe(&mut self, topic: &str, key: Option<&[u8]>, value: Option<&[u8]>, timestamp: Timestamp) -> Result<()> {
        self.append(topic, key, value, timestamp)?;
        self.run()
    }

    /// The same for a record with headers.
    pub fn pipe_with(
        &mut self,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Headers<'_>,
        timestamp: Timestamp,
    ) -> Result<()> {
        self.send(topic, &ProducerRecord { topic: 0, partition: None, key, value, headers, timestamp })?;
        self.run()
    }

    /// Appends a record to an input topic without running the topology.
    pub fn append(&mut self, topic: &str, key: Option<&[u8]>, value: Option<&[u8]>, timestamp: Timestamp) -> Result<()> {
        self.send(topic, &ProducerRecord { topic: 0, partition: None, key, value, headers: Headers::EMPTY, timestamp })
    }

    fn send(&mut self, topic: &str, record: &ProducerRecord<'_>) -> Result<()> {
        let place =
            self.inputs.iter().position(|input| &**input == topic).ok_or_else(|| Error::MissingTopic { topic: topic.to_owned() })?;
        let timeout = Duration::from_secs(1);
        self.producer.begin()?;
        self.producer.send(&ProducerRecord { topic: place, ..*record })?;
        self.producer.flush(timeout)?;
        Ok(self.producer.commit(timeout)?)
    }

    /// Runs the topology until it stands still: everything read, committed, and every punctuation that is due called.
    pub fn run(&mut self) -> Result<()> {
        const TURNS_MAX: usize = 1_000_000;
        let mut quiet = 0;
        for _ in 0..TURNS_MAX {
            quiet = if self.instance.step()? { 0 } else { quiet + 1 };
            // One quiet turn may only mean that a commit was not due yet.
            if quiet > 1 && self.instance.is_settled() {
                break;
            }
        }
        Ok(())
    }

    /// Moves the wall clock and runs what becomes due.
    pub fn advance(&mut self, by: Duration) -> Result<()> {
        self.clock.advance(by);
        self.run()
    }

    /// The committed records of a topic that were not read before.
    pub fn read(&mut self, topic: &str) -> Result<Vec<TestRecord>> {
        let description = self.log.admin().describe(topic)?.ok_or_else(|| Error::MissingTopic { topic: topic.to_owned() })?;
        let options = ConsumerOptions { group: None, instance_id: None, isolation: Isolation::ReadCommitted };
        let mut records = Vec::new();
        for partition in 0..description.config.partitions {
            let place = TopicPartition::new(topic, partition);
            let mut consumer = self.log.consumer(options.clone())?;
            let from = self.read.get(&place).copied().unwrap_or_default();
            consumer.assign(&place, from)?;
            let mut batch = RecordBatch::default();
            while consumer.poll(Duration::ZERO, &mut batch)? == Polled::Records {
                records.extend(batch.iter().map(|record| TestRecord {
                    partition: place.partition,
                    offset: record.offset,
                    timestamp: record.timestamp,
                    key: record.key.map(<[u8]>::to_vec),
                    value: record.value.map(<[u8]>::to_vec),
                    headers: record.headers.iter().map(|(key, value)| (key.to_owned(), value.map(<[u8]>::to_vec))).collect(),
                }));
            }
            self.read.insert(place.clone(), consumer.position(&place).unwrap_or(from));
        }
        Ok(records)
    }

    /// All rows of a store, in the order of their keys; committed and uncommitted.
    pub fn store(&mut self, name: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut rows: Vec<_> = match self.instance.rows(name) {
            Ok(tasks) => tasks.into_values().flatten().collect(),
            Err(error) => {
                tracing::error!(error, "store {name}");
                Vec::new()
            }
        };
        rows.sort();
        rows
    }

    /// What the engine counted.
    pub fn status(&self) -> Status {
        self.instance.status()
    }

    /// Commits, closes the stores and ends, as a SIGTERM would.
    pub fn close(self) -> Result<()> {
        self.instance.close()
    }
}
