//! What commits and aborts make visible, and who may still write.

use tidewatch::streams::log::{Class, Isolation, Log, Offset, Partition, Polled, Producer, ProducerRecord, RecordBatch, TopicConfig};

use super::scene::{
    PATIENCE, Scene, append, assert_silent, begin, class, commit, deliver, eventually, next, read_to, record, show, until_equal,
};

pub(super) fn records_are_seen_when_their_transaction_commits(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = scene.at("t", 0);
    let mut producer = scene.producer("p", &["t"]);
    let mut waiting = scene.reader(Isolation::ReadCommitted);
    waiting.assign(&at, Offset(0)).unwrap();
    begin(&mut *producer, &[("a", "1"), ("b", "2")]);
    assert_eq!(scene.marks(&at), (0, 0, 2), "last stable offset and high watermark");
    assert_silent(&mut *waiting);
    assert_eq!(waiting.position(&at), Some(Offset(0)));
    assert_eq!(scene.read(&at, Isolation::ReadUncommitted).0, ["0:a=1", "1:b=2"]);
    producer.commit(PATIENCE).unwrap();
    scene.settled(&at, 3);
    assert_eq!(read_to(&mut *waiting, &at, 3, show), ["0:a=1", "1:b=2"]);
    assert_eq!(scene.read(&at, Isolation::ReadCommitted), (vec!["0:a=1".into(), "1:b=2".into()], 3));
}

pub(super) fn aborted_records_are_passed_over(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = scene.at("t", 0);
    let mut producer = scene.producer("p", &["t"]);
    begin(&mut *producer, &[("a", "1"), ("b", "2")]);
    producer.abort(PATIENCE).unwrap();
    scene.settled(&at, 3);
    // A restore that finds nothing but this must still see that it is at the end.
    assert_eq!(scene.read(&at, Isolation::ReadCommitted), (vec![], 3));
    assert_eq!(scene.read(&at, Isolation::ReadUncommitted), (vec!["0:a=1".into(), "1:b=2".into()], 3));
    commit(&mut *producer, &[("c", "3")]);
    scene.settled(&at, 5);
    assert_eq!(scene.read(&at, Isolation::ReadCommitted), (vec!["3:c=3".into()], 5));
}

pub(super) fn the_oldest_open_transaction_holds_back_the_last_stable_offset(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = scene.at("t", 0);
    let (mut first, mut second, mut third) = (scene.producer("p", &["t"]), scene.producer("q", &["t"]), scene.producer("r", &["t"]));
    commit(&mut *third, &[("z", "0")]);
    scene.settled(&at, 2);
    begin(&mut *first, &[("a", "1")]);
    begin(&mut *second, &[("b", "2")]);
    assert_eq!(scene.marks(&at), (0, 2, 4), "the older of the two");
    second.commit(PATIENCE).unwrap();
    until_equal((0, 2, 5), || scene.marks(&at));
    assert_eq!(scene.read(&at, Isolation::ReadCommitted), (vec!["0:z=0".into()], 2));
    append(&mut *first, &[("a", "3")]);
    first.abort(PATIENCE).unwrap();
    scene.settled(&at, 7);
    commit(&mut *first, &[("c", "4")]);
    scene.settled(&at, 9);
    assert_eq!(scene.read(&at, Isolation::ReadCommitted), (vec!["0:z=0".into(), "3:b=2".into(), "7:c=4".into()], 9));
    assert_eq!(scene.read(&at, Isolation::ReadUncommitted).0, ["0:z=0", "2:a=1", "3:b=2", "5:a=3", "7:c=4"]);
}

pub(super) fn all_partitions_and_topics_of_a_transaction_commit_together(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(2));
    scene.topic("u", &TopicConfig::compact(1));
    let places = [(scene.at("t", 0), 0, 0), (scene.at("t", 1), 0, 1), (scene.at("u", 0), 1, 0)];
    let mut producer = scene.producer("p", &["t", "u"]);
    for round in ["kept", "dropped", "kept too"] {
        producer.begin().unwrap();
        for (_, topic, partition) in &places {
            producer.send(&ProducerRecord { topic: *topic, partition: Some(Partition(*partition)), ..record("k", Some(round)) }).unwrap();
        }
        if round == "dropped" {
            producer.flush(PATIENCE).unwrap();
            producer.abort(PATIENCE).unwrap();
        } else {
            producer.commit(PATIENCE).unwrap();
        }
    }
    for (at, ..) in &places {
        scene.settled(at, 6);
        assert_eq!(scene.committed_records(at), ["0:k=kept", "4:k=kept too"], "{at}");
    }
}

pub(super) fn the_newest_holder_of_an_id_fences_the_former(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = scene.at("t", 0);
    let asking = scene.member("g", "i");
    // Whichever call of the former holder comes first: it is told, and nothing of it gets through.
    let offsets = [(at.clone(), next(1, ""))];
    let calls: [&dyn Fn(&mut dyn Producer) -> Class; 4] = [
        &|former| class(deliver(former, &record("late", Some("x")))),
        &|former| class(former.send_offsets(&offsets, &asking.group_metadata(), PATIENCE)),
        &|former| class(former.commit(PATIENCE)),
        &|former| class(former.abort(PATIENCE)),
    ];
    for (number, call) in (0..).zip(calls) {
        let mut former = scene.producer("p", &["t"]);
        begin(&mut *former, &[("former", "x")]);
        let mut newest = scene.producer("p", &["t"]);
        assert_eq!(call(&mut *former), Class::Fenced, "call {number}");
        commit(&mut *newest, &[("newest", "y")]);
        // The former's record and its abort marker, the newest's and its commit marker.
        scene.settled(&at, 4 * (number + 1));
    }
    assert_eq!(scene.committed_records(&at), ["2:newest=y", "6:newest=y", "10:newest=y", "14:newest=y"]);
    assert_eq!(scene.member("g", "j").committed(&[at], PATIENCE).unwrap(), [None]);
}

pub(super) fn a_new_holder_of_an_id_aborts_nothing_that_was_committed(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = scene.at("t", 0);
    let mut former = scene.producer("p", &["t"]);
    commit(&mut *former, &[("a", "1")]);
    drop(former);
    let mut newest = scene.producer("p", &["t"]);
    commit(&mut *newest, &[("b", "2")]);
    scene.settled(&at, 4);
    assert_eq!(scene.committed_records(&at), ["0:a=1", "2:b=2"]);
}

pub(super) fn commits_and_aborts_take_turns(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = scene.at("t", 0);
    let mut producer = scene.producer("p", &["t"]);
    for number in 0..20 {
        begin(&mut *producer, &[("k", &number.to_string())]);
        if number % 3 == 0 { producer.commit(PATIENCE) } else { producer.abort(PATIENCE) }.unwrap();
    }
    scene.settled(&at, 40);
    assert_eq!(scene.committed_records(&at), ["0:k=0", "6:k=3", "12:k=6", "18:k=9", "24:k=12", "30:k=15", "36:k=18"]);
    // From within an aborted stretch, too.
    let mut consumer = scene.reader(Isolation::ReadCommitted);
    consumer.assign(&at, Offset(31)).unwrap();
    let mut batch = RecordBatch::default();
    eventually("a record", || consumer.poll(PATIENCE, &mut batch).unwrap() == Polled::Records);
    assert_eq!(batch.iter().map(show).collect::<Vec<_>>(), ["36:k=18"]);
}
