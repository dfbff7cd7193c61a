//! The seam between the engine and a log: consumer, transactional producer, admin.
//!
//! Its terms are Kafka's. [`local`] is the embedded log (durable in RocksDB, or in memory for tests and the simulation).
//! Nothing above this module knows which log it runs on.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

mod batch;
mod error;
mod headers;
pub mod kafka;
pub mod local;
mod types;

pub use batch::{RecordBatch, RecordRef};
pub use error::{Class, Error, Result};
pub use headers::{Headers, HeadersBuf};
pub use types::{CleanupPolicy, Committed, GroupMetadata, Offset, Partition, TopicConfig, TopicDescription, TopicPartition};

use super::clock::Timestamp;

/// Which records a consumer sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Only records of committed transactions, up to the last stable offset.
    ReadCommitted,
    /// Everything up to the high watermark.
    ReadUncommitted,
}

/// What a consumer is created with.
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    /// The consumer group; needed for `subscribe` and `committed`.
    pub group: Option<Arc<str>>,
    /// Kafka's `group.instance.id`: a restart with the same id takes up its own partitions at once.
    pub instance_id: Option<Arc<str>>,
    /// Which records it sees.
    pub isolation: Isolation,
}

/// What a transactional producer is created with.
#[derive(Clone, Debug)]
pub struct ProducerOptions {
    /// Kafka's `transactional.id`; the newest holder fences all earlier ones.
    pub transactional_id: Arc<str>,
    /// The topics that it will write to; [`ProducerRecord::topic`] is an index into them.
    pub topics: Vec<Arc<str>>,
    /// After this time a transaction that is still open is aborted by the log.
    pub transaction_timeout: Duration,
}

/// A log: makes consumers, producers and the admin.
pub trait Log: Debug + Send + Sync {
    /// A consumer that has no partitions yet.
    fn consumer(&self, options: ConsumerOptions) -> Result<Box<dyn Consumer>>;
    /// A producer on which [`Producer::init_transactions`] must be called first.
    fn producer(&self, options: ProducerOptions) -> Result<Box<dyn Producer>>;
    /// The admin side.
    fn admin(&self) -> Arc<dyn Admin>;
}

/// What one [`Consumer::poll`] brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Polled {
    /// Nothing within the time given: for each assigned partition the end of the available input is reached.
    Nothing,
    /// The batch was filled: at least one record, all of one partition ([`RecordBatch::source`]).
    Records,
    /// The group gave this member more partitions. None is read before it is [`assign`](Consumer::assign)ed. An empty list tells a member that
    /// there is none for it: a spare one is ready as well.
    Assigned(Vec<TopicPartition>),
    /// The group wants partitions back. They are this member's until it [`unassign`](Consumer::unassign)s each of them.
    Revoked(Vec<TopicPartition>),
    /// Partitions that may belong to another member already: nothing may be committed for them.
    Lost(Vec<TopicPartition>),
}

/// A consumer: either a member of a group (`subscribe`) or reading what it is told (`assign` alone).
pub trait Consumer: Debug + Send {
    /// Joins the group for these topics. Assignments arrive through [`poll`](Self::poll).
    fn subscribe(&mut self, topics: &[Arc<str>]) -> Result<()>;
    /// Leaves the group; its partitions are handed out again at once.
    fn unsubscribe(&mut self) -> Result<()>;
    /// Begins to read `partition` at `offset`.
    fn assign(&mut self, partition: &TopicPartition, offset: Offset) -> Result<()>;
    /// Stops reading `partition`; if the group had revoked it, it is given up now.
    fn unassign(&mut self, partition: &TopicPartition) -> Result<()>;
    /// Reads an assigned `partition` on from `offset`.
    fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<()>;
    /// Stops fetching an assigned partition, keeping its position.
    fn pause(&mut self, partition: &TopicPartition) -> Result<()>;
    /// Fetches a paused partition again.
    fn resume(&mut self, partition: &TopicPartition) -> Result<()>;
    /// Brings records of one partition (replacing what was in `batch`) or a change of the assignment; waits up to `timeout`.
    fn poll(&mut self, timeout: Duration, batch: &mut RecordBatch) -> Result<Polled>;
    /// The offset of the next record to be delivered, control records passed over; none for a partition that is not assigned.
    fn position(&self, partition: &TopicPartition) -> Option<Offset>;
    /// The group's stable committed offsets: waits for open transactions that hold offsets, up to `timeout` (then a retriable error).
    fn committed(&mut self, partitions: &[TopicPartition], timeout: Duration) -> Result<Vec<Option<Committed>>>;
    /// Who this member is, for [`Producer::send_offsets`].
    fn group_metadata(&self) -> GroupMetadata;
}

/// A record to be produced.
#[derive(Clone, Copy, Debug)]
pub struct ProducerRecord<'a> {
    /// Index into [`ProducerOptions::topics`].
    pub topic: usize,
    /// An explicit partition; otherwise murmur2 of the key, as Java clients do.
    pub partition: Option<Partition>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The headers.
    pub headers: Headers<'a>,
    /// The record's time.
    pub timestamp: Timestamp,
}

/// Where the records of a transaction lie in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The first record's offset, or a later one: a report may lack it.
    pub first: Offset,
    /// The last record's offset.
    pub last: Offset,
}

/// A transactional producer. Its owner calls it from one thread, the one that polls.
pub trait Producer: Debug + Send {
    /// Fences earlier holders of the transactional id and ends what they left open.
    fn init_transactions(&mut self, timeout: Duration) -> Result<()>;
    /// Begins a transaction.
    fn begin(&mut self) -> Result<()>;
    /// Queues a record into the open transaction.
    fn send(&mut self, record: &ProducerRecord<'_>) -> Result<()>;
    /// Returns when every queued record is in the log, or fails.
    fn flush(&mut self, timeout: Duration) -> Result<()>;
    /// What was delivered to this partition in this transaction; only after [`flush`](Self::flush). None where the end is not known.
    fn delivered(&self, topic: usize, partition: Partition) -> Option<Delivered>;
    /// Adds the group's next offsets to the transaction; checks the member's generation. After a [`Class::Unknown`] error the call may still be under way:
    /// nothing but another producer can go on.
    fn send_offsets(&mut self, offsets: &[(TopicPartition, Committed)], group: &GroupMetadata, timeout: Duration) -> Result<()>;
    /// Commits: the point of no return. A [`Class::Unknown`] error leaves the outcome open.
    fn commit(&mut self, timeout: Duration) -> Result<()>;
    /// Whether something happened during the last [`commit`](Self::commit) that may have made the client send it twice.
    fn is_doubtful(&self) -> bool {
        false
    }
    /// Aborts the open transaction.
    fn abort(&mut self, timeout: Duration) -> Result<()>;
}

/// Topics, offsets and groups.
pub trait Admin: Debug + Send + Sync {
    /// How many brokers there are: no topic can have more copies.
    fn brokers(&self) -> Result<usize> {
        Ok(1)
    }
    /// All topics, sorted by name.
    fn topics(&self) -> Result<Vec<TopicDescription>>;
    /// One topic; none where it does not exist.
    fn describe(&self, topic: &str) -> Result<Option<TopicDescription>>;
    /// Creates a topic; an error of class [`Class::Exists`] where it exists.
    fn create_topic(&self, topic: &str, config: &TopicConfig) -> Result<()>;
    /// Deletes a topic with its records.
    fn delete_topic(&self, topic: &str) -> Result<()>;
    /// The first offset still in the log and the end: the high watermark, or the last stable offset under `read_committed`.
    fn watermarks(&self, partition: &TopicPartition, isolation: Isolation) -> Result<(Offset, Offset)>;
    /// The first offset whose record is not older than `timestamp`; none where there is none.
    fn offset_for_time(&self, partition: &TopicPartition, timestamp: Timestamp) -> Result<Option<Offset>>;
    /// All offsets that a group has committed.
    fn group_offsets(&self, group: &str) -> Result<Vec<(TopicPartition, Committed)>>;
    /// Sets (or with none: removes) committed offsets of a group without members.
    fn alter_group_offsets(&self, group: &str, offsets: &[(TopicPartition, Option<Committed>)]) -> Result<()>;
    /// Housekeeping that a broker does by itself: compaction, retention, aborting transactions that timed out. Cheap when there is nothing to do.
    fn maintain(&self, now: Timestamp) -> Result<()>;
}
