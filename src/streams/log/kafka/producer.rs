//! A transactional producer on librdkafka.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::admin::KafkaAdmin;
use super::client::Client;
use super::context::Ear;
use super::error::{self, Call};
use super::native::{self, headers};
use super::{Options, settings};
use crate::streams::log::{
    Class, Committed, Delivered, Error, GroupMetadata, Partition, Producer, ProducerOptions, ProducerRecord, Result, TopicPartition,
};

/// Delivery reports are served once for so many records: until then librdkafka keeps each record.
const SERVE_EVERY: u32 = 256;

/// How long it rests between two looks at what was delivered. Not a poll with a time-out: rust-rdkafka's rounds that down to whole milliseconds and
/// looks without a rest for the remainder, which cost a sixth of the engine's processor time.
const REST: Duration = Duration::from_micros(200);

/// How long the reports of a transaction that has failed are waited for.
const REPORTS_TIMEOUT: Duration = Duration::from_secs(1);

/// How much longer than its time-out the sending of offsets may take before it is given up. Where the coordinator of the group cannot be reached once the
/// transaction knows of the group, librdkafka 2.12 goes on trying without end: `creq_ts_timeout` in its `rdkafka_coord.c` is set and never looked at.
const OFFSETS_GRACE: Duration = Duration::from_millis(500);

/// Events that are served at a time; each is the answer to one request.
const EVENTS_MAX: usize = 16;

/// A producer of a cluster.
pub(super) struct KafkaProducer {
    producer: Client<BaseProducer<Ear>>,
    options: ProducerOptions,
    /// For the settings of a topic that refuses.
    admin: Arc<KafkaAdmin>,
    unserved: u32,
}

impl std::fmt::Debug for KafkaProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaProducer").field("transactional_id", &self.options.transactional_id).finish_non_exhaustive()
    }
}

impl KafkaProducer {
    pub(super) fn new(options: &Options, wanted: ProducerOptions, admin: Arc<KafkaAdmin>) -> Result<Self> {
        let config = settings::producer(options, &wanted);
        let producer = BaseProducer::from_config_and_context(&config, Ear::default())
            .map_err(|cause| error::of(Call::Other, "making a producer", cause, None))?;
        Ok(Self { producer: Client::new("producer", producer), options: wanted, admin, unserved: 0 })
    }

    fn ear(&self) -> &Ear {
        self.producer.client().context()
    }

    /// What was done, with the name of who did it.
    fn named(&self, operation: &str) -> String {
        format!("{operation} as {}", self.options.transactional_id)
    }

    fn failure(&self, call: Call, operation: &str, cause: KafkaError) -> Error {
        // After a fatal error every call says just that; what it was is asked for.
        let cause = match cause.rdkafka_error_code() {
            Some(RDKafkaErrorCode::Fatal) => self.producer.client().fatal_error().map_or(cause, |(code, _)| KafkaError::Global(code)),
            _ => cause,
        };
        error::of(call, self.named(operation), cause, self.ear().reason())
    }

    fn topic(&self, topic: usize) -> &str {
        self.options.topics.get(topic).map_or("?", |topic| &**topic)
    }

    /// Serves what brokers have answered.
    fn serve(&self) {
        for _ in 0..EVENTS_MAX {
            self.producer.poll(Duration::ZERO);
        }
    }

    /// Serves until nothing is in flight, up to `timeout`; whether nothing is.
    fn drain(&self, timeout: Duration) -> bool {
        let looks = timeout.as_micros() / REST.as_micros();
        for _ in 0..=looks {
            self.serve();
            if self.producer.in_flight_count() == 0 {
                return true;
            }
            std::thread::park_timeout(REST);
        }
        false
    }

    /// Why a record was not taken; for one that is too large, what is to be changed.
    fn refusal(&self, by_broker: bool, topic: &str, bytes: usize, cause: KafkaError) -> Error {
        let code = cause.rdkafka_error_code();
        let mut failure = self.failure(Call::Produce, &format!("producing to {topic}"), cause);
        if matches!(code, Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge)) {
            let limit = self.admin.setting(topic, "max.message.bytes").unwrap_or_else(|| "(unknown)".to_owned());
            let remedy = if by_broker { "raise its max.message.bytes" } else { "raise message.max.bytes in [kafka]" };
            failure.message = format!("a record of {bytes} bytes was refused; the topic's max.message.bytes is {limit}: {remedy}");
        }
        failure
    }

    /// The first record of the transaction that was not delivered.
    fn undelivered(&self) -> Result<()> {
        let failed = self.ear().deliveries.lock().failed.clone();
        match failed {
            Some((topic, bytes, cause)) => Err(self.refusal(true, self.topic(topic), bytes, cause)),
            None => Ok(()),
        }
    }
}

impl Producer for KafkaProducer {
    fn init_transactions(&mut self, timeout: Duration) -> Result<()> {
        self.producer.init_transactions(timeout).map_err(|cause| self.failure(Call::Produce, "beginning to produce", cause))
    }

    fn begin(&mut self) -> Result<()> {
        self.ear().deliveries.lock().clear();
        self.producer.begin_transaction().map_err(|cause| self.failure(Call::Produce, "beginning a transaction", cause))
    }

    fn send(&mut self, record: &ProducerRecord<'_>) -> Result<()> {
        self.unserved += 1;
        if self.unserved >= SERVE_EVERY {
            self.unserved = 0;
            self.producer.poll(Duration::ZERO);
        }
        let topic = self.topic(record.topic);
        let mut native = BaseRecord::<[u8], [u8], usize>::with_opaque_to(topic, record.topic);
        native.partition = record.partition.map(|partition| partition.0);
        native.key = record.key;
        native.payload = record.value;
        // To librdkafka 0 means now, and what is before 1970 cannot be said.
        native.timestamp = Some(record.timestamp.0.max(1));
        native.headers = headers(record.headers);
        let looks = self.options.transaction_timeout.as_micros() / REST.as_micros();
        for _ in 0..=looks {
            match self.producer.send(native) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    native = back;
                    self.serve();
                    std::thread::park_timeout(REST);
                }
                Err((cause, back)) => {
                    let bytes = back.key.map_or(0, <[u8]>::len) + back.payload.map_or(0, <[u8]>::len);
                    if cause.rdkafka_error_code() == Some(RDKafkaErrorCode::State) {
                        // The transaction has failed already, of an earlier record: the reports say of which.
                        self.drain(REPORTS_TIMEOUT);
                        self.undelivered()?;
                    }
                    return Err(self.refusal(false, topic, bytes, cause));
                }
            }
        }
        let message = "the brokers take no more records";
        Err(Error::new(Class::Retriable, format!("producing to {topic}"), message))
    }

    fn flush(&mut self, timeout: Duration) -> Result<()> {
        if !self.drain(timeout) {
            self.undelivered()?;
            let message = "not all records were taken in time";
            return Err(Error::new(Class::Retriable, self.named("flushing"), message));
        }
        self.undelivered()
    }

    fn delivered(&self, topic: usize, partition: Partition) -> Option<Delivered> {
        self.ear().deliveries.lock().of(topic, partition.0)
    }

    fn send_offsets(&mut self, offsets: &[(TopicPartition, Committed)], group: &GroupMetadata, timeout: Duration) -> Result<()> {
        let operation = format!("sending the offsets of {}", group.group);
        let failed = |cause| self.failure(Call::SendOffsets, &operation, cause);
        let member = group.native.clone().and_then(|native| native.downcast::<ConsumerGroupMetadata>().ok());
        let Some(member) = member else {
            return Err(Error::new(Class::Fatal, &operation, "the group metadata is not of a consumer of this cluster"));
        };
        let list = native::offsets(offsets).map_err(failed)?;
        let send = move |producer: &BaseProducer<Ear>| producer.send_offsets_to_transaction(&list, &member, timeout);
        match self.producer.call("send_offsets", timeout.saturating_add(OFFSETS_GRACE), send) {
            Ok(sent) => sent.map_err(failed),
            // The producer lets no other call in while this one lasts, not even an abort.
            Err(cause) => Err(Error::caused(Class::Unknown, self.named(&operation), "the call was given up", cause)),
        }
    }

    fn commit(&mut self, timeout: Duration) -> Result<()> {
        self.ear().troubled.store(false, Ordering::Release);
        self.producer.commit_transaction(timeout).map_err(|cause| self.failure(Call::Commit, "committing", cause))?;
        // What happened meanwhile is told by events.
        self.serve();
        Ok(())
    }

    fn is_doubtful(&self) -> bool {
        self.ear().troubled.load(Ordering::Acquire)
    }

    fn abort(&mut self, timeout: Duration) -> Result<()> {
        // The call waits for reports of what it purges, and those are served by polls.
        let done = AtomicBool::new(false);
        let aborted = std::thread::scope(|scope| {
            let poller = scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    self.serve();
                    std::thread::park_timeout(REST);
                }
            });
            let aborted = self.producer.abort_transaction(timeout);
            done.store(true, Ordering::Release);
            drop(poller.join());
            aborted
        });
        aborted.map_err(|cause| self.failure(Call::Produce, "aborting", cause))
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::{MockCluster, MockCoordinator};

    use super::*;
    use crate::streams::clock::Timestamp;
    use crate::streams::log::kafka::KafkaLog;
    use crate::streams::log::{ConsumerOptions, Headers, Isolation, Log as _, Offset};

    const TIMEOUT: Duration = Duration::from_secs(20);

    fn write(producer: &mut dyn Producer) {
        producer.begin().unwrap();
        let (key, value) = (Some(&b"k"[..]), Some(&b"v"[..]));
        let record = ProducerRecord { topic: 0, partition: None, key, value, headers: Headers::EMPTY, timestamp: Timestamp(1) };
        producer.send(&record).unwrap();
        producer.flush(TIMEOUT).unwrap();
    }

    #[test]
    fn offsets_are_given_up_where_the_coordinator_of_the_group_is_away() {
        const OF_TRANSACTIONS: i32 = 1;
        const OF_GROUPS: i32 = 2;
        let cluster = MockCluster::new(2).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        cluster.partition_leader("t", 0, Some(OF_TRANSACTIONS)).unwrap();
        cluster.coordinator(MockCoordinator::Transaction("p".to_owned()), OF_TRANSACTIONS).unwrap();
        cluster.coordinator(MockCoordinator::Group("g".to_owned()), OF_GROUPS).unwrap();
        let log = KafkaLog::new(Options::new([cluster.bootstrap_servers()])).unwrap();
        let reads = ConsumerOptions { group: Some("g".into()), instance_id: None, isolation: Isolation::ReadCommitted };
        let group = log.consumer(reads).unwrap().group_metadata();
        let offsets = [(TopicPartition::new("t", 0), Committed { offset: Offset(1), metadata: "".into() })];
        let producer = || {
            let writes = ProducerOptions { transactional_id: "p".into(), topics: vec!["t".into()], transaction_timeout: TIMEOUT };
            let mut producer = log.producer(writes).unwrap();
            producer.init_transactions(TIMEOUT).unwrap();
            write(&mut *producer);
            producer
        };
        let mut former = producer();
        cluster.broker_down(OF_GROUPS).unwrap();
        let error = former.send_offsets(&offsets, &group, Duration::from_secs(1)).unwrap_err();
        assert_eq!(error.class, Class::Unknown, "{error}");
        assert!(former.abort(TIMEOUT).is_err(), "no other call is let in");
        // Its successor needs nothing of it, and does not wait for its end.
        let mut next = producer();
        drop(former);
        cluster.broker_up(OF_GROUPS).unwrap();
        next.send_offsets(&offsets, &group, TIMEOUT).unwrap();
        next.commit(TIMEOUT).unwrap();
    }
}
