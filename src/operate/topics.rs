//! The topics that an application needs, and what each is to it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::Config;
use crate::streams::log::{Admin, Result};
use crate::streams::runtime::{changelog_topic, dead_letter_topic};

/// Where messages go that the sender cannot deliver.
pub const TELEGRAM_DEAD_LETTERS: &str = "telegram_dead_letters";

/// What a topic is to the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// A source reads it.
    Input,
    /// A sink writes it.
    Output,
    /// The store of this input's records is kept in it.
    Changelog {
        /// The input.
        input: Arc<str>,
    },
    /// Takes the records that cannot be processed.
    DeadLetters,
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
    let mut seen = BTreeSet::new();
    let all = inputs.chain(outputs).chain(changelogs).chain([dead_letters]);
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
