//! Records on a broker, written and read with bare rdkafka.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::PATIENCE;

/// A record as it lies in a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp: Option<i64>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Writes keys and values to a topic, each where its key belongs, and waits until they are there.
pub(crate) fn write(client: &ClientConfig, topic: &str, records: &[(&str, &[u8])]) {
    let producer: BaseProducer = client.clone().set("partitioner", "murmur2_random").create().unwrap();
    for &(key, value) in records {
        let mut record = BaseRecord::to(topic).key(key).payload(value);
        while let Err((KafkaError::MessageProduction(error), back)) = producer.send(record) {
            assert_eq!(error, rdkafka::types::RDKafkaErrorCode::QueueFull, "{topic}");
            producer.poll(Duration::from_millis(10));
            record = back;
        }
    }
    producer.flush(PATIENCE).unwrap();
}

/// All that is in a topic now, committed transactions only, in the order of the partitions.
pub(crate) fn read(client: &ClientConfig, topic: &str) -> Vec<Stored> {
    read_with(client, topic, "read_committed")
}

/// The same with what was aborted.
pub(crate) fn read_uncommitted(client: &ClientConfig, topic: &str) -> Vec<Stored> {
    read_with(client, topic, "read_uncommitted")
}

fn read_with(client: &ClientConfig, topic: &str, isolation: &str) -> Vec<Stored> {
    let mut config = client.clone();
    config.set("group.id", "unused").set("enable.auto.commit", "false").set("isolation.level", isolation);
    let consumer: BaseConsumer = config.set("enable.partition.eof", "true").create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let topics = metadata.topics().iter();
    let partitions: Vec<i32> = topics.flat_map(MetadataTopic::partitions).map(MetadataPartition::id).collect();
    assert!(!partitions.is_empty(), "no topic {topic}");
    let mut assignment = TopicPartitionList::new();
    for &partition in &partitions {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut open = partitions.len();
    let mut records = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while open > 0 {
        assert!(Instant::now() < deadline, "{topic}: {open} partitions have no end after {} records", records.len());
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(error)) => panic!("{topic}: {error}"),
            Some(Ok(message)) => records.push(Stored {
                partition: message.partition(),
                offset: message.offset(),
                timestamp: message.timestamp().to_millis(),
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().map(<[u8]>::to_vec),
                headers: message
                    .headers()
                    .into_iter()
                    .flat_map(|headers| headers.iter())
                    .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
                    .collect(),
            }),
        }
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}
