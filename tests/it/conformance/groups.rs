//! Groups: who has which partitions, when they move, and who is thrown out.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidewatch::streams::log::{Class, Consumer, ConsumerOptions, Isolation, Log, Offset, Polled, RecordBatch, TopicConfig, TopicPartition};

use super::scene::{MOMENT, PATIENCE, Scene, assert_silent, commit, eventually, next, poll_error, read_to, record, show};

/// A member that takes up what it is given from the beginning, and gives up what it is asked for.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) consumer: Box<dyn Consumer>,
    pub(super) owned: BTreeSet<TopicPartition>,
    /// All that it was told, in order.
    pub(super) heard: Vec<Polled>,
}

impl Member {
    pub(super) fn join(scene: &Scene<'_>, group: &str, instance: &str, topics: &[&str]) -> Self {
        let mut consumer = scene.member(group, instance);
        let topics: Vec<Arc<str>> = topics.iter().map(|topic| scene.name(topic)).collect();
        consumer.subscribe(&topics).unwrap();
        Self { consumer, owned: BTreeSet::new(), heard: Vec::new() }
    }

    /// Polls once, and does what it is told.
    pub(super) fn poll(&mut self) {
        let polled = self.consumer.poll(MOMENT, &mut RecordBatch::default()).unwrap();
        match &polled {
            Polled::Assigned(more) => {
                for at in more {
                    assert!(self.owned.insert(at.clone()), "{at} was assigned twice");
                    self.consumer.assign(at, Offset(0)).unwrap();
                }
            }
            Polled::Revoked(less) => {
                for at in less {
                    assert!(self.owned.remove(at), "{at} was revoked, but not assigned");
                    self.consumer.unassign(at).unwrap();
                }
            }
            Polled::Lost(lost) => panic!("lost {lost:?}"),
            Polled::Nothing | Polled::Records => return,
        }
        self.heard.push(polled);
    }
}

/// Polls all members until it is so; no partition may have two owners on the way.
#[track_caller]
pub(super) fn until(members: &mut [&mut Member], so: impl Fn(&[&mut Member]) -> bool) {
    eventually("the rebalance", || {
        if so(members) {
            return true;
        }
        for member in &mut *members {
            member.poll();
        }
        let all: BTreeSet<_> = members.iter().flat_map(|member| &member.owned).collect();
        assert_eq!(all.len(), members.iter().map(|member| member.owned.len()).sum::<usize>(), "a partition with two owners: {members:#?}");
        false
    });
}

fn sizes(members: &[&mut Member]) -> Vec<usize> {
    let mut sizes: Vec<_> = members.iter().map(|member| member.owned.len()).collect();
    sizes.sort_unstable();
    sizes
}

pub(super) fn two_members_share_and_one_that_leaves_hands_over(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(2));
    let both = BTreeSet::from([scene.at("t", 0), scene.at("t", 1)]);
    let mut first = Member::join(&scene, "g", "1", &["t"]);
    until(&mut [&mut first], |members| members[0].owned == both);
    let mut second = Member::join(&scene, "g", "2", &["t"]);
    until(&mut [&mut first, &mut second], |members| sizes(members) == [1, 1]);
    // Cooperative: what it keeps was never taken from it.
    let revoked: Vec<_> = first.heard.iter().filter(|polled| matches!(polled, Polled::Revoked(_))).collect();
    assert_eq!(revoked, [&Polled::Revoked(second.owned.iter().cloned().collect())]);
    second.consumer.unsubscribe().unwrap();
    let given_up = std::mem::take(&mut second.owned);
    eventually("the hand-over", || {
        // Whoever leaves may be told to give up what it had.
        if let Polled::Revoked(less) = second.consumer.poll(MOMENT, &mut RecordBatch::default()).unwrap() {
            for at in &less {
                second.consumer.unassign(at).unwrap();
            }
        }
        first.poll();
        first.owned == both
    });
    assert!(given_up.iter().all(|at| second.consumer.position(at).is_none()));
}

pub(super) fn partitions_are_spread_evenly(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(7));
    let mut first = Member::join(&scene, "g", "1", &["t"]);
    let mut second = Member::join(&scene, "g", "2", &["t"]);
    let mut third = Member::join(&scene, "g", "3", &["t"]);
    until(&mut [&mut first, &mut second, &mut third], |members| sizes(members) == [2, 2, 3]);
}

pub(super) fn nothing_is_read_before_it_is_assigned(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = scene.at("t", 0);
    commit(&mut *scene.producer("p", &["t"]), &[("a", "1"), ("b", "2")]);
    scene.settled(&at, 3);
    let mut consumer = scene.member("g", "1");
    consumer.subscribe(&[scene.name("t")]).unwrap();
    let mut batch = RecordBatch::default();
    eventually("the assignment", || match consumer.poll(MOMENT, &mut batch).unwrap() {
        Polled::Nothing => false,
        polled => {
            assert_eq!(polled, Polled::Assigned(vec![at.clone()]));
            true
        }
    });
    assert_eq!(consumer.position(&at), None);
    assert_silent(&mut *consumer);
    consumer.assign(&at, Offset(1)).unwrap();
    assert_eq!(read_to(&mut *consumer, &at, 3, show), ["1:b=2"]);
}

pub(super) fn groups_do_not_disturb_each_other(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(2));
    scene.topic("u", &TopicConfig::keep(1));
    let mut one = Member::join(&scene, "one", "1", &["t"]);
    let mut other = Member::join(&scene, "other", "1", &["t", "u"]);
    until(&mut [&mut one], |members| members[0].owned.len() == 2);
    until(&mut [&mut other], |members| members[0].owned.len() == 3);
    assert!(one.heard.iter().chain(&other.heard).all(|polled| matches!(polled, Polled::Assigned(_))));
}

pub(super) fn a_member_that_left_can_join_again(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(2));
    let mut first = Member::join(&scene, "g", "1", &["t"]);
    until(&mut [&mut first], |members| members[0].owned.len() == 2);
    first.consumer.unsubscribe().unwrap();
    first.owned.clear();
    first.consumer.subscribe(&[scene.name("t")]).unwrap();
    until(&mut [&mut first], |members| members[0].owned.len() == 2);
    // It is a member like any other: it is asked for what it is to give up.
    let mut second = Member::join(&scene, "g", "2", &["t"]);
    until(&mut [&mut first, &mut second], |members| sizes(members) == [1, 1]);
    // That nothing more is there for it may be told afterwards.
    let last = first.heard.iter().rfind(|polled| **polled != Polled::Assigned(Vec::new()));
    assert_eq!(last, Some(&Polled::Revoked(second.owned.iter().cloned().collect())));
}

/// As a restore does, beside the member whose partition it restores.
pub(super) fn who_only_asks_for_offsets_disturbs_no_member(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(2));
    scene.topic("out", &TopicConfig::keep(1));
    let both = [scene.at("t", 0), scene.at("t", 1)];
    let mut producer = scene.producer("p", &["out"]);
    let mut member = Member::join(&scene, "g", "1", &["t"]);
    until(&mut [&mut member], |members| members[0].owned.len() == 2);
    let isolation = Isolation::ReadCommitted;
    let mut asking = scene.log.consumer(ConsumerOptions { group: Some(scene.name("g")), instance_id: None, isolation }).unwrap();
    asking.assign(&scene.at("out", 0), Offset(0)).unwrap();
    for number in 1..=3 {
        producer.begin().unwrap();
        producer.send(&record("k", Some("v"))).unwrap();
        producer.send_offsets(&[(both[0].clone(), next(number, ""))], &member.consumer.group_metadata(), PATIENCE).unwrap();
        producer.commit(PATIENCE).unwrap();
        assert_eq!(asking.committed(&both, PATIENCE).unwrap(), [Some(next(number, "")), None]);
        assert_eq!(read_to(&mut *asking, &scene.at("out", 0), 2 * number, show).len(), 1);
        member.poll();
    }
    drop(asking);
    assert_silent(&mut *member.consumer);
    assert_eq!(member.heard.len(), 1, "{:?}", member.heard);
}

pub(super) fn a_second_holder_of_an_instance_id_fences_the_first(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let mut first = Member::join(&scene, "g", "same", &["t"]);
    until(&mut [&mut first], |members| members[0].owned.len() == 1);
    let mut second = Member::join(&scene, "g", "same", &["t"]);
    until(&mut [&mut second], |members| members[0].owned.len() == 1);
    assert_eq!(poll_error(&mut *first.consumer), Class::Fenced);
    // The second is not disturbed by the first one's end.
    drop(first);
    assert_silent(&mut *second.consumer);
    assert_eq!(second.heard.len(), 1);
}

pub(super) fn a_member_that_comes_back_takes_up_its_own_partitions(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(4));
    let mut first = Member::join(&scene, "g", "1", &["t"]);
    let mut second = Member::join(&scene, "g", "2", &["t"]);
    until(&mut [&mut first, &mut second], |members| sizes(members) == [2, 2]);
    let (own, others) = (first.owned.clone(), second.owned.clone());
    // As after a kill: the former one did not leave.
    let mut again = Member::join(&scene, "g", "1", &["t"]);
    until(&mut [&mut again, &mut second], |members| sizes(members) == [2, 2]);
    assert_eq!((again.owned, second.owned), (own, others));
}
