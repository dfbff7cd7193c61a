//! Topologies: sources, processors, stores and sinks, how they are connected, and what one task executes of them.
//!
//! [`TopologyBuilder`] declares, [`Topology`] is the checked result, [`Topology::describe`] prints it as Kafka Streams does.
//! A sub-topology is what hangs together by edges or shared stores; each of its input partitions is one task.

mod builder;
mod describe;
mod graph;

pub use builder::{Source, TopologyBuilder};
pub use describe::Description;
pub use graph::{Failure, FailureKind, Graph, Scheduled, Services};

use std::fmt;
use std::sync::Arc;

use super::processor::{Deserializer, KeyCheck, Processor, Serializer};
use super::state::StoreSpec;

/// Makes one instance per task.
pub(crate) type Supplier<T> = Arc<dyn Fn() -> Box<T> + Send + Sync>;

/// Where a group without committed offsets begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the first record that is still in the log.
    Earliest,
    /// At the end: only what comes from now on.
    Latest,
}

/// What happens to a record that cannot be processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// The instance stops; the record stays unprocessed.
    Fail,
    /// The record is left out and counted.
    Skip,
    /// The record goes to the dead-letter topic, in the same transaction.
    #[default]
    DeadLetter,
}

/// What happens to records that cannot be read, processed or written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorPolicy {
    /// The bytes of the input are no value.
    pub deserialization: OnError,
    /// A processor failed.
    pub processing: OnError,
    /// A result cannot be written (it is too large, or no bytes can be made of it).
    pub production: OnError,
}

/// Why a topology cannot be built.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Two nodes or stores of one name.
    #[error("the name {name} is used twice")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A node names a parent that is not there or stands after it.
    #[error("node {node} has the parent {parent}, which is not declared before it")]
    UnknownParent {
        /// The node.
        node: String,
        /// What it names.
        parent: String,
    },
    /// A sink as parent.
    #[error("node {node} has the sink {parent} as its parent")]
    SinkAsParent {
        /// The node.
        node: String,
        /// The sink.
        parent: String,
    },
    /// A node without parents that is no source.
    #[error("node {node} has no parent")]
    NoParent {
        /// The node.
        node: String,
    },
    /// A processor names a store that is not there.
    #[error("processor {node} uses the store {store}, which is not declared")]
    UnknownStore {
        /// The processor.
        node: String,
        /// What it names.
        store: String,
    },
    /// A store that no processor uses.
    #[error("the store {store} is not used by any processor")]
    UnusedStore {
        /// The store.
        store: String,
    },
    /// One topic read by two sources.
    #[error("the sources {first} and {second} read the same topic {topic}")]
    SharedTopic {
        /// The first source.
        first: String,
        /// The second source.
        second: String,
        /// Their topic.
        topic: String,
    },
    /// A sub-topology with several sources: a group's assignor may tear its tasks apart.
    #[error("the sources {first} and {second} feed the same nodes; merge them through a topic of their own")]
    SeveralSources {
        /// The first source.
        first: String,
        /// The second source.
        second: String,
    },
    /// Nothing to do.
    #[error("the topology has no source")]
    Empty,
}

/// The result of building a topology.
pub type Result<T, E = Error> = std::result::Result<T, E>;

pub(crate) enum NodeKind<V> {
    Source(SourceNode<V>),
    Processor { supplier: Supplier<dyn Processor<V>>, stores: Vec<String> },
    Sink { topic: usize, serializer: Supplier<dyn Serializer<V>> },
}

pub(crate) struct SourceNode<V> {
    pub(crate) topic: Arc<str>,
    pub(crate) start: Start,
    pub(crate) on_error: Option<OnError>,
    pub(crate) keys: Option<Supplier<dyn KeyCheck>>,
    pub(crate) deserializer: Supplier<dyn Deserializer<V>>,
    pub(crate) value: Arc<dyn Fn() -> V + Send + Sync>,
}

pub(crate) struct NodeSpec<V> {
    pub(crate) name: Arc<str>,
    pub(crate) kind: NodeKind<V>,
    pub(crate) parents: Vec<usize>,
    pub(crate) subtopology: usize,
}

/// What hangs together: one source topic, its nodes and stores. Each partition of the source is a task.
#[derive(Clone, Debug)]
pub struct Subtopology {
    /// Its number: the first part of a task id.
    pub id: usize,
    /// The source topic.
    pub topic: Arc<str>,
    /// The name of the source node.
    pub source: Arc<str>,
    /// Where a fresh group begins to read it.
    pub start: Start,
    /// The stores of each task, in the order of their [`StoreId`](super::processor::StoreId)s.
    pub stores: Vec<StoreSpec>,
    /// The error policy, with the source's own where it has one.
    pub errors: ErrorPolicy,
}

/// What the runtime needs of a topology, whatever the type of its values.
pub trait Blueprint: fmt::Debug + Send + Sync {
    /// The sub-topologies, by number.
    fn subtopologies(&self) -> &[Subtopology];
    /// The topics that sinks write to; [`Services::emit`] names them by their place here.
    fn sink_topics(&self) -> &[Arc<str>];
    /// The nodes of one task.
    fn graph(&self, subtopology: usize) -> Box<dyn Graph>;
}

/// A checked topology whose values are of type `V`.
pub struct Topology<V> {
    pub(crate) nodes: Vec<NodeSpec<V>>,
    pub(crate) subtopologies: Vec<Subtopology>,
    pub(crate) sink_topics: Vec<Arc<str>>,
}

impl<V> fmt::Debug for Topology<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topology")
            .field("subtopologies", &self.subtopologies)
            .field("sink_topics", &self.sink_topics)
            .finish_non_exhaustive()
    }
}

impl<V: Send + 'static> Blueprint for Topology<V> {
    fn subtopologies(&self) -> &[Subtopology] {
        &self.subtopologies
    }

    fn sink_topics(&self) -> &[Arc<str>] {
        &self.sink_topics
    }

    fn graph(&self, subtopology: usize) -> Box<dyn Graph> {
        Box::new(graph::ProcessorGraph::new(self, subtopology))
    }
}
