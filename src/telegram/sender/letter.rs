//! What flows through the sender's topology: messages of the outbox in, dead letters out, byte for byte what came in.

use std::sync::Arc;

use crate::avro::Row;
use crate::streams::log::{Headers, HeadersBuf, RecordRef};
use crate::streams::processor::{Deserializer, Record, SerdeError, Serializer};
use crate::streams::task::{is_own_header, put_error_header};
use crate::telegram::sent_log::Queued;

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

/// The headers of a dead letter: the record's own, and why it is here by the names of KIP-1034. What an earlier failure had added is replaced.
pub(super) fn headers(topic: &Arc<str>, message: &Queued, class: &str, reason: &str) -> HeadersBuf {
    let mut headers = HeadersBuf::default();
    for (name, value) in Headers::from_bytes(&message.headers).iter() {
        if is_own_header(name) {
            headers.push(name, value);
        }
    }
    let mut put = |name: &str, value: &str| put_error_header(&mut headers, name, value);
    put("exception", class);
    put("message", reason);
    put("topic", topic);
    put("partition", &message.partition.to_string());
    put("offset", &message.offset.to_string());
    headers
}
