//! A partition's bounds, open transactions and aborted ranges, and how they come back when a log is opened.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::group::Group;
use super::keys::{self, Place};
use super::transaction::Transaction;
use super::{State, Topic, stored};
use crate::streams::kv::{Batch, Direction, Durability, Kv, prefix_end};
use crate::streams::log::{self, Class, CleanupPolicy, Error, Isolation, Offset, Result, TopicConfig};

/// Records of an aborted transaction: to be left out when `read_committed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Aborted {
    pub(super) producer: u64,
    pub(super) first: Offset,
    /// The offset of the marker.
    pub(super) last: Offset,
}

/// What is stored of a partition beside its records; written with every change of them, in the same batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The first offset that is still there.
    pub(super) low: Offset,
    /// The next offset to be given out.
    pub(super) high: Offset,
    /// Everything below was compacted, and what that left; what was appended since then.
    pub(super) cleaned: Offset,
    pub(super) clean_bytes: u64,
    pub(super) dirty_bytes: u64,
    /// Below it small chunks were made into large ones; what was appended since then.
    pub(super) merged: Offset,
    pub(super) tail_chunks: u64,
    pub(super) tail_bytes: u64,
}

/// Beyond what may ever be appended: a number above it is damage.
const BOUND_MAX: u64 = 1 << 62;

impl Bounds {
    pub(super) fn put(&self, place: Place, batch: &mut Batch) {
        let Self { low, high, cleaned, clean_bytes, dirty_bytes, merged, tail_chunks, tail_bytes } = *self;
        let offsets = [low, high, cleaned, merged].map(|offset| offset.0.to_le_bytes());
        let counts = [clean_bytes, dirty_bytes, tail_chunks, tail_bytes].map(u64::to_le_bytes);
        batch.put(&keys::meta(place), [offsets, counts].as_flattened().as_flattened());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (numbers, []) = bytes.as_chunks::<8>() else { return None };
        let numbers = <[[u8; 8]; 8]>::try_from(numbers).ok()?.map(u64::from_le_bytes);
        if numbers.iter().any(|number| *number > BOUND_MAX) {
            return None;
        }
        let [low, high, cleaned, merged, clean_bytes, dirty_bytes, tail_chunks, tail_bytes] = numbers;
        let [low, high, cleaned, merged] = [low, high, cleaned, merged].map(|offset| Offset(offset.cast_signed()));
        Some(Self { low, high, cleaned, clean_bytes, dirty_bytes, merged, tail_chunks, tail_bytes })
    }

    /// Notes that a chunk of so many offsets and bytes was appended.
    pub(super) fn append(&mut self, offsets: u32, bytes: usize) {
        self.high = Offset(self.high.0 + i64::from(offsets));
        self.tail_chunks += 1;
        self.tail_bytes += bytes as u64;
        self.dirty_bytes += bytes as u64;
    }
}

/// A partition, without its records.
#[derive(Debug, Default)]
pub(super) struct Partition {
    pub(super) bounds: Bounds,
    /// First offset of each open transaction, by producer.
    pub(super) open: BTreeMap<u64, Offset>,
    /// Shared with readers: they judge a chunk by what was known before they loaded it.
    pub(super) aborted: Arc<Vec<Aborted>>,
}

impl Partition {
    /// The first offset of the oldest open transaction, or the end.
    pub(super) fn last_stable(&self) -> Offset {
        self.open.values().copied().min().unwrap_or(self.bounds.high)
    }

    pub(super) fn end(&self, isolation: Isolation) -> Offset {
        match isolation {
            Isolation::ReadCommitted => self.last_stable(),
            Isolation::ReadUncommitted => self.bounds.high,
        }
    }

    /// Forgets the aborted ranges below `offset`: their records are gone. The caller writes the batch before it calls [`Self::forget`].
    pub(super) fn put_forgotten(&self, place: Place, offset: Offset, batch: &mut Batch) {
        for range in self.aborted.iter().filter(|range| range.last < offset) {
            batch.delete(&keys::aborted(place, range.first, range.producer));
        }
    }

    pub(super) fn forget(&mut self, offset: Offset) {
        if self.aborted.iter().any(|range| range.last < offset) {
            Arc::make_mut(&mut self.aborted).retain(|range| range.last >= offset);
        }
    }
}

/// Whether a chunk of `producer` at `base` was aborted.
pub(super) fn is_aborted(aborted: &[Aborted], producer: u64, base: Offset) -> bool {
    aborted.iter().any(|range| range.producer == producer && range.first <= base && base <= range.last)
}

/// A topic as it is stored.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredTopic {
    name: String,
    partitions: i32,
    compact: bool,
    retention_ms: Option<u64>,
    delete_retention_ms: u64,
}

impl StoredTopic {
    pub(super) fn of(name: &str, config: &TopicConfig) -> Self {
        let ms = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            name: name.to_owned(),
            partitions: config.partitions,
            compact: config.cleanup == CleanupPolicy::Compact,
            retention_ms: config.retention.map(ms),
            delete_retention_ms: ms(config.delete_retention),
        }
    }

    fn config(&self) -> TopicConfig {
        let duration = std::time::Duration::from_millis;
        TopicConfig {
            partitions: self.partitions,
            cleanup: if self.compact { CleanupPolicy::Compact } else { CleanupPolicy::Delete },
            retention: self.retention_ms.map(duration),
            delete_retention: duration(self.delete_retention_ms),
            replication: None,
            min_insync_replicas: None,
            max_message_bytes: None,
        }
    }
}

/// The format of the key space; a log of another one is refused.
const FORMAT: &[u8] = b"1";

/// Reads everything but the records; what cannot be read is an error, never left out.
pub(super) fn load(kv: &dyn Kv) -> Result<State> {
    let mut state = State::default();
    let mut bytes = Vec::new();
    let mut batch = Batch::default();
    if !read(kv, keys::FORMAT, &mut bytes)? {
        batch.put(keys::FORMAT, FORMAT);
        super::write(kv, OPENING, &batch, Durability::Buffered)?;
    } else if bytes != FORMAT {
        let message = format!("the log has format {}, this program writes 1", String::from_utf8_lossy(&bytes));
        return Err(Error::new(Class::Fatal, OPENING, message));
    }
    if read(kv, keys::COUNTERS, &mut bytes)? {
        let (topic, producer) = keys::counters_of(&bytes).ok_or_else(|| damaged(keys::COUNTERS))?;
        (state.next_topic, state.next_producer) = (topic, producer);
    }
    let mut topics = Vec::new();
    scan(kv, b"t", |key, value| {
        let (_, id) = key.split_last_chunk::<4>()?;
        topics.push((u32::from_be_bytes(*id), serde_json::from_slice::<StoredTopic>(value).ok()?));
        Some(())
    })?;
    for (id, topic) in topics {
        let mut partitions = Vec::new();
        for number in 0..topic.partitions {
            partitions.push(load_partition(kv, Place { topic: id, partition: log::Partition(number) })?);
        }
        state.topics.insert(Arc::from(topic.name.as_str()), Topic { id, config: topic.config(), partitions });
    }
    scan(kv, b"x", |key, value| {
        let id = std::str::from_utf8(key.get(1..)?).ok()?;
        state.transactions.insert(Arc::from(id), serde_json::from_slice::<Transaction>(value).ok()?);
        Some(())
    })?;
    let groups = &mut state.groups;
    scan(kv, b"o", |key, value| {
        let (group, partition) = keys::offset_of(key)?;
        groups.entry(Arc::from(group)).or_default().offsets.insert(partition, Group::read_offset(value)?);
        Some(())
    })?;
    Ok(state)
}

fn load_partition(kv: &dyn Kv, place: Place) -> Result<Partition> {
    let mut bytes = Vec::new();
    let mut partition = Partition::default();
    let key = keys::meta(place);
    if read(kv, &key, &mut bytes)? {
        partition.bounds = Bounds::read(&bytes).ok_or_else(|| damaged(&key))?;
    }
    let mut aborted = Vec::new();
    scan(kv, &keys::aborted_ranges(place), |key, value| {
        let (first, producer) = keys::aborted_of(key)?;
        aborted.push(Aborted { producer, first, last: Offset(i64::from_le_bytes(value.try_into().ok()?)) });
        Some(())
    })?;
    partition.aborted = Arc::new(aborted);
    Ok(partition)
}

const OPENING: &str = "opening the log";

fn damaged(key: &[u8]) -> Error {
    Error::new(Class::Fatal, OPENING, format!("the row {} is damaged", key.escape_ascii()))
}

fn read(kv: &dyn Kv, key: &[u8], value: &mut Vec<u8>) -> Result<bool> {
    kv.get(key, value).map_err(|error| stored(OPENING, error))
}

/// Visits the rows under `prefix`; a row for which `visit` has no answer is damaged.
fn scan(kv: &dyn Kv, prefix: &[u8], mut visit: impl FnMut(&[u8], &[u8]) -> Option<()>) -> Result<()> {
    let end = prefix_end(prefix);
    let mut fault = None;
    kv.scan(prefix, end.as_deref(), Direction::Forward, &mut |key, value| {
        if visit(key, value).is_none() {
            fault = Some(damaged(key));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })
    .map_err(|error| stored(OPENING, error))?;
    fault.map_or(Ok(()), Err)
}
