//! The link to the node types: makes their plans of what the file says, and puts them into the engine's topology.

use std::fmt;

use super::document::{self, Kind, Message, Text};
use crate::avro::{KeyFormat, Row, Shape};
use crate::processors::{Condition, Escape, MessageOptions, OptionFault, Template, filter, latest, milestone, notify};
use crate::streams::state::StoreSpec;
use crate::streams::topology::TopologyBuilder;

/// A node, checked against the shape of its input.
pub(super) struct Plan {
    node: Node,
    fields: Vec<usize>,
}

impl fmt::Debug for Plan {
    /// Shows the type only: messages hold the chat id, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.node {
            Node::Latest(_) => "Latest",
            Node::Filter(_) => "Filter",
            Node::Notify(_) => "Notify",
            Node::Milestone(_) => "Milestone",
        })
    }
}

enum Node {
    Latest(latest::Plan),
    Filter(filter::Plan),
    Notify(notify::Plan),
    Milestone(milestone::Plan),
}

/// Plans the node `name`, whose input has this shape and keys of this format; none where the file lacks something, which was reported when it was read.
pub(super) fn compile(name: &str, kind: &Kind, input: &Shape, key: KeyFormat) -> Result<Option<Plan>, Vec<OptionFault>> {
    let node = match kind {
        Kind::Latest(options) => latest::Plan::new(&latest_options(name, options, key), input).map(Node::Latest),
        Kind::Filter { when } => filter::Plan::new(&filter::Options { when: given(when.as_ref()) }, input).map(Node::Filter),
        Kind::Notify { when, message } => {
            let options = notify::Options { name: name.to_owned(), message: message_options(when.as_ref(), message) };
            notify::Plan::new(&options, input).map(Node::Notify)
        }
        Kind::Milestone(options) => milestone::Plan::new(&milestone_options(name, options), input).map(Node::Milestone),
    };
    match node {
        Ok(node) => Ok(is_complete(kind).then(|| Plan { node, fields: fields(kind, input) })),
        Err(mut faults) => {
            // What is not in the file was reported as missing; the node type only sees that it is empty.
            faults.retain(|fault| is_given(kind, fault.option));
            if faults.is_empty() { Ok(None) } else { Err(faults) }
        }
    }
}

/// The shape of what a `latest` node would pass on that watched every field it can.
pub(super) fn watching_everything(input: &Shape, key: KeyFormat) -> Shape {
    let mut options = latest::Options { watch: Vec::new(), ..latest_options("", &document::Latest::default(), key) };
    options.watch = input.fields.iter().take(latest::WATCHED_MAX).map(|field| field.path.to_string()).collect();
    match latest::Plan::new(&options, input) {
        Ok(plan) => plan.shape().clone(),
        Err(faults) => {
            let unfit: Vec<usize> = faults.iter().filter_map(|fault| fault.index).collect();
            let watch = std::mem::take(&mut options.watch).into_iter().enumerate();
            options.watch = watch.filter(|(index, _)| !unfit.contains(index)).map(|(_, path)| path).collect();
            latest::Plan::new(&options, input).map(|plan| plan.shape().clone()).unwrap_or_default()
        }
    }
}

impl Plan {
    /// The shape of what the node passes on.
    pub(super) fn output(&self) -> Shape {
        match &self.node {
            Node::Latest(plan) => plan.shape().clone(),
            Node::Filter(plan) => plan.shape().clone(),
            Node::Notify(plan) => plan.shape().clone(),
            Node::Milestone(plan) => plan.shape().clone(),
        }
    }

    /// The places of the fields of the input that it reads itself.
    pub(super) fn fields(&self) -> &[usize] {
        &self.fields
    }

    /// Its store, which has the node's name; none for a node without state.
    pub(super) fn store(&self) -> Option<StoreSpec> {
        match &self.node {
            Node::Latest(plan) => Some(plan.store()),
            Node::Milestone(plan) => Some(plan.store()),
            Node::Filter(_) | Node::Notify(_) => None,
        }
    }

    /// Declares the node, with its store where it has one.
    pub(super) fn declare(&self, name: &str, input: &str, builder: TopologyBuilder<Row>) -> TopologyBuilder<Row> {
        let builder = match self.store() {
            Some(store) => builder.store(store),
            None => builder,
        };
        match &self.node {
            Node::Latest(plan) => {
                let plan = plan.clone();
                builder.processor(name, &[input], &[name], move || plan.processor())
            }
            Node::Filter(plan) => {
                let plan = plan.clone();
                builder.processor(name, &[input], &[], move || plan.processor())
            }
            Node::Notify(plan) => {
                let plan = plan.clone();
                builder.processor(name, &[input], &[], move || plan.processor())
            }
            Node::Milestone(plan) => {
                let plan = plan.clone();
                builder.processor(name, &[input], &[name], move || plan.processor())
            }
        }
    }
}

fn given(text: Option<&Text>) -> String {
    text.map(|text| text.get_ref().clone()).unwrap_or_default()
}

fn latest_options(name: &str, options: &document::Latest, key: KeyFormat) -> latest::Options {
    latest::Options {
        store: name.to_owned(),
        key,
        watch: options.watch.iter().flatten().map(|field| field.get_ref().clone()).collect(),
        nulls: options.nulls,
        on_first: options.on_first,
        emit: options.emit,
        order: options.order,
    }
}

fn message_options(when: Option<&Text>, message: &Message) -> MessageOptions {
    MessageOptions {
        when: when.map(|when| when.get_ref().clone()),
        chat_id: message.chat_id.as_ref().map(|id| id.get_ref().expose()).unwrap_or_default(),
        text: given(message.text.as_ref()),
        parse_mode: message.parse_mode.to_owned(),
        message_thread_id: message.thread_id,
        disable_notification: message.disable_notification,
        disable_web_page_preview: message.disable_web_page_preview,
        edit_in_place: message.edit_in_place,
    }
}

fn milestone_options(name: &str, options: &document::Milestone) -> milestone::Options {
    milestone::Options {
        name: name.to_owned(),
        store: name.to_owned(),
        field: given(options.field.as_ref()),
        boundaries: match &options.boundaries {
            Some(document::Boundaries::At(list)) => milestone::Boundaries::At(list.clone()),
            Some(document::Boundaries::Every(step)) => milestone::Boundaries::Every(*step),
            None => milestone::Boundaries::Every(1),
        },
        message: message_options(options.when.as_ref(), &options.message),
    }
}

/// Whether the file has this option of the node.
fn is_given(kind: &Kind, option: &str) -> bool {
    let of_message = |message: &Message| match option {
        "text" => message.text.is_some(),
        "chat_id" => message.chat_id.is_some(),
        _ => true,
    };
    match kind {
        Kind::Latest(latest) => option != "watch" || latest.watch.is_some(),
        Kind::Filter { when } => option != "when" || when.is_some(),
        Kind::Notify { message, .. } => of_message(message),
        Kind::Milestone(milestone) => match option {
            "field" => milestone.field.is_some(),
            "every" | "at" => milestone.boundaries.is_some(),
            _ => of_message(&milestone.message),
        },
    }
}

/// Whether the file has every option that the node cannot do without.
fn is_complete(kind: &Kind) -> bool {
    ["watch", "field", "every", "text", "chat_id"].iter().all(|option| is_given(kind, option))
        && (is_given(kind, "when") || !matches!(kind, Kind::Filter { .. }))
}

/// The places of the fields that the node reads. Asked only for what compiled, so faults are not met here.
fn fields(kind: &Kind, input: &Shape) -> Vec<usize> {
    let condition = |when: &Option<Text>, shape: &Shape| {
        let condition = when.as_ref().and_then(|when| Condition::compile(when.get_ref(), shape).ok());
        condition.map(|condition| condition.fields().to_vec()).unwrap_or_default()
    };
    let message = |message: &Message, shape: &Shape| {
        let template = message.text.as_ref().and_then(|text| Template::compile(text.get_ref(), shape, Escape::None).ok());
        template.map(|template| template.fields().to_vec()).unwrap_or_default()
    };
    match kind {
        Kind::Latest(latest) => latest.watch.iter().flatten().filter_map(|field| input.index_of(field.get_ref())).collect(),
        Kind::Filter { when } => condition(when, input),
        Kind::Notify { when, message: text } => [condition(when, input), message(text, input)].concat(),
        Kind::Milestone(options) => {
            let boundary = crate::avro::Field::new("boundary", crate::avro::Type::Long, false);
            let mut shape = input.clone();
            shape.fields.push(boundary);
            let field = options.field.as_ref().map(|field| field.get_ref().as_str()).unwrap_or_default();
            let paths = [field.to_owned(), format!("current.{field}"), format!("previous.{field}")];
            let own = paths.iter().filter_map(|path| input.index_of(path)).chain(input.index_of("removed")).collect();
            let mut fields = [own, condition(&options.when, &shape), message(&options.message, &shape)].concat();
            fields.retain(|index| *index < input.fields.len());
            fields
        }
    }
}
