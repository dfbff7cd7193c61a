//! The text form of a topology, in the shape of Kafka Streams' `Topology#describe`.

use std::fmt;

use super::{NodeKind, NodeSpec, Topology};

/// A printable description of a topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description(String);

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<V> Topology<V> {
    /// Describes sources, processors with their stores, and sinks, per sub-topology.
    pub fn describe(&self) -> Description {
        let mut text = String::from("Topologies:\n");
        for subtopology in &self.subtopologies {
            text.extend([format!("  Sub-topology: {}\n", subtopology.id)]);
            for (place, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.subtopology == subtopology.id) {
                text.push_str(&self.node(place, node));
            }
        }
        Description(text)
    }

    fn node(&self, place: usize, node: &NodeSpec<V>) -> String {
        let head = match &node.kind {
            NodeKind::Source(source) => format!("    Source: {} (topics: [{}])\n", node.name, source.topic),
            NodeKind::Processor { stores, .. } => format!("    Processor: {} (stores: [{}])\n", node.name, stores.join(", ")),
            NodeKind::Sink { topic, .. } => {
                let topic = self.sink_topics.get(*topic).map_or("", |topic| &**topic);
                format!("    Sink: {} (topic: {topic})\n", node.name)
            }
        };
        let children = self.nodes.iter().filter(|child| child.parents.contains(&place)).map(|child| &*child.name);
        let parents = node.parents.iter().filter_map(|&parent| self.nodes.get(parent)).map(|parent| &*parent.name);
        let mut text = head;
        if !matches!(node.kind, NodeKind::Sink { .. }) {
            text.extend(["      --> ".to_owned(), list(children), "\n".to_owned()]);
        }
        if !matches!(node.kind, NodeKind::Source(_)) {
            text.extend(["      <-- ".to_owned(), list(parents), "\n".to_owned()]);
        }
        text
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
