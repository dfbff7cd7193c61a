//! Records, headers and places between our form and librdkafka's.

use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message, OwnedHeaders};
use rdkafka::topic_partition_list::{Offset as NativeOffset, TopicPartitionList};

use super::error::{self, Call};
use crate::streams::clock::Timestamp;
use crate::streams::log::{Committed, Headers, HeadersBuf, Offset, RecordBatch, RecordRef, Result, TopicPartition};

/// A list of one partition.
pub(super) fn one(partition: &TopicPartition, offset: Option<Offset>) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    let Some(offset) = offset else {
        list.add_partition(&partition.topic, partition.partition.0);
        return Ok(list);
    };
    list.add_partition_offset(&partition.topic, partition.partition.0, NativeOffset::Offset(offset.0))
        .map_err(|cause| error::of(Call::Other, format!("naming offset {offset} of {partition}"), cause, None))?;
    Ok(list)
}

/// Offsets as they are committed, with their metadata.
pub(super) fn offsets(committed: &[(TopicPartition, Committed)]) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(committed.len());
    for (partition, committed) in committed {
        let mut element = list.add_partition(&partition.topic, partition.partition.0);
        element.set_offset(NativeOffset::Offset(committed.offset.0))?;
        if !committed.metadata.is_empty() {
            element.set_metadata(&*committed.metadata);
        }
    }
    Ok(list)
}

/// Appends a record that was read.
pub(super) fn push(batch: &mut RecordBatch, message: &BorrowedMessage<'_>, headers: &mut HeadersBuf) {
    headers.clear();
    if let Some(native) = message.headers() {
        for header in native.iter() {
            headers.push(header.key, header.value);
        }
    }
    batch.push(&RecordRef {
        offset: Offset(message.offset()),
        timestamp: Timestamp(message.timestamp().to_millis().unwrap_or(0)),
        key: message.key(),
        value: message.payload(),
        headers: headers.as_headers(),
    });
}

/// The headers in librdkafka's form; none where there are none.
pub(super) fn headers(headers: Headers<'_>) -> Option<OwnedHeaders> {
    if headers.is_empty() {
        return None;
    }
    let mut native = OwnedHeaders::new();
    for (key, value) in headers.iter() {
        native = native.insert(Header { key, value });
    }
    Some(native)
}
