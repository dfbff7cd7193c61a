//! Committed offsets: with the transaction or not at all, stable, and by hand.

use std::time::Duration;

use tidewatch::streams::log::{Class, Log, TopicConfig};

use super::scene::{PATIENCE, Scene, begin, class, commit, eventually, next, until_equal};

pub(super) fn offsets_are_the_groups_when_the_transaction_commits(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(3));
    let places = [0, 1, 2].map(|number| scene.at("t", number));
    let [first, second, _] = places.clone();
    let mut producer = scene.producer("p", &["t"]);
    let mut asking = scene.member("g", "i");
    assert_eq!(asking.committed(&places, PATIENCE).unwrap(), [None, None, None]);
    begin(&mut *producer, &[("a", "1")]);
    let member = asking.group_metadata();
    producer.send_offsets(&[(first.clone(), next(3, "old"))], &member, PATIENCE).unwrap();
    // The last one counts.
    producer.send_offsets(&[(first.clone(), next(7, "layout")), (second.clone(), next(9, ""))], &member, PATIENCE).unwrap();
    producer.commit(PATIENCE).unwrap();
    let expected = [Some(next(7, "layout")), Some(next(9, "")), None];
    assert_eq!(asking.committed(&places, PATIENCE).unwrap(), expected);
    begin(&mut *producer, &[("b", "2")]);
    producer.send_offsets(&[(first.clone(), next(100, "aborted"))], &member, PATIENCE).unwrap();
    producer.abort(PATIENCE).unwrap();
    assert_eq!(asking.committed(&places, PATIENCE).unwrap(), expected);
    until_equal(vec![(first.clone(), next(7, "layout")), (second, next(9, ""))], || {
        let mut offsets = log.admin().group_offsets(&scene.name("g")).unwrap();
        offsets.sort_by(|one, other| one.0.cmp(&other.0));
        offsets
    });
    // Offsets alone make a transaction too, and may go back.
    producer.begin().unwrap();
    producer.send_offsets(&[(first.clone(), next(5, "back"))], &member, PATIENCE).unwrap();
    producer.commit(PATIENCE).unwrap();
    assert_eq!(asking.committed(&[first], PATIENCE).unwrap(), [Some(next(5, "back"))]);
}

pub(super) fn committed_offsets_wait_for_open_transactions(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(2));
    let (held, free) = (scene.at("t", 0), scene.at("t", 1));
    let mut producer = scene.producer("p", &["t"]);
    let mut asking = scene.member("g", "i");
    producer.begin().unwrap();
    producer.send_offsets(&[(held.clone(), next(7, ""))], &asking.group_metadata(), PATIENCE).unwrap();
    let short = Duration::from_millis(500);
    assert_eq!(class(asking.committed(std::slice::from_ref(&held), short)), Class::Retriable);
    assert_eq!(class(asking.committed(&[free.clone(), held.clone()], short)), Class::Retriable);
    assert_eq!(asking.committed(&[free], PATIENCE).unwrap(), [None], "nobody holds this one");
    assert_eq!(scene.member("other", "i").committed(std::slice::from_ref(&held), PATIENCE).unwrap(), [None], "nor another group's");
    std::thread::scope(|threads| {
        let waiting = threads.spawn(|| asking.committed(std::slice::from_ref(&held), PATIENCE).unwrap());
        producer.commit(PATIENCE).unwrap();
        assert_eq!(waiting.join().unwrap(), [Some(next(7, ""))]);
    });
}

pub(super) fn a_new_holder_of_an_id_frees_the_offsets_of_the_former(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = [scene.at("t", 0)];
    let mut former = scene.producer("p", &["t"]);
    let mut asking = scene.member("g", "i");
    begin(&mut *former, &[("a", "1")]);
    former.send_offsets(&[(at[0].clone(), next(7, ""))], &asking.group_metadata(), PATIENCE).unwrap();
    let _newest = scene.producer("p", &["t"]);
    assert_eq!(asking.committed(&at, PATIENCE).unwrap(), [None]);
    assert_eq!(class(former.commit(PATIENCE)), Class::Fenced);
    assert_eq!(asking.committed(&at, PATIENCE).unwrap(), [None]);
}

pub(super) fn metadata_may_be_long_and_of_any_language(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = scene.at("t", 0);
    // A broker takes 4096 (`offset.metadata.max.bytes`).
    let metadata = format!("{{\"räume\":\"{}\"}}", "見".repeat(1_300));
    let mut producer = scene.producer("p", &["t"]);
    let mut asking = scene.member("g", "i");
    producer.begin().unwrap();
    producer.send_offsets(&[(at.clone(), next(1, &metadata))], &asking.group_metadata(), PATIENCE).unwrap();
    producer.commit(PATIENCE).unwrap();
    assert_eq!(asking.committed(&[at], PATIENCE).unwrap(), [Some(next(1, &metadata))]);
}

pub(super) fn one_transaction_moves_several_groups(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = [scene.at("t", 0)];
    let mut producer = scene.producer("p", &["t"]);
    let (mut one, mut other) = (scene.member("one", "i"), scene.member("other", "i"));
    for (offset, commits) in [(1, true), (2, false)] {
        producer.begin().unwrap();
        for (asking, offset) in [(&one, offset), (&other, 10 * offset)] {
            producer.send_offsets(&[(at[0].clone(), next(offset, ""))], &asking.group_metadata(), PATIENCE).unwrap();
        }
        if commits { producer.commit(PATIENCE) } else { producer.abort(PATIENCE) }.unwrap();
        assert_eq!(one.committed(&at, PATIENCE).unwrap(), [Some(next(1, ""))]);
        assert_eq!(other.committed(&at, PATIENCE).unwrap(), [Some(next(10, ""))]);
    }
}

pub(super) fn offsets_are_set_and_removed_by_hand(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(2));
    let (first, second) = (scene.at("t", 0), scene.at("t", 1));
    let (group, admin) = (scene.name("g"), log.admin());
    assert_eq!(admin.group_offsets(&group).unwrap(), [], "a group that nobody knows has none");
    admin.alter_group_offsets(&group, &[(first.clone(), Some(next(5, "by hand"))), (second.clone(), Some(next(6, "")))]).unwrap();
    let mut asking = scene.member("g", "i");
    let both = [first.clone(), second.clone()];
    assert_eq!(asking.committed(&both, PATIENCE).unwrap(), [Some(next(5, "by hand")), Some(next(6, ""))]);
    admin.alter_group_offsets(&group, &[(first.clone(), Some(next(4, ""))), (second, None)]).unwrap();
    assert_eq!(asking.committed(&both, PATIENCE).unwrap(), [Some(next(4, "")), None]);
    assert_eq!(admin.group_offsets(&group).unwrap(), [(first.clone(), next(4, ""))]);
    // What is not there can be removed.
    admin.alter_group_offsets(&group, &[(first.clone(), None)]).unwrap();
    admin.alter_group_offsets(&group, &[(first, None)]).unwrap();
    assert_eq!(admin.group_offsets(&group).unwrap(), []);
    // What was set by hand is moved on by transactions.
    let mut producer = scene.producer("p", &["t"]);
    producer.begin().unwrap();
    producer.send_offsets(&[(both[0].clone(), next(8, ""))], &asking.group_metadata(), PATIENCE).unwrap();
    producer.commit(PATIENCE).unwrap();
    assert_eq!(asking.committed(&both, PATIENCE).unwrap(), [Some(next(8, "")), None]);
}

pub(super) fn offsets_of_a_group_with_members_are_not_changed_by_hand(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    let at = scene.at("t", 0);
    let (group, admin) = (scene.name("g"), log.admin());
    admin.alter_group_offsets(&group, &[(at.clone(), Some(next(5, "")))]).unwrap();
    let mut member = super::groups::Member::join(&scene, "g", "1", &["t"]);
    super::groups::until(&mut [&mut member], |members| members[0].owned.len() == 1);
    for change in [Some(next(7, "")), None] {
        assert!(admin.alter_group_offsets(&group, &[(at.clone(), change)]).is_err());
    }
    assert_eq!(admin.group_offsets(&group).unwrap(), [(at.clone(), next(5, ""))]);
    member.consumer.unsubscribe().unwrap();
    eventually("the group without members", || {
        member.poll();
        admin.alter_group_offsets(&group, &[(at.clone(), None)]).is_ok()
    });
    assert_eq!(admin.group_offsets(&group).unwrap(), []);
}

pub(super) fn offsets_go_with_their_topic(log: &dyn Log, unique: &str) {
    let scene = Scene::new(log, unique);
    scene.topic("t", &TopicConfig::keep(1));
    scene.topic("u", &TopicConfig::keep(1));
    commit(&mut *scene.producer("p", &["t"]), &[("a", "1")]);
    let (group, admin) = (scene.name("g"), log.admin());
    let kept = (scene.at("u", 0), next(2, ""));
    admin.alter_group_offsets(&group, &[(scene.at("t", 0), Some(next(1, ""))), (kept.0.clone(), Some(kept.1.clone()))]).unwrap();
    admin.delete_topic(&scene.name("t")).unwrap();
    until_equal(vec![kept], || admin.group_offsets(&group).unwrap());
}
