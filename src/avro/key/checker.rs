//! Looks at the keys of a source before anything is done with their records.

use std::sync::Arc;

use super::{AvroKey, KeyFormat, NotAKey, split};
use crate::avro::{Registry, RegistryError, SchemaId, SchemaKey};
use crate::streams::log::RecordRef;
use crate::streams::processor::{BoxError, KeyCheck, SerdeError};

/// Schemas of keys that are remembered.
const SCHEMAS_MAX: usize = 32;

/// Look-ups of an id that the registry does not know before its records are bad ones.
const LOOKUPS_MAX: u32 = 3;

/// The header with which newer clients name the schema of a key.
const KEY_SCHEMA_ID: &str = "__key_schema_id";

/// Refuses keys that are not what the source declares, so that what comes after it may rely on them.
#[derive(Debug)]
pub struct KeyChecker {
    format: KeyFormat,
    registry: Arc<dyn Registry>,
    /// What the last ids turned out to be.
    known: Vec<(SchemaId, Known)>,
    next: usize,
}

#[derive(Clone, Copy, Debug)]
enum Known {
    Fits,
    /// So many look-ups in vain.
    Unknown(u32),
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the schema registry knows no schema {0}, which the key names")]
    Unknown(SchemaId),
    #[error("the key was written with schema {id}, which is {found}; the source's keys are {wanted}")]
    Other { id: SchemaId, found: &'static str, wanted: &'static str },
    #[error("the key was written with schema {id}, which no key can have")]
    NotAKey {
        id: SchemaId,
        #[source]
        source: NotAKey,
    },
    #[error("the header {KEY_SCHEMA_ID} names the key's schema, which is not supported: have the producer put the id into the key")]
    Header,
}

fn bad(error: impl Into<BoxError>) -> SerdeError {
    SerdeError::Record(error.into())
}

impl KeyChecker {
    /// Keys of this format; `registry` knows the schemas of Avro keys.
    pub fn new(format: KeyFormat, registry: Arc<dyn Registry>) -> Self {
        Self { format, registry, known: Vec::new(), next: 0 }
    }

    /// Whether keys of this format have to be looked at before their records are processed: a text is looked at where it is used.
    pub fn is_needed(format: KeyFormat) -> bool {
        !matches!(format, KeyFormat::String | KeyFormat::Bytes)
    }

    /// Asks what the schema with this id is, once.
    fn look_up(&mut self, id: SchemaId, wanted: AvroKey) -> Result<(), SerdeError> {
        let place = self.known.iter().position(|(known, _)| *known == id);
        let tries = match place.and_then(|place| self.known.get(place)) {
            Some((_, Known::Fits)) => return Ok(()),
            Some((_, Known::Unknown(tries))) => *tries,
            None => 0,
        };
        match self.registry.resolve(SchemaKey::Id(id)) {
            Ok(Some(schema)) => match AvroKey::of(&schema) {
                Ok(found) if found.name() == wanted.name() || (found, wanted) == (AvroKey::Int, AvroKey::Long) => {
                    self.remember(place, id, Known::Fits);
                    Ok(())
                }
                Ok(found) => Err(bad(Error::Other { id, found: found.name(), wanted: wanted.name() })),
                Err(source) => Err(bad(Error::NotAKey { id, source })),
            },
            // An id that was just registered may not have reached this registry yet: only after some look-ups is the record a bad one.
            Ok(None) => {
                let tries = tries.saturating_add(1);
                self.remember(place, id, Known::Unknown(tries));
                let error = Box::new(Error::Unknown(id));
                Err(if tries < LOOKUPS_MAX { SerdeError::Unavailable(error) } else { SerdeError::Record(error) })
            }
            Err(error @ RegistryError::Unavailable { .. }) => Err(SerdeError::Unavailable(Box::new(error))),
            Err(error) => Err(bad(error)),
        }
    }

    fn remember(&mut self, place: Option<usize>, id: SchemaId, known: Known) {
        if place.is_none() && self.known.len() < SCHEMAS_MAX {
            self.known.push((id, known));
            return;
        }
        let place = place.unwrap_or_else(|| {
            self.next = (self.next + 1) % SCHEMAS_MAX;
            self.next
        });
        if let Some(entry) = self.known.get_mut(place) {
            *entry = (id, known);
        }
    }
}

impl KeyCheck for KeyChecker {
    fn check(&mut self, key: &[u8], record: &RecordRef<'_>) -> Result<(), SerdeError> {
        if let KeyFormat::Avro(wanted) = self.format {
            if !record.headers.is_empty() && record.headers.last(KEY_SCHEMA_ID).is_some() {
                return Err(bad(Error::Header));
            }
            let (id, _) = split(key).map_err(bad)?;
            self.look_up(SchemaId(id), wanted)?;
        }
        self.format.read(key).map(|_| ()).map_err(bad)
    }
}
