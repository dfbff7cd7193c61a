//! A partition's bounds, open transactions and aborted ranges, and how they come back when a log is opened.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::group::Group;
use super::keys::{self, Place};
use super::transaction::Transaction;
use super::{State, Topic, stored};
use crate::streams::kv::{Batch, Direction, Kv, prefix_end};
use crate::streams::log::{self, CleanupPolicy, Isolation, Offset, Result, TopicConfig};

/// Records of an aborted transaction: to be left out when `read_committed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Aborted {
    pub(super) producer: u64,
    pub(super) first: Offset,
    /// The offset of the marker.
    pub(super) last: Offset,
}

/// A partition, without its records.
#[derive(Debug, Default)]
pub(super) struct Partition {
    pub(super) low: Offset,
    pub(super) high: Offset,
    /// First offset of each open transaction, by producer.
    pub(super) open: BTreeMap<u64, Offset>,
    pub(super) aborted: Vec<Aborted>,
    /// What was appended since the last compaction, and what that left.
    pub(super) dirty_bytes: u64,
    pub(super) dirty_chunks: u64,
    pub(super) clean_bytes: u64,
    /// Everything below was compacted.
    pub(super) cleaned: Offset,
}

impl Partition {
    /// The first offset of the oldest open transaction, or the end.
    pub(super) fn last_stable(&self) -> Offset {
        self.open.values().copied().min().unwrap_or(self.high)
    }

    pub(super) fn end(&self, isolation: Isolation) -> Offset {
        match isolation {
            Isolation::ReadCommitted => self.last_stable(),
            Isolation::ReadUncommitted => self.high,
        }
    }

    pub(super) fn is_aborted(&self, producer: u64, base: Offset) -> bool {
        self.aborted.iter().any(|range| range.producer == producer && range.first <= base && base <= range.last)
    }

    /// Puts the bounds into a batch; they change with every append.
    pub(super) fn put_meta(&self, place: Place, batch: &mut Batch) {
        let numbers = [self.low.0, self.high.0, self.cleaned.0];
        let mut bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        bytes.extend([self.dirty_bytes, self.dirty_chunks, self.clean_bytes].iter().flat_map(|number| number.to_le_bytes()));
        batch.put(&keys::meta(place), &bytes);
    }

    fn read_meta(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let mut next = || {
            let (number, tail) = rest.split_first_chunk::<8>()?;
            rest = tail;
            Some(*number)
        };
        let (low, high, cleaned) = (next()?, next()?, next()?);
        let offset = |bytes| Offset(i64::from_le_bytes(bytes));
        Some(Self {
            low: offset(low),
            high: offset(high),
            cleaned: offset(cleaned),
            dirty_bytes: u64::from_le_bytes(next()?),
            dirty_chunks: u64::from_le_bytes(next()?),
            clean_bytes: u64::from_le_bytes(next()?),
            ..Self::default()
        })
    }
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
        }
    }
}

/// Reads everything but the records.
pub(super) fn load(kv: &dyn Kv) -> Result<State> {
    let mut state = State::default();
    let mut counters = Vec::new();
    if kv.get(keys::COUNTERS, &mut counters).map_err(|error| stored("opening the log", error))?
        && let Some((topic, rest)) = counters.split_first_chunk::<4>()
        && let Some((producer, _)) = rest.split_first_chunk::<8>()
    {
        state.next_topic = u32::from_le_bytes(*topic);
        state.next_producer = u64::from_le_bytes(*producer);
    }
    let mut topics = Vec::new();
    scan(kv, b"t", |key, value| {
        if let (Some((_, id)), Ok(topic)) = (key.split_last_chunk::<4>(), serde_json::from_slice::<StoredTopic>(value)) {
            topics.push((u32::from_be_bytes(*id), topic));
        }
    })?;
    for (id, topic) in topics {
        let mut partitions = Vec::new();
        for number in 0..topic.partitions {
            partitions.push(load_partition(kv, Place { topic: id, partition: log::Partition(number) })?);
        }
        state.topics.insert(Arc::from(topic.name.as_str()), Topic { id, config: topic.config(), partitions });
    }
    scan(kv, b"x", |key, value| {
        let id = key.get(1..).and_then(|id| std::str::from_utf8(id).ok());
        if let (Some(id), Ok(transaction)) = (id, serde_json::from_slice::<Transaction>(value)) {
            state.transactions.insert(Arc::from(id), transaction);
        }
    })?;
    let groups = &mut state.groups;
    scan(kv, b"o", |key, value| {
        if let (Some((group, partition)), Some(committed)) = (keys::offset_of(key), Group::read_offset(value)) {
            groups.entry(Arc::from(group)).or_default().offsets.insert(partition, committed);
        }
    })?;
    Ok(state)
}

fn load_partition(kv: &dyn Kv, place: Place) -> Result<Partition> {
    let mut bytes = Vec::new();
    kv.get(&keys::meta(place), &mut bytes).map_err(|error| stored("opening the log", error))?;
    let mut partition = Partition::read_meta(&bytes).unwrap_or_default();
    scan(kv, &keys::aborted_ranges(place), |key, value| {
        if let (Some((first, producer)), Some((last, _))) = (keys::aborted_of(key), value.split_first_chunk::<8>()) {
            partition.aborted.push(Aborted { producer, first, last: Offset(i64::from_le_bytes(*last)) });
        }
    })?;
    Ok(partition)
}

fn scan(kv: &dyn Kv, prefix: &[u8], mut visit: impl FnMut(&[u8], &[u8])) -> Result<()> {
    let end = prefix_end(prefix);
    kv.scan(prefix, end.as_deref(), Direction::Forward, &mut |key, value| {
        visit(key, value);
        ControlFlow::Continue(())
    })
    .map_err(|error| stored("opening the log", error))
}
