//! An ordered byte map with atomic batches: what the embedded log and the state stores are kept in.
//!
//! Two implementations: [`memory::Memory`] here, and RocksDB in [`rocks`](crate::streams::rocks).

use std::fmt::Debug;
use std::ops::ControlFlow;

pub mod memory;

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The stored bytes are damaged: nothing read from this store can be trusted.
    #[error("store {store} is corrupt")]
    Corrupt {
        /// Which store.
        store: String,
        /// What the storage said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No space left: writes work again when there is space.
    #[error("no space left for store {store}")]
    DiskFull {
        /// Which store.
        store: String,
        /// What the storage said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Anything else.
    #[error("store {store} failed")]
    Failed {
        /// Which store.
        store: String,
        /// What the storage said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The result of a store call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// When a batch counts as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Survives a power cut when the call returns.
    Synced,
    /// Survives the death of the process when the call returns.
    Buffered,
    /// Survives only an orderly close or [`Kv::flush`]; still atomic, and written in order.
    Volatile,
}

/// One change of a [`Batch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// Sets a key.
    Put(&'a [u8], &'a [u8]),
    /// Removes a key.
    Delete(&'a [u8]),
    /// Removes all keys from the first (inclusive) to the second (exclusive).
    DeleteRange(&'a [u8], &'a [u8]),
}

/// Changes that are applied in order and all at once. Its buffers are reused after [`clear`](Batch::clear).
#[derive(Debug, Default, Clone)]
pub struct Batch {
    bytes: Vec<u8>,
    ops: Vec<(Kind, usize, usize)>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Put,
    Delete,
    DeleteRange,
}

impl Batch {
    /// Sets `key` to `value`.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.push(Kind::Put, key, value);
    }

    /// Removes `key`.
    pub fn delete(&mut self, key: &[u8]) {
        self.push(Kind::Delete, key, &[]);
    }

    /// Removes all keys in `from..to`.
    pub fn delete_range(&mut self, from: &[u8], to: &[u8]) {
        self.push(Kind::DeleteRange, from, to);
    }

    fn push(&mut self, kind: Kind, first: &[u8], second: &[u8]) {
        self.bytes.extend_from_slice(first);
        self.bytes.extend_from_slice(second);
        self.ops.push((kind, first.len(), second.len()));
    }

    /// Forgets all changes, keeps the buffers.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ops.clear();
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Bytes of keys and values.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The changes in the order in which they were made.
    pub fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        let mut rest = self.bytes.as_slice();
        self.ops.iter().map(move |&(kind, first, second)| {
            let (a, tail) = rest.split_at(first);
            let (b, tail) = tail.split_at(second);
            rest = tail;
            match kind {
                Kind::Put => Change::Put(a, b),
                Kind::Delete => Change::Delete(a),
                Kind::DeleteRange => Change::DeleteRange(a, b),
            }
        })
    }
}

/// Which way a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Ascending keys.
    Forward,
    /// Descending keys.
    Reverse,
}

/// What a scan calls for each key and value; `Break` ends the scan.
pub type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'v;

/// An ordered byte map with atomic batches.
pub trait Kv: Debug + Send + Sync {
    /// Reads `key` into `value` (replacing what was there); false when there is none.
    fn get(&self, key: &[u8], value: &mut Vec<u8>) -> Result<bool>;
    /// Applies a batch atomically.
    fn write(&self, batch: &Batch, durability: Durability) -> Result<()>;
    /// Visits the keys of `from..to` in order; no `to` means to the end.
    fn scan(&self, from: &[u8], to: Option<&[u8]>, direction: Direction, visit: &mut Visit<'_>) -> Result<()>;
    /// Makes everything written so far durable.
    fn flush(&self) -> Result<()>;
    /// Begins to make everything written so far durable, and waits for no disk.
    fn begin_flush(&self) {}
}

/// The first key after all keys that begin with `prefix`; none when there is no such key.
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
    let mut end = prefix.get(..=last)?.to_vec();
    *end.last_mut()? += 1;
    Some(end)
}
