//! The rows that a task has in memory: one slab for all its stores, an index per store.
//!
//! A row is its key and its *committed* value in one buffer. It is *clean* (the disk says the same; may be evicted at any
//! time) or *dirty* (committed, not yet on disk; stays). A row with a pending value of the open transaction stays too.
//! That a key is absent is a row like any other, so the first sight of a key costs one read at most.

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use super::keys;

/// The place of a row in the slab, or of a pending value in the overlay.
pub(super) type Slot = u32;

/// No place.
pub(super) const NONE: Slot = Slot::MAX;

/// What a row costs beside the bytes of its buffer: itself, its part of the index, the allocator's part.
pub(super) const ROW_OVERHEAD_BYTES: usize = size_of::<Row>() + 8 + 16;

/// Steps of the clock's hand per call at most; so an insert has a bounded cost even when nearly all rows must stay.
const EVICTION_STEPS: usize = 128;

/// Freed rows that keep their buffer for the next insert, and the largest buffer kept.
const SPARE_BUFFERS: usize = 64;
const SPARE_BUFFER_BYTES: usize = 4096;

const DIRTY: u8 = 1;
const REFERENCED: u8 = 2;

/// What is known of a row's committed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Committed {
    /// The slot is not in use.
    Free,
    /// Not read yet: the key was written without having been read.
    Unknown,
    /// The key does not exist.
    Absent,
    /// The value is in the buffer.
    Present,
}

/// A key, its committed value, and where its pending value is.
#[derive(Debug)]
pub(super) struct Row {
    bytes: Vec<u8>,
    key_length: u32,
    hash: u32,
    pub(super) pending: Slot,
    store: u16,
    committed: Committed,
    marks: u8,
}

impl Row {
    pub(super) fn key(&self) -> &[u8] {
        self.bytes.get(..self.key_length as usize).unwrap_or_default()
    }

    pub(super) fn committed(&self) -> Committed {
        self.committed
    }

    /// The committed value, none where the key is absent (or not read yet).
    pub(super) fn value(&self) -> Option<&[u8]> {
        (self.committed == Committed::Present).then(|| self.bytes.get(self.key_length as usize..).unwrap_or_default())
    }

    pub(super) fn store(&self) -> usize {
        usize::from(self.store)
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.marks & DIRTY != 0
    }

    fn cost_bytes(&self) -> usize {
        ROW_OVERHEAD_BYTES + self.bytes.capacity()
    }

    fn set_value(&mut self, value: Option<&[u8]>) {
        self.bytes.truncate(self.key_length as usize);
        if let Some(value) = value {
            // Exact, rounded to what an allocator hands out anyway: doubling would waste half of the cache.
            self.bytes.reserve_exact(value.len().next_multiple_of(16));
            self.bytes.extend_from_slice(value);
            self.committed = Committed::Present;
        } else {
            self.committed = Committed::Absent;
        }
        if self.bytes.capacity() > 2 * self.bytes.len() + 256 {
            self.bytes.shrink_to_fit();
        }
    }
}

/// All rows in memory.
#[derive(Debug, Default)]
pub(super) struct Cache {
    rows: Vec<Row>,
    free: Vec<Slot>,
    tables: Vec<HashTable<Slot>>,
    hand: usize,
    bytes: usize,
    dirty: Vec<Slot>,
    dirty_bytes: usize,
}

/// The hash of a key. Not seeded: the same input must give the same run.
#[expect(clippy::cast_possible_truncation, reason = "32 bits are kept with the row; `spread` makes 64 of them")]
pub(super) fn hash(key: &[u8]) -> u32 {
    xxh3_64(key) as u32
}

/// The index wants entropy at both ends of 64 bits.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// A slab index. Four billion rows would need some 200 GB of memory for their heads alone.
#[expect(clippy::cast_possible_truncation, reason = "see above")]
pub(super) fn slot(index: usize) -> Slot {
    index as Slot
}

impl Cache {
    pub(super) fn new(stores: usize) -> Self {
        Self { tables: (0..stores).map(|_| HashTable::new()).collect(), ..Self::default() }
    }

    /// Estimated bytes of all rows.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Estimated bytes of the rows that are not on disk yet.
    pub(super) fn dirty_bytes(&self) -> usize {
        self.dirty_bytes
    }

    /// The rows that are not on disk yet.
    pub(super) fn dirty(&self) -> &[Slot] {
        &self.dirty
    }

    /// Puts the rows that are not on disk yet in the order of the first bytes of their keys there, where their store has this `number`.
    pub(super) fn sort_dirty(&mut self, number: impl Fn(usize) -> u16) {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_by_cached_key(|&slot| (number(self.row(slot).store()), keys::prefix::<16>(self.row(slot).key())));
        self.dirty = dirty;
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "slots come from the index or the overlay and name live rows; a wrong one must not pass unnoticed"
    )]
    pub(super) fn row(&self, slot: Slot) -> &Row {
        &self.rows[slot as usize]
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "slots come from the index or the overlay and name live rows; a wrong one must not pass unnoticed"
    )]
    pub(super) fn row_mut(&mut self, slot: Slot) -> &mut Row {
        &mut self.rows[slot as usize]
    }

    /// The row of a key, marked as used.
    pub(super) fn find(&mut self, store: usize, hash: u32, key: &[u8]) -> Option<Slot> {
        let rows = &self.rows;
        let same = |slot: &Slot| rows.get(*slot as usize).is_some_and(|row| row.hash == hash && row.key() == key);
        let slot = *self.tables.get(store)?.find(spread(hash), same)?;
        self.row_mut(slot).marks |= REFERENCED;
        Some(slot)
    }

    /// Adds a row for a key that has none; its committed value is not known.
    pub(super) fn insert(&mut self, store: usize, hash: u32, key: &[u8]) -> Slot {
        let place = self.free.pop().unwrap_or_else(|| {
            self.rows.push(Row {
                bytes: Vec::new(),
                key_length: 0,
                hash: 0,
                pending: NONE,
                store: 0,
                committed: Committed::Free,
                marks: 0,
            });
            slot(self.rows.len() - 1)
        });
        let row = self.row_mut(place);
        row.bytes.clear();
        row.bytes.extend_from_slice(key);
        row.key_length = slot(key.len());
        row.hash = hash;
        row.pending = NONE;
        row.store = u16::try_from(store).unwrap_or(u16::MAX);
        row.committed = Committed::Unknown;
        row.marks = REFERENCED;
        self.bytes += self.row(place).cost_bytes();
        let rows = &self.rows;
        if let Some(table) = self.tables.get_mut(store) {
            table.insert_unique(spread(hash), place, |&slot| rows.get(slot as usize).map_or(0, |row| spread(row.hash)));
        }
        place
    }

    /// Sets what the disk says.
    pub(super) fn loaded(&mut self, slot: Slot, value: Option<&[u8]>) {
        let row = self.row_mut(slot);
        let previous_bytes = row.cost_bytes();
        row.set_value(value);
        let current_bytes = row.cost_bytes();
        self.bytes = self.bytes - previous_bytes + current_bytes;
    }

    /// Sets what a transaction has committed: the row is dirty from now on.
    pub(super) fn committed(&mut self, slot: Slot, value: Option<&[u8]>) {
        let row = self.row_mut(slot);
        let was_dirty = row.is_dirty();
        let previous_bytes = row.cost_bytes();
        row.set_value(value);
        row.marks |= DIRTY;
        row.pending = NONE;
        let current_bytes = row.cost_bytes();
        self.bytes = self.bytes - previous_bytes + current_bytes;
        if was_dirty {
            self.dirty_bytes = self.dirty_bytes - previous_bytes + current_bytes;
        } else {
            self.dirty_bytes += current_bytes;
            self.dirty.push(slot);
        }
    }

    /// All dirty rows are on disk now.
    pub(super) fn flushed(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for &slot in &dirty {
            self.row_mut(slot).marks &= !DIRTY;
        }
        dirty.clear();
        self.dirty = dirty;
        self.dirty_bytes = 0;
    }

    /// Forgets clean rows until at most `limit_bytes` are held, as far as a bounded number of steps goes.
    pub(super) fn evict(&mut self, limit_bytes: usize) {
        let mut steps = EVICTION_STEPS.min(2 * self.rows.len());
        while self.bytes > limit_bytes && steps > 0 {
            steps -= 1;
            self.hand = if self.hand + 1 < self.rows.len() { self.hand + 1 } else { 0 };
            let place = slot(self.hand);
            let row = self.row_mut(place);
            if row.committed == Committed::Free || row.is_dirty() || row.pending != NONE {
                continue;
            }
            if row.marks & REFERENCED != 0 {
                row.marks &= !REFERENCED;
                continue;
            }
            self.remove(place);
        }
    }

    fn remove(&mut self, place: Slot) {
        let (store, hash) = (self.row(place).store(), self.row(place).hash);
        if let Some(Ok(entry)) = self.tables.get_mut(store).map(|table| table.find_entry(spread(hash), |&slot| slot == place)) {
            entry.remove();
        }
        self.release(place);
    }

    fn release(&mut self, place: Slot) {
        let keep = self.free.len() < SPARE_BUFFERS;
        let row = self.row_mut(place);
        let cost_bytes = row.cost_bytes();
        row.committed = Committed::Free;
        row.pending = NONE;
        row.marks = 0;
        row.key_length = 0;
        row.bytes.clear();
        if !keep || row.bytes.capacity() > SPARE_BUFFER_BYTES {
            row.bytes = Vec::new();
        }
        self.bytes -= cost_bytes;
        self.free.push(place);
    }

    /// Forgets all rows of a store, dirty ones too. None may have a pending value.
    pub(super) fn forget(&mut self, store: usize) {
        let Some(table) = self.tables.get_mut(store) else { return };
        let places = std::mem::take(table);
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.retain(|&slot| self.row(slot).store() != store);
        self.dirty = dirty;
        for &place in &places {
            if self.row(place).is_dirty() {
                self.dirty_bytes -= self.row(place).cost_bytes();
            }
            self.release(place);
        }
    }

    /// Recounts everything.
    #[cfg(test)]
    pub(super) fn assert_consistent(&self) {
        let live = || (0..self.rows.len()).map(slot).filter(|&place| self.row(place).committed != Committed::Free);
        assert_eq!(self.bytes, live().map(|place| self.row(place).cost_bytes()).sum::<usize>());
        let dirty = || live().filter(|&place| self.row(place).is_dirty());
        assert_eq!(self.dirty_bytes, dirty().map(|place| self.row(place).cost_bytes()).sum::<usize>());
        let mut listed = self.dirty.clone();
        listed.sort_unstable();
        assert_eq!(listed, dirty().collect::<Vec<_>>());
        assert_eq!(self.tables.iter().map(HashTable::len).sum::<usize>(), live().count());
        assert_eq!(self.free.len() + live().count(), self.rows.len());
        for place in live() {
            let row = self.row(place);
            let found = self.tables[row.store()].find(spread(row.hash), |&known| known == place);
            assert_eq!((found, row.hash), (Some(&place), hash(row.key())));
        }
    }
}
