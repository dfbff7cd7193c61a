//! The compiled encoder.

use std::sync::Arc;

use super::{Row, Schema, Shape, Type};

/// A field of a schema that a row cannot fill.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field {field} ({wanted}) cannot be filled from {}", found_text(.path.as_deref(), .found.as_ref()))]
pub struct Misfit {
    /// The path of the schema's field.
    pub field: Arc<str>,
    /// The type that the schema wants.
    pub wanted: String,
    /// The path of the row's field; none where it has none for it.
    pub path: Option<Arc<str>>,
    /// That field's type.
    pub found: Option<Type>,
}

fn found_text(path: Option<&str>, found: Option<&Type>) -> String {
    match (path, found) {
        (Some(path), Some(found)) => format!("{path} ({found})"),
        _ => "the row: it has no such field, and the schema has no default".to_owned(),
    }
}

/// Why a row cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field {field}: {reason}")]
pub struct EncodeError {
    /// The path of the schema's field.
    pub field: Arc<str>,
    /// What is wrong with the value.
    pub reason: &'static str,
}

/// Writes rows of one shape as records of one schema.
#[derive(Clone, Debug)]
pub struct Encoder {}

impl Encoder {
    /// Compiles an encoder; or says which fields of the schema cannot be filled from the row.
    pub fn compile(schema: &Schema, shape: &Shape) -> Result<Self, Vec<Misfit>> {
        let _ = (schema, shape);
        Ok(Self {})
    }

    /// Appends the body of a row; `key` is the key of the record.
    pub fn encode(&self, row: &Row, key: Option<&[u8]>, into: &mut Vec<u8>) -> Result<(), EncodeError> {
        let _ = (row, key, into);
        Ok(())
    }
}
