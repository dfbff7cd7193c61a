//! The registry of a configuration that names none: allowed where no value is Avro.

use std::sync::Arc;

use super::{Registered, Registry, RegistryError};
use crate::avro::{Schema, SchemaId};

/// No registry: it knows nothing and takes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRegistry;

fn none<T>() -> Result<T, RegistryError> {
    Err(RegistryError::Unavailable { what: "none is configured; `registry` of [kafka] or --registry names one".to_owned(), source: None })
}

impl Registry for NoRegistry {
    fn register(&self, _: &str, _: &Schema) -> Result<SchemaId, RegistryError> {
        none()
    }

    fn schema(&self, _: SchemaId) -> Result<Option<Arc<Schema>>, RegistryError> {
        none()
    }

    fn latest(&self, _: &str) -> Result<Option<Registered>, RegistryError> {
        none()
    }

    fn versions(&self, _: &str) -> Result<Vec<u32>, RegistryError> {
        none()
    }

    fn compatible(&self, _: &str, _: &Schema) -> Result<(), RegistryError> {
        none()
    }
}
