//! What only a real broker can do to the log on a cluster: refuse who asks, refuse a record, and answer late.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use tidewatch::streams::clock::Timestamp;
use tidewatch::streams::log::kafka::{KafkaLog, Options};
use tidewatch::streams::log::{
    Class, Consumer, ConsumerOptions, Headers, Isolation, Log, Offset, Partition, Polled, Producer, ProducerOptions, ProducerRecord,
    RecordBatch, TopicPartition,
};

use crate::real::broker::Broker;
use crate::real::security::{Listener, USER};
use crate::real::unique;

const PATIENCE: Duration = Duration::from_secs(60);

/// Between two polls of a member.
const MOMENT: Duration = Duration::from_millis(20);

/// So long after its last poll a member is no member any more: the minute that the engine asks for, and some.
const DROPPED_OUT: Duration = Duration::from_secs(62);

fn log(broker: &Broker) -> Arc<KafkaLog> {
    KafkaLog::new(Options::new(broker.bootstrap_servers().split(',').map(str::trim))).unwrap()
}

fn producer(log: &KafkaLog, topic: &str) -> Box<dyn Producer> {
    let options = ProducerOptions {
        transactional_id: format!("{topic}-id").into(),
        topics: vec![topic.into()],
        transaction_timeout: Duration::from_secs(30),
    };
    let mut producer = log.producer(options).unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer.begin().unwrap();
    producer
}

fn record(value: &[u8]) -> ProducerRecord<'_> {
    let partition = Some(Partition(0));
    ProducerRecord {
        topic: 0,
        partition,
        key: Some(b"k"),
        value: Some(value),
        headers: Headers::EMPTY,
        timestamp: Timestamp(1_700_000_000_000),
    }
}

#[test]
fn a_wrong_password_is_told_as_such_to_whoever_asks_first() {
    let Some(broker) = Broker::secured() else { return };
    let mut options = Options::new([broker.address(Listener::SaslPlaintext)]);
    let settings = [
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanism", "SCRAM-SHA-256"),
        ("sasl.username", USER),
        ("sasl.password", "guessed"),
    ];
    options.properties = settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect::<BTreeMap<_, _>>();
    let error = KafkaLog::new(options).unwrap().admin().topics().unwrap_err();
    assert_eq!(error.class, Class::Denied, "{error}");
    let text = error.to_string();
    assert!(text.contains("SASL authentication") && text.contains("[kafka]") && !text.contains("guessed"), "{text}");
}

#[test]
fn a_record_that_a_broker_refuses_is_told_with_the_topic_the_limit_and_the_remedy() {
    let Some(broker) = Broker::shared() else { return };
    let topic = unique("small");
    broker.create_topic(&topic, 1, &[("max.message.bytes", "2000")]);
    let log = log(broker);
    let mut refused = producer(&log, &topic);
    refused.send(&record(&[b'x'; 5000])).unwrap();
    let error = refused.flush(PATIENCE).unwrap_err();
    assert_eq!(error.class, Class::Record, "{error}");
    let text = error.to_string();
    assert!(text.contains(&topic) && text.contains("5001 bytes") && text.contains("max.message.bytes is 2000: raise"), "{text}");
    // Aborting works, and with a new producer it goes on.
    refused.abort(PATIENCE).unwrap();
    let mut next = producer(&log, &topic);
    next.send(&record(b"x")).unwrap();
    next.flush(PATIENCE).unwrap();
    next.commit(PATIENCE).unwrap();
}

#[test]
fn a_refused_record_is_told_by_the_calls_for_the_records_behind_it() {
    let Some(broker) = Broker::shared() else { return };
    let topic = unique("small-under-load");
    broker.create_topic(&topic, 1, &[("max.message.bytes", "2000")]);
    let log = log(broker);
    let mut producer = producer(&log, &topic);
    producer.send(&record(&[b'x'; 5000])).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let error = loop {
        assert!(Instant::now() < deadline, "all records behind it are taken");
        if let Err(error) = producer.send(&record(b"x")) {
            break error;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    };
    assert_eq!(error.class, Class::Record, "{error}");
    assert!(error.to_string().contains("max.message.bytes is 2000: raise"), "{error}");
    producer.abort(PATIENCE).unwrap();
}

#[test]
fn a_partition_that_is_taken_up_again_further_back_is_not_where_it_was() {
    let Some(broker) = Broker::shared() else { return };
    let topic = unique("again");
    broker.create_topic(&topic, 1, &[]);
    let log = log(broker);
    let mut producer = producer(&log, &topic);
    for _ in 0..100 {
        producer.send(&record(b"x")).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    producer.commit(PATIENCE).unwrap();
    let at = TopicPartition::new(&*topic, 0);
    let options = ConsumerOptions { group: None, instance_id: None, isolation: Isolation::ReadCommitted };
    let mut consumer = log.consumer(options).unwrap();
    let mut batch = RecordBatch::default();
    // The consumer believes librdkafka's position, which counts markers: it must not be that of the former assignment for a moment.
    for _ in 0..10 {
        consumer.assign(&at, Offset(0)).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let mut seen = 0;
        while consumer.position(&at).unwrap() < Offset(101) {
            assert!(Instant::now() < deadline, "{seen} records seen");
            if let Polled::Records = consumer.poll(Duration::ZERO, &mut batch).unwrap() {
                seen += batch.len();
            }
        }
        assert_eq!(seen, 100, "the position passed over records that were not read");
        consumer.unassign(&at).unwrap();
    }
}

#[test]
fn a_consumer_that_was_asked_for_its_partitions_can_be_dropped() {
    let Some(broker) = Broker::shared() else { return };
    let topic = unique("asked");
    broker.create_topic(&topic, 2, &[]);
    let log = log(broker);
    let member = |instance: &str| Member::join(&log, &topic, instance).consumer;
    let (mut first, mut second) = (member("1"), None);
    let mut batch = RecordBatch::default();
    let deadline = Instant::now() + PATIENCE;
    let asked = loop {
        assert!(Instant::now() < deadline, "nobody asked for a partition");
        match first.poll(Duration::from_millis(100), &mut batch).unwrap() {
            Polled::Assigned(partitions) if partitions.len() == 2 => {
                for at in &partitions {
                    first.assign(at, Offset(0)).unwrap();
                }
                second = Some(member("2"));
            }
            Polled::Revoked(partitions) => break partitions,
            _ => {}
        }
        if let Some(second) = &mut second {
            second.poll(Duration::from_millis(100), &mut batch).unwrap();
        }
    };
    assert_eq!(asked.len(), 1);
    // Told, not granted: it is dropped in the middle of the hand-over.
    let (done, dropped) = channel();
    std::thread::spawn(move || {
        drop(first);
        done.send(()).unwrap();
    });
    dropped.recv_timeout(Duration::from_secs(20)).expect("the consumer hangs in its drop");
}

/// A partition moves in two rounds: its owner gives it up, and joins again. Who drops out in between has its former place again under its static id, without any
/// round, also where it still has partitions and others began the group: it has to leave, or nobody ever has the rest.
#[test]
fn a_member_that_dropped_out_in_a_hand_over_has_its_group_share_anew() {
    let Some(broker) = Broker::shared() else { return };
    let topic = unique("dropped-out");
    broker.create_topic(&topic, 4, &[]);
    let log = log(broker);
    // By these names the follower is the one that is asked.
    let mut leader = Member::join(&log, &topic, "1");
    let wait = |what: &str, so: &mut dyn FnMut() -> bool| {
        let deadline = Instant::now() + PATIENCE * 2;
        while !so() {
            assert!(Instant::now() < deadline, "{what}");
        }
    };
    wait("the first has all", &mut || leader.poll() == 4);
    let mut follower = Member::join(&log, &topic, "2");
    wait("two share", &mut || (leader.poll(), follower.poll()) == (2, 2));
    // As newcomers they look for what is left over, once a second, and find nothing.
    let began = Instant::now();
    wait("nobody looks any more", &mut || (leader.poll(), follower.poll()) == (2, 2) && began.elapsed() > PATIENCE / 20);
    // Another's, which does not look for what is left over.
    let mut config = broker.client();
    config.set("group.id", &topic).set("group.instance.id", format!("{topic}-3"));
    let config = config.set("partition.assignment.strategy", "cooperative-sticky").set("session.timeout.ms", "10000");
    let other: BaseConsumer = config.create().unwrap();
    other.subscribe(&[&topic]).unwrap();
    let other = || {
        drop(other.poll(MOMENT));
        other.assignment().unwrap().count()
    };
    let mut asked = Vec::new();
    wait("the follower is asked for a partition", &mut || {
        other();
        assert_eq!(leader.poll(), 2);
        if let Polled::Revoked(partitions) = follower.consumer.poll(MOMENT, &mut RecordBatch::default()).unwrap() {
            asked = partitions;
        }
        !asked.is_empty()
    });
    // It stands still until the group has taken it for dead.
    let began = Instant::now();
    wait("it drops out", &mut || {
        assert_eq!((leader.poll(), other()), (2, 0));
        began.elapsed() > DROPPED_OUT
    });
    follower.give_up(&asked);
    wait("everybody has something", &mut || (leader.poll(), follower.poll(), other()) == (2, 1, 1));
}

/// Takes up what it is given, gives up what it is asked for.
struct Member {
    consumer: Box<dyn Consumer>,
    owned: BTreeSet<TopicPartition>,
}

impl Member {
    fn join(log: &KafkaLog, group: &str, instance: &str) -> Self {
        let instance_id = Some(format!("{group}-{instance}").into());
        let options = ConsumerOptions { group: Some(group.into()), instance_id, isolation: Isolation::ReadCommitted };
        let mut consumer = log.consumer(options).unwrap();
        consumer.subscribe(&[group.into()]).unwrap();
        Self { consumer, owned: BTreeSet::new() }
    }

    /// How many it has after a poll.
    fn poll(&mut self) -> usize {
        match self.consumer.poll(MOMENT, &mut RecordBatch::default()).unwrap() {
            Polled::Assigned(more) => {
                for at in more {
                    self.consumer.assign(&at, Offset(0)).unwrap();
                    self.owned.insert(at);
                }
            }
            Polled::Revoked(less) | Polled::Lost(less) => self.give_up(&less),
            Polled::Nothing | Polled::Records => {}
        }
        self.owned.len()
    }

    fn give_up(&mut self, partitions: &[TopicPartition]) {
        for at in partitions {
            self.owned.remove(at);
            self.consumer.unassign(at).unwrap();
        }
    }
}
