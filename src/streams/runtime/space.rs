//! What a stream thread does where there is no space on a disk: it goes on as long as committed rows have room in memory, then it stands still.

use std::time::Duration;

use super::failure::{self, Action};
use super::stream_thread::StreamThread;
use super::{Error, Result};
use crate::streams::state;
use crate::streams::task::{self, State, TaskId};

/// How long the engine stands still before it tries again what a full disk forbade, or while it can make no producer.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

impl StreamThread {
    /// Writes committed rows to the disk where there are enough of them, or all. A full disk keeps them in memory.
    pub(super) fn flush_stores(&mut self, all: bool) -> Result<()> {
        let now = self.parts.clock.monotonic();
        if now < self.flush_again && !self.is_memory_full() {
            return Ok(());
        }
        let Err((task, source)) = self.write_back(all) else { return Ok(()) };
        let action = failure::of_store(&source);
        // Of any task: which of them the disk refused first says nothing of the others.
        if action == Action::Pause && !self.is_memory_full() {
            self.flush_again = now + PAUSE;
            tracing::warn!(task = %task, error = task::chain(&source), "committed rows stay in memory until there is space");
            return Ok(());
        }
        self.handle(action, Error::Stores { task, source: Box::new(source) })
    }

    fn write_back(&mut self, all: bool) -> Result<(), (TaskId, state::Error)> {
        for task in self.tasks.values_mut().filter(|task| task.state() == State::Running) {
            let flushed = match all {
                true => task.stores.flush_through(task.committed()),
                false if task.stores.write_back_due() => task.stores.flush(task.committed()),
                false => Ok(()),
            };
            flushed.map_err(|source| (task.id(), source))?;
        }
        Ok(())
    }

    /// Whether a task may take no more records before its committed rows are on the disk.
    fn is_memory_full(&self) -> bool {
        self.tasks.values().any(|task| task.state() == State::Running && task.stores.write_back_full())
    }

    /// Does nothing for a while.
    pub(super) fn pause(&mut self, reason: &Error) {
        tracing::warn!(error = task::chain(reason), "standing still until there is space again");
        self.still_until = Some(self.parts.clock.monotonic() + PAUSE);
    }

    /// Ends a pause that is over, but where memory is full not before rows were written: each try would take a transaction's rows more.
    fn resume(&mut self, now: Duration) -> Result<()> {
        if self.still_until.is_none_or(|until| now < until) {
            return Ok(());
        }
        self.still_until = None;
        if !self.is_memory_full() {
            return Ok(());
        }
        match self.write_back(false).map_err(|(task, source)| (failure::of_store(&source), task, source)) {
            Ok(()) => Ok(()),
            Err((Action::Pause, ..)) => {
                self.still_until = Some(now + PAUSE);
                Ok(())
            }
            Err((action, task, source)) => self.handle(action, Error::Stores { task, source: Box::new(source) }),
        }
    }

    /// Whether there is space and a producer to work with; without them nothing is polled, and this waits up to `timeout`.
    pub(super) fn can_work(&mut self, timeout: Duration) -> Result<bool> {
        let now = self.parts.clock.monotonic();
        self.resume(now)?;
        if self.still_until.is_none() && self.replace_at.is_some_and(|at| now >= at) {
            self.replace_producer()?;
        }
        if !self.is_waiting() {
            return Ok(true);
        }
        self.beat("standing still");
        let mut progress = self.parts.shared.progress.lock();
        self.parts.shared.changed.wait_for(&mut progress, timeout);
        Ok(false)
    }

    /// Whether it waits for space or for a producer.
    pub(super) fn is_waiting(&self) -> bool {
        self.replace_at.is_some() || self.still_until.is_some()
    }
}
