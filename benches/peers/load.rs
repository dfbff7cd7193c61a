//! Fills the input topic, as fast as a client can.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use tidewatch::avro::SchemaId;

use crate::keys::{Keys, Run};
use crate::observations::Writer;

/// When the first observation was made. From then on each is a millisecond younger, so that its time tells which it is.
pub(crate) const FIRST_MS: i64 = 1_700_000_000_000;

/// The time of an observation.
pub(crate) fn time(index: u64) -> i64 {
    FIRST_MS + i64::try_from(index).unwrap()
}

/// The key of a video.
pub(crate) fn key(video: u64) -> String {
    format!("{KEY}{video:06}")
}

const KEY: &str = "video-";

/// The video of a key.
pub(crate) fn video(key: &[u8]) -> Option<usize> {
    std::str::from_utf8(key).ok()?.strip_prefix(KEY)?.parse().ok()
}

/// A producer for the input.
pub(crate) fn producer(client: &ClientConfig) -> BaseProducer {
    let mut config = client.clone();
    config.set("partitioner", "murmur2_random").set("enable.idempotence", "true");
    config.create().unwrap()
}

/// Writes the first `records` observations of a run over `videos` videos.
pub(crate) fn load(client: &ClientConfig, topic: &str, schema: SchemaId, (keys, videos, records): (Keys, u64, u64)) {
    let mut config = client.clone();
    config.set("linger.ms", "20").set("batch.size", "262144");
    let producer = producer(&config);
    let mut writer = Writer::new(schema);
    let mut value = Vec::new();
    for seen in Run::new(keys, videos).take(usize::try_from(records).unwrap()) {
        writer.write_poll(seen.video, seen.poll, &mut value);
        send(&producer, topic, &key(seen.video), &value, seen.index);
    }
    producer.flush(Duration::from_secs(60)).unwrap();
}

/// Writes one observation.
pub(crate) fn send(producer: &BaseProducer, topic: &str, key: &str, value: &[u8], index: u64) {
    let mut record = BaseRecord::to(topic).key(key).payload(value).timestamp(time(index));
    while let Err((KafkaError::MessageProduction(error), back)) = producer.send(record) {
        assert_eq!(error, RDKafkaErrorCode::QueueFull);
        producer.poll(Duration::from_millis(10));
        record = back;
    }
    if index.is_multiple_of(1024) {
        producer.poll(Duration::ZERO);
    }
}
