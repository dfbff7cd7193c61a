//! The settings of the engine; every queue and buffer has its limit here.

use std::sync::Arc;
use std::time::Duration;

use super::topics::dead_letter_topic;

/// How the engine runs. Start from [`Options::new`] and change what differs.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct Options {
    /// Kafka Streams' `application.id`: the consumer group, and the prefix of all internal topics.
    pub application_id: Arc<str>,
    /// Names this instance for good: part of `group.instance.id` and `transactional.id`, so that a restart takes up its own partitions.
    pub instance_id: Arc<str>,
    /// Where records go that cannot be processed.
    pub dead_letter_topic: Arc<str>,
    /// Number of stream threads; each has its own consumer and producer.
    pub threads: usize,
    /// Under load a transaction is committed after this time at the latest.
    pub commit_interval: Duration,
    /// Under load a transaction is committed when it has this many results.
    pub commit_records_max: u64,
    /// A transaction is committed when the uncommitted rows of all tasks of a thread take this much.
    pub overlay_bytes_max: usize,
    /// Whether to commit at once when the available input is used up.
    pub commit_at_end_of_input: bool,
    /// The least time between two transactions that hold nothing but offsets: back to back they wait for each other's markers.
    pub offsets_only_interval: Duration,
    /// How long the log waits before it aborts an open transaction of a dead owner.
    pub transaction_timeout: Duration,
    /// A commit call that took longer may have been sent twice: the producer is replaced. (Kafka's protocol v1 cannot tell.)
    pub endtxn_guard: Duration,
    /// A thread that makes no step for this long stops the process.
    pub watchdog: Duration,
    /// Memory for the rows of all tasks of one thread: uncommitted, committed but not on disk, and hot ones.
    pub cache_bytes: usize,
    /// Committed rows that may wait for the disk, per thread.
    pub write_back_bytes: usize,
    /// Committed rows reach the disk after this time at the latest, so that a kill leaves a short tail to restore.
    pub write_back_interval: Duration,
    /// Results with more bytes of key and value are refused: Kafka's own limit by default.
    pub record_bytes_max: usize,
    /// How long a poll waits when there is nothing to do.
    pub poll_timeout: Duration,
    /// How long an input stands still when something it needs is out of reach.
    pub unavailable_backoff: Duration,
    /// Whether to stop when everything that was in the inputs at the start is committed.
    pub until_end: bool,
    /// Whether stopping leaves the group (others take over at once) or stays a member (a restart goes on at once).
    pub leave_on_stop: bool,
    /// Whether missing changelogs and the topic of the dead letters are created; otherwise they are refused, as missing inputs and outputs are.
    pub create_internal_topics: bool,
    /// Whether restores run on a thread of their own; the test driver and a simulation step them instead.
    pub restore_thread: bool,
    /// Whether the changelogs of the partitions that others have are followed, so that a takeover restores only their tails.
    pub standby: bool,
}

impl Options {
    /// The defaults.
    pub fn new(application_id: impl Into<Arc<str>>, instance_id: impl Into<Arc<str>>) -> Self {
        let application_id = application_id.into();
        Self {
            dead_letter_topic: dead_letter_topic(&application_id).into(),
            application_id,
            instance_id: instance_id.into(),
            threads: 1,
            commit_interval: Duration::from_millis(100),
            commit_records_max: 100_000,
            overlay_bytes_max: 8 << 20,
            commit_at_end_of_input: true,
            offsets_only_interval: Duration::from_millis(20),
            transaction_timeout: Duration::from_secs(10),
            endtxn_guard: Duration::from_millis(300),
            watchdog: Duration::from_secs(30),
            cache_bytes: 32 << 20,
            write_back_bytes: 16 << 20,
            write_back_interval: Duration::from_secs(30),
            record_bytes_max: 1_000_000,
            poll_timeout: Duration::from_millis(100),
            unavailable_backoff: Duration::from_millis(500),
            until_end: false,
            leave_on_stop: false,
            create_internal_topics: true,
            restore_thread: true,
            standby: false,
        }
    }
}
