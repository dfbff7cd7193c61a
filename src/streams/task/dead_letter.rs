//! The form of a dead letter: the raw input record and the headers of KIP-1034.

use std::error::Error as StdError;
use std::fmt::Write as _;

use crate::streams::log::{HeadersBuf, RecordRef, TopicPartition};
use crate::streams::topology::{Failure, FailureKind};

/// What the headers begin with that say why a record is a dead letter.
pub const ERROR_HEADERS: &str = "__streams.errors.";

/// The header of a record that was put back to where it came from: the place of its letter, `topic-partition@offset`.
pub const REPLAY_HEADER: &str = "tidewatch.replay";

/// Whether a header is the record's own: neither says why it became a dead letter nor that it was put back.
pub fn is_own_header(name: &str) -> bool {
    !name.starts_with(ERROR_HEADERS) && name != REPLAY_HEADER
}

/// Appends the header `name`, one of those that say why a record is a dead letter.
pub fn put_error_header(into: &mut HeadersBuf, name: &str, value: &str) {
    into.push(&format!("{ERROR_HEADERS}{name}"), Some(value.as_bytes()));
}

/// Fills `into` with the record's own headers and the reason why it is here. Names are KIP-1034's.
pub(crate) fn headers(into: &mut HeadersBuf, source: &TopicPartition, record: &RecordRef<'_>, failure: &Failure) {
    into.clear();
    into.extend(record.headers);
    let exception = match failure.kind {
        FailureKind::Deserialization => "DeserializationError",
        FailureKind::Processing => "ProcessingError",
        FailureKind::Production => "ProductionError",
        FailureKind::Unavailable => "Unavailable",
    };
    let mut trace = failure.to_string();
    let mut innermost = trace.clone();
    let mut cause = failure.source();
    while let Some(error) = cause {
        innermost = error.to_string();
        // Writing to a string cannot fail.
        write!(trace, "\ncaused by: {innermost}").unwrap_or_default();
        cause = error.source();
    }
    let mut put = |name: &str, value: &str| put_error_header(into, name, value);
    put("exception", exception);
    put("stacktrace", &trace);
    put("message", &innermost);
    put("topic", &source.topic);
    put("partition", &source.partition.to_string());
    put("offset", &record.offset.to_string());
}
