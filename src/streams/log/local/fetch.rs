//! Reads one partition chunk by chunk, passing over markers and aborted records.

use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};

use super::chunk::{Head, Kind, Records};
use super::keys::{self, Place};
use super::partition::{Aborted, is_aborted};
use super::{Shared, stored};
use crate::streams::kv::{Direction, Kv};
use crate::streams::log::{Class, Error, Isolation, Offset, RecordBatch, Result};

/// Chunks are loaded until there are so many bytes of them; at least one.
const FILL_BYTES: usize = 256 << 10;
/// A buffer that one large chunk has made larger is not kept.
const BUFFER_BYTES_KEPT: usize = 1 << 20;

/// A chunk found in the storage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) base: Offset,
    pub(super) head: Head,
}

impl Found {
    fn of(key: &[u8], value: &[u8]) -> Option<Self> {
        Some(Self { base: keys::base_of(key)?, head: Head::read(value)? })
    }

    /// The offset after the last one of the chunk.
    pub(super) fn end(&self) -> Offset {
        Offset(self.base.0.saturating_add(i64::from(self.head.last_delta) + 1))
    }
}

/// A chunk that was loaded.
#[derive(Debug)]
struct Piece {
    found: Found,
    bytes: Range<usize>,
}

/// Chunks that were loaded and not delivered yet; they stay from poll to poll.
#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: Vec<u8>,
    pieces: VecDeque<Piece>,
    /// Bytes of the first piece's records that were delivered.
    cursor: usize,
    /// The position that this begins at.
    position: Offset,
    /// Where the position goes when all is delivered: there is nothing else before it.
    until: Offset,
}

/// What is to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span<'a> {
    pub(super) place: Place,
    /// Nothing from here on.
    pub(super) end: Offset,
    pub(super) isolation: Isolation,
    /// The aborted ranges, as they were known when `end` was.
    pub(super) aborted: &'a [Aborted],
}

/// How much one read may deliver.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

impl Limits {
    fn reached(self, batch: &RecordBatch) -> bool {
        batch.len() >= self.records || batch.size_bytes() >= self.bytes
    }
}

impl Held {
    /// Forgets what was loaded.
    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.cursor = 0;
    }

    /// Fills `batch` from `position` on; returns the new position.
    pub(super) fn read(
        &mut self,
        shared: &Shared,
        span: Span<'_>,
        mut position: Offset,
        limits: Limits,
        batch: &mut RecordBatch,
    ) -> Result<Offset> {
        while position < span.end && !limits.reached(batch) {
            if self.position != position || self.pieces.is_empty() {
                self.fill(shared, span, position)?;
            }
            position = self.deliver(span.place, position, limits, batch)?;
            self.position = position;
        }
        Ok(position)
    }

    /// Loads chunks from the one that holds `position` on.
    fn fill(&mut self, shared: &Shared, span: Span<'_>, position: Offset) -> Result<()> {
        self.clear();
        self.bytes.clear();
        self.bytes.shrink_to(BUFFER_BYTES_KEPT);
        let prefix = keys::chunks(span.place);
        let here = keys::chunk(span.place, position.next());
        let mut fault = None;
        // Two looks at the chunks: compaction must not put others in their place between them.
        let _unchanged = shared.rewriting.read();
        // The last chunk that begins at or before the position; compaction may have made it cover what follows.
        let mut from = position.next();
        let mut look = |key: &[u8], value: &[u8]| {
            match Found::of(key, value) {
                Some(found) if found.end() > position => from = found.base,
                Some(_) => {}
                None => fault = Some(damaged(key)),
            }
            ControlFlow::Break(())
        };
        shared.kv.scan(&prefix, Some(&here), Direction::Reverse, &mut look).map_err(|error| stored(READING, error))?;
        if let Some(fault) = fault {
            return Err(fault);
        }
        let (start, end) = (keys::chunk(span.place, from), keys::chunk(span.place, span.end));
        self.until = span.end;
        let mut take = |key: &[u8], value: &[u8]| {
            let Some(found) = Found::of(key, value) else {
                fault = Some(damaged(key));
                return ControlFlow::Break(());
            };
            if self.bytes.len() >= FILL_BYTES {
                self.until = found.base;
                return ControlFlow::Break(());
            }
            if span.delivers(&found) {
                let start = self.bytes.len();
                self.bytes.extend_from_slice(value);
                self.pieces.push_back(Piece { found, bytes: start..self.bytes.len() });
            }
            ControlFlow::Continue(())
        };
        shared.kv.scan(&start, Some(&end), Direction::Forward, &mut take).map_err(|error| stored(READING, error))?;
        fault.map_or(Ok(()), Err)
    }

    /// Delivers what was loaded, as far as the limits allow; returns the new position.
    fn deliver(&mut self, place: Place, mut position: Offset, limits: Limits, batch: &mut RecordBatch) -> Result<Offset> {
        while let Some(piece) = self.pieces.front() {
            let Found { base, head } = piece.found;
            let bytes = self.bytes.get(piece.bytes.clone()).unwrap_or_default();
            let mut records = Records::new(bytes, base, &head, self.cursor);
            while !limits.reached(batch) {
                let Some(record) = records.next() else { break };
                if record.offset >= position {
                    batch.push(&record);
                    position = record.offset.next();
                }
            }
            self.cursor = records.cursor();
            if !records.is_done() {
                if limits.reached(batch) {
                    return Ok(position);
                }
                return Err(damaged(&keys::chunk(place, base)));
            }
            position = position.max(piece.found.end());
            self.pieces.pop_front();
            self.cursor = 0;
            if limits.reached(batch) && !self.pieces.is_empty() {
                return Ok(position);
            }
        }
        Ok(position.max(self.until))
    }
}

impl Span<'_> {
    /// Whether a chunk has records for the reader.
    pub(super) fn delivers(&self, found: &Found) -> bool {
        match found.head.kind {
            Kind::Commit | Kind::Abort => false,
            Kind::Settled => true,
            Kind::Data => self.isolation == Isolation::ReadUncommitted || !is_aborted(self.aborted, found.head.producer, found.base),
        }
    }
}

const READING: &str = "reading the log";

fn damaged(key: &[u8]) -> Error {
    Error::new(Class::Fatal, READING, format!("the chunk at {} is damaged", key.escape_ascii()))
}

/// Visits all chunks of a partition from `from` to `end`, in order.
pub(super) fn chunks(
    kv: &dyn Kv,
    place: Place,
    bounds: Range<Offset>,
    direction: Direction,
    visit: &mut dyn FnMut(Found, &[u8]) -> ControlFlow<()>,
) -> Result<()> {
    let mut fault = None;
    let (from, to) = (keys::chunk(place, bounds.start), keys::chunk(place, bounds.end));
    kv.scan(&from, Some(&to), direction, &mut |key, value| {
        if let Some(found) = Found::of(key, value) {
            return visit(found, value);
        }
        fault = Some(damaged(key));
        ControlFlow::Break(())
    })
    .map_err(|error| stored(READING, error))?;
    fault.map_or(Ok(()), Err)
}

/// The first offset in the span whose record is not older than `timestamp`.
pub(super) fn offset_for_time(kv: &dyn Kv, span: Span<'_>, low: Offset, timestamp: i64) -> Result<Option<Offset>> {
    let mut answer = None;
    chunks(kv, span.place, low..span.end, Direction::Forward, &mut |found, bytes| {
        if found.head.max_time >= timestamp && span.delivers(&found) {
            let mut records = Records::new(bytes, found.base, &found.head, 0);
            answer = records.find(|record| record.timestamp.0 >= timestamp).map(|record| record.offset);
        }
        if answer.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(answer)
}
