//! The nouns of a log.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The place of a record in its partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub i64);

impl Offset {
    /// The offset after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a partition in its topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub i32);

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One partition of one topic; written `topic-0`, as Kafka writes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: Partition,
}

impl TopicPartition {
    /// A partition of a topic.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition: Partition(partition) }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// What a group has committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to process.
    pub offset: Offset,
    /// Free text beside it; the engine keeps the layout of its stores here.
    pub metadata: Arc<str>,
}

/// Who a member of a group is, as the log wants to hear it with transactional offsets.
#[derive(Debug)]
pub struct GroupMetadata {
    /// The group.
    pub group: Arc<str>,
    /// The member's id.
    pub member_id: Arc<str>,
    /// The generation in which the member got its partitions.
    pub generation: i32,
    /// The client's own form of it, where it has one.
    pub native: Option<Arc<dyn Any + Send + Sync>>,
}

/// What happens to old records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleanupPolicy {
    /// Records are deleted when they are older than the retention; also where Kafka's `compact,delete` is set.
    Delete,
    /// The last record of each key is kept; tombstones go after their own retention.
    Compact,
}

/// The settings of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    /// Number of partitions.
    pub partitions: i32,
    /// What happens to old records.
    pub cleanup: CleanupPolicy,
    /// Record time after which [`CleanupPolicy::Delete`] deletes; none keeps for ever.
    pub retention: Option<Duration>,
    /// How long [`CleanupPolicy::Compact`] keeps a tombstone.
    pub delete_retention: Duration,
    /// How many copies there are; none: as the log does it by itself.
    pub replication: Option<i32>,
    /// How many copies must have a record before it counts; none: as the log does it by itself.
    pub min_insync_replicas: Option<i32>,
    /// How many bytes a batch of records may have, as a log says of a topic that is there; none where it does not say.
    pub max_message_bytes: Option<i64>,
}

impl TopicConfig {
    /// A topic that keeps all its records.
    pub fn keep(partitions: i32) -> Self {
        Self {
            partitions,
            cleanup: CleanupPolicy::Delete,
            retention: None,
            delete_retention: Duration::from_secs(86_400),
            replication: None,
            min_insync_replicas: None,
            max_message_bytes: None,
        }
    }

    /// A compacted topic.
    pub fn compact(partitions: i32) -> Self {
        Self { cleanup: CleanupPolicy::Compact, ..Self::keep(partitions) }
    }
}

/// A topic and its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: Arc<str>,
    /// Its settings.
    pub config: TopicConfig,
}
