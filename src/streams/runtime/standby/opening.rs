//! Whether the stores of a task may be followed, and from where: the rules of a restore, asked for a task of somebody else's.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::super::parts::Parts;
use super::super::restore::Outcome;
use super::super::restore_plan::{self, Extent, Lifetime};
use super::super::{Error, Result};
use super::StandbyTask;
use crate::streams::clock::Timestamp;
use crate::streams::log::{Admin, Committed, Isolation, Offset, TopicPartition};
use crate::streams::processor::StoreId;
use crate::streams::state::{self, TaskState};
use crate::streams::task::TaskId;
use crate::streams::topology::Subtopology;

/// What is known of a changelog before the stores are opened.
#[derive(Debug)]
pub(super) struct Changelog {
    pub(super) store: StoreId,
    pub(super) partition: TopicPartition,
    low: Offset,
    pub(super) end: Offset,
    /// How long it keeps tombstones.
    pub(super) kept: Option<Duration>,
}

impl Changelog {
    fn extent(&self) -> Extent<'_> {
        Extent { changelog: &self.partition, low: self.low, end: self.end }
    }
}

/// A task that is to be followed.
#[derive(Debug)]
pub(super) struct Opening<'a> {
    pub(super) parts: &'a Parts,
    pub(super) id: TaskId,
    pub(super) subtopology: &'a Subtopology,
    pub(super) committed: &'a Committed,
    pub(super) now: Timestamp,
}

impl Opening<'_> {
    /// Asks the log for the ends of the changelogs.
    pub(super) fn changelogs(&self, admin: &dyn Admin) -> Result<Vec<Changelog>> {
        let changelog = |store| {
            let partition = TopicPartition::new(self.parts.topics.changelog_name(self.id.subtopology, store), self.id.partition);
            let (low, end) = admin.watermarks(&partition, Isolation::ReadUncommitted)?;
            let kept = restore_plan::kept(admin, &partition)?;
            Ok(Changelog { store, partition, low, end, kept })
        };
        (0..self.subtopology.stores.len()).map(StoreId).map(changelog).collect()
    }

    /// Opens the stores, wiped where they may not be believed; says where to begin with each changelog, and when what is there was complete.
    pub(super) fn open(&self, life: &str, changelogs: &[Changelog]) -> Result<(StandbyTask, Vec<(Offset, Timestamp)>)> {
        let outcome = match self.try_open(life, changelogs) {
            Err(Outcome::Rebuild(cause) | Outcome::Outlived(cause)) => {
                tracing::warn!(task = %self.id, cause, "the store of a standby task is rebuilt from its changelog");
                self.parts.backend.destroy(self.id).map_err(|error| self.unusable(error))?;
                self.try_open(life, changelogs)
            }
            outcome => outcome,
        };
        outcome.map_err(|outcome| match outcome {
            Outcome::Failed(error) => error,
            Outcome::Rebuild(cause) | Outcome::Outlived(cause) => Error::RebuiltTwice { task: self.id, cause },
            Outcome::Done { .. } | Outcome::Cancelled => self.unusable(io::Error::other("they could not be opened")),
        })
    }

    fn try_open(&self, life: &str, changelogs: &[Changelog]) -> Result<(StandbyTask, Vec<(Offset, Timestamp)>), Outcome> {
        let kv = self.parts.backend.open(self.id).map_err(|error| restore_plan::store_failed(self.id, error))?;
        let stores = TaskState::open(&self.id.to_string(), Arc::clone(&kv), self.subtopology.stores.clone(), self.limits());
        let mut stores = stores.map_err(|error| restore_plan::store_failed(self.id, error))?;
        restore_plan::fit(self.id, &stores, self.subtopology, self.partitions(), Some(self.committed))?;
        let start = |log: &Changelog| restore_plan::start_of(&stores, log.store, log.extent(), Some(Offset(0)));
        let starts = changelogs.iter().map(start).collect::<Result<Vec<_>, _>>()?;
        // Order: nothing is wiped for its age before it is known that all the changelogs are whole.
        let begin = |(log, start): (&Changelog, Offset)| {
            let lifetime = Lifetime::begin(&stores, log.store, start, log.extent(), self.now, || Ok(log.kept))?;
            Ok((start, lifetime.as_of))
        };
        let starts = changelogs.iter().zip(starts).map(begin).collect::<Result<Vec<_>, Outcome>>()?;
        stores.set_epoch(life);
        stores.tell_time(self.now);
        Ok((StandbyTask { stores, kv, count: changelogs.len(), life: life.to_owned(), began: self.now }, starts))
    }

    fn partitions(&self) -> i32 {
        self.parts.partitions.get(&self.subtopology.topic).copied().unwrap_or(1)
    }

    /// All standby tasks together hold no more than a quarter of a thread's memory in records on their way to the disk: a task takes half of
    /// what it is given for that.
    fn limits(&self) -> state::Options {
        let tasks: i32 = self.parts.partitions.values().sum();
        let share = self.parts.options.cache_bytes / 2 / usize::try_from(tasks).unwrap_or(1).max(1);
        state::Options { cache_bytes: share, write_back_bytes: share }
    }

    fn unusable(&self, source: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::Stores { task: self.id, source: Box::new(source) }
    }
}
