//! What a record of the outbox says, as it is queued.

use std::sync::LazyLock;

use xxhash_rust::xxh3::xxh3_128;

use crate::avro::{Row, Shape, Value};
use crate::processors::message_shape;
use crate::streams::log::{RecordRef, TopicPartition};
use crate::streams::task::REPLAY_HEADER;
use crate::telegram::sent_log::Queued;
use crate::telegram::text;

/// Longer ids are no chat's.
const CHAT_BYTES_MAX: usize = 256;

/// Longer ids of events and edit keys are replaced by their hash.
const NAME_BYTES_MAX: usize = 128;

/// A record with more bytes is not queued: with its row around it no log would take it back.
const RECORD_BYTES_MAX: usize = 400_000;

static PLACES: LazyLock<Places> = LazyLock::new(Places::new);

/// Why a record is not queued.
#[derive(Debug, thiserror::Error)]
pub(in crate::telegram) enum Fault {
    #[error("the message names no chat")]
    NoChat,
    #[error("the id of the chat has {length_bytes} bytes, more than any chat's")]
    LongChat { length_bytes: usize },
    #[error("the record has {length_bytes} bytes, more than the {RECORD_BYTES_MAX} that a message may have")]
    TooLarge { length_bytes: usize },
}

/// A record of the outbox.
#[derive(Debug)]
pub(in crate::telegram) struct Incoming {
    /// The chat.
    pub(in crate::telegram) chat: String,
    /// The message.
    pub(in crate::telegram) message: Queued,
    /// Whether it is tried again though it was given up.
    pub(in crate::telegram) replayed: bool,
}

impl Incoming {
    /// What `record` at `place` says, whose value is `row`.
    pub(in crate::telegram) fn of(row: &Row, place: &TopicPartition, record: &RecordRef<'_>) -> Result<Self, Fault> {
        let value = record.value.unwrap_or_default();
        let length_bytes = value.len() + record.key.map_or(0, <[u8]>::len) + record.headers.as_bytes().len();
        if length_bytes > RECORD_BYTES_MAX {
            return Err(Fault::TooLarge { length_bytes });
        }
        let chat = PLACES.chat_id(row);
        if chat.is_empty() {
            return Err(Fault::NoChat);
        }
        if chat.len() > CHAT_BYTES_MAX {
            return Err(Fault::LongChat { length_bytes: chat.len() });
        }
        let mut message = Queued {
            timestamp: record.timestamp,
            partition: place.partition.0,
            offset: record.offset.0,
            key: record.key.map(<[u8]>::to_vec),
            value: value.to_vec(),
            headers: record.headers.as_bytes().to_vec(),
            ..PLACES.message(row)
        };
        message.edit_key = short(message.edit_key);
        message.event_id = if message.event_id.is_empty() { format!("@{place}-{}", record.offset) } else { short(message.event_id) };
        let replayed = record.headers.iter().any(|(name, _)| name == REPLAY_HEADER);
        Ok(Self { chat: chat.to_owned(), message, replayed })
    }
}

/// A name as it is, or its hash where it is long.
fn short(name: String) -> String {
    if name.len() <= NAME_BYTES_MAX { name } else { format!("#{:032x}", xxh3_128(name.as_bytes())) }
}

/// The places of the fields of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    chat_id: usize,
    text: usize,
    parse_mode: usize,
    message_thread_id: usize,
    disable_notification: usize,
    disable_web_page_preview: usize,
    event_id: usize,
    edit_key: usize,
}

impl Places {
    pub(super) fn new() -> Self {
        let shape: Shape = message_shape();
        // A place that is not there reads as null.
        let of = |path: &str| shape.index_of(path).unwrap_or(usize::MAX);
        Self {
            chat_id: of("chat_id"),
            text: of("text"),
            parse_mode: of("parse_mode"),
            message_thread_id: of("message_thread_id"),
            disable_notification: of("disable_notification"),
            disable_web_page_preview: of("disable_web_page_preview"),
            event_id: of("event_id"),
            edit_key: of("edit_key"),
        }
    }

    /// The chat of a message; empty where it has none.
    pub(super) fn chat_id(self, row: &Row) -> &str {
        string(row, self.chat_id).trim()
    }

    /// A message as it is queued, without what its record adds.
    pub(super) fn message(self, row: &Row) -> Queued {
        let truth = |place| matches!(row.get(place), Value::Boolean(true));
        let parse_mode = string(row, self.parse_mode);
        Queued {
            event_id: string(row, self.event_id).to_owned(),
            text: text::fit(string(row, self.text), parse_mode).into_owned(),
            parse_mode: parse_mode.to_owned(),
            message_thread_id: if let Value::Long(id) = row.get(self.message_thread_id) { *id } else { 0 },
            disable_notification: truth(self.disable_notification),
            disable_web_page_preview: truth(self.disable_web_page_preview),
            edit_key: string(row, self.edit_key).to_owned(),
            ..Queued::default()
        }
    }
}

fn string(row: &Row, place: usize) -> &str {
    if let Value::String(text) = row.get(place) { text } else { "" }
}
