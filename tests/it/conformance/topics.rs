//! Topics: made, described, deleted, compacted.

use std::collections::BTreeMap;
use std::time::Duration;

use tidewatch::streams::clock::Timestamp;
use tidewatch::streams::log::{Class, Isolation, Log, Offset, TopicConfig};

use super::scene::{PATIENCE, Scene, THEN, class, commit, eventually, read_to, record, text, until_equal};

pub(super) fn a_topic_is_created_described_and_deleted(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    let admin = log.admin();
    let configs = [
        ("kept", TopicConfig::keep(2)),
        ("compacted", TopicConfig { delete_retention: Duration::from_secs(7_200), ..TopicConfig::compact(3) }),
        ("retained", TopicConfig { retention: Some(Duration::from_secs(3_600)), ..TopicConfig::keep(1) }),
    ];
    for (topic, config) in &configs {
        scene.topic(topic, config);
        let seen = admin.describe(&scene.name(topic)).unwrap().unwrap();
        assert_eq!(seen.name, scene.name(topic));
        assert_eq!((seen.config.partitions, seen.config.cleanup), (config.partitions, config.cleanup), "{topic}");
        assert_eq!((seen.config.retention, seen.config.delete_retention), (config.retention, config.delete_retention), "{topic}");
    }
    let names = || -> Vec<_> {
        let all = admin.topics().unwrap();
        assert!(all.is_sorted_by(|one, other| one.name < other.name));
        all.into_iter().map(|topic| topic.name).filter(|name| configs.iter().any(|(topic, _)| *name == scene.name(topic))).collect()
    };
    until_equal(["compacted", "kept", "retained"].map(|topic| scene.name(topic)).to_vec(), names);
    assert_eq!(class(admin.create_topic(&scene.name("kept"), &TopicConfig::keep(1))), Class::Exists);
    assert_eq!(admin.describe(&scene.name("kept")).unwrap().unwrap().config.partitions, 2, "and it is as it was");
    admin.delete_topic(&scene.name("kept")).unwrap();
    eventually("the deletion", || admin.describe(&scene.name("kept")).unwrap().is_none());
    until_equal(["compacted", "retained"].map(|topic| scene.name(topic)).to_vec(), names);
}

pub(super) fn what_cannot_be_created_is_refused(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    let admin = log.admin();
    for (name, partitions) in [("no/slash", 1), ("no space", 1), ("zero", 0)] {
        assert_eq!(class(admin.create_topic(&scene.name(name), &TopicConfig::keep(partitions))), Class::Fatal, "{name}");
        assert!(!admin.topics().unwrap().iter().any(|topic| topic.name == scene.name(name)));
    }
}

pub(super) fn an_unknown_topic_has_no_watermarks_and_cannot_be_deleted(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let admin = log.admin();
    assert_eq!(admin.describe(&scene.name("none")).unwrap(), None);
    for at in [scene.at("none", 0), scene.at("t", 1)] {
        for isolation in [Isolation::ReadCommitted, Isolation::ReadUncommitted] {
            assert_eq!(class(admin.watermarks(&at, isolation)), Class::UnknownTopic, "{at}");
        }
        assert_eq!(class(admin.offset_for_time(&at, Timestamp(THEN))), Class::UnknownTopic, "{at}");
    }
    assert_eq!(class(admin.delete_topic(&scene.name("none"))), Class::UnknownTopic);
    assert_eq!(admin.describe(&scene.name("none")).unwrap(), None, "asking must not create it");
}

pub(super) fn a_topic_made_again_is_empty(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = scene.at("t", 0);
    commit(&mut *scene.producer("p", &["t"]), &[("a", "1")]);
    scene.settled(&at, 2);
    log.admin().delete_topic(&scene.name("t")).unwrap();
    eventually("the deletion", || log.admin().describe(&scene.name("t")).unwrap().is_none());
    scene.topic("t", &TopicConfig::keep(1));
    scene.settled(&at, 0);
    commit(&mut *scene.producer("q", &["t"]), &[("b", "2")]);
    scene.settled(&at, 2);
    assert_eq!(scene.read(&at, Isolation::ReadUncommitted), (vec!["0:b=2".into()], 2));
}

pub(super) fn a_compacted_topic_keeps_the_last_value_of_each_key(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::compact(1));
    let at = scene.at("t", 0);
    let mut producer = scene.producer("p", &["t"]);
    producer.begin().unwrap();
    producer.send(&record("aborted", Some("x"))).unwrap();
    producer.flush(PATIENCE).unwrap();
    producer.abort(PATIENCE).unwrap();
    // Enough for the embedded log to find it worth its while; a broker compacts when it likes.
    let padding = "v".repeat(8 << 10);
    for round in 0..20 {
        producer.begin().unwrap();
        for key in 0..50 {
            producer.send(&record(&format!("k{key}"), Some(&format!("{round} {padding}")))).unwrap();
        }
        producer.commit(PATIENCE).unwrap();
    }
    producer.begin().unwrap();
    producer.send(&record("k0", None)).unwrap();
    producer.commit(PATIENCE).unwrap();
    let end = 2 + 20 * 51 + 2;
    until_equal((end, end), || {
        let (_, stable, high) = scene.marks(&at);
        (stable, high)
    });
    for step in 0..20 {
        log.admin().maintain(Timestamp(THEN + 1_000 * step)).unwrap();
    }
    let mut consumer = scene.reader(Isolation::ReadCommitted);
    consumer.assign(&at, Offset(0)).unwrap();
    let seen = read_to(&mut *consumer, &at, end, |record| {
        (record.offset.0, text(record.key), record.value.map(|value| text(Some(value)).split(' ').next().unwrap().to_owned()))
    });
    assert!(seen.is_sorted_by(|one, other| one.0 < other.0), "offsets only grow");
    let last: BTreeMap<_, _> = seen.into_iter().map(|(offset, key, value)| (key, (offset, value))).collect();
    for key in 1..50 {
        assert_eq!(last.get(&format!("k{key}")), Some(&(2 + 19 * 51 + key, Some("19".to_owned()))), "at the offset that it always had");
    }
    // Its tombstone goes after a while, but nothing older comes back.
    assert!(last.get("k0").is_none_or(|(_, value)| value.is_none()));
    assert!(last.len() <= 50, "{:?}", last.keys());
}
