//! The topics of an application: which it needs, which it makes itself, and their places in the producer's list.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Error, Options, Result};
use crate::streams::log::{Admin, Class, TopicConfig};
use crate::streams::processor::StoreId;
use crate::streams::topology::Blueprint;

/// The changelog of a store: `<application.id>-<store>-changelog`, as Kafka Streams names it.
pub fn changelog_topic(application_id: &str, store: &str) -> String {
    format!("{application_id}-{store}-changelog")
}

/// Where records go that cannot be processed.
pub fn dead_letter_topic(application_id: &str) -> String {
    format!("{application_id}-dead-letters")
}

/// All topics that a producer of the application writes to: those of the sinks, the changelogs, the dead letters.
#[derive(Clone, Debug)]
pub(super) struct TopicTable {
    topics: Vec<Arc<str>>,
    /// Per sub-topology: where its changelogs begin.
    changelogs: Vec<usize>,
}

impl TopicTable {
    /// The table of a topology.
    pub(super) fn new(options: &Options, topology: &dyn Blueprint) -> Self {
        let mut topics = topology.sink_topics().to_vec();
        let mut changelogs = Vec::new();
        for subtopology in topology.subtopologies() {
            changelogs.push(topics.len());
            topics.extend(subtopology.stores.iter().map(|store| Arc::from(changelog_topic(&options.application_id, &store.name))));
        }
        topics.push(Arc::clone(&options.dead_letter_topic));
        Self { topics, changelogs }
    }

    /// The topics, in the order in which a producer is told of them.
    pub(super) fn topics(&self) -> &[Arc<str>] {
        &self.topics
    }

    /// The place of the dead-letter topic.
    pub(super) fn dead_letters(&self) -> usize {
        self.topics.len().saturating_sub(1)
    }

    /// The place of a store's changelog.
    pub(super) fn changelog(&self, subtopology: usize, store: StoreId) -> usize {
        self.changelogs.get(subtopology).copied().unwrap_or_default() + store.0
    }

    /// The name of a store's changelog.
    pub(super) fn changelog_name(&self, subtopology: usize, store: StoreId) -> Arc<str> {
        self.topics.get(self.changelog(subtopology, store)).cloned().unwrap_or_else(|| Arc::from(""))
    }
}

/// Checks that the topics of sources and sinks are there, and the internal ones, unless they are to be created; returns the partitions of each
/// input.
pub(super) fn prepare(
    admin: &dyn Admin,
    topology: &dyn Blueprint,
    table: &TopicTable,
    create_internal: bool,
) -> Result<BTreeMap<Arc<str>, i32>> {
    let need = |topic: &Arc<str>| admin.describe(topic)?.ok_or_else(|| Error::MissingTopic { topic: topic.to_string() });
    let internal = |topic: &Arc<str>, config: &TopicConfig| {
        if create_internal { create(admin, topic, config) } else { Ok(need(topic)?.config.partitions) }
    };
    for topic in topology.sink_topics() {
        need(topic)?;
    }
    let mut inputs = BTreeMap::new();
    let mut widest = 1;
    for subtopology in topology.subtopologies() {
        let partitions = need(&subtopology.topic)?.config.partitions;
        inputs.insert(Arc::clone(&subtopology.topic), partitions);
        widest = widest.max(partitions);
        for store in 0..subtopology.stores.len() {
            let topic = table.changelog_name(subtopology.id, StoreId(store));
            let found = internal(&topic, &TopicConfig::compact(partitions))?;
            if found != partitions {
                return Err(Error::TopicPartitions {
                    topic: topic.to_string(),
                    found,
                    input: subtopology.topic.to_string(),
                    needed: partitions,
                });
            }
        }
    }
    if let Some(topic) = table.topics().get(table.dead_letters()) {
        internal(topic, &TopicConfig::keep(widest))?;
    }
    Ok(inputs)
}

/// Creates a topic where it is not there; returns how many partitions it has.
fn create(admin: &dyn Admin, topic: &str, config: &TopicConfig) -> Result<i32> {
    if let Some(known) = admin.describe(topic)? {
        return Ok(known.config.partitions);
    }
    match admin.create_topic(topic, config) {
        // Another instance was quicker.
        Err(error) if error.class == Class::Exists => Ok(admin.describe(topic)?.map_or(config.partitions, |known| known.config.partitions)),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(config.partitions),
    }
}
