//! Whose turn it is: the poller is a member of a group over its own state topic, which has one partition. Who has it polls YouTube.

use std::sync::Arc;
use std::time::Duration;

use super::memory::Memory;
use crate::streams::log::{
    Class, Consumer, ConsumerOptions, Error, GroupMetadata, Isolation, Log, Offset, Polled, RecordBatch, Result, TopicPartition,
};

/// So many polls without a record in a row mean that the state topic cannot be read.
const SILENT_POLLS_MAX: u32 = 300;

/// How a reading of the state came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// All is read.
    Whole,
    /// The turn went to another member meanwhile.
    TurnLost,
    /// It was told to stop.
    Stopped,
}

/// A member of the group.
#[derive(Debug)]
pub(super) struct Member {
    consumer: Box<dyn Consumer>,
    partition: TopicPartition,
    batch: RecordBatch,
    /// The number of the turn while it lasts; each has its own, so that state that was read in an earlier one is not taken for that of now.
    turn: Option<u64>,
    turns: u64,
}

impl Member {
    /// Joins the group.
    pub(super) fn join(log: &dyn Log, group: &Arc<str>, instance_id: &Arc<str>, state_topic: &Arc<str>) -> Result<Self> {
        let mut consumer = log.consumer(ConsumerOptions {
            group: Some(Arc::clone(group)),
            instance_id: Some(Arc::clone(instance_id)),
            isolation: Isolation::ReadCommitted,
        })?;
        consumer.subscribe(&[Arc::clone(state_topic)])?;
        let partition = TopicPartition::new(Arc::clone(state_topic), 0);
        Ok(Self { consumer, partition, batch: RecordBatch::default(), turn: None, turns: 0 })
    }

    /// Hears what the group has to say, for at most `timeout`; the number of the turn, if this member has it.
    ///
    /// No transaction is open while this is called: a partition that is wanted back is given up at once.
    pub(super) fn hear(&mut self, timeout: Duration) -> Result<Option<u64>> {
        let polled = self.consumer.poll(timeout, &mut self.batch)?;
        self.take(&polled)?;
        Ok(self.turn)
    }

    /// The number of the turn, as it was last heard.
    pub(super) fn turn(&self) -> Option<u64> {
        self.turn
    }

    fn take(&mut self, polled: &Polled) -> Result<()> {
        match polled {
            Polled::Assigned(partitions) if partitions.contains(&self.partition) => {
                self.turns += 1;
                self.turn = Some(self.turns);
                Ok(())
            }
            Polled::Revoked(partitions) if partitions.contains(&self.partition) => {
                self.turn = None;
                self.consumer.unassign(&self.partition)
            }
            Polled::Lost(partitions) if partitions.contains(&self.partition) => {
                self.turn = None;
                // It may be another's already: there is nothing that must succeed.
                self.consumer.unassign(&self.partition).or(Ok(()))
            }
            _ => Ok(()),
        }
    }

    /// Reads the state topic from its start to its end. `timeout` is that of one poll.
    pub(super) fn read(&mut self, log: &dyn Log, timeout: Duration, stop: &dyn Fn() -> bool, into: &mut Memory) -> Result<Read> {
        // The transactions of a predecessor have ended, and nobody else writes: what is there now is all.
        let (low, end) = log.admin().watermarks(&self.partition, Isolation::ReadUncommitted)?;
        self.consumer.assign(&self.partition, low)?;
        let mut silent = 0;
        while self.position() < end {
            if stop() {
                return Ok(Read::Stopped);
            }
            let polled = self.consumer.poll(timeout, &mut self.batch)?;
            silent = if polled == Polled::Nothing { silent + 1 } else { 0 };
            if polled == Polled::Records {
                self.batch.iter().for_each(|record| into.apply(record.key, record.value));
            }
            let turn = self.turn;
            self.take(&polled)?;
            if self.turn != turn {
                return Ok(Read::TurnLost);
            }
            if silent > SILENT_POLLS_MAX {
                let message = format!("nothing came from offset {} of {end}", self.position());
                return Err(Error::new(Class::Retriable, format!("reading {}", self.partition), message));
            }
        }
        // Its own writes are known: they need not come back.
        self.consumer.pause(&self.partition)?;
        Ok(Read::Whole)
    }

    /// The next record of the state topic that would be read.
    pub(super) fn position(&self) -> Offset {
        self.consumer.position(&self.partition).unwrap_or_default()
    }

    /// Who this member is.
    pub(super) fn metadata(&self) -> GroupMetadata {
        self.consumer.group_metadata()
    }

    /// Leaves the group: another one has the turn at once.
    pub(super) fn leave(mut self) -> Result<()> {
        self.consumer.unsubscribe()
    }
}
