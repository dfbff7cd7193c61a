//! [`Decoder`] and [`Encoder`] behind the engine's traits.

use std::sync::Arc;

use super::wire::{self, SchemaId, SchemaKey};
use super::{Aliases, CompileError, Decoder, Encoder, Registry, RegistryError, Row, Schema, Shape};
use crate::streams::log::RecordRef;
use crate::streams::processor::{BoxError, Deserializer, Record, SerdeError, Serializer};

/// Writers whose decoders are remembered.
const DECODERS_MAX: usize = 32;

/// Look-ups of an id or a GUID that the registry does not know before its records are bad ones.
const LOOKUPS_MAX: u32 = 3;

/// Unknown ids and GUIDs whose look-ups are counted.
const UNKNOWN_MAX: usize = 64;

/// Reads values in the Confluent wire format into rows of one shape.
#[derive(Debug)]
pub struct AvroDeserializer {
    registry: Arc<dyn Registry>,
    reader: Schema,
    wanted: Shape,
    aliases: Aliases,
    decoders: Vec<(SchemaKey, Result<Decoder, Arc<CompileError>>)>,
    last: usize,
    next: usize,
    unknown: Vec<(SchemaKey, u32)>,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the schema registry knows no schema {0}")]
    Unknown(SchemaKey),
    #[error("schema {key} cannot be read with the source's schema")]
    Incompatible {
        key: SchemaKey,
        #[source]
        source: Arc<CompileError>,
    },
    #[error("a value of schema {key} cannot be decoded")]
    Decode {
        key: SchemaKey,
        #[source]
        source: super::DecodeError,
    },
}

impl AvroDeserializer {
    /// Rows will have the shape `wanted`, whose paths and types are those of `reader`; `aliases` as for [`Decoder::compile_with`].
    pub fn new(registry: Arc<dyn Registry>, reader: Schema, wanted: Shape, aliases: Aliases) -> Self {
        Self { registry, reader, wanted, aliases, decoders: Vec::new(), last: 0, next: 0, unknown: Vec::new() }
    }

    /// The place of the decoder for this schema, compiled where it is new.
    fn decoder(&mut self, key: SchemaKey) -> Result<usize, SerdeError> {
        if let Some(index) = self.decoders.iter().position(|(known, _)| *known == key) {
            return Ok(index);
        }
        let writer = match self.registry.resolve(key) {
            Ok(Some(writer)) => writer,
            Ok(None) => return Err(self.unknown(key, Box::new(Error::Unknown(key)))),
            Err(error @ RegistryError::NoGuids { .. }) => return Err(self.unknown(key, Box::new(error))),
            Err(error @ RegistryError::Unavailable { .. }) => return Err(SerdeError::Unavailable(Box::new(error))),
            Err(error) => return Err(SerdeError::Record(Box::new(error))),
        };
        self.unknown.retain(|(unknown, _)| *unknown != key);
        let decoder = Decoder::compile_with(&writer, &self.reader, &self.wanted, &self.aliases).map_err(Arc::new);
        if self.decoders.len() < DECODERS_MAX {
            self.decoders.push((key, decoder));
            return Ok(self.decoders.len() - 1);
        }
        let place = self.next % DECODERS_MAX;
        self.next = place + 1;
        if let Some(entry) = self.decoders.get_mut(place) {
            *entry = (key, decoder);
        }
        Ok(place)
    }

    /// A schema that was just registered may not have reached this registry yet: only after some look-ups is the record a bad one.
    fn unknown(&mut self, key: SchemaKey, error: BoxError) -> SerdeError {
        if let Some((_, lookups)) = self.unknown.iter_mut().find(|(unknown, _)| *unknown == key) {
            *lookups = lookups.saturating_add(1);
            return if *lookups < LOOKUPS_MAX { SerdeError::Unavailable(error) } else { SerdeError::Record(error) };
        }
        if self.unknown.len() >= UNKNOWN_MAX {
            self.unknown.remove(0);
        }
        self.unknown.push((key, 1));
        SerdeError::Unavailable(error)
    }
}

impl Deserializer<Row> for AvroDeserializer {
    fn deserialize(&mut self, bytes: &[u8], record: &RecordRef<'_>, into: &mut Row) -> Result<(), SerdeError> {
        let (key, body) = wire::split(bytes, record.headers).map_err(|error| SerdeError::Record(Box::new(error)))?;
        if self.decoders.get(self.last).is_none_or(|(known, _)| *known != key) {
            self.last = self.decoder(key)?;
        }
        let Some((_, decoder)) = self.decoders.get(self.last) else { return Err(SerdeError::Record(Box::new(Error::Unknown(key)))) };
        match decoder {
            Ok(decoder) => decoder.decode(body, into).map_err(|source| SerdeError::Record(Box::new(Error::Decode { key, source }))),
            Err(source) => Err(SerdeError::Record(Box::new(Error::Incompatible { key, source: Arc::clone(source) }))),
        }
    }
}

/// Writes rows in the Confluent wire format.
#[derive(Clone, Debug)]
pub struct AvroSerializer {
    id: SchemaId,
    encoder: Encoder,
}

impl AvroSerializer {
    /// Writes with this encoder, whose schema has this id (see [`Registry::register`]).
    pub fn new(id: SchemaId, encoder: Encoder) -> Self {
        Self { id, encoder }
    }
}

impl Serializer<Row> for AvroSerializer {
    fn serialize(&mut self, value: &Row, record: &Record<'_, Row>, into: &mut Vec<u8>) -> Result<(), SerdeError> {
        wire::prefix(self.id, into);
        self.encoder.encode(value, record.key, into).map_err(|error| SerdeError::Record(Box::new(error)))
    }
}
