//! Compaction and retention, a bounded piece of work at a time.
//!
//! A pass over a partition first learns the last offset of each key in what is new since the last pass, then rewrites the
//! chunks below: superseded records, markers and aborted records go, small chunks become large ones, offsets stay. A
//! tombstone goes when it has been known to a pass for the topic's delete retention (wall-clock time, whatever the
//! record's own time is), so that whoever restores meanwhile sees it. Topics that keep everything are only rewritten to
//! make large chunks of small ones.

use std::collections::HashMap;
use std::ops::ControlFlow;

use xxhash_rust::xxh3::xxh3_128;

use super::chunk::{Builder, Kind, Records};
use super::fetch::{self, Found};
use super::keys::{self, Place};
use super::partition::Partition;
use super::{Shared, State, write};
use crate::streams::clock::Timestamp;
use crate::streams::kv::{Batch, Durability};
use crate::streams::log::{self, CleanupPolicy, Offset, Result};

/// Bytes that one step reads and writes.
const STEP_BYTES: usize = 8 << 20;
/// Bytes of a chunk that compaction writes.
const CHUNK_BYTES: usize = 512 << 10;
/// A pass remembers at most this many keys; what does not fit waits for the next pass.
const KEYS_MAX: usize = 500_000;
/// A pass over a compacted topic is due when this much is new, and at least half as much as there was.
const DIRTY_BYTES_MIN: u64 = 4 << 20;
/// A pass is due when there are so many new chunks, however small.
const DIRTY_CHUNKS_MAX: u64 = 2_000;

/// A pass under way.
#[derive(Debug)]
struct Pass {
    place: Place,
    /// Last offset per key; none for a topic that keeps everything.
    latest: Option<HashMap<u128, Offset>>,
    /// What is read next, first to learn, then to rewrite.
    next: Offset,
    end: Offset,
    rewriting: bool,
    kept_bytes: u64,
    delete_retention_ms: i64,
}

/// Does the housekeeping of a log.
#[derive(Debug, Default)]
pub(super) struct Compactor {
    pass: Option<Pass>,
}

impl Compactor {
    /// One piece of work; nothing when nothing is due.
    pub(super) fn step(&mut self, shared: &Shared, now: Timestamp) -> Result<()> {
        retain(shared, now)?;
        if self.pass.is_none() {
            self.pass = due(&mut shared.state.lock());
        }
        let Some(pass) = &mut self.pass else { return Ok(()) };
        let done = if pass.rewriting { pass.rewrite(shared, now)? } else { pass.learn(shared)? };
        if done {
            self.pass = None;
        }
        Ok(())
    }
}

/// The partition that most needs a pass.
fn due(state: &mut State) -> Option<Pass> {
    let mut worst: Option<(u64, Pass)> = None;
    for topic in state.topics.values() {
        for (number, partition) in topic.partitions.iter().enumerate() {
            let compacts = topic.config.cleanup == CleanupPolicy::Compact;
            let much = compacts && partition.dirty_bytes >= DIRTY_BYTES_MIN.max(partition.clean_bytes / 2);
            let end = partition.last_stable();
            let known_worse = worst.as_ref().is_some_and(|(bytes, _)| *bytes >= partition.dirty_bytes);
            if !(much || partition.dirty_chunks >= DIRTY_CHUNKS_MAX) || end <= partition.cleaned || known_worse {
                continue;
            }
            let place = Place { topic: topic.id, partition: log::Partition(i32::try_from(number).unwrap_or(i32::MAX)) };
            let pass = Pass {
                place,
                latest: compacts.then(HashMap::new),
                next: partition.cleaned.max(partition.low),
                end,
                rewriting: !compacts,
                kept_bytes: 0,
                delete_retention_ms: i64::try_from(topic.config.delete_retention.as_millis()).unwrap_or(i64::MAX),
            };
            worst = Some((partition.dirty_bytes, pass));
        }
    }
    worst.map(|(_, pass)| pass)
}

impl Pass {
    /// Learns the last offset of each key of what is new.
    fn learn(&mut self, shared: &Shared) -> Result<bool> {
        let Some(aborted) = bounds(shared, self.place) else { return Ok(true) };
        let Some(latest) = &mut self.latest else { return Ok(true) };
        let (mut read, mut next, end) = (0, self.next, self.end);
        let mut full = false;
        fetch::chunks(&*shared.kv, self.place, self.next, &mut |found, bytes| {
            if found.base >= end || read >= STEP_BYTES || full {
                return ControlFlow::Break(());
            }
            read += bytes.len();
            if is_kept(&found, &aborted) {
                for record in Records::new(bytes, found.base, &found.head, 0) {
                    latest.insert(xxh3_128(record.key.unwrap_or_default()), record.offset);
                }
            }
            next = found.end();
            full = latest.len() >= KEYS_MAX;
            ControlFlow::Continue(())
        })?;
        self.next = next;
        if full || read < STEP_BYTES {
            self.end = if full { next } else { end };
            self.next = aborted.low;
            self.rewriting = true;
        }
        Ok(false)
    }

    /// Rewrites the next chunks; true when the pass is over.
    fn rewrite(&mut self, shared: &Shared, now: Timestamp) -> Result<bool> {
        let Some(aborted) = bounds(shared, self.place) else { return Ok(true) };
        let mut batch = Batch::default();
        let mut output = Output { builder: Builder::default(), base: None, last: Offset(0), since: 0 };
        let (mut read, mut next, end) = (0, self.next, self.end);
        let (place, latest, retention) = (self.place, self.latest.as_ref(), self.delete_retention_ms);
        let mut kept = 0;
        fetch::chunks(&*shared.kv, place, self.next, &mut |found, bytes| {
            if found.base >= end || read >= STEP_BYTES {
                return ControlFlow::Break(());
            }
            read += bytes.len();
            batch.delete(&keys::chunk(place, found.base));
            next = found.end();
            if !is_kept(&found, &aborted) {
                return ControlFlow::Continue(());
            }
            let since = if found.head.tombstones_since > 0 { found.head.tombstones_since } else { now.0.max(1) };
            let expired = now.0.saturating_sub(since) > retention;
            for record in Records::new(bytes, found.base, &found.head, 0) {
                if let Some(latest) = latest {
                    let superseded = latest.get(&xxh3_128(record.key.unwrap_or_default())).is_some_and(|&last| last > record.offset);
                    if superseded || (record.value.is_none() && expired) {
                        continue;
                    }
                }
                if output.builder.size_bytes() >= CHUNK_BYTES {
                    kept += output.write(place, &mut batch);
                }
                let base = *output.base.get_or_insert(record.offset);
                let delta = u32::try_from(record.offset.0 - base.0).unwrap_or(u32::MAX);
                output.builder.push(delta, record.timestamp, record.key, record.value, record.headers);
                output.last = record.offset;
                if record.value.is_none() {
                    output.since = if output.since == 0 { since } else { output.since.max(since) };
                }
            }
            ControlFlow::Continue(())
        })?;
        kept += output.write(place, &mut batch);
        self.kept_bytes += kept;
        let done = read < STEP_BYTES;
        let mut state = shared.state.lock();
        let Some(partition) = state.place(place) else { return Ok(true) };
        if done {
            settle(partition, place, end, self.kept_bytes, self.latest.is_some(), &mut batch);
            partition.put_meta(place, &mut batch);
        }
        write(&*shared.kv, "compacting", &batch, Durability::Buffered)?;
        self.next = next;
        Ok(done)
    }
}

/// Notes that everything below `end` was rewritten.
fn settle(partition: &mut Partition, place: Place, end: Offset, kept_bytes: u64, compacted: bool, batch: &mut Batch) {
    partition.cleaned = end;
    partition.clean_bytes = if compacted { kept_bytes } else { partition.clean_bytes + kept_bytes };
    partition.dirty_bytes = 0;
    partition.dirty_chunks = 0;
    for range in partition.aborted.extract_if(.., |range| range.last < end) {
        batch.delete(&keys::aborted(place, range.first, range.producer));
    }
}

struct Output {
    builder: Builder,
    base: Option<Offset>,
    last: Offset,
    since: i64,
}

impl Output {
    fn write(&mut self, place: Place, batch: &mut Batch) -> u64 {
        let Some(base) = self.base.take() else { return 0 };
        let last_delta = u32::try_from(self.last.0 - base.0).unwrap_or(u32::MAX);
        let bytes = self.builder.settle(last_delta, self.since);
        let size = bytes.len() as u64;
        batch.put(&keys::chunk(place, base), bytes);
        self.builder.clear();
        self.since = 0;
        size
    }
}

/// A copy of what a pass must know of its partition; none when the topic is gone.
fn bounds(shared: &Shared, place: Place) -> Option<Partition> {
    let mut state = shared.state.lock();
    let known = state.place(place)?;
    Some(Partition { low: known.low, high: known.high, aborted: known.aborted.clone(), ..Partition::default() })
}

fn is_kept(found: &Found, partition: &Partition) -> bool {
    match found.head.kind {
        Kind::Commit | Kind::Abort => false,
        Kind::Settled => true,
        Kind::Data => !partition.is_aborted(found.head.producer, found.base),
    }
}

/// Deletes chunks whose newest record is older than the topic keeps.
fn retain(shared: &Shared, now: Timestamp) -> Result<()> {
    let mut limited = Vec::new();
    for topic in shared.state.lock().topics.values() {
        let Some(retention) = topic.config.retention.filter(|_| topic.config.cleanup == CleanupPolicy::Delete) else { continue };
        let oldest = now.0.saturating_sub(i64::try_from(retention.as_millis()).unwrap_or(i64::MAX));
        limited.extend((0..topic.config.partitions).map(|number| (Place { topic: topic.id, partition: log::Partition(number) }, oldest)));
    }
    for (place, oldest) in limited {
        let Some(partition) = bounds(shared, place) else { continue };
        let stable = partition.last_stable();
        let mut batch = Batch::default();
        let mut low = partition.low;
        fetch::chunks(&*shared.kv, place, partition.low, &mut |found, _| {
            // Markers have no time of their own: they go with what stands before them.
            let old = found.head.max_time < oldest;
            if !old || found.end() > stable || batch.size_bytes() > STEP_BYTES {
                return ControlFlow::Break(());
            }
            batch.delete(&keys::chunk(place, found.base));
            low = found.end();
            ControlFlow::Continue(())
        })?;
        if low == partition.low {
            continue;
        }
        let mut state = shared.state.lock();
        let Some(known) = state.place(place) else { continue };
        known.low = low;
        for range in known.aborted.extract_if(.., |range| range.last < low) {
            batch.delete(&keys::aborted(place, range.first, range.producer));
        }
        known.put_meta(place, &mut batch);
        write(&*shared.kv, "deleting old records", &batch, Durability::Buffered)?;
    }
    Ok(())
}
