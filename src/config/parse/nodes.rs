//! Reads the tables of nodes: sources, processors by type, sinks.

use toml::Spanned;
use toml::de::DeValue;

use super::super::closest;
use super::super::diagnostics::Diagnostic;
use super::super::document::{Boundaries, Kind, Latest, Message, Milestone, Processor, Sink, Source, Text};
use super::super::external::{External, Origin};
use super::reader::{self, Reader, Value};
use super::{engine, spanned, values};
use crate::processors::latest::{Emit, Nulls, OnFirst, Order};
use crate::streams::topology::Start;

const TYPES: [&str; 4] = ["latest", "filter", "notify", "milestone"];

/// Topic names as Kafka allows them.
const TOPIC_BYTES_MAX: usize = 249;

/// `[sources.NAME]`.
pub(super) fn source(mut table: Reader<'_, '_>) -> Source {
    let topic = topic(&mut table);
    let value = values::of_source(&mut table);
    let key = values::key(&mut table);
    let alias = values::alias(&mut table);
    let start = start(&mut table);
    let on_error = table.choice("on_error", &engine::POLICIES);
    table.finish();
    Source { topic, value, key, alias, start, on_error }
}

fn start(table: &mut Reader<'_, '_>) -> Option<Start> {
    if !table.has("start") {
        table.missing(
            "start",
            "`start`: a group that has not read yet must be told where to begin",
            "start = \"earliest\"` or `start = \"latest\"",
        );
    }
    table.choice("start", &[("earliest", Start::Earliest), ("latest", Start::Latest)])
}

/// A topic's name under `topic`.
fn topic(table: &mut Reader<'_, '_>) -> Option<Text> {
    let topic = table.required_text("topic", "topic = \"my_topic\"")?;
    let name = topic.get_ref();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name == "." || name == ".." || name.len() > TOPIC_BYTES_MAX || !name.chars().all(allowed) {
        let fault = Diagnostic::error("bad-topic", topic.span(), format!("\"{name}\" cannot be the name of a topic"));
        table.faults().push(fault.hinted("a-z, A-Z, 0-9, the dot, _ and -, at most 249 of them"));
        return None;
    }
    Some(topic)
}

/// `[processors.NAME]`.
pub(super) fn processor(mut table: Reader<'_, '_>) -> Processor {
    let ty = table.required_text("type", "type = \"latest\"");
    let input = table.required_text("input", "input = \"name-of-a-node\"");
    let kind = match ty.as_ref().map(|ty| ty.get_ref().as_str()) {
        Some("latest") => Some(Kind::Latest(latest(&mut table))),
        Some("filter") => Some(Kind::Filter { when: table.required_text("when", "when = \"current.likes > 100\"") }),
        Some("notify") => Some(Kind::Notify { when: when(&mut table), message: message(&mut table) }),
        Some("milestone") => Some(Kind::Milestone(milestone(&mut table))),
        Some(other) => {
            let span = ty.as_ref().map_or(0..0, Spanned::span);
            let fault = Diagnostic::error("unknown-type", span, format!("there is no node type \"{other}\""));
            table.faults().push(fault.labelled("unknown type").hinted(closest::hint(other, &TYPES)));
            None
        }
        None => None,
    };
    if kind.is_none() {
        // Which keys there may be depends on the type.
        table.ignore_rest();
    }
    table.finish();
    Processor { input, kind }
}

fn latest(table: &mut Reader<'_, '_>) -> Latest {
    let example = "watch = [\"views\", \"likes\"]";
    let watch = table.require("watch", example).and_then(|value| {
        let fields = table.texts("watch", value, example)?;
        if fields.is_empty() {
            let fault = Diagnostic::error("empty-watch", value.span(), "`watch` names no field, so nothing would ever change");
            table.faults().push(fault.hinted(format!("name the fields whose changes matter, as in `{example}`")));
            return None;
        }
        Some(fields)
    });
    Latest {
        watch,
        nulls: table.choice("nulls", &[("ignore", Nulls::Ignore), ("value", Nulls::Value)]).unwrap_or_default(),
        on_first: table.choice("on_first", &[("silent", OnFirst::Silent), ("emit", OnFirst::Emit)]).unwrap_or_default(),
        emit: table.choice("emit", &[("changes", Emit::Changes), ("every", Emit::Every)]).unwrap_or_default(),
        order: table.choice("order", &[("offset", Order::Offset), ("timestamp", Order::Timestamp)]).unwrap_or_default(),
    }
}

fn when(table: &mut Reader<'_, '_>) -> Option<Text> {
    table.text("when", "when = \"current.likes != previous.likes\"")
}

fn milestone(table: &mut Reader<'_, '_>) -> Milestone {
    let field = table.required_text("field", "field = \"views\"");
    let boundaries = boundaries(table);
    let when = when(table);
    Milestone { field, boundaries, when, message: message(table) }
}

/// `every = 200` or `at = [100, 1000]`.
fn boundaries(table: &mut Reader<'_, '_>) -> Option<Boundaries> {
    if !table.has("every") && !table.has("at") {
        table.missing("every", "`every` and no `at`", "every = 200` or `at = [100, 1000, 10000]");
    }
    let every = table.integer("every", 1..i64::MAX);
    let at = table.take("at");
    match (every, at) {
        (Some(every), Some((span, _))) => {
            let fault = Diagnostic::error("both-keys", span, "`every` and `at` exclude each other");
            table
                .faults()
                .push(fault.labelled("leave this out, or `every`").hinted("`every` fires at all multiples, `at` at the values of a list"));
            Some(Boundaries::Every(every.into_inner()))
        }
        (Some(every), None) => Some(Boundaries::Every(every.into_inner())),
        (None, Some((_, value))) => thresholds(table, value),
        (None, None) => None,
    }
}

fn thresholds(table: &mut Reader<'_, '_>, value: &Value<'_>) -> Option<Boundaries> {
    let DeValue::Array(array) = value.get_ref() else {
        reader::wrong_type("`at`", value, "a list of whole numbers", "at = [100, 1000, 10000]", table.faults());
        return None;
    };
    let numbers: Vec<Spanned<i64>> =
        array.iter().filter_map(|item| reader::as_integer("at", item, &(i64::MIN..i64::MAX), table.faults())).collect();
    if numbers.len() < array.len() {
        return None;
    }
    if array.is_empty() {
        let fault = Diagnostic::error("empty-list", value.span(), "`at` names no number, so the milestone would never fire");
        table.faults().push(fault.hinted("as in `at = [100, 1000, 10000]`"));
        return None;
    }
    if let Some(later) =
        numbers.windows(2).find_map(|pair| if let [a, b] = pair { (a.get_ref() >= b.get_ref()).then_some(b) } else { None })
    {
        let fault = Diagnostic::error("not-ascending", later.span(), "the numbers of `at` must ascend");
        table.faults().push(fault.labelled("not above the one before").hinted("sort them, and name each once"));
        return None;
    }
    Some(Boundaries::At(numbers.into_iter().map(Spanned::into_inner).collect()))
}

/// The keys of a message.
fn message(table: &mut Reader<'_, '_>) -> Message {
    let chat_id = chat_id(table);
    let text = table.required_text("text", "text = \"{{ current.title }}\"");
    let parse_mode = table.choice("parse_mode", &[("HTML", "HTML"), ("", "")]);
    Message {
        chat_id,
        text,
        parse_mode: parse_mode.unwrap_or_default(),
        thread_id: table.integer("message_thread_id", 0..i64::from(i32::MAX)).map_or(0, Spanned::into_inner),
        disable_notification: table.boolean("disable_notification"),
        disable_web_page_preview: table.boolean("disable_web_page_preview"),
        edit_in_place: table.boolean("edit_in_place"),
    }
}

const CHAT_EXAMPLE: &str = "chat_id = { env = \"TELEGRAM_CHAT_ID\" }";

fn chat_id(table: &mut Reader<'_, '_>) -> Option<Spanned<External>> {
    let Some((_, value)) = table.take("chat_id") else {
        table.missing("chat_id", "`chat_id`: the message has nowhere to go", CHAT_EXAMPLE);
        return None;
    };
    match value.get_ref() {
        DeValue::String(id) if id.trim().is_empty() => {
            let fault = Diagnostic::error("missing-key", value.span(), "`chat_id` is empty: the message has nowhere to go");
            table.faults().push(fault.hinted(format!("as in `{CHAT_EXAMPLE}`")));
            None
        }
        DeValue::String(id) => Some(spanned(value, External::literal(id))),
        DeValue::Integer(_) => {
            let id = reader::as_integer("chat_id", value, &(i64::MIN..i64::MAX), table.faults())?;
            Some(spanned(value, External::literal(&id.get_ref().to_string())))
        }
        DeValue::Table(_) => external("chat_id", value, table.faults()),
        _ => {
            reader::wrong_type("`chat_id`", value, "a string, a number or { env = \"NAME\" }", CHAT_EXAMPLE, table.faults());
            None
        }
    }
}

/// `{ env = "NAME" }` or `{ file = "path" }`.
pub(super) fn external(key: &str, value: &Value<'_>, faults: &mut Vec<Diagnostic>) -> Option<Spanned<External>> {
    let DeValue::Table(inner) = value.get_ref() else { return None };
    let mut table = Reader::new(format!("`{key}`"), value.span(), inner, faults);
    let env = table.text("env", "{ env = \"NAME\" }");
    let file = table.text("file", "{ file = \"path\" }");
    let origin = match (env, file) {
        (Some(name), None) => Some(Origin::Env(name.into_inner())),
        (None, Some(path)) => Some(Origin::File(path.into_inner().into())),
        (Some(_), Some(_)) => {
            table
                .faults()
                .push(Diagnostic::error("both-keys", value.span(), "`env` and `file` exclude each other").hinted("keep one of them"));
            None
        }
        (None, None) => {
            if inner.is_empty() {
                table.missing("env", "`env` and no `file`", "env = \"NAME\"` or `file = \"path\"");
            }
            None
        }
    };
    table.finish();
    Some(spanned(value, External::outside(origin?)))
}

/// `[sinks.NAME]`.
pub(super) fn sink(mut table: Reader<'_, '_>) -> Sink {
    let inputs = inputs(&mut table);
    let topic = topic(&mut table);
    let value = values::of_sink(&mut table);
    table.finish();
    Sink { inputs, topic, value }
}

/// `input = "a"` or `inputs = ["a", "b"]`.
fn inputs(table: &mut Reader<'_, '_>) -> Option<Vec<Text>> {
    let one = table.take("input");
    let many = table.take("inputs");
    let example = "inputs = [\"likes\", \"views\"]";
    match (one, many) {
        (Some((_, value)), None) => Some(vec![reader::as_text("`input`", value, "input = \"changes\"", table.faults())?]),
        (None, Some((_, value))) => {
            let names = table.texts("inputs", value, example)?;
            if names.is_empty() {
                let fault = Diagnostic::error("empty-list", value.span(), "`inputs` names no node, so nothing would ever be written");
                table.faults().push(fault.hinted(format!("as in `{example}`")));
            }
            Some(names)
        }
        (Some(_), Some((span, _))) => {
            let fault = Diagnostic::error("both-keys", span, "`input` and `inputs` exclude each other");
            table.faults().push(fault.labelled("leave this out, or `input`").hinted(format!("as in `{example}`")));
            None
        }
        (None, None) => {
            table.missing("input", "`input`", "input = \"name-of-a-node\"");
            None
        }
    }
}
