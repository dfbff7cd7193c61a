//! What the scripts are written with: names of their own, short forms of the usual calls, and patience.

use std::fmt::Debug;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tidewatch::streams::clock::Timestamp;
use tidewatch::streams::log::{
    Class, Committed, Consumer, ConsumerOptions, Headers, Isolation, Log, Offset, Partition, Polled, Producer, ProducerOptions,
    ProducerRecord, RecordBatch, RecordRef, Result, TopicConfig, TopicPartition,
};

/// So long is waited for what must come.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// So long one poll waits.
pub(super) const MOMENT: Duration = Duration::from_millis(100);
/// Records are this old: a time that no broker refuses and no clock of a marker comes near to.
pub(super) const THEN: i64 = 1_600_000_000_000;

/// One script on one log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'a> {
    pub(super) log: &'a dyn Log,
    unique: &'a str,
}

impl<'a> Scene<'a> {
    pub(super) fn new(log: &'a dyn Log, unique: &'a str) -> Self {
        Self { log, unique }
    }

    /// A name that no other script uses: for topics, groups, instance ids and transactional ids.
    pub(super) fn name(&self, name: &str) -> Arc<str> {
        format!("{}{name}", self.unique).into()
    }

    /// A partition of a topic of this script.
    pub(super) fn at(&self, topic: &str, partition: i32) -> TopicPartition {
        TopicPartition::new(self.name(topic), partition)
    }

    /// Creates a topic and waits until it is there.
    pub(super) fn topic(&self, topic: &str, config: &TopicConfig) {
        let name = self.name(topic);
        self.log.admin().create_topic(&name, config).unwrap();
        eventually("the topic", || self.log.admin().describe(&name).unwrap().is_some());
        for number in 0..config.partitions {
            eventually("the partition", || self.log.admin().watermarks(&self.at(topic, number), Isolation::ReadUncommitted).is_ok());
        }
    }

    /// A producer that has not taken its id yet.
    pub(super) fn uninitialised(&self, id: &str, topics: &[&str]) -> Box<dyn Producer> {
        let topics = topics.iter().map(|topic| self.name(topic)).collect();
        let options = ProducerOptions { transactional_id: self.name(id), topics, transaction_timeout: Duration::from_secs(30) };
        self.log.producer(options).unwrap()
    }

    pub(super) fn producer(&self, id: &str, topics: &[&str]) -> Box<dyn Producer> {
        let mut producer = self.uninitialised(id, topics);
        producer.init_transactions(PATIENCE).unwrap();
        producer
    }

    /// A consumer without a group.
    pub(super) fn reader(&self, isolation: Isolation) -> Box<dyn Consumer> {
        self.log.consumer(ConsumerOptions { group: None, instance_id: None, isolation }).unwrap()
    }

    /// A consumer that is to be a member of a group, or to ask for its offsets.
    pub(super) fn member(&self, group: &str, instance: &str) -> Box<dyn Consumer> {
        let (group, instance_id) = (Some(self.name(group)), Some(self.name(instance)));
        self.log.consumer(ConsumerOptions { group, instance_id, isolation: Isolation::ReadCommitted }).unwrap()
    }

    /// First offset, last stable offset, high watermark.
    pub(super) fn marks(&self, at: &TopicPartition) -> (i64, i64, i64) {
        let admin = self.log.admin();
        let (low, stable) = admin.watermarks(at, Isolation::ReadCommitted).unwrap();
        (low.0, stable.0, admin.watermarks(at, Isolation::ReadUncommitted).unwrap().1.0)
    }

    /// Waits until all transactions are through and the partition ends at `end`.
    #[track_caller]
    pub(super) fn settled(&self, at: &TopicPartition, end: i64) {
        until_equal((0, end, end), || self.marks(at));
    }

    /// All records of a partition up to its end as it is now: `offset:key=value`, and the position after them.
    #[track_caller]
    pub(super) fn read(&self, at: &TopicPartition, isolation: Isolation) -> (Vec<String>, i64) {
        let end = self.log.admin().watermarks(at, isolation).unwrap().1;
        let mut consumer = self.reader(isolation);
        consumer.assign(at, Offset(0)).unwrap();
        let seen = read_to(&mut *consumer, at, end.0, show);
        (seen, consumer.position(at).unwrap().0)
    }

    /// The committed records of a partition.
    #[track_caller]
    pub(super) fn committed_records(&self, at: &TopicPartition) -> Vec<String> {
        self.read(at, Isolation::ReadCommitted).0
    }
}

/// A record for partition 0 of the first topic.
pub(super) fn record<'a>(key: &'a str, value: Option<&'a str>) -> ProducerRecord<'a> {
    let (key, value) = (Some(key.as_bytes()), value.map(str::as_bytes));
    ProducerRecord { topic: 0, partition: Some(Partition(0)), key, value, headers: Headers::EMPTY, timestamp: Timestamp(THEN) }
}

/// Begins a transaction and brings records into the log.
#[track_caller]
pub(super) fn begin(producer: &mut dyn Producer, records: &[(&str, &str)]) {
    producer.begin().unwrap();
    append(producer, records);
}

/// Brings records of the open transaction into the log.
#[track_caller]
pub(super) fn append(producer: &mut dyn Producer, records: &[(&str, &str)]) {
    for (key, value) in records {
        producer.send(&record(key, Some(value))).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

/// Commits records in a transaction of their own.
#[track_caller]
pub(super) fn commit(producer: &mut dyn Producer, records: &[(&str, &str)]) {
    begin(producer, records);
    producer.commit(PATIENCE).unwrap();
}

/// Sends a record and waits for it: a log may refuse it at either call.
pub(super) fn deliver(producer: &mut dyn Producer, record: &ProducerRecord<'_>) -> Result<()> {
    producer.send(record)?;
    producer.flush(PATIENCE)
}

/// The class of what went wrong; panics where nothing did.
#[track_caller]
pub(super) fn class<T: Debug>(result: Result<T>) -> Class {
    match result {
        Ok(value) => panic!("must fail, but gave {value:?}"),
        Err(error) => error.class,
    }
}

pub(super) fn text(bytes: Option<&[u8]>) -> String {
    bytes.map_or("null".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// A record as `offset:key=value`.
pub(super) fn show(record: RecordRef<'_>) -> String {
    format!("{}:{}={}", record.offset, text(record.key), text(record.value))
}

/// What a group has committed.
pub(super) fn next(offset: i64, metadata: &str) -> Committed {
    Committed { offset: Offset(offset), metadata: metadata.into() }
}

/// Reads an assigned partition until its position is at `end`; other partitions must be silent.
#[track_caller]
pub(super) fn read_to<T: Debug>(consumer: &mut dyn Consumer, at: &TopicPartition, end: i64, show: impl Fn(RecordRef<'_>) -> T) -> Vec<T> {
    let mut seen = Vec::new();
    let mut batch = RecordBatch::default();
    let deadline = Instant::now() + PATIENCE;
    while consumer.position(at).is_none_or(|position| position.0 < end) {
        let position = consumer.position(at);
        assert!(Instant::now() < deadline, "{at} stands at {position:?}, short of {end}; seen: {seen:?}");
        if consumer.poll(MOMENT, &mut batch).unwrap() == Polled::Records {
            assert_eq!(batch.source(), Some(at));
            seen.extend(batch.iter().map(&show));
        }
    }
    seen
}

/// Polls a few times: no record may come.
#[track_caller]
pub(super) fn assert_silent(consumer: &mut dyn Consumer) {
    let mut batch = RecordBatch::default();
    for _ in 0..3 {
        let polled = consumer.poll(MOMENT, &mut batch).unwrap();
        assert_ne!(polled, Polled::Records, "{:?}", batch.iter().map(show).collect::<Vec<_>>());
    }
}

/// Polls until the log refuses; the class of that.
#[track_caller]
pub(super) fn poll_error(consumer: &mut dyn Consumer) -> Class {
    let mut found = None;
    eventually("an error", || {
        found = consumer.poll(MOMENT, &mut RecordBatch::default()).err().map(|error| error.class);
        found.is_some()
    });
    found.unwrap()
}

/// Looks until it is so.
#[track_caller]
pub(super) fn eventually(what: &str, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !look() {
        assert!(Instant::now() < deadline, "{what} did not come within {PATIENCE:?}");
        pause();
    }
}

/// Looks until it is as expected.
#[track_caller]
pub(super) fn until_equal<T: PartialEq + Debug>(expected: T, mut look: impl FnMut() -> T) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = look();
        if seen == expected || Instant::now() >= deadline {
            assert_eq!(seen, expected, "still after {PATIENCE:?}");
            return;
        }
        pause();
    }
}

/// Between two looks: so that looking does not keep a processor busy.
fn pause() {
    thread::park_timeout(Duration::from_millis(5));
}
