//! From the text of a template to what renders it.

use std::ops::Range;
use std::sync::Arc;

use minijinja::ErrorKind;

use crate::avro::{Shape, Type};
use crate::processors::condition::fields_hint;
use crate::processors::fault::{Fault, meant};

use super::engine::{Engine, environment};
use super::scan::{self, TagKind};
use super::{Body, Escape, Kind, Segment, Template, Used};

/// Longest text of a template, in bytes.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Longest tag, in bytes, and the most tags: what is within one tag, or one statement in another, takes stack of the one who reads it.
const TAG_BYTES_MAX: usize = 2 * 1024;
const TAGS_MAX: usize = 500;

/// What minijinja reads as something else than a variable.
const WORDS: [&str; 16] =
    ["true", "True", "false", "False", "none", "None", "not", "and", "or", "in", "is", "if", "else", "self", "loop", "import"];

pub(super) fn compile(text: &str, shape: &Shape, escape: Escape) -> Result<Template, Vec<Fault>> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(vec![Fault::new(0..text.len(), format!("the template is longer than {TEXT_BYTES_MAX} bytes"))]);
    }
    let tags = scan::tags(text);
    if let Some(tag) = tags.iter().find(|tag| tag.kind != TagKind::Comment && tag.inner.len() > TAG_BYTES_MAX) {
        return Err(vec![Fault::new(tag.outer.clone(), format!("a tag is longer than {TAG_BYTES_MAX} bytes"))]);
    }
    if let Some(tag) = tags.get(TAGS_MAX) {
        return Err(vec![Fault::new(tag.outer.clone(), format!("the template has more than {TAGS_MAX} tags"))]);
    }
    let mut engine = match Engine::new(text, escape) {
        Ok(engine) => engine,
        Err(error) => return Err(vec![syntax_fault(text, escape, &error)]),
    };
    let variables = engine.variables().map_err(|error| vec![syntax_fault(text, escape, &error)])?;
    let mut faults = unknown_filters_and_tests(text, &engine);
    let used = check_variables(text, shape, &variables, &engine, &mut faults);
    if !faults.is_empty() {
        faults.sort_by_key(|fault| (fault.span.start, fault.span.end));
        return Err(faults);
    }
    let mut fields: Vec<_> = used.iter().map(|field| field.index).collect();
    fields.sort_unstable();
    fields.dedup();
    let body = if let Some(segments) = segments(text, shape) {
        Body::Segments(segments)
    } else {
        engine.provide(&used);
        Body::Engine(Box::new(engine))
    };
    Ok(Template { body, fields, escape })
}

/// The fields that the template uses; what is unknown becomes a fault at each place where it stands.
fn check_variables(text: &str, shape: &Shape, variables: &[String], engine: &Engine, faults: &mut Vec<Fault>) -> Vec<Used> {
    let names = scan::names(text);
    let mut used = Vec::new();
    for variable in variables {
        if let Some(index) = shape.index_of(variable)
            && let Some(field) = shape.fields.get(index)
        {
            let kind = if field.ty == Type::Timestamp { Kind::Timestamp } else { Kind::Plain };
            used.push(Used { path: Arc::clone(&field.path), index, kind });
            continue;
        }
        if engine.environment().globals().any(|(name, _)| name == variable) {
            continue;
        }
        let places = names.iter().filter(|name| !name.filter && !name.test && name.path == *variable);
        let before = faults.len();
        faults.extend(places.map(|name| unknown_variable(name.span.clone(), variable, shape)));
        if faults.len() == before {
            faults.push(unknown_variable(0..text.len(), variable, shape));
        }
    }
    used
}

fn unknown_variable(span: Range<usize>, variable: &str, shape: &Shape) -> Fault {
    let prefix = format!("{variable}.");
    let part = shape.fields.iter().find(|field| field.path.starts_with(&prefix));
    if let Some(part) = part {
        return Fault::new(span, format!("`{variable}` is a group of fields")).hint(format!("name one of them, such as `{}`", part.path));
    }
    if let Some((owner, _)) = variable.rsplit_once('.')
        && let Some(field) = shape.field(owner)
    {
        let hint = format!("`{owner}` is a {}", crate::processors::type_name(&field.ty));
        return Fault::new(span, format!("`{owner}` has no parts")).hint(hint);
    }
    let hint = meant(variable, shape.fields.iter().map(|field| &*field.path)).or_else(|| fields_hint(shape));
    Fault::new(span, format!("unknown field `{variable}`")).maybe_hint(hint)
}

fn unknown_filters_and_tests(text: &str, engine: &Engine) -> Vec<Fault> {
    let mut state = engine.environment().empty_state();
    let mut faults = Vec::new();
    for name in scan::names(text) {
        let unknown = if name.filter {
            state.apply_filter(&name.path, &[]).is_err_and(|error| error.kind() == ErrorKind::UnknownFilter).then_some("filter")
        } else if name.test {
            state.perform_test(&name.path, &[]).is_err_and(|error| error.kind() == ErrorKind::UnknownTest).then_some("test")
        } else {
            None
        };
        if let Some(what) = unknown {
            let hint = (what == "filter").then(|| meant(&name.path, FILTERS)).flatten();
            faults.push(Fault::new(name.span, format!("unknown {what} `{}`", name.path)).maybe_hint(hint));
        }
    }
    faults
}

/// The filters that people reach for, to guess from.
const FILTERS: [&str; 14] =
    ["abs", "default", "escape", "first", "float", "int", "join", "last", "length", "lower", "replace", "round", "trim", "upper"];

/// A syntax error at the tag that causes it, as far as that can be told.
fn syntax_fault(text: &str, escape: Escape, error: &minijinja::Error) -> Fault {
    let message = match error.detail() {
        Some(detail) => format!("template: {detail}"),
        None => format!("template: {}", error.kind()),
    };
    let probe = environment(escape);
    let tags = scan::tags(text);
    let bad_tag = tags.iter().find(|tag| {
        !tag.closed
            || (tag.kind == TagKind::Expression
                && text.get(tag.inner.clone()).is_some_and(|inner| probe.compile_expression(trimmed(inner)).is_err()))
    });
    if let Some(tag) = bad_tag {
        let fault = Fault::new(tag.outer.clone(), message);
        return if tag.closed { fault } else { fault.hint("close it: `{{ ... }}`, `{% ... %}`, `{# ... #}`") };
    }
    let line_index = error.line().unwrap_or(1).saturating_sub(1);
    let start: usize = text.split_inclusive('\n').take(line_index).map(str::len).sum();
    let end = start + text.get(start..).unwrap_or_default().lines().next().unwrap_or_default().len();
    let on_line = tags.iter().rfind(|tag| tag.kind == TagKind::Statement && tag.outer.start >= start && tag.outer.start < end);
    Fault::new(on_line.map_or(start..end, |tag| tag.outer.clone()), message)
}

/// An expression without the signs that control white space.
fn trimmed(inner: &str) -> &str {
    inner.trim_start_matches(['-', '+']).trim_end_matches(['-', '+'])
}

/// The template as text and plain fields; none where it has anything else.
pub(super) fn segments(text: &str, shape: &Shape) -> Option<Vec<Segment>> {
    // minijinja drops one line end at the end of the text.
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    let mut segments = Vec::new();
    let mut at = 0;
    for tag in scan::tags(text) {
        if tag.kind != TagKind::Expression || !tag.closed {
            return None;
        }
        let path = text.get(tag.inner)?.trim();
        let plain = path.split('.').all(|part| {
            part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        });
        if !plain || path.split('.').next().is_some_and(|first| WORDS.contains(&first)) {
            return None;
        }
        let index = shape.index_of(path)?;
        let kind = if shape.fields.get(index)?.ty == Type::Timestamp { Kind::Timestamp } else { Kind::Plain };
        push_text(&mut segments, text.get(at..tag.outer.start)?);
        segments.push(Segment::Field(index, kind));
        at = tag.outer.end;
    }
    push_text(&mut segments, text.get(at..)?);
    Some(segments)
}

fn push_text(segments: &mut Vec<Segment>, text: &str) {
    if !text.is_empty() {
        segments.push(Segment::Text(text.into()));
    }
}
