//! The embedded log: Kafka's semantics in one process, over any [`Kv`].
//!
//! Topics, groups with generations, transactions with fencing, markers that take offsets, last stable offset, compaction and
//! retention. What was acknowledged is in the [`Kv`]; groups and positions live in memory. It has no clock, no randomness
//! and no thread of its own: time arrives through [`Admin::maintain`], everything else through the calls of its users.

mod admin;
mod chunk;
mod compaction;
mod consumer;
mod fetch;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod group;
mod keys;
mod partition;
mod producer;
mod simulated;
#[cfg(test)]
mod tests;
mod transaction;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};

use self::keys::Place;
use super::{Admin, Class, Consumer, ConsumerOptions, Error, Log, Producer, ProducerOptions, Result, TopicConfig, TopicPartition};
use crate::streams::clock::{Clock, SystemClock};
use crate::streams::kv::memory::Memory;
use crate::streams::kv::{self, Batch, Durability, Kv};

const BATCH_BYTES_KEPT: usize = 2 << 20;

/// The embedded log.
#[derive(Debug)]
pub struct LocalLog {
    shared: Arc<Shared>,
}

impl LocalLog {
    /// Opens the log that is kept in `kv`; transactions that a dead process left open are aborted.
    pub fn open(kv: Arc<dyn Kv>) -> Result<Arc<Self>> {
        let mut state = partition::load(&*kv)?;
        transaction::abort_left_open(&*kv, &mut state)?;
        Ok(Self::with(kv, state))
    }

    /// A log that lives as long as the process.
    pub fn in_memory() -> Arc<Self> {
        Self::with(Arc::new(Memory::default()), State::default())
    }

    fn with(kv: Arc<dyn Kv>, state: State) -> Arc<Self> {
        let (changed, rewriting, compactor) = (Condvar::new(), RwLock::new(()), Mutex::default());
        Arc::new(Self { shared: Arc::new(Shared { kv, state: Mutex::new(state), changed, rewriting, compactor }) })
    }
}

impl Log for LocalLog {
    fn consumer(&self, options: ConsumerOptions) -> Result<Box<dyn Consumer>> {
        Ok(Box::new(consumer::LocalConsumer::new(Arc::clone(&self.shared), options)))
    }

    fn producer(&self, options: ProducerOptions) -> Result<Box<dyn Producer>> {
        Ok(Box::new(producer::LocalProducer::new(Arc::clone(&self.shared), options)))
    }

    fn admin(&self) -> Arc<dyn Admin> {
        Arc::new(admin::LocalAdmin::new(Arc::clone(&self.shared)))
    }
}

/// What all consumers, producers and admins of one log share.
#[derive(Debug)]
struct Shared {
    kv: Arc<dyn Kv>,
    state: Mutex<State>,
    /// Told after every commit, abort and change of a group.
    changed: Condvar,
    /// Held to write while chunks are replaced by others, so that a reader that looks twice sees the same ones.
    rewriting: RwLock<()>,
    /// Locked before `state`, and by whoever takes chunks away.
    compactor: Mutex<compaction::Compactor>,
}

impl Shared {
    /// Waits until `ready` says so or `timeout` has passed; says whether it is ready.
    fn wait(&self, state: &mut MutexGuard<'_, State>, timeout: Duration, ready: &mut dyn FnMut(&mut State) -> bool) -> bool {
        if ready(state) {
            return true;
        }
        if timeout.is_zero() {
            return false;
        }
        // Changes that concern others wake it too: what is left of the timeout must be known. Nothing else depends on this clock.
        let clock = SystemClock::new();
        loop {
            let left = timeout.saturating_sub(clock.monotonic());
            let timed_out = left.is_zero() || self.changed.wait_for(state, left).timed_out();
            if ready(state) {
                return true;
            }
            if timed_out {
                return false;
            }
        }
    }
}

/// The log in memory: everything but the records.
#[derive(Debug, Default)]
struct State {
    topics: BTreeMap<Arc<str>, Topic>,
    groups: BTreeMap<Arc<str>, group::Group>,
    transactions: BTreeMap<Arc<str>, transaction::Transaction>,
    next_topic: u32,
    next_producer: u64,
    next_member: u64,
    /// Bytes appended since the last [`Admin::maintain`]: housekeeping keeps pace with it.
    appended_bytes: u64,
    batch: Batch,
    simulated: simulated::Simulated,
}

#[derive(Debug)]
struct Topic {
    id: u32,
    config: TopicConfig,
    partitions: Vec<partition::Partition>,
}

impl State {
    fn topic(&self, operation: &str, name: &str) -> Result<&Topic> {
        self.topics.get(name).ok_or_else(|| Error::new(Class::UnknownTopic, operation, format!("topic {name} does not exist")))
    }

    fn partition(&mut self, operation: &str, partition: &TopicPartition) -> Result<(Place, &mut partition::Partition)> {
        let unknown = || Error::new(Class::UnknownTopic, operation, format!("partition {partition} does not exist"));
        let topic = self.topics.get_mut(&partition.topic).ok_or_else(unknown)?;
        let place = Place { topic: topic.id, partition: partition.partition };
        let index = usize::try_from(partition.partition.0).map_err(|_| unknown())?;
        let found = topic.partitions.get_mut(index).ok_or_else(unknown)?;
        Ok((place, found))
    }

    fn place(&mut self, place: Place) -> Option<&mut partition::Partition> {
        let topic = self.topics.values_mut().find(|topic| topic.id == place.topic)?;
        topic.partitions.get_mut(usize::try_from(place.partition.0).ok()?)
    }
}

/// An error of the storage below the log.
fn stored(operation: impl Into<String>, error: kv::Error) -> Error {
    let class = if matches!(error, kv::Error::DiskFull { .. }) { Class::DiskFull } else { Class::Fatal };
    Error::caused(class, operation, "the storage of the log failed", error)
}

/// Takes the batch out of the state for use.
fn take_batch(state: &mut State) -> Batch {
    let mut batch = std::mem::take(&mut state.batch);
    // A large one is not kept: it would hold its memory for ever.
    if batch.size_bytes() > BATCH_BYTES_KEPT {
        batch = Batch::default();
    }
    batch.clear();
    batch
}

fn write(kv: &dyn Kv, operation: &str, batch: &Batch, durability: Durability) -> Result<()> {
    kv.write(batch, durability).map_err(|error| stored(operation, error))
}
