//! Counts what is in the topics of an application: the summary of a replay.

use std::collections::{BTreeMap, HashSet};

use serde::{Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_128;

use super::tap;
use crate::avro::{Registry, to_json, wire};
use crate::config::{Config, Sink, ValueFormat};
use crate::streams::log::{Log, RecordRef};
use crate::streams::runtime::dead_letter_topic;

/// The schema of messages; a sink that writes anything else writes changes.
const MESSAGE_SCHEMA: &str = "telegram_message";

/// The rules of the shipped topology, counted even where they never fired.
const RULES: [&str; 3] = ["likes", "comments", "views"];

/// What is in the topics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Records of the sources that are not tombstones.
    pub observations: u64,
    /// Different keys of the sources.
    pub videos: u64,
    /// Records of changes.
    pub changes: u64,
    /// Messages by rule.
    pub messages: Messages,
    /// Bad records and rows.
    pub dead_letters: u64,
}

/// Messages by the rule that wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Messages(Vec<(String, u64)>);

impl Default for Messages {
    fn default() -> Self {
        Self(RULES.iter().map(|rule| ((*rule).to_owned(), 0)).collect())
    }
}

impl Messages {
    /// One more message.
    pub fn count(&mut self, text: &str) {
        let rule = rule(text);
        match self.0.iter_mut().find(|(known, _)| *known == rule) {
            Some((_, count)) => *count += 1,
            None => self.0.push((rule, 1)),
        }
    }

    /// All messages.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// Rules and their messages.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(rule, count)| (rule.as_str(), *count))
    }
}

impl Serialize for Messages {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// Messages begin with what they are about: the shipped rules say `Likes changed: …`.
fn rule(text: &str) -> String {
    const WORD_CHARS_MAX: usize = 40;
    let word = text.split(|c: char| !c.is_alphanumeric()).find(|word| !word.is_empty()).unwrap_or("other");
    word.chars().take(WORD_CHARS_MAX).flat_map(char::to_lowercase).collect()
}

/// Counts the committed records of all topics of `config`; `message` gets the text of each message.
pub fn tally(log: &dyn Log, registry: &dyn Registry, config: &Config, message: &mut dyn FnMut(&str)) -> Result<Tally, tap::Error> {
    let mut tally = Tally::default();
    let mut keys: HashSet<u128> = HashSet::new();
    for source in &config.sources {
        tap::for_each(log, &source.topic, &mut |record| {
            tally.observations += u64::from(record.value.is_some());
            keys.extend(record.key.map(xxh3_128));
        })?;
    }
    tally.videos = keys.len() as u64;
    let topics: BTreeMap<_, _> = config.sinks.iter().map(|sink| (&sink.topic, &*sink.schema_name)).collect();
    for (topic, schema) in topics {
        let mut texts = Texts { registry };
        tap::for_each(log, topic, &mut |record| {
            if schema != MESSAGE_SCHEMA {
                tally.changes += 1;
            } else if let Some(text) = texts.of(record) {
                tally.messages.count(&text);
                message(&text);
            }
        })?;
    }
    tap::for_each(log, &dead_letter_topic(&config.application_id), &mut |_| tally.dead_letters += 1)?;
    Ok(tally)
}

/// The topics of `config` that hold messages.
pub fn message_topics(config: &Config) -> impl Iterator<Item = &str> {
    let is_message = |sink: &&Sink| sink.format == ValueFormat::Avro && &*sink.schema_name == MESSAGE_SCHEMA;
    let mut topics: Vec<&str> = config.sinks.iter().filter(is_message).map(|sink| &*sink.topic).collect();
    topics.sort_unstable();
    topics.dedup();
    topics.into_iter()
}

/// Reads the texts of messages.
#[derive(Debug)]
pub struct Texts<'a> {
    /// Knows their schemas.
    pub registry: &'a dyn Registry,
}

impl Texts<'_> {
    /// The text of a message; none where it cannot be read.
    pub fn of(&mut self, record: &RecordRef<'_>) -> Option<String> {
        let (key, body) = wire::split(record.value?, record.headers).ok()?;
        let schema = self.registry.lookup(key).ok()??;
        match to_json(&schema, body).ok()?.get_mut("text")?.take() {
            serde_json::Value::String(text) => Some(text),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_by_their_first_word() {
        let mut messages = Messages::default();
        for text in ["Likes changed: 1 => 2. Views", "Views changed: 1 => 2.", "Likes changed", "🎉 Up! x", ""] {
            messages.count(text);
        }
        let json = serde_json::to_string(&messages).unwrap();
        assert_eq!(json, r#"{"likes":2,"comments":0,"views":1,"up":1,"other":1}"#);
        assert_eq!(messages.total(), 5);
    }
}
