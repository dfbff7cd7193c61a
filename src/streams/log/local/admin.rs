//! Topics, watermarks, groups, and the housekeeping that a broker does by itself.

use std::sync::Arc;

use super::consumer::partitions_of;
use super::fetch::{self, Span};
use super::group::Group;
use super::keys::{self, Place};
use super::partition::{Bounds, Partition, StoredTopic};
use super::{Shared, State, Topic, transaction, write};
use crate::streams::clock::Timestamp;
use crate::streams::kv::{Batch, Durability, prefix_end};
use crate::streams::log::{Admin, Class, Committed, Error, Isolation, Offset, Result, TopicConfig, TopicDescription, TopicPartition};

/// The admin side of the embedded log.
#[derive(Debug)]
pub(super) struct LocalAdmin {
    shared: Arc<Shared>,
}

impl LocalAdmin {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Members learn of topics that came or went.
    fn rebalance(state: &mut State, topic: &str) {
        let concerned: Vec<_> = state
            .groups
            .iter()
            .filter(|(_, group)| group.subscribed().any(|known| **known == *topic))
            .map(|(name, _)| Arc::clone(name))
            .collect();
        for name in concerned {
            let partitions = partitions_of(state, &name, &[]);
            if let Some(group) = state.groups.get_mut(&name) {
                group.rebalance(&partitions);
            }
        }
    }
}

impl Admin for LocalAdmin {
    fn topics(&self) -> Result<Vec<TopicDescription>> {
        let state = self.shared.state.lock();
        Ok(state.topics.iter().map(|(name, topic)| TopicDescription { name: Arc::clone(name), config: topic.config.clone() }).collect())
    }

    fn describe(&self, topic: &str) -> Result<Option<TopicDescription>> {
        let state = self.shared.state.lock();
        let known = state.topics.get_key_value(topic);
        Ok(known.map(|(name, topic)| TopicDescription { name: Arc::clone(name), config: topic.config.clone() }))
    }

    fn create_topic(&self, topic: &str, config: &TopicConfig) -> Result<()> {
        let operation = format!("creating topic {topic}");
        let legal =
            !topic.is_empty() && topic.len() <= 249 && topic.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if !legal || config.partitions < 1 {
            return Err(Error::new(
                Class::Fatal,
                operation,
                "the name must be of letters, digits, '.', '_' and '-', and there must be a partition",
            ));
        }
        let mut guard = self.shared.state.lock();
        let state = &mut *guard;
        if state.topics.contains_key(topic) {
            return Err(Error::new(Class::Exists, operation, "it exists"));
        }
        let id = state.next_topic;
        let mut batch = Batch::default();
        batch.put(&keys::topic(id), &serde_json::to_vec(&StoredTopic::of(topic, config)).unwrap_or_default());
        batch.put(keys::COUNTERS, &keys::counters(id + 1, state.next_producer));
        write(&*self.shared.kv, &operation, &batch, Durability::Synced)?;
        state.next_topic = id + 1;
        let partitions = (0..config.partitions).map(|_| Partition::default()).collect();
        // There is one copy of everything.
        let config = TopicConfig { replication: None, min_insync_replicas: None, max_message_bytes: None, ..config.clone() };
        state.topics.insert(Arc::from(topic), Topic { id, config, partitions });
        Self::rebalance(state, topic);
        drop(guard);
        self.shared.changed.notify_all();
        Ok(())
    }

    fn delete_topic(&self, topic: &str) -> Result<()> {
        let operation = format!("deleting topic {topic}");
        // No compaction may bring its chunks back.
        let _compactor = self.shared.compactor.lock();
        let mut guard = self.shared.state.lock();
        let state = &mut *guard;
        let known = state.topic(&operation, topic)?;
        let mut batch = Batch::default();
        batch.delete(&keys::topic(known.id));
        for number in 0..known.config.partitions {
            let place = Place { topic: known.id, partition: crate::streams::log::Partition(number) };
            batch.delete(&keys::meta(place));
            for prefix in [keys::chunks(place), keys::aborted_ranges(place)] {
                batch.delete_range(&prefix, &prefix_end(&prefix).unwrap_or_default());
            }
        }
        for (name, group) in &state.groups {
            for partition in group.offsets.keys().filter(|partition| *partition.topic == *topic) {
                batch.delete(&keys::offset(name, partition));
            }
        }
        write(&*self.shared.kv, &operation, &batch, Durability::Synced)?;
        state.topics.remove(topic);
        for group in state.groups.values_mut() {
            group.offsets.retain(|partition, _| *partition.topic != *topic);
        }
        for transaction in state.transactions.values_mut() {
            transaction.offsets.retain(|(_, partition, _)| *partition.topic != *topic);
        }
        Self::rebalance(state, topic);
        drop(guard);
        self.shared.changed.notify_all();
        Ok(())
    }

    fn watermarks(&self, partition: &TopicPartition, isolation: Isolation) -> Result<(Offset, Offset)> {
        let mut state = self.shared.state.lock();
        let (_, known) = state.partition("fetching watermarks", partition)?;
        Ok((known.bounds.low, known.end(isolation)))
    }

    fn offset_for_time(&self, partition: &TopicPartition, timestamp: Timestamp) -> Result<Option<Offset>> {
        let mut state = self.shared.state.lock();
        let (place, known) = state.partition("looking up a time", partition)?;
        // A copy of the bounds: the scan must not hold up the producers.
        let (Bounds { low, high, .. }, aborted) = (known.bounds, Arc::clone(&known.aborted));
        drop(state);
        let span = Span { place, end: high, isolation: Isolation::ReadCommitted, aborted: &aborted };
        fetch::offset_for_time(&*self.shared.kv, span, low, timestamp.0)
    }

    fn group_offsets(&self, group: &str) -> Result<Vec<(TopicPartition, Committed)>> {
        let state = self.shared.state.lock();
        let offsets = state.groups.get(group).into_iter().flat_map(|group| &group.offsets);
        Ok(offsets.map(|(partition, committed)| (partition.clone(), committed.clone())).collect())
    }

    fn alter_group_offsets(&self, group: &str, offsets: &[(TopicPartition, Option<Committed>)]) -> Result<()> {
        let operation = format!("changing the offsets of group {group}");
        let mut state = self.shared.state.lock();
        let known = state.groups.entry(Arc::from(group)).or_default();
        if known.has_members() {
            return Err(Error::new(Class::Fatal, operation, "the group has members; stop them first"));
        }
        let mut batch = Batch::default();
        for (partition, committed) in offsets {
            match committed {
                Some(committed) => Group::put_offset(group, partition, committed, &mut batch),
                None => batch.delete(&keys::offset(group, partition)),
            }
        }
        write(&*self.shared.kv, &operation, &batch, Durability::Synced)?;
        for (partition, committed) in offsets {
            match committed {
                Some(committed) => known.offsets.insert(partition.clone(), committed.clone()),
                None => known.offsets.remove(partition),
            };
        }
        Ok(())
    }

    fn maintain(&self, now: Timestamp) -> Result<()> {
        let mut state = self.shared.state.lock();
        let appended_bytes = std::mem::take(&mut state.appended_bytes);
        let aborted = transaction::abort_expired(&*self.shared.kv, &mut state, now);
        drop(state);
        if *aborted.as_ref().unwrap_or(&true) {
            self.shared.changed.notify_all();
        }
        aborted?;
        self.shared.compactor.lock().work(&self.shared, now, appended_bytes)
    }
}
