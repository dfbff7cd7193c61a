//! The Processor API: what a node of a topology is written against.
//!
//! `V` is the type of the values that flow between the nodes of one topology. Records are passed by reference: a node
//! owns the value that it forwards and fills it anew for the next record, so the hot path allocates nothing.

use std::error::Error as StdError;
use std::fmt::Debug;

use super::clock::Timestamp;
use super::log::{Headers, RecordRef, TopicPartition};

/// An error of user code.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// A record on its way through the topology.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a, V> {
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone.
    pub value: Option<&'a V>,
    /// The record's time; outputs carry it on.
    pub timestamp: Timestamp,
    /// The headers.
    pub headers: Headers<'a>,
}

/// The input record that is being processed, as it came from the log.
#[derive(Clone, Copy, Debug)]
pub struct RecordContext<'a> {
    /// Where it was read.
    pub source: &'a TopicPartition,
    /// The record itself.
    pub record: RecordRef<'a>,
}

/// Which time a punctuation follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PunctuationType {
    /// The highest record time seen by the task.
    StreamTime,
    /// The wall clock.
    WallClockTime,
}

/// A call that a processor had scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Punctuation {
    /// Which time it follows.
    pub kind: PunctuationType,
    /// The time that was reached.
    pub timestamp: Timestamp,
    /// What [`Schedule::schedule`](InitContext::schedule) returned.
    pub schedule: ScheduleId,
}

/// Names one schedule of one processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ScheduleId(pub usize);

/// Names one state store of a task, for the nodes connected to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoreId(pub usize);

/// A node of a topology. Dropping it closes it.
pub trait Processor<V>: Debug + Send {
    /// Called once, before the first record.
    fn init(&mut self, context: &mut InitContext<'_>) -> Result<(), BoxError> {
        let _ = context;
        Ok(())
    }

    /// Called for each record that a parent forwards. An error is handled as the topology says: fail, skip or dead-letter.
    fn process(&mut self, record: &Record<'_, V>, context: &mut dyn ProcessorContext<V>) -> Result<(), BoxError>;

    /// Called when a scheduled time is reached.
    fn punctuate(&mut self, punctuation: &Punctuation, context: &mut dyn ProcessorContext<V>) -> Result<(), BoxError> {
        let _ = (punctuation, context);
        Ok(())
    }

    /// Called when all that the node did since the last call is committed. What happens outside the log because of it may begin now; before,
    /// the transaction could still be taken back.
    fn committed(&mut self) {}

    /// Called when writes of the node were taken back, those of one record or all since the last commit. What it remembers of its stores must go.
    fn rolled_back(&mut self) {}

    /// Whether something is still to be done that no input record brings: a run until the end of the input waits for it.
    fn is_unfinished(&self) -> bool {
        false
    }

    /// Called before the task is closed, while it can still commit. What goes on outside is waited for (a few seconds: others wait for the
    /// partition) and recorded. Nothing but [`committed`](Self::committed) and [`rolled_back`](Self::rolled_back) follows.
    fn suspend(&mut self, context: &mut dyn ProcessorContext<V>) -> Result<(), BoxError> {
        let _ = context;
        Ok(())
    }
}

/// What a processor may do when it starts.
#[derive(Debug)]
pub struct InitContext<'a> {
    pub(crate) stores: &'a [(String, StoreId)],
    pub(crate) schedules: &'a mut Vec<(PunctuationType, std::time::Duration)>,
}

impl<'a> InitContext<'a> {
    /// What the engine hands to a node that it starts; for driving a processor by hand, in a test or a benchmark.
    pub fn new(stores: &'a [(String, StoreId)], schedules: &'a mut Vec<(PunctuationType, std::time::Duration)>) -> Self {
        Self { stores, schedules }
    }

    /// The store of this name; none where the node is not connected to it.
    pub fn store(&self, name: &str) -> Option<StoreId> {
        self.stores.iter().find(|(known, _)| known == name).map(|&(_, id)| id)
    }

    /// Asks for [`Processor::punctuate`] every `interval`.
    pub fn schedule(&mut self, kind: PunctuationType, interval: std::time::Duration) -> ScheduleId {
        self.schedules.push((kind, interval));
        ScheduleId(self.schedules.len() - 1)
    }
}

/// What a processor may do with a record.
pub trait ProcessorContext<V> {
    /// Passes a record to all children, depth first, before it returns.
    fn forward(&mut self, record: &Record<'_, V>) -> Result<(), BoxError>;
    /// A store that the node is connected to.
    fn store(&mut self, store: StoreId) -> &mut dyn KeyValueStore;
    /// The input record being processed; none in a punctuation.
    fn source(&self) -> Option<RecordContext<'_>>;
    /// The highest record time seen by this task so far.
    fn stream_time(&self) -> Timestamp;
    /// The wall clock.
    fn wall_clock(&self) -> Timestamp;
    /// Adds to a counter of this node; `name` is one of a fixed set, such as `dropped_records_total`.
    fn count(&mut self, name: &'static str, by: u64);
}

/// A state store as its processors see it: they read their own writes; others see them after the commit.
pub trait KeyValueStore {
    /// The value of `key`.
    fn get(&mut self, key: &[u8]) -> Result<Option<&[u8]>, BoxError>;
    /// Sets `key` to `value`.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), BoxError>;
    /// Removes `key`.
    fn delete(&mut self, key: &[u8]) -> Result<(), BoxError>;
    /// Visits the keys of `from..to` in ascending order; no `to` means to the end. `Break` ends it.
    fn range(&mut self, from: &[u8], to: Option<&[u8]>, visit: &mut super::kv::Visit<'_>) -> Result<(), BoxError>;

    /// Visits the keys that begin with `prefix`, ascending.
    fn prefix_scan(&mut self, prefix: &[u8], visit: &mut super::kv::Visit<'_>) -> Result<(), BoxError> {
        let end = super::kv::prefix_end(prefix);
        self.range(prefix, end.as_deref(), visit)
    }

    /// Visits all keys, ascending.
    fn all(&mut self, visit: &mut super::kv::Visit<'_>) -> Result<(), BoxError> {
        self.range(&[], None, visit)
    }
}

/// Why bytes could not be turned into a value, or a value into bytes.
#[derive(Debug, thiserror::Error)]
pub enum SerdeError {
    /// The record is bad and stays bad: handled as the topology says.
    #[error("bad record")]
    Record(#[source] BoxError),
    /// Something that is needed is out of reach (the schema registry, say): the partition is paused and tried again; never a dead letter.
    #[error("temporarily unavailable")]
    Unavailable(#[source] BoxError),
}

/// Turns the bytes of a source topic into a value.
pub trait Deserializer<V>: Debug + Send {
    /// Fills `into` from `bytes`; whatever it held before is gone. `record` is the whole record that they are the value of.
    fn deserialize(&mut self, bytes: &[u8], record: &RecordRef<'_>, into: &mut V) -> Result<(), SerdeError>;
}

/// Looks at the keys of a source topic: a record whose key is not what the source declares does not reach the nodes.
pub trait KeyCheck: Debug + Send {
    /// Whether the bytes are a key; an error is handled as that of a value. `record` is the whole record; one without a key is not asked about.
    fn check(&mut self, key: &[u8], record: &RecordRef<'_>) -> Result<(), SerdeError>;
}

/// Turns a value into the bytes of a sink topic.
pub trait Serializer<V>: Debug + Send {
    /// Appends the bytes of `value` to `into`; `record` is the record that it is the value of.
    fn serialize(&mut self, value: &V, record: &Record<'_, V>, into: &mut Vec<u8>) -> Result<(), SerdeError>;
}
