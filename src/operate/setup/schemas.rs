//! The schemas of a plan: those of the sinks, and those of sources whose subject nobody has taken yet.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::avro::{Registry, RegistryError, Schema, SchemaId, check_readable};
use crate::config::{Config, ValueFormat};

/// A schema and its subject.
#[derive(Clone, Debug)]
pub struct SchemaStep {
    /// The subject: that of the topic's values.
    pub subject: String,
    /// The name of the schema in the topology file.
    pub schema_name: Arc<str>,
    /// The schema.
    pub schema: Schema,
    /// What the registry has.
    pub state: SchemaState,
}

/// What the registry has under a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// Nothing.
    New,
    /// An older one, whose records the new one can read.
    NewVersion {
        /// The number of the older one.
        latest: u32,
    },
    /// This one.
    There {
        /// Its id.
        id: SchemaId,
        /// Its number.
        version: u32,
    },
    /// Another one, of those who fill the topic: it stays, values are read with it.
    Foreign {
        /// Its number.
        version: u32,
    },
    /// One whose records the new one cannot read.
    Incompatible {
        /// Its number.
        version: u32,
        /// Where the two differ.
        reason: String,
    },
}

impl SchemaStep {
    /// Whether it is to be registered.
    pub fn is_new(&self) -> bool {
        matches!(self.state, SchemaState::New | SchemaState::NewVersion { .. })
    }
}

pub(super) fn plan(registry: &dyn Registry, config: &Config) -> Result<Vec<SchemaStep>, RegistryError> {
    let mut steps = Vec::new();
    let mut seen = BTreeSet::new();
    // JSON values name no schema: there is nothing to register.
    let sinks = config.sinks.iter().filter(|sink| sink.format == ValueFormat::Avro);
    let sinks = sinks.map(|sink| (&sink.topic, &sink.schema_name, &sink.schema, true));
    let sources = config.sources.iter().filter(|source| source.format == ValueFormat::Avro);
    let sources = sources.map(|source| (&source.topic, &source.schema_name, &source.schema, false));
    for (topic, schema_name, schema, written) in sinks.chain(sources) {
        let subject = format!("{topic}-value");
        if !seen.insert(subject.clone()) {
            continue;
        }
        let state = state(registry, &subject, schema, written)?;
        steps.push(SchemaStep { subject, schema_name: Arc::clone(schema_name), schema: schema.clone(), state });
    }
    Ok(steps)
}

fn state(registry: &dyn Registry, subject: &str, schema: &Schema, written: bool) -> Result<SchemaState, RegistryError> {
    let Some(latest) = registry.latest(subject)? else { return Ok(SchemaState::New) };
    let version = latest.version;
    if *latest.schema == *schema {
        return Ok(SchemaState::There { id: latest.id, version });
    }
    if !written {
        return Ok(SchemaState::Foreign { version });
    }
    match registry.compatible(subject, schema) {
        // A registry may be told to take anything; then the readers of the topic would find out.
        Ok(()) => Ok(match check_readable(&latest.schema, schema) {
            Ok(()) => SchemaState::NewVersion { latest: version },
            Err(difference) => SchemaState::Incompatible { version, reason: difference.to_string() },
        }),
        Err(RegistryError::Incompatible { version, source, .. }) => Ok(SchemaState::Incompatible { version, reason: source.to_string() }),
        // The registry's own rule tells no more than that.
        Err(RegistryError::Conflict { reason, .. }) => Ok(SchemaState::Incompatible { version, reason }),
        Err(error) => Err(error),
    }
}
