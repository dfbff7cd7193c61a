//! A consumer that reads what it is told: positions, seeks, pauses, and what is not there.

use tidewatch::streams::log::{Class, Isolation, Log, Offset, Partition, Polled, ProducerRecord, RecordBatch, TopicConfig};

use super::scene::{MOMENT, PATIENCE, Scene, assert_silent, begin, class, commit, eventually, next, poll_error, read_to, record, show};

pub(super) fn a_batch_holds_one_partition_in_order(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(3));
    let mut producer = scene.producer("p", &["t"]);
    producer.begin().unwrap();
    for number in 0..300 {
        let partition = Some(Partition(number % 3));
        producer.send(&ProducerRecord { partition, ..record("k", Some(&number.to_string())) }).unwrap();
    }
    producer.commit(PATIENCE).unwrap();
    let mut consumer = scene.reader(Isolation::ReadCommitted);
    for number in 0..3 {
        scene.settled(&scene.at("t", number), 101);
        consumer.assign(&scene.at("t", number), Offset(0)).unwrap();
    }
    let mut seen = vec![Vec::new(); 3];
    let mut batch = RecordBatch::default();
    eventually("the last record", || {
        if consumer.poll(MOMENT, &mut batch).unwrap() == Polled::Records {
            let number = batch.source().unwrap().partition.0;
            assert_eq!(batch.source(), Some(&scene.at("t", number)));
            assert!(!batch.is_empty());
            seen[usize::try_from(number).unwrap()].extend(batch.iter().map(show));
        }
        seen.iter().map(Vec::len).sum::<usize>() >= 300
    });
    for (number, seen) in (0..).zip(seen) {
        let expected: Vec<_> = (0..100).map(|offset| format!("{offset}:k={}", 3 * offset + number)).collect();
        assert_eq!(seen, expected);
    }
}

pub(super) fn positions_begin_where_assigned_and_pass_over_markers(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(2));
    let (at, other) = (scene.at("t", 0), scene.at("t", 1));
    let mut producer = scene.producer("p", &["t"]);
    commit(&mut *producer, &[("a", "1"), ("b", "2")]);
    scene.settled(&at, 3);
    let mut consumer = scene.reader(Isolation::ReadCommitted);
    assert_eq!(consumer.position(&at), None, "not assigned");
    consumer.assign(&at, Offset(1)).unwrap();
    assert_eq!(consumer.position(&at), Some(Offset(1)));
    assert_eq!(read_to(&mut *consumer, &at, 3, show), ["1:b=2"]);
    assert_eq!(consumer.position(&at), Some(Offset(3)), "the marker is passed over");
    assert_eq!(consumer.position(&other), None);
    // Nothing there, and the end itself: not an error, and the position stays.
    consumer.assign(&other, Offset(0)).unwrap();
    assert_silent(&mut *consumer);
    assert_eq!((consumer.position(&at), consumer.position(&other)), (Some(Offset(3)), Some(Offset(0))));
    // From a marker on.
    consumer.assign(&at, Offset(2)).unwrap();
    assert_eq!(read_to(&mut *consumer, &at, 3, show), [""; 0]);
    commit(&mut *producer, &[("c", "3")]);
    assert_eq!(read_to(&mut *consumer, &at, 5, show), ["3:c=3"]);
}

pub(super) fn a_seek_reads_again_or_skips(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = scene.at("t", 0);
    let mut producer = scene.producer("p", &["t"]);
    commit(&mut *producer, &[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]);
    scene.settled(&at, 5);
    let mut consumer = scene.reader(Isolation::ReadCommitted);
    consumer.assign(&at, Offset(0)).unwrap();
    assert_eq!(read_to(&mut *consumer, &at, 5, show).len(), 4);
    consumer.seek(&at, Offset(1)).unwrap();
    assert_eq!(consumer.position(&at), Some(Offset(1)));
    assert_eq!(read_to(&mut *consumer, &at, 5, show), ["1:b=2", "2:c=3", "3:d=4"]);
    consumer.seek(&at, Offset(0)).unwrap();
    consumer.seek(&at, Offset(3)).unwrap();
    assert_eq!(read_to(&mut *consumer, &at, 5, show), ["3:d=4"], "the last seek counts");
    consumer.seek(&at, Offset(5)).unwrap();
    assert_silent(&mut *consumer);
    assert_eq!(consumer.position(&at), Some(Offset(5)));
}

pub(super) fn a_paused_partition_keeps_its_position(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(2));
    let (at, other) = (scene.at("t", 0), scene.at("t", 1));
    let mut producer = scene.producer("p", &["t"]);
    commit(&mut *producer, &[("a", "1")]);
    scene.settled(&at, 2);
    let mut consumer = scene.reader(Isolation::ReadCommitted);
    for at in [&at, &other] {
        consumer.assign(at, Offset(0)).unwrap();
    }
    assert_eq!(read_to(&mut *consumer, &at, 2, show), ["0:a=1"]);
    consumer.pause(&at).unwrap();
    commit(&mut *producer, &[("b", "2")]);
    scene.settled(&at, 4);
    assert_silent(&mut *consumer);
    assert_eq!(consumer.position(&at), Some(Offset(2)));
    // The other one goes on.
    producer.begin().unwrap();
    producer.send(&ProducerRecord { partition: Some(Partition(1)), ..record("c", Some("3")) }).unwrap();
    producer.commit(PATIENCE).unwrap();
    assert_eq!(read_to(&mut *consumer, &other, 2, show), ["0:c=3"]);
    consumer.resume(&at).unwrap();
    assert_eq!(read_to(&mut *consumer, &at, 4, show), ["2:b=2"]);
    // Paused before anything was read of what lies ready.
    consumer.seek(&at, Offset(0)).unwrap();
    consumer.pause(&at).unwrap();
    assert_silent(&mut *consumer);
    consumer.resume(&at).unwrap();
    assert_eq!(read_to(&mut *consumer, &at, 4, show), ["0:a=1", "2:b=2"]);
}

pub(super) fn a_partition_that_was_given_up_paused_is_read_when_it_comes_back(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = scene.at("t", 0);
    let mut producer = scene.producer("p", &["t"]);
    commit(&mut *producer, &[("a", "1")]);
    scene.settled(&at, 2);
    let mut consumer = scene.reader(Isolation::ReadCommitted);
    for _ in 0..3 {
        consumer.assign(&at, Offset(0)).unwrap();
        assert_eq!(read_to(&mut *consumer, &at, 2, show), ["0:a=1"]);
        consumer.pause(&at).unwrap();
        consumer.unassign(&at).unwrap();
        assert_silent(&mut *consumer);
    }
}

pub(super) fn assigning_again_is_a_seek_and_a_resume(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = scene.at("t", 0);
    let mut producer = scene.producer("p", &["t"]);
    commit(&mut *producer, &[("a", "1"), ("b", "2")]);
    scene.settled(&at, 3);
    let mut consumer = scene.reader(Isolation::ReadCommitted);
    consumer.assign(&at, Offset(0)).unwrap();
    assert_eq!(read_to(&mut *consumer, &at, 3, show).len(), 2);
    consumer.pause(&at).unwrap();
    consumer.assign(&at, Offset(1)).unwrap();
    assert_eq!(consumer.position(&at), Some(Offset(1)));
    assert_eq!(read_to(&mut *consumer, &at, 3, show), ["1:b=2"], "once, although assigned twice");
}

pub(super) fn an_unassigned_partition_is_not_read(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = scene.at("t", 0);
    let mut producer = scene.producer("p", &["t"]);
    commit(&mut *producer, &[("a", "1")]);
    scene.settled(&at, 2);
    let mut consumer = scene.reader(Isolation::ReadCommitted);
    consumer.unassign(&at).unwrap();
    consumer.assign(&at, Offset(0)).unwrap();
    consumer.unassign(&at).unwrap();
    assert_eq!(consumer.position(&at), None);
    assert_silent(&mut *consumer);
    consumer.assign(&at, Offset(0)).unwrap();
    assert_eq!(read_to(&mut *consumer, &at, 2, show), ["0:a=1"]);
}

pub(super) fn an_abort_does_not_move_the_position(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    scene.topic("out", &TopicConfig::keep(1));
    let at = scene.at("t", 0);
    commit(&mut *scene.producer("input", &["t"]), &[("a", "1"), ("b", "2")]);
    scene.settled(&at, 3);
    let mut consumer = scene.member("g", "i");
    let mut producer = scene.producer("p", &["out"]);
    consumer.assign(&at, Offset(0)).unwrap();
    assert_eq!(read_to(&mut *consumer, &at, 3, show).len(), 2);
    begin(&mut *producer, &[("a", "1")]);
    producer.send_offsets(&[(at.clone(), next(3, ""))], &consumer.group_metadata(), PATIENCE).unwrap();
    producer.abort(PATIENCE).unwrap();
    assert_eq!(consumer.position(&at), Some(Offset(3)));
    assert_silent(&mut *consumer);
    consumer.seek(&at, Offset(0)).unwrap();
    assert_eq!(read_to(&mut *consumer, &at, 3, show).len(), 2);
}

pub(super) fn an_offset_outside_the_log_is_an_error(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = scene.at("t", 0);
    let mut producer = scene.producer("p", &["t"]);
    commit(&mut *producer, &[("a", "1")]);
    scene.settled(&at, 2);
    let mut consumer = scene.reader(Isolation::ReadCommitted);
    consumer.assign(&at, Offset(1_000)).unwrap();
    assert_eq!(poll_error(&mut *consumer), Class::OutOfRange);
    consumer.assign(&at, Offset(0)).unwrap();
    assert_eq!(read_to(&mut *consumer, &at, 2, show), ["0:a=1"], "it can be set right");
    consumer.seek(&at, Offset(3)).unwrap();
    assert_eq!(poll_error(&mut *consumer), Class::OutOfRange, "one beyond the end");
}

pub(super) fn an_unknown_topic_is_an_error(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    // Where it is noticed is the log's own affair: at the call, or at a poll after it.
    let mut consumer = scene.reader(Isolation::ReadCommitted);
    let assigned = consumer.assign(&scene.at("none", 0), Offset(0));
    assert_eq!(assigned.map_or_else(|error| error.class, |()| poll_error(&mut *consumer)), Class::UnknownTopic);
    let mut member = scene.member("g", "i");
    let subscribed = member.subscribe(&[scene.name("none")]);
    assert_eq!(subscribed.map_or_else(|error| error.class, |()| poll_error(&mut *member)), Class::UnknownTopic);
    assert!(log.admin().describe(&scene.name("none")).unwrap().is_none(), "reading must not create it");
}

pub(super) fn what_needs_a_group_or_an_assignment_is_refused_without(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = scene.at("t", 0);
    let mut consumer = scene.reader(Isolation::ReadCommitted);
    assert_eq!(class(consumer.subscribe(&[scene.name("t")])), Class::Fatal);
    assert_eq!(class(consumer.committed(std::slice::from_ref(&at), PATIENCE)), Class::Fatal);
    assert_eq!(class(consumer.seek(&at, Offset(0))), Class::Fatal);
    assert_eq!(class(consumer.pause(&at)), Class::Fatal);
    assert_eq!(class(consumer.resume(&at)), Class::Fatal);
}
