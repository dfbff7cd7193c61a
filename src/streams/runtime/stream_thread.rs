//! One thread of the engine: polls, processes, commits. Everything else is in the files that it calls.
//!
//! [`StreamThread::run_once`] is one turn of the loop; the test driver and a simulation call it without a thread.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::commit::{self, Failed, Outcome};
use super::failure::{self, Action};
use super::narrow::Narrow;
use super::pace::Pace;
use super::parts::Parts;
use super::rebalance::{close_task, join_group, producer_options};
use super::restore::{self, Restored};
use super::restore_driver::{self, RestoreDriver};
use super::transaction::Transaction;
use super::{Error, Result};
use crate::streams::log::{Admin, Consumer, Offset, Polled, RecordBatch, TopicPartition};
use crate::streams::state::{self, TaskState};
use crate::streams::task::{self, Blueprints, Processed, State, StreamTask, TaskId};

/// More failures than this without a commit between them stop the engine.
pub(super) const FAILURES_MAX: u32 = 5;

/// A stream thread with its consumer, its transaction and its tasks.
#[derive(Debug)]
pub(crate) struct StreamThread {
    pub(super) index: usize,
    pub(super) parts: Parts,
    blueprints: Blueprints,
    pub(super) admin: Arc<dyn Admin>,
    pub(super) consumer: Box<dyn Consumer>,
    pub(super) transaction: Transaction,
    pub(super) tasks: BTreeMap<TaskId, StreamTask>,
    pub(super) restoring: BTreeMap<TaskId, TopicPartition>,
    pub(super) restorer: RestoreDriver,
    pub(super) batch: RecordBatch,
    /// Monotonic times of the last commit, store flush and housekeeping.
    last_commit: Duration,
    last_flush: Duration,
    last_maintenance: Duration,
    /// The disk was full: no flush is tried before this time.
    pub(super) flush_again: Duration,
    /// The producer cannot be used and is replaced at this time.
    pub(super) replace_at: Option<Duration>,
    /// Nothing is done before this time: the disk was full.
    pub(super) still_until: Option<Duration>,
    pub(super) failures: u32,
    pace: Pace,
    /// Whether a node has something to do that no input record brings, as it was published.
    unfinished: bool,
    /// The search for a record that the log refuses.
    pub(super) narrow: Narrow,
    /// Tasks whose stores were rebuilt and have not committed since, with the cause.
    pub(super) rebuilt: BTreeMap<TaskId, String>,
}

impl StreamThread {
    /// Fences earlier holders of its ids, then joins the group: in this order, or a dead owner's offsets block the start.
    pub(crate) fn new(index: usize, parts: Parts) -> Result<Self> {
        let options = Arc::clone(&parts.options);
        let blueprints = Blueprints {
            topology: Arc::clone(&parts.topology),
            clock: Arc::clone(&parts.clock),
            dead_letters: parts.topics.dead_letters(),
            record_bytes_max: options.record_bytes_max,
        };
        let transaction = Transaction::init(&*parts.log, &producer_options(index, &parts), options.transaction_timeout)?;
        let consumer = join_group(index, &parts)?;
        let restorer = RestoreDriver::new(index, restore_driver::restorer(&parts)?, options.restore_thread)?;
        let now = parts.clock.monotonic();
        Ok(Self {
            index,
            blueprints,
            admin: parts.log.admin(),
            consumer,
            transaction,
            tasks: BTreeMap::new(),
            restoring: BTreeMap::new(),
            restorer,
            batch: RecordBatch::default(),
            last_commit: now,
            last_flush: now,
            last_maintenance: now,
            flush_again: Duration::ZERO,
            replace_at: None,
            still_until: None,
            failures: 0,
            pace: Pace::default(),
            unfinished: false,
            narrow: Narrow::default(),
            rebuilt: BTreeMap::new(),
            parts,
        })
    }

    /// Runs until it is told to stop or cannot go on.
    pub(crate) fn run(&mut self) -> Result<()> {
        while !self.parts.shared.stopping() {
            self.run_once(self.parts.options.poll_timeout)?;
        }
        self.close()
    }

    /// One turn: takes up restored tasks, polls once, processes what came, commits if it is time. Returns whether anything happened.
    pub(crate) fn run_once(&mut self, timeout: Duration) -> Result<bool> {
        if !self.can_work(timeout)? {
            return Ok(false);
        }
        let mut busy = self.take_up_restored()?;
        self.beat("poll");
        let polled = self.poll(timeout)?;
        busy |= polled != Polled::Nothing;
        let idle = match polled {
            Polled::Nothing => true,
            Polled::Records => {
                self.beat("process");
                self.process()?;
                false
            }
            Polled::Assigned(partitions) => {
                self.assigned(&partitions)?;
                false
            }
            Polled::Revoked(partitions) => {
                self.beat("revoke");
                self.revoked(&partitions)?;
                false
            }
            Polled::Lost(partitions) => {
                self.lost(&partitions)?;
                false
            }
        };
        // What failed in this turn may have ended the producer: nothing may be made that it would take along.
        if self.is_waiting() {
            return Ok(true);
        }
        busy |= self.punctuate()?;
        self.watch_unfinished();
        if self.commit_due(idle) {
            busy |= self.commit()?;
        }
        self.housekeeping()?;
        Ok(busy)
    }

    pub(super) fn beat(&self, operation: &'static str) {
        self.parts.shared.beat(self.index, operation);
    }

    fn poll(&mut self, timeout: Duration) -> Result<Polled> {
        let now = self.parts.clock.monotonic();
        self.resume_inputs(now)?;
        let rest = self.pace.rest(now.saturating_sub(self.last_commit));
        if !rest.is_zero() && !self.transaction.is_open() {
            self.parts.clock.rest(rest);
        }
        // Nothing may wait for the next record: neither what is uncommitted nor a task that is ready.
        let waiting = self.transaction.is_open() || !self.restoring.is_empty();
        let timeout = if waiting { timeout.min(Duration::from_millis(1)) } else { timeout };
        let timeout = if self.transaction.is_open() { Duration::ZERO } else { timeout };
        match self.consumer.poll(timeout, &mut self.batch) {
            Ok(polled) => Ok(polled),
            Err(error) => {
                let action = failure::of_poll(error.class);
                let error = self.placed(error);
                self.handle(action, error)?;
                Ok(Polled::Nothing)
            }
        }
    }

    /// Takes one batch through its task.
    fn process(&mut self) -> Result<()> {
        let Some(source) = self.batch.source() else { return Ok(()) };
        let Some(task) = self.tasks.values_mut().find(|task| task.source() == source) else { return Ok(()) };
        let mut failed = None;
        let mut stopped_at: Option<Offset> = None;
        let paused_before = task.paused_for.take();
        let room = self.narrow.room(self.transaction.inputs().0);
        for (taken, record) in self.batch.iter().enumerate() {
            if taken == room {
                stopped_at = Some(record.offset);
                break;
            }
            self.transaction.take_in(task.id(), record.offset);
            let processed = match self.narrow.refused(task.id(), record.offset) {
                Some(cause) => task.refuse(&record, cause, &mut self.transaction),
                None => task.process(&record, &mut self.transaction),
            };
            match processed {
                Ok(Processed::Done) => {}
                Ok(Processed::Unavailable(reason)) => {
                    tracing::warn!(task = %task.id(), offset = %record.offset, reason, "input paused: something it needs is out of reach");
                    stopped_at = Some(record.offset);
                    task.paused_for = Some(reason);
                    break;
                }
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        if let Some(error) = failed {
            let action = failure::of_task(&error);
            return self.handle(action, error.into());
        }
        if let Some(offset) = stopped_at {
            let source = task.source().clone();
            self.consumer.seek(&source, offset)?;
            if task.paused_for.is_some() {
                task.paused_until = Some(self.parts.clock.monotonic() + self.parts.options.unavailable_backoff);
                self.consumer.pause(&source)?;
            }
        }
        if stopped_at.is_some() || paused_before.is_some() {
            self.report(0);
        }
        Ok(())
    }

    /// Lets inputs go on whose pause is over.
    fn resume_inputs(&mut self, now: Duration) -> Result<()> {
        for task in self.tasks.values_mut() {
            if task.paused_until.is_some_and(|until| now >= until) {
                task.paused_until = None;
                self.consumer.resume(task.source())?;
            }
        }
        Ok(())
    }

    fn punctuate(&mut self) -> Result<bool> {
        let mut called = false;
        let mut failed = None;
        for task in self.tasks.values_mut().filter(|task| task.state() == State::Running) {
            match task.punctuate(&mut self.transaction) {
                Ok(any) => called |= any,
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        if let Some(error) = failed {
            let action = failure::of_task(&error);
            self.handle(action, error.into())?;
        }
        Ok(called)
    }

    /// Publishes that a node has begun or finished what no input record brings.
    fn watch_unfinished(&mut self) {
        let unfinished = self.tasks.values().any(StreamTask::is_unfinished);
        if std::mem::replace(&mut self.unfinished, unfinished) != unfinished {
            self.report(0);
        }
    }

    fn commit_due(&self, idle: bool) -> bool {
        let options = &self.parts.options;
        let since = self.parts.clock.monotonic().saturating_sub(self.last_commit);
        if self.transaction.is_open() {
            let overlay: usize = self.tasks.values().map(|task| task.stores.overlay_bytes()).sum();
            let full = self.tasks.values().any(|task| task.stores.overlay_full());
            return (idle && options.commit_at_end_of_input)
                || since >= options.commit_interval
                || self.transaction.records() >= options.commit_records_max
                || overlay >= options.overlay_bytes_max
                || self.narrow.is_full(self.transaction.inputs().0)
                || full;
        }
        let wait = if idle && options.commit_at_end_of_input { options.offsets_only_interval } else { options.commit_interval };
        since >= wait && !commit::advanced(&self.tasks, &*self.consumer).is_empty()
    }

    /// Commits all tasks; returns whether there was something to commit.
    pub(super) fn commit(&mut self) -> Result<bool> {
        if self.replace_at.is_some() {
            return Ok(false);
        }
        let wall_clock = self.parts.clock.now();
        let (shared, index) = (&*self.parts.shared, self.index);
        let (inputs, _) = self.transaction.inputs();
        let outcome = commit::commit(&mut commit::Scope {
            tasks: &mut self.tasks,
            consumer: &mut *self.consumer,
            transaction: &mut self.transaction,
            topics: &self.parts.topics,
            clock: &*self.parts.clock,
            options: &self.parts.options,
            beat: &|operation| shared.beat(index, operation),
        });
        match outcome {
            Ok(Outcome::Nothing) => Ok(false),
            Ok(Outcome::Committed { offsets, doubtful, flushed: (records, took) }) => {
                self.pace.flushed(records, took);
                self.last_commit = self.parts.clock.monotonic();
                self.failures = 0;
                self.tasks.values_mut().for_each(StreamTask::tell_committed);
                self.narrow.committed(inputs, self.tasks.values());
                // The group took it, so all tasks were this member's then: nobody else has written to their changelogs. A flush alone proves nothing.
                self.tasks.values_mut().for_each(|task| task.stores.tell_time(wall_clock));
                for (source, _) in &offsets {
                    self.rebuilt.retain(|id, _| self.tasks.get(id).is_none_or(|task| task.source() != source));
                }
                self.report(1);
                self.parts.shared.committed(offsets);
                self.flush_stores(false)?;
                if doubtful {
                    tracing::warn!(thread = self.index, "a commit may have been sent twice: replacing the producer");
                    self.replace_producer()?;
                }
                Ok(true)
            }
            Err(Failed::Log(phase, error)) => {
                let action = failure::of_log(phase, error.class);
                self.handle(action, error.into())?;
                Ok(true)
            }
            Err(Failed::Changelog(error)) => {
                self.handle(Action::Stop, error)?;
                Ok(true)
            }
            Err(Failed::Stores(task, source)) => {
                let action = failure::of_store(&source);
                self.handle(action, Error::Stores { task, source: Box::new(source) })?;
                Ok(true)
            }
        }
    }

    fn housekeeping(&mut self) -> Result<()> {
        let now = self.parts.clock.monotonic();
        if now.saturating_sub(self.last_flush) >= self.parts.options.write_back_interval {
            self.last_flush = now;
            self.flush_stores(true)?;
        }
        // One thread does what a broker does by itself, between two transactions.
        if self.index == 0 && !self.transaction.is_open() && now.saturating_sub(self.last_maintenance) >= Duration::from_secs(1) {
            self.last_maintenance = now;
            self.beat("maintain");
            if let Err(error) = self.admin.maintain(self.parts.clock.now()) {
                tracing::warn!(error = task::chain(&error), "housekeeping of the log failed; it will be tried again");
            }
        }
        Ok(())
    }

    /// Opens the stores of a task; what is damaged is removed and begun anew, once.
    pub(super) fn open_task(&mut self, id: TaskId) -> Result<StreamTask> {
        match self.try_open(id) {
            Err(Error::Stores { source, .. }) if failure::of_store(&*source) == Action::Rebuild => {
                self.note_rebuild(id, task::chain(&*source))?;
                self.destroy(id)?;
                self.try_open(id)
            }
            outcome => outcome,
        }
    }

    fn try_open(&self, id: TaskId) -> Result<StreamTask> {
        let subtopology = self.parts.topology.subtopologies().get(id.subtopology).cloned();
        let subtopology = subtopology.ok_or_else(|| Error::MissingTopic { topic: format!("of task {id}") })?;
        let opened = self.parts.shared.standbys.claim(id, &*self.parts.backend);
        let (kv, lease) = opened.map_err(|error| Error::Stores { task: id, source: Box::new(error) })?;
        // A task gets its share of the thread's memory: the number of its siblings is not known before all are assigned.
        let partitions = self.parts.partitions.get(&subtopology.topic).copied().unwrap_or(1);
        let share = usize::try_from(partitions).unwrap_or(1).div_ceil(self.parts.options.threads).max(1);
        let limits = state::Options {
            cache_bytes: self.parts.options.cache_bytes / share,
            write_back_bytes: self.parts.options.write_back_bytes / share,
        };
        let stores = TaskState::open(&id.to_string(), kv, subtopology.stores.clone(), limits);
        let stores = stores.map_err(|error| Error::Stores { task: id, source: Box::new(error) })?;
        Ok(StreamTask::new(id, &subtopology, (stores, lease), &self.blueprints)?)
    }

    /// Removes the stores of a task that is closed.
    pub(super) fn destroy(&self, id: TaskId) -> Result<()> {
        let destroyed = self.parts.shared.standbys.destroy(id, &*self.parts.backend);
        destroyed.map_err(|error| Error::Stores { task: id, source: Box::new(error) })
    }

    /// Remembers why a store is rebuilt; the second time in a row is the end.
    pub(super) fn note_rebuild(&mut self, task: TaskId, cause: String) -> Result<()> {
        tracing::warn!(task = %task, cause, "the store is rebuilt from its changelog");
        match self.rebuilt.insert(task, cause.clone()) {
            Some(_) => Err(Error::RebuiltTwice { task, cause }),
            None => Ok(()),
        }
    }

    /// Takes up tasks that the restorer gives back.
    fn take_up_restored(&mut self) -> Result<bool> {
        let restored = self.restorer.step()?;
        let any = !restored.is_empty();
        for Restored { mut task, outcome } in restored {
            let id = task.id();
            if self.restoring.remove(&id).is_none() {
                // Its partition was taken away meanwhile.
                close_task(task);
                continue;
            }
            match outcome {
                restore::Outcome::Done { input, committed } => {
                    // An offset that nobody has committed yet is committed soon, even if no record comes.
                    task.committed = if committed { input } else { Offset(-1) };
                    task.transition_to(State::Running)?;
                    self.consumer.assign(task.source(), input)?;
                    tracing::info!(task = %id, input = %task.source(), offset = %input, "running");
                    if committed {
                        self.parts.shared.committed([(task.source().clone(), input)]);
                    }
                    self.tasks.insert(id, task);
                }
                restore::Outcome::Rebuild(cause) => {
                    self.note_rebuild(id, cause)?;
                    self.begin_anew(task)?;
                }
                restore::Outcome::Outlived(cause) => {
                    tracing::warn!(task = %id, cause, "the store is rebuilt from its changelog");
                    self.begin_anew(task)?;
                }
                restore::Outcome::Failed(error) => return Err(error),
                restore::Outcome::Cancelled => close_task(task),
            }
        }
        if any {
            self.report(0);
        }
        Ok(any)
    }

    pub(super) fn start_restore(&mut self, mut task: StreamTask) -> Result<()> {
        restore::begin(&mut task)?;
        self.restoring.insert(task.id(), task.source().clone());
        self.report(0);
        self.restorer.add(task)
    }

    /// Whether nothing is left to do until a record comes or time moves.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_waiting()
            || (self.restoring.is_empty() && !self.transaction.is_open() && commit::advanced(&self.tasks, &*self.consumer).is_empty())
    }

    /// The tasks with the names of their stores.
    pub(crate) fn tasks_mut(&mut self) -> impl Iterator<Item = (Vec<String>, &mut StreamTask)> {
        let topology = Arc::clone(&self.parts.topology);
        self.tasks.values_mut().map(move |task| {
            let subtopology = topology.subtopologies().get(task.id().subtopology);
            let names = subtopology.map(|known| known.stores.iter().map(|store| store.name.to_string()).collect());
            (names.unwrap_or_default(), task)
        })
    }
}
