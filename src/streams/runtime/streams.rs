//! The handle of a running engine: starts its threads, knows its state, stops it.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use super::backend::StateBackend;
use super::options::Options;
use super::parts::Parts;
use super::shared::Status;
use super::stream_thread::StreamThread;
use super::watchdog;
use super::{Error, Result, standby};
use crate::streams::clock::Clock;
use crate::streams::log::{Isolation, Log, Offset, TopicPartition};
use crate::streams::task::panic_message;
use crate::streams::topology::Blueprint;

/// How often the group is asked how far its other members are, under `until_end`.
const ASK_INTERVAL: Duration = Duration::from_secs(1);

/// The states of an engine. Names and meaning are Kafka Streams' (`KafkaStreams.State`).
///
/// ```text
///                +---------+
///                | CREATED |-----------------.
///                +----+----+                 |
///                     v                      |
///              +------+------+               |
///        .---->| REBALANCING |------.        |
///        |     +------+------+      |        |
///        |            v             v        v
///        |       +----+----+   +----+---------+----+   +-------------+
///        '-------| RUNNING |-->| PENDING_SHUTDOWN  |-->| NOT_RUNNING |
///                +----+----+   +-------------------+   +-------------+
///                     v
///              +------+--------+      +-------+
///              | PENDING_ERROR |----->| ERROR |   (PENDING_ERROR from REBALANCING too)
///              +---------------+      +-------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientState {
    /// Made, not started.
    Created,
    /// Some task is not ready yet.
    Rebalancing,
    /// All tasks of this instance process.
    Running,
    /// It commits, closes and ends.
    PendingShutdown,
    /// It has ended in good order.
    NotRunning,
    /// A thread failed; the others are ending.
    PendingError,
    /// It has ended because of a failure.
    Error,
}

impl ClientState {
    fn may_become(self, to: Self) -> bool {
        match self {
            Self::Created => matches!(to, Self::Rebalancing | Self::PendingShutdown),
            Self::Rebalancing => matches!(to, Self::Running | Self::PendingShutdown | Self::PendingError),
            Self::Running => matches!(to, Self::Rebalancing | Self::PendingShutdown | Self::PendingError),
            Self::PendingShutdown => matches!(to, Self::NotRunning | Self::PendingError),
            Self::PendingError => matches!(to, Self::Error),
            Self::NotRunning | Self::Error => false,
        }
    }
}

impl fmt::Display for ClientState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "CREATED",
            Self::Rebalancing => "REBALANCING",
            Self::Running => "RUNNING",
            Self::PendingShutdown => "PENDING_SHUTDOWN",
            Self::NotRunning => "NOT_RUNNING",
            Self::PendingError => "PENDING_ERROR",
            Self::Error => "ERROR",
        })
    }
}

/// A topology that runs on a log, in threads of this process.
#[derive(Debug)]
pub struct Streams {
    parts: Parts,
    state: Mutex<ClientState>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// What `until_end` waits for: the inputs' ends when the engine was made.
    ends: BTreeMap<TopicPartition, Offset>,
}

impl Streams {
    /// Checks the topics, creates the internal ones, and makes an engine that is not started.
    pub fn new(
        topology: Arc<dyn Blueprint>,
        log: Arc<dyn Log>,
        backend: Arc<dyn StateBackend>,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<Self> {
        let parts = Parts::new(topology, log, backend, clock, options)?;
        let admin = parts.log.admin();
        let mut ends = BTreeMap::new();
        for (topic, count) in parts.partitions.iter().filter(|_| parts.options.until_end) {
            for partition in 0..*count {
                let input = TopicPartition::new(Arc::clone(topic), partition);
                let (_, end) = admin.watermarks(&input, Isolation::ReadCommitted)?;
                ends.insert(input, end);
            }
        }
        Ok(Self { parts, state: Mutex::new(ClientState::Created), threads: Mutex::default(), ends })
    }

    /// Starts the stream threads and the watchdog.
    pub fn start(&self) -> Result<()> {
        self.transition_to(ClientState::Rebalancing)?;
        let count = self.parts.options.threads;
        let mut threads = self.threads.lock();
        for index in 0..count {
            let parts = self.parts.clone();
            let body = move || {
                let shared = Arc::clone(&parts.shared);
                let outcome = catch_unwind(AssertUnwindSafe(|| StreamThread::new(index, parts)?.run()));
                let failure = match outcome {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(error),
                    Err(panic) => Some(Error::Panicked { thread: index, message: panic_message(&*panic) }),
                };
                if let Some(pulse) = shared.pulses.get(index) {
                    pulse.beat(watchdog::ENDED);
                }
                if let Some(error) = failure {
                    shared.fail(error);
                }
                shared.progress.lock().threads_ended += 1;
                shared.changed.notify_all();
            };
            threads.push(std::thread::Builder::new().name(format!("stream-{index}")).spawn(body).map_err(Error::Thread)?);
        }
        if self.parts.options.standby {
            threads.push(standby::spawn(self.parts.clone()).map_err(Error::Thread)?);
        }
        let (shared, limit) = (Arc::clone(&self.parts.shared), self.parts.options.watchdog);
        let watch = move || watchdog::watch(&shared, count, limit);
        threads.push(std::thread::Builder::new().name("watchdog".to_owned()).spawn(watch).map_err(Error::Thread)?);
        Ok(())
    }

    /// The state of the engine.
    pub fn state(&self) -> ClientState {
        let state = *self.state.lock();
        if !matches!(state, ClientState::Rebalancing | ClientState::Running) {
            return state;
        }
        let now = if self.parts.shared.progress.lock().failure.is_some() {
            ClientState::PendingError
        } else if self.all_running() {
            ClientState::Running
        } else {
            ClientState::Rebalancing
        };
        if now != state && self.transition_to(now).is_ok() {
            return now;
        }
        state
    }

    /// Whether the group has given this instance its partitions (a spare one: none) and all of its tasks process.
    fn all_running(&self) -> bool {
        let status = self.parts.shared.status.lock();
        (status.member || !status.tasks.is_empty()) && status.tasks.values().all(|task| task.state == crate::streams::task::State::Running)
    }

    /// Whether all tasks process, and no node has anything to do that no input record brings.
    fn all_finished(&self) -> bool {
        self.all_running() && !self.parts.shared.status.lock().tasks.values().any(|task| task.unfinished)
    }

    fn transition_to(&self, to: ClientState) -> Result<()> {
        let mut state = self.state.lock();
        let from = *state;
        if !from.may_become(to) {
            return Err(Error::State { from, to });
        }
        *state = to;
        tracing::info!(%from, %to, "engine");
        Ok(())
    }

    /// What the threads last reported.
    pub fn status(&self) -> Status {
        self.parts.shared.status.lock().clone()
    }

    /// Asks all threads to commit, close and end; returns at once.
    pub fn stop(&self) {
        self.parts.shared.stop.store(true, std::sync::atomic::Ordering::SeqCst);
        self.parts.shared.changed.notify_all();
    }

    /// What the other members of the group have committed, for the partitions that this instance does not have.
    fn ask_the_group(&self) {
        let missing = {
            let progress = self.parts.shared.progress.lock();
            self.ends.iter().any(|(input, end)| progress.committed.get(input).is_none_or(|offset| offset < end))
        };
        if !missing {
            return;
        }
        match self.parts.log.admin().group_offsets(&self.parts.options.application_id) {
            Ok(offsets) => self.parts.shared.committed(offsets.into_iter().map(|(input, committed)| (input, committed.offset))),
            Err(error) => tracing::debug!(%error, "the group's offsets"),
        }
    }

    /// Waits until the engine ends: told to [`stop`](Self::stop), at the end of its inputs under `until_end`, or by a failure.
    ///
    /// `each` is called several times a second with what the threads last reported.
    pub fn join(&self, mut each: impl FnMut(&Status)) -> Result<()> {
        let count = self.parts.options.threads;
        let mut asked = self.parts.clock.monotonic();
        loop {
            self.state();
            each(&self.status());
            let now = self.parts.clock.monotonic();
            if self.parts.options.until_end && now.saturating_sub(asked) >= ASK_INTERVAL {
                asked = now;
                self.ask_the_group();
            }
            let finished = self.parts.options.until_end && self.all_finished();
            let mut progress = self.parts.shared.progress.lock();
            let reached = |committed: &BTreeMap<TopicPartition, Offset>| {
                self.ends.iter().all(|(input, end)| end.0 == 0 || committed.get(input).is_some_and(|offset| offset >= end))
            };
            if finished && reached(&progress.committed) {
                self.stop();
            }
            // A thread that stands still never ends: its failure is told without it.
            let stalled = matches!(progress.failure, Some(Error::Stalled { .. }));
            if stalled || progress.threads_ended == count {
                break;
            }
            self.parts.shared.changed.wait_for(&mut progress, Duration::from_millis(100));
        }
        self.end()
    }

    fn end(&self) -> Result<()> {
        let failure = self.parts.shared.progress.lock().failure.take();
        let stalled = matches!(failure, Some(Error::Stalled { .. }));
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            if !stalled && thread.join().is_err() {
                tracing::error!("a thread of the engine panicked while it ended");
            }
        }
        let mut state = self.state.lock();
        let path = match &failure {
            None => [ClientState::PendingShutdown, ClientState::NotRunning],
            Some(_) => [ClientState::PendingError, ClientState::Error],
        };
        for to in path {
            if state.may_become(to) {
                tracing::info!(from = %*state, %to, "engine");
                *state = to;
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Stops the engine and waits until it has ended.
    pub fn close(&self) -> Result<()> {
        self.stop();
        self.join(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::super::TaskStatus;
    use super::super::tests::{World, counting};
    use super::*;
    use crate::streams::clock::ManualClock;
    use crate::streams::task::{Counters, State, TaskId};
    use crate::streams::topology::ErrorPolicy;

    #[test]
    fn a_member_without_partitions_is_running_and_one_that_restores_is_not() {
        let World { log, backend } = World::new(1);
        let topology = counting(ErrorPolicy::default());
        let streams = Streams::new(topology, log, backend, Arc::new(ManualClock::default()), Options::new("app", "instance")).unwrap();
        streams.transition_to(ClientState::Rebalancing).unwrap();
        assert_eq!(streams.state(), ClientState::Rebalancing, "nobody has told it its partitions yet");
        streams.parts.shared.status.lock().member = true;
        assert_eq!(streams.state(), ClientState::Running);
        let task = TaskStatus {
            state: State::Restoring,
            source: TopicPartition::new("in", 0),
            committed: Offset(0),
            counters: Counters::default(),
            restoring: Vec::new(),
            paused: None,
            unfinished: false,
        };
        streams.parts.shared.status.lock().tasks.insert(TaskId { subtopology: 0, partition: 0 }, task);
        assert_eq!(streams.state(), ClientState::Rebalancing);
        for task in streams.parts.shared.status.lock().tasks.values_mut() {
            task.state = State::Running;
        }
        assert_eq!(streams.state(), ClientState::Running);
    }
}
