//! One installation on the embedded log: its directory, taken and opened, and an application that runs on it.

use std::path::Path;
use std::sync::Arc;

use crate::avro::{EmbeddedRegistry, Registry, RegistryError};
use crate::config::{self, Config};
use crate::streams::clock::Clock;
use crate::streams::kv;
use crate::streams::log::local::LocalLog;
use crate::streams::log::{self, Class, Log, TopicConfig};
use crate::streams::rocks::{self, Budget, Profile, Rocks};
use crate::streams::runtime::{self, RocksBackend, Streams, dead_letter_topic};
use crate::streams::state::StateDirectory;
use crate::streams::state::directory;

/// RocksDB's memory for the log and all stores together.
const BLOCK_CACHE_BYTES: usize = 16 << 20;
const WRITE_BUFFER_BYTES: usize = 32 << 20;

/// Why an installation cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory cannot be taken: somebody else holds it, for example.
    #[error(transparent)]
    Directory(#[from] directory::Error),
    /// The log's files cannot be opened.
    #[error("the embedded log in {path} cannot be opened")]
    Storage {
        /// The directory of the log.
        path: String,
        /// The cause.
        #[source]
        source: kv::Error,
    },
    /// The log failed.
    #[error("the embedded log failed")]
    Log(#[from] log::Error),
    /// The schema registry failed.
    #[error("the schemas of the embedded log cannot be used")]
    Registry(#[from] RegistryError),
    /// The topology cannot be built.
    #[error("the topology cannot run here")]
    Topology(#[from] config::Error),
    /// The engine refused to start, or ended.
    #[error("the engine stopped")]
    Engine(#[from] runtime::Error),
}

impl Error {
    /// Whether another process holds the directory.
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Directory(directory::Error::Held { .. }))
    }
}

/// A directory that this process holds, with its log and its schemas opened.
#[derive(Debug)]
pub struct Installation {
    // Order: the lock goes last, when everything below is closed.
    registry: Arc<EmbeddedRegistry>,
    log: Arc<LocalLog>,
    clock: Arc<dyn Clock>,
    budget: Budget,
    directory: StateDirectory,
}

impl Installation {
    /// Takes the directory, made where it is missing. `holder` says what this process does: others are told.
    pub fn open(path: &Path, holder: &str, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let directory = StateDirectory::open(path, holder)?;
        let budget = Budget::new(BLOCK_CACHE_BYTES, WRITE_BUFFER_BYTES);
        let options = rocks::Options::new(Profile::Log, budget.clone());
        let path = directory.log_path();
        let rocks = Rocks::open(&path, &options).map_err(|source| Error::Storage { path: path.display().to_string(), source })?;
        let log = LocalLog::open(Arc::new(rocks))?;
        let registry = Arc::new(EmbeddedRegistry::open(Arc::<LocalLog>::clone(&log), Arc::clone(&clock))?);
        Ok(Self { registry, log, clock, budget, directory })
    }

    /// The log.
    pub fn log(&self) -> Arc<dyn Log> {
        Arc::<LocalLog>::clone(&self.log)
    }

    /// The schemas.
    pub fn registry(&self) -> Arc<dyn Registry> {
        Arc::<EmbeddedRegistry>::clone(&self.registry)
    }

    /// The schemas, with what only the embedded registry can tell.
    pub fn schemas(&self) -> Arc<EmbeddedRegistry> {
        Arc::clone(&self.registry)
    }

    /// The directory.
    pub fn directory(&self) -> &StateDirectory {
        &self.directory
    }

    /// Creates what is missing of the topics that `config` reads and writes, and that of its dead letters.
    pub fn create_topics(&self, config: &Config) -> Result<(), Error> {
        let sources = config.sources.iter().map(|source| source.topic.to_string());
        let sinks = config.sinks.iter().map(|sink| sink.topic.to_string());
        let admin = self.log.admin();
        let settings = TopicConfig::keep(config.engine.partitions);
        for topic in sources.chain(sinks).chain([dead_letter_topic(&config.application_id)]) {
            match admin.create_topic(&topic, &settings) {
                Ok(()) => tracing::info!(topic, partitions = settings.partitions, "topic created"),
                Err(error) if error.class == Class::Exists => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// An engine for the topology of `config` that is not started; `adjust` changes its options.
    pub fn engine(&self, config: &Config, adjust: impl FnOnce(&mut runtime::Options)) -> Result<Streams, Error> {
        self.create_topics(config)?;
        let topology = config::build(config, self.registry())?;
        let mut options = config.runtime_options(self.directory.instance_id());
        adjust(&mut options);
        let stores = rocks::Options::new(Profile::State, self.budget.clone());
        let backend = Arc::new(RocksBackend::new(self.directory.state_path(), stores));
        Ok(Streams::new(Arc::new(topology), self.log(), backend, Arc::clone(&self.clock), options)?)
    }
}
