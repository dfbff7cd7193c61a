//! The topics that an application needs, and what each is to it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::{Config, Parts};
use crate::streams::log::{Admin, Result};
use crate::streams::runtime::{changelog_topic, dead_letter_topic};
use crate::telegram;
use crate::youtube::poller;

/// Where the sender keeps what it sent.
pub fn sent_log_topic(config: &Config) -> String {
    changelog_topic(&telegram::application_id(config), telegram::sent_log::STORE)
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
    let poller = config.youtube.iter().map(|_| (Arc::from(poller::state_topic(&config.application_id)), Role::PollerState));
    let sender = config.telegram.iter().flat_map(|telegram| {
        let outbox = &telegram.outbox;
        let sent_log = Arc::from(sent_log_topic(config));
        [
            (Arc::clone(outbox), Role::Output),
            (sent_log, Role::SentLog { outbox: Arc::clone(outbox) }),
            (Arc::from(telegram::DEAD_LETTERS), Role::Undelivered),
        ]
    });
    let mut seen = BTreeSet::new();
    let all = inputs.chain(outputs).chain(changelogs).chain([dead_letters]).chain(poller).chain(sender);
    all.filter(|(name, _)| seen.insert(Arc::clone(name))).map(|(name, role)| Needed { name, role }).collect()
}

/// Those that a process needs which runs only these parts.
pub fn needed_by(config: &Config, parts: Parts) -> Vec<Needed> {
    let is_polled = |name: &str| config.youtube_source().is_some_and(|source| &*source.topic == name);
    let is_sent = |name: &str| config.telegram.as_ref().is_some_and(|telegram| &*telegram.outbox == name);
    let is_needed = |topic: &Needed| match topic.role {
        Role::Input => parts.topology || (parts.poll && is_polled(&topic.name)) || (parts.send && is_sent(&topic.name)),
        Role::Output => parts.topology || (parts.send && is_sent(&topic.name)),
        Role::Changelog { .. } | Role::DeadLetters => parts.topology,
        Role::PollerState => parts.poll,
        Role::SentLog { .. } | Role::Undelivered => parts.send,
    };
    needed(config).into_iter().filter(is_needed).collect()
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
