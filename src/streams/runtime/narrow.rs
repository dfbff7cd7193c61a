//! A log that refuses a record when it is flushed says neither which input record it came from nor leaves a producer that can be used.
//!
//! So the same input is processed again with a new producer, half as many records at a time, until a transaction of one is refused: that record
//! is the culprit, and goes where the production policy sends it. Halves that pass stay committed, so this takes about as many steps as the
//! number of records has binary digits.
//!
//! There may be no culprit: a broker was wrong once, or it is the number of records that is too large for one batch of the topic. So transactions
//! that are full and pass are made larger again, and where that is refused it is tried more and more seldom.

use std::collections::BTreeMap;

use super::Error;
use super::failure::Action;
use super::stream_thread::StreamThread;
use crate::streams::log::Offset;
use crate::streams::task::{StreamTask, TaskId, chain};

/// So many full transactions must pass before larger ones are tried, at first and at most. More than the two that a search needs at each of its steps.
const PATIENCE: u32 = 8;
const PATIENCE_MOST: u32 = 2048;

/// How far the search is.
#[derive(Debug, Default)]
pub(super) struct Narrow {
    /// So many input records are taken into one transaction at most.
    limit: Option<u64>,
    /// The input records of the transaction that was refused first: as many that pass end it.
    most: u64,
    /// Full transactions that have passed in a row, and how many of them it takes.
    passed: u32,
    patience: u32,
    /// Whether larger ones are being tried.
    is_widened: bool,
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

    /// A transaction of `inputs` records is committed: a culprit that is through is forgotten, and with the last one the search.
    pub(super) fn committed<'a>(&mut self, inputs: u64, tasks: impl Iterator<Item = &'a StreamTask>) {
        for task in tasks {
            if self.refused.get(&task.id()).is_some_and(|(offset, _)| task.committed > *offset) {
                self.forget(task.id());
            }
        }
        if self.refused.is_empty() && self.is_full(inputs) {
            self.pass();
        }
    }

    /// A full transaction has passed and there is no culprit: from time to time they become larger.
    fn pass(&mut self) {
        self.passed += 1;
        if self.passed < self.patience {
            return;
        }
        (self.passed, self.is_widened) = (0, true);
        self.limit = self.limit.map(|limit| limit.saturating_mul(2)).filter(|_| self.limit < Some(self.most));
    }

    /// A task goes to another member, which will find the culprit by itself.
    pub(super) fn forget(&mut self, task: TaskId) {
        if self.refused.remove(&task).is_some() && self.refused.is_empty() {
            (self.limit, self.is_widened) = (None, false);
        }
    }

    /// A transaction of `inputs` records, the last one given, was refused. Whether the search goes on.
    fn refuse(&mut self, inputs: u64, last: Option<(TaskId, Offset)>, cause: &str) -> bool {
        let Some((task, offset)) = last else { return false };
        // Also where there was no limit any more: others may have had full transactions enough while the culprit's task was restored.
        if self.is_widened {
            self.patience = self.patience.saturating_mul(4).min(PATIENCE_MOST);
        } else if self.limit.is_none() {
            self.patience = PATIENCE;
        }
        if self.limit.is_none() {
            self.most = inputs;
        }
        (self.passed, self.is_widened) = (0, false);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes transactions of which those with more than `most` records are refused; how many were.
    fn refusals(narrow: &mut Narrow, most: u64, transactions: u32) -> u32 {
        let last = Some((TaskId { subtopology: 0, partition: 0 }, Offset(1)));
        let mut refused = 0;
        for _ in 0..transactions {
            let inputs = narrow.limit.unwrap_or(1000).min(1000);
            if inputs > most {
                refused += 1;
                assert!(narrow.refuse(inputs, last, "refused"));
            } else {
                narrow.committed(inputs, std::iter::empty());
            }
        }
        refused
    }

    #[test]
    fn what_was_refused_once_slows_nothing_down_for_long() {
        let mut narrow = Narrow::default();
        assert_eq!(refusals(&mut narrow, 0, 1), 1);
        assert_eq!(narrow.room(0), 500);
        assert_eq!(refusals(&mut narrow, 1000, 2 * PATIENCE), 0);
        assert_eq!(narrow.room(0), usize::MAX);
        // And it begins anew the next time.
        assert_eq!(refusals(&mut narrow, 0, 1), 1);
        assert_eq!(narrow.room(0), 500);
    }

    #[test]
    fn a_culprit_that_comes_back_after_the_search_ended_is_searched_for_longer() {
        let mut narrow = Narrow::default();
        for patience in [8, 32, 128] {
            assert_eq!(refusals(&mut narrow, 0, 1), 1);
            let mut passed = 0;
            while narrow.room(0) != usize::MAX {
                assert_eq!(refusals(&mut narrow, 1000, 1), 0);
                passed += 1;
            }
            assert_eq!(passed, 2 * patience);
        }
    }

    #[test]
    fn a_number_that_is_refused_is_tried_more_and_more_seldom() {
        let mut narrow = Narrow::default();
        let refused: Vec<_> = [100, 1_000, 10_000, 100_000].map(|transactions| refusals(&mut narrow, 100, transactions)).into();
        // Four to find the number, then after 8, 32, 128, 512, and each 2048 that pass.
        assert_eq!(refused, [6, 2, 5, 48]);
        assert_eq!(narrow.limit.map(|limit| limit > 50), Some(true));
    }
}
