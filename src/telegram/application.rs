//! The sender as an application of its own beside the topology: what it is called, which topics it has, how its engine runs.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::{BuildError, Client, Desk, Limits, Options, Settings};
use crate::config::{Config, Telegram, ValueFormat};
use crate::streams::clock::Clock;
use crate::streams::runtime;

/// The topic of the messages that could not be delivered, with the reason in their headers. The applications of a cluster share it: whose a letter
/// is, is told by the topic that it came from, the application's outbox ([`outboxes`]).
pub const DEAD_LETTERS: &str = "telegram_dead_letters";

/// How long the engine waits for a message before it looks whose turn it is.
const POLL: Duration = Duration::from_millis(20);

/// Chats with a queue that a partition has in memory.
const CHATS_MAX: usize = 10_000;

/// Why there is no desk.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The token or the address is none.
    #[error(transparent)]
    Client(#[from] BuildError),
    /// The token was not read: the file was loaded without what lies outside of it.
    #[error("the bot's token is not known")]
    NoToken,
    /// There is no thread for it.
    #[error("the desk's thread could not be started")]
    Thread(#[from] io::Error),
}

/// The sender's `application.id`: its group, its transactions and its changelog are not the topology's.
pub fn application_id(config: &Config) -> String {
    format!("{}-sender", config.application_id)
}

/// The topics whose messages are this application's: the outbox of `[telegram]`, or without that the topics of all sinks, which somebody else empties.
pub fn outboxes(config: &Config) -> Vec<Arc<str>> {
    match &config.telegram {
        Some(telegram) => vec![Arc::clone(&telegram.outbox)],
        None => config.sinks.iter().map(|sink| Arc::clone(&sink.topic)).collect(),
    }
}

/// How the sender's engine runs on one instance, called as the file says or else `instance_id`.
pub fn runtime_options(config: &Config, instance_id: impl Into<Arc<str>>) -> runtime::Options {
    runtime::Options {
        application_id: application_id(config).into(),
        dead_letter_topic: DEAD_LETTERS.into(),
        // Its work is to wait for others: one thread waits for all partitions.
        threads: 1,
        poll_timeout: POLL,
        ..config.runtime_options(instance_id)
    }
}

impl Settings {
    /// What the file says.
    pub fn of(config: &Config, telegram: &Telegram) -> Self {
        let sink = config.sinks.iter().find(|sink| sink.topic == telegram.outbox);
        Self {
            outbox: Arc::clone(&telegram.outbox),
            format: sink.map_or(ValueFormat::Avro, |sink| sink.format),
            dead_letters: DEAD_LETTERS.into(),
            on_unknown: telegram.on_unknown,
            chats: telegram.chats.clone(),
            remember: telegram.remember,
            chats_max: CHATS_MAX,
        }
    }
}

impl Desk {
    /// The desk that the file asks for, in a group that shares the `partitions` of the outbox.
    pub fn of(telegram: &Telegram, partitions: i32, clock: Arc<dyn Clock>) -> Result<Arc<Self>, DeskError> {
        let token = telegram.token.secret().ok_or(DeskError::NoToken)?;
        let client = Client::new(&Options { base_url: telegram.base_url.to_string(), token, timeout: telegram.timeout })?;
        let limits = Limits::new(&telegram.limits, Arc::clone(&clock));
        Ok(Self::start(client, limits, partitions, clock)?)
    }
}
