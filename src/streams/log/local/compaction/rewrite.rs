//! Rewrites a run of chunks: what is kept moves into large chunks, at its offsets; what is large already stays where it is.

use std::collections::HashMap;
use std::ops::ControlFlow;

use xxhash_rust::xxh3::xxh3_128;

use super::Settings;
use crate::streams::kv::{Batch, Direction, Kv};
use crate::streams::log::local::chunk::{Builder, Head, Records};
use crate::streams::log::local::fetch::{self, Found, Span};
use crate::streams::log::local::keys::{self, Place};
use crate::streams::log::{Offset, RecordRef, Result};

/// The times from which tombstones are known are rounded up to this part of the retention: chunks of different times are
/// not merged, and so there are few of them.
const TIMES_PER_RETENTION: i64 = 16;

/// What is kept.
pub(super) struct Keep<'a> {
    pub(super) span: Span<'a>,
    /// The last offset of each key that is new; none where all records are kept.
    pub(super) latest: Option<&'a HashMap<u128, Offset>>,
    pub(super) now: i64,
    pub(super) delete_retention_ms: i64,
}

/// What one step did.
#[derive(Debug)]
pub(super) struct Rewritten {
    pub(super) next: Offset,
    pub(super) kept_bytes: u64,
    /// Chunks and bytes at or above the offset up to which chunks were merged before.
    pub(super) tail_chunks: u64,
    pub(super) tail_bytes: u64,
    /// Whether the end was reached.
    pub(super) is_whole: bool,
}

/// Rewrites chunks from `from` on, as many as one step may read; the changes are in `batch`.
pub(super) fn rewrite(
    kv: &dyn Kv,
    keep: &Keep<'_>,
    from: Offset,
    merged: Offset,
    settings: &Settings,
    batch: &mut Batch,
) -> Result<Rewritten> {
    let place = keep.span.place;
    let mut output = Output { place, builder: Builder::default(), base: None, last: Offset(0), since: 0, written_bytes: 0 };
    let mut done = Rewritten { next: from, kept_bytes: 0, tail_chunks: 0, tail_bytes: 0, is_whole: true };
    let mut read = 0;
    fetch::chunks(kv, place, from..keep.span.end, Direction::Forward, &mut |found, bytes| {
        if read >= settings.step_bytes {
            done.is_whole = false;
            return ControlFlow::Break(());
        }
        read += bytes.len();
        done.next = found.end();
        if found.base >= merged {
            done.tail_chunks += 1;
            done.tail_bytes += bytes.len() as u64;
        }
        let delivers = keep.span.delivers(&found);
        if delivers && bytes.len() >= settings.chunk_bytes / 2 && keep.keeps_as_it_is(&found, bytes) {
            output.write(batch);
            done.kept_bytes += bytes.len() as u64;
            return ControlFlow::Continue(());
        }
        batch.delete(&keys::chunk(place, found.base));
        if delivers {
            for record in Records::new(bytes, found.base, &found.head, 0) {
                if keep.keeps(&record, &found.head) {
                    output.push(&record, keep.since(&record, &found.head), settings.chunk_bytes, batch);
                }
            }
        }
        ControlFlow::Continue(())
    })?;
    output.write(batch);
    done.kept_bytes += output.written_bytes;
    Ok(done)
}

impl Keep<'_> {
    /// Since when a tombstone is known; 0 for what is none, or is not known to a pass yet.
    fn since(&self, record: &RecordRef<'_>, head: &Head) -> i64 {
        if record.value.is_some() {
            return 0;
        }
        if head.tombstones_since > 0 || self.latest.is_none() {
            return head.tombstones_since;
        }
        let step = (self.delete_retention_ms / TIMES_PER_RETENTION).max(1);
        let rest = self.now.rem_euclid(step);
        self.now.saturating_add(if rest == 0 { 0 } else { step - rest }).max(1)
    }

    fn keeps(&self, record: &RecordRef<'_>, head: &Head) -> bool {
        let Some(latest) = self.latest else { return true };
        let superseded = latest.get(&xxh3_128(record.key.unwrap_or_default())).is_some_and(|&last| last > record.offset);
        let expired = record.value.is_none() && self.now.saturating_sub(self.since(record, head)) > self.delete_retention_ms;
        !superseded && !expired
    }

    /// Whether nothing of a chunk would change.
    fn keeps_as_it_is(&self, found: &Found, bytes: &[u8]) -> bool {
        let is_dated = |record: &RecordRef<'_>| record.value.is_some() || self.since(record, &found.head) == found.head.tombstones_since;
        Records::new(bytes, found.base, &found.head, 0).all(|record| self.keeps(&record, &found.head) && is_dated(&record))
    }
}

struct Output {
    place: Place,
    builder: Builder,
    base: Option<Offset>,
    last: Offset,
    since: i64,
    written_bytes: u64,
}

impl Output {
    fn push(&mut self, record: &RecordRef<'_>, since: i64, chunk_bytes: usize, batch: &mut Batch) {
        let delta = |base: Offset| u32::try_from(record.offset.0 - base.0).ok();
        let full = self.builder.size_bytes() >= chunk_bytes || (since > 0 && self.since > 0 && since != self.since);
        if full || self.base.is_some_and(|base| delta(base).is_none()) {
            self.write(batch);
        }
        let base = *self.base.get_or_insert(record.offset);
        self.builder.push(delta(base).unwrap_or(0), record.timestamp, record.key, record.value, record.headers);
        self.last = record.offset;
        self.since = self.since.max(since);
    }

    fn write(&mut self, batch: &mut Batch) {
        let Some(base) = self.base.take() else { return };
        let last_delta = u32::try_from(self.last.0 - base.0).unwrap_or(u32::MAX);
        let bytes = self.builder.settle(last_delta, self.since);
        self.written_bytes += bytes.len() as u64;
        batch.put(&keys::chunk(self.place, base), bytes);
        self.builder.clear();
        self.since = 0;
    }
}
