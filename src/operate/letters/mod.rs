//! Dead letters: the records that could not be processed or delivered, listed for people and put back where they came from.
//!
//! There are two kinds, in one form: what the topology could not process lies in `<application_id>-dead-letters`, what the sender could not deliver
//! in [`telegram::DEAD_LETTERS`], which other applications may share: theirs are left out. Key and value are those of the record as it was read; its own headers come
//! first, and behind them those of KIP-1034 (`__streams.errors.*`), which say where it was read and what was wrong.

use std::borrow::Cow;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::tap::{self, From, Reader};
use crate::avro::Registry;
use crate::streams::log::{self, Headers, Log, RecordRef, TopicPartition};
use crate::streams::runtime::dead_letter_topic;
use crate::streams::task::ERROR_HEADERS;
use crate::telegram;

#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
mod progress;
mod replay;
#[cfg(test)]
mod tests;

pub use replay::{Outcome, Plan};

/// Why dead letters cannot be listed or put back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// They cannot be read.
    #[error(transparent)]
    Read(#[from] tap::Error),
    /// Nothing came any more, although there is more.
    #[error("{topic} was not read to its end: nothing came for some seconds")]
    Silent {
        /// The topic.
        topic: String,
    },
    /// The log failed.
    #[error("{operation} failed")]
    Log {
        /// What was being done.
        operation: &'static str,
        /// The cause.
        #[source]
        source: log::Error,
    },
    /// What was put back and what was not alternate too often: the log keeps only so much text beside an offset.
    #[error("which letters of {partition} were replayed would take {bytes} bytes to note; {limit} is the most")]
    Scattered {
        /// The partition.
        partition: TopicPartition,
        /// What it would take.
        bytes: usize,
        /// What there is.
        limit: usize,
    },
}

impl Error {
    /// What to do about it, in a sentence.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read(error) => error.hint(),
            Self::Scattered { .. } => Some("Replay more of them at once: with a wider filter, or with none.".to_owned()),
            Self::Silent { .. } | Self::Log { .. } => None,
        }
    }

    /// Whether the request itself is at fault.
    pub fn is_by_user(&self) -> bool {
        matches!(self, Self::Read(tap::Error::UnknownTopic { .. }) | Self::Scattered { .. })
    }
}

/// Which letters are meant; all that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// They lie in this topic, or came from it.
    pub topic: Option<String>,
    /// The exception, the message or one of the causes has this text, in whatever case.
    pub reason: Option<String>,
    /// The record's time is not older, in milliseconds since the Unix epoch.
    pub since: Option<i64>,
    /// The record's key, as `list` shows it.
    pub key: Option<String>,
}

/// What can be asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// The letters themselves.
    List(Filter),
    /// What a replay would do.
    Plan {
        /// Which letters.
        filter: Filter,
        /// Whether those too that were put back before.
        again: bool,
    },
    /// To put back what was planned.
    Replay {
        /// As in the plan.
        filter: Filter,
        /// As in the plan.
        again: bool,
        /// The plan: what came later is left where it is.
        plan: Plan,
    },
}

/// Where a record was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The topic.
    pub topic: String,
    /// The partition; -1 for what was in no topic.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// `topic-partition@offset`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}@{}", self.topic, self.partition, self.offset)
    }
}

/// A dead letter for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Letter {
    /// Where it lies itself.
    #[serde(flatten)]
    pub place: Origin,
    /// The record's time, RFC 3339.
    pub time: String,
    /// The record's time in milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// Where the record was read; none where that is not said.
    pub origin: Option<Origin>,
    /// The record's key; bytes that are no text as `0x` and hexadecimal digits.
    pub key: Option<String>,
    /// The kind of failure.
    pub exception: Option<String>,
    /// The innermost cause.
    pub message: Option<String>,
    /// All causes, one a line.
    pub stacktrace: Option<String>,
    /// The record's own headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, Option<String>)>,
    /// The id of the schema that the value was written with, where it was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<u32>,
    /// The value as `tap` shows it.
    pub value: serde_json::Value,
    /// Whether it was put back.
    pub replayed: bool,
    /// Why it cannot be put back; none where it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<String>,
}

/// One line: time, where it came from, key, what was wrong, value, and in brackets what became of it.
impl fmt::Display for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  ", self.time)?;
        match &self.origin {
            Some(origin) => write!(f, "{origin}")?,
            None => f.write_str("(from nowhere)")?,
        }
        let exception = self.exception.as_deref().unwrap_or("(no reason)");
        write!(f, "  {}  {exception}", self.key.as_deref().unwrap_or("(no key)"))?;
        if let Some(message) = &self.message {
            write!(f, ": {}", message.replace('\n', " "))?;
        }
        match &self.value {
            serde_json::Value::Null => f.write_str("  (tombstone)")?,
            value => write!(f, "  {value}")?,
        }
        if self.replayed {
            f.write_str("  [replayed]")?;
        }
        match &self.obstacle {
            Some(obstacle) => write!(f, "  [cannot be replayed: {obstacle}]"),
            None => Ok(()),
        }
    }
}

/// The dead letters of an application.
#[derive(Clone, Copy, Debug)]
pub struct Letters<'a> {
    /// The log.
    pub log: &'a dyn Log,
    /// Decodes what they hold.
    pub registry: &'a dyn Registry,
    /// The application.
    pub application_id: &'a str,
    /// Its outboxes ([`telegram::outboxes`]): undelivered messages from elsewhere are another application's.
    pub outboxes: &'a [Arc<str>],
}

impl Letters<'_> {
    /// Hands the letters that are meant to `emit`, until that breaks off, `stop` says so or the end is reached.
    pub fn list(&self, filter: &Filter, stop: &dyn Fn() -> bool, emit: &mut dyn FnMut(Letter) -> ControlFlow<()>) -> Result<(), Error> {
        let known = self.known_topics()?;
        for topic in self.topics(filter, &known)? {
            let mut reader = Reader::open(self.log, &topic, filter.since.map_or(From::Earliest, From::Time))?;
            let progress = self.progress(&reader)?;
            let ended = read(&mut reader, &topic, stop, &mut |place, record| {
                let reason = Reason::of(record.headers);
                if self.is_foreign(place, &reason) || !filter.wants(place, record, &reason) {
                    return Ok(ControlFlow::Continue(()));
                }
                let replayed = progress.get(place).is_some_and(|done| done.contains(record.offset.0));
                Ok(emit(self.letter(place, record, &reason, &known, replayed)))
            })?;
            if ended.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The topics that letters lie in and that the filter does not leave out.
    fn topics(&self, filter: &Filter, known: &[(String, i32)]) -> Result<Vec<String>, Error> {
        let is_known = |topic: &str| known.iter().any(|(name, _)| name == topic);
        let all = [dead_letter_topic(self.application_id), telegram::DEAD_LETTERS.to_owned()];
        match &filter.topic {
            Some(topic) if all.contains(topic) && is_known(topic) => Ok(vec![topic.clone()]),
            // Letters may have come from a topic that is gone; a name that nobody knows is rather a slip.
            Some(topic) if !is_known(topic) => {
                let known = known.iter().map(|(name, _)| name.clone()).collect();
                Err(tap::Error::UnknownTopic { topic: topic.clone(), known }.into())
            }
            _ => Ok(all.into_iter().filter(|topic| is_known(topic)).collect()),
        }
    }

    /// Whether it is another application's message. Where it does not say where it came from it is shown to all; nobody can put it back.
    fn is_foreign(&self, place: &TopicPartition, reason: &Reason<'_>) -> bool {
        let is_elsewhere = |origin: &Origin| !self.outboxes.iter().any(|outbox| **outbox == *origin.topic);
        &*place.topic == telegram::DEAD_LETTERS && reason.origin.as_ref().is_some_and(is_elsewhere)
    }

    /// The topics that there are, with the number of their partitions.
    fn known_topics(&self) -> Result<Vec<(String, i32)>, Error> {
        let topics = self.log.admin().topics().map_err(|source| Error::Log { operation: "asking for the topics", source })?;
        Ok(topics.into_iter().map(|topic| (topic.name.to_string(), topic.config.partitions)).collect())
    }

    fn letter(
        &self,
        place: &TopicPartition,
        record: &RecordRef<'_>,
        reason: &Reason<'_>,
        known: &[(String, i32)],
        replayed: bool,
    ) -> Letter {
        let shown = tap::decode(self.registry, place, record);
        let owned = |text: &Option<Cow<'_, str>>| text.as_deref().map(str::to_owned);
        Letter {
            place: Origin { topic: shown.topic, partition: shown.partition, offset: shown.offset },
            time: shown.time,
            timestamp_ms: shown.timestamp_ms,
            key: shown.key,
            exception: owned(&reason.exception),
            message: owned(&reason.message),
            stacktrace: owned(&reason.stacktrace),
            headers: shown.headers.into_iter().filter(|(name, _)| !name.starts_with(ERROR_HEADERS)).collect(),
            schema: shown.schema,
            value: shown.value,
            replayed,
            obstacle: reason.destination(known).err().map(str::to_owned),
            origin: reason.origin.clone(),
        }
    }
}

/// What the headers say.
#[derive(Debug)]
struct Reason<'a> {
    exception: Option<Cow<'a, str>>,
    message: Option<Cow<'a, str>>,
    stacktrace: Option<Cow<'a, str>>,
    origin: Option<Origin>,
}

impl<'a> Reason<'a> {
    /// The last of each name counts: a record that was put back and failed again may have older ones.
    fn of(headers: Headers<'a>) -> Self {
        let mut reason = Self { exception: None, message: None, stacktrace: None, origin: None };
        let (mut topic, mut partition, mut offset) = (None, None, None);
        for (name, value) in headers.iter() {
            let (Some(name), Some(value)) = (name.strip_prefix(ERROR_HEADERS), value) else { continue };
            match name {
                "exception" => reason.exception = Some(tap::text(value)),
                "message" => reason.message = Some(tap::text(value)),
                "stacktrace" => reason.stacktrace = Some(tap::text(value)),
                "topic" => topic = Some(tap::text(value)),
                "partition" => partition = tap::text(value).parse().ok(),
                "offset" => offset = tap::text(value).parse().ok(),
                _ => {}
            }
        }
        if let (Some(topic), Some(partition), Some(offset)) = (topic, partition, offset) {
            reason.origin = Some(Origin { topic: topic.into_owned(), partition, offset });
        }
        reason
    }

    /// Where the record can be put back, with the number of that topic's partitions; or why it cannot.
    fn destination(&self, known: &[(String, i32)]) -> Result<(&Origin, i32), &'static str> {
        let origin = self.origin.as_ref().ok_or("its headers do not say where it came from")?;
        if origin.partition < 0 {
            return Err("it is a row of a file, which was never a record; import it again in a file that is mended");
        }
        let found = known.iter().find(|(name, _)| *name == origin.topic);
        found.map(|(_, partitions)| (origin, *partitions)).ok_or("the topic that it came from is not there")
    }
}

impl Filter {
    /// Whether all letters are meant.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    fn wants(&self, place: &TopicPartition, record: &RecordRef<'_>, reason: &Reason<'_>) -> bool {
        let of_topic = |topic: &String| *place.topic == **topic || reason.origin.as_ref().is_some_and(|origin| origin.topic == *topic);
        let has_text = |wanted: &String| {
            let wanted = wanted.to_lowercase();
            let texts = [&reason.exception, &reason.message, &reason.stacktrace];
            texts.into_iter().flatten().any(|text| text.to_lowercase().contains(&wanted))
        };
        self.topic.as_ref().is_none_or(of_topic)
            && self.since.is_none_or(|since| record.timestamp.0 >= since)
            && self.key.as_ref().is_none_or(|wanted| record.key.is_some_and(|key| tap::text(key) == **wanted))
            && self.reason.as_ref().is_none_or(has_text)
    }
}

/// Takes a record, and says whether to go on.
type Visit<'a> = &'a mut dyn FnMut(&TopicPartition, &RecordRef<'_>) -> Result<ControlFlow<()>, Error>;

/// Hands on the records of a topic that were there when it was opened, until `visit` or `stop` breaks off.
fn read(reader: &mut Reader, topic: &str, stop: &dyn Fn() -> bool, visit: Visit<'_>) -> Result<ControlFlow<()>, Error> {
    let mut result = Ok(ControlFlow::Continue(()));
    while !reader.at_end() {
        if stop() {
            return Ok(ControlFlow::Break(()));
        }
        if reader.is_silent() {
            return Err(Error::Silent { topic: topic.to_owned() });
        }
        reader.poll(tap::POLL_TIMEOUT, &mut |place, record| {
            if matches!(result, Ok(ControlFlow::Continue(()))) {
                result = visit(place, record);
            }
        })?;
        if !matches!(result, Ok(ControlFlow::Continue(()))) {
            break;
        }
    }
    result
}
