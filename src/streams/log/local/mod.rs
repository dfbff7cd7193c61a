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
mod group;
mod keys;
mod partition;
mod producer;
#[cfg(test)]
mod tests;
mod transaction;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use self::keys::Place;
use super::{Admin, Class, Consumer, ConsumerOptions, Error, Log, Producer, ProducerOptions, Result, TopicConfig, TopicPartition};
use crate::streams::clock::Timestamp;
use crate::streams::kv::memory::Memory;
use crate::streams::kv::{self, Batch, Durability, Kv};

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
        let shared = Shared { kv, state: Mutex::new(state), changed: Condvar::new(), compactor: Mutex::default() };
        Arc::new(Self { shared: Arc::new(shared) })
    }

    /// Takes a member's partitions away, as a broker does when its session times out; for tests and the simulation.
    pub fn evict(&self, group: &str, member_id: &str) -> bool {
        let evicted = self.shared.state.lock().groups.get_mut(group).is_some_and(|group| group.evict(member_id));
        self.shared.changed.notify_all();
        evicted
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
    compactor: Mutex<compaction::Compactor>,
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
    /// The last time that [`Admin::maintain`] brought.
    now: Option<Timestamp>,
    batch: Batch,
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

fn write(kv: &dyn Kv, operation: &str, batch: &Batch, durability: Durability) -> Result<()> {
    kv.write(batch, durability).map_err(|error| stored(operation, error))
}
