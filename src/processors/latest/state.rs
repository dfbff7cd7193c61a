//! The stored row of a key.
//!
//! ```text
//! version u8 = 1
//! flags   u8: bit 0: there was an observation before the last
//! last    offset, timestamp (varints)
//! before  offset and timestamp, each as last minus before (varints), if bit 0
//! entries to the end, one per known field:
//!   hash u32, little endian     of the field's path
//!   tags u8                     low half: type of the last value; high half: type of the one before, 14 equal to the last, 15 none
//!   seen u8                     bits 0-1: when the last value was seen: 0 at `last`, 1 at `before`, 2 spelt out; bits 2-3: the same for the one before
//!   last value's time if spelt out, last value, previous value's time if spelt out, previous value
//! ```
//!
//! Every entry can be passed over without knowing its field: newly watched and no longer watched fields need no migration. A tag is
//! never given another meaning.

use crate::avro::{Type, Value};
use crate::processors::varint;
use crate::streams::clock::Timestamp;
use crate::streams::log::Offset;

const VERSION: u8 = 1;
const TAG_NULL: u8 = 0;
const TAG_BOOLEAN: u8 = 1;
pub(crate) const TAG_LONG: u8 = 2;
const TAG_TIMESTAMP: u8 = 3;
const TAG_DOUBLE: u8 = 4;
const TAG_STRING: u8 = 5;
const TAG_BYTES: u8 = 6;
const TAG_STRINGS: u8 = 7;
const EQUAL: u8 = 14;
const NONE: u8 = 15;

/// The tag of a type; none where it cannot be stored.
pub(super) fn tag_of(ty: &Type) -> Option<u8> {
    Some(match ty {
        Type::Boolean => TAG_BOOLEAN,
        Type::Long => TAG_LONG,
        Type::Timestamp => TAG_TIMESTAMP,
        Type::Double => TAG_DOUBLE,
        Type::String => TAG_STRING,
        Type::Bytes => TAG_BYTES,
        Type::Strings => TAG_STRINGS,
        Type::Names(_) => return None,
    })
}

/// Why stored bytes cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("a stored row has version {version}, this program knows version {VERSION}")]
    Version { version: u8 },
    #[error("a stored row of {length_bytes} bytes ends too early or is malformed")]
    Malformed { length_bytes: usize },
    #[error("a stored field has type tag {stored}, the field with hash {hash:08x} has {declared} now")]
    Type { hash: u32, stored: u8, declared: u8 },
}

/// When and where something was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) offset: Offset,
    pub(super) timestamp: Timestamp,
}

/// A stored value: its tag, and its 64 bits: a number, or start and end of a range of the row's bytes. Not an enum: copying one in pieces
/// was a third of the time of reading a row.
#[derive(Clone, Copy, Debug, Default)]
struct Raw {
    tag: u8,
    bits: u64,
}

/// A value on its way into the row: a stored one or an observed one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Held<'a> {
    Null,
    Boolean(bool),
    Long(i64),
    Double(f64),
    /// Text, bytes, or an encoded list.
    Run(&'a [u8]),
    List(&'a [String]),
}

impl<'a> Held<'a> {
    #[inline]
    fn stored(raw: Raw, row: &'a [u8]) -> Self {
        match raw.tag {
            TAG_NULL => Self::Null,
            TAG_BOOLEAN => Self::Boolean(raw.bits != 0),
            TAG_LONG | TAG_TIMESTAMP => Self::Long(raw.bits.cast_signed()),
            TAG_DOUBLE => Self::Double(f64::from_bits(raw.bits)),
            _ => {
                let place = |bits: u64| usize::try_from(bits & u64::from(u32::MAX)).unwrap_or(usize::MAX);
                Self::Run(row.get(place(raw.bits >> 32)..place(raw.bits)).unwrap_or_default())
            }
        }
    }

    #[inline]
    pub(super) fn observed(value: &'a Value) -> Self {
        match value {
            Value::Boolean(value) => Self::Boolean(*value),
            Value::Long(value) => Self::Long(*value),
            Value::Double(value) => Self::Double(*value),
            Value::String(text) => Self::Run(text.as_bytes()),
            Value::Bytes(bytes) => Self::Run(bytes),
            Value::Strings(list) => Self::List(list),
            Value::Null | Value::Names(_) => Self::Null,
        }
    }

    pub(super) fn is_null(self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether both are the same value; a NaN is the same as a NaN.
    #[expect(clippy::float_cmp, reason = "any other number is another value")]
    pub(super) fn same(self, other: Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Boolean(a), Self::Boolean(b)) => a == b,
            (Self::Long(a), Self::Long(b)) => a == b,
            (Self::Double(a), Self::Double(b)) => a == b || (a.is_nan() && b.is_nan()),
            (Self::Run(a), Self::Run(b)) => a == b,
            (Self::List(a), Self::List(b)) => a == b,
            (Self::List(list), Self::Run(run)) | (Self::Run(run), Self::List(list)) => encodes(run, list),
            _ => false,
        }
    }

    /// Makes `into` this value, reusing its buffer.
    pub(super) fn copy_to(self, tag: u8, into: &mut Value) {
        match self {
            Self::Null => *into = Value::Null,
            Self::Boolean(value) => *into = Value::Boolean(value),
            Self::Long(value) => *into = Value::Long(value),
            Self::Double(value) => *into = Value::Double(value),
            // Checked when it was decoded, and texts are UTF-8 before they are stored.
            Self::Run(bytes) if tag == TAG_STRING => into.set_str(std::str::from_utf8(bytes).unwrap_or_default()),
            Self::Run(bytes) if tag == TAG_BYTES => into.set_bytes(bytes),
            Self::Run(mut run) => {
                let mut list = Vec::new();
                while let Some(item) = varint::take_run(&mut run) {
                    list.push(String::from_utf8_lossy(item).into_owned());
                }
                *into = Value::Strings(list);
            }
            Self::List(list) => *into = Value::Strings(list.to_vec()),
        }
    }

    #[inline]
    fn put(self, into: &mut Vec<u8>) {
        match self {
            Self::Null => {}
            Self::Boolean(value) => into.push(u8::from(value)),
            Self::Long(value) => varint::put(into, value),
            Self::Double(value) => into.extend_from_slice(&value.to_le_bytes()),
            Self::Run(bytes) => put_run(into, bytes),
            Self::List(list) => {
                let length = list.iter().map(|item| varint::length_of(item.len()) + item.len()).sum();
                varint::put_length(into, length);
                for item in list {
                    put_run(into, item.as_bytes());
                }
            }
        }
    }
}

/// Whether an encoded list has exactly these elements.
fn encodes(mut run: &[u8], list: &[String]) -> bool {
    list.iter().all(|item| varint::take_run(&mut run) == Some(item.as_bytes())) && run.is_empty()
}

fn put_run(into: &mut Vec<u8>, bytes: &[u8]) {
    varint::put_length(into, bytes.len());
    into.extend_from_slice(bytes);
}

/// A value and when it was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) value: Held<'a>,
    pub(super) seen: Seen,
}

/// What is known of one field: the last value and the one before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair<'a> {
    pub(super) last: Known<'a>,
    pub(super) before: Option<Known<'a>>,
}

/// Room for what is stored of one field; filled in place, which is half the cost of reading a row.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    /// How many values are known: the last, and the one before.
    known: u8,
    last: Raw,
    before: Raw,
    last_seen: Seen,
    before_seen: Seen,
}

impl Slot {
    pub(super) fn clear(&mut self) {
        self.known = 0;
    }

    /// The last known value of the field in this row, and when it was seen.
    #[inline]
    pub(super) fn last<'a>(&self, row: &'a [u8]) -> Option<Known<'a>> {
        (self.known > 0).then(|| Known { value: Held::stored(self.last, row), seen: self.last_seen })
    }

    /// Both known values.
    #[inline]
    pub(super) fn pair<'a>(&self, row: &'a [u8]) -> Option<Pair<'a>> {
        let before = (self.known > 1).then(|| Known { value: Held::stored(self.before, row), seen: self.before_seen });
        self.last(row).map(|last| Pair { last, before })
    }
}

/// The head of a row: when the key was observed last, and before that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) last: Seen,
    pub(super) before: Option<Seen>,
}

/// Begins a row.
pub(super) fn put_head(into: &mut Vec<u8>, head: &Head) {
    into.clear();
    into.push(VERSION);
    into.push(u8::from(head.before.is_some()));
    varint::put(into, head.last.offset.0);
    varint::put(into, head.last.timestamp.0);
    if let Some(before) = head.before {
        put_delta(into, head.last, before);
    }
}

fn put_delta(into: &mut Vec<u8>, from: Seen, seen: Seen) {
    varint::put(into, from.offset.0.wrapping_sub(seen.offset.0));
    varint::put(into, from.timestamp.0.wrapping_sub(seen.timestamp.0));
}

/// Appends an entry to a row that has this head.
pub(super) fn put_entry(into: &mut Vec<u8>, head: &Head, hash: u32, tag: u8, pair: &Pair<'_>) {
    let tag_of = |held: Held<'_>| if held.is_null() { TAG_NULL } else { tag };
    let equal = pair.before.is_some_and(|before| before.value.same(pair.last.value));
    let before_tag = match pair.before {
        None => NONE,
        Some(_) if equal => EQUAL,
        Some(before) => tag_of(before.value),
    };
    let last_place = place_of(head, pair.last.seen);
    let before_place = pair.before.map_or(0, |before| place_of(head, before.seen));
    into.extend_from_slice(&hash.to_le_bytes());
    into.push(tag_of(pair.last.value) | before_tag << 4);
    into.push(last_place | before_place << 2);
    if last_place == 2 {
        put_delta(into, head.last, pair.last.seen);
    }
    pair.last.value.put(into);
    if let Some(before) = pair.before {
        if before_place == 2 {
            put_delta(into, head.last, before.seen);
        }
        if !equal {
            before.value.put(into);
        }
    }
}

fn place_of(head: &Head, seen: Seen) -> u8 {
    match head.before {
        _ if seen == head.last => 0,
        Some(before) if seen == before => 1,
        _ => 2,
    }
}

/// Reads a row. `slots` gets what is known of each of `fields` (hash and tag); entries of other fields are passed over.
pub(super) fn decode(row: &[u8], fields: impl Fn(usize) -> Option<(u32, u8)>, slots: &mut [Slot]) -> Result<Head, Error> {
    slots.iter_mut().for_each(Slot::clear);
    match row.first() {
        Some(&VERSION) => {}
        Some(&version) => return Err(Error::Version { version }),
        None => return Err(Error::Malformed { length_bytes: 0 }),
    }
    let mut cursor = Cursor { row, rest: row.get(1..).unwrap_or_default() };
    let malformed = || Error::Malformed { length_bytes: row.len() };
    let head = cursor.head().ok_or_else(malformed)?;
    let mut guess = 0;
    let mut passed_over = Slot::default();
    while !cursor.rest.is_empty() {
        let hash = cursor.hash().ok_or_else(malformed)?;
        // Entries mostly lie in the order of the fields.
        let is_it = |place: &usize| fields(*place).is_some_and(|(known, _)| known == hash);
        let place = if is_it(&guess) { Some(guess) } else { (0..slots.len()).find(is_it) };
        let Some((place, slot)) = place.and_then(|place| Some((place, slots.get_mut(place)?))) else {
            cursor.fill(&head, &mut passed_over).ok_or_else(malformed)?;
            continue;
        };
        guess = place + 1;
        let tags = cursor.fill(&head, slot).ok_or_else(malformed)?;
        let declared = fields(place).map_or(TAG_NULL, |(_, tag)| tag);
        if let Some(stored) = tags.into_iter().find(|&tag| tag != declared && tag < EQUAL && tag != TAG_NULL) {
            return Err(Error::Type { hash, stored, declared });
        }
    }
    Ok(head)
}

struct Cursor<'a> {
    row: &'a [u8],
    rest: &'a [u8],
}

impl Cursor<'_> {
    #[inline]
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    fn head(&mut self) -> Option<Head> {
        let flags = self.byte()?;
        let last = Seen { offset: Offset(varint::take(&mut self.rest)?), timestamp: Timestamp(varint::take(&mut self.rest)?) };
        let before = match flags {
            0 => None,
            1 => Some(self.delta(last)?),
            _ => return None,
        };
        Some(Head { last, before })
    }

    fn delta(&mut self, from: Seen) -> Option<Seen> {
        let offset = Offset(from.offset.0.wrapping_sub(varint::take(&mut self.rest)?));
        Some(Seen { offset, timestamp: Timestamp(from.timestamp.0.wrapping_sub(varint::take(&mut self.rest)?)) })
    }

    #[inline]
    fn seen(&mut self, head: &Head, place: u8) -> Option<Seen> {
        match place {
            0 => Some(head.last),
            1 => head.before,
            2 => self.delta(head.last),
            _ => None,
        }
    }

    #[inline]
    fn hash(&mut self) -> Option<u32> {
        let (hash, rest) = self.rest.split_first_chunk::<4>()?;
        self.rest = rest;
        Some(u32::from_le_bytes(*hash))
    }

    /// Reads what follows an entry's hash; returns the tags of both values.
    #[inline]
    fn fill(&mut self, head: &Head, slot: &mut Slot) -> Option<[u8; 2]> {
        let tags = self.byte()?;
        let places = self.byte()?;
        let (tag, before_tag) = (tags & 0xf, tags >> 4);
        slot.last_seen = self.seen(head, places & 3)?;
        slot.last = Raw { tag, bits: self.value(tag)? };
        slot.known = 1;
        if before_tag != NONE {
            slot.before_seen = self.seen(head, places >> 2)?;
            slot.before = if before_tag == EQUAL { slot.last } else { Raw { tag: before_tag, bits: self.value(before_tag)? } };
            slot.known = 2;
        }
        Some([tag, before_tag])
    }

    #[inline]
    fn value(&mut self, tag: u8) -> Option<u64> {
        Some(match tag {
            TAG_NULL => 0,
            TAG_BOOLEAN => u64::from(self.byte().filter(|&byte| byte < 2)?),
            TAG_LONG | TAG_TIMESTAMP => varint::take(&mut self.rest)?.cast_unsigned(),
            TAG_DOUBLE => {
                let (bytes, rest) = self.rest.split_first_chunk::<8>()?;
                self.rest = rest;
                u64::from_le_bytes(*bytes)
            }
            TAG_STRING | TAG_BYTES | TAG_STRINGS => {
                let run = varint::take_run(&mut self.rest)?;
                let end = self.row.len() - self.rest.len();
                u64::from(u32::try_from(end - run.len()).ok()?) << 32 | u64::from(u32::try_from(end).ok()?)
            }
            _ => return None,
        })
    }
}
