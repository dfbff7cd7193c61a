//! The producer's calls: what is queued, flushed, delivered and refused.

use tidewatch::streams::log::{Class, Delivered, Isolation, Log, Offset, Partition, ProducerRecord, TopicConfig};

use super::scene::{PATIENCE, Scene, begin, class, commit, read_to, record, text};

pub(super) fn what_was_only_queued_is_gone_after_an_abort(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = scene.at("t", 0);
    let mut producer = scene.producer("p", &["t"]);
    producer.begin().unwrap();
    producer.send(&record("a", Some("1"))).unwrap();
    producer.abort(PATIENCE).unwrap();
    begin(&mut *producer, &[("b", "2")]);
    let offset = producer.delivered(0, Partition(0)).unwrap().last;
    producer.commit(PATIENCE).unwrap();
    // How far the first had come is not said: it may have taken offsets.
    scene.settled(&at, offset.0 + 2);
    assert_eq!(scene.committed_records(&at), [format!("{offset}:b=2")]);
}

pub(super) fn a_commit_flushes(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = scene.at("t", 0);
    let mut producer = scene.producer("p", &["t"]);
    producer.begin().unwrap();
    for number in 0..100 {
        producer.send(&record("k", Some(&number.to_string()))).unwrap();
    }
    producer.commit(PATIENCE).unwrap();
    scene.settled(&at, 101);
    assert_eq!(scene.committed_records(&at).len(), 100);
}

pub(super) fn a_topic_that_is_named_twice_keeps_the_records_of_both_names(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = scene.at("t", 0);
    let mut producer = scene.producer("p", &["t", "t"]);
    producer.begin().unwrap();
    for (topic, value) in [(1, "1"), (0, "2"), (1, "3")] {
        producer.send(&ProducerRecord { topic, ..record("a", Some(value)) }).unwrap();
    }
    producer.commit(PATIENCE).unwrap();
    scene.settled(&at, 4);
    assert_eq!(scene.committed_records(&at), ["0:a=1", "1:a=2", "2:a=3"]);
}

pub(super) fn a_transaction_of_nothing_leaves_no_trace(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = scene.at("t", 0);
    let mut producer = scene.producer("p", &["t"]);
    for _ in 0..3 {
        producer.begin().unwrap();
        producer.flush(PATIENCE).unwrap();
        producer.commit(PATIENCE).unwrap();
        producer.begin().unwrap();
        producer.abort(PATIENCE).unwrap();
    }
    assert_eq!(scene.marks(&at), (0, 0, 0));
    commit(&mut *producer, &[("a", "1")]);
    scene.settled(&at, 2);
}

pub(super) fn calls_out_of_order_are_refused(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = scene.at("t", 0);
    assert_eq!(class(scene.uninitialised("p", &["t"]).begin()), Class::Fatal, "before init_transactions");
    let mut producer = scene.producer("q", &["t"]);
    assert_eq!(class(producer.send(&record("a", None))), Class::Fatal, "sending outside a transaction");
    assert_eq!(class(producer.commit(PATIENCE)), Class::Fatal, "committing no transaction");
    producer.begin().unwrap();
    assert_eq!(class(producer.begin()), Class::Fatal, "beginning twice");
    // Nobody was harmed.
    producer.send(&record("a", Some("1"))).unwrap();
    producer.commit(PATIENCE).unwrap();
    scene.settled(&at, 2);
    assert_eq!(scene.committed_records(&at), ["0:a=1"]);
}

pub(super) fn delivered_names_the_first_and_last_offset_of_this_transaction(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(3));
    scene.topic("u", &TopicConfig::keep(1));
    let mut producer = scene.producer("p", &["t", "u"]);
    let delivered = |producer: &dyn tidewatch::streams::log::Producer| {
        [(0, 0), (0, 1), (0, 2), (1, 0)]
            .map(|(topic, partition)| producer.delivered(topic, Partition(partition)).map(|Delivered { first, last }| (first.0, last.0)))
    };
    begin(&mut *producer, &[("a", "1"), ("a", "2"), ("a", "3")]);
    producer.send(&ProducerRecord { partition: Some(Partition(1)), ..record("b", Some("1")) }).unwrap();
    producer.send(&ProducerRecord { topic: 1, ..record("c", Some("1")) }).unwrap();
    producer.flush(PATIENCE).unwrap();
    assert_eq!(delivered(&*producer), [Some((0, 2)), Some((0, 0)), None, Some((0, 0))]);
    producer.send(&record("a", Some("4"))).unwrap();
    producer.flush(PATIENCE).unwrap();
    assert_eq!(delivered(&*producer), [Some((0, 3)), Some((0, 0)), None, Some((0, 0))]);
    producer.commit(PATIENCE).unwrap();
    producer.begin().unwrap();
    producer.flush(PATIENCE).unwrap();
    assert_eq!(delivered(&*producer), [None; 4], "that was another transaction");
    scene.settled(&scene.at("t", 0), 5);
    producer.send(&record("a", Some("5"))).unwrap();
    producer.flush(PATIENCE).unwrap();
    assert_eq!(delivered(&*producer), [Some((5, 5)), None, None, None]);
    producer.abort(PATIENCE).unwrap();
}

pub(super) fn a_large_transaction_is_read_whole_and_in_order(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = scene.at("t", 0);
    let mut producer = scene.producer("p", &["t"]);
    let value = "v".repeat(300);
    producer.begin().unwrap();
    for number in 0..10_000 {
        producer.send(&record(&number.to_string(), Some(&value))).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    assert_eq!(producer.delivered(0, Partition(0)), Some(Delivered { first: Offset(0), last: Offset(9_999) }));
    producer.commit(PATIENCE).unwrap();
    scene.settled(&at, 10_001);
    let mut consumer = scene.reader(Isolation::ReadCommitted);
    consumer.assign(&at, Offset(0)).unwrap();
    let seen = read_to(&mut *consumer, &at, 10_001, |record| (record.offset.0, text(record.key), record.value.map(<[u8]>::len)));
    assert!(seen.iter().cloned().eq((0..10_000).map(|number| (number, number.to_string(), Some(300)))));
}
