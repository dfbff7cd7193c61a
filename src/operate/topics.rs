//! The topics that an application needs, and what each is to it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::Config;
use crate::streams::log::{Admin, Result};
use crate::streams::runtime::{changelog_topic, dead_letter_topic};

/// Where messages go that the sender cannot deliver.
pub const TELEGRAM_DEAD_LETTERS: &str = "telegram_dead_letters";

/// The store in which the sender keeps what it sent.
const SENT_LOG: &str = "sent-log";

/// The poller of an application: the name of its group and of its transactions.
pub fn poller_id(application_id: &str) -> String {
    format!("{application_id}-poller")
}

/// Where the poller keeps what it knows.
pub fn poller_state_topic(application_id: &str) -> String {
    format!("{}-state", poller_id(application_id))
}

/// The sender, an application of its own.
pub fn sender_id(application_id: &str) -> String {
    format!("{application_id}-sender")
}

/// Where the sender keeps what it sent.
pub fn sent_log_topic(application_id: &str) -> String {
    changelog_topic(&sender_id(application_id), SENT_LOG)
}

/// What a topic is to the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// A source reads it.
    Input,
    /// A sink writes it, or another application whose messages are sent.
    Output,
    /// The store of this input's records is kept in it.
    Changelog {
        /// The input.
        input: Arc<str>,
    },
    /// Takes the records that cannot be processed.
    DeadLetters,
    /// The poller keeps in it what it knows; who reads its one partition polls.
    PollerState,
    /// The sender keeps in it what it sent of this outbox.
    SentLog {
        /// The topic of the messages.
        outbox: Arc<str>,
    },
    /// Takes the messages that cannot be delivered.
    Undelivered,
}

impl Role {
    /// Whether it holds the last row of each key.
    pub fn is_compacted(&self) -> bool {
        matches!(self, Self::Changelog { .. } | Self::PollerState | Self::SentLog { .. })
    }
}

/// A topic that must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// Its name.
    pub name: Arc<str>,
    /// What it is; an input that is also written counts as an input.
    pub role: Role,
}

/// The topics that `config` needs, inputs first; each once.
pub fn needed(config: &Config) -> Vec<Needed> {
    let inputs = config.sources.iter().map(|source| (Arc::clone(&source.topic), Role::Input));
    let outputs = config.sinks.iter().map(|sink| (Arc::clone(&sink.topic), Role::Output));
    let changelogs = config
        .stores_with_inputs()
        .map(|(store, input)| (Arc::from(changelog_topic(&config.application_id, store)), Role::Changelog { input: Arc::clone(input) }));
    let dead_letters = (Arc::from(dead_letter_topic(&config.application_id)), Role::DeadLetters);
    let poller = config.youtube.iter().map(|_| (Arc::from(poller_state_topic(&config.application_id)), Role::PollerState));
    let sender = config.telegram.iter().flat_map(|telegram| {
        let outbox = &telegram.outbox;
        let sent_log = Arc::from(sent_log_topic(&config.application_id));
        [
            (Arc::clone(outbox), Role::Output),
            (sent_log, Role::SentLog { outbox: Arc::clone(outbox) }),
            (Arc::from(TELEGRAM_DEAD_LETTERS), Role::Undelivered),
        ]
    });
    let mut seen = BTreeSet::new();
    let all = inputs.chain(outputs).chain(changelogs).chain([dead_letters]).chain(poller).chain(sender);
    all.filter(|(name, _)| seen.insert(Arc::clone(name))).map(|(name, role)| Needed { name, role }).collect()
}

/// The names of those that are not there.
pub fn missing<'a>(admin: &dyn Admin, topics: impl IntoIterator<Item = &'a str>) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    for topic in topics {
        if admin.describe(topic)?.is_none() {
            missing.push(topic.to_owned());
        }
    }
    Ok(missing)
}
