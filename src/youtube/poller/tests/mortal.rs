//! A log that works until its user is killed: from then on each call fails, and what was open stays open, as after a `kill -9`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::streams::log::{
    Admin, Class, Committed, Consumer, ConsumerOptions, Delivered, Error, GroupMetadata, Log, Offset, Partition, Polled, Producer,
    ProducerOptions, ProducerRecord, RecordBatch, Result, TopicPartition,
};

/// Whether the user is dead.
type Dead = Arc<AtomicBool>;

/// The log, as one process sees it.
#[derive(Debug)]
pub(super) struct Mortal {
    pub(super) log: Arc<dyn Log>,
    pub(super) dead: Dead,
    /// What each further call to commit answers, where it is set, after it was made.
    pub(super) unknown: Arc<AtomicBool>,
    /// The number of the commit from now on, counted from 1, that comes to nothing and has the same answer; 0 for none.
    pub(super) lost: Arc<AtomicU32>,
}

impl Mortal {
    pub(super) fn new(log: Arc<dyn Log>) -> Self {
        Self { log, dead: Dead::default(), unknown: Arc::default(), lost: Arc::default() }
    }
}

fn alive(dead: &Dead) -> Result<()> {
    if dead.load(Ordering::SeqCst) { Err(Error::new(Class::Fatal, "living", "it was killed")) } else { Ok(()) }
}

impl Log for Mortal {
    fn consumer(&self, options: ConsumerOptions) -> Result<Box<dyn Consumer>> {
        alive(&self.dead)?;
        Ok(Box::new(Reads { inner: self.log.consumer(options)?, dead: Arc::clone(&self.dead) }))
    }

    fn producer(&self, options: ProducerOptions) -> Result<Box<dyn Producer>> {
        alive(&self.dead)?;
        let (dead, unknown, lost) = (Arc::clone(&self.dead), Arc::clone(&self.unknown), Arc::clone(&self.lost));
        Ok(Box::new(Writes { inner: self.log.producer(options)?, dead, unknown, lost }))
    }

    fn admin(&self) -> Arc<dyn Admin> {
        self.log.admin()
    }
}

#[derive(Debug)]
struct Reads {
    inner: Box<dyn Consumer>,
    dead: Dead,
}

impl Consumer for Reads {
    fn subscribe(&mut self, topics: &[Arc<str>]) -> Result<()> {
        alive(&self.dead)?;
        self.inner.subscribe(topics)
    }

    fn unsubscribe(&mut self) -> Result<()> {
        alive(&self.dead)?;
        self.inner.unsubscribe()
    }

    fn assign(&mut self, partition: &TopicPartition, offset: Offset) -> Result<()> {
        alive(&self.dead)?;
        self.inner.assign(partition, offset)
    }

    fn unassign(&mut self, partition: &TopicPartition) -> Result<()> {
        alive(&self.dead)?;
        self.inner.unassign(partition)
    }

    fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<()> {
        alive(&self.dead)?;
        self.inner.seek(partition, offset)
    }

    fn pause(&mut self, partition: &TopicPartition) -> Result<()> {
        alive(&self.dead)?;
        self.inner.pause(partition)
    }

    fn resume(&mut self, partition: &TopicPartition) -> Result<()> {
        alive(&self.dead)?;
        self.inner.resume(partition)
    }

    fn poll(&mut self, timeout: Duration, batch: &mut RecordBatch) -> Result<Polled> {
        alive(&self.dead)?;
        self.inner.poll(timeout, batch)
    }

    fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.inner.position(partition)
    }

    fn committed(&mut self, partitions: &[TopicPartition], timeout: Duration) -> Result<Vec<Option<Committed>>> {
        alive(&self.dead)?;
        self.inner.committed(partitions, timeout)
    }

    fn group_metadata(&self) -> GroupMetadata {
        self.inner.group_metadata()
    }
}

#[derive(Debug)]
struct Writes {
    inner: Box<dyn Producer>,
    dead: Dead,
    unknown: Arc<AtomicBool>,
    lost: Arc<AtomicU32>,
}

fn no_answer() -> Error {
    Error::new(Class::Unknown, "committing", "no answer came")
}

impl Producer for Writes {
    fn init_transactions(&mut self, timeout: Duration) -> Result<()> {
        alive(&self.dead)?;
        self.inner.init_transactions(timeout)
    }

    fn begin(&mut self) -> Result<()> {
        alive(&self.dead)?;
        self.inner.begin()
    }

    fn send(&mut self, record: &ProducerRecord<'_>) -> Result<()> {
        alive(&self.dead)?;
        self.inner.send(record)
    }

    fn flush(&mut self, timeout: Duration) -> Result<()> {
        alive(&self.dead)?;
        self.inner.flush(timeout)
    }

    fn delivered(&self, topic: usize, partition: Partition) -> Option<Delivered> {
        self.inner.delivered(topic, partition)
    }

    fn send_offsets(&mut self, offsets: &[(TopicPartition, Committed)], group: &GroupMetadata, timeout: Duration) -> Result<()> {
        alive(&self.dead)?;
        self.inner.send_offsets(offsets, group, timeout)
    }

    fn commit(&mut self, timeout: Duration) -> Result<()> {
        alive(&self.dead)?;
        let counts_down = |left: u32| left.checked_sub(1);
        if self.lost.fetch_update(Ordering::SeqCst, Ordering::SeqCst, counts_down) == Ok(1) {
            self.inner.abort(timeout)?;
            return Err(no_answer());
        }
        self.inner.commit(timeout)?;
        if self.unknown.swap(false, Ordering::SeqCst) { Err(no_answer()) } else { Ok(()) }
    }

    fn abort(&mut self, timeout: Duration) -> Result<()> {
        alive(&self.dead)?;
        self.inner.abort(timeout)
    }
}
