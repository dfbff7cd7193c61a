//! A log that refuses a record when it is flushed says neither which input record it came from nor leaves a producer that can be used.
//!
//! So the same input is processed again with a new producer, half as many records at a time, until a transaction of one is refused: that record
//! is the culprit, and goes where the production policy sends it. Halves that pass stay committed, so this takes about as many steps as the
//! number of records has binary digits.

use std::collections::BTreeMap;

use super::Error;
use super::failure::Action;
use super::stream_thread::StreamThread;
use crate::streams::log::Offset;
use crate::streams::task::{StreamTask, TaskId, chain};

/// How far the search is.
#[derive(Debug, Default)]
pub(super) struct Narrow {
    /// So many input records are taken into one transaction at most.
    limit: Option<u64>,
    /// The input records whose results are refused, with the log's words; one for each task that has come to one.
    refused: BTreeMap<TaskId, (Offset, String)>,
}

impl Narrow {
    /// How many more records a transaction takes that has `inputs`; one at least, or nothing would ever be found.
    pub(super) fn room(&self, inputs: u64) -> usize {
        let limit = self.limit.map(|limit| usize::try_from(limit.saturating_sub(inputs)).unwrap_or(usize::MAX).max(1));
        limit.unwrap_or(usize::MAX)
    }

    /// Whether a transaction of `inputs` records is to be committed now.
    pub(super) fn is_full(&self, inputs: u64) -> bool {
        self.limit.is_some_and(|limit| inputs >= limit)
    }

    /// Why the results of this record are refused; none: they are not.
    pub(super) fn refused(&self, task: TaskId, offset: Offset) -> Option<&str> {
        self.refused.get(&task).filter(|(at, _)| *at == offset).map(|(_, cause)| cause.as_str())
    }

    /// A transaction is committed: a culprit that is through is forgotten, and with the last one the search. Where none was found it was the number
    /// that was refused, and the limit stays.
    pub(super) fn committed<'a>(&mut self, tasks: impl Iterator<Item = &'a StreamTask>) {
        for task in tasks {
            if self.refused.get(&task.id()).is_some_and(|(offset, _)| task.committed > *offset) {
                self.forget(task.id());
            }
        }
    }

    /// A task goes to another member, which will find the culprit by itself.
    pub(super) fn forget(&mut self, task: TaskId) {
        if self.refused.remove(&task).is_some() && self.refused.is_empty() {
            self.limit = None;
        }
    }

    /// A transaction of `inputs` records, the last one given, was refused. Whether the search goes on.
    fn refuse(&mut self, inputs: u64, last: Option<(TaskId, Offset)>, cause: &str) -> bool {
        let Some((task, offset)) = last else { return false };
        if inputs > 1 && self.limit != Some(1) {
            self.limit = Some((inputs.min(self.limit.unwrap_or(u64::MAX)) / 2).max(1));
            return true;
        }
        // Even what took its place is refused: a dead letter that is too large as well.
        if self.refused(task, offset).is_some() {
            return false;
        }
        self.limit = Some(1);
        self.refused.insert(task, (offset, cause.to_owned()));
        true
    }
}

impl StreamThread {
    /// Looks for the record that was refused; stops where there is none that could be set aside.
    pub(super) fn narrow(&mut self, error: Error) -> super::Result<()> {
        let (inputs, last) = self.transaction.inputs();
        if self.narrow.refuse(inputs, last, &chain(&error)) { self.restart(true) } else { self.handle(Action::Stop, error) }
    }
}
