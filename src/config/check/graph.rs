//! Which node feeds which: names, inputs, and the processors in an order in which each comes after its input.

use std::collections::BTreeMap;

use super::super::closest;
use super::super::diagnostics::Diagnostic;
use super::super::document::{Document, Text};

/// A node that may be an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Node {
    /// A place in [`Document::sources`].
    Source(usize),
    /// A place in [`Document::processors`].
    Processor(usize),
}

/// How the nodes of a document hang together. What is wrong is left out.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// The input of each processor.
    pub(super) inputs: Vec<Option<Node>>,
    /// The inputs of each sink.
    pub(super) sinks: Vec<Vec<Option<Node>>>,
    /// The processors that lead back to a source, each after its input.
    pub(super) order: Vec<usize>,
    /// The source that each processor leads back to.
    roots: Vec<Option<usize>>,
}

/// Connects the nodes.
pub(super) fn connect(document: &Document, faults: &mut Vec<Diagnostic>) -> Graph {
    let names = names(document, faults);
    let mut find = |input: &Text| resolve(input, &names, document, faults);
    let inputs: Vec<Option<Node>> = document.processors.iter().map(|node| find(node.item.input.as_ref()?)).collect();
    let sinks = document.sinks.iter().map(|sink| sink.item.inputs.iter().flatten().map(&mut find).collect()).collect();
    let mut graph = Graph { roots: vec![None; inputs.len()], inputs, sinks, order: Vec::new() };
    graph.sort();
    graph
}

/// The nodes by name. Sinks are nobody's input; their names are a matter among themselves.
fn names<'a>(document: &'a Document, faults: &mut Vec<Diagnostic>) -> BTreeMap<&'a str, Node> {
    let sources = document.sources.iter().enumerate().map(|(place, node)| (&node.name, Node::Source(place)));
    let processors = document.processors.iter().enumerate().map(|(place, node)| (&node.name, Node::Processor(place)));
    let mut names = BTreeMap::new();
    for (name, node) in sources.chain(processors) {
        if names.contains_key(name.get_ref().as_str()) {
            let fault =
                Diagnostic::error("duplicate-name", name.span(), format!("there are a source and a processor `{}`", name.get_ref()));
            faults.push(
                fault.labelled("one of two nodes of this name").hinted("an input could mean either: every node has a name of its own"),
            );
        } else {
            names.insert(name.get_ref().as_str(), node);
        }
    }
    names
}

fn resolve(input: &Text, names: &BTreeMap<&str, Node>, document: &Document, faults: &mut Vec<Diagnostic>) -> Option<Node> {
    let name = input.get_ref().as_str();
    if let Some(node) = names.get(name) {
        return Some(*node);
    }
    if document.sinks.iter().any(|sink| sink.name.get_ref() == name) {
        let fault = Diagnostic::error("unknown-input", input.span(), format!("`{name}` is a sink, and nothing comes out of a sink"));
        faults.push(fault.labelled("a sink").hinted("name the sink's own input, or read its topic with a source"));
        return None;
    }
    let known: Vec<&str> = names.keys().copied().collect();
    let fault = Diagnostic::error("unknown-input", input.span(), format!("there is no source or processor `{name}`"));
    faults.push(fault.labelled("unknown node").hinted(closest::hint(name, &known)));
    None
}

impl Graph {
    /// The source that a node leads back to.
    pub(super) fn root(&self, node: Node) -> Option<usize> {
        match node {
            Node::Source(source) => Some(source),
            Node::Processor(processor) => self.roots.get(processor).copied().flatten(),
        }
    }

    /// The processor that feeds the processor at `place`; none for a source.
    pub(super) fn parent(&self, place: usize) -> Option<usize> {
        match self.inputs.get(place).copied().flatten()? {
            Node::Processor(parent) => Some(parent),
            Node::Source(_) => None,
        }
    }

    /// Takes processors whose input is settled, until there are none left.
    fn sort(&mut self) {
        loop {
            let settled = (0..self.inputs.len()).filter_map(|place| {
                let open = self.roots.get(place)?.is_none();
                let root = self.root((*self.inputs.get(place)?)?)?;
                open.then_some((place, root))
            });
            let settled: Vec<(usize, usize)> = settled.collect();
            if settled.is_empty() {
                return;
            }
            for (place, root) in settled {
                if let Some(slot) = self.roots.get_mut(place) {
                    *slot = Some(root);
                    self.order.push(place);
                }
            }
        }
    }
}
