//! What the threads of an engine share: progress for those who watch, and nothing on the record's way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::Error;
use super::standby::{StandbyStatus, Standbys};
use crate::streams::clock::Clock;
use crate::streams::log::{Offset, TopicPartition};
use crate::streams::task::{Counters, State, TaskId};

/// How far the restore of a store is, in offset slots (not records: compaction leaves gaps).
#[derive(Clone, Debug, PartialEq)]
pub struct RestoreProgress {
    /// The changelog partition.
    pub changelog: TopicPartition,
    /// Where it began.
    pub start: Offset,
    /// Where it is.
    pub position: Offset,
    /// Where it ends.
    pub end: Offset,
    /// Records applied so far.
    pub records: u64,
    /// Time since it began.
    pub elapsed: Duration,
}

impl RestoreProgress {
    /// Offset slots that are left.
    pub fn remaining(&self) -> i64 {
        (self.end.0 - self.position.0).max(0)
    }

    /// Offset slots per second; none while nothing was measured.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people needs no 53 bits")]
    pub fn rate(&self) -> Option<f64> {
        let seconds = self.elapsed.as_secs_f64();
        let done = (self.position.0 - self.start.0) as f64;
        (seconds > 0.0 && done > 0.0).then(|| done / seconds)
    }

    /// Time that is left at the present rate.
    #[expect(clippy::cast_precision_loss, reason = "an estimate for people needs no 53 bits")]
    pub fn eta(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.remaining() as f64 / self.rate()?).ok()
    }
}

/// A task as its thread last reported it.
#[derive(Clone, Debug)]
pub struct TaskStatus {
    /// Its state.
    pub state: State,
    /// Its input.
    pub source: TopicPartition,
    /// Its committed input offset.
    pub committed: Offset,
    /// What it counted.
    pub counters: Counters,
    /// Restores under way.
    pub restoring: Vec<RestoreProgress>,
    /// Why its input stands still, where something that it needs is out of reach.
    pub paused: Option<String>,
    /// Whether a node has something to do that no input record brings.
    pub unfinished: bool,
}

/// The engine as its threads last reported it.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// All tasks of this instance.
    pub tasks: BTreeMap<TaskId, TaskStatus>,
    /// Its standby tasks: tasks of others, whose changelogs it follows.
    pub standbys: BTreeMap<TaskId, StandbyStatus>,
    /// Whether the group has given this instance its partitions, be it none: more instances than partitions leave some without.
    pub member: bool,
    /// Transactions committed.
    pub commit_total: u64,
    /// Records applied by finished restores.
    pub restored_records_total: u64,
    /// Records applied by standby tasks.
    pub standby_records_total: u64,
}

/// A thread's sign of life for the watchdog.
#[derive(Debug)]
pub(crate) struct Pulse {
    clock: Arc<dyn Clock>,
    since_ms: AtomicU64,
    operation: Mutex<&'static str>,
}

impl Pulse {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let pulse = Self { clock, since_ms: AtomicU64::new(0), operation: Mutex::new("start") };
        pulse.beat("start");
        pulse
    }

    /// The thread begins an operation.
    pub(crate) fn beat(&self, operation: &'static str) {
        *self.operation.lock() = operation;
        let now_ms = u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX);
        self.since_ms.store(now_ms, Ordering::Release);
    }

    /// What the thread is in, and for how long.
    pub(crate) fn current(&self) -> (&'static str, Duration) {
        let since = Duration::from_millis(self.since_ms.load(Ordering::Acquire));
        (*self.operation.lock(), self.clock.monotonic().saturating_sub(since))
    }
}

/// What the threads of one engine share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Set once: all threads commit, close and end.
    pub(crate) stop: AtomicBool,
    pub(crate) status: Mutex<Status>,
    /// Committed input offsets of this instance; what `until_end` waits for.
    pub(crate) progress: Mutex<Progress>,
    pub(crate) changed: Condvar,
    pub(crate) pulses: Vec<Pulse>,
    /// The stores that are open for standby tasks, and those that are not theirs.
    pub(crate) standbys: Standbys,
}

/// What [`Shared::changed`] tells of.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) committed: BTreeMap<TopicPartition, Offset>,
    pub(crate) threads_ended: usize,
    pub(crate) failure: Option<Error>,
}

impl Shared {
    pub(crate) fn new(clock: &Arc<dyn Clock>, threads: usize) -> Self {
        Self {
            stop: AtomicBool::new(false),
            status: Mutex::default(),
            progress: Mutex::default(),
            changed: Condvar::new(),
            pulses: (0..threads).map(|_| Pulse::new(Arc::clone(clock))).collect(),
            standbys: Standbys::default(),
        }
    }

    pub(crate) fn committed(&self, offsets: impl IntoIterator<Item = (TopicPartition, Offset)>) {
        self.progress.lock().committed.extend(offsets);
        self.changed.notify_all();
    }

    /// A stream thread begins an operation.
    pub(crate) fn beat(&self, thread: usize, operation: &'static str) {
        if let Some(pulse) = self.pulses.get(thread) {
            pulse.beat(operation);
        }
    }

    /// Keeps the first failure and stops all threads.
    pub(crate) fn fail(&self, error: Error) {
        self.progress.lock().failure.get_or_insert(error);
        self.stop.store(true, Ordering::SeqCst);
        self.changed.notify_all();
    }

    pub(crate) fn stopping(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}
