//! Appends observations to the topic of a source, exactly once: what was read so far is committed with the records.
//!
//! Behind `import`, whose position is the row of a file.

use std::sync::Arc;
use std::time::Duration;

use crate::avro::{EncodeError, Encoder, KeyFormat, Misfit, Registry, RegistryError, Row, Schema, SchemaId, Shape, wire};
use crate::config::ValueFormat;
use crate::streams::clock::Timestamp;
use crate::streams::log::{
    self, Committed, ConsumerOptions, GroupMetadata, Headers, HeadersBuf, Isolation, Log, Offset, Partition, Producer, ProducerOptions,
    ProducerRecord, TopicPartition,
};
use crate::streams::runtime::dead_letter_topic;

/// How long a call of the log may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Places in the producer's list of topics.
const TARGET: usize = 0;
const DEAD_LETTERS: usize = 1;

/// Why nothing could be appended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log failed.
    #[error("appending to {topic} failed")]
    Log {
        /// The topic.
        topic: Arc<str>,
        /// The cause.
        #[source]
        source: log::Error,
    },
    /// The schema could not be registered.
    #[error("the schema of {topic} could not be registered")]
    Registry {
        /// The topic.
        topic: Arc<str>,
        /// The cause.
        #[source]
        source: RegistryError,
    },
    /// The schema of the source wants what observations do not have.
    #[error("the schema of {topic} does not fit observations")]
    Schema {
        /// The topic.
        topic: Arc<str>,
        /// The cause.
        #[source]
        source: Misfit,
    },
    /// The topic's records are not what observations are written as.
    #[error("observations cannot be written to {topic}: they are Avro under text keys, {what}")]
    Format {
        /// The topic.
        topic: Arc<str>,
        /// How the topic differs.
        what: &'static str,
    },
    /// A row cannot be written with the schema.
    #[error("an observation of {key} cannot be written to {topic}")]
    Encode {
        /// The topic.
        topic: Arc<str>,
        /// The record's key.
        key: String,
        /// The cause.
        #[source]
        source: EncodeError,
    },
}

/// Where observations go.
#[derive(Clone, Debug)]
pub struct Target {
    /// The application; its dead letters take the bad rows.
    pub application_id: Arc<str>,
    /// The topic of the source.
    pub topic: Arc<str>,
    /// The schema of its values.
    pub schema: Schema,
    /// How its values are written.
    pub format: ValueFormat,
    /// How its keys are written.
    pub key: KeyFormat,
}

/// Appends rows of one shape in transactions.
#[derive(Debug)]
pub struct Appender {
    producer: Box<dyn Producer>,
    encoder: Encoder,
    schema: SchemaId,
    topic: Arc<str>,
    group: GroupMetadata,
    value: Vec<u8>,
    open: bool,
}

impl Appender {
    /// An appender called `name` (unique per origin of observations), and what it committed last: those before it are done.
    pub fn open(
        log: &dyn Log,
        registry: &dyn Registry,
        target: &Target,
        shape: &Shape,
        name: &str,
    ) -> Result<(Self, Option<Committed>), Error> {
        let topic = Arc::clone(&target.topic);
        let failed = |source| Error::Log { topic: Arc::clone(&topic), source };
        let unfit = |what| Error::Format { topic: Arc::clone(&target.topic), what };
        if target.format != ValueFormat::Avro {
            return Err(unfit("its source declares JSON"));
        }
        if target.key != KeyFormat::String {
            return Err(unfit("its source declares other keys"));
        }
        let encoder = Encoder::compile(&target.schema, shape).map_err(|misfits| misfit(&topic, misfits))?;
        let subject = format!("{topic}-value");
        let registered = registry.register(&subject, &target.schema);
        let schema = registered.map_err(|source| Error::Registry { topic: Arc::clone(&topic), source })?;
        let group: Arc<str> = format!("{}-{name}", target.application_id).into();
        let mut producer = log
            .producer(ProducerOptions {
                transactional_id: Arc::clone(&group),
                topics: vec![Arc::clone(&topic), dead_letter_topic(&target.application_id).into()],
                transaction_timeout: Duration::from_secs(60),
            })
            .map_err(failed)?;
        // Order: a predecessor that was killed is fenced and its transaction ended before its position is read.
        producer.init_transactions(CALL_TIMEOUT).map_err(failed)?;
        let options = ConsumerOptions { group: Some(Arc::clone(&group)), instance_id: None, isolation: Isolation::ReadCommitted };
        let mut consumer = log.consumer(options).map_err(failed)?;
        let position = [TopicPartition::new(Arc::clone(&topic), 0)];
        let committed = consumer.committed(&position, CALL_TIMEOUT).map_err(failed)?.into_iter().next().flatten();
        // Of no member: nobody else commits for this group. In the client's own form, which a real broker wants.
        let group = consumer.group_metadata();
        Ok((Self { producer, encoder, schema, topic, group, value: Vec::new(), open: false }, committed))
    }

    /// Appends a row, or a tombstone, under its key.
    pub fn append(&mut self, key: &str, row: Option<&Row>, at: Timestamp) -> Result<(), Error> {
        self.value.clear();
        if let Some(row) = row {
            wire::prefix(self.schema, &mut self.value);
            let encoded = self.encoder.encode(row, Some(key.as_bytes()), &mut self.value);
            encoded.map_err(|source| Error::Encode { topic: Arc::clone(&self.topic), key: key.to_owned(), source })?;
        }
        self.begin()?;
        let value = row.map(|_| self.value.as_slice());
        let key = Some(key.as_bytes());
        let record = ProducerRecord { topic: TARGET, partition: None, key, value, headers: Headers::EMPTY, timestamp: at };
        let sent = self.producer.send(&record);
        self.check(sent)
    }

    /// Puts bytes that are no observation where bad records go.
    pub fn dead_letter(&mut self, raw: &[u8], headers: &HeadersBuf, at: Timestamp) -> Result<(), Error> {
        self.begin()?;
        let record = ProducerRecord {
            topic: DEAD_LETTERS,
            partition: Some(Partition(0)),
            key: None,
            value: Some(raw),
            headers: headers.as_headers(),
            timestamp: at,
        };
        let sent = self.producer.send(&record);
        self.check(sent)
    }

    /// Commits what was appended, and the position up to which everything is done.
    pub fn commit(&mut self, position: i64, metadata: &str) -> Result<(), Error> {
        self.begin()?;
        let offsets =
            [(TopicPartition::new(Arc::clone(&self.topic), 0), Committed { offset: Offset(position), metadata: metadata.into() })];
        let flushed = self.producer.flush(CALL_TIMEOUT);
        self.check(flushed)?;
        let sent = self.producer.send_offsets(&offsets, &self.group, CALL_TIMEOUT);
        self.check(sent)?;
        // From here on the outcome is the log's: nothing may abort any more.
        self.open = false;
        let committed = self.producer.commit(CALL_TIMEOUT);
        self.check(committed)
    }

    fn begin(&mut self) -> Result<(), Error> {
        if !self.open {
            let begun = self.producer.begin();
            self.check(begun)?;
            self.open = true;
        }
        Ok(())
    }

    fn check<T>(&self, result: log::Result<T>) -> Result<T, Error> {
        result.map_err(|source| Error::Log { topic: Arc::clone(&self.topic), source })
    }
}

/// An open transaction would hold up all readers of the topic until it times out.
impl Drop for Appender {
    fn drop(&mut self) {
        if self.open {
            // The log aborts it in the end if this does not.
            self.producer.abort(CALL_TIMEOUT).unwrap_or_default();
        }
    }
}

fn misfit(topic: &Arc<str>, misfits: Vec<Misfit>) -> Error {
    Error::Schema { topic: Arc::clone(topic), source: Misfit::first(misfits) }
}
