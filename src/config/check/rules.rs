//! What a graph of nodes must not do: go in circles, join sources, remember by a key that changed on the way.

use std::collections::BTreeSet;

use super::super::diagnostics::Diagnostic;
use super::super::document::{Document, Kind, Text};
use super::graph::{Graph, Node};

/// Reports what is wrong with the way in which the nodes hang together.
pub(super) fn check(graph: &Graph, document: &Document, faults: &mut Vec<Diagnostic>) {
    cycles(graph, document, faults);
    repeated_inputs(graph, document, faults);
    several_sources(graph, document, faults);
    shared_topics(document, faults);
    topic_loops(graph, document, faults);
    internal_topics(document, faults);
    key_changes(graph, document, faults);
    unused(graph, document, faults);
}

/// Walks from every processor along the inputs; who comes back to itself is in a cycle.
fn cycles(graph: &Graph, document: &Document, faults: &mut Vec<Diagnostic>) {
    let mut reported: BTreeSet<usize> = BTreeSet::new();
    for start in 0..graph.inputs.len() {
        let mut path = vec![start];
        let mut at = graph.parent(start);
        while let Some(node) = at.filter(|node| !path.contains(node)) {
            path.push(node);
            at = graph.parent(node);
        }
        if at != Some(start) || path.iter().any(|node| reported.contains(node)) {
            continue;
        }
        reported.extend(&path);
        // Along the flow: an input comes before who reads it.
        path.push(start);
        path.reverse();
        let names: Vec<&str> = path.iter().filter_map(|node| Some(document.processors.get(*node)?.name.get_ref().as_str())).collect();
        let Some(input) = document.processors.get(start).and_then(|node| node.item.input.as_ref()) else { continue };
        let message = match names.as_slice() {
            [name, _] => format!("`{name}` is its own input"),
            _ => format!("the nodes {} are a cycle", names.join(" -> ")),
        };
        let fault = Diagnostic::error("cycle", input.span(), message);
        faults.push(fault.labelled("closes the cycle").hinted("inputs must lead back to a source"));
    }
}

fn repeated_inputs(graph: &Graph, document: &Document, faults: &mut Vec<Diagnostic>) {
    for (sink, nodes) in document.sinks.iter().zip(&graph.sinks) {
        for (place, (input, node)) in sink.item.inputs.iter().flatten().zip(nodes).enumerate() {
            if node.is_some() && nodes.iter().take(place).any(|earlier| earlier == node) {
                let fault = Diagnostic::error("repeated-input", input.span(), format!("`{}` is named twice", input.get_ref()));
                faults.push(fault.labelled("second time").hinted("every record would be written twice"));
            }
        }
    }
}

fn source_name(document: &Document, source: usize) -> &str {
    document.sources.get(source).map_or("", |source| source.name.get_ref().as_str())
}

/// Only a sink can join what comes from several sources: processors have one input.
fn several_sources(graph: &Graph, document: &Document, faults: &mut Vec<Diagnostic>) {
    for (sink, nodes) in document.sinks.iter().zip(&graph.sinks) {
        let rooted = sink.item.inputs.iter().flatten().zip(nodes).filter_map(|(input, node)| Some((input, graph.root((*node)?)?)));
        let rooted: Vec<(&Text, usize)> = rooted.collect();
        let Some((_, first)) = rooted.first() else { continue };
        let Some((input, other)) = rooted.iter().find(|(_, root)| root != first) else { continue };
        let (first, other) = (source_name(document, *first), source_name(document, *other));
        let message = format!("sink `{}` joins the sources `{first}` and `{other}`", sink.name.get_ref());
        let fault = Diagnostic::error("several-sources", input.span(), message).labelled(format!("comes from `{other}`"));
        faults.push(fault.hinted(
            "the partitions of two topics may be given to different instances, which would tear the task apart: \
             give each source a sink of its own, to the same topic if you like",
        ));
    }
}

/// One topic is read by one source.
fn shared_topics(document: &Document, faults: &mut Vec<Diagnostic>) {
    for (place, source) in document.sources.iter().enumerate() {
        let Some(topic) = &source.item.topic else { continue };
        let same = |other: &Option<Text>| other.as_ref().is_some_and(|other| other.get_ref() == topic.get_ref());
        if let Some(earlier) = document.sources.iter().take(place).find(|earlier| same(&earlier.item.topic)) {
            let message = format!("the sources `{}` and `{}` read the same topic", earlier.name.get_ref(), source.name.get_ref());
            let fault = Diagnostic::error("shared-topic", topic.span(), message);
            faults.push(fault.labelled("second source of this topic").hinted("several processors may have the same source as their input"));
        }
    }
}

/// Follows sinks through their topics into sources: what comes back to its own source would go round for ever.
fn topic_loops(graph: &Graph, document: &Document, faults: &mut Vec<Diagnostic>) {
    let mut next: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); document.sources.len()];
    let mut edges: Vec<(usize, usize, &Text)> = Vec::new();
    for (sink, nodes) in document.sinks.iter().zip(&graph.sinks) {
        let Some(topic) = &sink.item.topic else { continue };
        let reads = |source: usize| {
            document.sources.get(source).and_then(|it| it.item.topic.as_ref()).is_some_and(|it| it.get_ref() == topic.get_ref())
        };
        for reader in (0..document.sources.len()).filter(|source| reads(*source)) {
            for root in nodes.iter().flatten().filter_map(|node| graph.root(*node)) {
                next.get_mut(root).map(|next| next.insert(reader));
                edges.push((root, reader, topic));
            }
        }
    }
    for (from, to, topic) in edges {
        if reaches(&next, to, from) {
            let fault = Diagnostic::error("topic-loop", topic.span(), format!("topic `{}` is read and written in a loop", topic.get_ref()));
            let label = format!("read by the source `{}`", source_name(document, to));
            faults.push(fault.labelled(label).hinted("write to another topic: every record would go round for ever"));
        }
    }
}

/// Whether `to` can be reached from `from`.
fn reaches(next: &[BTreeSet<usize>], from: usize, to: usize) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        if at == to {
            return true;
        }
        if seen.insert(at) {
            open.extend(next.get(at).into_iter().flatten());
        }
    }
    false
}

/// Topics that the engine writes itself are nobody else's.
fn internal_topics(document: &Document, faults: &mut Vec<Diagnostic>) {
    let Some(application_id) = &document.application_id else { return };
    let dead_letters = format!("{}-dead-letters", application_id.get_ref());
    let is_changelog = |topic: &str| topic.starts_with(&format!("{}-", application_id.get_ref())) && topic.ends_with("-changelog");
    for topic in document.sinks.iter().filter_map(|sink| sink.item.topic.as_ref()) {
        let name = topic.get_ref();
        if *name == dead_letters || is_changelog(name) || name.starts_with('_') {
            let fault = Diagnostic::error("internal-topic", topic.span(), format!("`{name}` is the name of an internal topic"));
            faults.push(fault.labelled("not for sinks").hinted("choose another name"));
        }
    }
}

/// notify and milestone send records keyed by chat: state behind them would sit in the wrong partition.
fn key_changes(graph: &Graph, document: &Document, faults: &mut Vec<Diagnostic>) {
    let changer = |place: usize| {
        document.processors.get(place).filter(|node| matches!(node.item.kind, Some(Kind::Notify { .. } | Kind::Milestone(_))))
    };
    for place in &graph.order {
        let Some(node) = document.processors.get(*place) else { continue };
        let Some(Kind::Latest(_) | Kind::Milestone(_)) = node.item.kind else { continue };
        let mut before = std::iter::successors(graph.parent(*place), |place| graph.parent(*place));
        let (Some(found), Some(input)) = (before.find_map(changer), &node.item.input) else { continue };
        let message = format!("`{}` remembers by key, but `{}` before it changes the key", node.name.get_ref(), found.name.get_ref());
        let fault = Diagnostic::error("key-changed", input.span(), message).labelled("keyed by chat");
        faults.push(fault.hinted("state lives in the partition of the source's key: write to a topic and read that with a source"));
    }
}

/// Nodes whose records go nowhere. Silent where an input is in doubt: it may have meant them.
fn unused(graph: &Graph, document: &Document, faults: &mut Vec<Diagnostic>) {
    let doubtful = graph.inputs.contains(&None)
        || graph.sinks.iter().flatten().any(Option::is_none)
        || document.sinks.iter().any(|sink| sink.item.inputs.is_none());
    if doubtful {
        return;
    }
    let read: BTreeSet<Node> = graph.inputs.iter().chain(graph.sinks.iter().flatten()).flatten().copied().collect();
    let sources = document.sources.iter().enumerate().map(|(place, node)| ("source", &node.name, Node::Source(place)));
    let processors = document.processors.iter().enumerate().map(|(place, node)| ("processor", &node.name, Node::Processor(place)));
    for (what, name, _) in sources.chain(processors).filter(|(_, _, node)| !read.contains(node)) {
        let fault = Diagnostic::warning("unused-node", name.span(), format!("nobody reads the {what} `{}`", name.get_ref()));
        faults.push(fault.labelled("without consumers").hinted("name it as the input of a processor or a sink, or remove it"));
    }
}
