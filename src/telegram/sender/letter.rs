//! What flows through the sender's topology: messages of the outbox in, dead letters out, byte for byte what came in.

use std::sync::Arc;

use crate::avro::{Row, Shape, Value};
use crate::processors::message_shape;
use crate::streams::log::{Headers, HeadersBuf, RecordRef};
use crate::streams::processor::{Deserializer, Record, SerdeError, Serializer};
use crate::telegram::sent_log::Queued;
use crate::telegram::text;

/// The header of a record that was sent on by `dead-letters replay`: it is tried again though it was given up.
pub const REPLAY: &str = "tidewatch.replay";

/// What the headers begin with that say why a record is a dead letter.
const ERRORS: &str = "__streams.errors.";

/// A value in the sender's topology.
#[derive(Clone, Debug, Default)]
pub struct Letter {
    /// The message, where it comes in.
    pub row: Row,
    /// The bytes of its record, where it goes out.
    pub raw: Vec<u8>,
}

/// Reads messages.
#[derive(Debug)]
pub(super) struct Reading(pub(super) Box<dyn Deserializer<Row>>);

impl Deserializer<Letter> for Reading {
    fn deserialize(&mut self, bytes: &[u8], record: &RecordRef<'_>, into: &mut Letter) -> Result<(), SerdeError> {
        self.0.deserialize(bytes, record, &mut into.row)
    }
}

/// Writes what came in.
#[derive(Debug)]
pub(super) struct Raw;

impl Serializer<Letter> for Raw {
    fn serialize(&mut self, value: &Letter, _: &Record<'_, Letter>, into: &mut Vec<u8>) -> Result<(), SerdeError> {
        into.extend_from_slice(&value.raw);
        Ok(())
    }
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

/// The headers of a dead letter: the record's own, and why it is here by the names of KIP-1034. What an earlier failure had added is replaced.
pub(super) fn headers(topic: &Arc<str>, message: &Queued, class: &str, reason: &str) -> HeadersBuf {
    let mut headers = HeadersBuf::default();
    for (name, value) in Headers::from_bytes(&message.headers).iter() {
        if !name.starts_with(ERRORS) && name != REPLAY {
            headers.push(name, value);
        }
    }
    let mut put = |name: &str, value: &str| headers.push(&format!("{ERRORS}{name}"), Some(value.as_bytes()));
    put("exception", class);
    put("message", reason);
    put("topic", topic);
    put("partition", &message.partition.to_string());
    put("offset", &message.offset.to_string());
    headers
}
