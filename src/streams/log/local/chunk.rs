//! Chunks: many records in one value, because a write per record is what makes a log slow.
//!
//! Head: format u8, kind u8, producer u64, records u32, last offset delta u32, base time i64, highest time i64, time since
//! which its tombstones are known i64 (0: none); little endian. Then per record: offset delta, time delta (zigzag), key
//! length + 1 (0: null), key, value length + 1, value, headers length, headers; lengths and deltas as LEB128.

use crate::streams::clock::Timestamp;
use crate::streams::log::{Headers, Offset, RecordRef};

const FORMAT: u8 = 1;
pub(super) const HEAD_BYTES: usize = 42;

/// A buffer that one large record has made larger is not kept.
const BUFFER_BYTES_KEPT: usize = 2 << 20;

/// What a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Records of a transaction.
    Data,
    /// The marker of a commit; takes one offset.
    Commit,
    /// The marker of an abort; takes one offset.
    Abort,
    /// Records that are known to be committed: compaction wrote them.
    Settled,
}

/// The head of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) producer: u64,
    pub(super) records: u32,
    pub(super) last_delta: u32,
    pub(super) base_time: i64,
    pub(super) max_time: i64,
    pub(super) tombstones_since: i64,
}

impl Head {
    pub(super) fn read(chunk: &[u8]) -> Option<Self> {
        let mut rest = chunk;
        let [format, kind] = take::<2>(&mut rest)?;
        if format != FORMAT {
            return None;
        }
        let kind = match kind {
            0 => Kind::Data,
            1 => Kind::Commit,
            2 => Kind::Abort,
            3 => Kind::Settled,
            _ => return None,
        };
        Some(Self {
            kind,
            producer: u64::from_le_bytes(take(&mut rest)?),
            records: u32::from_le_bytes(take(&mut rest)?),
            last_delta: u32::from_le_bytes(take(&mut rest)?),
            base_time: i64::from_le_bytes(take(&mut rest)?),
            max_time: i64::from_le_bytes(take(&mut rest)?),
            tombstones_since: i64::from_le_bytes(take(&mut rest)?),
        })
    }

    fn write(&self, into: &mut [u8]) {
        let kind = match self.kind {
            Kind::Data => 0,
            Kind::Commit => 1,
            Kind::Abort => 2,
            Kind::Settled => 3,
        };
        let mut head = [0; HEAD_BYTES];
        let parts: [&[u8]; 7] = [
            &[FORMAT, kind],
            &self.producer.to_le_bytes(),
            &self.records.to_le_bytes(),
            &self.last_delta.to_le_bytes(),
            &self.base_time.to_le_bytes(),
            &self.max_time.to_le_bytes(),
            &self.tombstones_since.to_le_bytes(),
        ];
        for (place, byte) in head.iter_mut().zip(parts.iter().copied().flatten()) {
            *place = *byte;
        }
        if let Some(start) = into.get_mut(..HEAD_BYTES) {
            start.copy_from_slice(&head);
        }
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*taken)
}

/// A chunk being written; its buffer is reused.
#[derive(Debug)]
pub(super) struct Builder {
    bytes: Vec<u8>,
    head: Head,
}

impl Default for Builder {
    fn default() -> Self {
        let head = Head { kind: Kind::Data, producer: 0, records: 0, last_delta: 0, base_time: 0, max_time: i64::MIN, tombstones_since: 0 };
        Self { bytes: vec![0; HEAD_BYTES], head }
    }
}

impl Builder {
    /// Forgets everything, keeps the buffer.
    pub(super) fn clear(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        *self = Self { bytes, ..Self::default() };
        self.bytes.resize(HEAD_BYTES, 0);
        self.bytes.truncate(HEAD_BYTES);
        self.bytes.shrink_to(BUFFER_BYTES_KEPT);
    }

    pub(super) fn records(&self) -> u32 {
        self.head.records
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Appends a record at `delta` offsets after the base.
    pub(super) fn push(&mut self, delta: u32, timestamp: Timestamp, key: Option<&[u8]>, value: Option<&[u8]>, headers: Headers<'_>) {
        if self.head.records == 0 {
            self.head.base_time = timestamp.0;
        }
        self.head.records += 1;
        self.head.last_delta = delta;
        self.head.max_time = self.head.max_time.max(timestamp.0);
        let bytes = &mut self.bytes;
        put_varint(bytes, u64::from(delta));
        let time = timestamp.0.wrapping_sub(self.head.base_time);
        put_varint(bytes, zigzag(time));
        for part in [key, value] {
            put_varint(bytes, part.map_or(0, |part| part.len() as u64 + 1));
            bytes.extend_from_slice(part.unwrap_or_default());
        }
        put_varint(bytes, headers.as_bytes().len() as u64);
        bytes.extend_from_slice(headers.as_bytes());
    }

    /// The finished chunk of a transaction's records.
    pub(super) fn finish(&mut self, producer: u64) -> &[u8] {
        self.head.producer = producer;
        self.head.write(&mut self.bytes);
        &self.bytes
    }

    /// The finished chunk of a compaction; `last_delta` covers the offsets that are gaps now.
    pub(super) fn settle(&mut self, last_delta: u32, tombstones_since: i64) -> &[u8] {
        self.head = Head { kind: Kind::Settled, last_delta, tombstones_since, ..self.head };
        self.head.write(&mut self.bytes);
        &self.bytes
    }
}

/// The chunk of a marker.
pub(super) fn marker(kind: Kind, producer: u64) -> [u8; HEAD_BYTES] {
    let mut bytes = [0; HEAD_BYTES];
    Head { kind, producer, records: 0, last_delta: 0, base_time: 0, max_time: i64::MIN, tombstones_since: 0 }.write(&mut bytes);
    bytes
}

/// Reads the records of a chunk from `cursor` (bytes after the head) on.
#[derive(Debug)]
pub(super) struct Records<'a> {
    rest: &'a [u8],
    base: Offset,
    base_time: i64,
    bytes: usize,
}

impl<'a> Records<'a> {
    pub(super) fn new(chunk: &'a [u8], base: Offset, head: &Head, cursor: usize) -> Self {
        let rest = chunk.get(HEAD_BYTES + cursor..).unwrap_or_default();
        Self { rest, base, base_time: head.base_time, bytes: chunk.len() }
    }

    /// Whether all were read; when it ends without that, the chunk is damaged.
    pub(super) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes after the head that were read.
    pub(super) fn cursor(&self) -> usize {
        self.bytes.saturating_sub(HEAD_BYTES + self.rest.len())
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = RecordRef<'a>;

    fn next(&mut self) -> Option<RecordRef<'a>> {
        // On a copy: a torn record leaves its bytes, so that the chunk is not taken for done.
        let mut rest = self.rest;
        let delta = varint(&mut rest)?;
        // A damaged one may lie anywhere; there must be one after it.
        let offset = Offset(self.base.0.checked_add(i64::from(u32::try_from(delta).ok()?)).filter(|offset| *offset < i64::MAX)?);
        let timestamp = Timestamp(self.base_time.wrapping_add(unzigzag(varint(&mut rest)?)));
        let key = part(&mut rest)?;
        let value = part(&mut rest)?;
        let length = usize::try_from(varint(&mut rest)?).ok()?;
        let (headers, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(RecordRef { offset, timestamp, key, value, headers: Headers::from_bytes(headers) })
    }
}

#[expect(clippy::option_option, reason = "the outer one is the end of the bytes, the inner one a null")]
fn part<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let Some(length) = varint(rest)?.checked_sub(1) else { return Some(None) };
    let (bytes, tail) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = tail;
    Some(Some(bytes))
}

fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[expect(clippy::cast_sign_loss, reason = "zigzag is a mapping of bits")]
fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

#[expect(clippy::cast_possible_wrap, reason = "zigzag is a mapping of bits")]
fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::log::HeadersBuf;

    #[test]
    fn records_come_back_as_they_were() {
        let mut headers = HeadersBuf::default();
        headers.push("h", Some(b"v"));
        let mut builder = Builder::default();
        for _ in 0..2 {
            builder.clear();
            builder.push(0, Timestamp(i64::MAX), Some(b"k"), Some(b""), Headers::EMPTY);
            builder.push(1, Timestamp(i64::MIN), None, None, headers.as_headers());
            builder.push(300, Timestamp(-5), Some(b""), Some(&[7; 500]), Headers::EMPTY);
            let chunk = builder.finish(9).to_vec();
            let head = Head::read(&chunk).unwrap();
            assert_eq!((head.kind, head.producer, head.records, head.last_delta, head.max_time), (Kind::Data, 9, 3, 300, i64::MAX));
            let mut records = Records::new(&chunk, Offset(10), &head, 0);
            let first = records.next().unwrap();
            assert_eq!(
                (first.offset, first.timestamp, first.key, first.value),
                (Offset(10), Timestamp(i64::MAX), Some(&b"k"[..]), Some(&b""[..]))
            );
            let second = records.next().unwrap();
            assert_eq!((second.key, second.value, second.headers), (None, None, headers.as_headers()));
            let cursor = records.cursor();
            let third = Records::new(&chunk, Offset(10), &head, cursor).next().unwrap();
            assert_eq!((third.offset, third.timestamp, third.value.map(<[u8]>::len)), (Offset(310), Timestamp(-5), Some(500)));
        }
    }

    #[test]
    fn torn_bytes_end_the_records() {
        let mut builder = Builder::default();
        builder.push(0, Timestamp(1), Some(b"key"), Some(b"value"), Headers::EMPTY);
        let chunk = builder.finish(1).to_vec();
        for length in 0..chunk.len() {
            let torn = &chunk[..length];
            let Some(head) = Head::read(torn) else { continue };
            let mut records = Records::new(torn, Offset(0), &head, 0);
            assert_eq!(records.next(), None);
            assert_eq!(records.is_done(), length == HEAD_BYTES);
        }
    }
}
