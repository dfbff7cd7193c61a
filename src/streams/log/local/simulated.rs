//! What a broker does and the embedded log does not: members that outlive their process, markers that are late, requests that come twice. For tests
//! and the simulation, which tell the log when.

use std::sync::Arc;

use super::compaction::Settings;
use super::keys::{self, Place};
use super::transaction::{self, End};
use super::{LocalLog, State, consumer, fetch, write};
use crate::streams::kv::{Batch, Direction, Durability};
use crate::streams::log::{Class, Committed, Error, Offset, Result, TopicPartition};

/// The part of a transaction's end that waits: one destination of a marker.
#[derive(Clone, Debug)]
pub(super) struct Late {
    pub(super) id: Arc<str>,
    pub(super) producer: u64,
    pub(super) end: End,
    pub(super) at: Destination,
}

/// Where a marker goes.
#[derive(Clone, Debug)]
pub(super) enum Destination {
    /// A partition: where the transaction begins in it, and its marker.
    Records(Place, Offset, Offset),
    /// The topic of the committed offsets.
    Offsets(Vec<(Arc<str>, TopicPartition, Committed)>),
}

/// How a broker differs from the embedded log.
#[derive(Debug, Default)]
pub(super) struct Simulated {
    /// A member whose consumer is dropped stays, as after the death of its process; offsets without a member are taken unseen.
    pub(super) is_broker: bool,
    /// Markers wait until they are released.
    pub(super) holds_markers: bool,
    pub(super) late: Vec<Late>,
}

impl LocalLog {
    /// A log in memory that keeps members whose consumers are gone, as a broker does until their session is over ([`evict`](Self::evict)), and that
    /// compacts however little there is.
    pub fn as_broker() -> Arc<Self> {
        let log = Self::in_memory();
        log.shared.state.lock().simulated.is_broker = true;
        log.shared.compactor.lock().settings = Settings { dirty_bytes_min: 1, tail_chunks_max: 50, ..Settings::default() };
        log
    }

    /// Takes a member's partitions away, as a broker does when its session times out.
    pub fn evict(&self, group: &str, member_id: &str) -> bool {
        let mut state = self.shared.state.lock();
        let partitions = consumer::partitions_of(&state, group, &[]);
        let evicted = state.groups.get_mut(group).is_some_and(|group| group.evict(member_id, &partitions));
        drop(state);
        self.shared.changed.notify_all();
        evicted
    }

    /// The members of a group: their ids, and the instance ids of those that have one.
    pub fn members(&self, group: &str) -> Vec<(Arc<str>, Option<Arc<str>>)> {
        self.shared.state.lock().groups.get(group).map(super::group::Group::members).unwrap_or_default()
    }

    /// From now on the markers of transactions that end wait until they are released, or until their producer begins the next transaction.
    pub fn hold_markers(&self, hold: bool) {
        self.shared.state.lock().simulated.holds_markers = hold;
    }

    /// How many markers wait.
    pub fn held_markers(&self) -> usize {
        self.shared.state.lock().simulated.late.len()
    }

    /// Writes one of the markers that wait, the `place`-th of them.
    pub fn release_marker(&self, place: usize) {
        let mut state = self.shared.state.lock();
        if place < state.simulated.late.len() {
            let Late { producer, end, at, .. } = state.simulated.late.remove(place);
            transaction::arrive(&mut state, producer, end, at);
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// The transactional ids with an open transaction that has records or offsets.
    pub fn open_transactions(&self) -> Vec<Arc<str>> {
        let state = self.shared.state.lock();
        let open = state.transactions.iter().filter(|(_, transaction)| transaction.is_open && transaction.has_begun());
        open.map(|(id, _)| Arc::clone(id)).collect()
    }

    /// The epoch of who holds a transactional id now, as a request of its producer would carry it.
    pub fn epoch(&self, transactional_id: &str) -> Option<u64> {
        self.shared.state.lock().transactions.get(transactional_id).map(|transaction| transaction.epoch)
    }

    /// A request to end a transaction arrives that was sent before: it ends whatever is open under that epoch (the protocol's version 1 knows no
    /// more of a transaction). Says whether it ended one.
    pub fn end_late(&self, transactional_id: &str, epoch: u64, commits: bool) -> Result<bool> {
        let end = if commits { End::Commit } else { End::Abort };
        let mut state = self.shared.state.lock();
        let open = state.transactions.get(transactional_id).is_some_and(|known| known.epoch == epoch && known.has_begun());
        if open {
            transaction::decide(&*self.shared.kv, &mut state, transactional_id, end)?;
            transaction::publish(&mut state, transactional_id);
        }
        drop(state);
        self.shared.changed.notify_all();
        Ok(open)
    }

    /// Deletes the records of a partition below `to`, as somebody may with Kafka's `DeleteRecords`.
    pub fn truncate(&self, partition: &TopicPartition, to: Offset) -> Result<()> {
        let operation = "deleting records";
        let _compactor = self.shared.compactor.lock();
        let mut state = self.shared.state.lock();
        let (place, known) = state.partition(operation, partition)?;
        let mut bounds = known.bounds;
        if to < bounds.low || to > bounds.high {
            return Err(Error::new(Class::OutOfRange, operation, format!("offset {to} is outside the log of {partition}")));
        }
        let mut batch = Batch::default();
        fetch::chunks(&*self.shared.kv, place, bounds.low..to, Direction::Forward, &mut |found, _| {
            if found.end() <= to {
                batch.delete(&keys::chunk(place, found.base));
            }
            std::ops::ControlFlow::Continue(())
        })?;
        bounds.low = to;
        bounds.put(place, &mut batch);
        write(&*self.shared.kv, operation, &batch, Durability::Buffered)?;
        known.bounds = bounds;
        Ok(())
    }
}

/// Writes the markers of `id` that wait: its next transaction does not begin before.
pub(super) fn settle(state: &mut State, id: &str) {
    if state.simulated.late.is_empty() {
        return;
    }
    let (own, others) = std::mem::take(&mut state.simulated.late).into_iter().partition(|late| *late.id == *id);
    state.simulated.late = others;
    let own: Vec<Late> = own;
    for Late { producer, end, at, .. } in own {
        transaction::arrive(state, producer, end, at);
    }
}
