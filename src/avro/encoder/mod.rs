//! The compiled encoder: a schema and the shape of a row become a plan of steps, one per field.
//!
//! A field is filled from the row by name. `x` comes from the row's `x`; else `a_b_previous` from `previous.a.b` and `a_b_current` from `current.a.b`.
//! The attribute `"tidewatch": "key"` fills it from the record's key, `"tidewatch": "path"` from another field of the row. What is not in the row becomes
//! the schema's default, or null. A nullable record is null when all that the row has for it is null.

use std::fmt;
use std::sync::Arc;

use super::cursor::{put_bytes, put_long};
use super::{Key, KeyFormat, Row, Schema, Shape, Type, Value};

mod compile;
mod default;
#[cfg(test)]
mod tests;

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

impl Misfit {
    /// The first of those that [`Encoder::compile`] found; there is always one.
    pub fn first(misfits: Vec<Self>) -> Self {
        let none = || Self { field: Arc::from(""), wanted: String::new(), path: None, found: None };
        misfits.into_iter().next().unwrap_or_else(none)
    }
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

/// Writes rows of one shape as records of one schema. Cheap to clone.
#[derive(Clone)]
pub struct Encoder(Arc<Plan>);

/// How a value is written.
#[derive(Clone, Debug)]
enum Write {
    Boolean,
    Int,
    Long,
    /// A time in units of which this many are a millisecond.
    Scaled(u32),
    Float,
    Double,
    /// A string or bytes.
    Bytes,
    /// A string or bytes, as a string.
    Text,
    Fixed(usize),
    Symbol(Vec<String>),
    Strings,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug)]
enum From {
    Slot(usize),
    Key(KeyFormat),
}

#[derive(Clone, Debug)]
enum Step {
    /// A value; `null` is the branch for null where the type is a union that has one, `branch` that of the value where it is a union at all.
    Value { from: From, write: Write, null: Option<i64>, branch: Option<i64> },
    /// Defaults and nulls, encoded; neighbours are one step.
    Constant(Vec<u8>),
    /// A nullable record, written as the null branch when all these slots are null.
    Record { slots: Vec<usize>, null: i64, branch: i64, steps: Vec<(Arc<str>, Step)> },
    /// The branch of a union that has no null.
    Branch(i64),
}

struct Plan {
    steps: Vec<(Arc<str>, Step)>,
    defaulted: Vec<Arc<str>>,
}

impl Encoder {
    /// Compiles an encoder; or says which fields of the schema cannot be filled from the row.
    pub fn compile(schema: &Schema, shape: &Shape) -> Result<Self, Vec<Misfit>> {
        Self::compile_keyed(schema, shape, KeyFormat::default())
    }

    /// The same for records whose keys are not text: a number fills a field that is a number or a text.
    pub fn compile_keyed(schema: &Schema, shape: &Shape, key: KeyFormat) -> Result<Self, Vec<Misfit>> {
        compile::compile(schema, shape, key).map(|plan| Self(Arc::new(plan)))
    }

    /// The fields of the schema that the row does not have: they are written as their default or as null.
    pub fn defaulted(&self) -> &[Arc<str>] {
        &self.0.defaulted
    }

    /// Appends the body of a row; `key` is the key of the record. After an error `into` may hold a part of it.
    pub fn encode(&self, row: &Row, key: Option<&[u8]>, into: &mut Vec<u8>) -> Result<(), EncodeError> {
        encode(&self.0.steps, row, key, into)
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("fields", &self.0.steps.len()).finish_non_exhaustive()
    }
}

fn encode(steps: &[(Arc<str>, Step)], row: &Row, key: Option<&[u8]>, into: &mut Vec<u8>) -> Result<(), EncodeError> {
    for (field, step) in steps {
        let done = match step {
            Step::Value { from: From::Slot(slot), write, null, branch } => optional(row.get(*slot), write, *null, *branch, into),
            Step::Value { from: From::Key(format), write, null, branch } => match key {
                Some(key) => from_key(key, *format, write, *branch, into),
                None => null.map(|null| put_long(null, into)).ok_or("the record has no key"),
            },
            Step::Constant(bytes) => {
                into.extend_from_slice(bytes);
                Ok(())
            }
            Step::Record { slots, null, branch, steps } => {
                if slots.iter().all(|slot| row.get(*slot).is_null()) {
                    put_long(*null, into);
                } else {
                    put_long(*branch, into);
                    encode(steps, row, key, into)?;
                }
                Ok(())
            }
            Step::Branch(branch) => {
                put_long(*branch, into);
                Ok(())
            }
        };
        done.map_err(|reason| EncodeError { field: Arc::clone(field), reason })?;
    }
    Ok(())
}

const NULL: &str = "a null, where the schema allows none";

#[inline]
fn optional(value: &Value, write: &Write, null: Option<i64>, branch: Option<i64>, into: &mut Vec<u8>) -> Result<(), &'static str> {
    if value.is_null() {
        put_long(null.ok_or(NULL)?, into);
        return Ok(());
    }
    if let Some(branch) = branch {
        put_long(branch, into);
    }
    put(value, write, into)
}

fn from_key(key: &[u8], format: KeyFormat, write: &Write, branch: Option<i64>, into: &mut Vec<u8>) -> Result<(), &'static str> {
    let read = match (format, write) {
        // As bytes a text is taken as it is.
        (KeyFormat::String, Write::Bytes) => Key::Bytes(key),
        (KeyFormat::String, _) => format.read(key).map_err(|_| "the record's key is not UTF-8")?,
        _ => format.read(key).map_err(|_| "the record's key is not what its source declares")?,
    };
    if let Some(branch) = branch {
        put_long(branch, into);
    }
    match (read, write) {
        (Key::Text(text), _) => put_bytes(text.as_bytes(), into),
        (Key::Bytes(bytes), _) => put_bytes(bytes, into),
        (Key::Long(number), Write::Text) => put_bytes(number.to_string().as_bytes(), into),
        (Key::Long(number), write) => put(&Value::Long(number), write, into)?,
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "the schema asks for a float or a double")]
#[inline]
fn put(value: &Value, write: &Write, into: &mut Vec<u8>) -> Result<(), &'static str> {
    match (write, value) {
        (Write::Long, Value::Long(value)) => put_long(*value, into),
        (Write::Text | Write::Bytes, Value::String(value)) => put_bytes(value.as_bytes(), into),
        (Write::Boolean, Value::Boolean(value)) => into.push(u8::from(*value)),
        (Write::Int, Value::Long(value)) => {
            put_long(i32::try_from(*value).map_err(|_| "a number beyond the 32 bits of an int")?.into(), into);
        }
        (Write::Scaled(unit), Value::Long(value)) => {
            put_long(value.checked_mul(i64::from(*unit)).ok_or("a time beyond what the schema's unit can say")?, into);
        }
        (Write::Double, Value::Double(value)) => into.extend_from_slice(&value.to_le_bytes()),
        (Write::Double, Value::Long(value)) => into.extend_from_slice(&(*value as f64).to_le_bytes()),
        (Write::Float, Value::Double(value)) => into.extend_from_slice(&(*value as f32).to_le_bytes()),
        (Write::Float, Value::Long(value)) => into.extend_from_slice(&(*value as f32).to_le_bytes()),
        (Write::Bytes, Value::Bytes(value)) => put_bytes(value, into),
        (Write::Text, Value::Bytes(value)) => {
            put_bytes(std::str::from_utf8(value).map_err(|_| "bytes that are not UTF-8")?.as_bytes(), into);
        }
        (Write::Fixed(size), Value::Bytes(value)) if value.len() == *size => into.extend_from_slice(value),
        (Write::Fixed(_), Value::Bytes(_)) => return Err("bytes of another length than the schema's"),
        (Write::Symbol(symbols), Value::String(value)) => {
            let index = symbols.iter().position(|symbol| symbol == value).and_then(|index| i64::try_from(index).ok());
            put_long(index.ok_or("a text that is no symbol of the enum")?, into);
        }
        (Write::Strings, Value::Strings(values)) => put_strings(values.len(), values.iter().map(String::as_str), into),
        (Write::Strings, Value::Names(set)) => put_strings(set.iter().count(), set.iter(), into),
        _ => return Err("a value of another type than the row's shape says"),
    }
    Ok(())
}

fn put_strings<'a>(count: usize, items: impl Iterator<Item = &'a str>, into: &mut Vec<u8>) {
    if count > 0 {
        put_long(i64::try_from(count).unwrap_or(i64::MAX), into);
        items.for_each(|item| put_bytes(item.as_bytes(), into));
    }
    put_long(0, into);
}
