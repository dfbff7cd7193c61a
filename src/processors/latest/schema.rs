//! The schema of the events of a `latest` node, for a sink that names none.
//!
//! Flat, since that is what others can read without ado: the key, `<field>_previous` and `<field>_current` of each watched field, what changed, the
//! times. Paths lose their dots: `order.price` becomes `order_price_previous`. The text depends on nothing but the watched fields and the topic, so
//! registering it again gives the same id. Every field that comes with `watch` has a default, so that a longer list is compatible.

use serde_json::{Value as Json, json};

use crate::avro::{self, Schema, Shape, Type};

/// Why no schema can be derived.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeriveError {
    /// Two fields of an event would have the same name.
    #[error("`{first}` and `{second}` would both be written as `{name}`")]
    Collision {
        /// The name.
        name: String,
        /// The path of the first.
        first: String,
        /// The path of the second.
        second: String,
    },
    /// The names are no names in Avro.
    #[error("the fields make no Avro schema")]
    Invalid(#[source] avro::Error),
}

/// The schema for the events of this shape in `topic`.
pub fn derived_schema(topic: &str, events: &Shape) -> Result<Schema, DeriveError> {
    let mut fields: Vec<Json> = Vec::new();
    let mut names: Vec<(String, &str)> = Vec::new();
    for field in &events.fields {
        let name = flat_name(&field.path);
        if let Some((_, first)) = names.iter().find(|(known, _)| *known == name) {
            return Err(DeriveError::Collision { name, first: (*first).to_owned(), second: field.path.to_string() });
        }
        fields.push(described(&name, &field.path, &field.ty));
        names.push((name, &field.path));
    }
    let schema = json!({
        "type": "record",
        "name": record_name(topic),
        "namespace": "tidewatch",
        "doc": "A change of at least one watched field. Each has its previous and its current value; what did not change now has the same value in both.",
        "fields": fields,
    });
    Schema::parse(&schema.to_string()).map_err(DeriveError::Invalid)
}

/// `previous.order.price` as `order_price_previous`.
fn flat_name(path: &str) -> String {
    // Beside the flat names of fields `reason` alone would not say of what.
    if path == "reason" {
        return "removed_reason".to_owned();
    }
    let sides = [("previous.", "_previous"), ("current.", "_current")];
    let side = sides.iter().find_map(|(prefix, suffix)| Some(format!("{}{suffix}", path.strip_prefix(prefix)?)));
    side.unwrap_or_else(|| path.to_owned()).replace('.', "_")
}

fn described(name: &str, path: &str, ty: &Type) -> Json {
    let optional = |doc: String| json!({ "name": name, "type": ["null", avro_type(ty)], "default": null, "doc": doc });
    match (path, path.split_once('.')) {
        ("key", _) => json!({ "name": name, "type": avro_type(ty), "tidewatch": "key", "doc": "The record's key." }),
        ("changed", _) => json!({ "name": name, "type": avro_type(ty), "default": [], "doc": "The names of the fields that changed now." }),
        ("removed", _) => json!({ "name": name, "type": "boolean", "default": false, "doc": "Whether the key is gone." }),
        ("reason", _) => json!({
            "name": name, "type": ["null", "string"], "default": null, "tidewatch": path,
            "doc": "Why the key is gone, where that was said; null otherwise.",
        }),
        ("previous.observed_at", _) => optional("When the key was observed before; null at first sight.".to_owned()),
        ("current.observed_at", _) => json!({ "name": name, "type": avro_type(ty), "doc": "When this was observed." }),
        (_, Some(("previous", field))) => optional(format!("`{field}` before; null where it was not known.")),
        (_, Some((_, field))) => optional(format!("`{field}` now.")),
        _ => optional(format!("`{path}`.")),
    }
}

fn avro_type(ty: &Type) -> Json {
    match ty {
        Type::Boolean => json!("boolean"),
        Type::Long => json!("long"),
        Type::Timestamp => json!({ "type": "long", "logicalType": "timestamp-millis" }),
        Type::Double => json!("double"),
        Type::String => json!("string"),
        Type::Bytes => json!("bytes"),
        Type::Strings | Type::Names(_) => json!({ "type": "array", "items": "string" }),
    }
}

/// A topic's name as that of a record: letters, digits and `_`, no digit first.
fn record_name(topic: &str) -> String {
    let name: String = topic.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}
