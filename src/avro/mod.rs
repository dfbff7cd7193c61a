//! Avro: schemas, the compiled decoder and encoder of the hot path, the Confluent wire format and the schema registry.

mod row;

pub use row::{Field, NameSet, Row, Shape, Type, Value};
