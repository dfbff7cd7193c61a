//! Reads a topic for people: records decoded through the registry, with their place, time, key and headers.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::ops::ControlFlow;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::avro::{self, Registry, wire};
use crate::processors::did_you_mean;
use crate::streams::clock::Timestamp;
use crate::streams::log::{self, Consumer, ConsumerOptions, Isolation, Log, Offset, Polled, RecordBatch, RecordRef, TopicPartition};

/// How long a poll waits before it looks whether to stop.
pub(super) const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// Polls in a row that may bring nothing although the end is not reached: a log far away needs time, and what is left may be nothing to read.
const IDLE_MAX: u32 = 50;

/// Why a topic cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such topic.
    #[error("there is no topic {topic}")]
    UnknownTopic {
        /// What was asked for.
        topic: String,
        /// The topics that there are.
        known: Vec<String>,
    },
    /// The log failed.
    #[error("reading {topic} failed")]
    Log {
        /// The topic.
        topic: String,
        /// The cause.
        #[source]
        source: log::Error,
    },
}

impl Error {
    /// What was probably meant, in a sentence.
    pub fn hint(&self) -> Option<String> {
        let Self::UnknownTopic { topic, known } = self else { return None };
        if let Some(meant) = did_you_mean(topic, known.iter().map(String::as_str)) {
            return Some(format!("Did you mean {meant}?"));
        }
        Some(if known.is_empty() { "There are no topics yet.".to_owned() } else { format!("There are: {}.", known.join(", ")) })
    }
}

/// Where to begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum From {
    /// With the first record that is still there.
    #[default]
    Earliest,
    /// With what comes next.
    Latest,
    /// With this offset of each partition.
    Offset(i64),
    /// With the first record that is not older, in milliseconds since the Unix epoch.
    Time(i64),
}

/// Not a place in a topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not earliest, latest, an offset, or a time such as 2026-08-06T10:00:00Z")]
pub struct NotAPlace;

impl FromStr for From {
    type Err = NotAPlace;

    fn from_str(text: &str) -> Result<Self, NotAPlace> {
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            _ => match text.parse() {
                Ok(offset @ 0..) => Ok(Self::Offset(offset)),
                Ok(_) => Err(NotAPlace),
                Err(_) => text.parse().map(|at: jiff::Timestamp| Self::Time(at.as_millisecond())).map_err(|_| NotAPlace),
            },
        }
    }
}

/// What to read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// The topic.
    pub topic: String,
    /// Where to begin.
    pub from: From,
    /// Only records with this key.
    pub key: Option<String>,
    /// Whether to go on with what is appended; otherwise it ends with what was there at the start.
    pub follow: bool,
}

/// A record for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tapped {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// The record's time, RFC 3339.
    pub time: String,
    /// The record's time in milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The key; bytes that are no text as `0x` and hexadecimal digits.
    pub key: Option<String>,
    /// Names and values, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, Option<String>)>,
    /// The id of the schema that the value was written with; none where a header names it by GUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<u32>,
    /// The decoded value; JSON or text that is not Avro as it is, other bytes as `0x` and hexadecimal digits, a tombstone as null.
    pub value: serde_json::Value,
}

/// One line: place, time, key, value, and headers in brackets.
impl fmt::Display for Tapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}@{}  {}  {}  ", self.topic, self.partition, self.offset, self.time, self.key.as_deref().unwrap_or("(no key)"))?;
        match &self.value {
            serde_json::Value::Null => f.write_str("(tombstone)")?,
            value => write!(f, "{value}")?,
        }
        for (name, value) in &self.headers {
            write!(f, "  [{name}: {}]", value.as_deref().unwrap_or("null").replace('\n', " "))?;
        }
        Ok(())
    }
}

/// Reads committed records and hands each to `emit` until that breaks off, `stop` says so or the end is reached.
pub fn tap(
    log: &dyn Log,
    registry: &dyn Registry,
    request: &Request,
    stop: &dyn Fn() -> bool,
    emit: &mut dyn FnMut(Tapped) -> ControlFlow<()>,
) -> Result<(), Error> {
    let mut reader = Reader::open(log, &request.topic, request.from)?;
    let key = request.key.as_deref().map(str::as_bytes);
    let mut done = ControlFlow::Continue(());
    while done.is_continue() && !stop() {
        if !request.follow && reader.is_done() {
            break;
        }
        reader.poll(POLL_TIMEOUT, &mut |partition, record| {
            if done.is_continue() && (key.is_none() || key == record.key) {
                done = emit(decode(registry, partition, record));
            }
        })?;
    }
    Ok(())
}

/// Reads all committed records of a topic once.
pub fn for_each(log: &dyn Log, topic: &str, visit: &mut dyn FnMut(&RecordRef<'_>)) -> Result<(), Error> {
    let mut reader = Reader::open(log, topic, From::Earliest)?;
    while !reader.is_done() {
        reader.poll(POLL_TIMEOUT, &mut |_, record| visit(record))?;
    }
    Ok(())
}

/// Reads all partitions of a topic from a place on; committed records only.
#[derive(Debug)]
pub struct Reader {
    topic: String,
    consumer: Box<dyn Consumer>,
    batch: RecordBatch,
    /// Each partition with the end that it had when it was opened.
    ends: Vec<(TopicPartition, Offset)>,
    /// Polls in a row that brought nothing.
    idle: u32,
}

impl Reader {
    /// Opens a topic.
    pub fn open(log: &dyn Log, topic: &str, from: From) -> Result<Self, Error> {
        let failed = |source| Error::Log { topic: topic.to_owned(), source };
        let admin = log.admin();
        let Some(description) = admin.describe(topic).map_err(failed)? else {
            let known = admin.topics().map_err(failed)?.into_iter().map(|known| known.name.to_string()).collect();
            return Err(Error::UnknownTopic { topic: topic.to_owned(), known });
        };
        let options = ConsumerOptions { group: None, instance_id: None, isolation: Isolation::ReadCommitted };
        let mut consumer = log.consumer(options).map_err(failed)?;
        let mut ends = Vec::new();
        for partition in 0..description.config.partitions {
            let partition = TopicPartition::new(topic, partition);
            let (low, end) = admin.watermarks(&partition, Isolation::ReadCommitted).map_err(failed)?;
            let start = match from {
                From::Earliest => low,
                From::Latest => end,
                From::Offset(offset) => Offset(offset).clamp(low, end.max(low)),
                From::Time(at) => admin.offset_for_time(&partition, Timestamp(at)).map_err(failed)?.unwrap_or(end),
            };
            consumer.assign(&partition, start).map_err(failed)?;
            ends.push((partition, end));
        }
        Ok(Self { topic: topic.to_owned(), consumer, batch: RecordBatch::default(), ends, idle: 0 })
    }

    /// Hands out the next records, waiting for them up to `timeout`; false when there were none.
    pub fn poll(&mut self, timeout: Duration, visit: &mut dyn FnMut(&TopicPartition, &RecordRef<'_>)) -> Result<bool, Error> {
        let polled = self.consumer.poll(timeout, &mut self.batch);
        let polled = polled.map_err(|source| Error::Log { topic: self.topic.clone(), source })?;
        self.idle = if polled == Polled::Records { 0 } else { self.idle.saturating_add(1) };
        let Some(partition) = self.batch.source().filter(|_| polled == Polled::Records) else { return Ok(false) };
        self.batch.iter().for_each(|record| visit(partition, &record));
        Ok(true)
    }

    /// Whether everything was handed out that was there when it was opened, or nothing comes any more.
    fn is_done(&self) -> bool {
        self.at_end() || self.is_silent()
    }

    /// Whether nothing came for [`IDLE_MAX`] polls.
    pub(super) fn is_silent(&self) -> bool {
        self.idle >= IDLE_MAX
    }

    /// Each partition with the end that it had when the topic was opened.
    pub(super) fn ends(&self) -> impl Iterator<Item = (&TopicPartition, Offset)> {
        self.ends.iter().map(|(partition, end)| (partition, *end))
    }

    /// Whether everything was handed out that was there when it was opened.
    pub fn at_end(&self) -> bool {
        self.ends.iter().all(|(partition, end)| self.consumer.position(partition).is_some_and(|position| position >= *end))
    }
}

/// A record for people.
pub(super) fn decode(registry: &dyn Registry, partition: &TopicPartition, record: &RecordRef<'_>) -> Tapped {
    let text = |bytes: &[u8]| text(bytes).into_owned();
    let (schema, value) = match record.value {
        None => (None, serde_json::Value::Null),
        Some(value) => match avro_value(registry, record, value) {
            Some((schema, value)) => (schema, value),
            None => (None, json(value).unwrap_or_else(|| text(value).into())),
        },
    };
    Tapped {
        topic: partition.topic.to_string(),
        partition: partition.partition.0,
        offset: record.offset.0,
        time: record.timestamp.to_string(),
        timestamp_ms: record.timestamp.0,
        key: record.key.map(text),
        headers: record.headers.iter().map(|(name, value)| (name.to_owned(), value.map(text))).collect(),
        schema,
        value,
    }
}

/// The value as JSON, if it is Avro in the Confluent wire format with a schema that the registry knows.
fn avro_value(registry: &dyn Registry, record: &RecordRef<'_>, value: &[u8]) -> Option<(Option<u32>, serde_json::Value)> {
    let (key, body) = wire::split(value, record.headers).ok()?;
    let schema = registry.lookup(key).ok()??;
    Some((key.id().map(|id| id.0), avro::to_json(&schema, body).ok()?))
}

/// An object or an array in JSON.
fn json(value: &[u8]) -> Option<serde_json::Value> {
    let is_json = matches!(value.trim_ascii_start().first(), Some(b'{' | b'['));
    is_json.then(|| serde_json::from_slice(value).ok()).flatten()
}

/// UTF-8 as it is, anything else as `0x` and hexadecimal digits.
pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    let readable = |text: &&str| !text.chars().any(|c| c.is_control() && !c.is_whitespace());
    match std::str::from_utf8(bytes).ok().filter(readable) {
        Some(text) => Cow::Borrowed(text),
        None => Cow::Owned(bytes.iter().fold("0x".to_owned(), |mut hex, byte| {
            // Writing to a string cannot fail.
            write!(hex, "{byte:02x}").unwrap_or_default();
            hex
        })),
    }
}

#[cfg(test)]
mod tests;
