//! The registry of the embedded log: a compacted topic `_schemas` with records in the form of Confluent's.
//!
//! The topic is the truth, memory follows it: whoever registers fences other writers first, reads to the end, and only then chooses an id.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use super::state::{self, State};
use super::{Registered, Registry, RegistryError};
use crate::avro::{Guid, Schema, SchemaId, check_readable};
use crate::streams::clock::Clock;
use crate::streams::log::{
    Class, Consumer, ConsumerOptions, Error as LogError, Headers, Isolation, Log, Polled, ProducerOptions, ProducerRecord, RecordBatch,
    TopicConfig, TopicPartition,
};

/// The topic of the schemas.
pub(super) const TOPIC: &str = "_schemas";

const TRANSACTIONAL_ID: &str = "tidewatch-schemas";
const TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

/// Polls in a row that may bring nothing although the end is not reached.
const IDLE_MAX: u32 = 100;

/// Schemas in the topic `_schemas` of a log.
#[derive(Debug)]
pub struct EmbeddedRegistry {
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    partition: TopicPartition,
    reader: Mutex<Reader>,
    state: RwLock<State>,
    /// Held while a schema is registered.
    writer: Mutex<()>,
}

#[derive(Debug)]
struct Reader {
    consumer: Box<dyn Consumer>,
    batch: RecordBatch,
}

fn unavailable(what: impl Into<String>) -> impl FnOnce(LogError) -> RegistryError {
    let what = what.into();
    |error| RegistryError::Unavailable { what, source: Some(Box::new(error)) }
}

impl EmbeddedRegistry {
    /// Creates the topic where it is missing and reads it to its end.
    pub fn open(log: Arc<dyn Log>, clock: Arc<dyn Clock>) -> Result<Self, RegistryError> {
        let opening = || unavailable(format!("opening the topic {TOPIC}"));
        let admin = log.admin();
        if admin.describe(TOPIC).map_err(opening())?.is_none() {
            match admin.create_topic(TOPIC, &TopicConfig::compact(1)) {
                Err(error) if error.class != Class::Exists => return Err(opening()(error)),
                _ => {}
            }
        }
        let partition = TopicPartition::new(TOPIC, 0);
        let (start, _) = admin.watermarks(&partition, Isolation::ReadCommitted).map_err(opening())?;
        let options = ConsumerOptions { group: None, instance_id: None, isolation: Isolation::ReadCommitted };
        let mut consumer = log.consumer(options).map_err(opening())?;
        consumer.assign(&partition, start).map_err(opening())?;
        let reader = Mutex::new(Reader { consumer, batch: RecordBatch::default() });
        let registry = Self { log, clock, partition, reader, state: RwLock::default(), writer: Mutex::new(()) };
        registry.refresh()?;
        Ok(registry)
    }

    /// Reads the topic to its end.
    fn refresh(&self) -> Result<(), RegistryError> {
        let reading = || unavailable(format!("reading the topic {TOPIC}"));
        let mut reader = self.reader.lock();
        let Reader { consumer, batch } = &mut *reader;
        let (_, end) = self.log.admin().watermarks(&self.partition, Isolation::ReadCommitted).map_err(reading())?;
        let mut idle = 0;
        while consumer.position(&self.partition).is_none_or(|position| position < end) {
            if consumer.poll(POLL, batch).map_err(reading())? != Polled::Records {
                idle += 1;
                if idle > IDLE_MAX {
                    return Err(RegistryError::Unavailable { what: format!("reading the topic {TOPIC} up to offset {end}"), source: None });
                }
                continue;
            }
            idle = 0;
            let mut state = self.state.write();
            for record in batch.iter() {
                state.apply(record.offset, record.key, record.value)?;
            }
        }
        Ok(())
    }

    /// All subjects, sorted.
    pub fn subjects(&self) -> Result<Vec<String>, RegistryError> {
        self.refresh()?;
        Ok(self.state.read().subjects())
    }

    /// All versions of a subject, ascending; none where there is no such subject.
    pub fn all_versions(&self, subject: &str) -> Result<Vec<Registered>, RegistryError> {
        self.refresh()?;
        Ok(self.state.read().versions(subject).collect())
    }

    /// The id of a schema that the subject has.
    fn known(&self, subject: &str, schema: &Schema) -> Option<SchemaId> {
        self.state.read().versions(subject).find(|registered| registered.schema.text() == schema.text()).map(|registered| registered.id)
    }

    fn check(&self, subject: &str, schema: &Schema) -> Result<(), RegistryError> {
        let Some(latest) = self.state.read().versions(subject).last() else { return Ok(()) };
        check_readable(&latest.schema, schema).map_err(|source| RegistryError::Incompatible {
            subject: subject.to_owned(),
            version: latest.version,
            source,
        })
    }

    /// Writes a new version in a transaction of its own.
    fn append(&self, subject: &str, schema: &Schema) -> Result<SchemaId, RegistryError> {
        let writing = || unavailable(format!("registering a schema for {subject}"));
        let options =
            ProducerOptions { transactional_id: TRANSACTIONAL_ID.into(), topics: vec![TOPIC.into()], transaction_timeout: TIMEOUT };
        let mut producer = self.log.producer(options).map_err(writing())?;
        // Order: fence others, then read, then choose the id. Who fences us now makes our commit fail.
        producer.init_transactions(TIMEOUT).map_err(writing())?;
        self.refresh()?;
        if let Some(id) = self.known(subject, schema) {
            return Ok(id);
        }
        self.check(subject, schema)?;
        let (id, version) = self.state.read().next(subject, schema);
        let (key, value) = state::record(subject, version, id, schema);
        let record = ProducerRecord {
            topic: 0,
            partition: Some(self.partition.partition),
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            headers: Headers::EMPTY,
            timestamp: self.clock.now(),
        };
        producer.begin().map_err(writing())?;
        if let Err(error) = producer.send(&record).and_then(|()| producer.flush(TIMEOUT)) {
            // The first error is the one to tell; what the abort leaves open ends with the next writer's start.
            drop(producer.abort(TIMEOUT));
            return Err(writing()(error));
        }
        producer.commit(TIMEOUT).map_err(writing())?;
        self.refresh()?;
        Ok(id)
    }
}

impl Registry for EmbeddedRegistry {
    fn register(&self, subject: &str, schema: &Schema) -> Result<SchemaId, RegistryError> {
        if let Some(id) = self.known(subject, schema) {
            return Ok(id);
        }
        let _writer = self.writer.lock();
        self.append(subject, schema)
    }

    fn schema(&self, id: SchemaId) -> Result<Option<Arc<Schema>>, RegistryError> {
        if let Some(schema) = self.state.read().schema(id) {
            return Ok(Some(schema));
        }
        self.refresh()?;
        Ok(self.state.read().schema(id))
    }

    fn schema_by_guid(&self, guid: Guid) -> Result<Option<Arc<Schema>>, RegistryError> {
        if let Some(schema) = self.state.read().schema_by_guid(guid) {
            return Ok(Some(schema));
        }
        self.refresh()?;
        Ok(self.state.read().schema_by_guid(guid))
    }

    fn latest(&self, subject: &str) -> Result<Option<Registered>, RegistryError> {
        self.refresh()?;
        Ok(self.state.read().versions(subject).last())
    }

    fn versions(&self, subject: &str) -> Result<Vec<u32>, RegistryError> {
        self.refresh()?;
        let versions: Vec<u32> = self.state.read().versions(subject).map(|registered| registered.version).collect();
        if versions.is_empty() { Err(RegistryError::NotFound(subject.to_owned())) } else { Ok(versions) }
    }

    fn compatible(&self, subject: &str, schema: &Schema) -> Result<(), RegistryError> {
        self.refresh()?;
        self.check(subject, schema)
    }
}
