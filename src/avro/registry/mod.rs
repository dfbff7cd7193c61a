//! The schema registry: one interface, whether it is embedded or the Confluent one.

use std::fmt::Debug;
use std::sync::Arc;

use super::wire::SchemaId;
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

/// Resolves schema ids and takes new schemas. Not for the hot path: its callers remember what it said.
pub trait Registry: Debug + Send + Sync {
    /// The id of `schema` under `subject`; a new version where the subject does not have it yet and it can read what the latest version wrote.
    fn register(&self, subject: &str, schema: &Schema) -> Result<SchemaId, RegistryError>;
    /// The schema with this id; none where no such id was ever given out.
    fn schema(&self, id: SchemaId) -> Result<Option<Arc<Schema>>, RegistryError>;
    /// The latest version of a subject; none where there is no such subject.
    fn latest(&self, subject: &str) -> Result<Option<Registered>, RegistryError>;
    /// The versions of a subject, ascending; [`RegistryError::NotFound`] where there is no such subject.
    fn versions(&self, subject: &str) -> Result<Vec<u32>, RegistryError>;
    /// Whether [`register`](Self::register) would take the schema: [`RegistryError::Incompatible`] where it would not.
    fn compatible(&self, subject: &str, schema: &Schema) -> Result<(), RegistryError>;
}
