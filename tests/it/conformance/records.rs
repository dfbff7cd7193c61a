//! What a record is made of comes back as it was; what is no record for a topic is refused.

use tidewatch::streams::clock::Timestamp;
use tidewatch::streams::log::{Class, HeadersBuf, Isolation, Log, Offset, Partition, ProducerRecord, TopicConfig};

use super::scene::{PATIENCE, Scene, THEN, class, deliver, eventually, read_to, record, text, until_equal};

pub(super) fn keys_values_and_nulls_come_back(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = scene.at("t", 0);
    let mut producer = scene.producer("p", &["t"]);
    let binary: Vec<u8> = (0..=255).collect();
    let sent: [(Option<&[u8]>, Option<&[u8]>); 7] = [
        (Some(b"k"), Some(b"v")),
        (Some(b"tombstone"), None),
        (None, Some(b"no key")),
        (None, None),
        (Some(b""), Some(b"empty key")),
        (Some(b"empty value"), Some(b"")),
        (Some(&binary), Some(&binary)),
    ];
    producer.begin().unwrap();
    for (key, value) in sent {
        producer.send(&ProducerRecord { key, value, ..record("", None) }).unwrap();
    }
    producer.commit(PATIENCE).unwrap();
    scene.settled(&at, 8);
    let mut consumer = scene.reader(Isolation::ReadCommitted);
    consumer.assign(&at, Offset(0)).unwrap();
    let seen = read_to(&mut *consumer, &at, 8, |record| (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec)));
    assert_eq!(seen, sent.map(|(key, value)| (key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec))));
}

pub(super) fn headers_keep_order_nulls_and_repeated_keys(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = scene.at("t", 0);
    let mut producer = scene.producer("p", &["t"]);
    let headers: [(&str, Option<&[u8]>); 6] =
        [("b", Some(b"1")), ("a", None), ("b", Some(b"")), ("", Some(b"nameless")), ("b", Some(b"\x00\xff")), ("ключ", Some(b"2"))];
    let mut buffer = HeadersBuf::default();
    for (name, value) in headers {
        buffer.push(name, value);
    }
    producer.begin().unwrap();
    producer.send(&ProducerRecord { headers: buffer.as_headers(), ..record("k", Some("v")) }).unwrap();
    producer.send(&record("k", Some("none"))).unwrap();
    producer.commit(PATIENCE).unwrap();
    scene.settled(&at, 3);
    let mut consumer = scene.reader(Isolation::ReadCommitted);
    consumer.assign(&at, Offset(0)).unwrap();
    let seen = read_to(&mut *consumer, &at, 3, |record| {
        record.headers.iter().map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec))).collect::<Vec<_>>()
    });
    let expected: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec))).collect();
    assert_eq!(seen, [expected, Vec::new()]);
}

pub(super) fn timestamps_are_kept(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = scene.at("t", 0);
    let mut producer = scene.producer("p", &["t"]);
    // In any order, and as old as they may be: 0 is left out, librdkafka reads it as "now".
    let times = [THEN, 1, THEN - 1, THEN + 1, 86_400_000];
    producer.begin().unwrap();
    for time in times {
        producer.send(&ProducerRecord { timestamp: Timestamp(time), ..record("k", Some("v")) }).unwrap();
    }
    producer.commit(PATIENCE).unwrap();
    scene.settled(&at, 6);
    let mut consumer = scene.reader(Isolation::ReadCommitted);
    consumer.assign(&at, Offset(0)).unwrap();
    assert_eq!(read_to(&mut *consumer, &at, 6, |record| record.timestamp.0), times);
}

pub(super) fn keys_decide_the_partition_as_in_java(log: &dyn Log, unique: &str) {
    const PARTITIONS: i32 = 7;
    // murmur2 of these keys, from Kafka's own UtilsTest#testMurmur2, and that of the empty key.
    let cases: [(&str, i32); 7] = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
        ("", 275_646_681),
    ];
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(PARTITIONS));
    let mut producer = scene.producer("p", &["t"]);
    producer.begin().unwrap();
    for (key, _) in cases {
        producer.send(&ProducerRecord { partition: None, ..record(key, Some("v")) }).unwrap();
    }
    producer.commit(PATIENCE).unwrap();
    for number in 0..PARTITIONS {
        let at = scene.at("t", number);
        let here = |hash: i32| (hash & 0x7fff_ffff) % PARTITIONS == number;
        let expected: Vec<_> = cases.iter().filter(|(_, hash)| here(*hash)).map(|(key, _)| (*key).to_owned()).collect();
        // One marker where there is a record.
        let end = i64::try_from(expected.len() + usize::from(!expected.is_empty())).unwrap();
        scene.settled(&at, end);
        let mut consumer = scene.reader(Isolation::ReadCommitted);
        consumer.assign(&at, Offset(0)).unwrap();
        assert_eq!(read_to(&mut *consumer, &at, end, |record| text(record.key)), expected, "{at}");
    }
}

pub(super) fn an_explicit_partition_overrides_the_key(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(3));
    let mut producer = scene.producer("p", &["t"]);
    producer.begin().unwrap();
    for number in 0..3 {
        producer.send(&ProducerRecord { partition: Some(Partition(number)), ..record("same", Some(&number.to_string())) }).unwrap();
    }
    producer.commit(PATIENCE).unwrap();
    for number in 0..3 {
        scene.settled(&scene.at("t", number), 2);
        assert_eq!(scene.committed_records(&scene.at("t", number)), [format!("0:same={number}")]);
    }
}

pub(super) fn a_record_without_a_key_goes_somewhere(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(3));
    let mut producer = scene.producer("p", &["t"]);
    for _ in 0..4 {
        producer.begin().unwrap();
        producer.send(&ProducerRecord { partition: None, key: None, ..record("", Some("v")) }).unwrap();
        producer.commit(PATIENCE).unwrap();
    }
    // Each took two offsets: its own and the marker's.
    until_equal(8, || (0..3).map(|number| scene.marks(&scene.at("t", number)).1).sum::<i64>());
    let seen: Vec<_> = (0..3).flat_map(|number| scene.committed_records(&scene.at("t", number))).collect();
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|record| record.ends_with(":null=v")), "{seen:?}");
}

pub(super) fn a_record_that_is_too_large_is_refused(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = scene.at("t", 0);
    let mut producer = scene.producer("p", &["t"]);
    producer.begin().unwrap();
    let huge = "x".repeat((16 << 20) + 1);
    assert_eq!(class(deliver(&mut *producer, &record("a", Some(&huge)))), Class::Record);
    producer.abort(PATIENCE).unwrap();
    // The producer is as good as before.
    producer.begin().unwrap();
    producer.send(&record("a", Some("1"))).unwrap();
    producer.commit(PATIENCE).unwrap();
    eventually("the record", || scene.committed_records(&at).iter().any(|record| record.ends_with(":a=1")));
    assert_eq!(scene.committed_records(&at).len(), 1);
}

pub(super) fn a_compacted_topic_refuses_a_record_without_a_key(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("c", &TopicConfig::compact(1));
    let mut producer = scene.producer("p", &["c"]);
    producer.begin().unwrap();
    assert_eq!(class(deliver(&mut *producer, &ProducerRecord { key: None, ..record("", Some("v")) })), Class::Record);
    producer.abort(PATIENCE).unwrap();
    // What the broker itself has refused leaves a gap in the sequence of librdkafka's producer, and the next one is refused too: it
    // is of no use any more. A new one is.
    let mut producer = scene.producer("p", &["c"]);
    producer.begin().unwrap();
    producer.send(&record("a", Some("1"))).unwrap();
    producer.commit(PATIENCE).unwrap();
    eventually("the record", || scene.committed_records(&scene.at("c", 0)).iter().any(|record| record.ends_with(":a=1")));
}

pub(super) fn an_unknown_topic_or_partition_is_refused(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(2));
    for wrong in
        [ProducerRecord { topic: 1, ..record("a", Some("1")) }, ProducerRecord { partition: Some(Partition(2)), ..record("a", Some("1")) }]
    {
        let mut producer = scene.producer("p", &["t", "none"]);
        producer.begin().unwrap();
        assert_eq!(class(deliver(&mut *producer, &wrong)), Class::UnknownTopic, "{wrong:?}");
        producer.abort(PATIENCE).unwrap();
    }
    assert!(log.admin().describe(&scene.name("none")).unwrap().is_none(), "producing must not create it");
}
