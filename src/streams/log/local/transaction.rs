//! The transaction coordinator: epochs, open transactions, markers.
//!
//! A transaction ends in two steps. `decide` writes markers, offsets and the transaction's row in one batch, under the
//! lock and without waiting for the disk; `publish` makes the end visible. Between them a commit waits for the disk
//! without the lock, so that the commits of several threads share one sync and nobody reads what a power cut could take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use super::chunk::{HEAD_BYTES, Kind, marker};
use super::group::Group;
use super::keys::{self, Place};
use super::partition::{Aborted, Bounds};
use super::simulated::{Destination, Late};
use super::{State, stored, take_batch, write};
use crate::streams::clock::Timestamp;
use crate::streams::kv::{Batch, Durability, Kv};
use crate::streams::log::{Class, Committed, Error, Offset, Partition, Result, TopicPartition};

/// A transactional id: who holds it, and what is open.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Transaction {
    pub(super) producer: u64,
    pub(super) epoch: u64,
    /// Partitions with records of the open transaction: topic id, partition, first offset.
    pub(super) touched: Vec<(u32, i32, i64)>,
    #[serde(skip)]
    pub(super) is_open: bool,
    #[serde(skip)]
    pub(super) began: Option<Timestamp>,
    #[serde(skip)]
    pub(super) timeout_ms: u64,
    /// Offsets that the commit will make the group's.
    #[serde(skip)]
    pub(super) offsets: Vec<(Arc<str>, TopicPartition, Committed)>,
    /// The end that is written but not visible yet.
    #[serde(skip)]
    decided: Option<Decided>,
    /// Set when the present holder is fenced, for calls of its that take no lock.
    #[serde(skip)]
    pub(super) fenced: Arc<AtomicBool>,
    /// How the last one ended, where none is open.
    #[serde(skip)]
    pub(super) ended: Option<End>,
}

#[derive(Clone, Debug)]
struct Decided {
    end: End,
    /// First offset and marker.
    marked: Vec<(Place, Offset, Offset)>,
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Commit,
    Abort,
}

impl End {
    pub(super) fn operation(self) -> &'static str {
        match self {
            Self::Commit => "committing a transaction",
            Self::Abort => "aborting a transaction",
        }
    }
}

impl Transaction {
    pub(super) fn put(&self, id: &str, batch: &mut Batch) {
        batch.put(&keys::transaction(id), &serde_json::to_vec(self).unwrap_or_default());
    }

    /// Notes that a partition got its first record of this transaction.
    pub(super) fn touch(&mut self, place: Place, first: Offset) {
        if !self.touches(place) {
            self.touched.push((place.topic, place.partition.0, first.0));
        }
    }

    /// Hands the id to a new holder; returns what the former one looks at, to be set once it is fenced for good.
    #[must_use]
    pub(super) fn take_over(&mut self) -> Arc<AtomicBool> {
        self.epoch += 1;
        std::mem::take(&mut self.fenced)
    }

    /// Whether it has records in this partition.
    pub(super) fn touches(&self, place: Place) -> bool {
        self.touched.iter().any(|&(topic, partition, _)| topic == place.topic && partition == place.partition.0)
    }

    pub(super) fn is_decided(&self) -> bool {
        self.decided.is_some()
    }

    /// Whether the coordinator knows of an open transaction: it hears of one with the first partition or offset.
    pub(super) fn has_begun(&self) -> bool {
        self.decided.is_none() && !(self.touched.is_empty() && self.offsets.is_empty())
    }
}

/// Writes how the open transaction of `id` ends: nothing half done if it fails. Says whether a sync is needed.
pub(super) fn decide(kv: &dyn Kv, state: &mut State, id: &str, end: End) -> Result<bool> {
    let mut batch = take_batch(state);
    let outcome = decide_in(kv, state, id, end, &mut batch);
    state.batch = batch;
    outcome
}

fn decide_in(kv: &dyn Kv, state: &mut State, id: &str, end: End, batch: &mut Batch) -> Result<bool> {
    let Some(transaction) = state.transactions.get_mut(id) else { return Ok(false) };
    let (producer, touched) = (transaction.producer, std::mem::take(&mut transaction.touched));
    if !touched.is_empty() {
        transaction.put(id, batch);
    }
    if end == End::Commit {
        for (group, partition, committed) in &transaction.offsets {
            Group::put_offset(group, partition, committed, batch);
        }
    }
    let mut marked = Vec::with_capacity(touched.len());
    let mut moved: Vec<(Place, Bounds)> = Vec::with_capacity(touched.len());
    for &(topic, partition, first) in &touched {
        let place = Place { topic, partition: Partition(partition) };
        // A topic that was deleted meanwhile takes no marker.
        let Some(known) = state.place(place) else { continue };
        let mut bounds = known.bounds;
        let (first, at) = (Offset(first), bounds.high);
        let kind = if end == End::Commit { Kind::Commit } else { Kind::Abort };
        batch.put(&keys::chunk(place, at), &marker(kind, producer));
        if end == End::Abort {
            batch.put(&keys::aborted(place, first, producer), &at.0.to_le_bytes());
        }
        bounds.append(1, HEAD_BYTES);
        bounds.put(place, batch);
        marked.push((place, first, at));
        moved.push((place, bounds));
    }
    let written = if batch.is_empty() { Ok(()) } else { write(kv, end.operation(), batch, Durability::Buffered) };
    let Some(transaction) = state.transactions.get_mut(id) else { return Ok(false) };
    if let Err(error) = written {
        transaction.touched = touched;
        return Err(error);
    }
    transaction.decided = Some(Decided { end, marked });
    for (place, bounds) in moved {
        if let Some(known) = state.place(place) {
            known.bounds = bounds;
        }
    }
    Ok(!batch.is_empty())
}

/// Makes what was decided durable. When it fails, the transaction may have ended or not.
pub(super) fn sync(kv: &dyn Kv) -> Result<()> {
    let mut batch = Batch::default();
    batch.put(keys::SYNC, &[]);
    kv.write(&batch, Durability::Synced).map_err(|error| {
        let message = "it is written, but it is not known whether it would survive";
        Error::caused(Class::Unknown, End::Commit.operation(), message, error)
    })
}

/// Makes the decided end of `id`'s transaction visible: first the records, then the offsets.
pub(super) fn publish(state: &mut State, id: &str) {
    let Some(transaction) = state.transactions.get_mut(id) else { return };
    let Some(Decided { end, marked }) = transaction.decided.take() else { return };
    let offsets = std::mem::take(&mut transaction.offsets);
    let producer = transaction.producer;
    (transaction.is_open, transaction.began, transaction.ended) = (false, None, Some(end));
    let records = marked.into_iter().map(|(place, first, last)| Destination::Records(place, first, last));
    let markers = records.chain([Destination::Offsets(offsets)]);
    if state.simulated.holds_markers {
        let id: Arc<str> = Arc::from(id);
        state.simulated.late.extend(markers.map(|at| Late { id: Arc::clone(&id), producer, end, at }));
    } else {
        markers.for_each(|at| arrive(state, producer, end, at));
    }
}

/// A marker is there: what it decides counts.
pub(super) fn arrive(state: &mut State, producer: u64, end: End, at: Destination) {
    match at {
        Destination::Records(place, first, last) => {
            let Some(known) = state.place(place) else { return };
            known.open.remove(&producer);
            if end == End::Abort {
                Arc::make_mut(&mut known.aborted).push(Aborted { producer, first, last });
            }
        }
        Destination::Offsets(offsets) => {
            for (group, partition, committed) in offsets {
                let group = state.groups.entry(group).or_default();
                group.pending.remove(&producer);
                if end == End::Commit {
                    group.offsets.insert(partition, committed);
                }
            }
        }
    }
}

/// Ends what a holder left behind: a commit that was decided is completed, anything else aborted.
pub(super) fn complete(kv: &dyn Kv, state: &mut State, id: &str) -> Result<()> {
    match state.transactions.get(id) {
        None => return Ok(()),
        Some(transaction) if transaction.is_decided() => {
            let mut batch = Batch::default();
            batch.put(keys::SYNC, &[]);
            kv.write(&batch, Durability::Synced).map_err(|error| stored("completing a commit", error))?;
        }
        Some(_) => {
            decide(kv, state, id, End::Abort)?;
        }
    }
    publish(state, id);
    Ok(())
}

/// When a log is opened, no transaction can have an owner.
pub(super) fn abort_left_open(kv: &dyn Kv, state: &mut State) -> Result<()> {
    let left: Vec<_> = state
        .transactions
        .iter()
        .filter(|(_, transaction)| !transaction.touched.is_empty())
        .map(|(id, transaction)| (Arc::clone(id), transaction.clone()))
        .collect();
    for (id, transaction) in left {
        for (topic, partition, first) in transaction.touched {
            if let Some(known) = state.place(Place { topic, partition: Partition(partition) }) {
                known.open.insert(transaction.producer, Offset(first));
            }
        }
        complete(kv, state, &id)?;
    }
    Ok(())
}

/// How the transaction of `id` ended that its producer takes for open; none where it is open.
pub(super) fn ended(state: &mut State, id: &str) -> Option<End> {
    state.transactions.get(id).filter(|transaction| !transaction.is_open)?.ended
}

/// The holder of `id` with this epoch; anybody else is fenced.
pub(super) fn held<'s>(state: &'s mut State, operation: &str, id: &str, epoch: u64) -> Result<&'s mut Transaction> {
    match state.transactions.get_mut(id) {
        Some(transaction) if transaction.epoch == epoch => Ok(transaction),
        _ => Err(fenced(operation, id)),
    }
}

/// As [`held`], for calls that add to the transaction.
pub(super) fn undecided<'s>(state: &'s mut State, operation: &str, id: &str, epoch: u64) -> Result<&'s mut Transaction> {
    let transaction = held(state, operation, id, epoch)?;
    if transaction.is_decided() {
        return Err(Error::new(Class::Unknown, operation, "its commit was begun, and its outcome is open"));
    }
    Ok(transaction)
}

pub(super) fn fenced(operation: &str, id: &str) -> Error {
    Error::new(Class::Fenced, operation, format!("transactional id {id} is held by a newer producer"))
}

/// Aborts transactions that are open for longer than their owners allowed, and fences these; says whether there were any.
pub(super) fn abort_expired(kv: &dyn Kv, state: &mut State, now: Timestamp) -> Result<bool> {
    let mut expired = Vec::new();
    for (id, transaction) in state.transactions.iter_mut().filter(|(_, transaction)| transaction.is_open) {
        // Time is only known from here: a transaction ages from the first look at it, so it is never aborted early.
        let began = *transaction.began.get_or_insert(now);
        if now.0.saturating_sub(began.0) > i64::try_from(transaction.timeout_ms).unwrap_or(i64::MAX) {
            expired.push(Arc::clone(id));
        }
    }
    for id in &expired {
        complete(kv, state, id)?;
        if let Some(transaction) = state.transactions.get_mut(id) {
            transaction.take_over().store(true, Ordering::Relaxed);
        }
    }
    Ok(!expired.is_empty())
}
