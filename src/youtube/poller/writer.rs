//! Writes observations, and the state that explains them, in one transaction.

use std::sync::Arc;
use std::time::Duration;

use super::memory::{Change, Reason};
use crate::streams::clock::Timestamp;
use crate::streams::log::{
    Class, Committed, Error, GroupMetadata, Headers, HeadersBuf, Log, Offset, Partition, Producer, ProducerOptions, ProducerRecord, Result,
    TopicPartition,
};

/// How long a call of the log may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// After this time a transaction that was left open is aborted by the log.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

/// The header of a tombstone that says why the video is removed.
const REASON: &str = "reason";

/// Places in the producer's list of topics.
const TARGET: usize = 0;
const STATE: usize = 1;

/// What becomes known of a video.
#[derive(Debug)]
pub(super) enum Said {
    /// An observation: the value of its record.
    Row(Vec<u8>),
    /// That it is removed.
    Removed(Reason),
}

/// A record about a video.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) id: String,
    pub(super) said: Said,
    pub(super) at: Timestamp,
}

/// Why nothing was committed, or perhaps nothing.
#[derive(Debug)]
pub(super) enum Failed {
    /// Nothing was: the same may be committed again, if it is this member's turn still.
    Again(Error),
    /// The producer is of no use any more, or the outcome is open: the state must be read again.
    Over(Error),
}

/// A producer of the source's topic and the state topic.
#[derive(Debug)]
pub(super) struct Writer {
    log: Arc<dyn Log>,
    options: ProducerOptions,
    producer: Box<dyn Producer>,
    /// What is committed for the state topic: the offset has no meaning but that the member's generation is looked at with it.
    position: (TopicPartition, Offset),
    /// Whether the client may have sent the last commit twice: a late copy must not end a later transaction.
    is_doubtful: bool,
}

impl Writer {
    /// A writer; those that went before under this id are fenced, and their open transactions ended.
    pub(super) fn open(log: &Arc<dyn Log>, id: &Arc<str>, topic: &Arc<str>, state_topic: &Arc<str>) -> Result<Self> {
        let options = ProducerOptions {
            transactional_id: Arc::clone(id),
            topics: vec![Arc::clone(topic), Arc::clone(state_topic)],
            transaction_timeout: TRANSACTION_TIMEOUT,
        };
        let producer = start(&**log, &options)?;
        let position = (TopicPartition::new(Arc::clone(state_topic), 0), Offset(0));
        Ok(Self { log: Arc::clone(log), options, producer, position, is_doubtful: false })
    }

    /// Commits observations and state: all of it, or none.
    pub(super) fn commit(&mut self, rows: &[Written], state: &[Change], group: &GroupMetadata, at: Timestamp) -> Result<(), Failed> {
        if self.is_doubtful {
            self.producer = start(&*self.log, &self.options).map_err(Failed::Over)?;
            self.is_doubtful = false;
        }
        self.producer.begin().map_err(Failed::Over)?;
        if let Err(error) = self.fill(rows, state, group, at) {
            let again = matches!(error.class, Class::Rebalanced | Class::Abortable | Class::Retriable);
            let aborted = self.producer.abort(CALL_TIMEOUT);
            return Err(if again && aborted.is_ok() { Failed::Again(error) } else { Failed::Over(error) });
        }
        // From here on the outcome is the log's: nothing may abort any more.
        self.producer.commit(CALL_TIMEOUT).map_err(Failed::Over)?;
        self.is_doubtful = self.producer.is_doubtful();
        Ok(())
    }

    fn fill(&mut self, rows: &[Written], state: &[Change], group: &GroupMetadata, at: Timestamp) -> Result<()> {
        let mut headers = HeadersBuf::default();
        for row in rows {
            headers.clear();
            let value = match &row.said {
                Said::Row(value) => Some(value.as_slice()),
                Said::Removed(reason) => {
                    headers.push(REASON, Some(reason.name().as_bytes()));
                    None
                }
            };
            let (key, headers) = (Some(row.id.as_bytes()), headers.as_headers());
            self.producer.send(&ProducerRecord { topic: TARGET, partition: None, key, value, headers, timestamp: row.at })?;
        }
        for (key, value) in state {
            let (key, value, partition) = (Some(key.as_bytes()), value.as_deref(), Some(Partition(0)));
            self.producer.send(&ProducerRecord { topic: STATE, partition, key, value, headers: Headers::EMPTY, timestamp: at })?;
        }
        self.producer.flush(CALL_TIMEOUT)?;
        if let Some(delivered) = self.producer.delivered(STATE, Partition(0)) {
            self.position.1 = delivered.last.next();
        }
        let (partition, offset) = self.position.clone();
        let offsets = [(partition, Committed { offset, metadata: Arc::from("") })];
        self.producer.send_offsets(&offsets, group, CALL_TIMEOUT)
    }
}

fn start(log: &dyn Log, options: &ProducerOptions) -> Result<Box<dyn Producer>> {
    let mut producer = log.producer(options.clone())?;
    producer.init_transactions(CALL_TIMEOUT)?;
    Ok(producer)
}
