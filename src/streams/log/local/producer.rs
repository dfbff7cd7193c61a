//! A transactional producer: records wait in one buffer per partition and reach the log as chunks.

use std::sync::Arc;
use std::time::Duration;

use super::chunk::Builder;
use super::keys::{self, Place};
use super::transaction::{self, End};
use super::{Shared, write};
use crate::streams::kv::Durability;
use crate::streams::log::{
    Class, Committed, Error, GroupMetadata, Offset, Partition, Producer, ProducerOptions, ProducerRecord, Result, TopicPartition,
};

/// A partition's buffer is written when it has this many bytes.
const CHUNK_BYTES_MAX: usize = 1 << 20;
/// All buffers are written when they have this many bytes together.
const BUFFER_BYTES_MAX: usize = 16 << 20;
/// The largest record that the log takes.
const RECORD_BYTES_MAX: usize = 16 << 20;

#[derive(Debug, Default)]
struct Buffer {
    builder: Builder,
    delivered: Option<Offset>,
    queued: bool,
}

/// A transactional producer.
#[derive(Debug)]
pub(super) struct LocalProducer {
    shared: Arc<Shared>,
    options: ProducerOptions,
    producer: u64,
    epoch: Option<u64>,
    open: bool,
    /// Per topic of the options, per partition; empty until the first record for the topic.
    topics: Vec<Vec<Buffer>>,
    /// Buffers with records, in the order of their first one.
    queue: Vec<(usize, usize)>,
    buffered_bytes: usize,
    next_sticky: usize,
}

impl LocalProducer {
    pub(super) fn new(shared: Arc<Shared>, options: ProducerOptions) -> Self {
        let topics = options.topics.iter().map(|_| Vec::new()).collect();
        let (epoch, open, queue) = (None, false, Vec::new());
        Self { shared, options, producer: 0, epoch, open, topics, queue, buffered_bytes: 0, next_sticky: 0 }
    }

    fn needs_open(&self, operation: &str) -> Result<u64> {
        match self.epoch {
            Some(epoch) if self.open => Ok(epoch),
            _ => Err(Error::new(Class::Fatal, operation, "no transaction is open")),
        }
    }

    /// Learns a topic's partitions at its first record.
    fn learn(&mut self, topic: usize) -> Result<()> {
        let name = self.options.topics.get(topic).cloned().unwrap_or_else(|| Arc::from(""));
        let state = self.shared.state.lock();
        let count = state.topic("producing", &name)?.partitions.len();
        drop(state);
        if let Some(buffers) = self.topics.get_mut(topic) {
            buffers.resize_with(count, Buffer::default);
        }
        Ok(())
    }

    fn forget(&mut self) {
        for buffer in self.topics.iter_mut().flatten() {
            buffer.builder.clear();
            buffer.delivered = None;
            buffer.queued = false;
        }
        self.queue.clear();
        self.buffered_bytes = 0;
    }

    /// Writes all buffers as chunks of the open transaction, in one batch.
    fn append(&mut self) -> Result<()> {
        let operation = "appending records";
        let epoch = self.needs_open(operation)?;
        let mut guard = self.shared.state.lock();
        let state = &mut *guard;
        transaction::held(state, operation, &self.options.transactional_id, epoch)?;
        if self.queue.is_empty() {
            return Ok(());
        }
        // A topic that is gone is found out before anything is changed.
        let mut places = Vec::with_capacity(self.queue.len());
        for &(topic, partition) in &self.queue {
            let Some(name) = self.options.topics.get(topic) else { continue };
            let at = TopicPartition::new(Arc::clone(name), i32::try_from(partition).unwrap_or(i32::MAX));
            places.push((topic, partition, state.partition(operation, &at)?.0));
        }
        let mut batch = std::mem::take(&mut state.batch);
        batch.clear();
        let mut done: Vec<(usize, usize, Place, Offset)> = Vec::with_capacity(self.queue.len());
        let mut first_touch = false;
        for (topic, partition, place) in places {
            let Some(buffer) = self.topics.get_mut(topic).and_then(|buffers| buffers.get_mut(partition)) else { continue };
            let Some(known) = state.place(place) else { continue };
            let base = known.high;
            batch.put(&keys::chunk(place, base), buffer.builder.finish(self.producer));
            known.high = Offset(base.0 + i64::from(buffer.builder.records()));
            known.dirty_bytes += buffer.builder.size_bytes() as u64;
            known.dirty_chunks += 1;
            known.put_meta(place, &mut batch);
            known.open.entry(self.producer).or_insert(base);
            done.push((topic, partition, place, base));
            if let Some(transaction) = state.transactions.get_mut(&self.options.transactional_id) {
                first_touch |= transaction.touch(place, base);
            }
        }
        if first_touch && let Some(transaction) = state.transactions.get(&self.options.transactional_id) {
            transaction.put(&self.options.transactional_id, &mut batch);
        }
        let written = write(&*self.shared.kv, operation, &batch, Durability::Buffered);
        state.batch = batch;
        if let Err(error) = written {
            // What is touched stays touched: an abort marker where nothing was written does no harm.
            for (.., place, base) in done {
                if let Some(known) = state.place(place) {
                    known.high = base;
                }
            }
            return Err(error);
        }
        drop(guard);
        for (topic, partition, _, base) in done {
            if let Some(buffer) = self.topics.get_mut(topic).and_then(|buffers| buffers.get_mut(partition)) {
                buffer.delivered = Some(Offset(base.0 + i64::from(buffer.builder.records()) - 1));
                buffer.builder.clear();
                buffer.queued = false;
            }
        }
        self.queue.clear();
        self.buffered_bytes = 0;
        self.shared.changed.notify_all();
        Ok(())
    }

    fn finish(&mut self, how: End) -> Result<()> {
        let operation = if how == End::Commit { "committing a transaction" } else { "aborting a transaction" };
        let epoch = self.needs_open(operation)?;
        let mut state = self.shared.state.lock();
        transaction::held(&mut state, operation, &self.options.transactional_id, epoch)?;
        transaction::end(&*self.shared.kv, &mut state, &self.options.transactional_id, how)?;
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
        if state.transactions.get(&id).is_some_and(|transaction| transaction.is_open) {
            transaction::end(&*self.shared.kv, state, &id, End::Abort)?;
        }
        let mut held = state.transactions.get(&id).cloned().unwrap_or_default();
        held.epoch += 1;
        held.timeout_ms = u64::try_from(self.options.transaction_timeout.as_millis()).unwrap_or(u64::MAX);
        // A number of its own per epoch: the records of two holders of an id are never taken for each other's.
        state.next_producer += 1;
        held.producer = state.next_producer;
        let mut batch = std::mem::take(&mut state.batch);
        batch.clear();
        held.put(&id, &mut batch);
        batch.put(keys::COUNTERS, &[state.next_topic.to_le_bytes().as_slice(), &state.next_producer.to_le_bytes()].concat());
        let written = write(&*self.shared.kv, operation, &batch, Durability::Buffered);
        state.batch = batch;
        written?;
        (self.producer, self.epoch, self.open) = (held.producer, Some(held.epoch), false);
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
        let now = state.now;
        let transaction = transaction::held(&mut state, operation, &self.options.transactional_id, epoch)?;
        transaction.is_open = true;
        transaction.began = now;
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
        if self.topics.get(record.topic).is_none_or(Vec::is_empty) {
            self.learn(record.topic)?;
        }
        let Some(buffers) = self.topics.get_mut(record.topic) else { return Ok(()) };
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
            self.queue.push((record.topic, index));
        }
        let before = buffer.builder.size_bytes();
        let delta = buffer.builder.records();
        buffer.builder.push(delta, record.timestamp, record.key, record.value, record.headers);
        let size = buffer.builder.size_bytes();
        self.buffered_bytes += size - before;
        if size >= CHUNK_BYTES_MAX || self.buffered_bytes >= BUFFER_BYTES_MAX {
            // Records without a key go to the next partition with the next batch, as Kafka's sticky partitioner does.
            self.next_sticky += 1;
            self.append()?;
        }
        Ok(())
    }

    fn flush(&mut self, _timeout: Duration) -> Result<()> {
        self.append()
    }

    fn delivered(&self, topic: usize, partition: Partition) -> Option<Offset> {
        self.topics.get(topic)?.get(usize::try_from(partition.0).ok()?)?.delivered
    }

    fn send_offsets(&mut self, offsets: &[(TopicPartition, Committed)], group: &GroupMetadata, _timeout: Duration) -> Result<()> {
        let operation = "sending offsets to a transaction";
        let epoch = self.needs_open(operation)?;
        let mut guard = self.shared.state.lock();
        let state = &mut *guard;
        transaction::held(state, operation, &self.options.transactional_id, epoch)?;
        let known = state.groups.entry(Arc::clone(&group.group)).or_default();
        known.check_member(operation, group)?;
        known.pending.entry(self.producer).or_default().extend(offsets.iter().map(|(partition, _)| partition.clone()));
        let transaction = transaction::held(state, operation, &self.options.transactional_id, epoch)?;
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
