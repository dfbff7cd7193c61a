//! The uncommitted writes of the open transaction, and how one record's part of them is taken back.
//!
//! Pending values lie on a stack in the order in which their keys were first written, so what the current record added is
//! the top of it. A value that an earlier record of the same transaction had written is moved aside before the current
//! record changes it for the first time. All buffers are used again.

use super::cache::{Cache, NONE, Slot, slot};
use crate::streams::clock::Timestamp;

/// What a pending value costs beside the bytes of key and value.
const PENDING_OVERHEAD_BYTES: usize = size_of::<Pending>() + 16;

/// What a transaction will make of a row.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) row: Slot,
    key_length: u32,
    /// The record that wrote it last.
    record: u64,
    timestamp: Timestamp,
    present: bool,
    value: Vec<u8>,
}

impl Pending {
    /// The value; none is a removal.
    pub(super) fn value(&self) -> Option<&[u8]> {
        self.present.then_some(self.value.as_slice())
    }

    /// The time of the record that wrote it last.
    pub(super) fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    fn live_bytes(&self) -> usize {
        PENDING_OVERHEAD_BYTES + self.key_length as usize + self.value.len()
    }

    fn set(&mut self, value: Option<&[u8]>) {
        self.value.clear();
        self.value.extend_from_slice(value.unwrap_or_default());
        self.present = value.is_some();
    }
}

/// A pending value as it was before the current record.
#[derive(Debug)]
struct Undo {
    pending: Slot,
    record: u64,
    timestamp: Timestamp,
    present: bool,
    value: Vec<u8>,
}

/// The uncommitted writes.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    /// The first `length` are in use, the others keep their buffers.
    pending: Vec<Pending>,
    length: usize,
    /// The first `undo_length` are in use, the others keep their buffers.
    undo: Vec<Undo>,
    undo_length: usize,
    /// `length` when the current record began.
    mark: usize,
    record: u64,
    timestamp: Timestamp,
    live_bytes: usize,
    held_bytes: usize,
    drained: bool,
}

impl Overlay {
    /// Bytes of the uncommitted writes; 0 where there are none.
    pub(super) fn live_bytes(&self) -> usize {
        self.live_bytes
    }

    /// Bytes of all buffers, the unused ones too.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether all writes have been drained.
    pub(super) fn is_drained(&self) -> bool {
        self.drained || self.is_empty()
    }

    /// Everything that is pending, in the order in which the keys were first written.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Pending> {
        self.pending.iter().take(self.length)
    }

    #[expect(clippy::indexing_slicing, reason = "a row's pending slot names a live entry; a wrong one must not pass unnoticed")]
    pub(super) fn get(&self, pending: Slot) -> &Pending {
        &self.pending[pending as usize]
    }

    pub(super) fn begin_record(&mut self, timestamp: Timestamp) {
        self.timestamp = timestamp;
        self.end_record();
    }

    /// What was written until now can no longer be taken back by [`undo_record`](Self::undo_record).
    fn end_record(&mut self) {
        self.record += 1;
        self.mark = self.length;
        self.undo_length = 0;
    }

    /// Writes a pending value for a row.
    pub(super) fn write(&mut self, cache: &mut Cache, place: Slot, value: Option<&[u8]>) {
        self.drained = false;
        let pending = cache.row(place).pending;
        if pending == NONE {
            let key_length = slot(cache.row(place).key().len());
            cache.row_mut(place).pending = self.push(place, key_length, value);
        } else {
            self.overwrite(pending, value);
        }
    }

    fn push(&mut self, row: Slot, key_length: u32, value: Option<&[u8]>) -> Slot {
        if self.length == self.pending.len() {
            let fresh = Pending { row, key_length, record: 0, timestamp: self.timestamp, present: false, value: Vec::new() };
            self.pending.push(fresh);
            self.held_bytes += PENDING_OVERHEAD_BYTES;
        }
        let place = self.length;
        self.length += 1;
        if let Some(pending) = self.pending.get_mut(place) {
            let previous_bytes = pending.value.capacity();
            pending.row = row;
            pending.key_length = key_length;
            pending.record = self.record;
            pending.timestamp = self.timestamp;
            pending.set(value);
            self.live_bytes += pending.live_bytes();
            self.held_bytes = self.held_bytes - previous_bytes + pending.value.capacity();
        }
        slot(place)
    }

    fn overwrite(&mut self, place: Slot, value: Option<&[u8]>) {
        let Some(pending) = self.pending.get_mut(place as usize) else { return };
        self.live_bytes -= pending.live_bytes();
        if pending.record != self.record {
            if self.undo_length == self.undo.len() {
                self.undo.push(Undo { pending: place, record: 0, timestamp: self.timestamp, present: false, value: Vec::new() });
                self.held_bytes += size_of::<Undo>();
            }
            if let Some(undo) = self.undo.get_mut(self.undo_length) {
                self.undo_length += 1;
                undo.pending = place;
                undo.record = pending.record;
                undo.timestamp = pending.timestamp;
                undo.present = pending.present;
                std::mem::swap(&mut undo.value, &mut pending.value);
            }
            pending.record = self.record;
        }
        let previous_bytes = pending.value.capacity();
        pending.timestamp = self.timestamp;
        pending.set(value);
        self.live_bytes += pending.live_bytes();
        self.held_bytes = self.held_bytes - previous_bytes + pending.value.capacity();
    }

    /// Takes back what was written since [`begin_record`](Self::begin_record).
    pub(super) fn undo_record(&mut self, cache: &mut Cache) {
        for undo in self.undo.iter_mut().take(self.undo_length) {
            let Some(pending) = self.pending.get_mut(undo.pending as usize) else { continue };
            self.live_bytes -= pending.live_bytes();
            std::mem::swap(&mut undo.value, &mut pending.value);
            pending.record = undo.record;
            pending.timestamp = undo.timestamp;
            pending.present = undo.present;
            self.live_bytes += pending.live_bytes();
        }
        for pending in self.pending.iter().take(self.length).skip(self.mark) {
            cache.row_mut(pending.row).pending = NONE;
            self.live_bytes -= pending.live_bytes();
        }
        self.length = self.mark;
        self.end_record();
    }

    /// Everything pending is in the changelog's transaction.
    pub(super) fn drained(&mut self) {
        self.end_record();
        self.drained = true;
    }

    /// Hands all pending values over to the rows as committed.
    pub(super) fn commit(&mut self, cache: &mut Cache, keep_bytes: usize) {
        for pending in self.pending.iter().take(self.length) {
            cache.committed(pending.row, pending.value());
        }
        self.clear(keep_bytes);
    }

    /// Forgets all pending values.
    pub(super) fn discard(&mut self, cache: &mut Cache, keep_bytes: usize) {
        for pending in self.pending.iter().take(self.length) {
            cache.row_mut(pending.row).pending = NONE;
        }
        self.clear(keep_bytes);
    }

    fn clear(&mut self, keep_bytes: usize) {
        self.length = 0;
        self.live_bytes = 0;
        self.drained = false;
        self.end_record();
        while self.held_bytes > keep_bytes {
            if let Some(undo) = self.undo.pop() {
                self.held_bytes -= size_of::<Undo>() + undo.value.capacity();
            } else if let Some(pending) = self.pending.pop() {
                self.held_bytes -= PENDING_OVERHEAD_BYTES + pending.value.capacity();
            } else {
                break;
            }
        }
    }

    /// Recounts everything.
    #[cfg(test)]
    pub(super) fn assert_consistent(&self, cache: &Cache) {
        assert_eq!(self.live_bytes, self.iter().map(Pending::live_bytes).sum::<usize>());
        let pending = self.pending.iter().map(|pending| PENDING_OVERHEAD_BYTES + pending.value.capacity()).sum::<usize>();
        let undo = self.undo.iter().map(|undo| size_of::<Undo>() + undo.value.capacity()).sum::<usize>();
        assert_eq!(self.held_bytes, pending + undo);
        for (place, pending) in self.iter().enumerate() {
            assert_eq!(cache.row(pending.row).pending, slot(place));
        }
    }
}
