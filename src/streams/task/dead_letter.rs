//! The form of a dead letter: the raw input record and the headers of KIP-1034.

use std::error::Error as StdError;
use std::fmt::Write as _;

use crate::streams::log::{HeadersBuf, RecordRef, TopicPartition};
use crate::streams::topology::{Failure, FailureKind};

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
    let mut put = |name: &str, value: &str| into.push(name, Some(value.as_bytes()));
    put("__streams.errors.exception", exception);
    put("__streams.errors.stacktrace", &trace);
    put("__streams.errors.message", &innermost);
    put("__streams.errors.topic", &source.topic);
    put("__streams.errors.partition", &source.partition.to_string());
    put("__streams.errors.offset", &record.offset.to_string());
}
