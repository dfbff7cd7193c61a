//! How the state of a task is laid out in its [`Kv`](crate::streams::kv::Kv).
//!
//! Every key is one byte of kind, a big-endian `u16`, and what the kind needs. Kinds are never reused.
//!
//! | kind | number | rest | value |
//! |---|---|---|---|
//! | `0x01` format | 0 | | `u8`: [`FORMAT_VERSION`] |
//! | `0x02` store | the store's number | | JSON: name and layout |
//! | `0x03` checkpoint | the store's number | | `i64` big-endian: next changelog offset to read |
//! | `0x04` input | 0 | | `i64` big-endian: next input offset to read |
//! | `0x05` as of | the store's number | | `i64` big-endian: wall-clock milliseconds at which the checkpoint was the changelog's end |
//! | `0x06` epoch | 0 | | text: names the life of the changelogs that the rows come from |
//! | `0x10` row | the store's number | the user's key | the user's value |
//!
//! A store's number is given out when its name is first seen and kept in the store row, so declaring another store
//! shifts nothing. Numbers are not reused before the whole state is wiped.

use crate::streams::clock::Timestamp;
use crate::streams::log::Offset;

/// The layout described above. Raise it when the encoding changes.
pub(super) const FORMAT_VERSION: u8 = 1;

/// Length of kind and number.
pub(super) const HEAD_LENGTH: usize = 3;

/// What a key stands for; the discriminant is the first byte on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Format = 0x01,
    Store = 0x02,
    Checkpoint = 0x03,
    Input = 0x04,
    AsOf = 0x05,
    Epoch = 0x06,
    Row = 0x10,
}

/// The key of a row that is not a user's.
pub(super) fn meta(kind: Kind, number: u16) -> [u8; HEAD_LENGTH] {
    let [high, low] = number.to_be_bytes();
    [kind as u8, high, low]
}

/// Where the keys of this kind and number end (exclusive).
pub(super) fn end(kind: Kind, number: u16) -> [u8; HEAD_LENGTH] {
    match number.checked_add(1) {
        Some(next) => meta(kind, next),
        None => [kind as u8 + 1, 0, 0],
    }
}

/// The first bytes of a key, with zeros where it is shorter: they decide nearly every comparison.
pub(super) fn prefix<const LENGTH: usize>(key: &[u8]) -> [u8; LENGTH] {
    let mut prefix = [0; LENGTH];
    prefix.iter_mut().zip(key).for_each(|(to, &from)| *to = from);
    prefix
}

/// Writes the key of a user's row into `into`, replacing what was there.
pub(super) fn row(number: u16, key: &[u8], into: &mut Vec<u8>) {
    into.clear();
    into.extend_from_slice(&meta(Kind::Row, number));
    into.extend_from_slice(key);
}

/// The number in a key of any kind.
pub(super) fn number_of(key: &[u8]) -> Option<u16> {
    let (_, rest) = key.split_first()?;
    Some(u16::from_be_bytes(*rest.first_chunk()?))
}

/// A time as it is stored.
pub(super) fn time_bytes(time: Timestamp) -> [u8; 8] {
    time.0.to_be_bytes()
}

/// Reads what [`time_bytes`] wrote.
pub(super) fn time_of(bytes: &[u8]) -> Option<Timestamp> {
    Some(Timestamp(i64::from_be_bytes(bytes.try_into().ok()?)))
}

/// An offset as it is stored.
pub(super) fn offset_bytes(offset: Offset) -> [u8; 8] {
    offset.0.to_be_bytes()
}

/// Reads what [`offset_bytes`] wrote.
pub(super) fn offset_of(bytes: &[u8]) -> Option<Offset> {
    Some(Offset(i64::from_be_bytes(bytes.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_a_store_lies_between_head_and_end() {
        let mut key = Vec::new();
        for number in [0, 1, 255, 256, u16::MAX] {
            for user in [&b""[..], b"a", &[0xff; 9]] {
                row(number, user, &mut key);
                assert!(meta(Kind::Row, number).as_slice() <= key.as_slice());
                assert!(key.as_slice() < end(Kind::Row, number).as_slice());
            }
        }
    }

    #[test]
    fn kinds_keep_their_bytes() {
        let kinds = [Kind::Format, Kind::Store, Kind::Checkpoint, Kind::Input, Kind::AsOf, Kind::Epoch, Kind::Row].map(|kind| kind as u8);
        assert_eq!(kinds, [1, 2, 3, 4, 5, 6, 16]);
    }

    #[test]
    fn offsets_and_numbers_are_read_back() {
        assert_eq!(offset_of(&offset_bytes(Offset(77))), Some(Offset(77)));
        assert_eq!(offset_of(b"short"), None);
        assert_eq!(time_of(&time_bytes(Timestamp(1_785_000_000_000))), Some(Timestamp(1_785_000_000_000)));
        assert_eq!(time_of(b"short"), None);
        assert_eq!(number_of(&meta(Kind::Store, 515)), Some(515));
        assert_eq!(number_of(b"x"), None);
    }
}
