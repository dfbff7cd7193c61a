//! What a poll brought, and how it is told.

use std::time::Duration;

use crate::streams::clock::Timestamp;

/// What a poll brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// When it began.
    pub started: Timestamp,
    /// Whether all lists that can be read were read, and all their videos asked for.
    pub is_complete: bool,
    /// Videos that were observed in it.
    pub observed: usize,
    /// Videos that are known and not removed.
    pub videos: usize,
    /// Videos that were seen for the first time, in a list that was read before.
    pub new: usize,
    /// Videos that were removed and are back.
    pub restored: usize,
    /// Videos that were removed.
    pub removed: usize,
    /// What is watched and cannot be read: lists, channels and videos, each with the reason where there is one.
    pub unseen: Vec<String>,
    /// Said where so many videos are missing that it is not believed.
    pub many_missing: Option<String>,
    /// Units that it cost.
    pub units: u64,
    /// Units of this day, with those that a killed poller may have spent.
    pub units_today: u64,
    /// The time from now to the next poll.
    pub next_in: Duration,
    /// What went wrong last; none where it is complete.
    pub problem: Option<String>,
}

impl Summary {
    /// What somebody should know of, although the poller goes on by itself; none where all is well.
    pub fn trouble(&self) -> Option<String> {
        let unseen = (!self.unseen.is_empty()).then(|| format!("cannot be read: {}", self.unseen.join("; ")));
        let all: Vec<String> = [self.problem.clone(), unseen, self.many_missing.clone()].into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Says it in the log.
    pub(super) fn tell(&self) {
        let Self { videos, new, restored, removed, units, units_today, next_in, .. } = self;
        // A list that cannot be read is told when it is found so, but not with every poll, while there are others.
        let is_in_vain = self.observed == 0 && !self.unseen.is_empty();
        let unread = Some(self.unseen.len()).filter(|&unread| unread > 0);
        if !self.is_complete {
            let problem = &self.problem;
            tracing::warn!(videos, new, restored, removed, units, units_today, ?next_in, problem, "poll not complete");
        } else if is_in_vain {
            let problem = self.trouble();
            tracing::warn!(videos, units, units_today, ?next_in, problem, "poll complete, but nothing that is watched could be read");
        } else {
            tracing::info!(videos, new, restored, removed, units, units_today, ?next_in, unread, "poll complete");
        }
    }
}
