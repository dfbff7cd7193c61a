//! The compiled decoder: a writer's schema becomes a plan of steps that reads the wanted fields and passes over all others.
//!
//! The plan follows Avro's schema resolution, with one liberty: the names of records, enums and fixed types need not agree, for a topic of somebody
//! else's has its own. What is passed over is not looked at closely: only its lengths count.

use std::fmt;
use std::sync::Arc;

use super::cursor::Cursor;
use super::{Row, Schema, Shape, Value};

mod compile;
mod default;
mod error;
mod plan;
mod resolve;
#[cfg(test)]
mod tests;

pub use error::{CompileError, DecodeError, Reason};
use plan::Plan;

pub(crate) use default::{at as default_at, bytes as json_bytes, bytes_of as json_bytes_of};
pub(crate) use resolve::{describe, units_per_millisecond};

/// Where a wanted field is found in the writer's schema when it has another name there: wanted path to writer's path.
pub type Aliases = std::collections::BTreeMap<String, String>;

/// Decodes the bodies that one writer's schema wrote into rows of one shape. Cheap to clone.
#[derive(Clone)]
pub struct Decoder(Arc<Plan>);

impl Decoder {
    /// Compiles a decoder of the `wanted` fields, whose paths and types are those of the reader's schema.
    pub fn compile(writer: &Schema, reader: &Schema, wanted: &Shape) -> Result<Self, CompileError> {
        Self::compile_with(writer, reader, wanted, &Aliases::new())
    }

    /// As [`compile`](Self::compile), for a writer that has other names for some fields. A field that it does not have under the other name is looked
    /// for under its own.
    pub fn compile_with(writer: &Schema, reader: &Schema, wanted: &Shape, aliases: &Aliases) -> Result<Self, CompileError> {
        compile::compile(writer, reader, wanted, aliases).map(|plan| Self(Arc::new(plan)))
    }

    /// Fills `into` with the wanted fields of a body. After an error the row holds anything.
    pub fn decode(&self, body: &[u8], into: &mut Row) -> Result<(), DecodeError> {
        if into.values.len() != self.0.width {
            into.values.resize(self.0.width, Value::Null);
        }
        let mut cursor = Cursor::new(body);
        self.0.decode(&mut cursor, &mut into.values).map_err(|fault| {
            let (path, reason) = *fault;
            DecodeError { path, at: body.len() - cursor.left(), reason }
        })
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("width", &self.0.width).finish_non_exhaustive()
    }
}
