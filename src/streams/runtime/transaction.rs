//! The producer of a stream thread and its one transaction, begun at the first send.

use std::time::Duration;

use crate::streams::log::{self, Log, Offset, Producer, ProducerOptions, ProducerRecord};
use crate::streams::task::{Output, TaskId};

/// A producer with at most one open transaction.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) producer: Box<dyn Producer>,
    open: bool,
    records: u64,
    crossed: bool,
    /// Input records taken in since the last one ended, and the last of them.
    inputs: (u64, Option<(TaskId, Offset)>),
}

impl Transaction {
    /// Makes a producer and fences all earlier holders of its id.
    pub(super) fn init(log: &dyn Log, options: &ProducerOptions, timeout: Duration) -> log::Result<Self> {
        let mut producer = log.producer(options.clone())?;
        producer.init_transactions(timeout)?;
        Ok(Self { producer, open: false, records: 0, crossed: false, inputs: (0, None) })
    }

    pub(super) fn begin(&mut self) -> log::Result<()> {
        if !self.open {
            self.producer.begin()?;
            self.open = true;
        }
        Ok(())
    }

    /// Whether there is something to commit or abort.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Records sent since the transaction began.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// An input record is taken in.
    pub(super) fn take_in(&mut self, task: TaskId, offset: Offset) {
        self.inputs = (self.inputs.0 + 1, Some((task, offset)));
    }

    /// How many input records were taken in since the last transaction ended, and the last of them.
    pub(super) fn inputs(&self) -> (u64, Option<(TaskId, Offset)>) {
        self.inputs
    }

    /// The assignment changes; an open transaction then reaches over from one to the next.
    pub(super) fn cross(&mut self) {
        self.crossed |= self.open;
    }

    /// Whether the assignment changed while it was open.
    pub(super) fn is_crossed(&self) -> bool {
        self.crossed
    }

    /// The transaction is over, one way or the other.
    pub(super) fn ended(&mut self) {
        self.open = false;
        self.records = 0;
        self.crossed = false;
        self.inputs = (0, None);
    }
}

impl Output for Transaction {
    fn send(&mut self, record: &ProducerRecord<'_>) -> log::Result<()> {
        self.begin()?;
        self.records += 1;
        self.producer.send(record)
    }

    fn open(&mut self) -> log::Result<()> {
        self.begin()
    }
}
