//! The schema registry: one interface, whether it is embedded or the Confluent one.

use std::fmt::Debug;
use std::sync::Arc;

use super::wire::{Guid, SchemaId, SchemaKey};
use super::{Incompatible, Schema};

mod absent;
mod confluent;
mod embedded;
#[cfg(test)]
mod fake;
mod state;
#[cfg(test)]
mod tests;

pub use absent::NoRegistry;
pub use confluent::{ConfluentOptions, ConfluentRegistry};
pub use embedded::EmbeddedRegistry;

/// Why a registry did not do what it was asked, sorted by what the caller must do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// It is out of reach: the same call may succeed later.
    #[error("the schema registry is unavailable: {what}")]
    Unavailable {
        /// What was being done.
        what: String,
        /// The cause.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// It knows no such subject.
    #[error("the schema registry knows no subject {0}")]
    NotFound(String),
    /// The schema cannot read what was written with the subject's latest one.
    #[error("the schema cannot read version {version} of {subject}")]
    Incompatible {
        /// The subject.
        subject: String,
        /// Its latest version.
        version: u32,
        /// Where the two differ.
        #[source]
        source: Incompatible,
    },
    /// Its own rule for the subject, of which it tells only the outcome, refuses the schema.
    #[error("the schema registry refuses the schema for {subject} as incompatible: {reason}")]
    Conflict {
        /// The subject.
        subject: String,
        /// What it says.
        reason: String,
    },
    /// It does not do what it was asked for, and will not.
    #[error("the schema registry refuses {what}: {reason}")]
    Refused {
        /// What was asked for.
        what: String,
        /// What it says.
        reason: String,
    },
    /// A schema that is valid but cannot be used here.
    #[error("{what} cannot be used: {reason}")]
    Unsupported {
        /// Which schema.
        what: String,
        /// Why, and what to do.
        reason: String,
    },
    /// It finds schemas by their ids only.
    #[error("the schema registry at {url} finds no schema by a GUID: that of Confluent Platform 8 and later does")]
    NoGuids {
        /// Where it is.
        url: String,
    },
    /// It cannot be used with these settings.
    #[error("the settings of the schema registry are wrong: {reason}")]
    Settings {
        /// What is wrong, and what to do.
        reason: String,
        /// The cause.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// What it holds or was given is no schema.
    #[error("{what} is not a valid schema")]
    Invalid {
        /// Which schema.
        what: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A version of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The id of the schema.
    pub id: SchemaId,
    /// Its number in the subject, from 1.
    pub version: u32,
    /// The schema.
    pub schema: Arc<Schema>,
}

/// Resolves schema ids and GUIDs and takes new schemas. Not for the hot path: its callers remember what it said.
pub trait Registry: Debug + Send + Sync {
    /// The id of `schema` under `subject`; a new version where the subject does not have it yet and it can read what the latest version wrote.
    fn register(&self, subject: &str, schema: &Schema) -> Result<SchemaId, RegistryError>;
    /// The schema with this id; none where no such id was ever given out.
    fn schema(&self, id: SchemaId) -> Result<Option<Arc<Schema>>, RegistryError>;
    /// The schema with this GUID; none where it is not known.
    fn schema_by_guid(&self, guid: Guid) -> Result<Option<Arc<Schema>>, RegistryError>;

    /// The schema that a record names.
    fn lookup(&self, key: SchemaKey) -> Result<Option<Arc<Schema>>, RegistryError> {
        match key {
            SchemaKey::Id(id) => self.schema(id),
            SchemaKey::Guid(guid) => self.schema_by_guid(guid),
        }
    }

    /// The same for a stream thread, which must not stand still: a registry that answers slowly answers [`RegistryError::Unavailable`] here and goes
    /// on with the look-up. Each answer "none" is of another look-up.
    fn resolve(&self, key: SchemaKey) -> Result<Option<Arc<Schema>>, RegistryError> {
        self.lookup(key)
    }

    /// The latest version of a subject; none where there is no such subject.
    fn latest(&self, subject: &str) -> Result<Option<Registered>, RegistryError>;
    /// The versions of a subject, ascending; [`RegistryError::NotFound`] where there is no such subject.
    fn versions(&self, subject: &str) -> Result<Vec<u32>, RegistryError>;
    /// Whether [`register`](Self::register) would take the schema: [`RegistryError::Incompatible`] where it would not.
    fn compatible(&self, subject: &str, schema: &Schema) -> Result<(), RegistryError>;
}
