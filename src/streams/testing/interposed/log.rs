//! The log.

use std::sync::Arc;
use std::time::Duration;

use super::{Call, Client, Fault, Interposer, Post};
use crate::streams::clock::Timestamp;
use crate::streams::log::{
    Admin, Committed, Consumer, ConsumerOptions, Delivered, GroupMetadata, Isolation, Log, Offset, Partition, Polled, Producer,
    ProducerOptions, ProducerRecord, RecordBatch, Result, TopicConfig, TopicDescription, TopicPartition,
};

/// A log behind an [`Interposer`].
#[derive(Debug)]
pub struct InterposedLog {
    inner: Arc<dyn Log>,
    interposer: Arc<dyn Interposer>,
}

impl InterposedLog {
    /// All calls to `inner` that are made through this log are told to `interposer`.
    pub fn new(inner: Arc<dyn Log>, interposer: Arc<dyn Interposer>) -> Self {
        Self { inner, interposer }
    }

    fn post(&self, client: Client) -> Post {
        Post { interposer: Arc::clone(&self.interposer), client }
    }
}

impl Log for InterposedLog {
    fn consumer(&self, options: ConsumerOptions) -> Result<Box<dyn Consumer>> {
        Ok(Box::new(InterposedConsumer { inner: self.inner.consumer(options)?, post: self.post(Client::Reader) }))
    }

    fn producer(&self, options: ProducerOptions) -> Result<Box<dyn Producer>> {
        let post = self.post(Client::Producer(Arc::clone(&options.transactional_id)));
        Ok(Box::new(InterposedProducer { inner: self.inner.producer(options)?, post }))
    }

    fn admin(&self) -> Arc<dyn Admin> {
        Arc::new(InterposedAdmin { inner: self.inner.admin(), post: self.post(Client::Admin) })
    }
}

#[derive(Debug)]
struct InterposedConsumer {
    inner: Box<dyn Consumer>,
    post: Post,
}

impl Consumer for InterposedConsumer {
    fn subscribe(&mut self, topics: &[Arc<str>]) -> Result<()> {
        self.post.client = Client::Member;
        self.post.log(&Call::Subscribe(topics), || self.inner.subscribe(topics))
    }

    fn unsubscribe(&mut self) -> Result<()> {
        self.post.log(&Call::Unsubscribe, || self.inner.unsubscribe())
    }

    fn assign(&mut self, partition: &TopicPartition, offset: Offset) -> Result<()> {
        self.post.log(&Call::Assign(partition, offset), || self.inner.assign(partition, offset))
    }

    fn unassign(&mut self, partition: &TopicPartition) -> Result<()> {
        self.post.log(&Call::Unassign(partition), || self.inner.unassign(partition))
    }

    fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<()> {
        self.post.log(&Call::Seek(partition, offset), || self.inner.seek(partition, offset))
    }

    fn pause(&mut self, partition: &TopicPartition) -> Result<()> {
        self.post.log(&Call::PauseOrResume(partition), || self.inner.pause(partition))
    }

    fn resume(&mut self, partition: &TopicPartition) -> Result<()> {
        self.post.log(&Call::PauseOrResume(partition), || self.inner.resume(partition))
    }

    fn poll(&mut self, timeout: Duration, batch: &mut RecordBatch) -> Result<Polled> {
        self.post.interposer.before(&self.post.client, &Call::Poll(None)).map_err(Fault::into_log)?;
        if self.post.interposer.is_silent(&self.post.client) {
            batch.clear();
            return Ok(Polled::Nothing);
        }
        let polled = self.inner.poll(timeout, batch)?;
        self.post.interposer.after(&self.post.client, &Call::Poll(Some((&polled, batch)))).map_err(Fault::into_log)?;
        Ok(polled)
    }

    fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.inner.position(partition)
    }

    fn committed(&mut self, partitions: &[TopicPartition], timeout: Duration) -> Result<Vec<Option<Committed>>> {
        self.post.log(&Call::Committed(partitions), || self.inner.committed(partitions, timeout))
    }

    fn group_metadata(&self) -> GroupMetadata {
        self.inner.group_metadata()
    }
}

#[derive(Debug)]
struct InterposedProducer {
    inner: Box<dyn Producer>,
    post: Post,
}

impl Producer for InterposedProducer {
    fn init_transactions(&mut self, timeout: Duration) -> Result<()> {
        self.post.log(&Call::Init, || self.inner.init_transactions(timeout))
    }

    fn begin(&mut self) -> Result<()> {
        self.post.log(&Call::Begin, || self.inner.begin())
    }

    fn send(&mut self, record: &ProducerRecord<'_>) -> Result<()> {
        self.post.log(&Call::Send(record), || self.inner.send(record))
    }

    fn flush(&mut self, timeout: Duration) -> Result<()> {
        self.post.log(&Call::Flush, || self.inner.flush(timeout))
    }

    fn delivered(&self, topic: usize, partition: Partition) -> Option<Delivered> {
        self.inner.delivered(topic, partition)
    }

    fn send_offsets(&mut self, offsets: &[(TopicPartition, Committed)], group: &GroupMetadata, timeout: Duration) -> Result<()> {
        self.post.log(&Call::SendOffsets, || self.inner.send_offsets(offsets, group, timeout))
    }

    fn commit(&mut self, timeout: Duration) -> Result<()> {
        self.post.log(&Call::Commit, || self.inner.commit(timeout))
    }

    fn is_doubtful(&self) -> bool {
        self.inner.is_doubtful()
    }

    fn abort(&mut self, timeout: Duration) -> Result<()> {
        self.post.log(&Call::Abort, || self.inner.abort(timeout))
    }
}

#[derive(Debug)]
struct InterposedAdmin {
    inner: Arc<dyn Admin>,
    post: Post,
}

impl Admin for InterposedAdmin {
    fn brokers(&self) -> Result<usize> {
        self.post.log(&Call::Ask, || self.inner.brokers())
    }

    fn topics(&self) -> Result<Vec<TopicDescription>> {
        self.post.log(&Call::Ask, || self.inner.topics())
    }

    fn describe(&self, topic: &str) -> Result<Option<TopicDescription>> {
        self.post.log(&Call::Ask, || self.inner.describe(topic))
    }

    fn create_topic(&self, topic: &str, config: &TopicConfig) -> Result<()> {
        self.post.log(&Call::Alter, || self.inner.create_topic(topic, config))
    }

    fn delete_topic(&self, topic: &str) -> Result<()> {
        self.post.log(&Call::Alter, || self.inner.delete_topic(topic))
    }

    fn watermarks(&self, partition: &TopicPartition, isolation: Isolation) -> Result<(Offset, Offset)> {
        self.post.log(&Call::Ask, || self.inner.watermarks(partition, isolation))
    }

    fn offset_for_time(&self, partition: &TopicPartition, timestamp: Timestamp) -> Result<Option<Offset>> {
        self.post.log(&Call::Ask, || self.inner.offset_for_time(partition, timestamp))
    }

    fn group_offsets(&self, group: &str) -> Result<Vec<(TopicPartition, Committed)>> {
        self.post.log(&Call::Ask, || self.inner.group_offsets(group))
    }

    fn alter_group_offsets(&self, group: &str, offsets: &[(TopicPartition, Option<Committed>)]) -> Result<()> {
        self.post.log(&Call::Alter, || self.inner.alter_group_offsets(group, offsets))
    }

    fn maintain(&self, now: Timestamp) -> Result<()> {
        match self.post.interposer.before(&self.post.client, &Call::Maintain) {
            Ok(()) => self.inner.maintain(now),
            Err(_) => Ok(()),
        }
    }
}
