//! A log of one topic that fails when it is told to: for what the embedded log does not do on demand.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::streams::clock::Timestamp;
use crate::streams::log::{
    Admin, Class, Committed, Consumer, ConsumerOptions, Delivered, Error, GroupMetadata, Headers, Isolation, Log, Offset, Partition,
    Polled, Producer, ProducerOptions, ProducerRecord, RecordBatch, RecordRef, Result, TopicConfig, TopicDescription, TopicPartition,
};

type Stored = (Vec<u8>, Option<Vec<u8>>);

#[derive(Debug, Default)]
pub(super) struct Fake {
    records: Mutex<Vec<Stored>>,
    created: Mutex<bool>,
    epoch: Mutex<u32>,
    /// The next call with this name fails.
    pub(super) fail: Mutex<Option<&'static str>>,
}

/// The fake as the traits see it.
#[derive(Clone, Debug, Default)]
pub(super) struct FakeLog(pub(super) Arc<Fake>);

impl FakeLog {
    fn call(&self, name: &'static str) -> Result<()> {
        let mut fail = self.0.fail.lock();
        if *fail == Some(name) {
            *fail = None;
            return Err(Error::new(Class::Fatal, name, "told to fail"));
        }
        Ok(())
    }

    pub(super) fn push(&self, key: &str, value: Option<&str>) {
        self.0.records.lock().push((key.into(), value.map(Into::into)));
    }

    pub(super) fn texts(&self) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        self.0.records.lock().iter().map(|(key, value)| (text(key), value.as_deref().map_or_else(String::new, text))).collect()
    }

    fn end(&self) -> Offset {
        Offset(i64::try_from(self.0.records.lock().len()).unwrap())
    }
}

impl Log for FakeLog {
    fn consumer(&self, _: ConsumerOptions) -> Result<Box<dyn Consumer>> {
        Ok(Box::new(FakeConsumer { log: self.clone(), position: Offset(0) }))
    }

    fn producer(&self, _: ProducerOptions) -> Result<Box<dyn Producer>> {
        Ok(Box::new(FakeProducer { log: self.clone(), epoch: 0, pending: Vec::new() }))
    }

    fn admin(&self) -> Arc<dyn Admin> {
        Arc::new(self.clone())
    }
}

#[derive(Debug)]
struct FakeConsumer {
    log: FakeLog,
    position: Offset,
}

impl Consumer for FakeConsumer {
    fn subscribe(&mut self, _: &[Arc<str>]) -> Result<()> {
        unreachable!()
    }
    fn unsubscribe(&mut self) -> Result<()> {
        unreachable!()
    }
    fn assign(&mut self, _: &TopicPartition, offset: Offset) -> Result<()> {
        self.position = offset;
        Ok(())
    }
    fn unassign(&mut self, _: &TopicPartition) -> Result<()> {
        unreachable!()
    }
    fn seek(&mut self, _: &TopicPartition, _: Offset) -> Result<()> {
        unreachable!()
    }
    fn pause(&mut self, _: &TopicPartition) -> Result<()> {
        unreachable!()
    }
    fn resume(&mut self, _: &TopicPartition) -> Result<()> {
        unreachable!()
    }
    fn poll(&mut self, _: Duration, batch: &mut RecordBatch) -> Result<Polled> {
        self.log.call("poll")?;
        let records = self.log.0.records.lock();
        let Some((key, value)) = usize::try_from(self.position.0).ok().and_then(|at| records.get(at)) else { return Ok(Polled::Nothing) };
        batch.start(TopicPartition::new("_schemas", 0));
        batch.push(&RecordRef {
            offset: self.position,
            timestamp: Timestamp(0),
            key: Some(key),
            value: value.as_deref(),
            headers: Headers::EMPTY,
        });
        self.position = self.position.next();
        Ok(Polled::Records)
    }
    fn position(&self, _: &TopicPartition) -> Option<Offset> {
        Some(self.position)
    }
    fn committed(&mut self, _: &[TopicPartition], _: Duration) -> Result<Vec<Option<Committed>>> {
        unreachable!()
    }
    fn group_metadata(&self) -> GroupMetadata {
        unreachable!()
    }
}

#[derive(Debug)]
struct FakeProducer {
    log: FakeLog,
    epoch: u32,
    pending: Vec<Stored>,
}

impl Producer for FakeProducer {
    fn init_transactions(&mut self, _: Duration) -> Result<()> {
        self.log.call("init")?;
        let mut epoch = self.log.0.epoch.lock();
        *epoch += 1;
        self.epoch = *epoch;
        Ok(())
    }
    fn begin(&mut self) -> Result<()> {
        Ok(())
    }
    fn send(&mut self, record: &ProducerRecord<'_>) -> Result<()> {
        self.pending.push((record.key.unwrap().to_vec(), record.value.map(<[u8]>::to_vec)));
        Ok(())
    }
    fn flush(&mut self, _: Duration) -> Result<()> {
        self.log.call("flush")
    }
    fn delivered(&self, _: usize, _: Partition) -> Option<Delivered> {
        None
    }
    fn send_offsets(&mut self, _: &[(TopicPartition, Committed)], _: &GroupMetadata, _: Duration) -> Result<()> {
        unreachable!()
    }
    fn commit(&mut self, _: Duration) -> Result<()> {
        self.log.call("commit")?;
        assert_eq!(self.epoch, *self.log.0.epoch.lock());
        self.log.0.records.lock().append(&mut self.pending);
        Ok(())
    }
    fn abort(&mut self, _: Duration) -> Result<()> {
        self.pending.clear();
        Ok(())
    }
}

impl Admin for FakeLog {
    fn topics(&self) -> Result<Vec<TopicDescription>> {
        unreachable!()
    }
    fn describe(&self, topic: &str) -> Result<Option<TopicDescription>> {
        self.call("describe")?;
        Ok(self.0.created.lock().then(|| TopicDescription { name: topic.into(), config: TopicConfig::compact(1) }))
    }
    fn create_topic(&self, _: &str, config: &TopicConfig) -> Result<()> {
        assert_eq!(*config, TopicConfig::compact(1));
        *self.0.created.lock() = true;
        Ok(())
    }
    fn delete_topic(&self, _: &str) -> Result<()> {
        unreachable!()
    }
    fn watermarks(&self, _: &TopicPartition, _: Isolation) -> Result<(Offset, Offset)> {
        self.call("watermarks")?;
        Ok((Offset(0), self.end()))
    }
    fn offset_for_time(&self, _: &TopicPartition, _: Timestamp) -> Result<Option<Offset>> {
        unreachable!()
    }
    fn group_offsets(&self, _: &str) -> Result<Vec<(TopicPartition, Committed)>> {
        unreachable!()
    }
    fn alter_group_offsets(&self, _: &str, _: &[(TopicPartition, Option<Committed>)]) -> Result<()> {
        unreachable!()
    }
    fn maintain(&self, _: Timestamp) -> Result<()> {
        unreachable!()
    }
}
