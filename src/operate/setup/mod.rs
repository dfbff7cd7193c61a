//! What an application needs on its log and in its registry, compared with what is there: first a [`Plan`], which is data, then its execution.
//!
//! What exists is never changed. A difference is told with the command that mends it; an incompatible schema, or a topic on which `run` would
//! be refused, is found before anything is created.

mod acls;
mod schemas;
mod topics;

use std::fmt;

pub use acls::{Grant, Part};
pub use schemas::{SchemaState, SchemaStep};
pub use topics::{Difference, TopicStep};

use crate::avro::{Registry, RegistryError, SchemaId};
use crate::config::Config;
use crate::streams::log::{self, Admin, Class};

/// Why nothing was planned, or not all was done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log failed.
    #[error("the topics could not be looked at")]
    Topics(#[source] log::Error),
    /// A topic could not be created.
    #[error("the topic {topic} could not be created")]
    Create {
        /// The topic.
        topic: String,
        /// The cause.
        #[source]
        source: log::Error,
    },
    /// The registry failed.
    #[error("the schemas could not be looked at")]
    Schemas(#[source] RegistryError),
    /// A schema could not be registered.
    #[error("the schema {schema} could not be registered as {subject}")]
    Register {
        /// The schema.
        schema: String,
        /// The subject.
        subject: String,
        /// The cause.
        #[source]
        source: Box<RegistryError>,
    },
}

/// What is needed and what is there.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The topics, inputs first.
    pub topics: Vec<TopicStep>,
    /// The schemas.
    pub schemas: Vec<SchemaStep>,
    /// What each part of the program must be allowed to do; empty for the embedded log.
    pub parts: Vec<Part>,
}

/// How Kafka's own tools reach the cluster.
#[derive(Clone, Debug)]
struct Tools {
    brokers: String,
    secured: bool,
}

impl fmt::Display for Tools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--bootstrap-server {}", self.brokers)?;
        if self.secured { f.write_str(" --command-config client.properties") } else { Ok(()) }
    }
}

/// Looks at what is there and decides what is to be done. Changes nothing. `partitions` is for topics that are not there yet.
pub fn plan(admin: &dyn Admin, registry: &dyn Registry, config: &Config, partitions: Option<i32>) -> Result<Plan, Error> {
    let tools = config.kafka.as_ref().map(|kafka| Tools {
        brokers: kafka.bootstrap_servers.join(","),
        secured: kafka.properties.keys().any(|name| ["security.", "sasl.", "ssl."].iter().any(|prefix| name.starts_with(prefix))),
    });
    let topics = topics::plan(admin, config, tools.as_ref(), partitions).map_err(Error::Topics)?;
    let schemas = schemas::plan(registry, config).map_err(Error::Schemas)?;
    let parts = tools.map(|tools| acls::parts(config, &tools)).unwrap_or_default();
    Ok(Plan { topics, schemas, parts })
}

impl Plan {
    /// What stands in the way, each in a sentence: with any of it nothing may be created.
    pub fn refusals(&self) -> Vec<String> {
        let topics = self.topics.iter().flat_map(|step| {
            let refused = step.differences().iter().filter(|difference| difference.refused);
            refused.map(|difference| format!("the topic {}: {difference}", step.name))
        });
        let schemas = self.schemas.iter().filter_map(|step| match &step.state {
            SchemaState::Incompatible { version, reason } => Some(format!(
                "the schema {} cannot read what was written with version {version} of {}: {reason}",
                step.schema_name, step.subject
            )),
            _ => None,
        });
        schemas.chain(topics).collect()
    }

    /// Creates what is missing and registers what is new; `done` hears of each. What somebody else created meanwhile is there.
    pub fn execute(&self, admin: &dyn Admin, registry: &dyn Registry, done: &mut dyn FnMut(Done<'_>)) -> Result<(), Error> {
        for step in self.topics.iter().filter(|step| step.is_missing()) {
            match admin.create_topic(&step.name, &step.wanted) {
                Err(error) if error.class != Class::Exists => {
                    return Err(Error::Create { topic: step.name.to_string(), source: error });
                }
                _ => done(Done::Created(step)),
            }
        }
        for step in self.schemas.iter().filter(|step| step.is_new()) {
            let registered = registry.register(&step.subject, &step.schema);
            let failed = |source| {
                let (schema, subject) = (step.schema_name.to_string(), step.subject.clone());
                Error::Register { schema, subject, source: Box::new(source) }
            };
            done(Done::Registered(step, registered.map_err(failed)?));
        }
        Ok(())
    }
}

/// One step that was done.
#[derive(Clone, Copy, Debug)]
pub enum Done<'a> {
    /// A topic was created.
    Created(&'a TopicStep),
    /// A schema was registered and has this id.
    Registered(&'a SchemaStep, SchemaId),
}

#[cfg(test)]
mod tests;
