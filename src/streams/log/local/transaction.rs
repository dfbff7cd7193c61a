//! The transaction coordinator: epochs, open transactions, markers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::chunk::{Kind, marker};
use super::keys::{self, Place};
use super::partition::Aborted;
use super::{State, write};
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
}

impl Transaction {
    pub(super) fn put(&self, id: &str, batch: &mut Batch) {
        batch.put(&keys::transaction(id), &serde_json::to_vec(self).unwrap_or_default());
    }

    /// Notes that a partition got its first record of this transaction.
    pub(super) fn touch(&mut self, place: Place, first: Offset) -> bool {
        if self.touched.iter().any(|&(topic, partition, _)| topic == place.topic && partition == place.partition.0) {
            return false;
        }
        self.touched.push((place.topic, place.partition.0, first.0));
        true
    }
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Commit,
    Abort,
}

/// Ends the open transaction of `id`: markers, offsets and the transaction's row in one batch, synced.
pub(super) fn end(kv: &dyn Kv, state: &mut State, id: &Arc<str>, end: End) -> Result<()> {
    let Some(transaction) = state.transactions.get(id).cloned() else { return Ok(()) };
    let operation = match end {
        End::Commit => "committing a transaction",
        End::Abort => "aborting a transaction",
    };
    let mut batch = std::mem::take(&mut state.batch);
    batch.clear();
    let mut marked: Vec<(Place, Offset, Offset)> = Vec::new();
    for &(topic, partition, first) in &transaction.touched {
        let place = Place { topic, partition: Partition(partition) };
        // A topic that was deleted meanwhile takes no marker.
        let Some(known) = state.place(place) else { continue };
        let at = known.high;
        let kind = if end == End::Commit { Kind::Commit } else { Kind::Abort };
        batch.put(&keys::chunk(place, at), &marker(kind, transaction.producer));
        if end == End::Abort {
            batch.put(&keys::aborted(place, Offset(first), transaction.producer), &at.0.to_le_bytes());
        }
        known.high = at.next();
        known.dirty_chunks += 1;
        known.put_meta(place, &mut batch);
        marked.push((place, Offset(first), at));
    }
    if end == End::Commit {
        for (group, partition, committed) in &transaction.offsets {
            super::group::Group::put_offset(group, partition, committed, &mut batch);
        }
    }
    let ended = Transaction { touched: Vec::new(), is_open: false, began: None, offsets: Vec::new(), ..transaction.clone() };
    ended.put(id, &mut batch);
    let written = write(kv, operation, &batch, Durability::Synced);
    state.batch = batch;
    if let Err(error) = written {
        // Nothing was written: the bounds go back to what the storage says.
        for (place, _, at) in marked {
            if let Some(known) = state.place(place) {
                known.high = at;
                known.dirty_chunks -= 1;
            }
        }
        return Err(error);
    }
    for (place, first, last) in marked {
        if let Some(known) = state.place(place) {
            known.open.remove(&transaction.producer);
            if end == End::Abort {
                known.aborted.push(Aborted { producer: transaction.producer, first, last });
            }
        }
    }
    for (group, partition, committed) in transaction.offsets {
        let group = state.groups.entry(group).or_default();
        group.pending.remove(&transaction.producer);
        if end == End::Commit {
            group.offsets.insert(partition, committed);
        }
    }
    state.transactions.insert(Arc::clone(id), ended);
    Ok(())
}

/// When a log is opened, no transaction can have an owner.
pub(super) fn abort_left_open(kv: &dyn Kv, state: &mut State) -> Result<()> {
    let open: Vec<_> =
        state.transactions.iter().filter(|(_, transaction)| !transaction.touched.is_empty()).map(|(id, _)| Arc::clone(id)).collect();
    for id in open {
        if let Some(transaction) = state.transactions.get(&id).cloned() {
            for (topic, partition, first) in transaction.touched {
                if let Some(known) = state.place(Place { topic, partition: Partition(partition) }) {
                    known.open.insert(transaction.producer, Offset(first));
                }
            }
        }
        end(kv, state, &id, End::Abort)?;
    }
    Ok(())
}

/// The holder of `id` with this epoch; anybody else is fenced.
pub(super) fn held<'s>(state: &'s mut State, operation: &str, id: &str, epoch: u64) -> Result<&'s mut Transaction> {
    match state.transactions.get_mut(id) {
        Some(transaction) if transaction.epoch == epoch => Ok(transaction),
        _ => Err(Error::new(Class::Fenced, operation, format!("transactional id {id} is held by a newer producer"))),
    }
}

/// Aborts transactions that are open for longer than their owners allowed, and fences these.
pub(super) fn abort_expired(kv: &dyn Kv, state: &mut State, now: Timestamp) -> Result<()> {
    let mut expired = Vec::new();
    for (id, transaction) in state.transactions.iter_mut().filter(|(_, transaction)| transaction.is_open) {
        // Time is only known from here: a transaction ages from the first look at it.
        let began = *transaction.began.get_or_insert(now);
        if now.0.saturating_sub(began.0) > i64::try_from(transaction.timeout_ms).unwrap_or(i64::MAX) {
            expired.push(Arc::clone(id));
        }
    }
    for id in expired {
        end(kv, state, &id, End::Abort)?;
        if let Some(transaction) = state.transactions.get_mut(&id) {
            transaction.epoch += 1;
        }
    }
    Ok(())
}
