//! [`TaskState`]: the rows of a task from the first write of a record to the disk.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::Options;
use super::error::{Error, Result};
use super::keys::{self, FORMAT_VERSION, Kind};
use super::layout::{StoreLayout, StoreSpec};
use super::restore::{CHUNK_BYTES, Chunk};
use super::store::Rows;
use super::stored::{Description, Stored};
use crate::streams::clock::Timestamp;
use crate::streams::kv::{Batch, Direction, Durability, Kv};
use crate::streams::log::{Offset, RecordBatch};
use crate::streams::processor::{BoxError, KeyValueStore, StoreId};

/// A checkpoint that does not move is confirmed after this time, in milliseconds: what is not confirmed for long may have missed tombstones.
const CONFIRM_MS: i64 = 600_000;

/// What is known of one store beside its rows.
#[derive(Debug)]
struct Store {
    spec: StoreSpec,
    number: u16,
    /// Up to where the disk is complete (the next changelog offset to read).
    checkpoint: Option<Offset>,
    /// Up to where disk and memory together are complete.
    complete_up_to: Option<Offset>,
    /// When the checkpoint on disk was known to be the changelog's end.
    as_of: Option<Timestamp>,
    /// Records of a restore that are not on disk yet.
    chunk: Option<Chunk>,
}

/// What [`TaskState::drain`] calls for each written key: store, key, value (none: removed), time of the record that wrote it last.
pub type Drain<'v> = dyn FnMut(StoreId, &[u8], Option<&[u8]>, Timestamp) -> Result<(), BoxError> + 'v;

/// The state of one task: all its stores, from the overlay of the open transaction down to the disk.
#[derive(Debug)]
pub struct TaskState {
    pub(super) rows: Rows,
    stores: Vec<Store>,
    stored: Stored,
    options: Options,
    /// The wall clock, as far as it was told.
    now: Option<Timestamp>,
    /// The life of the changelogs, where it was told.
    epoch: Option<Arc<str>>,
}

impl TaskState {
    /// Opens what `kv` holds for these stores. Writes nothing: compare [`stored_layouts`](Self::stored_layouts) first
    /// ([`layout::check`](super::layout::check)), because from the first flush on the declared ones are stored.
    pub fn open(task: &str, kv: Arc<dyn Kv>, declared: Vec<StoreSpec>, options: Options) -> Result<Self> {
        let mut stored = Stored::read(task, &*kv)?;
        let limit = usize::from(u16::MAX);
        let mut opened: Vec<Store> = Vec::with_capacity(declared.len());
        for spec in declared {
            if opened.iter().any(|known| known.spec.name == spec.name) {
                return Err(Error::DuplicateStore { task: task.to_owned(), store: spec.name.to_string() });
            }
            let number = stored.number(&spec.name).filter(|_| opened.len() < limit);
            let number = number.ok_or_else(|| Error::TooManyStores { task: task.to_owned(), limit })?;
            let checkpoint = stored.checkpoints.get(&number).copied();
            let as_of = stored.as_of.get(&number).copied();
            opened.push(Store { spec, number, checkpoint, complete_up_to: checkpoint, as_of, chunk: None });
        }
        let numbers = opened.iter().map(|store| store.number).collect();
        let rows = Rows::new(task, kv, numbers, options.cache_bytes);
        Ok(Self { rows, stores: opened, stored, options, now: None, epoch: None })
    }

    /// A store, to read and write. The calls of one that does not exist fail.
    pub fn store(&mut self, id: StoreId) -> &mut dyn KeyValueStore {
        self.rows.current = id.0;
        &mut self.rows
    }

    /// All writes until the next call belong to one input record (or punctuation) of this time.
    pub fn begin_record(&mut self, timestamp: Timestamp) {
        self.rows.overlay.begin_record(timestamp);
    }

    /// Takes back exactly the writes since [`begin_record`](Self::begin_record) (since the last drain, if that was later).
    pub fn undo_record(&mut self) {
        self.rows.overlay.undo_record(&mut self.rows.cache);
    }

    /// Bytes of the uncommitted rows; 0 where there are none.
    pub fn overlay_bytes(&self) -> usize {
        self.rows.overlay.live_bytes()
    }

    /// Whether the transaction should be committed because of its size: see the limits in the [module's](super) head.
    pub fn overlay_full(&self) -> bool {
        self.overlay_bytes() > self.options.cache_bytes / 4
    }

    /// Hands out the last write per key of the open transaction, in the order in which the keys were first written. The
    /// overlay stays until [`committed`](Self::committed) or [`discard`](Self::discard). Returns `visit`'s error as it is.
    pub fn drain(&mut self, visit: &mut Drain<'_>) -> Result<(), BoxError> {
        for pending in self.rows.overlay.iter() {
            let row = self.rows.cache.row(pending.row);
            visit(StoreId(row.store()), row.key(), pending.value(), pending.timestamp())?;
        }
        self.rows.overlay.drained();
        Ok(())
    }

    /// The transaction has committed: its rows are the write-back cache's now, and with them each store named is complete
    /// up to the changelog offset given (the next to read). A store whose offset is not known is left out.
    pub fn committed(&mut self, complete_up_to: &[(StoreId, Offset)]) -> Result<()> {
        if !self.rows.overlay.is_drained() {
            return Err(Error::NotDrained { task: self.rows.task.clone() });
        }
        for &(id, _) in complete_up_to {
            self.known(id)?;
        }
        self.rows.overlay.commit(&mut self.rows.cache, self.options.cache_bytes / 8);
        for &(id, offset) in complete_up_to {
            if let Some(store) = self.stores.get_mut(id.0) {
                store.complete_up_to = store.complete_up_to.max(Some(offset));
            }
        }
        self.rows.make_room(0);
        Ok(())
    }

    /// The transaction was aborted: its rows are forgotten, committed ones stay.
    pub fn discard(&mut self) {
        self.rows.overlay.discard(&mut self.rows.cache, self.options.cache_bytes / 8);
    }

    /// Bytes of the committed rows that are not on disk yet.
    pub fn write_back_bytes(&self) -> usize {
        self.rows.cache.dirty_bytes()
    }

    /// Whether it is time to [`flush`](Self::flush).
    pub fn write_back_due(&self) -> bool {
        self.write_back_bytes() > self.options.write_back_bytes.min(self.options.cache_bytes / 2)
    }

    /// Whether no more records should be taken until a flush succeeds.
    pub fn write_back_full(&self) -> bool {
        self.write_back_bytes() > self.options.cache_bytes / 4 * 3
    }

    /// Estimated bytes of all rows in memory.
    pub fn memory_bytes(&self) -> usize {
        self.rows.bytes()
    }

    /// Writes all committed rows with the checkpoint of each store, the next input offset to read (none: what is stored
    /// stays) and the layouts, in one batch. Uncommitted rows have no part in it. Does nothing where there is nothing to
    /// write. After an error everything is as before and the call can be made again.
    ///
    /// With an input offset the task is at work, so its checkpoints were not before the changelogs' ends at the time last
    /// [told](Self::tell_time); that is written too, from time to time even where nothing else is.
    pub fn flush(&mut self, input: Option<Offset>) -> Result<()> {
        let now = self.now.filter(|_| input.is_some());
        let input = input.filter(|_| input != self.stored.input);
        let moved = self.stores.iter().any(|store| store.checkpoint != store.complete_up_to);
        if self.rows.cache.dirty().is_empty() && !moved && input.is_none() && self.is_described() && !self.is_unconfirmed(now) {
            return Ok(());
        }
        let mut batch = Batch::default();
        self.describe(&mut batch)?;
        for store in &self.stores {
            if let Some(offset) = store.complete_up_to {
                batch.put(&keys::meta(Kind::Checkpoint, store.number), &keys::offset_bytes(offset));
            }
        }
        if let Some(input) = input {
            batch.put(&keys::meta(Kind::Input, 0), &keys::offset_bytes(input));
        }
        for store in self.stores.iter().filter(|store| store.complete_up_to.is_some()) {
            if let Some(now) = now {
                batch.put(&keys::meta(Kind::AsOf, store.number), &keys::time_bytes(now));
            }
        }
        name_epoch(self.epoch.as_deref(), self.stored.epoch.as_deref(), &mut batch);
        let mut key = std::mem::take(&mut self.rows.key);
        // Only for the sake of speed: a write buffer is quickest where keys come in order.
        let numbers = &self.rows.numbers;
        self.rows.cache.sort_dirty(|store| numbers.get(store).copied().unwrap_or_default());
        for &slot in self.rows.cache.dirty() {
            let row = self.rows.cache.row(slot);
            let Some(store) = self.stores.get(row.store()) else { continue };
            keys::row(store.number, row.key(), &mut key);
            match row.value() {
                Some(value) => batch.put(&key, value),
                None => batch.delete(&key),
            }
        }
        self.rows.key = key;
        self.write(&batch)?;
        self.described();
        self.rows.cache.flushed();
        for store in &mut self.stores {
            store.checkpoint = store.complete_up_to;
            store.as_of = now.filter(|_| store.complete_up_to.is_some()).or(store.as_of);
        }
        self.stored.input = input.or(self.stored.input);
        self.rows.make_room(0);
        Ok(())
    }

    /// Flushes, and begins to make everything durable, so that a process that dies leaves a recent checkpoint however little was written.
    pub fn flush_through(&mut self, input: Option<Offset>) -> Result<()> {
        self.flush(input)?;
        self.rows.kv.begin_flush();
        Ok(())
    }

    /// Flushes and makes everything durable. The state stays usable.
    pub fn close(&mut self, input: Option<Offset>) -> Result<()> {
        self.flush(input)?;
        self.rows.kv.flush().map_err(|error| self.failed(error))
    }

    /// The stores with their names.
    pub fn names(&self) -> impl Iterator<Item = (StoreId, &str)> {
        self.stores.iter().enumerate().map(|(place, store)| (StoreId(place), &*store.spec.name))
    }

    /// What the disk is complete up to: the next changelog offset to read. None: nothing.
    pub fn checkpoint(&self, id: StoreId) -> Option<Offset> {
        self.stores.get(id.0)?.checkpoint
    }

    /// When the [`checkpoint`](Self::checkpoint) was known to be the changelog's end; none where that is not known.
    pub fn as_of(&self, id: StoreId) -> Option<Timestamp> {
        self.stores.get(id.0)?.as_of
    }

    /// At this time the task was certainly its owner's and complete; without it nothing is said of the age of checkpoints.
    pub fn tell_time(&mut self, now: Timestamp) {
        self.now = Some(now);
    }

    /// The life of the changelogs that the rows on disk come from; none where that is not known.
    pub fn stored_epoch(&self) -> Option<&str> {
        self.stored.epoch.as_deref()
    }

    /// Names the life of the changelogs; it is written with the next rows.
    pub fn set_epoch(&mut self, epoch: &str) {
        self.epoch = Some(epoch.into());
    }

    /// What disk and memory together are complete up to; a restore may begin here as well as at the checkpoint.
    pub fn complete_up_to(&self, id: StoreId) -> Option<Offset> {
        self.stores.get(id.0)?.complete_up_to
    }

    /// The next input offset to read, as of the last flush.
    pub fn stored_input(&self) -> Option<Offset> {
        self.stored.input
    }

    /// The layouts on disk, by store name; those of stores that are no longer declared too.
    pub fn stored_layouts(&self) -> &std::collections::BTreeMap<String, StoreLayout> {
        &self.stored.layouts
    }

    /// Applies changelog records (a value of none deletes; the last per key wins). `complete_up_to` is the next offset to
    /// read after them. Records that the state has already are passed over, so a restore may begin too early, and the same
    /// batch can be given again after an error. No transaction may be open, and until
    /// [`restore_done`](Self::restore_done) the store is neither read nor written.
    pub fn restore(&mut self, id: StoreId, batch: &RecordBatch, complete_up_to: Offset) -> Result<()> {
        self.begin_restore(id)?;
        let limit = CHUNK_BYTES.min(self.options.cache_bytes / 2) / self.stores.len().max(1);
        for record in batch.iter() {
            let Some(store) = self.stores.get_mut(id.0) else { break };
            let chunk = store.chunk.get_or_insert_default();
            if Some(record.offset) < store.complete_up_to.max(chunk.complete_up_to) {
                continue;
            }
            chunk.push(&record);
            if chunk.bytes() > limit {
                self.write_chunk(id, false)?;
            }
        }
        self.move_chunk(id, complete_up_to);
        Ok(())
    }

    /// Writes what was given so far: the restore goes on from there, now or another time.
    pub fn restore_so_far(&mut self, id: StoreId) -> Result<()> {
        self.begin_restore(id)?;
        self.write_chunk(id, false)
    }

    /// All changelog records up to here were given, and here was the changelog's end at the time last [told](Self::tell_time): writes what is left.
    pub fn restore_done(&mut self, id: StoreId, complete_up_to: Offset) -> Result<()> {
        self.begin_restore(id)?;
        self.move_chunk(id, complete_up_to);
        self.write_chunk(id, true)?;
        if let Some(store) = self.stores.get_mut(id.0) {
            store.chunk = None;
        }
        // Whoever read in between saw the rows as they were.
        self.rows.cache.forget(id.0);
        Ok(())
    }

    /// Forgets rows and checkpoint of a store, on disk and in memory. No transaction may be open.
    pub fn wipe(&mut self, id: StoreId) -> Result<()> {
        self.known(id)?;
        self.no_transaction()?;
        let number = self.stores.get(id.0).map_or(0, |store| store.number);
        let mut batch = Batch::default();
        batch.delete(&keys::meta(Kind::Checkpoint, number));
        batch.delete(&keys::meta(Kind::AsOf, number));
        batch.delete_range(&keys::meta(Kind::Row, number), &keys::end(Kind::Row, number));
        self.write(&batch)?;
        self.forget(id);
        Ok(())
    }

    /// Forgets everything that is stored of the task: rows, checkpoints, input, layouts.
    pub fn wipe_all(&mut self) -> Result<()> {
        self.no_transaction()?;
        let mut batch = Batch::default();
        batch.delete_range(&[0], &[Kind::Row as u8 + 1]);
        self.write(&batch)?;
        for id in 0..self.stores.len() {
            self.forget(StoreId(id));
        }
        // The numbers of the declared stores stay as they are: any unique ones do.
        self.stored = Stored::default();
        Ok(())
    }

    fn forget(&mut self, id: StoreId) {
        self.rows.cache.forget(id.0);
        if let Some(store) = self.stores.get_mut(id.0) {
            store.checkpoint = None;
            store.complete_up_to = None;
            store.as_of = None;
            store.chunk = None;
        }
    }

    /// Before the first record of a restore: memory and disk must say the same, and an unfinished state must not show through.
    fn begin_restore(&mut self, id: StoreId) -> Result<()> {
        self.known(id)?;
        self.no_transaction()?;
        // Order: the chunks' checkpoint would cover dirty rows that are not in them.
        self.flush(None)?;
        if self.stores.get(id.0).and_then(|store| store.chunk.as_ref()).is_some_and(|chunk| !chunk.is_empty()) {
            return Ok(());
        }
        self.rows.cache.forget(id.0);
        let Some(store) = self.stores.get(id.0) else { return Ok(()) };
        // Rows without a checkpoint: of unknown age, and a compacted changelog no longer says which of them were deleted since.
        if store.checkpoint.is_none() && self.has_rows(store.number)? {
            self.wipe(id)?;
        }
        if let Some(store) = self.stores.get_mut(id.0) {
            store.chunk.get_or_insert_default();
        }
        Ok(())
    }

    fn move_chunk(&mut self, id: StoreId, complete_up_to: Offset) {
        if let Some(chunk) = self.stores.get_mut(id.0).and_then(|store| store.chunk.as_mut()) {
            chunk.complete_up_to = chunk.complete_up_to.max(Some(complete_up_to));
        }
    }

    /// Writes a chunk with its checkpoint, which is the changelog's end or on the way to it. After an error it is still there.
    fn write_chunk(&mut self, id: StoreId, at_end: bool) -> Result<()> {
        let mut batch = Batch::default();
        self.describe(&mut batch)?;
        let Some(store) = self.stores.get_mut(id.0) else { return Ok(()) };
        let Some(chunk) = &mut store.chunk else { return Ok(()) };
        let complete_up_to = store.complete_up_to.max(chunk.complete_up_to);
        // What rows from before the restore lack may lie beyond a checkpoint on the way: it is as old as they are. A restore that began with nothing
        // saw every tombstone since: its age counts from its beginning.
        let as_of = if at_end { self.now.or(store.as_of) } else { store.as_of.or(self.now) };
        let is_confirmed = !at_end || !is_old(store.as_of, self.now);
        if chunk.is_empty() && complete_up_to == store.checkpoint && is_confirmed {
            return Ok(());
        }
        if let Some(offset) = complete_up_to {
            batch.put(&keys::meta(Kind::Checkpoint, store.number), &keys::offset_bytes(offset));
        }
        if let Some(at) = as_of {
            batch.put(&keys::meta(Kind::AsOf, store.number), &keys::time_bytes(at));
        }
        name_epoch(self.epoch.as_deref(), self.stored.epoch.as_deref(), &mut batch);
        chunk.write_to(store.number, &mut batch, &mut self.rows.key);
        self.write(&batch)?;
        self.described();
        if let Some(store) = self.stores.get_mut(id.0) {
            store.complete_up_to = complete_up_to;
            store.checkpoint = complete_up_to;
            store.as_of = as_of;
            store.chunk.get_or_insert_default().clear();
        }
        Ok(())
    }

    /// Whether format and layouts on disk are the declared ones.
    fn is_described(&self) -> bool {
        let same = |store: &Store| self.stored.layouts.get(&*store.spec.name) == Some(&store.spec.layout);
        self.stored.is_formatted && self.stores.iter().all(same) && (self.epoch.is_none() || self.epoch == self.stored.epoch)
    }

    /// Whether the disk should be told that its checkpoints are still the changelogs' ends.
    fn is_unconfirmed(&self, now: Option<Timestamp>) -> bool {
        let mut complete = self.stores.iter().filter(|store| store.complete_up_to.is_some());
        complete.any(|store| is_old(store.as_of, now))
    }

    /// Puts format and layouts into a batch where the disk has others.
    fn describe(&self, batch: &mut Batch) -> Result<()> {
        if self.is_described() {
            return Ok(());
        }
        batch.put(&keys::meta(Kind::Format, 0), &[FORMAT_VERSION]);
        for store in &self.stores {
            let description = Description { name: store.spec.name.to_string(), layout: store.spec.layout.clone() };
            let json = serde_json::to_vec(&description).map_err(|error| Error::corrupt(&self.rows.task, error))?;
            batch.put(&keys::meta(Kind::Store, store.number), &json);
        }
        Ok(())
    }

    /// A batch with [`describe`](Self::describe) was written.
    fn described(&mut self) {
        if self.is_described() {
            return;
        }
        self.stored.is_formatted = true;
        self.stored.epoch = self.epoch.clone().or_else(|| self.stored.epoch.take());
        for store in &self.stores {
            self.stored.layouts.insert(store.spec.name.to_string(), store.spec.layout.clone());
        }
    }

    fn has_rows(&self, number: u16) -> Result<bool> {
        let (first, last) = (keys::meta(Kind::Row, number), keys::end(Kind::Row, number));
        let mut found = false;
        let scanned = self.rows.kv.scan(&first, Some(&last), Direction::Forward, &mut |_, _| {
            found = true;
            ControlFlow::Break(())
        });
        scanned.map_err(|error| self.failed(error))?;
        Ok(found)
    }

    fn write(&self, batch: &Batch) -> Result<()> {
        self.rows.kv.write(batch, Durability::Volatile).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: crate::streams::kv::Error) -> Error {
        Error::of(&self.rows.task, error)
    }

    fn known(&self, id: StoreId) -> Result<()> {
        if id.0 < self.stores.len() { Ok(()) } else { Err(Error::UnknownStore { task: self.rows.task.clone(), store: id.0 }) }
    }

    fn no_transaction(&self) -> Result<()> {
        if self.rows.overlay.is_empty() { Ok(()) } else { Err(Error::Uncommitted { task: self.rows.task.clone() }) }
    }
}

/// Whether a checkpoint that was the changelog's end `as_of` should be confirmed.
fn is_old(as_of: Option<Timestamp>, now: Option<Timestamp>) -> bool {
    now.is_some_and(|now| as_of.is_none_or(|at| now.0 >= at.0.saturating_add(CONFIRM_MS)))
}

/// Puts the epoch into a batch where the disk has another one.
fn name_epoch(epoch: Option<&str>, stored: Option<&str>, batch: &mut Batch) {
    if let Some(epoch) = epoch.filter(|_| epoch != stored) {
        batch.put(&keys::meta(Kind::Epoch, 0), epoch.as_bytes());
    }
}
