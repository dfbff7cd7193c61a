//! Checks sinks: whether what comes in fits the schema, and which schema those have that name none.

use std::sync::Arc;

use super::super::diagnostics::Diagnostic;
use super::super::document::{Document, Kind, Named, SchemaRef, Sink};
use super::super::model::{SinkInput, ValueFormat};
use super::super::registry::Subjects;
use super::super::schemas::Schemas;
use super::graph::Node;
use super::nodes::Nodes;
use crate::avro::{Encoder, Misfit, Schema};
use crate::processors::latest;
use crate::streams::task::chain;

/// A sink without faults.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) format: ValueFormat,
    pub(super) schema_name: Arc<str>,
    pub(super) schema: Schema,
    pub(super) inputs: Vec<SinkInput>,
}

/// The schema of each sink; none where there is a fault.
pub(super) fn schemas(
    nodes: &Nodes<'_>,
    schemas: &mut Schemas,
    subjects: &mut Subjects<'_>,
    faults: &mut Vec<Diagnostic>,
) -> Vec<Option<(Arc<str>, Schema)>> {
    let find = |(place, sink): (usize, &Named<Sink>)| {
        let value = sink.item.value.as_ref()?;
        match value.schema {
            SchemaRef::Derived => derived(nodes, place, sink, faults),
            _ => schemas.refer(value, sink.item.topic.as_ref(), subjects, faults),
        }
    };
    nodes.document.sinks.iter().enumerate().map(find).collect()
}

/// The schema of what comes out of the `latest` node before a sink.
fn derived(nodes: &Nodes<'_>, place: usize, sink: &Named<Sink>, faults: &mut Vec<Diagnostic>) -> Option<(Arc<str>, Schema)> {
    let topic = sink.item.topic.as_ref()?.get_ref();
    let (name, value) = (sink.name.get_ref(), sink.item.value.as_ref()?);
    // What is wrong with the inputs was said where it is wrong.
    let inputs: Vec<Node> = nodes.graph.sinks.get(place)?.iter().copied().collect::<Option<_>>()?;
    let made_by = |node: &Node| match nodes.behind_filters(*node)? {
        Node::Processor(place) => nodes.document.processors.get(place)?.item.kind.as_ref(),
        Node::Source(_) => None,
    };
    if let Some(other) = inputs.iter().find(|node| !matches!(made_by(node), Some(Kind::Latest(_)))) {
        let hint = match made_by(other) {
            Some(_) => "add `value = \"telegram_message\"`: a schema is derived for what comes from a `latest` node only",
            None => "add `value` with the name of a schema: one is derived for what comes from a `latest` node only",
        };
        let fault = Diagnostic::error("missing-key", value.span.clone(), format!("[sinks.{name}] has no `value`"));
        faults.push(fault.labelled("in this table").hinted(hint));
        return None;
    }
    let shapes = nodes.sink_shapes(place).filter(|_| !inputs.iter().any(|node| nodes.is_assumed(*node)))?;
    let (first, others) = shapes.split_first()?;
    let refuse = |message: String| {
        let fault = Diagnostic::error("no-derived-schema", value.span.clone(), message);
        fault.labelled("no schema of its own").hinted("name a schema under `value`, or give each input a sink and a topic of its own")
    };
    if others.iter().any(|other| other != first) {
        faults.push(refuse(format!("the inputs of `{name}` have different fields, so that no one schema can be derived")));
        return None;
    }
    match latest::derived_schema(topic, first) {
        Ok(schema) => Some((schema.name().unwrap_or_default().into(), schema)),
        Err(error) => {
            faults.push(refuse(format!("no schema can be derived for `{name}`: {}", chain(&error))));
            None
        }
    }
}

/// Says what does not fit.
pub(super) fn check(nodes: &Nodes<'_>, schemas: &[Option<(Arc<str>, Schema)>], faults: &mut Vec<Diagnostic>) {
    for (place, schema) in schemas.iter().enumerate() {
        if let Some((name, schema)) = schema {
            fits(nodes, place, (name, schema), faults);
        }
    }
    shared_topics(nodes.document, schemas, faults);
}

fn fits(nodes: &Nodes<'_>, place: usize, (schema_name, schema): (&str, &Schema), faults: &mut Vec<Diagnostic>) {
    let (Some(sink), Some(inputs)) = (nodes.document.sinks.get(place), nodes.graph.sinks.get(place)) else { return };
    let (Some(value), Some(names)) = (&sink.item.value, &sink.item.inputs) else { return };
    for (name, node) in names.iter().zip(inputs).filter_map(|(name, node)| Some((name, (*node)?))) {
        // Against a shape that is only assumed, a schema cannot be held.
        let Some(shape) = nodes.written(node).filter(|_| !nodes.is_assumed(node)) else { continue };
        let misfits = Encoder::compile_keyed(schema, &shape, nodes.key(node)).err().unwrap_or_default();
        for misfit in &misfits {
            let message = format!("schema {schema_name} does not fit what comes from `{}`: {misfit}", name.get_ref());
            let fault = Diagnostic::error("sink-misfit", value.span.clone(), message);
            faults.push(fault.labelled(format!("field `{}`", misfit.field)).hinted(hint(misfit)));
        }
    }
}

fn hint(misfit: &Misfit) -> &'static str {
    if misfit.found.is_some() {
        "give the field a type that can hold the value, with null where the value may be null"
    } else {
        "give the field a default, or watch a field of that name; `x_previous` and `x_current` are filled from `previous.x` and `current.x`"
    }
}

/// A topic is written with one schema, in one format.
fn shared_topics(document: &Document, schemas: &[Option<(Arc<str>, Schema)>], faults: &mut Vec<Diagnostic>) {
    let sinks = || document.sinks.iter().zip(schemas);
    for (place, (sink, schema)) in sinks().enumerate() {
        let (Some(topic), Some(value), Some((_, schema))) = (&sink.item.topic, &sink.item.value, schema) else { continue };
        let earlier = sinks().take(place).find(|(earlier, other)| {
            let same_topic = earlier.item.topic.as_ref().is_some_and(|other| other.get_ref() == topic.get_ref());
            let same_format = earlier.item.value.as_ref().is_some_and(|other| other.format == value.format);
            same_topic && other.as_ref().is_some_and(|(_, other)| other != schema || !same_format)
        });
        if let Some((earlier, _)) = earlier {
            let message = format!(
                "the sinks `{}` and `{}` write topic `{}` with different schemas",
                earlier.name.get_ref(),
                sink.name.get_ref(),
                topic.get_ref()
            );
            let fault = Diagnostic::error("shared-topic", value.span.clone(), message);
            faults.push(fault.labelled("differs").hinted("a topic has one schema: use the same one, or another topic"));
        }
    }
}

/// What the sinks write, when nothing is wrong.
pub(super) fn checked(nodes: &Nodes<'_>, schemas: Vec<Option<(Arc<str>, Schema)>>) -> Vec<Option<Checked>> {
    let one = |(place, schema): (usize, Option<(Arc<str>, Schema)>)| {
        let (schema_name, schema) = schema?;
        let sink = nodes.document.sinks.get(place)?;
        let names = sink.item.inputs.as_ref()?;
        let found = nodes.graph.sinks.get(place)?.iter().zip(nodes.sink_shapes(place)?);
        let input = |(name, (node, shape)): (&super::super::document::Text, (&Option<Node>, _))| {
            Some(SinkInput { name: name.get_ref().as_str().into(), shape, key: nodes.key((*node)?) })
        };
        let inputs: Vec<SinkInput> = names.iter().zip(found).map(input).collect::<Option<_>>()?;
        (inputs.len() == names.len()).then_some(Checked { format: sink.item.value.as_ref()?.format, schema_name, schema, inputs })
    };
    schemas.into_iter().enumerate().map(one).collect()
}
