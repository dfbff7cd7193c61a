//! What a processor reads and writes: the stores of one task over its storage, the cache and the overlay.

use std::sync::Arc;

use super::cache::{Cache, Committed, NONE, Slot, hash};
use super::error::{Error, Result};
use super::keys;
use super::overlay::Overlay;
use crate::streams::kv::{Kv, Visit};
use crate::streams::processor::{BoxError, KeyValueStore};

/// The rows of all stores of a task. As a [`KeyValueStore`] it is the store `current`.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) task: String,
    pub(super) kv: Arc<dyn Kv>,
    pub(super) cache: Cache,
    pub(super) overlay: Overlay,
    /// The number of each store on disk.
    pub(super) numbers: Vec<u16>,
    pub(super) current: usize,
    pub(super) cache_bytes: usize,
    pub(super) key: Vec<u8>,
    value: Vec<u8>,
    pub(super) found: Vec<Slot>,
}

impl Rows {
    pub(super) fn new(task: &str, kv: Arc<dyn Kv>, numbers: Vec<u16>, cache_bytes: usize) -> Self {
        Self {
            task: task.to_owned(),
            kv,
            cache: Cache::new(numbers.len()),
            overlay: Overlay::default(),
            numbers,
            current: 0,
            cache_bytes,
            key: Vec::new(),
            value: Vec::new(),
            found: Vec::new(),
        }
    }

    /// The number of the current store on disk.
    pub(super) fn number(&self) -> Result<u16> {
        let unknown = || Error::UnknownStore { task: self.task.clone(), store: self.current };
        self.numbers.get(self.current).copied().ok_or_else(unknown)
    }

    /// Bytes of everything in memory, the buffers kept for later too.
    pub(super) fn bytes(&self) -> usize {
        self.cache.bytes() + self.overlay.held_bytes()
    }

    /// The row of a key, its value known; read from disk where it is not in memory.
    fn load(&mut self, key: &[u8]) -> Result<Slot> {
        let hash = hash(key);
        let known = self.cache.find(self.current, hash, key);
        if let Some(slot) = known {
            let row = self.cache.row(slot);
            if row.pending != NONE || row.committed() != Committed::Unknown {
                return Ok(slot);
            }
        }
        keys::row(self.number()?, key, &mut self.key);
        let present = self.kv.get(&self.key, &mut self.value).map_err(|error| Error::of(&self.task, error))?;
        let slot = if let Some(slot) = known {
            slot
        } else {
            self.make_room(key.len() + self.value.len());
            self.cache.insert(self.current, hash, key)
        };
        self.cache.loaded(slot, present.then_some(self.value.as_slice()));
        Ok(slot)
    }

    fn write(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        let hash = hash(key);
        let slot = if let Some(slot) = self.cache.find(self.current, hash, key) {
            slot
        } else {
            self.number()?;
            self.make_room(key.len());
            self.cache.insert(self.current, hash, key)
        };
        self.overlay.write(&mut self.cache, slot, value);
        if self.bytes() > self.cache_bytes {
            self.make_room(0);
        }
        Ok(())
    }

    /// Evicts clean rows so that `bytes` more fit, as far as that is possible.
    pub(super) fn make_room(&mut self, bytes: usize) {
        let others = self.overlay.held_bytes() + bytes;
        self.cache.evict(self.cache_bytes.saturating_sub(others));
    }

    /// Recounts everything.
    #[cfg(test)]
    pub(super) fn assert_consistent(&self) {
        self.cache.assert_consistent();
        self.overlay.assert_consistent(&self.cache);
    }

    /// What a read of this row sees: the pending value, else the committed one.
    pub(super) fn visible(&self, slot: Slot) -> Option<&[u8]> {
        let row = self.cache.row(slot);
        if row.pending == NONE { row.value() } else { self.overlay.get(row.pending).value() }
    }
}

impl KeyValueStore for Rows {
    fn get(&mut self, key: &[u8]) -> Result<Option<&[u8]>, BoxError> {
        let slot = self.load(key)?;
        Ok(self.visible(slot))
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), BoxError> {
        Ok(self.write(key, Some(value))?)
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), BoxError> {
        Ok(self.write(key, None)?)
    }

    fn range(&mut self, from: &[u8], to: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), BoxError> {
        Ok(self.scan(from, to, visit)?)
    }
}
