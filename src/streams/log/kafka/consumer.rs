//! A consumer on librdkafka. It reads what the engine assigns, partition by partition, and tells the engine what the group asks for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset as NativeOffset, TopicPartitionList};

use super::client::Client;
use super::closing::{close_in_time, give_up};
use super::context::{Ear, Rebalance};
use super::error::{self, Call};
use super::native::{one, push};
use super::orphans::{Standing, Watch};
use super::wait::patiently;
use super::{Options, settings, successor};
use crate::streams::log::{
    Class, Committed, Consumer, ConsumerOptions, Error, GroupMetadata, HeadersBuf, Offset, Polled, RecordBatch, Result, TopicPartition,
};

/// Limits of one poll.
const POLL_RECORDS_MAX: usize = 2_000;
const POLL_BYTES_MAX: usize = 1 << 20;

/// So many records in a row without a pause are load: then an empty queue is not yet the end of the input.
const LOAD_RECORDS: usize = 1_000;

/// How long more is waited for under load. A commit costs about as much.
const LOAD_GRACE: Duration = Duration::from_millis(5);

/// How long a local operation of librdkafka may take.
const LOCAL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long leaving a group may take.
const LEAVE_TIMEOUT_POLLS: u32 = 100;
const LEAVE_POLL: Duration = Duration::from_millis(50);

#[derive(Debug)]
struct Assigned {
    partition: TopicPartition,
    position: Offset,
    paused: bool,
}

/// A consumer of a cluster.
pub(super) struct KafkaConsumer {
    consumer: Client<BaseConsumer<Ear>>,
    group: Option<Arc<str>>,
    instance_id: Option<Arc<str>>,
    session_timeout: Duration,
    /// What it subscribes to.
    topics: Vec<Arc<str>>,
    standing: Standing,
    assigned: Vec<Assigned>,
    /// Partitions that the group wants back; given up together, when the engine has let go of each.
    revoked: BTreeSet<TopicPartition>,
    /// Those of them that the engine still holds.
    kept: BTreeSet<TopicPartition>,
    /// Records of the next partition: a batch has those of one only.
    held: RecordBatch,
    /// An error that came after records: told at the next poll.
    failed: Option<Error>,
    /// Records since the end of the input was last seen.
    burst: usize,
    headers: HeadersBuf,
}

impl std::fmt::Debug for KafkaConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaConsumer").field("group", &self.group).field("assigned", &self.assigned).finish_non_exhaustive()
    }
}

/// How a batch came to its end.
enum Filled {
    /// The queue is empty for now, or the batch is full.
    Enough,
    /// The group has news, or an error is kept for later.
    Broken,
}

impl KafkaConsumer {
    pub(super) fn new(options: &Options, wanted: &ConsumerOptions) -> Result<Self> {
        let config = settings::consumer(options, wanted);
        let consumer = BaseConsumer::from_config_and_context(&config, Ear::default())
            .map_err(|cause| error::of(Call::Other, "making a consumer", cause, None))?;
        Ok(Self {
            consumer: Client::new("consumer", consumer),
            group: wanted.group.clone(),
            instance_id: wanted.instance_id.clone(),
            session_timeout: options.session_timeout,
            topics: Vec::new(),
            standing: Standing::default(),
            assigned: Vec::new(),
            revoked: BTreeSet::new(),
            kept: BTreeSet::new(),
            held: RecordBatch::default(),
            failed: None,
            burst: 0,
            headers: HeadersBuf::default(),
        })
    }

    fn ear(&self) -> &Ear {
        self.consumer.context()
    }

    fn failure(&self, operation: impl Into<String>, cause: KafkaError) -> Error {
        error::of(Call::Other, operation, cause, self.ear().reason())
    }

    fn entry(&mut self, partition: &TopicPartition) -> Option<&mut Assigned> {
        self.assigned.iter_mut().find(|assigned| assigned.partition == *partition)
    }

    fn needs_group(&self, operation: &str) -> Result<()> {
        let refused = || Err(Error::new(Class::Fatal, operation, "the consumer has no group"));
        self.group.as_ref().map_or_else(refused, |_| Ok(()))
    }

    fn needs_assigned(&self, operation: &str, partition: &TopicPartition) -> Result<()> {
        let refused = || Err(Error::new(Class::Fatal, operation, format!("partition {partition} is not assigned")));
        self.assigned.iter().find(|assigned| assigned.partition == *partition).map_or_else(refused, |_| Ok(()))
    }

    /// Forgets what was read ahead of a partition.
    fn drop_held(&mut self, partition: &TopicPartition) {
        if self.held.source() == Some(partition) {
            self.held.clear();
        }
    }

    /// What the group asks for next.
    fn news(&mut self) -> Option<Polled> {
        let news = self.ear().rebalances.lock().pop_front()?;
        Some(match news {
            // None at all is news as well: a member without work.
            Rebalance::Assign(partitions) => {
                self.take_place();
                Polled::Assigned(partitions)
            }
            Rebalance::Revoke { partitions, lost } => {
                self.revoked.extend(partitions.iter().cloned());
                self.kept.extend(partitions.iter().cloned());
                if lost {
                    self.standing.drop_out();
                    Polled::Lost(partitions)
                } else {
                    Polled::Revoked(partitions)
                }
            }
        })
    }

    /// The group has given it a place.
    fn take_place(&mut self) {
        // Who had no partitions is not told that they are lost.
        if self.ear().dropped_out.swap(false, Ordering::AcqRel) {
            self.standing.drop_out();
        }
        // Without a static id every joining is a rebalance.
        let group = self.group.as_ref().filter(|_| self.instance_id.is_some());
        self.standing.take_place(|| group.and_then(|group| Watch::begin(&self.consumer, group, &self.topics)));
    }

    /// Leaves, to join anew, where the group has left partitions to nobody.
    fn make_whole(&mut self) {
        // Where there is news the group is on its way already.
        if !self.has_news() && self.kept.is_empty() && self.standing.finds_orphans() {
            tracing::info!(group = self.group.as_deref(), "joining anew");
            self.consumer.unsubscribe();
        }
    }

    /// Joins anew when there is nothing more to let go of. A subscription before that would keep librdkafka from leaving: its joining again under the same
    /// name, with the same to say, is no rebalance to a broker unless it comes from the leader of the group.
    fn come_back(&mut self) -> Result<()> {
        if self.kept.is_empty() && self.standing.has_left() { self.enter() } else { Ok(()) }
    }

    fn enter(&self) -> Result<()> {
        let topics: Vec<&str> = self.topics.iter().map(|topic| &**topic).collect();
        self.consumer.subscribe(&topics).map_err(|cause| self.failure(format!("subscribing to {}", topics.join(", ")), cause))
    }

    fn has_news(&self) -> bool {
        !self.ear().rebalances.lock().is_empty()
    }

    /// Reads into `batch` what is there of one partition; waits up to `timeout` for the first record.
    fn fill(&mut self, mut timeout: Duration, batch: &mut RecordBatch) -> Result<Filled> {
        let mut current = None;
        loop {
            let message = match self.consumer.poll(timeout) {
                Some(Ok(message)) => message,
                Some(Err(cause)) => {
                    // Not the whole time again: a cluster in trouble may have one error after the other.
                    timeout = Duration::ZERO;
                    let Some(error) = error::of_poll(&self.consumer, cause) else { continue };
                    let error = self.judged(error);
                    if batch.is_empty() {
                        return Err(error);
                    }
                    self.failed = Some(error);
                    return Ok(Filled::Broken);
                }
                None if self.has_news() => return Ok(Filled::Broken),
                None => return Ok(Filled::Enough),
            };
            let is = |assigned: &Assigned| {
                assigned.partition.partition.0 == message.partition() && *assigned.partition.topic == *message.topic()
            };
            // A partition that was given up since it was fetched is not told of.
            let place = match current {
                Some(place) if self.assigned.get(place).is_some_and(is) => place,
                _ => match self.assigned.iter().position(is) {
                    Some(place) => place,
                    None => continue,
                },
            };
            let Some(assigned) = self.assigned.get(place) else { continue };
            if current.is_some_and(|known| known != place) {
                self.held.start(assigned.partition.clone());
                push(&mut self.held, &message, &mut self.headers);
                return Ok(Filled::Enough);
            }
            if current.is_none() {
                batch.start(assigned.partition.clone());
                current = Some(place);
            }
            push(batch, &message, &mut self.headers);
            timeout = Duration::ZERO;
            if batch.len() >= POLL_RECORDS_MAX || batch.size_bytes() >= POLL_BYTES_MAX {
                return Ok(Filled::Enough);
            }
        }
    }

    /// A member that was fenced and has no successor can join anew: only this client has come to its end.
    fn judged(&self, error: Error) -> Error {
        match (&self.group, &self.instance_id) {
            (Some(group), Some(instance_id)) if error.class == Class::Fenced => {
                let succeeded = successor::is_there(&self.consumer, group, instance_id, self.session_timeout);
                if succeeded { error } else { Error { class: Class::Fatal, ..error } }
            }
            _ => error,
        }
    }

    /// The position goes behind the last record of the batch.
    fn advance(&mut self, batch: &RecordBatch) {
        self.burst = self.burst.saturating_add(batch.len());
        if let (Some(source), Some(last)) = (batch.source().cloned(), batch.last_offset())
            && let Some(assigned) = self.entry(&source)
        {
            assigned.position = last.next();
        }
    }

    /// Asks librdkafka where it is: it counts control records, which are never delivered. Only when nothing is held back.
    fn refresh_positions(&mut self) {
        if self.assigned.is_empty() {
            return;
        }
        let Ok(list) = self.consumer.position() else { return };
        for element in list.elements() {
            let NativeOffset::Offset(offset) = element.offset() else { continue };
            let is = |assigned: &&mut Assigned| {
                assigned.partition.partition.0 == element.partition() && *assigned.partition.topic == *element.topic()
            };
            if let Some(assigned) = self.assigned.iter_mut().find(is) {
                assigned.position = assigned.position.max(Offset(offset));
            }
        }
    }

    /// Takes up a partition at an offset, whatever was before.
    fn begin(&mut self, partition: &TopicPartition, offset: Offset) -> Result<()> {
        let list = one(partition, Some(offset))?;
        let operation = || format!("assigning {partition} at offset {offset}");
        // librdkafka has stopped its former reader of the partition by the time that this returns: a position of then is not taken for one of now.
        self.consumer.incremental_assign(&list).map_err(|cause| self.failure(operation(), cause))
    }
}

impl Consumer for KafkaConsumer {
    fn subscribe(&mut self, topics: &[Arc<str>]) -> Result<()> {
        self.needs_group("subscribing")?;
        // Whoever left and comes back wants to be asked again.
        self.ear().closing.store(false, Ordering::Release);
        self.topics = topics.to_vec();
        self.enter()
    }

    fn unsubscribe(&mut self) -> Result<()> {
        // What the group asks for from now on is granted inside the callback.
        self.ear().closing.store(true, Ordering::Release);
        self.standing = Standing::Known;
        self.consumer.unsubscribe();
        self.assigned.clear();
        // A static member leaves only when its partitions are given up, and that happens in polls.
        for _ in 0..LEAVE_TIMEOUT_POLLS {
            match self.consumer.assignment() {
                Ok(list) if list.count() > 0 => drop(self.consumer.poll(LEAVE_POLL)),
                _ => break,
            }
        }
        Ok(())
    }

    fn assign(&mut self, partition: &TopicPartition, offset: Offset) -> Result<()> {
        if self.entry(partition).is_some() {
            self.seek(partition, offset)?;
            return self.resume(partition);
        }
        self.begin(partition, offset)?;
        self.assigned.push(Assigned { partition: partition.clone(), position: offset, paused: false });
        Ok(())
    }

    fn unassign(&mut self, partition: &TopicPartition) -> Result<()> {
        self.drop_held(partition);
        if self.entry(partition).is_some_and(|assigned| assigned.paused) {
            // librdkafka keeps a pause beyond the assignment: taken up again, the partition would never be read.
            self.resume(partition)?;
        }
        let known = self.assigned.len();
        self.assigned.retain(|assigned| assigned.partition != *partition);
        if self.kept.remove(partition) {
            if !self.kept.is_empty() {
                return Ok(());
            }
            let revoked: Vec<_> = self.revoked.iter().cloned().collect();
            give_up(&self.consumer, &revoked).map_err(|cause| self.failure("giving up partitions", cause))?;
            self.revoked.clear();
            self.standing.has_let_go();
            return Ok(());
        }
        if self.assigned.len() == known {
            return Ok(());
        }
        let list = one(partition, None)?;
        self.consumer.incremental_unassign(&list).map_err(|cause| self.failure(format!("giving up {partition}"), cause))
    }

    fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<()> {
        self.needs_assigned("seeking", partition)?;
        self.drop_held(partition);
        let kept = self.kept.contains(partition);
        let Some(assigned) = self.entry(partition) else { return Ok(()) };
        assigned.position = offset;
        let paused = assigned.paused;
        let sought = self.consumer.seek(&partition.topic, partition.partition.0, NativeOffset::Offset(offset.0), LOCAL_TIMEOUT);
        // It refuses while the partition is only being taken up. One that is about to be given up will not be read again.
        let Err(cause) = sought else { return Ok(()) };
        if kept {
            return Ok(());
        }
        tracing::debug!(target: "librdkafka", error = %cause, %partition, "taken up anew instead of sought");
        let list = one(partition, None)?;
        self.consumer.incremental_unassign(&list).map_err(|cause| self.failure(format!("seeking in {partition}"), cause))?;
        self.begin(partition, offset)?;
        if paused { self.pause(partition) } else { Ok(()) }
    }

    fn pause(&mut self, partition: &TopicPartition) -> Result<()> {
        self.needs_assigned("pausing", partition)?;
        let Some(assigned) = self.entry(partition) else { return Ok(()) };
        assigned.paused = true;
        let position = assigned.position;
        let list = one(partition, None)?;
        self.consumer.pause(&list).map_err(|cause| self.failure(format!("pausing {partition}"), cause))?;
        // What was read ahead comes again after the pause.
        if self.held.source() == Some(partition) && !self.held.is_empty() {
            return self.seek(partition, position);
        }
        Ok(())
    }

    fn resume(&mut self, partition: &TopicPartition) -> Result<()> {
        self.needs_assigned("resuming", partition)?;
        let Some(assigned) = self.entry(partition) else { return Ok(()) };
        assigned.paused = false;
        let list = one(partition, None)?;
        self.consumer.resume(&list).map_err(|cause| self.failure(format!("resuming {partition}"), cause))
    }

    fn poll(&mut self, timeout: Duration, batch: &mut RecordBatch) -> Result<Polled> {
        batch.clear();
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.make_whole();
        if let Some(news) = self.news() {
            return Ok(news);
        }
        if !self.held.is_empty() {
            std::mem::swap(batch, &mut self.held);
            self.held.clear();
            self.advance(batch);
            return Ok(Polled::Records);
        }
        let timeout = if self.burst >= LOAD_RECORDS { timeout.max(LOAD_GRACE) } else { timeout };
        let filled = self.fill(timeout, batch)?;
        if !batch.is_empty() {
            self.advance(batch);
            return Ok(Polled::Records);
        }
        if let Some(news) = self.news() {
            return Ok(news);
        }
        if matches!(filled, Filled::Enough) {
            self.burst = 0;
            self.refresh_positions();
            // Whatever the group had to say has been heard.
            self.come_back()?;
        }
        Ok(Polled::Nothing)
    }

    fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.assigned.iter().find(|assigned| assigned.partition == *partition).map(|assigned| assigned.position)
    }

    fn committed(&mut self, partitions: &[TopicPartition], timeout: Duration) -> Result<Vec<Option<Committed>>> {
        self.needs_group("asking for committed offsets")?;
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&partition.topic, partition.partition.0);
        }
        let operation = || {
            let names: Vec<_> = partitions.iter().map(ToString::to_string).collect();
            format!("asking for the committed offsets of {}", names.join(", "))
        };
        let asked = patiently(timeout, || self.consumer.committed_offsets(list.clone(), timeout));
        let list = asked.map_err(|cause| self.failure(operation(), cause))?;
        let committed = |partition: &TopicPartition| -> Result<Option<Committed>> {
            let Some(element) = list.find_partition(&partition.topic, partition.partition.0) else { return Ok(None) };
            element.error().map_err(|cause| self.failure(operation(), cause))?;
            let NativeOffset::Offset(offset) = element.offset() else { return Ok(None) };
            Ok(Some(Committed { offset: Offset(offset), metadata: element.metadata().into() }))
        };
        partitions.iter().map(committed).collect()
    }

    fn group_metadata(&self) -> GroupMetadata {
        let native = self.consumer.group_metadata().map(|native| Arc::new(native) as Arc<dyn std::any::Any + Send + Sync>);
        // The client keeps member and generation to itself.
        GroupMetadata { group: self.group.clone().unwrap_or_else(|| Arc::from("")), member_id: Arc::from(""), generation: -1, native }
    }
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        self.ear().closing.store(true, Ordering::Release);
        // A revocation that was told but not granted would make the close wait for ever.
        let asked: Vec<_> = self.ear().rebalances.lock().drain(..).collect();
        let pending =
            asked.into_iter().filter_map(|it| if let Rebalance::Revoke { partitions, .. } = it { Some(partitions) } else { None });
        let revoked: Vec<_> = std::mem::take(&mut self.revoked).into_iter().chain(pending.flatten()).collect();
        if !revoked.is_empty()
            && let Err(error) = give_up(&self.consumer, &revoked)
        {
            tracing::debug!(target: "librdkafka", %error, "closing");
        }
        if !close_in_time(&self.consumer.share()) {
            tracing::warn!(target: "librdkafka", group = ?self.group, "a consumer does not close and is left behind");
            // Or it would be waited for once more.
            std::mem::forget(self.consumer.share());
        }
    }
}
