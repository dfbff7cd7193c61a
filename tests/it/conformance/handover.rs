//! The way of a partition from one member to the next, with its committed offset.

use std::collections::BTreeSet;

use tidewatch::streams::log::{Class, Log, Polled, RecordBatch, TopicConfig};

use super::groups::{Member, until};
use super::scene::{MOMENT, PATIENCE, Scene, begin, class, eventually, next};

pub(super) fn what_was_committed_before_giving_up_is_found_by_the_next_owner(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(2));
    scene.topic("out", &TopicConfig::keep(1));
    let mut producer = scene.producer("p", &["out"]);
    let mut first = Member::join(&scene, "g", "1", &["t"]);
    until(&mut [&mut first], |members| members[0].owned.len() == 2);
    let mut second = Member::join(&scene, "g", "2", &["t"]);
    // By hand: between being asked and giving up, the first commits.
    let mut batch = RecordBatch::default();
    eventually("the hand-over", || {
        if let Polled::Revoked(less) = first.consumer.poll(MOMENT, &mut batch).unwrap() {
            begin(&mut *producer, &[("last", "words")]);
            let offsets: Vec<_> = less.iter().map(|at| (at.clone(), next(42, "mine"))).collect();
            producer.send_offsets(&offsets, &first.consumer.group_metadata(), PATIENCE).unwrap();
            producer.commit(PATIENCE).unwrap();
            for at in &less {
                assert!(second.owned.is_empty(), "{at} is not given up yet");
                first.consumer.unassign(at).unwrap();
                assert!(first.owned.remove(at));
            }
        }
        second.poll();
        second.owned.len() == 1
    });
    let given: Vec<_> = second.owned.iter().cloned().collect();
    assert_eq!(second.consumer.committed(&given, PATIENCE).unwrap(), [Some(next(42, "mine"))]);
    assert!(first.owned.is_disjoint(&second.owned));
}

pub(super) fn a_partition_that_was_never_assigned_can_be_given_up(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(2));
    // It is still restoring what it was given when another one comes.
    let mut restoring = scene.member("g", "1");
    restoring.subscribe(&[scene.name("t")]).unwrap();
    let mut owned = BTreeSet::new();
    let mut second: Option<Member> = None;
    let mut batch = RecordBatch::default();
    eventually("the hand-over", || {
        match restoring.poll(MOMENT, &mut batch).unwrap() {
            Polled::Assigned(more) => owned.extend(more),
            Polled::Revoked(less) => {
                for at in less {
                    restoring.unassign(&at).unwrap();
                    assert!(owned.remove(&at));
                }
            }
            Polled::Nothing => {}
            polled => panic!("{polled:?}"),
        }
        if owned.len() == 2 && second.is_none() {
            second = Some(Member::join(&scene, "g", "2", &["t"]));
        }
        second.as_mut().is_some_and(|second| {
            second.poll();
            second.owned.len() == 1 && owned.len() == 1
        })
    });
    assert!(owned.is_disjoint(&second.unwrap().owned));
}

pub(super) fn a_stale_generation_is_refused_and_the_current_one_is_not(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(2));
    scene.topic("out", &TopicConfig::keep(1));
    let mut producer = scene.producer("p", &["out"]);
    let mut first = Member::join(&scene, "g", "1", &["t"]);
    until(&mut [&mut first], |members| members[0].owned.len() == 2);
    let stale = first.consumer.group_metadata();
    let all = [scene.at("t", 0), scene.at("t", 1)];
    let mut second = Member::join(&scene, "g", "2", &["t"]);
    until(&mut [&mut first, &mut second], |members| members.iter().all(|member| member.owned.len() == 1));
    let kept: Vec<_> = first.owned.iter().map(|at| (at.clone(), next(7, ""))).collect();
    begin(&mut *producer, &[("a", "1")]);
    assert_eq!(class(producer.send_offsets(&kept, &stale, PATIENCE)), Class::Rebalanced);
    producer.abort(PATIENCE).unwrap();
    // The same producer goes on, in the name of the present generation.
    begin(&mut *producer, &[("a", "2")]);
    producer.send_offsets(&kept, &first.consumer.group_metadata(), PATIENCE).unwrap();
    producer.commit(PATIENCE).unwrap();
    let expected = all.iter().map(|at| first.owned.contains(at).then(|| next(7, ""))).collect::<Vec<_>>();
    assert_eq!(second.consumer.committed(&all, PATIENCE).unwrap(), expected);
    scene.settled(&scene.at("out", 0), 4);
    assert_eq!(scene.committed_records(&scene.at("out", 0)), ["2:a=2"]);
    // Whoever left is no member any more.
    let left = second.consumer.group_metadata();
    let given_up: Vec<_> = second.owned.iter().map(|at| (at.clone(), next(9, ""))).collect();
    second.consumer.unsubscribe().unwrap();
    second.owned.clear();
    eventually("the hand-over", || {
        if let Polled::Revoked(less) = second.consumer.poll(MOMENT, &mut RecordBatch::default()).unwrap() {
            less.iter().for_each(|at| second.consumer.unassign(at).unwrap());
        }
        first.poll();
        first.owned.len() == 2
    });
    begin(&mut *producer, &[("a", "3")]);
    assert_eq!(class(producer.send_offsets(&given_up, &left, PATIENCE)), Class::Rebalanced);
    producer.abort(PATIENCE).unwrap();
}
