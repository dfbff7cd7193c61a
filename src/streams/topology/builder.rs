//! Declares a topology node by node; parents come before their children, so a cycle cannot be written.

use std::fmt;
use std::sync::Arc;

use super::{Error, ErrorPolicy, NodeKind, NodeSpec, OnError, Result, SourceNode, Start, Subtopology, Topology};
use crate::streams::processor::{Deserializer, KeyCheck, Processor, Serializer};
use crate::streams::state::StoreSpec;

/// A topic to read.
pub struct Source<V> {
    node: SourceNode<V>,
}

impl<V> fmt::Debug for Source<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("topic", &self.node.topic).field("start", &self.node.start).finish_non_exhaustive()
    }
}

impl<V> Source<V> {
    /// Reads `topic`; `deserializer` makes one deserializer per task, `value` the empty value that it fills for each record.
    pub fn new<D: Deserializer<V> + 'static>(
        topic: impl Into<Arc<str>>,
        start: Start,
        deserializer: impl Fn() -> D + Send + Sync + 'static,
        value: impl Fn() -> V + Send + Sync + 'static,
    ) -> Self {
        Self {
            node: SourceNode {
                topic: topic.into(),
                start,
                on_error: None,
                keys: None,
                deserializer: Arc::new(move || Box::new(deserializer())),
                value: Arc::new(value),
            },
        }
    }

    /// Looks at each key before its record is processed; `check` makes one per task. Without it any bytes are a key.
    #[must_use]
    pub fn keys<K: KeyCheck + 'static>(mut self, check: impl Fn() -> K + Send + Sync + 'static) -> Self {
        self.node.keys = Some(Arc::new(move || Box::new(check())));
        self
    }

    /// What happens to records whose bytes are no value, in place of the topology's policy.
    #[must_use]
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.node.on_error = Some(on_error);
        self
    }
}

/// Declares a topology.
pub struct TopologyBuilder<V> {
    nodes: Vec<NodeSpec<V>>,
    stores: Vec<StoreSpec>,
    sink_topics: Vec<Arc<str>>,
    errors: ErrorPolicy,
    fault: Option<Error>,
}

impl<V> fmt::Debug for TopologyBuilder<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopologyBuilder").field("nodes", &self.nodes.len()).field("stores", &self.stores).finish_non_exhaustive()
    }
}

impl<V> Default for TopologyBuilder<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> TopologyBuilder<V> {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { nodes: Vec::new(), stores: Vec::new(), sink_topics: Vec::new(), errors: ErrorPolicy::default(), fault: None }
    }

    /// Sets what happens to bad records.
    #[must_use]
    pub fn errors(mut self, errors: ErrorPolicy) -> Self {
        self.errors = errors;
        self
    }

    /// Adds a source.
    #[must_use]
    pub fn source(self, name: &str, source: Source<V>) -> Self {
        self.add(name, &[], NodeKind::Source(source.node))
    }

    /// Adds a store; the processors that use it name it.
    #[must_use]
    pub fn store(mut self, store: StoreSpec) -> Self {
        if self.stores.iter().any(|known| known.name == store.name) {
            self.fail(Error::Duplicate { name: store.name.to_string() });
        }
        self.stores.push(store);
        self
    }

    /// Adds a processor below `parents`, with the stores that it may use; `supplier` makes one per task.
    #[must_use]
    pub fn processor<P: Processor<V> + 'static>(
        self,
        name: &str,
        parents: &[&str],
        stores: &[&str],
        supplier: impl Fn() -> P + Send + Sync + 'static,
    ) -> Self {
        let stores = stores.iter().map(|&store| store.to_owned()).collect();
        self.add(name, parents, NodeKind::Processor { supplier: Arc::new(move || Box::new(supplier())), stores })
    }

    /// Adds a sink below `parents` that writes to `topic`; `serializer` makes one serializer per task.
    #[must_use]
    pub fn sink<S: Serializer<V> + 'static>(
        mut self,
        name: &str,
        parents: &[&str],
        topic: &str,
        serializer: impl Fn() -> S + Send + Sync + 'static,
    ) -> Self {
        let topic = self.sink_topics.iter().position(|known| &**known == topic).unwrap_or_else(|| {
            self.sink_topics.push(topic.into());
            self.sink_topics.len() - 1
        });
        self.add(name, parents, NodeKind::Sink { topic, serializer: Arc::new(move || Box::new(serializer())) })
    }

    fn add(mut self, name: &str, parents: &[&str], kind: NodeKind<V>) -> Self {
        if self.nodes.iter().any(|node| &*node.name == name) {
            self.fail(Error::Duplicate { name: name.to_owned() });
        }
        if parents.is_empty() && !matches!(kind, NodeKind::Source(_)) {
            self.fail(Error::NoParent { node: name.to_owned() });
        }
        let mut places = Vec::with_capacity(parents.len());
        for &parent in parents {
            match self.nodes.iter().position(|node| &*node.name == parent) {
                None => self.fail(Error::UnknownParent { node: name.to_owned(), parent: parent.to_owned() }),
                Some(place) => {
                    if self.nodes.get(place).is_some_and(|node| matches!(node.kind, NodeKind::Sink { .. })) {
                        self.fail(Error::SinkAsParent { node: name.to_owned(), parent: parent.to_owned() });
                    }
                    places.push(place);
                }
            }
        }
        self.nodes.push(NodeSpec { name: name.into(), kind, parents: places, subtopology: 0 });
        self
    }

    /// Keeps the first fault: later ones tend to follow from it.
    fn fail(&mut self, fault: Error) {
        self.fault.get_or_insert(fault);
    }

    /// Checks what was declared and cuts it into sub-topologies.
    pub fn build(mut self) -> Result<Topology<V>> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let groups = self.connect()?;
        let mut numbers: Vec<usize> = Vec::new();
        for (node, group) in self.nodes.iter_mut().zip(&groups) {
            node.subtopology = numbers.iter().position(|number| number == group).unwrap_or_else(|| {
                numbers.push(*group);
                numbers.len() - 1
            });
        }
        let subtopologies = (0..numbers.len()).map(|id| self.subtopology(id)).collect::<Result<Vec<_>>>()?;
        if subtopologies.is_empty() {
            return Err(Error::Empty);
        }
        for (place, first) in subtopologies.iter().enumerate() {
            if let Some(second) = subtopologies.iter().skip(place + 1).find(|second| second.topic == first.topic) {
                return Err(Error::SharedTopic {
                    first: first.source.to_string(),
                    second: second.source.to_string(),
                    topic: first.topic.to_string(),
                });
            }
        }
        Ok(Topology { nodes: self.nodes, subtopologies, sink_topics: self.sink_topics })
    }

    /// For each node the smallest node that it hangs together with, by edges or by a shared store.
    fn connect(&self) -> Result<Vec<usize>> {
        let mut links: Vec<(usize, usize)> = Vec::new();
        let mut first_user: Vec<Option<usize>> = vec![None; self.stores.len()];
        for (place, node) in self.nodes.iter().enumerate() {
            links.extend(node.parents.iter().map(|&parent| (place, parent)));
            let NodeKind::Processor { stores, .. } = &node.kind else { continue };
            for store in stores {
                let known = self.stores.iter().position(|known| *known.name == **store);
                let Some(user) = known.and_then(|index| first_user.get_mut(index)) else {
                    return Err(Error::UnknownStore { node: node.name.to_string(), store: store.clone() });
                };
                links.push((place, *user.get_or_insert(place)));
            }
        }
        if let Some((store, _)) = self.stores.iter().zip(&first_user).find(|(_, user)| user.is_none()) {
            return Err(Error::UnusedStore { store: store.name.to_string() });
        }
        let mut groups: Vec<usize> = (0..self.nodes.len()).collect();
        for (a, b) in links {
            let (Some(&a), Some(&b)) = (groups.get(a), groups.get(b)) else { continue };
            let (from, to) = (a.max(b), a.min(b));
            groups.iter_mut().filter(|group| **group == from).for_each(|group| *group = to);
        }
        Ok(groups)
    }

    fn subtopology(&self, id: usize) -> Result<Subtopology> {
        let nodes = || self.nodes.iter().filter(|node| node.subtopology == id);
        let mut sources = nodes().filter_map(|node| match &node.kind {
            NodeKind::Source(source) => Some((node, source)),
            _ => None,
        });
        let Some((node, source)) = sources.next() else { return Err(Error::Empty) };
        if let Some((other, _)) = sources.next() {
            return Err(Error::SeveralSources { first: node.name.to_string(), second: other.name.to_string() });
        }
        let used = |store: &StoreSpec| {
            nodes().any(|node| matches!(&node.kind, NodeKind::Processor { stores, .. } if stores.iter().any(|name| **name == *store.name)))
        };
        Ok(Subtopology {
            id,
            topic: Arc::clone(&source.topic),
            source: Arc::clone(&node.name),
            start: source.start,
            stores: self.stores.iter().filter(|store| used(store)).cloned().collect(),
            errors: ErrorPolicy { deserialization: source.on_error.unwrap_or(self.errors.deserialization), ..self.errors },
        })
    }
}
