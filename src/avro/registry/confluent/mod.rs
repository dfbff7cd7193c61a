//! Stands in for the client of a Confluent schema registry until it is there: everything but its creation fails.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::{Registered, Registry, RegistryError};
use crate::avro::{Schema, SchemaId};

/// How a registry is reached.
#[derive(Clone, Debug)]
pub struct ConfluentOptions {
    /// Its address.
    pub url: String,
    /// The user, where it wants one.
    pub username: Option<SecretString>,
    /// The user's password.
    pub password: Option<SecretString>,
    /// A file of certificates to trust, in PEM.
    pub ca: Option<PathBuf>,
    /// How long a call may take.
    pub timeout: Duration,
}

/// A schema registry that speaks Confluent's REST API.
#[derive(Debug)]
pub struct ConfluentRegistry;

impl ConfluentRegistry {
    /// A client; nothing is sent yet.
    pub fn new(_: ConfluentOptions) -> Result<Self, RegistryError> {
        Ok(Self)
    }
}

fn absent<T>() -> Result<T, RegistryError> {
    Err(RegistryError::Unavailable { what: "not there yet".to_owned(), source: None })
}

impl Registry for ConfluentRegistry {
    fn register(&self, _: &str, _: &Schema) -> Result<SchemaId, RegistryError> {
        absent()
    }
    fn schema(&self, _: SchemaId) -> Result<Option<Arc<Schema>>, RegistryError> {
        absent()
    }
    fn latest(&self, _: &str) -> Result<Option<Registered>, RegistryError> {
        absent()
    }
    fn versions(&self, _: &str) -> Result<Vec<u32>, RegistryError> {
        absent()
    }
    fn compatible(&self, _: &str, _: &Schema) -> Result<(), RegistryError> {
        absent()
    }
}
