//! The checked model of a topology file: what commands may rely on.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::diagnostics::Diagnostics;
use super::external::External;
use super::kafka::Kafka;
use super::plan::Plan;
use super::telegram::Telegram;
use super::youtube::YouTube;
use crate::avro::{Aliases, KeyFormat, Schema, Shape};
use crate::streams::runtime;
use crate::streams::topology::{ErrorPolicy, OnError, Start};

/// A topology file without faults.
#[derive(Debug)]
pub struct Config {
    /// Names the consumer group and all internal topics.
    pub application_id: Arc<str>,
    /// The sources, in the order of the file.
    pub sources: Vec<Source>,
    /// The processors, each after its input.
    pub processors: Vec<Processor>,
    /// The sinks, in the order of the file.
    pub sinks: Vec<Sink>,
    /// What becomes of bad records.
    pub errors: ErrorPolicy,
    /// How the engine runs.
    pub engine: Engine,
    /// The cluster it runs on; none: the embedded log.
    pub kafka: Option<Kafka>,
    /// Who sends the messages to Telegram; none: nobody here.
    pub telegram: Option<Telegram>,
    /// What is watched on YouTube; none: observations come from elsewhere.
    pub youtube: Option<YouTube>,
    pub(super) warnings: Diagnostics,
}

impl Config {
    /// What is allowed, but probably not meant.
    pub fn warnings(&self) -> &Diagnostics {
        &self.warnings
    }

    /// What nobody may read of it, as far as it was read from outside.
    pub fn secrets(&self) -> Vec<SecretString> {
        let token = self.telegram.as_ref().and_then(|telegram| telegram.token.secret());
        let key = self.youtube.as_ref().and_then(|youtube| youtube.api_key.secret());
        self.kafka.iter().flat_map(Kafka::secrets).chain(token).chain(key).collect()
    }

    /// The names of the stores: those of the nodes that remember something.
    pub fn stores(&self) -> impl Iterator<Item = &str> {
        self.processors.iter().filter(|node| node.plan.store().is_some()).map(|node| &*node.name)
    }

    /// The stores, each with the topic whose records it remembers.
    pub fn stores_with_inputs(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        let nodes = self.processors.iter().filter(|node| node.plan.store().is_some());
        nodes.filter_map(|node| Some((&node.name, self.topic_before(&node.input)?)))
    }

    /// The topic that a node's records come from.
    fn topic_before(&self, node: &str) -> Option<&Arc<str>> {
        let mut name = node;
        while let Some(processor) = self.processors.iter().find(|processor| &*processor.name == name) {
            name = &processor.input;
        }
        self.sources.iter().find(|source| &*source.name == name).map(|source| &source.topic)
    }

    /// The engine's options for one instance, called as the file says or else `instance_id`.
    pub fn runtime_options(&self, instance_id: impl Into<Arc<str>>) -> runtime::Options {
        let engine = &self.engine;
        let instance_id = engine.instance_id_or(instance_id);
        runtime::Options {
            threads: engine.threads,
            commit_interval: engine.commit_interval,
            commit_records_max: engine.commit_records_max,
            commit_at_end_of_input: engine.commit_at_end_of_input,
            transaction_timeout: engine.transaction_timeout,
            create_internal_topics: self.kafka.is_none(),
            overlay_bytes_max: engine.overlay_bytes_max,
            cache_bytes: engine.cache_bytes,
            write_back_bytes: engine.write_back_bytes,
            write_back_interval: engine.write_back_interval,
            endtxn_guard: engine.endtxn_guard,
            watchdog: engine.watchdog,
            // The embedded log has no other instances.
            standby: engine.standby && self.kafka.is_some(),
            ..runtime::Options::new(Arc::clone(&self.application_id), instance_id)
        }
    }

    /// The source that reads `topic`.
    pub fn source_of(&self, topic: &str) -> Option<&Source> {
        self.sources.iter().find(|source| &*source.topic == topic)
    }

    /// The source whose topic gets the observations of YouTube; none where nothing is watched there.
    pub fn youtube_source(&self) -> Option<&Source> {
        let youtube = self.youtube.as_ref()?;
        self.sources.iter().find(|source| source.name == youtube.source)
    }
}

/// A topic that is read.
#[derive(Debug)]
pub struct Source {
    /// The name of the node.
    pub name: Arc<str>,
    /// The topic.
    pub topic: Arc<str>,
    /// How its keys are written.
    pub key: KeyFormat,
    /// How its values are written.
    pub format: ValueFormat,
    /// What the schema of its values is called in messages.
    pub schema_name: Arc<str>,
    /// That schema: what the topology sees of the values.
    pub schema: Schema,
    /// Fields that have another name in the topic.
    pub aliases: Aliases,
    /// The fields that the topology needs of it.
    pub shape: Shape,
    /// Whether it needs the key too: then that is the row's last value.
    pub reads_key: bool,
    /// Where a group without committed offsets begins.
    pub start: Start,
    /// What becomes of bytes that are no value, where it differs from the file's `[errors]`.
    pub on_error: Option<OnError>,
}

/// A node between sources and sinks.
#[derive(Debug)]
pub struct Processor {
    /// The name of the node.
    pub name: Arc<str>,
    /// The name of its input.
    pub input: Arc<str>,
    /// Where its messages go; none for a node that sends none.
    pub recipient: Option<Recipient>,
    /// What it does.
    pub(super) plan: Plan,
}

/// Where the messages of a node go.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// The chat.
    pub chat_id: External,
    /// The topic of a group; 0 for none.
    pub message_thread_id: i64,
}

/// How the values of a topic are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueFormat {
    /// Avro in the Confluent wire format.
    #[default]
    Avro,
    /// A JSON object, which the schema only describes.
    Json,
}

/// What a sink writes.
#[derive(Debug)]
pub struct SinkInput {
    /// The node.
    pub name: Arc<str>,
    /// The shape of its rows.
    pub shape: Shape,
    /// How its keys are written.
    pub key: KeyFormat,
}

/// A topic that is written.
#[derive(Debug)]
pub struct Sink {
    /// Its name, unique among the sinks.
    pub name: Arc<str>,
    /// The nodes whose records it writes.
    pub inputs: Vec<SinkInput>,
    /// The topic.
    pub topic: Arc<str>,
    /// How its values are written.
    pub format: ValueFormat,
    /// What the schema of its values is called in messages.
    pub schema_name: Arc<str>,
    /// That schema.
    pub schema: Schema,
}

/// How the engine runs: `[engine]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// Number of stream threads.
    pub threads: usize,
    /// Number of partitions of the topics that are created.
    pub partitions: i32,
    /// What this instance is called; none: as its state directory says.
    pub instance_id: Option<Arc<str>>,
    /// Under load a transaction is committed after this time at the latest.
    pub commit_interval: Duration,
    /// Under load a transaction is committed when it has this many results.
    pub commit_records_max: u64,
    /// Whether to commit at once when the available input is used up.
    pub commit_at_end_of_input: bool,
    /// How long the log waits before it aborts an open transaction of a dead owner.
    pub transaction_timeout: Duration,
    /// A transaction is committed when its uncommitted rows take this many bytes.
    pub overlay_bytes_max: usize,
    /// Memory for rows that are not on disk or hot, in bytes, per thread.
    pub cache_bytes: usize,
    /// Committed rows that may wait for the disk, in bytes, per thread.
    pub write_back_bytes: usize,
    /// Committed rows reach the disk after this time at the latest.
    pub write_back_interval: Duration,
    /// A commit call that took longer may have been sent twice.
    pub endtxn_guard: Duration,
    /// A thread that makes no step for this long stops the process.
    pub watchdog: Duration,
    /// Whether the changelogs of the partitions of other instances are followed.
    pub standby: bool,
}

impl Engine {
    /// What the file calls this instance, or else what its state directory does.
    pub fn instance_id_or(&self, own: impl Into<Arc<str>>) -> Arc<str> {
        self.instance_id.clone().unwrap_or_else(|| own.into())
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            threads: 1,
            partitions: 1,
            instance_id: None,
            commit_interval: Duration::from_millis(100),
            commit_records_max: 100_000,
            commit_at_end_of_input: true,
            transaction_timeout: Duration::from_secs(10),
            overlay_bytes_max: 8 << 20,
            cache_bytes: 32 << 20,
            write_back_bytes: 16 << 20,
            write_back_interval: Duration::from_secs(30),
            endtxn_guard: Duration::from_millis(300),
            watchdog: Duration::from_secs(30),
            standby: false,
        }
    }
}
