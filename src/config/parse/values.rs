//! Reads what sources and sinks say of the bytes in their topics: `value`, `key` and `alias`.

use toml::Spanned;
use toml::de::DeValue;

use super::super::diagnostics::Diagnostic;
use super::super::document::{Described, KeyWord, SchemaRef, Text};
use super::super::model::ValueFormat;
use super::reader::{self, Reader, Value};
use crate::avro::KeyFormat;

const FORMATS: [(&str, ValueFormat); 2] = [("avro", ValueFormat::Avro), ("json", ValueFormat::Json)];

const KEYS: [(&str, KeyWord); 5] = [
    ("string", KeyWord::Plain(KeyFormat::String)),
    ("long", KeyWord::Plain(KeyFormat::Long)),
    ("int", KeyWord::Plain(KeyFormat::Int)),
    ("bytes", KeyWord::Plain(KeyFormat::Bytes)),
    ("avro", KeyWord::Avro),
];

const SOURCE_EXAMPLE: &str = "value = \"youtube_video\"` or `value = { format = \"json\", schema = \"orders.avsc\" }";
const SINK_EXAMPLE: &str = "value = \"youtube_change\"";
const SCHEMA_EXAMPLE: &str = "schema = \"orders.avsc\"` or `schema = \"registry\"";
const ALIAS_EXAMPLE: &str = "alias = { title = \"TITLE\" }";

/// `value` of a source, which must have one.
pub(super) fn of_source(table: &mut Reader<'_, '_>) -> Option<Described> {
    let value = table.require("value", SOURCE_EXAMPLE)?;
    described(value, SOURCE_EXAMPLE, false, table.faults())
}

/// `value` of a sink; without one its schema is made of what comes in.
pub(super) fn of_sink(table: &mut Reader<'_, '_>) -> Option<Described> {
    match table.take("value") {
        Some((_, value)) => described(value, SINK_EXAMPLE, true, table.faults()),
        None => Some(Described { format: ValueFormat::Avro, schema: SchemaRef::Derived, span: table.span() }),
    }
}

/// `"name"`, or `{ format = …, schema = … }`, of which a sink may leave out the schema.
fn described(value: &Value<'_>, example: &str, derivable: bool, faults: &mut Vec<Diagnostic>) -> Option<Described> {
    let span = value.span();
    let inner = match value.get_ref() {
        DeValue::String(name) => {
            let name = Spanned::new(value.span(), name.clone().into_owned());
            return Some(Described { format: ValueFormat::Avro, schema: SchemaRef::Named(name), span });
        }
        DeValue::Table(inner) => inner,
        _ => {
            reader::wrong_type("`value`", value, "the name of a schema, or a table", example, faults);
            return None;
        }
    };
    let mut table = Reader::new("`value`", span.clone(), inner, faults);
    if !table.has("format") {
        table.missing("format", "`format`", "format = \"avro\"` or `format = \"json\"");
    }
    let format = table.choice("format", &FORMATS);
    let schema = if derivable && !table.has("schema") {
        // Known, should the key be misspelt.
        table.take("schema");
        Some(SchemaRef::Derived)
    } else {
        table.required_text("schema", SCHEMA_EXAMPLE).map(schema_ref)
    };
    table.finish();
    Some(Described { format: format?, schema: schema?, span })
}

fn schema_ref(text: Text) -> SchemaRef {
    let name = text.get_ref().as_str();
    if name == "registry" {
        SchemaRef::Registry
    } else if std::path::Path::new(name).extension().is_some_and(|extension| extension == "avsc") {
        SchemaRef::File(text)
    } else {
        SchemaRef::Named(text)
    }
}

/// `key`.
pub(super) fn key(table: &mut Reader<'_, '_>) -> Option<Spanned<KeyWord>> {
    table.spanned_choice("key", &KEYS)
}

/// `alias`: names in the topology and in the topic.
pub(super) fn alias(table: &mut Reader<'_, '_>) -> Vec<(Text, Text)> {
    let Some((span, value)) = table.take("alias") else { return Vec::new() };
    let DeValue::Table(inner) = value.get_ref() else {
        reader::wrong_type("`alias`", value, "a table", ALIAS_EXAMPLE, table.faults());
        return Vec::new();
    };
    let mut names = Reader::new("`alias`", span, inner, table.faults());
    let entries = names.all();
    let texts = entries.into_iter().filter_map(|(name, value)| {
        let text = reader::as_text(&format!("`{}`", name.get_ref()), value, ALIAS_EXAMPLE, names.faults())?;
        Some((name, text))
    });
    texts.collect()
}
