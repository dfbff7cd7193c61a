//! JSON values read into rows, with an Avro schema as the description of their fields.
//!
//! - A value is one JSON object. Fields that nobody wants are passed over, whatever they hold.
//! - A field that is missing takes the schema's default; without one the record is a bad one. A null is taken where the schema has null.
//! - Whole numbers are checked against int and long; `3.0` is 3, `3.5` is not a whole number. A number that fits is a float or a double.
//! - Times are numbers in the unit of the schema, or RFC 3339 text. Bytes are texts of code points below 256, as Avro's own JSON has them.
//! - An alias is a field's name in the topic instead of the schema's, not beside it: JSON does not say which names its writer knows.

use std::fmt;
use std::sync::Arc;

use super::{Aliases, CompileError, Row, Schema, Shape, Value};
use crate::streams::log::RecordRef;
use crate::streams::processor::{Deserializer, SerdeError};

mod compile;
mod error;
mod read;
mod scalar;
#[cfg(test)]
mod tests;

pub use error::{Found, JsonError};

/// Reads JSON values into rows of one shape.
#[derive(Clone)]
pub struct JsonDeserializer {
    plan: Arc<compile::Plan>,
    /// Per field of the plan the number of the last value that had it.
    seen: Vec<u64>,
    values: u64,
}

impl JsonDeserializer {
    /// Rows will have the shape `wanted`, whose paths and types are those of `schema`; `aliases` are the names of fields in the topic.
    pub fn new(schema: &Schema, wanted: &Shape, aliases: &Aliases) -> Result<Self, CompileError> {
        let plan = compile::compile(schema, wanted, aliases)?;
        Ok(Self { seen: vec![0; plan.fields], plan: Arc::new(plan), values: 0 })
    }

    /// Fills `into` with the wanted fields of a value. After an error the row holds anything.
    pub fn read(&mut self, value: &[u8], into: &mut Row) -> Result<(), JsonError> {
        if into.values.len() != self.plan.width {
            into.values.resize(self.plan.width, Value::Null);
        }
        self.values += 1;
        read::read(&self.plan, value, &mut into.values, (&mut self.seen, self.values))
    }
}

impl fmt::Debug for JsonDeserializer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonDeserializer").field("width", &self.plan.width).finish_non_exhaustive()
    }
}

impl Deserializer<Row> for JsonDeserializer {
    fn deserialize(&mut self, bytes: &[u8], _: &RecordRef<'_>, into: &mut Row) -> Result<(), SerdeError> {
        self.read(bytes, into).map_err(|error| SerdeError::Record(Box::new(error)))
    }
}
