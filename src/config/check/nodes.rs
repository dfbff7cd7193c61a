//! Checks each node against the shape of what comes into it: schemas, fields, conditions, templates, sinks.
//!
//! It is done twice: with all fields of the sources, which finds the faults and what is needed, and again with just what is needed.

use std::collections::{BTreeMap, BTreeSet};

use super::super::diagnostics::Diagnostic;
use super::super::document::{self, Document, Kind, Text};
use super::super::plan::{self, Plan};
use super::super::registry::Subjects;
use super::super::schemas::Schemas;
use super::graph::{Graph, Node};
use super::{sinks, sources};
use crate::avro::{Field, KeyFormat, Schema, Shape};
use crate::processors::{OptionFault, message_shape};

/// What nodes call the key of a record.
const KEY: &str = "key";

/// What became of the nodes, in the order of the document; none where there was a fault.
#[derive(Debug)]
pub(super) struct Checked {
    /// With the fields that are needed of it, and whether its key is.
    pub(super) sources: Vec<Option<(sources::Checked, Shape, bool)>>,
    pub(super) plans: Vec<Option<Plan>>,
    pub(super) sinks: Vec<Option<sinks::Checked>>,
}

/// Checks all nodes of a document.
pub(super) fn check(
    document: &Document,
    graph: &Graph,
    text: &str,
    (schemas, subjects): (&mut Schemas, &mut Subjects<'_>),
    faults: &mut Vec<Diagnostic>,
) -> Checked {
    let mut check_source = |source| sources::check(source, schemas, subjects, faults);
    let sources: Vec<Option<sources::Checked>> = document.sources.iter().map(&mut check_source).collect();
    let mut nodes = Nodes {
        document,
        graph,
        sources: sources.iter().map(|source| source.as_ref().map(with_key)).collect(),
        checked: &sources,
        plans: Vec::new(),
        assumed: BTreeMap::new(),
    };
    let found = nodes.plan();
    faults.extend(found.iter().filter_map(|(place, fault)| to_diagnostic(document, *place, fault, text)));
    let sinks = sinks::schemas(&nodes, schemas, subjects, faults);
    sinks::check(&nodes, &sinks, faults);
    nodes.prune();
    // The same nodes with fewer fields: whatever was said, was said above.
    nodes.plan();
    let sinks = sinks::checked(&nodes, sinks);
    let (shapes, plans) = (nodes.sources, nodes.plans);
    let sources = sources.into_iter().zip(shapes).map(|(source, shape)| {
        let (source, mut shape) = (source?, shape?);
        let reads_key = without_key(&source.schema, &mut shape);
        Some((source, shape, reads_key))
    });
    let sources: Vec<Option<(sources::Checked, Shape, bool)>> = sources.collect();
    for (source, checked) in document.sources.iter().zip(&sources) {
        if let Some((checked, shape, _)) = checked {
            sources::check_read(source, checked, shape, faults);
        }
    }
    Checked { sources, plans, sinks }
}

/// The fields of a source's rows: those of its values, and `key` behind them unless a field has that name.
fn with_key(source: &sources::Checked) -> Shape {
    let mut shape = source.schema.shape().clone();
    if shape.index_of(KEY).is_none() {
        shape.fields.push(Field::new(KEY, source.key.ty(), true));
    }
    shape
}

/// Takes the key from the fields of a source's rows; returns whether it was there.
fn without_key(schema: &Schema, shape: &mut Shape) -> bool {
    let found = schema.shape().index_of(KEY).is_none() && shape.fields.last().is_some_and(|field| &*field.path == KEY);
    if found {
        shape.fields.pop();
    }
    found
}

/// The nodes while they are checked.
pub(super) struct Nodes<'a> {
    pub(super) document: &'a Document,
    pub(super) graph: &'a Graph,
    sources: Vec<Option<Shape>>,
    checked: &'a [Option<sources::Checked>],
    plans: Vec<Option<Plan>>,
    /// What `latest` nodes that are wrong would pass on if they watched everything: so that what is wrong behind them is found too.
    assumed: BTreeMap<usize, Shape>,
}

impl<'a> Nodes<'a> {
    /// The shape of what a node passes on; none where that is not known.
    pub(super) fn shape(&self, node: Node) -> Option<Shape> {
        // Along a cycle this would never end.
        self.graph.root(node)?;
        match node {
            Node::Source(source) => self.sources.get(source)?.clone(),
            Node::Processor(place) => match (self.plans.get(place)?, self.document.processors.get(place)?.item.kind.as_ref()?) {
                (Some(plan), _) => Some(plan.output()),
                // What these pass on does not depend on what is wrong with them.
                (None, Kind::Filter { .. }) => self.shape(self.graph.inputs.get(place).copied().flatten()?),
                (None, Kind::Notify { .. } | Kind::Milestone(_)) => Some(message_shape()),
                (None, Kind::Latest(_)) => self.assumed.get(&place).cloned(),
            },
        }
    }

    /// Plans every processor anew; gives what is wrong with them.
    fn plan(&mut self) -> Vec<(usize, OptionFault)> {
        let mut faults = Vec::new();
        self.plans = self.document.processors.iter().map(|_| None).collect();
        for place in self.graph.order.iter().copied() {
            let Some(node) = self.document.processors.get(place) else { continue };
            let input = self.graph.inputs.get(place).copied().flatten();
            let (Some(kind), Some((input, key))) = (&node.item.kind, input.and_then(|input| Some((self.shape(input)?, self.key(input)))))
            else {
                continue;
            };
            let planned = plan::compile(node.name.get_ref(), kind, &input, key);
            if let (Ok(None) | Err(_), Kind::Latest(_)) = (&planned, kind) {
                self.assumed.insert(place, plan::watching_everything(&input, key));
            }
            match planned {
                Ok(plan) => {
                    if let Some(slot) = self.plans.get_mut(place) {
                        *slot = plan;
                    }
                }
                Err(found) => faults.extend(found.into_iter().map(|fault| (place, fault))),
            }
        }
        faults
    }

    fn source(&self, place: usize) -> Option<&'a sources::Checked> {
        self.checked.get(place)?.as_ref()
    }

    /// The fields of what a node passes on that a sink can write: the key of a record is not one of its value's.
    pub(super) fn written(&self, node: Node) -> Option<Shape> {
        let mut shape = self.shape(node)?;
        if let Some(source) = self.raw(Some(node)).and_then(|place| self.source(place)) {
            without_key(&source.schema, &mut shape);
        }
        Some(shape)
    }

    /// The shapes of the inputs of a sink; none where one is not known.
    pub(super) fn sink_shapes(&self, sink: usize) -> Option<Vec<Shape>> {
        self.graph.sinks.get(sink)?.iter().map(|node| self.written((*node)?)).collect()
    }

    /// Whether what a node passes on is only assumed.
    pub(super) fn is_assumed(&self, node: Node) -> bool {
        matches!(self.behind_filters(node), Some(Node::Processor(place)) if self.assumed.contains_key(&place))
    }

    /// How the keys of what a node passes on are written: as those of its source, or as the id of a chat.
    pub(super) fn key(&self, node: Node) -> KeyFormat {
        match self.behind_filters(node) {
            Some(Node::Source(source)) => self.source(source).map(|source| source.key).unwrap_or_default(),
            Some(Node::Processor(place)) => {
                let is_latest = self.document.processors.get(place).is_some_and(|node| matches!(node.item.kind, Some(Kind::Latest(_))));
                let input = self.graph.inputs.get(place).copied().flatten().filter(|_| is_latest);
                input.map(|input| self.key(input)).unwrap_or_default()
            }
            None => KeyFormat::default(),
        }
    }

    /// Leaves of each source's shape only what its readers need.
    fn prune(&mut self) {
        let mut needed: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); self.sources.len()];
        for (place, plan) in self.plans.iter().enumerate() {
            let (Some(plan), Some(source)) = (plan, self.raw(self.graph.inputs.get(place).copied().flatten())) else { continue };
            if let Some(needed) = needed.get_mut(source) {
                needed.extend(plan.fields());
            }
        }
        // Which fields of a value a sink takes is the encoder's business: it gets them all.
        for place in self.graph.sinks.iter().flatten().filter_map(|node| self.raw(*node)) {
            let fields = self.source(place).map_or(0, |source| source.schema.shape().fields.len());
            if let Some(needed) = needed.get_mut(place) {
                needed.extend(0..fields);
            }
        }
        for (shape, needed) in self.sources.iter_mut().zip(&needed) {
            let Some(shape) = shape else { continue };
            let kept = shape.fields.iter().enumerate().filter(|(index, _)| needed.contains(index)).map(|(_, field)| field.clone());
            shape.fields = kept.collect();
        }
    }

    /// The source whose rows a node passes on as they are.
    fn raw(&self, node: Option<Node>) -> Option<usize> {
        match self.behind_filters(node?)? {
            Node::Source(source) => Some(source),
            Node::Processor(_) => None,
        }
    }

    /// The node that made the rows that `node` passes on.
    pub(super) fn behind_filters(&self, node: Node) -> Option<Node> {
        self.graph.root(node)?;
        let Node::Processor(place) = node else { return Some(node) };
        match self.document.processors.get(place)?.item.kind.as_ref()? {
            Kind::Filter { .. } => self.behind_filters(self.graph.inputs.get(place).copied().flatten()?),
            _ => Some(node),
        }
    }
}

/// Puts a fault of an option at its place in the file.
fn to_diagnostic(document: &Document, place: usize, fault: &OptionFault, file: &str) -> Option<Diagnostic> {
    let node = document.processors.get(place)?;
    let texts = node.item.kind.as_ref().map(|kind| option_texts(kind, fault.option)).unwrap_or_default();
    let text = texts.get(fault.index.unwrap_or(0));
    let span = match text {
        Some(text) => document::place_inside(file, text, &fault.fault.span),
        None => node.name.span(),
    };
    let code = match fault.option {
        "when" => "bad-condition",
        "text" => "bad-template",
        "watch" | "field" => "bad-field",
        _ => "bad-option",
    };
    let diagnostic = Diagnostic::error(code, span, format!("`{}` of `{}`: {}", fault.option, node.name.get_ref(), fault.fault.message));
    let example = match fault.option {
        "when" => "a condition is CEL, as in `current.likes != previous.likes`",
        "text" => "a text names fields in braces, as in `{{ current.title }}`",
        _ => "compare it with the schema of the source",
    };
    Some(diagnostic.hinted(fault.fault.hint.as_deref().unwrap_or(example)))
}

/// The texts of an option, as the file has them.
fn option_texts<'a>(kind: &'a Kind, option: &str) -> Vec<&'a Text> {
    let texts: Vec<&Text> = match (kind, option) {
        (Kind::Latest(latest), "watch") => latest.watch.iter().flatten().collect(),
        (Kind::Filter { when } | Kind::Notify { when, .. }, "when") => when.iter().collect(),
        (Kind::Milestone(milestone), "when") => milestone.when.iter().collect(),
        (Kind::Milestone(milestone), "field") => milestone.field.iter().collect(),
        (Kind::Notify { message, .. }, "text") => message.text.iter().collect(),
        (Kind::Milestone(milestone), "text") => milestone.message.text.iter().collect(),
        _ => Vec::new(),
    };
    texts
}
