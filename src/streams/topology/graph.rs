//! The nodes of one task and the way of a record through them: depth first, by reference, each node before its children.
//!
//! Nodes lie in one vector in the order of their declaration, so children always stand behind their parents: a node is
//! split off the front, and its context holds everything behind it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{NodeKind, Topology};
use crate::streams::clock::Timestamp;
use crate::streams::log::{Headers, RecordRef};
use crate::streams::processor::{
    BoxError, Deserializer, InitContext, KeyCheck, KeyValueStore, Processor, ProcessorContext, Punctuation, PunctuationType, Record,
    RecordContext, SerdeError, Serializer, StoreId,
};

/// Where in the topology a record failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The bytes of the input are no value.
    Deserialization,
    /// A processor failed.
    Processing,
    /// No bytes could be made of a result, or the result was refused.
    Production,
    /// Something outside is out of reach: no fault of the record.
    Unavailable,
}

/// Why a record did not get through the topology.
#[derive(Debug, thiserror::Error)]
#[error("node {node} failed")]
pub struct Failure {
    /// Where.
    pub kind: FailureKind,
    /// The node.
    pub node: Arc<str>,
    /// The cause.
    #[source]
    pub source: BoxError,
}

/// Passed up through the nodes above a failed one; the failure itself is kept by the graph.
#[derive(Debug, thiserror::Error)]
#[error("a node below failed")]
struct FailedBelow;

/// What a task offers to its nodes.
pub trait Services {
    /// One of the task's stores.
    fn store(&mut self, store: StoreId) -> &mut dyn KeyValueStore;
    /// Takes a result for the sink topic with this index.
    fn emit(
        &mut self,
        topic: usize,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Headers<'_>,
        timestamp: Timestamp,
    ) -> Result<(), BoxError>;
    /// The highest record time seen by the task.
    fn stream_time(&self) -> Timestamp;
    /// The wall clock.
    fn wall_clock(&self) -> Timestamp;
    /// Adds to a counter of a node.
    fn count(&mut self, node: &Arc<str>, name: &'static str, by: u64);
}

/// A punctuation that a node asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// The node, by its place in the graph.
    pub node: usize,
    /// The how-manieth of this node.
    pub schedule: usize,
    /// Which time it follows.
    pub kind: PunctuationType,
    /// How often.
    pub interval: Duration,
}

/// The nodes of one task, whatever the type of their values.
pub trait Graph: fmt::Debug + Send {
    /// Starts all nodes; returns the punctuations that they asked for.
    fn init(&mut self) -> Result<Vec<Scheduled>, Failure>;
    /// Takes one input record through the nodes.
    fn process(&mut self, input: RecordContext<'_>, services: &mut dyn Services) -> Result<(), Failure>;
    /// Calls a node whose time has come.
    fn punctuate(&mut self, node: usize, punctuation: &Punctuation, services: &mut dyn Services) -> Result<(), Failure>;
    /// Tells all nodes that what they did is committed.
    fn committed(&mut self);
    /// Tells all nodes that what they did is taken back.
    fn rolled_back(&mut self);
    /// Lets all nodes bring to an end what goes on outside.
    fn suspend(&mut self, services: &mut dyn Services) -> Result<(), Failure>;
}

struct Node<V> {
    name: Arc<str>,
    work: Work<V>,
    children: Vec<usize>,
    stores: Vec<(String, StoreId)>,
}

enum Work<V> {
    Source { keys: Option<Box<dyn KeyCheck>>, deserializer: Box<dyn Deserializer<V>>, value: V },
    Processor(Box<dyn Processor<V>>),
    Sink { topic: usize, serializer: Box<dyn Serializer<V>>, buffer: Vec<u8> },
}

pub(super) struct ProcessorGraph<V> {
    nodes: Vec<Node<V>>,
    failure: Option<Failure>,
}

impl<V> fmt::Debug for ProcessorGraph<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.nodes.iter().map(|node| &node.name)).finish()
    }
}

impl<V: 'static> ProcessorGraph<V> {
    pub(super) fn new(topology: &Topology<V>, subtopology: usize) -> Self {
        let stores = topology.subtopologies.get(subtopology).map(|known| known.stores.as_slice()).unwrap_or_default();
        let members: Vec<usize> =
            topology.nodes.iter().enumerate().filter(|(_, node)| node.subtopology == subtopology).map(|(place, _)| place).collect();
        let nodes = members.iter().filter_map(|&place| topology.nodes.get(place).map(|node| (place, node)));
        let nodes = nodes.map(|(place, node)| Node {
            name: Arc::clone(&node.name),
            work: match &node.kind {
                NodeKind::Source(source) => Work::Source {
                    keys: source.keys.as_ref().map(|keys| keys()),
                    deserializer: (source.deserializer)(),
                    value: (source.value)(),
                },
                NodeKind::Processor { supplier, .. } => Work::Processor(supplier()),
                NodeKind::Sink { topic, serializer } => Work::Sink { topic: *topic, serializer: serializer(), buffer: Vec::new() },
            },
            children: members
                .iter()
                .enumerate()
                .filter(|&(_, &child)| topology.nodes.get(child).is_some_and(|child| child.parents.contains(&place)))
                .map(|(local, _)| local)
                .collect(),
            stores: match &node.kind {
                NodeKind::Processor { stores: names, .. } => stores
                    .iter()
                    .enumerate()
                    .filter(|(_, store)| names.iter().any(|name| **name == *store.name))
                    .map(|(id, store)| (store.name.to_string(), StoreId(id)))
                    .collect(),
                _ => Vec::new(),
            },
        });
        Self { nodes: nodes.collect(), failure: None }
    }

    fn processors(&mut self) -> impl Iterator<Item = &mut Box<dyn Processor<V>>> {
        self.nodes.iter_mut().filter_map(|node| match &mut node.work {
            Work::Processor(processor) => Some(processor),
            Work::Source { .. } | Work::Sink { .. } => None,
        })
    }

    /// Calls a processor without a record.
    fn call(
        &mut self,
        place: usize,
        services: &mut dyn Services,
        work: impl FnOnce(&mut dyn Processor<V>, &mut dyn ProcessorContext<V>) -> Result<(), BoxError>,
    ) -> Result<(), Failure> {
        self.failure = None;
        let Some((node, rest)) = self.nodes.get_mut(place..).and_then(<[_]>::split_first_mut) else { return Ok(()) };
        let Node { name, work: Work::Processor(processor), children, .. } = node else { return Ok(()) };
        let mut context = Context { rest, base: place + 1, children, name, services, source: None, failure: &mut self.failure };
        let outcome = work(&mut **processor, &mut context);
        self.settle(outcome, place)
    }

    fn settle(&mut self, outcome: Result<(), BoxError>, node: usize) -> Result<(), Failure> {
        match (self.failure.take(), outcome) {
            // A processor must not hide that a node below it failed: half of a record's results would get out.
            (Some(failure), _) => Err(failure),
            (None, Ok(())) => Ok(()),
            (None, Err(source)) => {
                let node = self.nodes.get(node).map_or_else(|| Arc::from(""), |node| Arc::clone(&node.name));
                Err(Failure { kind: FailureKind::Processing, node, source })
            }
        }
    }
}

impl<V: Send + 'static> Graph for ProcessorGraph<V> {
    fn init(&mut self) -> Result<Vec<Scheduled>, Failure> {
        let mut scheduled = Vec::new();
        for (place, node) in self.nodes.iter_mut().enumerate() {
            let Work::Processor(processor) = &mut node.work else { continue };
            let mut schedules = Vec::new();
            processor.init(&mut InitContext { stores: &node.stores, schedules: &mut schedules }).map_err(|source| Failure {
                kind: FailureKind::Processing,
                node: Arc::clone(&node.name),
                source,
            })?;
            scheduled.extend(schedules.into_iter().enumerate().map(|(schedule, (kind, interval))| Scheduled {
                node: place,
                schedule,
                kind,
                interval,
            }));
        }
        Ok(scheduled)
    }

    fn process(&mut self, input: RecordContext<'_>, services: &mut dyn Services) -> Result<(), Failure> {
        self.failure = None;
        let Some((node, rest)) = self.nodes.split_first_mut() else { return Ok(()) };
        let Node { name, work, children, .. } = node;
        let Work::Source { keys, deserializer, value } = work else { return Ok(()) };
        let RecordRef { key, timestamp, headers, .. } = input.record;
        if let (Some(keys), Some(key)) = (keys, key) {
            keys.check(key, &input.record).map_err(|error| failure_of(FailureKind::Deserialization, name, error))?;
        }
        let value = match input.record.value {
            None => None,
            Some(bytes) => {
                deserializer
                    .deserialize(bytes, &input.record, value)
                    .map_err(|error| failure_of(FailureKind::Deserialization, name, error))?;
                Some(&*value)
            }
        };
        let record = Record { key, value, timestamp, headers };
        let mut context = Context { rest, base: 1, children, name, services, source: Some(input), failure: &mut self.failure };
        let outcome = context.forward(&record);
        self.settle(outcome, 0)
    }

    fn punctuate(&mut self, place: usize, punctuation: &Punctuation, services: &mut dyn Services) -> Result<(), Failure> {
        self.call(place, services, |processor, context| processor.punctuate(punctuation, context))
    }

    fn committed(&mut self) {
        self.processors().for_each(|processor| processor.committed());
    }

    fn rolled_back(&mut self) {
        self.processors().for_each(|processor| processor.rolled_back());
    }

    fn suspend(&mut self, services: &mut dyn Services) -> Result<(), Failure> {
        (0..self.nodes.len()).try_for_each(|place| self.call(place, services, |processor, context| processor.suspend(context)))
    }
}

fn failure_of(kind: FailureKind, node: &Arc<str>, error: SerdeError) -> Failure {
    let (kind, source) = match error {
        SerdeError::Record(source) => (kind, source),
        SerdeError::Unavailable(source) => (FailureKind::Unavailable, source),
    };
    Failure { kind, node: Arc::clone(node), source }
}

struct Context<'a, V> {
    /// The nodes behind the current one; the first has the place `base`.
    rest: &'a mut [Node<V>],
    base: usize,
    children: &'a [usize],
    name: &'a Arc<str>,
    services: &'a mut dyn Services,
    source: Option<RecordContext<'a>>,
    failure: &'a mut Option<Failure>,
}

impl<V> Context<'_, V> {
    fn enter(&mut self, child: usize, record: &Record<'_, V>) -> Result<(), Failure> {
        let Some((node, rest)) = self.rest.get_mut(child - self.base..).and_then(<[_]>::split_first_mut) else { return Ok(()) };
        let Node { name, work, children, .. } = node;
        match work {
            Work::Source { .. } => Ok(()),
            Work::Processor(processor) => {
                let mut context = Context {
                    rest,
                    base: child + 1,
                    children,
                    name,
                    services: &mut *self.services,
                    source: self.source,
                    failure: &mut *self.failure,
                };
                processor.process(record, &mut context).map_err(|source| Failure {
                    kind: FailureKind::Processing,
                    node: Arc::clone(name),
                    source,
                })
            }
            Work::Sink { topic, serializer, buffer } => {
                buffer.clear();
                let value = match record.value {
                    None => None,
                    Some(value) => {
                        serializer.serialize(value, record, buffer).map_err(|error| failure_of(FailureKind::Production, name, error))?;
                        Some(buffer.as_slice())
                    }
                };
                self.services.emit(*topic, record.key, value, record.headers, record.timestamp).map_err(|source| Failure {
                    kind: FailureKind::Production,
                    node: Arc::clone(name),
                    source,
                })
            }
        }
    }
}

impl<V> ProcessorContext<V> for Context<'_, V> {
    fn forward(&mut self, record: &Record<'_, V>) -> Result<(), BoxError> {
        let children = self.children;
        for &child in children {
            if let Err(failure) = self.enter(child, record) {
                // The innermost failure came first and is the one to tell.
                self.failure.get_or_insert(failure);
                return Err(Box::new(FailedBelow));
            }
        }
        Ok(())
    }

    fn store(&mut self, store: StoreId) -> &mut dyn KeyValueStore {
        self.services.store(store)
    }

    fn source(&self) -> Option<RecordContext<'_>> {
        self.source
    }

    fn stream_time(&self) -> Timestamp {
        self.services.stream_time()
    }

    fn wall_clock(&self) -> Timestamp {
        self.services.wall_clock()
    }

    fn count(&mut self, name: &'static str, by: u64) {
        self.services.count(self.name, name, by);
    }
}
