//! Changelog records on their way to disk: collected, sorted, the last one per key, written in large chunks.
//!
//! Every chunk carries the checkpoint that is true once it is written, so a restore that is cut short goes on from there.

use super::cache::slot;
use super::keys;
use crate::streams::kv::Batch;
use crate::streams::log::{Offset, RecordRef};

/// Bytes of one chunk at most; while it is written there are about three copies more.
pub(super) const CHUNK_BYTES: usize = 16 << 20;

const TOMBSTONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The first eight bytes of the key: decides nearly every comparison.
    prefix: u64,
    start: u32,
    key_length: u32,
    value_length: u32,
}

/// Records of one store that are not on disk yet.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Next changelog offset to read once this chunk is on disk.
    pub(super) complete_up_to: Option<Offset>,
}

impl Chunk {
    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len() + self.entries.len() * size_of::<Entry>()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds a record, which is later than all before it. One without a key cannot be a row and only moves the offset.
    pub(super) fn push(&mut self, record: &RecordRef<'_>) {
        if let Some(key) = record.key {
            self.entries.push(Entry {
                prefix: u64::from_be_bytes(keys::prefix(key)),
                start: slot(self.bytes.len()),
                key_length: slot(key.len()),
                value_length: record.value.map_or(TOMBSTONE, |value| slot(value.len())),
            });
            self.bytes.extend_from_slice(key);
            self.bytes.extend_from_slice(record.value.unwrap_or_default());
        }
        self.complete_up_to = Some(record.offset.next());
    }

    /// Appends the rows to a batch, sorted, the last record per key. What is repeated stays here until [`clear`](Self::clear).
    pub(super) fn write_to(&mut self, number: u16, batch: &mut Batch, scratch: &mut Vec<u8>) {
        let bytes = &self.bytes;
        let key = |entry: &Entry| part(bytes, entry.start, entry.key_length);
        self.entries.sort_unstable_by(|a, b| {
            // The latest of equal keys first.
            a.prefix.cmp(&b.prefix).then_with(|| key(a).cmp(key(b))).then_with(|| b.start.cmp(&a.start))
        });
        let mut previous: Option<&[u8]> = None;
        for entry in &self.entries {
            let key = key(entry);
            if previous == Some(key) {
                continue;
            }
            previous = Some(key);
            keys::row(number, key, scratch);
            if entry.value_length == TOMBSTONE {
                batch.delete(scratch);
            } else {
                batch.put(scratch, part(bytes, entry.start + entry.key_length, entry.value_length));
            }
        }
    }

    /// Everything is on disk: keeps the buffers for the next chunk.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }
}

fn part(bytes: &[u8], start: u32, length: u32) -> &[u8] {
    let start = start as usize;
    bytes.get(start..start + length as usize).unwrap_or_default()
}
