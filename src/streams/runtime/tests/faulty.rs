//! A log that fails where it is told to: before or after a call of the producer took effect.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;

use super::*;
use crate::streams::log::{
    Admin, Class, Committed, Consumer, ConsumerOptions, Error, GroupMetadata, Offset, Partition, Producer, ProducerOptions, ProducerRecord,
    Result, TopicPartition,
};

/// The calls that may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
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
}

impl Log for FaultyLog {
    fn consumer(&self, options: ConsumerOptions) -> Result<Box<dyn Consumer>> {
        self.inner.consumer(options)
    }

    fn producer(&self, options: ProducerOptions) -> Result<Box<dyn Producer>> {
        let spared = &*options.transactional_id == "test-driver-input";
        let faults = if spared { Arc::default() } else { Arc::clone(&self.faults) };
        Ok(Box::new(FaultyProducer { inner: self.inner.producer(options)?, faults }))
    }

    fn admin(&self) -> Arc<dyn Admin> {
        self.inner.admin()
    }
}

#[derive(Debug)]
struct FaultyProducer {
    inner: Box<dyn Producer>,
    faults: Arc<Mutex<VecDeque<Fault>>>,
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
        self.inner.send(record)
    }

    fn flush(&mut self, timeout: Duration) -> Result<()> {
        self.call(Call::Flush, |inner| inner.flush(timeout))
    }

    fn delivered(&self, topic: usize, partition: Partition) -> Option<Offset> {
        self.inner.delivered(topic, partition)
    }

    fn send_offsets(&mut self, offsets: &[(TopicPartition, Committed)], group: &GroupMetadata, timeout: Duration) -> Result<()> {
        self.call(Call::SendOffsets, |inner| inner.send_offsets(offsets, group, timeout))
    }

    fn commit(&mut self, timeout: Duration) -> Result<()> {
        self.call(Call::Commit, |inner| inner.commit(timeout))
    }

    fn abort(&mut self, timeout: Duration) -> Result<()> {
        self.call(Call::Abort, |inner| inner.abort(timeout))
    }
}
