//! A transactional producer: records wait in one buffer per partition and reach the log as chunks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::chunk::Builder;
use super::keys::{self, Place};
use super::partition::{self, Bounds};
use super::transaction::{self, End};
use super::{Shared, State, simulated, take_batch, write};
use crate::streams::kv::{Batch, Durability};
use crate::streams::log::{
    Class, CleanupPolicy, Committed, Delivered, Error, GroupMetadata, Offset, Partition, Producer, ProducerOptions, ProducerRecord, Result,
    TopicPartition,
};

/// A partition's buffer is written when it has this many bytes.
const CHUNK_BYTES_MAX: usize = 1 << 20;
/// All buffers are written when they have this many bytes together.
const BUFFER_BYTES_MAX: usize = 16 << 20;
/// The largest record that the log takes.
const RECORD_BYTES_MAX: usize = 16 << 20;

const APPENDING: &str = "appending records";

#[derive(Debug, Default)]
struct Buffer {
    builder: Builder,
    delivered: Option<Delivered>,
    queued: bool,
}

/// What is known of a topic, with a buffer per partition.
#[derive(Debug, Default)]
struct Topic {
    buffers: Vec<Buffer>,
    needs_key: bool,
}

/// A transactional producer.
#[derive(Debug)]
pub(super) struct LocalProducer {
    shared: Arc<Shared>,
    options: ProducerOptions,
    producer: u64,
    epoch: Option<u64>,
    open: bool,
    /// Set when somebody else took the transactional id.
    fenced: Arc<AtomicBool>,
    /// As in the options; without buffers until the first record for the topic.
    topics: Vec<Topic>,
    /// Per topic of the options the first one of the same name: that has the buffers of both.
    places: Vec<usize>,
    /// Buffers with records, in the order of their first one.
    queue: Vec<(usize, usize)>,
    buffered_bytes: usize,
    next_sticky: usize,
}

impl LocalProducer {
    pub(super) fn new(shared: Arc<Shared>, options: ProducerOptions) -> Self {
        let topics = options.topics.iter().map(|_| Topic::default()).collect();
        let first = |name: &Arc<str>| options.topics.iter().position(|other| other == name).unwrap_or_default();
        let places = options.topics.iter().map(first).collect();
        let (epoch, open, queue, fenced) = (None, false, Vec::new(), Arc::default());
        Self { shared, options, producer: 0, epoch, open, fenced, topics, places, queue, buffered_bytes: 0, next_sticky: 0 }
    }

    fn needs_open(&self, operation: &str) -> Result<u64> {
        match self.epoch {
            Some(epoch) if self.open => Ok(epoch),
            _ => Err(Error::new(Class::Fatal, operation, "no transaction is open")),
        }
    }

    /// Where the buffers of a topic are: a topic that is named twice has them once.
    fn place(&self, topic: usize) -> usize {
        self.places.get(topic).copied().unwrap_or(topic)
    }

    /// Learns a topic's partitions at its first record.
    fn learn(&mut self, topic: usize) -> Result<()> {
        let name = self.options.topics.get(topic).cloned().unwrap_or_else(|| Arc::from(""));
        let state = self.shared.state.lock();
        let known = state.topic("producing", &name)?;
        let (count, needs_key) = (known.partitions.len(), known.config.cleanup == CleanupPolicy::Compact);
        drop(state);
        if let Some(topic) = self.topics.get_mut(topic) {
            topic.buffers.resize_with(count, Buffer::default);
            topic.needs_key = needs_key;
        }
        Ok(())
    }

    fn buffer(&mut self, topic: usize, partition: usize) -> Option<&mut Buffer> {
        self.topics.get_mut(topic)?.buffers.get_mut(partition)
    }

    fn forget(&mut self) {
        for buffer in self.topics.iter_mut().flat_map(|topic| &mut topic.buffers) {
            buffer.builder.clear();
            buffer.delivered = None;
            buffer.queued = false;
        }
        self.queue.clear();
        self.buffered_bytes = 0;
    }

    /// Writes all buffers as chunks of the open transaction, in one batch: all of them or none.
    fn append(&mut self) -> Result<()> {
        let epoch = self.needs_open(APPENDING)?;
        let shared = Arc::clone(&self.shared);
        let mut guard = shared.state.lock();
        let state = &mut *guard;
        transaction::undecided(state, APPENDING, &self.options.transactional_id, epoch)?;
        if self.queue.is_empty() {
            return Ok(());
        }
        let mut batch = take_batch(state);
        let done = self.append_in(state, &mut batch);
        state.appended_bytes += batch.size_bytes() as u64;
        state.batch = batch;
        let done = done?;
        drop(guard);
        for (topic, partition, Delivered { first, last }) in done {
            if let Some(buffer) = self.buffer(topic, partition) {
                buffer.delivered = Some(Delivered { first: buffer.delivered.map_or(first, |before| before.first), last });
                buffer.builder.clear();
                buffer.queued = false;
            }
        }
        self.queue.clear();
        self.buffered_bytes = 0;
        // Records without a key go to the next partition with the next batch, as Kafka's sticky partitioner does.
        self.next_sticky += 1;
        shared.changed.notify_all();
        Ok(())
    }

    fn append_in(&mut self, state: &mut State, batch: &mut Batch) -> Result<Vec<(usize, usize, Delivered)>> {
        let id = Arc::clone(&self.options.transactional_id);
        let mut moved: Vec<(Place, Offset, Bounds)> = Vec::with_capacity(self.queue.len());
        let mut done = Vec::with_capacity(self.queue.len());
        for &(topic, partition) in &self.queue {
            let Some(name) = self.options.topics.get(topic) else { continue };
            let at = TopicPartition::new(Arc::clone(name), i32::try_from(partition).unwrap_or(i32::MAX));
            let (place, &mut partition::Partition { mut bounds, .. }) = state.partition(APPENDING, &at)?;
            let Some(buffer) = self.topics.get_mut(topic).and_then(|topic| topic.buffers.get_mut(partition)) else { continue };
            let is_touched = state.transactions.get(&id).is_some_and(|transaction| transaction.touches(place));
            if buffer.delivered.is_some() && !is_touched {
                return Err(Error::new(Class::Abortable, APPENDING, "the transaction was ended by a request that came late"));
            }
            let base = bounds.high;
            batch.put(&keys::chunk(place, base), buffer.builder.finish(self.producer));
            bounds.append(buffer.builder.records(), buffer.builder.size_bytes());
            bounds.put(place, batch);
            moved.push((place, base, bounds));
            done.push((topic, partition, Delivered { first: base, last: Offset(bounds.high.0 - 1) }));
        }
        let Some(transaction) = state.transactions.get_mut(&id) else { return Ok(done) };
        transaction.is_open = true;
        let touched = transaction.touched.len();
        for &(place, base, _) in &moved {
            transaction.touch(place, base);
        }
        // Order: in the same batch as the first records, or a dead owner's records would pass for committed ones.
        if transaction.touched.len() > touched {
            transaction.put(&id, batch);
        }
        if let Err(error) = write(&*self.shared.kv, APPENDING, batch, Durability::Buffered) {
            transaction.touched.truncate(touched);
            return Err(error);
        }
        for (place, base, bounds) in moved {
            if let Some(known) = state.place(place) {
                known.bounds = bounds;
                known.open.entry(self.producer).or_insert(base);
            }
        }
        Ok(done)
    }

    fn finish(&mut self, how: End) -> Result<()> {
        let operation = how.operation();
        let epoch = self.needs_open(operation)?;
        let id = Arc::clone(&self.options.transactional_id);
        let mut state = self.shared.state.lock();
        let was_decided = transaction::held(&mut state, operation, &id, epoch)?.is_decided();
        if was_decided && how == End::Abort {
            return Err(Error::new(Class::Unknown, operation, "its commit was begun, and its outcome is open"));
        }
        if !was_decided && let Some(ended) = transaction::ended(&mut state, &id) {
            // A request that came late was quicker. The coordinator takes the same end for a repetition, another one for an error.
            if ended != how {
                return Err(Error::new(Class::Fatal, operation, "the transaction was ended otherwise by a request that came late"));
            }
            drop(state);
            self.open = false;
            self.forget();
            return Ok(());
        }
        let unsynced = was_decided || transaction::decide(&*self.shared.kv, &mut state, &id, how)?;
        drop(state);
        // An abort needs no sync: what is left open is aborted when the log is opened.
        if unsynced && how == End::Commit {
            transaction::sync(&*self.shared.kv)?;
        }
        let mut state = self.shared.state.lock();
        // A successor that came meanwhile has completed it: then this says what it would have said a moment before.
        if state.transactions.get(&id).is_some_and(|transaction| transaction.epoch == epoch) {
            transaction::publish(&mut state, &id);
        }
        drop(state);
        self.open = false;
        self.forget();
        self.shared.changed.notify_all();
        Ok(())
    }
}

impl Producer for LocalProducer {
    fn init_transactions(&mut self, _timeout: Duration) -> Result<()> {
        let operation = "initialising transactions";
        let id = Arc::clone(&self.options.transactional_id);
        let mut guard = self.shared.state.lock();
        let state = &mut *guard;
        simulated::settle(state, &id);
        if state.transactions.get(&id).is_some_and(|transaction| transaction.is_open) {
            transaction::complete(&*self.shared.kv, state, &id)?;
        }
        let mut held = state.transactions.get(&id).cloned().unwrap_or_default();
        let former = held.take_over();
        held.timeout_ms = u64::try_from(self.options.transaction_timeout.as_millis()).unwrap_or(u64::MAX);
        // A number of its own per epoch: the records of two holders of an id are never taken for each other's.
        state.next_producer += 1;
        held.producer = state.next_producer;
        let mut batch = take_batch(state);
        held.put(&id, &mut batch);
        batch.put(keys::COUNTERS, &keys::counters(state.next_topic, state.next_producer));
        let written = write(&*self.shared.kv, operation, &batch, Durability::Buffered);
        state.batch = batch;
        written?;
        former.store(true, Ordering::Relaxed);
        (self.producer, self.epoch, self.open) = (held.producer, Some(held.epoch), false);
        self.fenced = Arc::clone(&held.fenced);
        state.transactions.insert(id, held);
        drop(guard);
        self.forget();
        self.shared.changed.notify_all();
        Ok(())
    }

    fn begin(&mut self) -> Result<()> {
        let operation = "beginning a transaction";
        let epoch = self.epoch.ok_or_else(|| Error::new(Class::Fatal, operation, "transactions are not initialised"))?;
        if self.open {
            return Err(Error::new(Class::Fatal, operation, "one is open already"));
        }
        let mut state = self.shared.state.lock();
        simulated::settle(&mut state, &self.options.transactional_id);
        let transaction = transaction::undecided(&mut state, operation, &self.options.transactional_id, epoch)?;
        (transaction.is_open, transaction.began, transaction.ended) = (true, None, None);
        drop(state);
        self.open = true;
        Ok(())
    }

    fn send(&mut self, record: &ProducerRecord<'_>) -> Result<()> {
        self.needs_open("producing")?;
        let bytes = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + record.headers.as_bytes().len();
        if bytes > RECORD_BYTES_MAX {
            return Err(Error::new(Class::Record, "producing", format!("a record of {bytes} bytes is larger than {RECORD_BYTES_MAX}")));
        }
        if self.fenced.load(Ordering::Relaxed) {
            return Err(transaction::fenced("producing", &self.options.transactional_id));
        }
        let place = self.place(record.topic);
        if self.topics.get(place).is_none_or(|topic| topic.buffers.is_empty()) {
            self.learn(place)?;
        }
        let Some(topic) = self.topics.get_mut(place) else { return Ok(()) };
        if topic.needs_key && record.key.is_none() {
            return Err(Error::new(Class::Record, "producing", "a record of a compacted topic needs a key"));
        }
        let buffers = &mut topic.buffers;
        let count = buffers.len();
        let index = match (record.partition, record.key) {
            (Some(partition), _) => usize::try_from(partition.0).unwrap_or(usize::MAX),
            (None, Some(key)) => partition_of(key, count),
            (None, None) => self.next_sticky % count.max(1),
        };
        let Some(buffer) = buffers.get_mut(index) else {
            let Partition(wanted) = record.partition.unwrap_or_default();
            return Err(Error::new(Class::UnknownTopic, "producing", format!("the topic has {count} partitions, not {wanted}")));
        };
        if !buffer.queued {
            buffer.queued = true;
            self.queue.push((place, index));
        }
        let before = buffer.builder.size_bytes();
        let delta = buffer.builder.records();
        buffer.builder.push(delta, record.timestamp, record.key, record.value, record.headers);
        let size = buffer.builder.size_bytes();
        self.buffered_bytes += size - before;
        if size >= CHUNK_BYTES_MAX || self.buffered_bytes >= BUFFER_BYTES_MAX {
            self.append()?;
        }
        Ok(())
    }

    fn flush(&mut self, _timeout: Duration) -> Result<()> {
        self.append()
    }

    fn delivered(&self, topic: usize, partition: Partition) -> Option<Delivered> {
        self.topics.get(self.place(topic))?.buffers.get(usize::try_from(partition.0).ok()?)?.delivered
    }

    fn send_offsets(&mut self, offsets: &[(TopicPartition, Committed)], group: &GroupMetadata, _timeout: Duration) -> Result<()> {
        let operation = "sending offsets to a transaction";
        let epoch = self.needs_open(operation)?;
        let mut guard = self.shared.state.lock();
        let state = &mut *guard;
        transaction::undecided(state, operation, &self.options.transactional_id, epoch)?;
        let known = state.groups.entry(Arc::clone(&group.group)).or_default();
        // A broker asks nobody who does not say who it is, though the group has members.
        if !(state.simulated.is_broker && group.member_id.is_empty()) {
            known.check_member(operation, group)?;
        }
        known.pending.entry(self.producer).or_default().extend(offsets.iter().map(|(partition, _)| partition.clone()));
        let transaction = transaction::held(state, operation, &self.options.transactional_id, epoch)?;
        transaction.is_open = true;
        transaction.offsets.extend(offsets.iter().map(|(at, committed)| (Arc::clone(&group.group), at.clone(), committed.clone())));
        Ok(())
    }

    fn commit(&mut self, timeout: Duration) -> Result<()> {
        self.flush(timeout)?;
        self.finish(End::Commit)
    }

    fn abort(&mut self, _timeout: Duration) -> Result<()> {
        self.finish(End::Abort)
    }
}

/// The partition of a key as Java's producer, and so ksqlDB, computes it.
fn partition_of(key: &[u8], count: usize) -> usize {
    let positive = murmur2(key) & 0x7fff_ffff;
    positive as usize % count.max(1)
}

/// Kafka's murmur2 (`org.apache.kafka.common.utils.Utils#murmur2`).
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut hash = 0x9747_b28c ^ length;
    let mut words = data.chunks_exact(4);
    for word in words.by_ref() {
        let mut k = word.iter().rev().fold(0u32, |k, &byte| (k << 8) | u32::from(byte));
        k = k.wrapping_mul(M);
        k ^= k >> 24;
        k = k.wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0u32, |k, &byte| (k << 8) | u32::from(byte));
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_hashed_as_java_hashes_them() {
        // From Kafka's own UtilsTest#testMurmur2.
        let cases: [(&str, i32); 5] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("abc", 479_470_107),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ];
        for (key, hash) in cases {
            assert_eq!(murmur2(key.as_bytes()), hash.cast_unsigned(), "{key}");
        }
    }
}
