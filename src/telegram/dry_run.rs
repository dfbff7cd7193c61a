//! A dry run: what the sender would send now, without sending it, without its group and without writing anything.
//!
//! It reads what the sender has in its queues from the changelog of the sent log, and what it has not read yet from the outbox, from the committed offset
//! of its group on. The limits and the waits of chats are left out: it says what, not when.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::Settings;
use super::sender::{self, Incoming};
use super::sent_log::{self, ChatRow, Event, Malformed, Queued};
use super::{Message, Request};
use crate::avro::{Registry, Row};
use crate::processors::message_shape;
use crate::streams::log::{self, ConsumerOptions, Isolation, Log, Offset, Polled, RecordBatch, RecordRef, TopicPartition};
use crate::streams::processor::SerdeError;
use crate::streams::runtime::changelog_topic;

/// How long a poll waits, and how many in a row may bring nothing before the end is reached: a log far away needs time.
const POLL: std::time::Duration = std::time::Duration::from_millis(100);
const IDLE_MAX: u32 = 50;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The outbox is not there.
    #[error("there is no topic {topic}")]
    NoTopic {
        /// Its name.
        topic: String,
    },
    /// The log failed.
    #[error("{topic} cannot be read")]
    Log {
        /// The topic.
        topic: String,
        /// The cause.
        #[source]
        source: log::Error,
    },
    /// The sent log cannot be read.
    #[error("the changelog {topic} cannot be read")]
    SentLog {
        /// The changelog.
        topic: String,
        /// The cause.
        #[source]
        source: Malformed,
    },
    /// The registry is out of reach.
    #[error("the messages of {topic} cannot be read now")]
    Unavailable {
        /// The outbox.
        topic: String,
        /// The cause.
        #[source]
        source: SerdeError,
    },
    /// The schema of the messages.
    #[error(transparent)]
    Sender(#[from] sender::Error),
}

/// A message that would be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// Where its record lies in the outbox.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// The event that it tells of.
    pub event_id: String,
    /// Whether the sender has it in its queue already.
    pub queued: bool,
    /// What Telegram would be told.
    pub message: Message,
}

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Messages that would be sent.
    pub messages: u64,
    /// Records whose event was sent, given up or queued already.
    pub known: u64,
    /// Records that would become dead letters.
    pub dead_letters: u64,
}

/// What the changelog says.
#[derive(Debug, Default)]
struct State {
    /// Events by the hash of their keys, and whether they were given up.
    events: HashMap<u64, bool>,
    chats: BTreeMap<String, ChatRow>,
    queues: BTreeMap<(String, u64), Queued>,
}

/// Hands each message that the sender called `application_id` would send to `emit`, until that breaks off.
pub fn dry_run(
    log: &dyn Log,
    registry: Arc<dyn Registry>,
    settings: &Settings,
    application_id: &str,
    emit: &mut dyn FnMut(Preview) -> ControlFlow<()>,
) -> Result<Summary, Error> {
    let mut state = state(log, &changelog_topic(application_id, sent_log::STORE))?;
    let mut summary = Summary::default();
    for ((chat, number), queued) in std::mem::take(&mut state.queues) {
        let row = state.chats.get(&chat).cloned().unwrap_or_default();
        if number < row.give_up_before {
            summary.dead_letters += 1;
            continue;
        }
        summary.messages += 1;
        // What was tried with the message at the head does not hold for those behind it.
        let row = if number == row.head { row } else { ChatRow { tried: sent_log::Tried::default(), ..row } };
        if emit(preview(&chat, &row, queued, true)).is_break() {
            return Ok(summary);
        }
    }
    let topic = &*settings.outbox;
    let committed = log.admin().group_offsets(application_id).map_err(|source| failed(topic, source))?;
    let mut deserializer = sender::reading(settings.format, registry)?();
    let mut row = Row::of(&message_shape());
    each(log, topic, &committed.into_iter().map(|(place, committed)| (place, committed.offset)).collect(), &mut |place, record| {
        let Some(value) = record.value else { return Ok(ControlFlow::Continue(())) };
        match deserializer.deserialize(value, record, &mut row) {
            Ok(()) => {}
            Err(SerdeError::Record(_)) => {
                summary.dead_letters += 1;
                return Ok(ControlFlow::Continue(()));
            }
            Err(source) => return Err(Error::Unavailable { topic: topic.to_owned(), source }),
        }
        let Ok(Incoming { chat, message, replayed }) = Incoming::of(&row, place, record) else {
            summary.dead_letters += 1;
            return Ok(ControlFlow::Continue(()));
        };
        let event = xxh3_64(&sent_log::event_key(&chat, &message.event_id));
        if state.events.get(&event).is_some_and(|given_up| !(*given_up && replayed)) {
            summary.known += 1;
            return Ok(ControlFlow::Continue(()));
        }
        state.events.insert(event, false);
        summary.messages += 1;
        let moved = ChatRow { moved_to: state.chats.get(&chat).and_then(|row| row.moved_to), ..ChatRow::default() };
        Ok(emit(preview(&chat, &moved, message, false)))
    })?;
    Ok(summary)
}

fn preview(chat: &str, row: &ChatRow, queued: Queued, is_queued: bool) -> Preview {
    let (partition, offset, event_id) = (queued.partition, queued.offset, queued.event_id.clone());
    let (Request::Send(message) | Request::Edit { message, .. }) = sender::request(chat, row, queued, None);
    Preview { partition, offset, event_id, queued: is_queued, message }
}

/// What the sender knows, from its changelog; nothing where it never ran.
fn state(log: &dyn Log, topic: &str) -> Result<State, Error> {
    let mut state = State::default();
    if log.admin().describe(topic).map_err(|source| failed(topic, source))?.is_none() {
        return Ok(state);
    }
    each(log, topic, &BTreeMap::new(), &mut |_, record| {
        let malformed = |source| Error::SentLog { topic: topic.to_owned(), source };
        let key = record.key.unwrap_or_default();
        if sent_log::event_of_key(key).is_some() {
            let event = xxh3_64(key);
            match record.value {
                None => drop(state.events.remove(&event)),
                Some(value) => {
                    let given_up = matches!(Event::decode(value).map_err(malformed)?, Event::GivenUp { .. });
                    state.events.insert(event, given_up);
                }
            }
        } else if let Some((chat, number)) = sent_log::message_of_key(key) {
            let place = (chat.to_owned(), number);
            match record.value {
                None => drop(state.queues.remove(&place)),
                Some(value) => drop(state.queues.insert(place, Queued::decode(value).map_err(malformed)?)),
            }
        } else if let Some(chat) = sent_log::chat_of_key(key) {
            match record.value {
                None => drop(state.chats.remove(chat)),
                Some(value) => drop(state.chats.insert(chat.to_owned(), ChatRow::decode(value).map_err(malformed)?)),
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(state)
}

type Each<'a> = dyn FnMut(&TopicPartition, &RecordRef<'_>) -> Result<ControlFlow<()>, Error> + 'a;

/// Reads the committed records of a topic up to where it ends now; each partition from the offset given, or from its beginning.
fn each(log: &dyn Log, topic: &str, from: &BTreeMap<TopicPartition, Offset>, visit: &mut Each<'_>) -> Result<(), Error> {
    let failed = |source| failed(topic, source);
    let admin = log.admin();
    let description = admin.describe(topic).map_err(failed)?.ok_or_else(|| Error::NoTopic { topic: topic.to_owned() })?;
    for partition in 0..description.config.partitions {
        let place = TopicPartition::new(topic, partition);
        let (first, end) = admin.watermarks(&place, Isolation::ReadCommitted).map_err(failed)?;
        let start = from.get(&place).copied().unwrap_or(first).max(first);
        let options = ConsumerOptions { group: None, instance_id: None, isolation: Isolation::ReadCommitted };
        let mut consumer = log.consumer(options).map_err(failed)?;
        consumer.assign(&place, start).map_err(failed)?;
        let (mut batch, mut idle) = (RecordBatch::default(), 0);
        while idle < IDLE_MAX && consumer.position(&place).is_some_and(|position| position < end) {
            if consumer.poll(POLL, &mut batch).map_err(failed)? != Polled::Records {
                idle += 1;
                continue;
            }
            idle = 0;
            for record in batch.iter().filter(|record| record.offset < end) {
                if visit(&place, &record)?.is_break() {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

fn failed(topic: &str, source: log::Error) -> Error {
    Error::Log { topic: topic.to_owned(), source }
}
