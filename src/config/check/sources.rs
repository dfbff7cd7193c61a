//! Checks what a source says of the bytes in its topic: the schema of its values, the format of its keys, the names of its fields.

use std::ops::Range;
use std::sync::Arc;

use super::super::closest;
use super::super::diagnostics::Diagnostic;
use super::super::document::{Described, KeyWord, Named, SchemaRef, Source, Text};
use super::super::model::ValueFormat;
use super::super::registry::Subjects;
use super::super::schemas::Schemas;
use crate::avro::{Aliases, AvroKey, JsonDeserializer, KeyFormat, Schema, Shape};
use crate::streams::task::chain;

/// A source without faults.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    pub(super) format: ValueFormat,
    pub(super) schema_name: Arc<str>,
    pub(super) schema: Schema,
    pub(super) key: KeyFormat,
    pub(super) aliases: Aliases,
}

/// Checks one source; what is none could not be settled.
pub(super) fn check(
    source: &Named<Source>,
    schemas: &mut Schemas,
    subjects: &mut Subjects<'_>,
    faults: &mut Vec<Diagnostic>,
) -> Option<Checked> {
    let item = &source.item;
    let key = key(item, subjects, faults);
    let value = item.value.as_ref()?;
    let (schema_name, schema) = schemas.refer(value, item.topic.as_ref(), subjects, faults)?;
    let (schema, aliases) = aliases(source, value, schema, faults)?;
    Some(Checked { format: value.format, schema_name, schema, key: key?, aliases })
}

/// The format of the keys; the schema of Avro keys is asked of the registry.
fn key(source: &Source, subjects: &mut Subjects<'_>, faults: &mut Vec<Diagnostic>) -> Option<KeyFormat> {
    let Some(word) = &source.key else { return Some(KeyFormat::default()) };
    let KeyWord::Avro = word.get_ref() else {
        let KeyWord::Plain(format) = word.get_ref() else { return None };
        return Some(*format);
    };
    let subject = format!("{}-key", source.topic.as_ref()?.get_ref());
    let schema = subjects
        .latest(&subject, &word.span(), "say what the keys are, as in `key = \"long\"`")
        .map_err(|fault| faults.push(fault))
        .ok()?;
    match AvroKey::of(&schema) {
        Ok(key) => Some(KeyFormat::Avro(key)),
        Err(error) => {
            let fault = Diagnostic::error("bad-key", word.span(), format!("the keys of {subject} cannot be used: {error}"));
            faults.push(fault.labelled("no single value").hinted("`key = \"bytes\"` takes them as they are"));
            None
        }
    }
}

/// The names of fields in the topic. A schema of the registry has those names itself: there an alias renames the field, and none is returned where
/// it cannot: what is said of fields further down would only follow from it.
fn aliases(source: &Named<Source>, value: &Described, schema: Schema, faults: &mut Vec<Diagnostic>) -> Option<(Schema, Aliases)> {
    let mut aliases = Aliases::new();
    let mut seen: Vec<&Text> = Vec::new();
    let is_topics_own = matches!(value.schema, SchemaRef::Registry);
    for (name, in_topic) in &source.item.alias {
        if let Some(other) = seen.iter().find(|other| other.get_ref() == in_topic.get_ref()) {
            let other = other.get_ref();
            let fault = Diagnostic::error(
                "bad-alias",
                in_topic.span(),
                format!("two fields of `{}` are `{other}` in the topic", source.name.get_ref()),
            );
            faults.push(fault.labelled("second time").hinted("a field of the topic has one name in the topology"));
            continue;
        }
        seen.push(in_topic);
        let (known, renames) = if is_topics_own { (in_topic, Some(name)) } else { (name, None) };
        if let Some(fault) = unknown(source, known, &schema).or_else(|| renames.and_then(|to| cannot_rename(to, in_topic, &schema))) {
            faults.push(fault);
            continue;
        }
        aliases.insert(name.get_ref().clone(), in_topic.get_ref().clone());
    }
    if !is_topics_own || source.item.alias.is_empty() {
        return Some((schema, aliases));
    }
    if aliases.len() < source.item.alias.len() {
        return None;
    }
    match renamed(&schema, &aliases) {
        Ok(renamed) => Some((renamed, aliases)),
        Err(message) => {
            let span = source.item.alias.first().map_or_else(|| value.span.clone(), |(name, _)| name.span());
            faults.push(Diagnostic::error("bad-alias", span, message).hinted("letters, digits and `_`, no digit first"));
            None
        }
    }
}

/// A field that the schema does not have, or that holds no single value.
fn unknown(source: &Named<Source>, name: &Text, schema: &Schema) -> Option<Diagnostic> {
    let shape = schema.shape();
    if shape.index_of(name.get_ref()).is_some() {
        return None;
    }
    let path = name.get_ref();
    let fault = |message: String| Diagnostic::error("bad-alias", name.span(), format!("`alias` of `{}`: {message}", source.name.get_ref()));
    let parts: Vec<&str> =
        paths(shape).filter(|known| known.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with('.'))).collect();
    Some(match parts.as_slice() {
        [] => fault(format!("the schema has no field `{path}`"))
            .labelled("unknown field")
            .hinted(closest::hint(path, &paths(shape).collect::<Vec<_>>())),
        [first, ..] => {
            fault(format!("`{path}` is a group of fields")).labelled("a group").hinted(format!("name one of them, as in `{first}`"))
        }
    })
}

fn paths(shape: &Shape) -> impl Iterator<Item = &str> {
    shape.fields.iter().map(|field| &*field.path)
}

/// Why a field of a schema of the registry cannot have this name.
fn cannot_rename(to: &Text, from: &Text, schema: &Schema) -> Option<Diagnostic> {
    let fault = |span: Range<usize>, message: String| Diagnostic::error("bad-alias", span, message);
    if let Some(nested) = [to, from].into_iter().find(|text| text.get_ref().contains('.')) {
        let fault = fault(nested.span(), format!("`{}` has several parts", nested.get_ref()));
        return Some(fault.hinted("with a schema of the registry an alias names a field of the record itself: use the path as it is"));
    }
    let taken = schema.shape().index_of(to.get_ref()).is_some();
    taken.then(|| {
        let fault = fault(to.span(), format!("the topic has a field `{}` of its own", to.get_ref()));
        fault.labelled("taken").hinted("choose another name")
    })
}

/// The schema with the topology's names for some of its fields.
fn renamed(schema: &Schema, aliases: &Aliases) -> Result<Schema, String> {
    let mut json: serde_json::Value = serde_json::from_str(schema.text()).map_err(|error| error.to_string())?;
    let fields = json.get_mut("fields").and_then(serde_json::Value::as_array_mut);
    for field in fields.into_iter().flatten() {
        let name = field.get("name").and_then(serde_json::Value::as_str).unwrap_or_default();
        if let Some((to, _)) = aliases.iter().find(|(_, from)| *from == name)
            && let Some(place) = field.get_mut("name")
        {
            *place = to.as_str().into();
        }
    }
    Schema::parse(&json.to_string()).map_err(|error| format!("the names are no names of fields: {}", chain(&error)))
}

/// Checks the names again when it is known which fields are read: one field of the topic can be read only once.
pub(super) fn check_read(source: &Named<Source>, checked: &Checked, shape: &Shape, faults: &mut Vec<Diagnostic>) {
    for (name, in_topic) in &source.item.alias {
        let reads_both = shape.index_of(name.get_ref()).is_some()
            && shape.index_of(in_topic.get_ref()).is_some()
            && !checked.aliases.contains_key(in_topic.get_ref());
        if reads_both {
            let message = format!("`{}` and `{}` are both read from `{1}`", name.get_ref(), in_topic.get_ref());
            let fault = Diagnostic::error("bad-alias", in_topic.span(), message);
            faults.push(fault.labelled("read twice").hinted("give the other field an alias of its own, or do not use it"));
            return;
        }
    }
    if checked.format == ValueFormat::Json
        && let Err(error) = JsonDeserializer::new(&checked.schema, shape, &checked.aliases)
    {
        let span = source.item.value.as_ref().map_or_else(|| source.name.span(), |value| value.span.clone());
        let fault = Diagnostic::error("bad-schema", span, format!("JSON cannot be read with the schema {}: {error}", checked.schema_name));
        faults.push(fault.hinted("compare it with the aliases and with the defaults of the schema"));
    }
}
