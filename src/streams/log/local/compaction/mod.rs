//! Compaction and retention, a bounded piece of work at a time.
//!
//! A pass over a compacted topic first learns the last offset of each key in what is new since the last pass, then
//! rewrites the chunks below: superseded records, markers and aborted records go, offsets stay. A tombstone goes when it
//! has been known to a pass for the topic's delete retention (wall-clock time, whatever the record's own time is), so that
//! whoever restores meanwhile sees it.
//!
//! A merge makes large chunks of the small ones at the end of any topic, so that a quiet topic does not become a million
//! chunks of one record. It takes in chunks before them while these are at most twice as large as what it has: each
//! record is rewritten a logarithmic number of times until its chunk is full.

mod rewrite;

use std::collections::HashMap;
use std::ops::ControlFlow;

use xxhash_rust::xxh3::xxh3_128;

use self::rewrite::{Keep, rewrite};
use super::chunk::Records;
use super::fetch::{self, Span};
use super::keys::{self, Place};
use super::partition::Partition;
use super::{Shared, State, write};
use crate::streams::clock::Timestamp;
use crate::streams::kv::{Batch, Direction, Durability};
use crate::streams::log::{self, CleanupPolicy, Isolation, Offset, Result};

/// How much is done when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// Bytes that one step reads and writes.
    pub(super) step_bytes: usize,
    /// Bytes of a chunk that is written; what has half as many is large enough to stay.
    pub(super) chunk_bytes: usize,
    /// A pass remembers at most this many keys (33 bytes each, in a table of a power of two of them); what does not fit
    /// waits for the next pass.
    pub(super) keys_max: usize,
    /// A pass over a compacted topic is due when this much is new, and at least half as much as there was.
    pub(super) dirty_bytes_min: u64,
    /// A merge is due when there are so many new chunks.
    pub(super) tail_chunks_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { step_bytes: 4 << 20, chunk_bytes: 512 << 10, keys_max: 450_000, dirty_bytes_min: 4 << 20, tail_chunks_max: 1_000 }
    }
}

/// One call does at least this much, if there is so much to do.
const WORK_BYTES_MIN: u64 = 8 << 20;
/// And at most this much, whatever was appended.
const WORK_BYTES_MAX: u64 = 64 << 20;

/// Work under way on one partition.
#[derive(Debug)]
struct Pass {
    place: Place,
    kind: Kind,
    /// What is read next, first to learn, then to rewrite.
    next: Offset,
    end: Offset,
    kept_bytes: u64,
    /// What was found of what the bounds count as new.
    seen: Seen,
    delete_retention_ms: i64,
}

#[derive(Debug)]
enum Kind {
    Learn(HashMap<u128, Offset>),
    Compact(HashMap<u128, Offset>),
    Merge,
}

#[derive(Debug, Default)]
struct Seen {
    dirty_bytes: u64,
    tail_chunks: u64,
    tail_bytes: u64,
}

/// Does the housekeeping of a log.
#[derive(Debug, Default)]
pub(super) struct Compactor {
    pass: Option<Pass>,
    pub(super) settings: Settings,
}

impl Compactor {
    /// Keeps pace with what was appended since the last call; nothing when nothing is due.
    pub(super) fn work(&mut self, shared: &Shared, now: Timestamp, appended_bytes: u64) -> Result<()> {
        retain(shared, now, self.settings.step_bytes)?;
        let mut left = (4 * appended_bytes).clamp(WORK_BYTES_MIN, WORK_BYTES_MAX);
        while left > 0 {
            if self.pass.is_none() {
                self.pass = due(shared, &self.settings)?;
            }
            let Some(pass) = &mut self.pass else { return Ok(()) };
            let done = match pass.kind {
                Kind::Learn(_) => pass.learn(shared, &self.settings)?,
                Kind::Compact(_) | Kind::Merge => pass.rewrite(shared, now, &self.settings)?,
            };
            if done {
                self.pass = None;
            }
            left = left.saturating_sub(self.settings.step_bytes as u64);
        }
        Ok(())
    }
}

/// The partition that most needs work.
fn due(shared: &Shared, settings: &Settings) -> Result<Option<Pass>> {
    let mut worst: Option<(u64, Pass)> = None;
    for topic in shared.state.lock().topics.values() {
        for (number, partition) in topic.partitions.iter().enumerate() {
            let (bounds, end) = (partition.bounds, partition.last_stable());
            let compacts = topic.config.cleanup == CleanupPolicy::Compact;
            let many = bounds.tail_chunks >= settings.tail_chunks_max && end > bounds.merged;
            let much = compacts
                && bounds.dirty_bytes >= settings.dirty_bytes_min.max(bounds.clean_bytes / 2)
                && end > bounds.cleaned.max(bounds.low);
            let known_worse = worst.as_ref().is_some_and(|(bytes, _)| *bytes >= bounds.dirty_bytes);
            if !(many || much) || known_worse {
                continue;
            }
            let (kind, next) = if much {
                (Kind::Learn(HashMap::new()), bounds.cleaned.max(bounds.low))
            } else {
                (Kind::Merge, bounds.merged.max(bounds.low))
            };
            let place = Place { topic: topic.id, partition: log::Partition(i32::try_from(number).unwrap_or(i32::MAX)) };
            let delete_retention_ms = i64::try_from(topic.config.delete_retention.as_millis()).unwrap_or(i64::MAX);
            let pass = Pass { place, kind, next, end, kept_bytes: 0, seen: Seen::default(), delete_retention_ms };
            worst = Some((bounds.dirty_bytes, pass));
        }
    }
    let Some((_, mut pass)) = worst else { return Ok(None) };
    if matches!(pass.kind, Kind::Merge) {
        pass.take_in_smaller(shared, settings)?;
    }
    Ok(Some(pass))
}

impl Pass {
    /// Lets a merge begin earlier, at chunks that are not large yet.
    fn take_in_smaller(&mut self, shared: &Shared, settings: &Settings) -> Result<()> {
        let Some(known) = Known::of(shared, self.place) else { return Ok(()) };
        // What a pass has cleaned stays apart: its tombstones have their own time.
        let floor = if known.compacts { known.bounds.cleaned.max(known.bounds.low) } else { known.bounds.low };
        let (mut bytes, mut taken) = (usize::try_from(known.bounds.tail_bytes).unwrap_or(usize::MAX), 0);
        let mut next = self.next;
        fetch::chunks(&*shared.kv, self.place, floor..self.next, Direction::Reverse, &mut |found, chunk| {
            let is_large = chunk.len() >= settings.chunk_bytes / 2;
            if is_large || chunk.len() / 2 > bytes || taken + chunk.len() > settings.chunk_bytes {
                return ControlFlow::Break(());
            }
            bytes = bytes.saturating_add(chunk.len());
            taken += chunk.len();
            next = found.base;
            ControlFlow::Continue(())
        })?;
        self.next = next;
        Ok(())
    }

    /// Learns the last offset of each key of what is new.
    fn learn(&mut self, shared: &Shared, settings: &Settings) -> Result<bool> {
        let Some(known) = Known::of(shared, self.place) else { return Ok(true) };
        let Kind::Learn(latest) = &mut self.kind else { return Ok(true) };
        let span = known.span(self.place, self.end);
        let (mut read, mut next, mut full) = (0, self.next, false);
        fetch::chunks(&*shared.kv, self.place, self.next..self.end, Direction::Forward, &mut |found, bytes| {
            if read >= settings.step_bytes || full {
                return ControlFlow::Break(());
            }
            read += bytes.len();
            if span.delivers(&found) {
                for record in Records::new(bytes, found.base, &found.head, 0) {
                    latest.insert(xxh3_128(record.key.unwrap_or_default()), record.offset);
                }
            }
            next = found.end();
            full = latest.len() >= settings.keys_max;
            ControlFlow::Continue(())
        })?;
        self.seen.dirty_bytes += read as u64;
        self.next = next;
        if full || read < settings.step_bytes {
            self.kind = Kind::Compact(std::mem::take(latest));
            self.end = if full { next } else { self.end };
            self.next = known.bounds.low;
        }
        Ok(false)
    }

    /// Rewrites the next chunks; true when the pass is over.
    fn rewrite(&mut self, shared: &Shared, now: Timestamp, settings: &Settings) -> Result<bool> {
        let Some(known) = Known::of(shared, self.place) else { return Ok(true) };
        let keep = Keep {
            span: known.span(self.place, self.end),
            latest: if let Kind::Compact(latest) = &self.kind { Some(latest) } else { None },
            now: now.0,
            delete_retention_ms: self.delete_retention_ms,
        };
        let mut batch = Batch::default();
        let rewritten = rewrite(&*shared.kv, &keep, self.next.max(known.bounds.low), known.bounds.merged, settings, &mut batch)?;
        if !batch.is_empty() {
            let _others_wait = shared.rewriting.write();
            write(&*shared.kv, COMPACTING, &batch, Durability::Buffered)?;
        }
        self.next = rewritten.next;
        self.kept_bytes += rewritten.kept_bytes;
        self.seen.tail_chunks += rewritten.tail_chunks;
        self.seen.tail_bytes += rewritten.tail_bytes;
        if rewritten.is_whole {
            self.settle(shared)?;
        }
        Ok(rewritten.is_whole)
    }

    /// Notes that everything below the end was rewritten.
    fn settle(&self, shared: &Shared) -> Result<()> {
        let mut state = shared.state.lock();
        let Some(partition) = state.place(self.place) else { return Ok(()) };
        let mut bounds = partition.bounds;
        if matches!(self.kind, Kind::Compact(_)) {
            bounds.cleaned = self.end;
            bounds.clean_bytes = self.kept_bytes;
            bounds.dirty_bytes = bounds.dirty_bytes.saturating_sub(self.seen.dirty_bytes);
        }
        if self.end > bounds.merged {
            bounds.merged = self.end;
            bounds.tail_chunks = bounds.tail_chunks.saturating_sub(self.seen.tail_chunks);
            bounds.tail_bytes = bounds.tail_bytes.saturating_sub(self.seen.tail_bytes);
        }
        let mut batch = Batch::default();
        bounds.put(self.place, &mut batch);
        partition.put_forgotten(self.place, self.end, &mut batch);
        write(&*shared.kv, COMPACTING, &batch, Durability::Buffered)?;
        partition.bounds = bounds;
        partition.forget(self.end);
        Ok(())
    }
}

const COMPACTING: &str = "compacting";

/// A copy of what a pass must know of its partition.
struct Known {
    bounds: super::partition::Bounds,
    aborted: std::sync::Arc<Vec<super::partition::Aborted>>,
    last_stable: Offset,
    compacts: bool,
}

impl Known {
    /// None when the topic is gone.
    fn of(shared: &Shared, place: Place) -> Option<Self> {
        let mut state = shared.state.lock();
        let compacts = state.topics.values().find(|topic| topic.id == place.topic)?.config.cleanup == CleanupPolicy::Compact;
        let known: &mut Partition = State::place(&mut state, place)?;
        let (bounds, aborted, last_stable) = (known.bounds, std::sync::Arc::clone(&known.aborted), known.last_stable());
        Some(Self { bounds, aborted, last_stable, compacts })
    }

    fn span(&self, place: Place, end: Offset) -> Span<'_> {
        Span { place, end, isolation: Isolation::ReadCommitted, aborted: &self.aborted }
    }
}

/// Deletes chunks whose newest record is older than the topic keeps.
fn retain(shared: &Shared, now: Timestamp, step_bytes: usize) -> Result<()> {
    let mut limited = Vec::new();
    for topic in shared.state.lock().topics.values() {
        let Some(retention) = topic.config.retention.filter(|_| topic.config.cleanup == CleanupPolicy::Delete) else { continue };
        let oldest = now.0.saturating_sub(i64::try_from(retention.as_millis()).unwrap_or(i64::MAX));
        limited.extend((0..topic.config.partitions).map(|number| (Place { topic: topic.id, partition: log::Partition(number) }, oldest)));
    }
    for (place, oldest) in limited {
        let Some(known) = Known::of(shared, place) else { continue };
        let mut batch = Batch::default();
        let mut low = known.bounds.low;
        fetch::chunks(&*shared.kv, place, low..known.last_stable, Direction::Forward, &mut |found, _| {
            // Markers have no time of their own: they go with what stands before them.
            if found.head.max_time >= oldest || batch.size_bytes() > step_bytes {
                return ControlFlow::Break(());
            }
            batch.delete(&keys::chunk(place, found.base));
            low = found.end();
            ControlFlow::Continue(())
        })?;
        if low == known.bounds.low {
            continue;
        }
        let mut state = shared.state.lock();
        let Some(partition) = state.place(place) else { continue };
        let mut bounds = partition.bounds;
        bounds.low = low;
        bounds.put(place, &mut batch);
        partition.put_forgotten(place, low, &mut batch);
        write(&*shared.kv, "deleting old records", &batch, Durability::Buffered)?;
        partition.bounds = bounds;
        partition.forget(low);
    }
    Ok(())
}
