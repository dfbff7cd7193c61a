//! Where things lie in the key space of an embedded log. Tags are never used again for something else.
//!
//! | key | value |
//! |---|---|
//! | `t` topic id u32 | the topic: JSON |
//! | `m` topic id u32, partition u32 | the partition's bounds |
//! | `r` topic id u32, partition u32, base offset u64 | a chunk of records |
//! | `a` topic id u32, partition u32, first offset u64, producer u64 | the last offset of an aborted range |
//! | `x` transactional id | producer id, epoch and the open transaction: JSON |
//! | `o` group, 0, topic, 0, partition u32 | a committed offset: i64, then the metadata |
//! | `n` | the next topic id u32 and the next producer id u64, little endian |
//! | `s` | nothing: written to sync what was written before it |
//! | `v` | the format of this key space |
//!
//! Numbers are big endian, so that keys sort by them.

use crate::streams::log::{Offset, Partition, TopicPartition};

pub(super) const COUNTERS: &[u8] = b"n";
pub(super) const FORMAT: &[u8] = b"v";
pub(super) const SYNC: &[u8] = b"s";

/// The value of the counters' row.
pub(super) fn counters(next_topic: u32, next_producer: u64) -> Vec<u8> {
    [next_topic.to_le_bytes().as_slice(), &next_producer.to_le_bytes()].concat()
}

/// Next topic id and next producer id.
pub(super) fn counters_of(value: &[u8]) -> Option<(u32, u64)> {
    let (topic, rest) = value.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*topic), u64::from_le_bytes(rest.try_into().ok()?)))
}

/// A partition as it is stored: by the number of its topic, which is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) topic: u32,
    pub(super) partition: Partition,
}

pub(super) fn topic(id: u32) -> Vec<u8> {
    [b"t".as_slice(), &id.to_be_bytes()].concat()
}

pub(super) fn meta(place: Place) -> Vec<u8> {
    at(b'm', place)
}

pub(super) fn chunks(place: Place) -> Vec<u8> {
    at(b'r', place)
}

pub(super) fn chunk(place: Place, base: Offset) -> Vec<u8> {
    with_number(at(b'r', place), base.0)
}

/// The base offset of a chunk's key.
pub(super) fn base_of(key: &[u8]) -> Option<Offset> {
    let (_, base) = key.split_last_chunk::<8>()?;
    Some(Offset(i64::from_be_bytes(*base)))
}

pub(super) fn aborted_ranges(place: Place) -> Vec<u8> {
    at(b'a', place)
}

pub(super) fn aborted(place: Place, first: Offset, producer: u64) -> Vec<u8> {
    let mut key = with_number(at(b'a', place), first.0);
    key.extend_from_slice(&producer.to_be_bytes());
    key
}

/// First offset and producer of an aborted range's key.
pub(super) fn aborted_of(key: &[u8]) -> Option<(Offset, u64)> {
    let (rest, producer) = key.split_last_chunk::<8>()?;
    Some((base_of(rest)?, u64::from_be_bytes(*producer)))
}

pub(super) fn transaction(id: &str) -> Vec<u8> {
    [b"x", id.as_bytes()].concat()
}

pub(super) fn offset(group: &str, partition: &TopicPartition) -> Vec<u8> {
    let number = partition.partition.0.to_be_bytes();
    [b"o", group.as_bytes(), &[0], partition.topic.as_bytes(), &[0], &number].concat()
}

/// Group and partition of a committed offset's key.
pub(super) fn offset_of(key: &[u8]) -> Option<(&str, TopicPartition)> {
    let (rest, number) = key.get(1..)?.split_last_chunk::<4>()?;
    let mut parts = rest.split(|&byte| byte == 0);
    let group = std::str::from_utf8(parts.next()?).ok()?;
    let topic = std::str::from_utf8(parts.next()?).ok()?;
    Some((group, TopicPartition::new(topic, i32::from_be_bytes(*number))))
}

fn at(tag: u8, place: Place) -> Vec<u8> {
    let mut key = Vec::with_capacity(17);
    key.push(tag);
    key.extend_from_slice(&place.topic.to_be_bytes());
    key.extend_from_slice(&place.partition.0.to_be_bytes());
    key
}

fn with_number(mut key: Vec<u8>, number: i64) -> Vec<u8> {
    key.extend_from_slice(&number.to_be_bytes());
    key
}
