//! What the flags of all commands mean: which topology, which directory, who holds it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::shutdown::Shutdown;
use super::{Error, Result, redaction};
use crate::avro::RegistryError;
use crate::config::{self, BotApi, Config, Diagnostics, Kafka, LoadOptions, Overrides, Style};
use crate::operate::installation::{self, Connection, Installation};
use crate::operate::retention;
use crate::operate::socket::{self, Failure};
use crate::streams::clock::Clock;
use crate::streams::runtime;
use crate::telegram;

/// The directory of an installation where none is given.
pub(crate) const DEFAULT_STATE_DIR: &str = ".tidewatch";

/// What brokers call a process that is no instance of an application.
const CLIENT_ID: &str = "tidewatch";

/// What helps where topics are missing.
pub(crate) const SETUP: &str = "`tidewatch setup` creates what is missing; `tidewatch setup --dry-run` says what that is.";

/// How often an owner that holds the directory but does not answer yet is tried, and how long in between.
const TRIES: u32 = 30;
const TRY_INTERVAL: Duration = Duration::from_millis(100);

/// What a command runs with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) config: Option<PathBuf>,
    pub(crate) state_dir: Option<PathBuf>,
    /// What the command line says of the cluster.
    pub(crate) overrides: Overrides,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Whoever can read and write the log: this process, or the one that holds the directory and answers; or the cluster that it lies on.
#[derive(Debug)]
pub(crate) enum Access {
    Own(Box<Installation>),
    Owner(PathBuf),
    Cluster(Connection),
}

/// A topology file that is refused, with its whole report.
#[derive(Debug, thiserror::Error)]
#[error("the topology file is refused\n\n{0}")]
struct Refused(String);

/// An error that came through the socket.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Remote {
    message: String,
    #[source]
    source: Option<Box<Self>>,
}

impl Context {
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.state_dir.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_STATE_DIR))
    }

    /// The topology file that was named, or that of the working directory.
    pub(crate) fn load(&self, options: &LoadOptions) -> Result<Config> {
        accept(config::load(&self.config_path(), &options.clone().with(&self.overrides)))
    }

    /// The same for a command that works on the embedded log whatever the file says; where there is no file, the one that ships.
    pub(crate) fn load_embedded(&self) -> Result<Config> {
        if !self.overrides.is_empty() {
            let error = Error::user("this command works on the embedded log only, not on Kafka");
            return Err(error.hinted("Leave --bootstrap-servers and --registry out."));
        }
        let mut config = accept(config::load_or_shipped(self.config.as_deref(), &LoadOptions::offline()))?;
        config.kafka = None;
        Ok(config)
    }

    /// How the log is reached, as the command line or the topology file says, if there is one; none: the embedded log.
    pub(crate) fn kafka(&self) -> Result<Option<Kafka>> {
        let options = LoadOptions::connecting().with(&self.overrides);
        let path = self.config_path();
        let there = self.config.is_some() || path.exists();
        let loaded = if there { config::load_kafka(&path, &options) } else { config::kafka_without_file(&options) };
        let kafka = loaded.map_err(|faults| refused_file(&faults))?;
        redaction::conceal(kafka.iter().flat_map(Kafka::secrets));
        Ok(kafka)
    }

    /// How Telegram is reached, as the topology file says; none where it has no `[telegram]`.
    pub(crate) fn bot_api(&self) -> Result<Option<BotApi>> {
        let api = config::load_bot_api(&self.config_path(), &LoadOptions::online()).map_err(|faults| refused_file(&faults))?;
        redaction::conceal(api.iter().filter_map(|api| api.token.secret()));
        Ok(api)
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(|| PathBuf::from(config::DEFAULT_PATH))
    }

    /// Takes the directory for this process alone, with the log in it.
    pub(crate) fn own(&self, path: &Path) -> Result<Installation> {
        Installation::open(path, &command_line(), Arc::clone(&self.clock)).map_err(held)
    }

    /// Takes the directory for this process alone, for an application on the log that its file names.
    pub(crate) fn own_for(&self, config: &Config) -> Result<Installation> {
        Installation::open_for(config, &self.state_dir(), &command_line(), Arc::clone(&self.clock)).map_err(held)
    }

    /// A connection to the cluster, which needs no directory.
    pub(crate) fn connect(kafka: &Kafka) -> Result<Connection> {
        Connection::to(kafka, CLIENT_ID).map_err(refused)
    }

    /// The cluster; without one takes the directory, or finds the owner who answers for it.
    pub(crate) fn access(&self, kafka: Option<&Kafka>, shutdown: &Shutdown) -> Result<Access> {
        if let Some(kafka) = kafka {
            return Self::connect(kafka).map(Access::Cluster);
        }
        let path = self.state_dir();
        for _ in 0..TRIES {
            match Installation::open(&path, &command_line(), Arc::clone(&self.clock)) {
                Ok(installation) => return Ok(Access::Own(Box::new(installation))),
                Err(error) if !error.is_held() => return Err(refused(error)),
                Err(_) if socket::answers(&path) => return Ok(Access::Owner(path)),
                // It is just being opened or closed.
                Err(_) if shutdown.wait(TRY_INTERVAL) => break,
                Err(_) => {}
            }
        }
        self.own(&path).map(|installation| Access::Own(Box::new(installation)))
    }

    /// Refuses a directory that is not there: reading must not make one.
    pub(crate) fn must_exist(&self) -> Result {
        let path = self.state_dir();
        if path.is_dir() {
            return Ok(());
        }
        let error = Error::user(format!("there is no state directory {}", path.display()));
        Err(error.hinted("Name it with --state-dir; `tidewatch run`, `import` and `demo --state-dir` make one."))
    }
}

fn accept(loaded: Result<Config, Diagnostics>) -> Result<Config> {
    let config = loaded.map_err(|faults| refused_file(&faults))?;
    redaction::conceal(config.secrets());
    for warning in config.warnings().iter() {
        tracing::warn!(code = warning.code, hint = warning.hint, "{}", warning.message);
    }
    Ok(config)
}

fn refused_file(faults: &Diagnostics) -> Error {
    Error::config(Refused(faults.render(Style::of_stderr()).trim_end().to_owned()))
}

/// An installation could not be opened: somebody else may have it.
pub(crate) fn held(error: installation::Error) -> Error {
    let held = error.is_held();
    let error = refused(error);
    if held {
        error.hinted("One process at a time owns a state directory. Stop that one, or name another with --state-dir.")
    } else {
        error
    }
}

/// What others are told about this process while it holds a directory.
pub(crate) fn command_line() -> String {
    const CHARS_MAX: usize = 200;
    let line: Vec<String> = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    line.join(" ").chars().take(CHARS_MAX).collect()
}

/// Sorts an error of an installation by who can do something about it.
pub(crate) fn refused(error: installation::Error) -> Error {
    use crate::streams::state::directory;
    use installation::Error as E;
    use runtime::Error as R;
    match &error {
        E::Directory(directory::Error::Io { .. } | directory::Error::Held { .. })
        | E::Storage { .. }
        | E::Log(_)
        | E::Retention(retention::Error::Log(_))
        | E::Desk(telegram::DeskError::Thread(_))
        // A registry that is down is no fault of the topology.
        | E::Registry(_)
        | E::Topology(config::Error::Register { source: RegistryError::Unavailable { .. }, .. }) => Error::unavailable(error),
        E::Directory(_) => Error::user(error),
        #[cfg(feature = "faults")]
        E::Faults(_) => Error::user(error),
        E::Topology(_) | E::YouTube(_) | E::Sender(_) | E::Desk(_) => Error::config(error),
        E::MissingTopics { .. } | E::Engine(R::MissingTopic { .. }) => Error::config(error).hinted(SETUP),
        E::Retention(too_short) => {
            let hint = too_short.hint();
            Error::config(error).hinted_if(hint)
        }
        E::Engine(R::TopicPartitions { .. } | R::OffsetLost { .. } | R::OffsetOutOfRange { .. } | R::ChangelogLost { .. } | R::ChangelogMadeAnew { .. } | R::Layout { .. }) => {
            Error::config(error).hinted("`tidewatch reset` says what it would do before it does anything.")
        }
        E::Engine(_) => Error::internal(error),
        E::Poller(poller) => {
            let hint = poller.hint();
            if poller.is_configuration() { Error::config(error) } else { Error::unavailable(error) }.hinted_if(hint)
        }
    }
}

/// An error that the owner of the directory sent.
pub(crate) fn remote(failure: Failure) -> Error {
    let chain = failure.causes.into_iter().rev().fold(None, |source, message| Some(Box::new(Remote { message, source })));
    let source = Remote { message: failure.message, source: chain };
    let error = if failure.by_user { Error::user(source) } else { Error::unavailable(source) };
    failure.hints.into_iter().fold(error, Error::hinted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_from_the_socket_keeps_its_causes_in_order() {
        let failure = Failure { message: "a".to_owned(), causes: vec!["b".to_owned(), "c".to_owned()], by_user: true, hints: Vec::new() };
        let error = remote(failure);
        let mut text = Vec::new();
        error.report(&mut text).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "error: a\ncaused by: b\ncaused by: c\n");
        assert_eq!(error.exit_code(), 2);
    }
}
