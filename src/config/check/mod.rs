//! Checks what a document means: names, inputs, schemas, fields, conditions, templates; and makes the [`Config`] of one without faults.

mod graph;
mod kafka;
mod nodes;
mod outside;
mod rules;
mod secrets;
mod sinks;
mod sources;
mod telegram;
mod youtube;

use std::path::Path;
use std::sync::Arc;

use self::nodes::Checked;
use self::secrets::masked;
use super::LoadOptions;
use super::diagnostics::{Diagnostic, Diagnostics, SourceFile};
use super::document::{self, Document};
use super::external::Resolve;
use super::kafka::Kafka;
use super::model::{Config, Engine, Processor, Recipient, Sink, Source};
use super::registry::Subjects;
use super::schemas::Schemas;
use super::telegram::{BotApi, Telegram};

/// Checks the document of `file`, of which `faults` are known already; `folder` is where its schemas and files are looked for.
pub(super) fn check(
    mut document: Document,
    file: &SourceFile,
    folder: Option<&Path>,
    options: &LoadOptions,
    mut faults: Vec<Diagnostic>,
) -> Result<Config, Diagnostics> {
    let file = &masked(file, &document);
    // Of a file that is no TOML the rest would be guesswork.
    if faults.iter().any(|fault| fault.code == "syntax") {
        faults.retain(|fault| fault.code == "syntax");
        return Err(Diagnostics::new(file.clone(), faults));
    }
    outside::resolve(&mut document, folder, options, &mut faults);
    kafka::check(&document, &options.overrides, &mut faults);
    kafka::check_instance_id(&document, &mut faults);
    let outbox = telegram::check(&document, file, &mut faults);
    if document.sources.is_empty() && faults.is_empty() {
        let fault = Diagnostic::error("no-source", 0..0, "the file declares no source, so there is nothing to do");
        faults.push(fault.hinted("declare one: [sources.NAME] with `topic`, `value` and `start`"));
    }
    let graph = graph::connect(&document, &mut faults);
    rules::check(&graph, &document, &mut faults);
    let mut schemas = Schemas::beside(folder);
    let kafka = Kafka::assemble(document.kafka.take(), &options.overrides, folder.unwrap_or(Path::new("")));
    let telegram = document.telegram.take().and_then(|table| Telegram::assemble(table, outbox?));
    let lookup = options.registry.or_of(kafka.as_ref());
    let mut subjects = Subjects::new(&lookup);
    let checked = nodes::check(&document, &graph, &file.text, (&mut schemas, &mut subjects), &mut faults);
    let youtube = youtube::check(&mut document, &checked.sources, &mut faults);
    let diagnostics = Diagnostics::new(file.clone(), faults);
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    let assembled = assemble(document, &graph, checked, diagnostics.clone());
    assembled.map(|config| Config { kafka, telegram, youtube, ..config }).ok_or_else(|| {
        // Every fault that stands in the way was reported, or this is a mistake of ours: say so instead of running something else.
        let fault = Diagnostic::error("internal", 0..0, "the file was found free of faults, but no topology could be made of it");
        Diagnostics::new(file.clone(), diagnostics.iter().cloned().chain([fault]).collect())
    })
}

/// Checks `[kafka]` of `file` alone.
pub(super) fn check_kafka(
    table: Option<document::Kafka>,
    file: &SourceFile,
    folder: Option<&Path>,
    options: &LoadOptions,
    mut faults: Vec<Diagnostic>,
) -> Result<Option<Kafka>, Diagnostics> {
    let folder = folder.unwrap_or(Path::new(""));
    let mut document = Document { kafka: table, ..Document::default() };
    let file = &masked(file, &document);
    if let Some(table) = document.kafka.as_mut().filter(|_| options.resolve != Resolve::Placeholders) {
        outside::kafka_table(table, folder, options, &mut faults);
    }
    kafka::check(&document, &options.overrides, &mut faults);
    let diagnostics = Diagnostics::new(file.clone(), faults);
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    Ok(Kafka::assemble(document.kafka, &options.overrides, folder))
}

/// Checks `[telegram]` of `file` as far as it says how Telegram is reached.
pub(super) fn check_bot_api(
    table: Option<document::Telegram>,
    file: &SourceFile,
    folder: Option<&Path>,
    options: &LoadOptions,
    mut faults: Vec<Diagnostic>,
) -> Result<Option<BotApi>, Diagnostics> {
    let mut document = Document { telegram: table, ..Document::default() };
    let file = &masked(file, &document);
    if let Some(table) = &mut document.telegram {
        if options.resolve != Resolve::Placeholders {
            outside::telegram_table(table, folder.unwrap_or(Path::new("")), options, &mut faults);
        }
        telegram::check_api(table, file, &mut faults);
    }
    let diagnostics = Diagnostics::new(file.clone(), faults);
    if diagnostics.has_errors() { Err(diagnostics) } else { Ok(document.telegram.and_then(|table| BotApi::assemble(&table))) }
}

/// Puts the parts together; none where one is missing.
fn assemble(document: Document, graph: &graph::Graph, checked: Checked, warnings: Diagnostics) -> Option<Config> {
    let Checked { sources, mut plans, sinks } = checked;
    let mut config = Config {
        application_id: document.application_id?.into_inner().into(),
        sources: Vec::new(),
        processors: Vec::new(),
        sinks: Vec::new(),
        errors: document.errors,
        engine: Engine { instance_id: document.instance_id.map(|id| id.get_ref().expose().into()), ..document.engine },
        kafka: None,
        telegram: None,
        youtube: None,
        warnings,
    };
    for (source, checked) in document.sources.into_iter().zip(sources) {
        let (checked, shape, reads_key) = checked?;
        config.sources.push(Source {
            name: source.name.into_inner().into(),
            topic: source.item.topic?.into_inner().into(),
            key: checked.key,
            format: checked.format,
            schema_name: checked.schema_name,
            schema: checked.schema,
            aliases: checked.aliases,
            shape,
            reads_key,
            start: source.item.start?,
            on_error: source.item.on_error,
        });
    }
    if graph.order.len() != document.processors.len() {
        return None;
    }
    for place in &graph.order {
        let node = document.processors.get(*place)?;
        let name: Arc<str> = node.name.get_ref().as_str().into();
        let input = node.item.input.as_ref()?.get_ref().as_str().into();
        let recipient = node.item.kind.as_ref().and_then(recipient);
        config.processors.push(Processor { name, input, recipient, plan: plans.get_mut(*place)?.take()? });
    }
    for (sink, checked) in document.sinks.into_iter().zip(sinks) {
        let checked = checked?;
        config.sinks.push(Sink {
            name: sink.name.into_inner().into(),
            inputs: checked.inputs,
            topic: sink.item.topic?.into_inner().into(),
            format: checked.format,
            schema_name: checked.schema_name,
            schema: checked.schema,
        });
    }
    Some(config)
}

/// Where the messages of a node go.
fn recipient(kind: &document::Kind) -> Option<Recipient> {
    let message = match kind {
        document::Kind::Notify { message, .. } => message,
        document::Kind::Milestone(milestone) => &milestone.message,
        document::Kind::Latest(_) | document::Kind::Filter { .. } => return None,
    };
    Some(Recipient { chat_id: message.chat_id.as_ref()?.get_ref().clone(), message_thread_id: message.thread_id })
}
