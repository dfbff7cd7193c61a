//! Reads a topology file into a [`Document`]: tables, keys and types of values. What the names mean is checked afterwards.

mod engine;
mod kafka;
mod nodes;
mod reader;
mod telegram;
mod values;
mod youtube;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use self::reader::{Reader, Value};
pub(super) use self::telegram::is_chat;
use super::diagnostics::{Diagnostic, SourceFile};
use super::document::{Document, Kafka, Named, Telegram, Text};

/// The highest number of bytes of a name: they become parts of topic names, which end at 249.
const NAME_BYTES_MAX: usize = 64;

/// Tables that the file may have one day; until then it is better to refuse than to ignore them.
const LATER: [(&str, &str); 1] = [("tests", "leave it out")];

/// Reads `file`. The document holds whatever could be read.
pub(super) fn parse(file: &SourceFile, faults: &mut Vec<Diagnostic>) -> Document {
    let (table, errors) = DeTable::parse_recoverable(&file.text);
    faults.extend(errors.iter().map(|error| syntax(file, error)));
    let mut document = Document::default();
    let mut root = Reader::new("the file", 0..0, table.get_ref(), faults);
    document.application_id = root.required_text("application_id", "application_id = \"my-application\"");
    let sources = root.take("sources");
    let processors = root.take("processors");
    let sinks = root.take("sinks");
    let errors = root.take("errors");
    let engine = root.take("engine");
    let kafka = root.take("kafka");
    let telegram = root.take("telegram");
    let youtube = root.take("youtube");
    for (name, hint) in LATER {
        if let Some((span, _)) = root.take(name) {
            let fault = Diagnostic::error("not-supported", span, format!("[{name}] is not supported by this version"));
            root.faults().push(fault.labelled("not supported yet").hinted(hint));
        }
    }
    root.finish();
    document.sources = named("sources", sources, faults, nodes::source);
    document.processors = named("processors", processors, faults, nodes::processor);
    document.sinks = named("sinks", sinks, faults, nodes::sink);
    if let Some((_, value)) = errors {
        document.errors = engine::errors(value, faults);
    }
    if let Some((_, value)) = engine {
        (document.engine, document.instance_id, document.standby) = engine::engine(value, faults);
    }
    if let Some((place, value)) = kafka {
        document.kafka = kafka::kafka(place, value, faults);
    }
    if let Some((place, value)) = telegram {
        document.telegram = telegram::telegram(place, value, faults);
    }
    if let Some((place, value)) = youtube {
        document.youtube = youtube::youtube(place, value, faults);
    }
    if let Some(id) = &document.application_id {
        check_name("application_id", id, faults);
    }
    document
}

/// Reads `[kafka]` of `file` and nothing else; faults elsewhere are not looked for.
pub(super) fn parse_kafka(file: &SourceFile, faults: &mut Vec<Diagnostic>) -> Option<Kafka> {
    let (table, errors) = DeTable::parse_recoverable(&file.text);
    faults.extend(errors.iter().map(|error| syntax(file, error)));
    let (place, value) = Reader::new("the file", 0..0, table.get_ref(), faults).take("kafka")?;
    kafka::kafka(place, value, faults)
}

/// Reads `[telegram]` of `file` and nothing else; faults elsewhere are not looked for.
pub(super) fn parse_telegram(file: &SourceFile, faults: &mut Vec<Diagnostic>) -> Option<Telegram> {
    let (table, errors) = DeTable::parse_recoverable(&file.text);
    faults.extend(errors.iter().map(|error| syntax(file, error)));
    let (place, value) = Reader::new("the file", 0..0, table.get_ref(), faults).take("telegram")?;
    telegram::telegram(place, value, faults)
}

/// A key with its place and its value.
type Taken<'a> = (std::ops::Range<usize>, &'a Value<'a>);

/// Reads the tables of one kind, `[sources.NAME]` say.
fn named<T>(kind: &'static str, taken: Option<Taken<'_>>, faults: &mut Vec<Diagnostic>, read: fn(Reader<'_, '_>) -> T) -> Vec<Named<T>> {
    let Some((span, value)) = taken else { return Vec::new() };
    let Some(table) = as_table(kind, value, &format!("[{kind}.name]"), faults) else { return Vec::new() };
    let tables = Reader::new(format!("[{kind}]"), span, table, faults).all();
    let mut nodes = Vec::with_capacity(tables.len());
    for (name, value) in tables {
        let place = format!("[{kind}.{}]", name.get_ref());
        let Some(table) = as_table(name.get_ref(), value, &place, faults) else { continue };
        check_name("a name", &name, faults);
        let item = read(Reader::new(place, name.span(), table, faults));
        nodes.push(Named { name, item });
    }
    nodes
}

fn as_table<'a>(key: &str, value: &'a Value<'a>, example: &str, faults: &mut Vec<Diagnostic>) -> Option<&'a DeTable<'a>> {
    if let DeValue::Table(table) = value.get_ref() {
        return Some(table);
    }
    reader::wrong_type(&format!("`{key}`"), value, "a table", example, faults);
    None
}

/// Names become parts of the names of topics, stores and metrics.
fn check_name(what: &str, name: &Text, faults: &mut Vec<Diagnostic>) {
    let text = name.get_ref();
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if text.is_empty() {
        faults.push(Diagnostic::error("bad-name", name.span(), format!("{what} cannot be empty")));
    } else if let Some(bad) = text.chars().find(|&c| !allowed(c)) {
        let fault = Diagnostic::error("bad-name", name.span(), format!("{what} cannot contain {bad:?}"));
        faults.push(fault.hinted("names become parts of topic names: a-z, 0-9, _ and - are allowed"));
    } else if text.len() > NAME_BYTES_MAX {
        let fault = Diagnostic::error("bad-name", name.span(), format!("{what} cannot be longer than {NAME_BYTES_MAX} characters"));
        faults.push(fault.hinted("names become parts of topic names, which are limited"));
    }
}

/// What the TOML parser says, in our words where something occurs twice.
fn syntax(file: &SourceFile, error: &toml::de::Error) -> Diagnostic {
    let span = error.span().unwrap_or(0..0);
    if error.message() == "duplicate key" {
        let marked = file.text.get(span.clone()).unwrap_or_default();
        let line_start = file.text.get(..span.start).unwrap_or_default().rfind('\n').map_or(0, |at| at + 1);
        let line = file.text.get(line_start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        if let Some((table, _)) = line.trim_start().strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            let fault = Diagnostic::error("duplicate-name", span, format!("the table [{table}] occurs twice"));
            return fault.labelled("second table of this name").hinted("every node has a name of its own");
        }
        let fault = Diagnostic::error("duplicate-key", span.clone(), format!("the key `{marked}` occurs twice"));
        return fault.labelled("second time").hinted("keep one of them");
    }
    let message = error.message().lines().collect::<Vec<_>>().join(", ");
    Diagnostic::error("syntax", span, message).labelled("not valid TOML").hinted("the format is explained at https://toml.io")
}

/// A value with its place, without what TOML says about it.
fn spanned<T>(value: &Value<'_>, inner: T) -> Spanned<T> {
    Spanned::new(value.span(), inner)
}
