//! Rows written as JSON objects.

use super::{EncodeError, Encoder, Row, Schema, to_json};
use crate::streams::processor::{Record, SerdeError, Serializer};

/// Writes what an [`Encoder`] would write in Avro as JSON: the same fields, in the order of their names. Takes the way through Avro, so that both
/// formats say the same; for topics that people and scripts read, not for the highest rates.
#[derive(Clone, Debug)]
pub struct JsonSerializer {
    schema: Schema,
    encoder: Encoder,
    body: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the row cannot be written")]
    Encode(#[source] EncodeError),
    #[error("the row has no form in JSON")]
    Form(#[source] super::DecodeError),
}

impl JsonSerializer {
    /// Writes records of this schema; `encoder` was compiled for it.
    pub fn new(schema: Schema, encoder: Encoder) -> Self {
        Self { schema, encoder, body: Vec::new() }
    }
}

impl Serializer<Row> for JsonSerializer {
    fn serialize(&mut self, value: &Row, record: &Record<'_, Row>, into: &mut Vec<u8>) -> Result<(), SerdeError> {
        let bad = |error: Error| SerdeError::Record(Box::new(error));
        self.body.clear();
        self.encoder.encode(value, record.key, &mut self.body).map_err(|error| bad(Error::Encode(error)))?;
        let json = to_json(&self.schema, &self.body).map_err(|error| bad(Error::Form(error)))?;
        into.extend_from_slice(json.to_string().as_bytes());
        Ok(())
    }
}
