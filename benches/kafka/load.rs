//! Fills the input topic, as fast as a client can.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use tidewatch::avro::SchemaId;

use crate::observations::Writer;

/// When the first observation was made. From then on each is a millisecond younger, so that its time tells which it is.
pub(crate) const FIRST_MS: i64 = 1_700_000_000_000;

/// The key of an observation.
pub(crate) fn key(index: u64, videos: u64) -> String {
    format!("video-{:06}", index % videos)
}

/// A producer for the input.
pub(crate) fn producer(client: &ClientConfig) -> BaseProducer {
    let mut config = client.clone();
    config.set("partitioner", "murmur2_random").set("enable.idempotence", "true");
    config.create().unwrap()
}

/// Writes observations `from..to`.
pub(crate) fn load(client: &ClientConfig, topic: &str, schema: SchemaId, videos: u64, range: std::ops::Range<u64>) {
    let mut config = client.clone();
    config.set("linger.ms", "20").set("batch.size", "262144");
    let producer = producer(&config);
    let mut writer = Writer::new(schema);
    let mut value = Vec::new();
    for index in range {
        writer.write(index, videos, &mut value);
        send(&producer, topic, &key(index, videos), &value, index);
    }
    producer.flush(Duration::from_secs(60)).unwrap();
}

/// Writes one observation.
pub(crate) fn send(producer: &BaseProducer, topic: &str, key: &str, value: &[u8], index: u64) {
    let mut record = BaseRecord::to(topic).key(key).payload(value).timestamp(FIRST_MS + i64::try_from(index).unwrap());
    while let Err((KafkaError::MessageProduction(error), back)) = producer.send(record) {
        assert_eq!(error, RDKafkaErrorCode::QueueFull);
        producer.poll(Duration::from_millis(10));
        record = back;
    }
    if index.is_multiple_of(1024) {
        producer.poll(Duration::ZERO);
    }
}
