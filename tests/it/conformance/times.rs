//! Offsets by time: where a reader begins who wants nothing that is older.

use tidewatch::streams::clock::Timestamp;
use tidewatch::streams::log::{Isolation, Log, Producer, ProducerRecord, TopicConfig};

use super::scene::{PATIENCE, Scene, THEN, read_to, record};

/// The first record that a reader sees who begins where the log says: its time, relative to [`THEN`].
#[track_caller]
fn first_from(scene: &Scene<'_>, time: i64) -> Option<i64> {
    let at = scene.at("t", 0);
    let found = scene.log.admin().offset_for_time(&at, Timestamp(THEN + time)).unwrap()?;
    let end = scene.log.admin().watermarks(&at, Isolation::ReadCommitted).unwrap().1;
    let mut consumer = scene.reader(Isolation::ReadCommitted);
    consumer.assign(&at, found).unwrap();
    read_to(&mut *consumer, &at, end.0, |record| record.timestamp.0 - THEN).first().copied()
}

#[track_caller]
fn send(producer: &mut dyn Producer, times: &[i64]) {
    producer.begin().unwrap();
    for time in times {
        producer.send(&ProducerRecord { timestamp: Timestamp(THEN + time), ..record("k", Some("v")) }).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

pub(super) fn a_time_finds_the_first_record_that_is_not_older(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let mut producer = scene.producer("p", &["t"]);
    assert_eq!(first_from(&scene, 0), None, "an empty partition");
    send(&mut *producer, &[10, 50, 30, 70]);
    producer.commit(PATIENCE).unwrap();
    scene.settled(&scene.at("t", 0), 5);
    let expected = [(-1_000, Some(10)), (10, Some(10)), (11, Some(50)), (50, Some(50)), (51, Some(70)), (70, Some(70)), (71, None)];
    for (time, record) in expected {
        assert_eq!(first_from(&scene, time), record, "from {time}");
    }
}

/// Markers carry the time at which a broker wrote them, far later than records that were imported: they must not count.
pub(super) fn a_time_finds_a_record_and_never_a_marker(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let mut producer = scene.producer("p", &["t"]);
    for time in [10, 50, 30, 70] {
        send(&mut *producer, &[time]);
        producer.commit(PATIENCE).unwrap();
    }
    scene.settled(&scene.at("t", 0), 8);
    for (time, record) in [(0, Some(10)), (11, Some(50)), (50, Some(50)), (51, Some(70)), (71, None)] {
        assert_eq!(first_from(&scene, time), record, "from {time}");
    }
}

pub(super) fn a_time_does_not_find_what_was_aborted(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let mut producer = scene.producer("p", &["t"]);
    send(&mut *producer, &[10]);
    producer.commit(PATIENCE).unwrap();
    send(&mut *producer, &[90]);
    producer.abort(PATIENCE).unwrap();
    send(&mut *producer, &[20]);
    producer.commit(PATIENCE).unwrap();
    scene.settled(&scene.at("t", 0), 6);
    for (time, record) in [(0, Some(10)), (11, Some(20)), (21, None), (91, None)] {
        assert_eq!(first_from(&scene, time), record, "from {time}");
    }
}
