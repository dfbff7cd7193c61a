//! Rows that have the key of their record, for nodes that read it without a store.

use super::KeyFormat;
use crate::avro::{Row, Value};
use crate::streams::log::RecordRef;
use crate::streams::processor::{Deserializer, SerdeError};

/// Fills a row with the fields of the value, and behind them the key; null where the record has none.
#[derive(Clone, Debug)]
pub struct KeyedDeserializer<D> {
    inner: D,
    format: KeyFormat,
}

impl<D> KeyedDeserializer<D> {
    /// `inner` fills all fields but the last.
    pub fn new(inner: D, format: KeyFormat) -> Self {
        Self { inner, format }
    }
}

impl<D: Deserializer<Row>> Deserializer<Row> for KeyedDeserializer<D> {
    fn deserialize(&mut self, bytes: &[u8], record: &RecordRef<'_>, into: &mut Row) -> Result<(), SerdeError> {
        // The inner one gives the row its own width: the key stands aside meanwhile, and keeps its buffer.
        let mut key = into.values.pop().unwrap_or_default();
        let filled = self.inner.deserialize(bytes, record, into);
        let read = if let Some(bytes) = record.key {
            self.format.read(bytes).map(|read| read.copy_to(&mut key))
        } else {
            key = Value::Null;
            Ok(())
        };
        into.values.push(key);
        filled?;
        read.map_err(|error| SerdeError::Record(Box::new(error)))
    }
}
