//! A log that fails where it is told to, before or after a call of the producer took effect; and stores that do.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::*;
use crate::streams::kv::{self, Batch, Direction, Durability, Kv, Visit};
use crate::streams::log::{
    Admin, Class, Committed, Consumer, ConsumerOptions, Delivered, Error, GroupMetadata, Isolation, Offset, Partition, Producer,
    ProducerOptions, ProducerRecord, Result, TopicDescription, TopicPartition,
};
use crate::streams::task::TaskId;

/// The calls that may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Send,
    Flush,
    SendOffsets,
    Commit,
    Abort,
    Init,
}

/// A fault: at which call, with which error, and whether the call takes effect all the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) call: Call,
    pub(super) class: Class,
    pub(super) takes_effect: bool,
}

/// The embedded log with faults for the engine's producers; the test's own input is spared.
#[derive(Debug)]
pub(super) struct FaultyLog {
    pub(super) inner: Arc<LocalLog>,
    pub(super) faults: Arc<Mutex<VecDeque<Fault>>>,
    /// At a flush, a value with this text in it is refused, and the producer is spoilt.
    pub(super) refuses: Arc<Mutex<Option<&'static str>>>,
    /// How many offsets each transaction had.
    pub(super) offsets: Arc<Mutex<Vec<usize>>>,
    /// So many questions for watermarks fail retriably.
    pub(super) silent: Arc<Mutex<u32>>,
}

impl Log for FaultyLog {
    fn consumer(&self, options: ConsumerOptions) -> Result<Box<dyn Consumer>> {
        self.inner.consumer(options)
    }

    fn producer(&self, options: ProducerOptions) -> Result<Box<dyn Producer>> {
        let spared = &*options.transactional_id == "test-driver-input";
        let faults = if spared { Arc::default() } else { Arc::clone(&self.faults) };
        let refuses = if spared { Arc::default() } else { Arc::clone(&self.refuses) };
        let offsets = Arc::clone(&self.offsets);
        let inner = self.inner.producer(options)?;
        Ok(Box::new(FaultyProducer { inner, faults, refuses, offsets, refused: false, spoilt: false }))
    }

    fn admin(&self) -> Arc<dyn Admin> {
        Arc::new(FaultyAdmin { inner: self.inner.admin(), silent: Arc::clone(&self.silent) })
    }
}

#[derive(Debug)]
struct FaultyProducer {
    inner: Box<dyn Producer>,
    faults: Arc<Mutex<VecDeque<Fault>>>,
    refuses: Arc<Mutex<Option<&'static str>>>,
    offsets: Arc<Mutex<Vec<usize>>>,
    /// Whether something that is refused lies in the open transaction.
    refused: bool,
    spoilt: bool,
}

impl FaultyProducer {
    fn call(&mut self, call: Call, work: impl FnOnce(&mut dyn Producer) -> Result<()>) -> Result<()> {
        let fault = {
            let mut faults = self.faults.lock();
            if faults.front().is_some_and(|fault| fault.call == call) { faults.pop_front() } else { None }
        };
        let Some(fault) = fault else { return work(&mut *self.inner) };
        if fault.takes_effect {
            work(&mut *self.inner)?;
        }
        Err(Error::new(fault.class, format!("{call:?}"), "injected"))
    }
}

impl Producer for FaultyProducer {
    fn init_transactions(&mut self, timeout: Duration) -> Result<()> {
        self.call(Call::Init, |inner| inner.init_transactions(timeout))
    }

    fn begin(&mut self) -> Result<()> {
        self.inner.begin()
    }

    fn send(&mut self, record: &ProducerRecord<'_>) -> Result<()> {
        let value = String::from_utf8_lossy(record.value.unwrap_or_default());
        self.refused |= self.refuses.lock().is_some_and(|text| value.contains(text));
        self.call(Call::Send, |inner| inner.send(record))
    }

    fn flush(&mut self, timeout: Duration) -> Result<()> {
        if self.refused || self.spoilt {
            self.spoilt = true;
            let class = if self.refused { Class::Record } else { Class::Fatal };
            return Err(Error::new(class, "producing to output", "too large"));
        }
        self.call(Call::Flush, |inner| inner.flush(timeout))
    }

    fn delivered(&self, topic: usize, partition: Partition) -> Option<Delivered> {
        self.inner.delivered(topic, partition)
    }

    fn send_offsets(&mut self, offsets: &[(TopicPartition, Committed)], group: &GroupMetadata, timeout: Duration) -> Result<()> {
        self.offsets.lock().push(offsets.len());
        self.call(Call::SendOffsets, |inner| inner.send_offsets(offsets, group, timeout))
    }

    fn commit(&mut self, timeout: Duration) -> Result<()> {
        self.call(Call::Commit, |inner| inner.commit(timeout))
    }

    fn abort(&mut self, timeout: Duration) -> Result<()> {
        self.refused = false;
        self.call(Call::Abort, |inner| inner.abort(timeout))
    }
}

/// The embedded log's own, except that it may be silent for a while.
#[derive(Debug)]
struct FaultyAdmin {
    inner: Arc<dyn Admin>,
    silent: Arc<Mutex<u32>>,
}

impl Admin for FaultyAdmin {
    fn topics(&self) -> Result<Vec<TopicDescription>> {
        self.inner.topics()
    }

    fn describe(&self, topic: &str) -> Result<Option<TopicDescription>> {
        self.inner.describe(topic)
    }

    fn create_topic(&self, topic: &str, config: &TopicConfig) -> Result<()> {
        self.inner.create_topic(topic, config)
    }

    fn delete_topic(&self, topic: &str) -> Result<()> {
        self.inner.delete_topic(topic)
    }

    fn watermarks(&self, partition: &TopicPartition, isolation: Isolation) -> Result<(Offset, Offset)> {
        let mut silent = self.silent.lock();
        if *silent > 0 {
            *silent -= 1;
            return Err(Error::new(Class::Retriable, format!("asking for the offsets of {partition}"), "no answer"));
        }
        self.inner.watermarks(partition, isolation)
    }

    fn offset_for_time(&self, partition: &TopicPartition, timestamp: Timestamp) -> Result<Option<Offset>> {
        self.inner.offset_for_time(partition, timestamp)
    }

    fn group_offsets(&self, group: &str) -> Result<Vec<(TopicPartition, Committed)>> {
        self.inner.group_offsets(group)
    }

    fn alter_group_offsets(&self, group: &str, offsets: &[(TopicPartition, Option<Committed>)]) -> Result<()> {
        self.inner.alter_group_offsets(group, offsets)
    }

    fn maintain(&self, now: Timestamp) -> Result<()> {
        self.inner.maintain(now)
    }
}

/// Stores that fail at each write while they are told to.
#[derive(Debug, Default)]
pub(super) struct Failing {
    pub(super) inner: MemoryBackend,
    pub(super) fails: Arc<AtomicBool>,
    pub(super) is_damage: bool,
}

#[derive(Debug)]
struct FailingKv(Arc<dyn Kv>, Arc<AtomicBool>, bool);

impl StateBackend for Failing {
    fn open(&self, task: TaskId) -> kv::Result<Arc<dyn Kv>> {
        Ok(Arc::new(FailingKv(self.inner.open(task)?, Arc::clone(&self.fails), self.is_damage)))
    }

    fn destroy(&self, task: TaskId) -> kv::Result<()> {
        self.inner.destroy(task)
    }
}

impl Kv for FailingKv {
    fn get(&self, key: &[u8], value: &mut Vec<u8>) -> kv::Result<bool> {
        self.0.get(key, value)
    }

    fn write(&self, batch: &Batch, durability: Durability) -> kv::Result<()> {
        let (store, source) = ("test".to_owned(), "told to".into());
        match (self.1.load(Ordering::SeqCst), self.2) {
            (true, true) => Err(kv::Error::Corrupt { store, source }),
            (true, false) => Err(kv::Error::DiskFull { store, source }),
            _ => self.0.write(batch, durability),
        }
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, direction: Direction, visit: &mut Visit<'_>) -> kv::Result<()> {
        self.0.scan(from, to, direction, visit)
    }

    fn flush(&self) -> kv::Result<()> {
        self.0.flush()
    }
}
