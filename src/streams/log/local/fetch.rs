//! Reads one partition chunk by chunk, passing over markers and aborted records.

use std::ops::ControlFlow;

use super::chunk::{HEAD_BYTES, Head, Kind, Records};
use super::keys::{self, Place};
use super::partition::Partition;
use super::stored;
use crate::streams::kv::{Direction, Kv, prefix_end};
use crate::streams::log::{Isolation, Offset, RecordBatch, Result};

/// A chunk that is being read; the bytes stay for the next poll.
#[derive(Debug, Default)]
pub(super) struct Held {
    base: Offset,
    bytes: Vec<u8>,
    /// Bytes of records that were delivered.
    cursor: usize,
    /// The position that `cursor` stands for.
    position: Offset,
}

/// A chunk found in the storage.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) base: Offset,
    pub(super) head: Head,
}

impl Found {
    /// The offset after the last one of the chunk.
    pub(super) fn end(&self) -> Offset {
        Offset(self.base.0 + i64::from(self.head.last_delta) + 1)
    }
}

/// Loads the chunk that holds `position`, or the next one after it, into `bytes`.
pub(super) fn load(kv: &dyn Kv, place: Place, position: Offset, bytes: &mut Vec<u8>) -> Result<Option<Found>> {
    let prefix = keys::chunks(place);
    let here = keys::chunk(place, position.next());
    let mut found = None;
    let mut take = |key: &[u8], value: &[u8]| {
        found = keys::base_of(key).zip(Head::read(value)).map(|(base, head)| Found { base, head });
        bytes.clear();
        bytes.extend_from_slice(value);
        ControlFlow::Break(())
    };
    // The last chunk that begins at or before the position; compaction may have made it cover what follows.
    kv.scan(&prefix, Some(&here), Direction::Reverse, &mut take).map_err(|error| stored("reading the log", error))?;
    if found.as_ref().is_some_and(|chunk| chunk.end() > position) {
        return Ok(found);
    }
    found = None;
    let mut take = |key: &[u8], value: &[u8]| {
        found = keys::base_of(key).zip(Head::read(value)).map(|(base, head)| Found { base, head });
        bytes.clear();
        bytes.extend_from_slice(value);
        ControlFlow::Break(())
    };
    kv.scan(&here, prefix_end(&prefix).as_deref(), Direction::Forward, &mut take).map_err(|error| stored("reading the log", error))?;
    Ok(found)
}

/// What one read is of, and what it may deliver.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) place: Place,
    pub(super) records: usize,
    pub(super) bytes: usize,
    /// Nothing from here on.
    pub(super) end: Offset,
    pub(super) isolation: Isolation,
}

/// Fills `batch` from `position` on; returns the new position. `aborted` answers for a chunk whether it was aborted.
pub(super) fn read(
    kv: &dyn Kv,
    mut position: Offset,
    held: &mut Held,
    limits: Limits,
    aborted: &mut dyn FnMut(u64, Offset) -> bool,
    batch: &mut RecordBatch,
) -> Result<Offset> {
    while position < limits.end && batch.len() < limits.records && batch.size_bytes() < limits.bytes {
        let unfinished = if held.position == position && held.cursor > 0 { Head::read(&held.bytes) } else { None };
        let found = if let Some(begun) = unfinished {
            Found { base: held.base, head: begun }
        } else {
            let Some(found) = load(kv, limits.place, position, &mut held.bytes)? else {
                // Only gaps up to the end.
                return Ok(limits.end);
            };
            (held.base, held.cursor) = (found.base, 0);
            found
        };
        if found.base >= limits.end {
            return Ok(limits.end);
        }
        let left_out = match found.head.kind {
            Kind::Commit | Kind::Abort => true,
            Kind::Settled => false,
            Kind::Data => limits.isolation == Isolation::ReadCommitted && aborted(found.head.producer, found.base),
        };
        if left_out {
            held.cursor = 0;
            position = found.end();
            continue;
        }
        let mut records = Records::new(&held.bytes, found.base, &found.head, held.cursor);
        let mut whole = true;
        while let Some(record) = records.next() {
            if record.offset >= position {
                batch.push(&record);
                position = record.offset.next();
                if batch.len() >= limits.records || batch.size_bytes() >= limits.bytes {
                    whole = HEAD_BYTES + records.cursor() >= held.bytes.len();
                    break;
                }
            }
        }
        if whole {
            held.cursor = 0;
            position = found.end();
        } else {
            held.cursor = records.cursor();
            held.position = position;
        }
    }
    Ok(position)
}

/// Visits all chunks of a partition in order.
pub(super) fn chunks(kv: &dyn Kv, place: Place, from: Offset, visit: &mut dyn FnMut(Found, &[u8]) -> ControlFlow<()>) -> Result<()> {
    let prefix = keys::chunks(place);
    kv.scan(&keys::chunk(place, from), prefix_end(&prefix).as_deref(), Direction::Forward, &mut |key, value| match keys::base_of(key)
        .zip(Head::read(value))
    {
        Some((base, head)) => visit(Found { base, head }, value),
        None => ControlFlow::Continue(()),
    })
    .map_err(|error| stored("reading the log", error))
}

/// The first offset whose record is not older than `timestamp`, below the end of what is committed.
pub(super) fn offset_for_time(kv: &dyn Kv, place: Place, partition: &Partition, timestamp: i64) -> Result<Option<Offset>> {
    let mut answer = None;
    chunks(kv, place, partition.low, &mut |found, bytes| {
        if found.base >= partition.high {
            return ControlFlow::Break(());
        }
        let skip = found.head.max_time < timestamp || matches!(found.head.kind, Kind::Commit | Kind::Abort);
        if !skip && !partition.is_aborted(found.head.producer, found.base) {
            answer =
                Records::new(bytes, found.base, &found.head, 0).find(|record| record.timestamp.0 >= timestamp).map(|record| record.offset);
        }
        if answer.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(answer)
}
