//! Avro: schemas, the compiled decoder and encoder of the hot path, the Confluent wire format and the schema registry.
//!
//! A [`Decoder`] is compiled once per writer's schema and fills a [`Row`]; an [`Encoder`] writes one. [`AvroDeserializer`] and [`AvroSerializer`] put
//! them behind the engine's traits, with schema ids resolved by a [`Registry`].

#[cfg(test)]
mod arbitrary;
mod compatibility;
mod cursor;
mod decoder;
mod encoder;
mod expansion;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod integers;
mod json;
mod json_reader;
mod json_writer;
mod key;
mod registry;
mod row;
mod schema;
mod serdes;
mod shipped;
mod text;
pub mod wire;

pub use compatibility::{Incompatible, check_readable};
pub use decoder::{Aliases, CompileError, DecodeError, Decoder, Reason};
pub use encoder::{EncodeError, Encoder, Misfit};
pub use json::{row_to_json, to_json};
pub use json_reader::{Found, JsonDeserializer, JsonError};
pub use json_writer::JsonSerializer;
pub use key::{AvroKey, Key, KeyChecker, KeyError, KeyFormat, KeyedDeserializer, NotAKey};
pub use registry::{ConfluentOptions, ConfluentRegistry, EmbeddedRegistry, NoRegistry, Registered, Registry, RegistryError};
pub use row::{Field, NameSet, Row, Shape, Type, Value};
pub use schema::{Error, Schema, Unsupported};
pub use serdes::{AvroDeserializer, AvroSerializer};
pub use shipped::{SHIPPED, shipped};
pub use wire::{Guid, SchemaId, SchemaKey};
