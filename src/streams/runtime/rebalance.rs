//! Partitions come and go, and what is done when something failed: the parts of a stream thread that change its tasks.

use std::sync::Arc;
use std::time::Duration;

use super::failure::{self, Action};
use super::parts::Parts;
use super::restore::Restored;
use super::shared::TaskStatus;
use super::space::PAUSE;
use super::stream_thread::{FAILURES_MAX, StreamThread};
use super::transaction::Transaction;
use super::watchdog::ENDED;
use super::{Error, Result};
use crate::streams::log::{self, Class, Consumer, ConsumerOptions, Isolation, Polled, ProducerOptions, TopicPartition};
use crate::streams::task::{State, StreamTask, TaskId};

/// After it was fenced a member looks so often, and so long each time, whether somebody else joins under its name: that takes a heartbeat.
const LOOKS: u32 = 30;
const LOOK: Duration = Duration::from_millis(100);

impl StreamThread {
    fn task_id(&self, partition: &TopicPartition) -> Option<TaskId> {
        let subtopology = self.parts.topology.subtopologies().iter().find(|subtopology| subtopology.topic == partition.topic)?;
        Some(TaskId { subtopology: subtopology.id, partition: partition.partition.0 })
    }

    /// New partitions: their stores are restored first, their input is read afterwards.
    pub(super) fn assigned(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        // After each rebalance a member hears what it gets, which may be nothing.
        if !partitions.is_empty() {
            tracing::info!(thread = self.index, partitions = list(partitions), "partitions assigned");
            self.transaction.cross();
        }
        for partition in partitions {
            let Some(id) = self.task_id(partition) else { continue };
            if self.tasks.contains_key(&id) || self.restoring.contains_key(&id) {
                continue;
            }
            let task = self.open_task(id)?;
            self.start_restore(task)?;
        }
        self.parts.shared.status.lock().member = true;
        Ok(())
    }

    /// The group wants partitions back: commit, close, give them up.
    pub(super) fn revoked(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        tracing::info!(thread = self.index, partitions = list(partitions), "partitions revoked");
        self.suspend(|task| partitions.contains(task.source()))?;
        let crossed = self.commit()?;
        self.give_up(partitions, true)?;
        // Order: others wait for the partitions, nobody waits for the producer.
        if crossed && self.replace_at.is_none() { self.replace_producer() } else { Ok(()) }
    }

    /// Lets tasks that are about to be closed bring to an end what goes on outside.
    fn suspend(&mut self, leaving: impl Fn(&StreamTask) -> bool) -> Result<()> {
        self.beat("suspend");
        let leaving = self.tasks.values_mut().filter(|task| task.state() == State::Running && leaving(task));
        let failed = leaving.map(|task| task.suspend(&mut self.transaction)).find_map(Result::err);
        match failed {
            None => Ok(()),
            Some(error) => self.handle(failure::of_task(&error), error.into()),
        }
    }

    /// Partitions that may be another's already: nothing is committed for them.
    pub(super) fn lost(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        tracing::warn!(thread = self.index, partitions = list(partitions), "partitions lost");
        self.parts.shared.status.lock().member = false;
        self.abort();
        for task in self.tasks.values_mut() {
            task.discard();
        }
        self.give_up(partitions, false)?;
        self.rewind()
    }

    fn give_up(&mut self, partitions: &[TopicPartition], clean: bool) -> Result<()> {
        for partition in partitions {
            let Some(id) = self.task_id(partition) else { continue };
            if let Some(task) = self.tasks.remove(&id) {
                close_task(task);
            }
            self.close_restoring(id)?;
            self.narrow.forget(id);
            // Order: the task is closed before its partition is given up, or the next owner finds its stores locked.
            match self.consumer.unassign(partition) {
                Err(error) if clean => return Err(error.into()),
                _ => {}
            }
            self.parts.shared.status.lock().tasks.remove(&id);
        }
        Ok(())
    }

    /// Ends the restore of a task, if there is one, and closes the task.
    fn close_restoring(&mut self, id: TaskId) -> Result<()> {
        if self.restoring.remove(&id).is_none() {
            return Ok(());
        }
        tracing::info!(task = %id, "the restore is broken off");
        if let Some(task) = self.restorer.cancel(id)? {
            close_task(task);
        }
        Ok(())
    }

    /// An error of reading, with the place: an offset that is gone is told without its partition.
    pub(super) fn placed(&self, error: log::Error) -> Error {
        if error.class != Class::OutOfRange {
            return error.into();
        }
        for task in self.tasks.values() {
            let source = task.source();
            let Ok((low, high)) = self.admin.watermarks(source, Isolation::ReadUncommitted) else { continue };
            let Some(offset) = self.consumer.position(source).filter(|&offset| offset < low || offset > high) else { continue };
            return Error::OffsetOutOfRange { partition: source.to_string(), offset: offset.0, low: low.0, high: high.0 };
        }
        error.into()
    }

    /// Does what the failure policy says.
    pub(super) fn handle(&mut self, action: Action, error: Error) -> Result<()> {
        // A rebalance that overtook a commit is ordinary, and a full disk is waited for: neither is a step towards the end.
        // Nor is the search for a record that is refused, which ends by itself.
        if !matches!(action, Action::Rewind | Action::Pause | Action::Narrow) {
            self.failures += 1;
        }
        let text = crate::streams::task::chain(&error);
        if !matches!(action, Action::Stop | Action::Yield) {
            tracing::warn!(thread = self.index, ?action, failures = self.failures, error = text, "recovering");
        }
        let hopeless = self.failures > FAILURES_MAX;
        match action {
            Action::Stop => self.stop_with(error),
            Action::Narrow => self.narrow(error),
            Action::Yield => self.stop_with(self.fenced(error)),
            Action::Rejoin if self.failures > 2 || self.is_succeeded() => self.stop_with(self.fenced(error)),
            _ if hopeless => self.stop_with(match error {
                Error::Log(source) => Error::TooManyFailures { failures: self.failures, source },
                other => other,
            }),
            Action::Rewind => {
                self.abort();
                self.rewind()
            }
            Action::Pause => {
                self.abort();
                self.rewind()?;
                self.pause(&error);
                Ok(())
            }
            Action::Rebuild => {
                self.abort();
                self.rewind()?;
                self.rebuild(&error, text)
            }
            Action::Restart | Action::RestartUnknown => self.restart(action == Action::Restart),
            Action::Rejoin => {
                self.report_nothing();
                let tasks = std::mem::take(&mut self.tasks);
                tasks.into_values().for_each(close_task);
                let restoring: Vec<_> = self.restoring.keys().copied().collect();
                restoring.into_iter().try_for_each(|id| self.close_restoring(id))?;
                self.replace_producer()?;
                // A step of its own: the former consumer ends with it.
                self.beat("join");
                self.consumer = join_group(self.index, &self.parts)?;
                Ok(())
            }
        }
    }

    /// The one failure path, which is the start-up path too: a new producer, committed offsets, changelog tail, input.
    pub(super) fn restart(&mut self, aborts: bool) -> Result<()> {
        if aborts {
            self.abort();
        }
        self.replace_producer()?;
        let ids: Vec<_> = self.tasks.keys().copied().collect();
        ids.into_iter().try_for_each(|id| self.restore_task(id))
    }

    fn stop_with(&mut self, error: Error) -> Result<()> {
        self.abort();
        Err(error)
    }

    /// Whether somebody else is in the group under this member's name. A producer is fenced by the next holder of its id, which joins a moment later,
    /// but by the log as well, when its transaction took too long. To fence the former back would be to take turns without end.
    fn is_succeeded(&mut self) -> bool {
        for task in self.tasks.values() {
            // Whatever comes of it: this consumer reads nothing any more.
            self.consumer.pause(task.source()).unwrap_or_default();
        }
        for _ in 0..LOOKS {
            self.beat("rejoin");
            match self.consumer.poll(Duration::ZERO, &mut self.batch) {
                Err(error) if error.class == Class::Fenced => return true,
                Ok(Polled::Lost(_)) | Err(_) => return false,
                Ok(_) => self.parts.clock.rest(LOOK),
            }
        }
        false
    }

    fn fenced(&self, error: Error) -> Error {
        match error {
            Error::Log(source) | Error::Task(crate::streams::task::Error::Log { source, .. }) => {
                Error::Fenced { instance_id: self.parts.options.instance_id.to_string(), source }
            }
            other => other,
        }
    }

    /// Makes a new producer, which fences the former one; where that cannot be done now it is tried again later.
    pub(super) fn replace_producer(&mut self) -> Result<()> {
        self.beat("init_transactions");
        let options = producer_options(self.index, &self.parts);
        match Transaction::init(&*self.parts.log, &options, self.parts.options.transaction_timeout) {
            Ok(transaction) => {
                self.transaction = transaction;
                self.replace_at = None;
                Ok(())
            }
            Err(error) if matches!(error.class, Class::DiskFull | Class::Retriable) => {
                tracing::warn!(error = crate::streams::task::chain(&error), "no producer can be made now; it will be tried again");
                self.transaction.ended();
                self.replace_at = Some(self.parts.clock.monotonic() + PAUSE);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Aborts the open transaction, best effort: what fails here, the log aborts by itself.
    fn abort(&mut self) {
        if self.transaction.is_open() {
            self.beat("abort");
            let began = self.parts.clock.monotonic();
            let aborted = self.transaction.producer.abort(self.parts.options.transaction_timeout);
            let now = self.parts.clock.monotonic();
            if let Err(error) = aborted {
                tracing::debug!(error = crate::streams::task::chain(&error), "abort");
                // What could not be aborted is still open in the log: the next holder of the id ends it.
                self.replace_at = Some(now);
            } else if now.saturating_sub(began) >= self.parts.options.endtxn_guard {
                // As with a commit: a late copy of the request would take a part out of a later transaction.
                tracing::warn!(thread = self.index, "an abort may have been sent twice: replacing the producer");
                self.replace_at = Some(now);
            }
        }
        self.transaction.ended();
    }

    /// Takes running tasks back to their committed offsets: an abort does not move a consumer's position.
    fn rewind(&mut self) -> Result<()> {
        let mut unsettled = Vec::new();
        for task in self.tasks.values_mut() {
            task.discard();
            if task.committed().is_none() {
                unsettled.push(task.id());
            } else {
                self.consumer.seek(task.source(), task.committed)?;
            }
        }
        // Where nothing is committed yet, the restorer finds out again where to begin.
        for id in unsettled {
            self.restore_task(id)?;
        }
        Ok(())
    }

    fn restore_task(&mut self, id: TaskId) -> Result<()> {
        let Some(mut task) = self.tasks.remove(&id) else { return Ok(()) };
        task.discard();
        // Not unassigned: a partition that is to be revoked would be given away while its stores are open.
        self.consumer.pause(task.source())?;
        // The rows in the write-back cache are committed: on the disk they shorten the restore.
        let input = task.committed();
        if let Err(error) = task.stores.flush(input) {
            tracing::warn!(task = %id, error = crate::streams::task::chain(&error), "committed rows could not be written before the restore");
        }
        drop(task);
        let task = self.open_task(id)?;
        self.start_restore(task)
    }

    /// Wipes the stores of the task that failed and restores them from the beginning of the changelog.
    fn rebuild(&mut self, error: &Error, cause: String) -> Result<()> {
        let id = match error {
            Error::Stores { task, .. }
            | Error::Task(
                crate::streams::task::Error::Stores { task, .. }
                | crate::streams::task::Error::Store { task, .. }
                | crate::streams::task::Error::Node { task, .. },
            ) => *task,
            _ => return Ok(()),
        };
        self.note_rebuild(id, cause)?;
        let Some(task) = self.tasks.remove(&id) else { return Ok(()) };
        self.consumer.pause(task.source())?;
        self.begin_anew(task)
    }

    /// Wipes the stores of a task and restores them from the beginning.
    pub(super) fn begin_anew(&mut self, task: StreamTask) -> Result<()> {
        let id = task.id();
        drop(task);
        self.destroy(id)?;
        let task = self.open_task(id)?;
        self.start_restore(task)
    }

    /// Commits, closes all tasks; leaves the group only if told so.
    pub(crate) fn close(&mut self) -> Result<()> {
        self.beat("close");
        let committed = self.suspend(|_| true).and_then(|()| self.commit());
        for Restored { task, .. } in self.restorer.close() {
            close_task(task);
        }
        let tasks = std::mem::take(&mut self.tasks);
        tasks.into_values().for_each(close_task);
        self.restoring.clear();
        self.abort();
        if self.parts.options.leave_on_stop {
            self.consumer.unsubscribe()?;
        }
        self.beat(ENDED);
        committed.map(|_| ())
    }

    /// Takes back what was published of this thread's tasks: they may be another member's when it has joined again.
    fn report_nothing(&self) {
        let mut status = self.parts.shared.status.lock();
        status.member = false;
        status.tasks.retain(|id, _| !self.tasks.contains_key(id) && !self.restoring.contains_key(id));
    }

    /// Publishes what this thread's tasks are at.
    pub(super) fn report(&self, commits: u64) {
        let mut status = self.parts.shared.status.lock();
        status.commit_total += commits;
        for task in self.tasks.values() {
            let (state, source, committed) = (task.state(), task.source().clone(), task.committed);
            let (counters, paused, unfinished) = (task.counters().clone(), task.paused_for.clone(), task.is_unfinished());
            let known = TaskStatus { state, source, committed, counters, restoring: Vec::new(), paused, unfinished };
            let known = status.tasks.insert(task.id(), known);
            drop(known);
        }
        for (id, source) in &self.restoring {
            // It may have been at work before.
            let known = status.tasks.entry(*id).and_modify(|known| {
                (known.state, known.paused, known.unfinished) = (State::Restoring, None, false);
            });
            known.or_insert_with(|| TaskStatus {
                state: State::Restoring,
                source: source.clone(),
                committed: log::Offset(0),
                counters: crate::streams::task::Counters::default(),
                restoring: Vec::new(),
                paused: None,
                unfinished: false,
            });
        }
    }
}

/// Closes a task; what is committed goes to the disk, the rest is forgotten.
pub(super) fn close_task(mut task: StreamTask) {
    task.discard();
    let id = task.id();
    let input = task.committed().filter(|_| task.state() == State::Running);
    if task.transition_to(State::Suspended).is_err() {
        tracing::debug!(task = %id, state = %task.state(), "closing");
    }
    if let Err(error) = task.stores.close(input) {
        // Nothing is lost: the disk stays behind, and the next start restores the difference.
        tracing::warn!(task = %id, error = crate::streams::task::chain(&error), "the store could not be written at its close");
    }
    if task.transition_to(State::Closed).is_err() {
        tracing::debug!(task = %id, state = %task.state(), "closed");
    }
}

fn list(partitions: &[TopicPartition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

pub(super) fn producer_options(index: usize, parts: &Parts) -> ProducerOptions {
    let options = &parts.options;
    ProducerOptions {
        transactional_id: format!("{}-{}-{index}", options.application_id, options.instance_id).into(),
        topics: parts.topics.topics().to_vec(),
        transaction_timeout: options.transaction_timeout,
    }
}

pub(super) fn join_group(index: usize, parts: &Parts) -> log::Result<Box<dyn Consumer>> {
    let options = &parts.options;
    let mut consumer = parts.log.consumer(ConsumerOptions {
        group: Some(Arc::clone(&options.application_id)),
        instance_id: Some(format!("{}-{index}", options.instance_id).into()),
        isolation: Isolation::ReadCommitted,
    })?;
    let topics: Vec<_> = parts.topology.subtopologies().iter().map(|subtopology| Arc::clone(&subtopology.topic)).collect();
    consumer.subscribe(&topics)?;
    Ok(consumer)
}
