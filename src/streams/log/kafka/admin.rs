//! Topics, offsets and groups of a cluster.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::topic_partition_list::{Offset as NativeOffset, TopicPartitionList};

use super::client::Client;
use super::consumer::KafkaConsumer;
use super::context::Ear;
use super::error::{self, Call};
use super::native;
use super::wait::{patiently, wait};
use super::{Options, settings};
use crate::streams::clock::Timestamp;
use crate::streams::log::{
    Admin, Class, CleanupPolicy, Committed, Consumer, ConsumerOptions, Error, Isolation, Offset, Polled, RecordBatch, Result, TopicConfig,
    TopicDescription, TopicPartition,
};

/// How long a question may take, the connection included.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The same in pieces: between two of them it is heard whether the brokers refuse us, which no answer says.
const PIECES: [Duration; 4] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];

/// How long it is listened. Without any time a poll would be over with the first line for the log.
const LISTEN: Duration = Duration::from_millis(20);

/// So many events of a client are served when a call has failed.
const EVENTS_MAX: usize = 64;

/// How long one look at a partition waits, and how many in a row may bring nothing.
const LOOK: Duration = Duration::from_millis(100);
const SILENT_LOOKS_MAX: u32 = 150;

/// The admin side of a cluster.
pub(super) struct KafkaAdmin {
    options: Options,
    client: Client<AdminClient<Ear>>,
    /// One for each isolation level: which end of a partition is answered depends on it.
    committed: Client<BaseConsumer<Ear>>,
    uncommitted: Client<BaseConsumer<Ear>>,
}

impl std::fmt::Debug for KafkaAdmin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaAdmin").field("options", &self.options).finish_non_exhaustive()
    }
}

impl KafkaAdmin {
    pub(super) fn new(options: &Options) -> Result<Self> {
        let failed = |cause| error::of(Call::Other, "making a client", cause, None);
        let client = AdminClient::from_config_and_context(&settings::admin(options), Ear::default()).map_err(failed)?;
        let query = |isolation| {
            let consumer = BaseConsumer::from_config_and_context(&settings::query(options, isolation), Ear::default());
            consumer.map(|consumer| Client::new("consumer for questions", consumer)).map_err(failed)
        };
        Ok(Self {
            options: options.clone(),
            client: Client::new("admin", client),
            committed: query(Isolation::ReadCommitted)?,
            uncommitted: query(Isolation::ReadUncommitted)?,
        })
    }

    fn query(&self, isolation: Isolation) -> &BaseConsumer<Ear> {
        match isolation {
            Isolation::ReadCommitted => &self.committed,
            Isolation::ReadUncommitted => &self.uncommitted,
        }
    }

    fn failure(&self, operation: impl Into<String>, cause: KafkaError) -> Error {
        failure_of(&self.uncommitted, operation, cause)
    }

    /// What is known of the brokers and of one topic, or all. The first question of every command: it finds out whether there is a way in.
    fn look(&self, topic: Option<&str>) -> Result<Metadata, KafkaError> {
        let mut failed = KafkaError::Canceled;
        for piece in PIECES {
            match self.uncommitted.fetch_metadata(topic, piece) {
                Err(cause) if cause.rdkafka_error_code().is_some_and(error::passes) => failed = cause,
                answer => return answer,
            }
            // Errors that belong to no question are told in polls.
            while self.uncommitted.poll(LISTEN).is_some() {}
            if let Some(code) = self.uncommitted.context().refusal() {
                return Err(KafkaError::Global(code));
            }
        }
        Err(failed)
    }

    fn refused(&self, operation: impl Into<String>, code: RDKafkaErrorCode) -> Error {
        self.failure(operation, KafkaError::Global(code))
    }

    /// The topics, of one name or all, sorted.
    fn metadata(&self, topic: Option<&str>) -> Result<Vec<Shape>> {
        let operation = || topic.map_or_else(|| "listing the topics".to_owned(), |topic| format!("describing the topic {topic}"));
        let metadata = self.look(topic).map_err(|cause| self.failure(operation(), cause))?;
        self.uncommitted.context().answered();
        let mut topics = Vec::new();
        for known in metadata.topics() {
            match known.error().map(RDKafkaErrorCode::from) {
                None => topics.push(Shape::of(known)),
                Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {}
                Some(code) if topic.is_some() => return Err(self.refused(operation(), code)),
                Some(_) => {}
            }
        }
        topics.sort();
        Ok(topics)
    }

    /// The settings of topics, in the same order; a topic whose settings may not be read seems to keep everything.
    fn configs(&self, topics: &[Shape]) -> Result<Vec<TopicDescription>> {
        let resources: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(&topic.name)).collect();
        let described = if resources.is_empty() {
            Vec::new()
        } else {
            let asked = wait(self.client.describe_configs(&resources, &patience()));
            asked.map_err(|cause| self.failure("reading the settings of topics", cause))?
        };
        let mut described = described.into_iter();
        let describe = |topic: &Shape| {
            let config = match described.next() {
                Some(Ok(resource)) => read_config(&resource, topic),
                _ => TopicConfig { replication: topic.replication, ..TopicConfig::keep(topic.partitions) },
            };
            TopicDescription { name: Arc::clone(&topic.name), config }
        };
        Ok(topics.iter().map(describe).collect())
    }

    /// One setting of a topic, where it may be read.
    pub(super) fn setting(&self, topic: &str, name: &str) -> Option<String> {
        let described = wait(self.client.describe_configs(&[ResourceSpecifier::Topic(topic)], &patience())).ok()?;
        described.into_iter().next()?.ok()?.get(name)?.value.clone()
    }

    /// A consumer that speaks for a group without being a member.
    fn speaker(&self, group: &str) -> Result<Client<BaseConsumer<Ear>>> {
        let wanted = ConsumerOptions { group: Some(group.into()), instance_id: None, isolation: Isolation::ReadCommitted };
        let config = settings::consumer(&self.options, &wanted);
        let consumer = BaseConsumer::from_config_and_context(&config, Ear::default());
        let speaker = consumer.map(|consumer| Client::new("consumer that speaks for a group", consumer));
        speaker.map_err(|cause| self.failure(format!("speaking for {group}"), cause))
    }

    /// The first committed record from `offset` on that is not older than `timestamp`. A broker's own answer counts markers, which carry
    /// the time at which they were written, and records that were aborted: for what was imported it is far too early.
    fn first_record(&self, partition: &TopicPartition, offset: Offset, timestamp: Timestamp) -> Result<Option<Offset>> {
        let (_, end) = self.watermarks(partition, Isolation::ReadCommitted)?;
        let wanted = ConsumerOptions { group: None, instance_id: None, isolation: Isolation::ReadCommitted };
        let mut consumer = KafkaConsumer::new(&self.options, &wanted)?;
        consumer.assign(partition, offset)?;
        let mut batch = RecordBatch::default();
        let mut silent = 0;
        while consumer.position(partition).is_some_and(|position| position < end) {
            if consumer.poll(LOOK, &mut batch)? == Polled::Records {
                silent = 0;
                if let Some(record) = batch.iter().find(|record| record.timestamp >= timestamp) {
                    return Ok(Some(record.offset));
                }
            } else if silent < SILENT_LOOKS_MAX {
                silent += 1;
            } else {
                let operation = format!("looking for a time in {partition}");
                return Err(Error::new(Class::Retriable, operation, format!("nothing came from offset {offset} on")));
            }
        }
        Ok(None)
    }

    fn delete_group(&self, group: &str) -> Result<()> {
        let operation = || format!("removing the offsets of {group}");
        let removed = wait(self.client.delete_groups(&[group], &patience())).map_err(|cause| self.failure(operation(), cause))?;
        for result in removed {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound)) => {}
                Err((_, RDKafkaErrorCode::NonEmptyGroup)) => {
                    return Err(has_members(operation()));
                }
                Err((_, code)) => return Err(self.refused(operation(), code)),
            }
        }
        Ok(())
    }
}

/// An error of a client, with what brokers said to it.
fn failure_of(client: &BaseConsumer<Ear>, operation: impl Into<String>, cause: KafkaError) -> Error {
    // What a broker said is an event, and only who polls hears it. These clients have no assignment: no record can come.
    for _ in 0..EVENTS_MAX {
        drop(client.poll(Duration::ZERO));
    }
    error::of(Call::Other, operation, cause, client.context().reason())
}

/// Offsets are set for a group that nobody is in.
fn has_members(operation: String) -> Error {
    let message = "the group still has members; one that was stopped or killed is a member until its session times out (`run --leave-on-stop` leaves)";
    Error::new(Class::Retriable, operation, message)
}

fn patience() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT))
}

/// What every client may know of a topic.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    name: Arc<str>,
    partitions: i32,
    replication: Option<i32>,
}

impl Shape {
    fn of(topic: &MetadataTopic) -> Self {
        let partitions = i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX);
        let copies = topic.partitions().iter().map(|partition| partition.replicas().len()).min();
        Self { name: topic.name().into(), partitions, replication: copies.and_then(|copies| i32::try_from(copies).ok()) }
    }
}

fn read_config(resource: &ConfigResource, topic: &Shape) -> TopicConfig {
    let text = |name: &str| resource.get(name).and_then(|entry| entry.value.as_deref());
    // -1, for ever, is no number of milliseconds.
    let duration = |name: &str| text(name).and_then(|value| value.parse().ok()).map(Duration::from_millis);
    // A policy that also deletes loses records by their time, whatever else it does.
    let compacted = text("cleanup.policy").is_some_and(|policy| policy.trim() == "compact");
    TopicConfig {
        partitions: topic.partitions,
        cleanup: if compacted { CleanupPolicy::Compact } else { CleanupPolicy::Delete },
        retention: duration("retention.ms"),
        delete_retention: duration("delete.retention.ms").unwrap_or_default(),
        replication: topic.replication,
        min_insync_replicas: text("min.insync.replicas").and_then(|value| value.parse().ok()),
        max_message_bytes: text("max.message.bytes").and_then(|value| value.parse().ok()),
    }
}

impl Admin for KafkaAdmin {
    fn brokers(&self) -> Result<usize> {
        // Asking for one topic that is not there is cheaper than for all.
        let metadata = self.look(Some("__consumer_offsets"));
        Ok(metadata.map_err(|cause| self.failure("counting the brokers", cause))?.brokers().len())
    }

    fn topics(&self) -> Result<Vec<TopicDescription>> {
        self.configs(&self.metadata(None)?)
    }

    fn describe(&self, topic: &str) -> Result<Option<TopicDescription>> {
        Ok(self.configs(&self.metadata(Some(topic))?)?.pop())
    }

    fn create_topic(&self, topic: &str, config: &TopicConfig) -> Result<()> {
        let operation = || format!("creating the topic {topic}");
        let retention = config.retention.map_or_else(|| "-1".to_owned(), |retention| retention.as_millis().to_string());
        let delete_retention = config.delete_retention.as_millis().to_string();
        let in_sync = config.min_insync_replicas.map(|replicas| replicas.to_string());
        // -1: as the brokers say.
        let replication = TopicReplication::Fixed(config.replication.or(self.options.replication).unwrap_or(-1));
        let mut new = NewTopic::new(topic, config.partitions, replication).set("retention.ms", &retention);
        if config.cleanup == CleanupPolicy::Compact {
            new = new.set("cleanup.policy", "compact").set("delete.retention.ms", &delete_retention);
        }
        if let Some(in_sync) = &in_sync {
            new = new.set("min.insync.replicas", in_sync);
        }
        let created = wait(self.client.create_topics([&new], &patience())).map_err(|cause| self.failure(operation(), cause))?;
        match created.into_iter().next() {
            Some(Err((_, code))) => Err(self.refused(operation(), code)),
            _ => Ok(()),
        }
    }

    fn delete_topic(&self, topic: &str) -> Result<()> {
        let operation = || format!("deleting the topic {topic}");
        let deleted = wait(self.client.delete_topics(&[topic], &patience())).map_err(|cause| self.failure(operation(), cause))?;
        match deleted.into_iter().next() {
            Some(Err((_, code))) => Err(self.refused(operation(), code)),
            _ => Ok(()),
        }
    }

    fn watermarks(&self, partition: &TopicPartition, isolation: Isolation) -> Result<(Offset, Offset)> {
        let asked = self.query(isolation).fetch_watermarks(&partition.topic, partition.partition.0, TIMEOUT);
        let failed = |cause| failure_of(self.query(isolation), format!("asking for the offsets of {partition}"), cause);
        let (low, end) = asked.map_err(failed)?;
        Ok((Offset(low), Offset(end)))
    }

    fn offset_for_time(&self, partition: &TopicPartition, timestamp: Timestamp) -> Result<Option<Offset>> {
        let failed = |cause| self.failure(format!("looking for a time in {partition}"), cause);
        let mut list = TopicPartitionList::new();
        let (topic, number) = (&*partition.topic, partition.partition.0);
        list.add_partition_offset(topic, number, NativeOffset::Offset(timestamp.0.max(0))).map_err(failed)?;
        let found = self.uncommitted.offsets_for_times(list, TIMEOUT).map_err(failed)?;
        let Some(element) = found.find_partition(topic, number) else { return Ok(None) };
        element.error().map_err(failed)?;
        let NativeOffset::Offset(offset) = element.offset() else { return Ok(None) };
        self.first_record(partition, Offset(offset), timestamp)
    }

    fn group_offsets(&self, group: &str) -> Result<Vec<(TopicPartition, Committed)>> {
        let operation = || format!("asking for the offsets of {group}");
        let mut list = TopicPartitionList::new();
        for topic in self.metadata(None)?.iter().filter(|topic| topic.partitions > 0) {
            list.add_partition_range(&topic.name, 0, topic.partitions - 1);
        }
        let speaker = self.speaker(group)?;
        let asked = patiently(TIMEOUT, || speaker.committed_offsets(list.clone(), TIMEOUT));
        let found = asked.map_err(|cause| failure_of(&speaker, operation(), cause))?;
        let mut offsets = Vec::new();
        for element in found.elements() {
            element.error().map_err(|cause| self.failure(operation(), cause))?;
            if let NativeOffset::Offset(offset) = element.offset() {
                let committed = Committed { offset: Offset(offset), metadata: element.metadata().into() };
                offsets.push((TopicPartition::new(element.topic(), element.partition()), committed));
            }
        }
        offsets.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(offsets)
    }

    /// Single offsets cannot be removed: the group is removed, and what stays is committed again. Not atomic.
    fn alter_group_offsets(&self, group: &str, offsets: &[(TopicPartition, Option<Committed>)]) -> Result<()> {
        let mut set: Vec<(TopicPartition, Committed)> = Vec::new();
        if offsets.iter().any(|(_, committed)| committed.is_none()) {
            let named = |partition: &TopicPartition| offsets.iter().any(|(known, _)| known == partition);
            set.extend(self.group_offsets(group)?.into_iter().filter(|(partition, _)| !named(partition)));
            self.delete_group(group)?;
        }
        set.extend(offsets.iter().filter_map(|(partition, committed)| Some((partition.clone(), committed.clone()?))));
        if set.is_empty() {
            return Ok(());
        }
        let failed = |cause| self.failure(format!("setting the offsets of {group}"), cause);
        let list = native::offsets(&set).map_err(failed)?;
        self.speaker(group)?.commit(&list, CommitMode::Sync).map_err(|cause| match cause.rdkafka_error_code() {
            Some(RDKafkaErrorCode::UnknownMemberId | RDKafkaErrorCode::IllegalGeneration | RDKafkaErrorCode::RebalanceInProgress) => {
                has_members(format!("setting the offsets of {group}"))
            }
            _ => failed(cause),
        })
    }

    /// Brokers keep house by themselves.
    fn maintain(&self, _: Timestamp) -> Result<()> {
        Ok(())
    }
}
