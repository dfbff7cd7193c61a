//! What a reset says and does.

use std::time::Duration;

use super::*;
use crate::streams::log::local::LocalLog;
use crate::streams::log::{Headers, Log, Partition, ProducerOptions, ProducerRecord, TopicConfig};

/// A log with an input of three records at 10, 20 and 30 ms, a changelog, and a position.
fn log() -> Arc<LocalLog> {
    let log = LocalLog::in_memory();
    let admin = log.admin();
    admin.create_topic("videos", &TopicConfig::keep(1)).unwrap();
    for store in ["changes", "views"] {
        admin.create_topic(&changelog_topic("app", store), &TopicConfig::compact(1)).unwrap();
    }
    let options =
        ProducerOptions { transactional_id: "x".into(), topics: vec!["videos".into()], transaction_timeout: Duration::from_secs(10) };
    let mut producer = log.producer(options).unwrap();
    producer.init_transactions(Duration::ZERO).unwrap();
    producer.begin().unwrap();
    for at in [10, 20, 30] {
        let value = Some(&b"v"[..]);
        let (partition, timestamp) = (Some(Partition(0)), Timestamp(at));
        producer.send(&ProducerRecord { topic: 0, partition, key: None, value, headers: Headers::EMPTY, timestamp }).unwrap();
    }
    producer.commit(Duration::from_secs(1)).unwrap();
    let committed = Committed { offset: Offset(2), metadata: "layout".into() };
    admin.alter_group_offsets("app", &[(TopicPartition::new("videos", 0), Some(committed))]).unwrap();
    log
}

fn application() -> Application {
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Application {
        id: "app".to_owned(),
        inputs: list(&["videos"]),
        outputs: list(&["youtube_changes", "telegram_outbox"]),
        stores: list(&["changes", "views"]),
        tasks: list(&["0_0"]),
        outbox: None,
    }
}

fn execute(log: &LocalLog, scope: &Scope) -> (Vec<String>, Vec<(TopicPartition, Committed)>, Vec<String>) {
    let admin = log.admin();
    let mut removed = Vec::new();
    let plan = plan(&*admin, &application(), scope).unwrap();
    plan.execute(&*admin, &mut |task| {
        removed.push(task.to_owned());
        Ok(())
    })
    .unwrap();
    let topics = admin.topics().unwrap().into_iter().map(|topic| topic.name.to_string()).collect();
    (topics, admin.group_offsets("app").unwrap(), removed)
}

fn at(offset: i64) -> Vec<(TopicPartition, Committed)> {
    vec![(TopicPartition::new("videos", 0), Committed { offset: Offset(offset), metadata: "".into() })]
}

#[test]
fn says_exactly_what_it_will_do() {
    let plan = plan(&*log().admin(), &application(), &Scope::All(To::Earliest)).unwrap();
    let expected = "This will, for the application app:\n  \
        delete the topic app-changes-changelog with all its records\n  \
        delete the topic app-views-changelog with all its records\n  \
        delete the cached state of 1 task\n  \
        set the position in videos-0 to offset 0 (now at offset 2)\n\
        It leaves all other topics as they are.\n\
        What is read a second time is written a second time: youtube_changes, telegram_outbox.\n";
    assert_eq!(plan.to_string(), expected);
}

#[test]
fn goes_to_the_beginning_the_end_or_a_time() {
    let end = log().admin().watermarks(&TopicPartition::new("videos", 0), Isolation::ReadCommitted).unwrap().1;
    for (to, offset) in [
        (To::Earliest, 0),
        (To::Latest, end.0),
        (To::Time(Timestamp(20)), 1),
        (To::Time(Timestamp(21)), 2),
        (To::Time(Timestamp(99)), end.0),
    ] {
        let (topics, offsets, removed) = execute(&log(), &Scope::All(to));
        assert_eq!((topics, offsets, removed), (vec!["videos".to_owned()], at(offset), vec!["0_0".to_owned()]), "{to}");
    }
}

#[test]
fn one_store_is_forgotten_without_moving_the_position() {
    let log = log();
    let plan = plan(&*log.admin(), &application(), &Scope::Store("views".to_owned())).unwrap();
    assert!(plan.to_string().contains("  leave the position in videos-0 at offset 2\n"), "{plan}");
    let (topics, offsets, removed) = execute(&log, &Scope::Store("views".to_owned()));
    assert_eq!(topics, ["app-changes-changelog", "videos"]);
    assert_eq!((offsets, removed), (at(2), vec!["0_0".to_owned()]));
}

#[test]
fn the_layout_of_the_other_stores_is_kept() {
    let log = log();
    let layout = |stores: &str| Arc::<str>::from(format!(r#"{{"partitions":1,"stores":{{{stores}}}}}"#));
    let (changes, views) = (r#""changes":{"kind":"latest","fields":{}}"#, r#""views":{"kind":"milestone","fields":{}}"#);
    let committed = Committed { offset: Offset(2), metadata: layout(&format!("{changes},{views}")) };
    log.admin().alter_group_offsets("app", &[(TopicPartition::new("videos", 0), Some(committed))]).unwrap();
    execute(&log, &Scope::Store("views".to_owned()));
    let offsets = log.admin().group_offsets("app").unwrap();
    assert_eq!(offsets.into_iter().map(|(_, committed)| committed.metadata).collect::<Vec<_>>(), [layout(changes)]);
}

#[test]
fn a_store_that_is_not_there_is_refused() {
    let error = plan(&*log().admin(), &application(), &Scope::Store("likes".to_owned())).unwrap_err();
    assert_eq!(error.to_string(), "the topology has no store likes");
}

#[test]
fn places_are_read() {
    assert_eq!("1970-01-01T00:00:01Z".parse(), Ok(To::Time(Timestamp(1_000))));
    assert_eq!("latest".parse(), Ok(To::Latest));
    for bad in ["", "5", "yesterday"] {
        assert_eq!(bad.parse::<To>(), Err(NotAPlace), "{bad}");
    }
}
