//! A consumer: a member of a group, or one that reads what it is told.

use std::sync::Arc;
use std::time::Duration;

use super::fetch::{Held, Limits, Span};
use super::group::{Group, News};
use super::keys::Place;
use super::partition::{Aborted, Bounds};
use super::{Shared, State};
use crate::streams::log::{
    Class, Committed, Consumer, ConsumerOptions, Error, GroupMetadata, Offset, Polled, RecordBatch, Result, TopicPartition,
};

/// Limits of one poll: enough to make its cost small, little enough to commit between two.
const POLL_RECORDS_MAX: usize = 1000;
const POLL_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
struct Assigned {
    partition: TopicPartition,
    position: Offset,
    paused: bool,
    held: Held,
}

/// A consumer of the embedded log.
#[derive(Debug)]
pub(super) struct LocalConsumer {
    shared: Arc<Shared>,
    options: ConsumerOptions,
    /// Its member id while it is subscribed.
    member: Option<Arc<str>>,
    topics: Vec<Arc<str>>,
    assigned: Vec<Assigned>,
    /// Where the next poll begins to look, so that no partition starves the others.
    next: usize,
}

impl LocalConsumer {
    pub(super) fn new(shared: Arc<Shared>, options: ConsumerOptions) -> Self {
        Self { shared, options, member: None, topics: Vec::new(), assigned: Vec::new(), next: 0 }
    }

    fn group(&self, operation: &str) -> Result<Arc<str>> {
        self.options.group.clone().ok_or_else(|| Error::new(Class::Fatal, operation, "the consumer has no group"))
    }

    fn find(&mut self, operation: &str, partition: &TopicPartition) -> Result<&mut Assigned> {
        let found = self.assigned.iter_mut().find(|assigned| assigned.partition == *partition);
        found.ok_or_else(|| Error::new(Class::Fatal, operation, format!("partition {partition} is not assigned")))
    }

    fn join(&mut self) -> Result<()> {
        let group = self.group("subscribing")?;
        let mut guard = self.shared.state.lock();
        let state = &mut *guard;
        state.next_member += 1;
        let id: Arc<str> = format!("{}-{}", self.options.instance_id.as_deref().unwrap_or("member"), state.next_member).into();
        let partitions = partitions_of(state, &group, &self.topics);
        let known = state.groups.entry(group).or_default();
        known.join(&id, self.options.instance_id.as_ref(), &self.topics, &partitions);
        self.member = Some(id);
        drop(guard);
        self.shared.changed.notify_all();
        Ok(())
    }

    fn leave(&mut self) {
        let (Some(member), Some(group)) = (self.member.take(), self.options.group.clone()) else { return };
        let mut guard = self.shared.state.lock();
        let state = &mut *guard;
        let partitions = partitions_of(state, &group, &[]);
        if let Some(known) = state.groups.get_mut(&group) {
            known.leave(&member, &partitions);
        }
        drop(guard);
        self.shared.changed.notify_all();
    }

    /// What the group has to say.
    fn news(&mut self) -> Result<Option<Polled>> {
        let (Some(member), Some(group)) = (self.member.clone(), self.options.group.clone()) else { return Ok(None) };
        let news = match self.shared.state.lock().groups.get_mut(&group) {
            Some(known) => known.news(&member)?,
            None => News::Nothing,
        };
        match news {
            News::Nothing => Ok(None),
            News::Event(polled) => Ok(Some(polled)),
            News::Rejoin(lost) => {
                self.assigned.retain(|assigned| !lost.contains(&assigned.partition));
                self.join()?;
                Ok((!lost.is_empty()).then_some(Polled::Lost(lost)))
            }
        }
    }

    /// Reads the next partition that has something.
    fn fetch(&mut self, batch: &mut RecordBatch) -> Result<bool> {
        let count = self.assigned.len();
        for step in 0..count {
            let index = (self.next + step) % count;
            let Some(assigned) = self.assigned.get_mut(index).filter(|assigned| !assigned.paused) else { continue };
            let Some(readable) = readable(&mut self.shared.state.lock(), assigned, &self.options)? else { continue };
            batch.start(assigned.partition.clone());
            let Readable { place, end, aborted } = &readable;
            let span = Span { place: *place, end: *end, isolation: self.options.isolation, aborted };
            let limits = Limits { records: POLL_RECORDS_MAX, bytes: POLL_BYTES_MAX };
            assigned.position = assigned.held.read(&self.shared, span, assigned.position, limits, batch)?;
            if !batch.is_empty() {
                self.next = index + 1;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn try_poll(&mut self, batch: &mut RecordBatch) -> Result<Option<Polled>> {
        if let Some(news) = self.news()? {
            return Ok(Some(news));
        }
        Ok(self.fetch(batch)?.then_some(Polled::Records))
    }

    /// Whether a poll would bring something: asked under the lock before waiting, so that no change is missed.
    fn ready(&self, state: &mut State) -> bool {
        if let (Some(member), Some(group)) = (&self.member, &self.options.group)
            && state.groups.get(group).is_some_and(|known| known.has_news(member))
        {
            return true;
        }
        self.assigned.iter().any(|assigned| !assigned.paused && !matches!(readable(state, assigned, &self.options), Ok(None)))
    }
}

/// Where a partition lies and up to where it can be read.
#[derive(Debug)]
struct Readable {
    place: Place,
    end: Offset,
    aborted: Arc<Vec<Aborted>>,
}

/// What there is to read; none when there is nothing new.
fn readable(state: &mut State, assigned: &Assigned, options: &ConsumerOptions) -> Result<Option<Readable>> {
    let (place, known) = state.partition("reading", &assigned.partition)?;
    let Bounds { low, high, .. } = known.bounds;
    if assigned.position < low || assigned.position > high {
        let position = assigned.position;
        let message = format!("offset {position} of {} is outside its log ({low} to {high})", assigned.partition);
        return Err(Error::new(Class::OutOfRange, "reading", message));
    }
    let end = known.end(options.isolation);
    Ok((assigned.position < end).then(|| Readable { place, end, aborted: Arc::clone(&known.aborted) }))
}

/// All partitions of the topics that a group subscribes to.
pub(super) fn partitions_of(state: &State, group: &str, more: &[Arc<str>]) -> Vec<TopicPartition> {
    let mut topics: Vec<_> = state.groups.get(group).into_iter().flat_map(Group::subscribed).chain(more).collect();
    topics.sort();
    topics.dedup();
    let count = |topic: &Arc<str>| state.topics.get(topic).map_or(0, |known| known.config.partitions);
    topics.into_iter().flat_map(|topic| (0..count(topic)).map(|number| TopicPartition::new(Arc::clone(topic), number))).collect()
}

impl Consumer for LocalConsumer {
    fn subscribe(&mut self, topics: &[Arc<str>]) -> Result<()> {
        for topic in topics {
            self.shared.state.lock().topic("subscribing", topic)?;
        }
        self.leave();
        self.topics = topics.to_vec();
        self.join()
    }

    fn unsubscribe(&mut self) -> Result<()> {
        self.leave();
        self.assigned.clear();
        Ok(())
    }

    fn assign(&mut self, partition: &TopicPartition, offset: Offset) -> Result<()> {
        self.shared.state.lock().partition("assigning", partition)?;
        self.assigned.retain(|assigned| assigned.partition != *partition);
        self.assigned.push(Assigned { partition: partition.clone(), position: offset, paused: false, held: Held::default() });
        Ok(())
    }

    fn unassign(&mut self, partition: &TopicPartition) -> Result<()> {
        self.assigned.retain(|assigned| assigned.partition != *partition);
        if let (Some(member), Some(group)) = (&self.member, &self.options.group) {
            if let Some(known) = self.shared.state.lock().groups.get_mut(group) {
                known.give_up(member, partition);
            }
            self.shared.changed.notify_all();
        }
        Ok(())
    }

    fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<()> {
        let assigned = self.find("seeking", partition)?;
        assigned.position = offset;
        assigned.held.clear();
        Ok(())
    }

    fn pause(&mut self, partition: &TopicPartition) -> Result<()> {
        self.find("pausing", partition)?.paused = true;
        Ok(())
    }

    fn resume(&mut self, partition: &TopicPartition) -> Result<()> {
        self.find("resuming", partition)?.paused = false;
        Ok(())
    }

    fn poll(&mut self, timeout: Duration, batch: &mut RecordBatch) -> Result<Polled> {
        batch.clear();
        if let Some(polled) = self.try_poll(batch)? {
            return Ok(polled);
        }
        let ready = {
            let mut state = self.shared.state.lock();
            self.shared.wait(&mut state, timeout, &mut |state| self.ready(state))
        };
        let polled = if ready { self.try_poll(batch)? } else { None };
        Ok(polled.unwrap_or(Polled::Nothing))
    }

    fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.assigned.iter().find(|assigned| assigned.partition == *partition).map(|assigned| assigned.position)
    }

    fn committed(&mut self, partitions: &[TopicPartition], timeout: Duration) -> Result<Vec<Option<Committed>>> {
        let group = self.group("fetching committed offsets")?;
        let mut state = self.shared.state.lock();
        let stable = self.shared.wait(&mut state, timeout, &mut |state| {
            let pending = state.groups.get(&group).into_iter().flat_map(|known| known.pending.values().flatten());
            !pending.into_iter().any(|held| partitions.contains(held))
        });
        if !stable {
            let message = "an open transaction holds offsets of these partitions";
            return Err(Error::new(Class::Retriable, "fetching committed offsets", message));
        }
        let known = state.groups.get(&group);
        Ok(partitions.iter().map(|partition| known.and_then(|known| known.offsets.get(partition).cloned())).collect())
    }

    fn group_metadata(&self) -> GroupMetadata {
        let group = self.options.group.clone().unwrap_or_else(|| Arc::from(""));
        let member_id = self.member.clone().unwrap_or_else(|| Arc::from(""));
        let generation = self.shared.state.lock().groups.get(&group).map_or(-1, |known| known.generation_of(&member_id));
        GroupMetadata { group, member_id, generation, native: None }
    }
}

impl Drop for LocalConsumer {
    fn drop(&mut self) {
        if self.shared.state.lock().simulated.is_broker {
            return;
        }
        self.leave();
    }
}
