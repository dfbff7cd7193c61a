//! A log that refuses a record when it is flushed says neither which input record it came from nor leaves a producer that can be used.
//!
//! So the same input is processed again with a new producer, half as many records at a time, until a transaction of one is refused: that record
//! is the culprit, and goes where the production policy sends it. Halves that pass stay committed, so this takes about as many steps as the
//! number of records has binary digits.

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
    /// The input record whose results are refused, with the log's words.
    refused: Option<(TaskId, Offset, String)>,
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
        self.refused.as_ref().filter(|(id, at, _)| (*id, *at) == (task, offset)).map(|(_, _, cause)| cause.as_str())
    }

    /// A transaction is committed: a culprit that is through is forgotten, and with it the search. Where none was found it was the number that
    /// was refused, and the limit stays.
    pub(super) fn committed<'a>(&mut self, mut tasks: impl Iterator<Item = &'a StreamTask>) {
        if let Some((id, offset, _)) = &self.refused
            && tasks.any(|task| task.id() == *id && task.committed > *offset)
        {
            *self = Self::default();
        }
    }

    /// A task goes to another member, which will find the culprit by itself.
    pub(super) fn forget(&mut self, task: TaskId) {
        if self.refused.as_ref().is_some_and(|(id, ..)| *id == task) {
            *self = Self::default();
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
        self.refused = Some((task, offset, cause.to_owned()));
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
