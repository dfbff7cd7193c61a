//! Why the engine stops.

use std::time::Duration;

use crate::streams::processor::BoxError;
use crate::streams::{log, task};

/// What ends a stream thread, and with it the engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The log failed in a way that does not pass.
    #[error("the log failed")]
    Log(#[source] log::Error),
    /// A task failed in a way that does not pass.
    #[error("a task failed")]
    Task(#[source] task::Error),
    /// The stores of a task could not be opened or rebuilt.
    #[error("the stores of task {task} are not usable")]
    Stores {
        /// The task.
        task: task::TaskId,
        /// The cause.
        #[source]
        source: BoxError,
    },
    /// A source or sink topic is not there.
    #[error("the topic {topic} does not exist")]
    MissingTopic {
        /// The topic.
        topic: String,
    },
    /// An internal topic is not as it must be.
    #[error("the topic {topic} has {found} partitions, but its input {input} has {needed}; `tidewatch reset` makes a new one")]
    TopicPartitions {
        /// The topic.
        topic: String,
        /// Its partitions.
        found: i32,
        /// The input topic.
        input: String,
        /// The input's partitions.
        needed: i32,
    },
    /// State without the offset that it belongs to: going on would replay old input onto newer state.
    #[error(
        "the group {group} has no committed offset for {partition}, but its store {store} has content; \
         `tidewatch reset` starts afresh from a place that you choose"
    )]
    OffsetLost {
        /// The group.
        group: String,
        /// The input partition.
        partition: String,
        /// The store.
        store: String,
    },
    /// The committed offset is not in the input's log any more.
    #[error(
        "the committed offset {offset} of {partition} is outside its log ({low} to {high}); \
         `tidewatch reset` starts afresh from a place that you choose"
    )]
    OffsetOutOfRange {
        /// The input partition.
        partition: String,
        /// The committed offset.
        offset: i64,
        /// The first offset of the log.
        low: i64,
        /// The end of the log.
        high: i64,
    },
    /// The stored state was written by a topology that does not fit this one.
    #[error("the stored state of task {task} does not fit the topology: {faults}")]
    Layout {
        /// The task.
        task: task::TaskId,
        /// What differs, each with its remedy.
        faults: String,
    },
    /// A store was rebuilt and failed again for the same cause.
    #[error("the stores of task {task} were rebuilt and failed again: {cause}")]
    RebuiltTwice {
        /// The task.
        task: task::TaskId,
        /// The cause.
        cause: String,
    },
    /// Records of a changelog are gone, so the state cannot be had from it.
    #[error(
        "the changelog {changelog} {}, but the state needs it from offset {needed} up to {reaches}: records were deleted, or the topic was \
         made anew; `tidewatch reset` starts afresh from a place that you choose",
        held(*.low, *.end)
    )]
    ChangelogLost {
        /// The changelog's partition.
        changelog: String,
        /// From where it is needed.
        needed: i64,
        /// Up to where it was, as far as is known.
        reaches: i64,
        /// The first offset that is there.
        low: i64,
        /// Its end.
        end: i64,
    },
    /// A changelog was deleted and made anew while it was in use: from then on it has a part of the state only.
    #[error(
        "the changelog {changelog} was deleted and made anew while it was in use, so the state cannot be had from it any more; `tidewatch reset` \
         starts afresh from a place that you choose"
    )]
    ChangelogMadeAnew {
        /// The changelog's partition.
        changelog: String,
    },
    /// Another process uses the same ids.
    #[error(
        "another process holds the instance id {instance_id}; a copied state directory does that: give each instance a directory of its own"
    )]
    Fenced {
        /// The instance id.
        instance_id: String,
        /// What the log said.
        #[source]
        source: log::Error,
    },
    /// Too many failures in a row.
    #[error("{failures} failures in a row without a commit between them")]
    TooManyFailures {
        /// How many.
        failures: u32,
        /// The last one.
        #[source]
        source: log::Error,
    },
    /// A thread stands still.
    #[error("stream thread {thread} has been in `{operation}` for {stalled:?}")]
    Stalled {
        /// The thread.
        thread: usize,
        /// What it last began.
        operation: &'static str,
        /// For how long.
        stalled: Duration,
    },
    /// A thread panicked.
    #[error("stream thread {thread} panicked: {message}")]
    Panicked {
        /// The thread.
        thread: usize,
        /// What it said.
        message: String,
    },
    /// A thread could not be started.
    #[error("a thread could not be started")]
    Thread(#[source] std::io::Error),
    /// The engine was told to do something in the wrong order.
    #[error("the engine cannot go from {from} to {to}")]
    State {
        /// Its state.
        from: super::ClientState,
        /// What it was told.
        to: super::ClientState,
    },
}

/// The result of running the engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<log::Error> for Error {
    fn from(error: log::Error) -> Self {
        Self::Log(error)
    }
}

impl From<task::Error> for Error {
    fn from(error: task::Error) -> Self {
        Self::Task(error)
    }
}

/// What a changelog has between its first offset and its end.
fn held(low: i64, end: i64) -> String {
    if low == end { "is empty".to_owned() } else { format!("has records from offset {low} up to {end}") }
}
