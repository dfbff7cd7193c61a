//! The commit protocol: one transaction for all tasks of a stream thread, from the first flush to the last store write.
//!
//! What each crash point leaves behind: before step 4 the log aborts the transaction and the disk knows nothing of it;
//! after step 4 the changelog has what the disk lacks, and a restore reads it from there. The disk never leads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Error;
use super::layout;
use super::options::Options;
use super::topics::TopicTable;
use super::transaction::Transaction;
use crate::streams::clock::Clock;
use crate::streams::log::{self, Class, Committed, Consumer, Headers, Offset, Partition, ProducerRecord, TopicPartition};
use crate::streams::processor::{BoxError, StoreId};
use crate::streams::state;
use crate::streams::task::{Output, State, StreamTask, TaskId};

/// What a commit needs of its thread.
pub(super) struct Scope<'a> {
    pub(super) tasks: &'a mut BTreeMap<TaskId, StreamTask>,
    pub(super) consumer: &'a mut dyn Consumer,
    pub(super) transaction: &'a mut Transaction,
    pub(super) topics: &'a TopicTable,
    pub(super) clock: &'a dyn Clock,
    pub(super) options: &'a Options,
    /// Told of each step that waits for the log: each by itself may take the transaction timeout.
    pub(super) beat: &'a dyn Fn(&'static str),
}

/// How a commit ended well.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There was nothing to commit.
    Nothing,
    /// It is committed.
    Committed {
        /// The committed offsets.
        offsets: Vec<(TopicPartition, Offset)>,
        /// Whether the commit may have been sent twice: then the producer must be replaced.
        doubtful: bool,
        /// The number of results, and how long it took until all were in the log.
        flushed: (u64, Duration),
    },
}

/// Where a commit failed: what may be done next depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Before the offsets were handed over: nothing can have been committed.
    Produce,
    /// In `send_offsets_to_transaction`.
    SendOffsets,
    /// In the commit call: the outcome is not known.
    Commit,
}

/// Why a commit failed.
#[derive(Debug)]
pub(super) enum Failed {
    /// The log failed in this phase.
    Log(Phase, log::Error),
    /// A changelog is no longer the one that was written to before.
    Changelog(Error),
    /// The stores of a task failed after the commit.
    Stores(TaskId, state::Error),
}

/// The input offsets to commit: those of running tasks that moved on, over control records too.
pub(super) fn advanced(tasks: &BTreeMap<TaskId, StreamTask>, consumer: &dyn Consumer) -> Vec<(TaskId, TopicPartition, Offset)> {
    let mut advanced = positions(tasks, consumer);
    advanced.retain(|(id, _, position)| tasks.get(id).is_some_and(|task| task.committed < *position));
    advanced
}

fn positions(tasks: &BTreeMap<TaskId, StreamTask>, consumer: &dyn Consumer) -> Vec<(TaskId, TopicPartition, Offset)> {
    let running = tasks.values().filter(|task| task.state() == State::Running);
    running.filter_map(|task| Some((task.id(), task.source().clone(), consumer.position(task.source())?))).collect()
}

/// Adds tasks whose input stands still and whose stores were written to all the same, by a punctuation or when they were given up: how far a changelog
/// reaches goes with the offset.
fn add_writers(scope: &Scope<'_>, complete_up_to: &Ends, advanced: &mut Vec<(TaskId, TopicPartition, Offset)>) {
    let is_new = |id: &TaskId| advanced.binary_search_by_key(id, |(known, ..)| *known).is_err();
    let writers: BTreeSet<_> = complete_up_to.iter().filter(|(id, ends)| !ends.is_empty() && is_new(id)).map(|(id, _)| *id).collect();
    if !writers.is_empty() {
        advanced.extend(positions(scope.tasks, scope.consumer).into_iter().filter(|(id, ..)| writers.contains(id)));
    }
}

/// Commits everything that the thread has done since the last time.
pub(super) fn commit(scope: &mut Scope<'_>) -> Result<Outcome, Failed> {
    let mut advanced = advanced(scope.tasks, scope.consumer);
    if advanced.is_empty() {
        if !scope.transaction.is_open() {
            return Ok(Outcome::Nothing);
        }
        // Results of punctuations alone. Without an offset nobody would check that this is still a member of the group.
        advanced = positions(scope.tasks, scope.consumer);
    }
    let start = scope.clock.monotonic();
    let records = scope.transaction.records();
    // 1. The last write of each key becomes a changelog record.
    scope.transaction.begin().map_err(|error| Failed::Log(Phase::Produce, error))?;
    write_changelogs(scope).map_err(|error| Failed::Log(Phase::Produce, error))?;
    // 2. Everything is in the log, or the commit fails.
    (scope.beat)("flush");
    let producer = &mut scope.transaction.producer;
    let timeout = scope.options.transaction_timeout;
    retry(scope.clock, timeout, || producer.flush(timeout)).map_err(|error| Failed::Log(Phase::Produce, error))?;
    let (complete_up_to, lost) = delivered(scope);
    if lost.is_empty() {
        add_writers(scope, &complete_up_to, &mut advanced);
    } else {
        // What is complete is here alone: this is written down for everybody, and nobody goes on.
        advanced = positions(scope.tasks, scope.consumer);
    }
    let flushed = scope.clock.monotonic();
    // 3. The real group metadata: the log checks member and generation, and that check fences a zombie.
    let offsets: Vec<_> = advanced
        .iter()
        .map(|(id, source, offset)| {
            let complete = complete_up_to.get(id).map(Vec::as_slice).unwrap_or_default();
            let metadata = scope.tasks.get(id).map_or_else(|| Arc::from(""), |task| metadata(task, complete, &lost));
            (source.clone(), Committed { offset: *offset, metadata })
        })
        .collect();
    let group = scope.consumer.group_metadata();
    (scope.beat)("send_offsets");
    let producer = &mut scope.transaction.producer;
    retry(scope.clock, timeout, || producer.send_offsets(&offsets, &group, timeout))
        .map_err(|error| Failed::Log(Phase::SendOffsets, error))?;
    // 4. The point of no return. Only the time of this one call tells whether it may have been sent twice.
    (scope.beat)("commit");
    let began = scope.clock.monotonic();
    retry(scope.clock, timeout, || producer.commit(timeout)).map_err(|error| Failed::Log(Phase::Commit, error))?;
    let ended = scope.clock.monotonic();
    let took = ended.saturating_sub(began);
    let (flush, offsets_sent) = (flushed.saturating_sub(start), began.saturating_sub(flushed));
    tracing::debug!(records, ?flush, ?offsets_sent, commit = ?took, "transaction committed");
    let doubtful = took >= scope.options.endtxn_guard || scope.transaction.producer.is_doubtful() || scope.transaction.is_crossed();
    scope.transaction.ended();
    // 5. Order: only now may the stores learn of it.
    for (task, _, offset) in &advanced {
        if let Some(task) = scope.tasks.get_mut(task) {
            task.committed = *offset;
        }
    }
    for (id, task) in scope.tasks.iter_mut() {
        let complete = complete_up_to.get(id).map(Vec::as_slice).unwrap_or_default();
        task.stores.committed(complete).map_err(|error| Failed::Stores(*id, error))?;
    }
    if let Some(&(id, store)) = lost.first() {
        let changelog = TopicPartition::new(scope.topics.changelog_name(id.subtopology, store), id.partition);
        return Err(Failed::Changelog(Error::ChangelogMadeAnew { changelog: changelog.to_string() }));
    }
    let offsets = advanced.into_iter().map(|(_, source, offset)| (source, offset)).collect();
    Ok(Outcome::Committed { offsets, doubtful, flushed: (records, flush) })
}

fn write_changelogs(scope: &mut Scope<'_>) -> log::Result<()> {
    let transaction = &mut *scope.transaction;
    for (id, task) in scope.tasks.iter_mut() {
        // Explicit, because other producers may hash keys otherwise.
        let partition = Some(Partition(id.partition));
        let mut failed = None;
        let drained = task.stores.drain(&mut |store, key, value, timestamp| {
            let topic = scope.topics.changelog(id.subtopology, store);
            let record = ProducerRecord { topic, partition, key: Some(key), value, headers: Headers::EMPTY, timestamp };
            transaction.send(&record).map_err(|error| {
                failed = Some(error);
                BoxError::from("the changelog was refused")
            })
        });
        if let Some(error) = failed {
            return Err(error);
        }
        drained.map_err(|error| log::Error {
            source: Some(error),
            ..log::Error::new(Class::Fatal, format!("draining task {id}"), "the overlay could not be read")
        })?;
    }
    Ok(())
}

/// Per task the changelog offsets (the next to read) up to which its stores are complete.
type Ends = BTreeMap<TaskId, Vec<(StoreId, Offset)>>;

/// Per task the changelog offsets up to which its rows are complete once this transaction is committed; and the changelogs that were deleted and
/// made anew while they were written to, so that they begin again before what they held already.
fn delivered(scope: &Scope<'_>) -> (Ends, Vec<(TaskId, StoreId)>) {
    let mut lost = Vec::new();
    let mut offsets = |task: &StreamTask| {
        let id = task.id();
        let of_store = |store| {
            let topic = scope.topics.changelog(id.subtopology, store);
            // A delivery report may lack its offset: then the checkpoint stays where it was.
            let delivered = scope.transaction.producer.delivered(topic, Partition(id.partition))?;
            if task.stores.complete_up_to(store).is_some_and(|known| delivered.first < known) {
                lost.push((id, store));
            }
            Some((store, delivered.last.next()))
        };
        (0..task.store_count()).map(StoreId).filter_map(of_store).collect()
    };
    let complete_up_to = scope.tasks.values().map(|task| (task.id(), offsets(task))).collect();
    (complete_up_to, lost)
}

/// What goes with the offset of a task: its layout, and how far its changelogs reach with this transaction.
fn metadata(task: &StreamTask, complete_up_to: &[(StoreId, Offset)], lost: &[(TaskId, StoreId)]) -> Arc<str> {
    let end = |(store, name)| {
        if lost.contains(&(task.id(), store)) {
            return Some((name, layout::LOST));
        }
        let now = complete_up_to.iter().find(|(known, _)| *known == store).map(|(_, end)| *end);
        Some((name, now.max(task.stores.complete_up_to(store))?))
    };
    layout::with_ends(&task.metadata, task.stores.names().filter_map(end))
}

/// Makes the same call again while it fails retriably, up to the deadline and a bounded number of times.
fn retry(clock: &dyn Clock, limit: Duration, mut call: impl FnMut() -> log::Result<()>) -> log::Result<()> {
    const TRIES_MAX: u32 = 1000;
    let deadline = clock.monotonic() + limit;
    let mut tries = 0;
    loop {
        tries += 1;
        match call() {
            Err(error) if error.class == Class::Retriable && tries < TRIES_MAX && clock.monotonic() < deadline => {
                tracing::debug!(%error, tries, "trying again");
            }
            outcome => return outcome,
        }
    }
}
