//! One installation: its directory, taken, the log that it works on (embedded in the directory, or a Kafka cluster), and an application that
//! runs on it.

use std::path::Path;
use std::sync::Arc;

use super::{retention, topics};
use crate::avro::{ConfluentRegistry, EmbeddedRegistry, NoRegistry, Registry, RegistryError};
use crate::config::{self, Config, Kafka, Parts};
use crate::streams::clock::Clock;
use crate::streams::kv;
use crate::streams::log::kafka::KafkaLog;
use crate::streams::log::local::LocalLog;
use crate::streams::log::{self, Class, Log, TopicConfig};
use crate::streams::rocks::{self, Budget, Profile, Rocks};
use crate::streams::runtime::{self, RocksBackend, Streams};
use crate::streams::state::StateDirectory;
use crate::streams::state::directory;
use crate::streams::topology::Blueprint;
use crate::telegram;
use crate::youtube::{self, poller};

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
    #[error("the log failed")]
    Log(#[from] log::Error),
    /// The schema registry failed.
    #[error("the schema registry cannot be used")]
    Registry(#[from] RegistryError),
    /// Topics are not there, and only `setup` creates them.
    #[error("the cluster lacks the topic{} {}", if .topics.len() == 1 { "" } else { "s" }, .topics.join(", "))]
    MissingTopics {
        /// Their names.
        topics: Vec<String>,
    },
    /// What would be written would be deleted at once.
    #[error(transparent)]
    Retention(#[from] retention::Error),
    /// The topology cannot be built.
    #[error("the topology cannot run here")]
    Topology(#[from] config::Error),
    /// The engine refused to start, or ended.
    #[error("the engine stopped")]
    Engine(#[from] runtime::Error),
    /// The poller cannot be made, or ended.
    #[error("the poller stopped")]
    Poller(#[from] poller::Error),
    /// YouTube's client cannot be made.
    #[error("YouTube cannot be asked")]
    YouTube(#[from] youtube::Problem),
    /// The sender's topology cannot be built.
    #[error("the sender cannot run here")]
    Sender(#[from] telegram::Error),
    /// Telegram's client cannot be made.
    #[error("nothing can be sent to Telegram")]
    Desk(#[from] telegram::DeskError),
    /// The faults on order cannot be read.
    #[cfg(feature = "faults")]
    #[error("{0}")]
    Faults(String),
}

impl Error {
    /// Whether another process holds the directory.
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Directory(directory::Error::Held { .. }))
    }
}

/// A log with its schemas.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The schemas.
    pub registry: Arc<dyn Registry>,
    /// The log.
    pub log: Arc<dyn Log>,
}

impl Connection {
    /// A cluster and its registry; `client_id` is what they call this process.
    pub fn to(kafka: &Kafka, client_id: &str) -> Result<Self, Error> {
        let log = KafkaLog::new(kafka.log_options(client_id))?;
        let registry: Arc<dyn Registry> = match kafka.registry_options() {
            Some(options) => Arc::new(ConfluentRegistry::new(&options)?),
            None => Arc::new(NoRegistry),
        };
        Ok(Self { registry, log })
    }

    /// Refuses topics that are not there.
    pub fn require_topics<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<(), Error> {
        let missing = topics::missing(&*self.log.admin(), names)?;
        if missing.is_empty() { Ok(()) } else { Err(Error::MissingTopics { topics: missing }) }
    }
}

/// A directory that this process holds, with its log and its schemas opened.
#[derive(Debug)]
pub struct Installation {
    // Order: the lock goes last, when everything below is closed.
    connection: Connection,
    /// The schemas of a log that lies in the directory; none on a cluster.
    pub(super) embedded: Option<Arc<EmbeddedRegistry>>,
    pub(super) clock: Arc<dyn Clock>,
    budget: Budget,
    directory: StateDirectory,
}

impl Installation {
    /// Takes the directory, made where it is missing, with the log in it. `holder` says what this process does: others are told.
    pub fn open(path: &Path, holder: &str, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let directory = StateDirectory::open(path, holder)?;
        let budget = Budget::new(BLOCK_CACHE_BYTES, WRITE_BUFFER_BYTES);
        let options = rocks::Options::new(Profile::Log, budget.clone());
        let path = directory.log_path();
        let rocks = Rocks::open(&path, &options).map_err(|source| Error::Storage { path: path.display().to_string(), source })?;
        let log = LocalLog::open(Arc::new(rocks))?;
        let registry = Arc::new(EmbeddedRegistry::open(Arc::<LocalLog>::clone(&log), Arc::clone(&clock))?);
        let embedded = Some(Arc::clone(&registry));
        Ok(Self { connection: Connection { registry, log }, embedded, clock, budget, directory })
    }

    /// Takes the directory for the state and the id of an instance that works on the cluster of `config`; without one, with the log in it.
    pub fn open_for(config: &Config, path: &Path, holder: &str, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let Some(kafka) = &config.kafka else { return Self::open(path, holder, clock) };
        let directory = StateDirectory::open(path, holder)?;
        let budget = Budget::new(BLOCK_CACHE_BYTES, WRITE_BUFFER_BYTES);
        let instance = config.engine.instance_id_or(directory.instance_id());
        let connection = Connection::to(kafka, &format!("{}-{instance}", config.application_id))?;
        #[cfg(feature = "faults")]
        let connection = Connection { log: super::faults::log(connection.log).map_err(Error::Faults)?, ..connection };
        Ok(Self { connection, embedded: None, clock, budget, directory })
    }

    /// The log with its schemas.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The log.
    pub fn log(&self) -> Arc<dyn Log> {
        Arc::clone(&self.connection.log)
    }

    /// The schemas.
    pub fn registry(&self) -> Arc<dyn Registry> {
        Arc::clone(&self.connection.registry)
    }

    /// The embedded log's schemas, with what only their registry can tell; none on a cluster.
    pub fn schemas(&self) -> Option<Arc<EmbeddedRegistry>> {
        self.embedded.clone()
    }

    /// The directory.
    pub fn directory(&self) -> &StateDirectory {
        &self.directory
    }

    /// Creates what is missing of the topics that `config` reads and writes, and those of its dead letters. On Kafka that is `setup`'s: there
    /// what these parts miss is refused, for a process that only works needs no right to create.
    pub fn create_topics(&self, config: &Config, parts: Parts) -> Result<(), Error> {
        if self.embedded.is_none() {
            let needed = topics::needed_by(config, parts);
            return self.connection.require_topics(needed.iter().map(|needed| &*needed.name));
        }
        let settings = TopicConfig::keep(config.engine.partitions);
        // What is compacted is made by whoever keeps its rows in it.
        for topic in topics::needed(config).into_iter().filter(|topic| !topic.role.is_compacted()) {
            self.create_topic(&topic.name, &settings)?;
        }
        Ok(())
    }

    /// Creates a topic where it is missing.
    pub fn create_topic(&self, topic: &str, settings: &TopicConfig) -> Result<(), Error> {
        match self.connection.log.admin().create_topic(topic, settings) {
            Ok(()) => tracing::info!(topic, partitions = settings.partitions, "topic created"),
            Err(error) if error.class == Class::Exists => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// An engine for the topology of `config` that is not started; `adjust` changes its options.
    pub fn engine(&self, config: &Config, adjust: impl FnOnce(&mut runtime::Options)) -> Result<Streams, Error> {
        self.create_topics(config, Parts::TOPOLOGY)?;
        retention::check(&*self.connection.log, config, &*self.clock)?;
        let topology = config::build(config, self.registry())?;
        let mut options = config.runtime_options(self.directory.instance_id());
        options.create_internal_topics = self.embedded.is_some();
        adjust(&mut options);
        self.engine_in(&self.directory.state_path(directory::TOPOLOGY), Arc::new(topology), options)
    }

    /// An engine, not started, for another application beside the topology: on the same log, its state in the directory `name`.
    pub fn beside(&self, name: &str, topology: Arc<dyn Blueprint>, mut options: runtime::Options) -> Result<Streams, Error> {
        options.create_internal_topics = self.embedded.is_some();
        self.engine_in(&self.directory.state_path(name), topology, options)
    }

    fn engine_in(&self, path: &Path, topology: Arc<dyn Blueprint>, options: runtime::Options) -> Result<Streams, Error> {
        let stores = rocks::Options::new(Profile::State, self.budget.clone());
        let backend = Arc::new(RocksBackend::new(path, stores));
        #[cfg(feature = "faults")]
        let backend = super::faults::stores(backend).map_err(Error::Faults)?;
        Ok(Streams::new(topology, self.log(), backend, Arc::clone(&self.clock), options)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LoadOptions;
    use crate::operate::setup;
    use crate::streams::clock::SystemClock;

    /// An installation whose log is not its own, as on a cluster.
    fn elsewhere(path: &Path) -> Installation {
        let (log, clock) = (LocalLog::in_memory(), Arc::new(SystemClock::new()));
        let registry = Arc::new(EmbeddedRegistry::open(Arc::<LocalLog>::clone(&log), Arc::<SystemClock>::clone(&clock)).unwrap());
        let budget = Budget::new(BLOCK_CACHE_BYTES, WRITE_BUFFER_BYTES);
        let directory = StateDirectory::open(path, "test").unwrap();
        Installation { connection: Connection { registry, log }, embedded: None, clock, budget, directory }
    }

    #[test]
    fn on_a_cluster_run_creates_nothing_and_names_all_that_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let installation = elsewhere(folder.path());
        let config = config::shipped(&LoadOptions::offline()).unwrap();
        let connection = installation.connection().clone();
        let before = connection.log.admin().topics().unwrap();
        let said = installation.engine(&config, |_| ()).unwrap_err().to_string();
        let topics = "youtube_videos, youtube_changes, telegram_outbox, youtube-changes-changes-changelog, \
                      youtube-changes-views-changelog, youtube-changes-dead-letters";
        assert_eq!(said, format!("the cluster lacks the topics {topics}"));
        assert_eq!(connection.log.admin().topics().unwrap(), before);
        assert!(connection.registry.latest("youtube_changes-value").unwrap().is_none(), "nothing is registered either");

        let admin = connection.log.admin();
        let plan = setup::plan(&*admin, &*connection.registry, &config, Some(2)).unwrap();
        plan.execute(&*admin, &*connection.registry, &mut |_| ()).unwrap();
        installation.engine(&config, |_| ()).unwrap();
        admin.delete_topic("youtube-changes-views-changelog").unwrap();
        let said = installation.engine(&config, |_| ()).unwrap_err().to_string();
        assert_eq!(said, "the cluster lacks the topic youtube-changes-views-changelog");
    }
}
