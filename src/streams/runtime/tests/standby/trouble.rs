//! What goes wrong with a standby task stays with it: the work goes on, and nothing is followed that may not be believed.

use std::sync::atomic::{AtomicBool, Ordering};

use super::super::faulty::Failing;
use super::*;
use crate::streams::log::Committed;

/// A machine that works on both partitions, and one without that follows them.
fn worker_and_follower(sea: &mut Sea) -> (Machine, Machine) {
    let mut worker = Machine::started("worker", sea);
    settle(sea, &mut [&mut worker]);
    sea.fill(1, 20);
    settle(sea, &mut [&mut worker]);
    let follower = Machine::started("zfollower", sea);
    (worker, follower)
}

#[track_caller]
fn assert_follows(sea: &Sea, follower: &mut Machine) {
    let status = follower.status();
    assert!(status.tasks.is_empty() && status.standbys[&task(0)].waiting.is_none(), "{status:?}");
    let (records, _) = changelog(&sea.log, 0, Offset(0));
    let (checkpoint, rows) = follower.disk(&last(), task(0));
    assert_eq!((checkpoint, rows), (Some(sea.end_of(0)), fold(&records, Offset(i64::MAX))));
}

#[test]
fn it_waits_until_something_is_committed_and_the_life_has_a_name() {
    let mut sea = Sea::new(1);
    let mut worker = Machine::started("worker", &sea);
    worker.kill();
    // Offsets that were set by hand say nothing of the stores, and there is a changelog with content of before.
    let input = TopicPartition::new("input", 0);
    let mut follower = Machine::started("zfollower", &sea);
    worker.start(&sea);
    follower.process().shared.status.lock().member = true;
    for _ in 0..5 {
        follower.process().standby.step(ZERO);
        sea.clock.advance(SECOND);
    }
    assert_eq!(follower.waits()[&task(0)], "nothing is committed yet");
    follower.kill();
    worker.kill();
    sea.log.admin().alter_group_offsets("app", &[(input, Some(Committed { offset: Offset(0), metadata: "".into() }))]).unwrap();
    let mut worker = Machine::started("worker", &sea);
    settle(&sea, &mut [&mut worker]);
    follower.start(&sea);
    settle(&sea, &mut [&mut worker, &mut follower]);
    assert_eq!(follower.waits()[&task(0)], "its owner has not yet named the life of its changelogs");
    assert_eq!(follower.disk(&last(), task(0)), (None, Rows::new()), "nothing is written without it");
    sea.fill(1, 3);
    settle(&sea, &mut [&mut worker, &mut follower]);
    assert_follows(&sea, &mut follower);
}

#[test]
fn a_changelog_that_begins_anew_is_read_anew() {
    let mut sea = Sea::new(1);
    let (mut worker, mut follower) = worker_and_follower(&mut sea);
    settle(&sea, &mut [&mut worker, &mut follower]);
    assert_follows(&sea, &mut follower);
    // A reset, with everything stopped; the follower's disk is left behind on another machine.
    worker.stop();
    follower.kill();
    let admin = sea.log.admin();
    admin.delete_topic(CHANGELOG).unwrap();
    admin.alter_group_offsets("app", &[(TopicPartition::new("input", 0), None)]).unwrap();
    let mut worker = Machine::started("worker", &sea);
    for key in ["k1", "other"] {
        sea.write(0, key, Some("y"));
    }
    // More than there was, so that the checkpoint lies inside of the new log.
    sea.fill(1, 40);
    settle(&sea, &mut [&mut worker]);
    follower.start(&sea);
    settle(&sea, &mut [&mut worker, &mut follower]);
    assert_follows(&sea, &mut follower);
    assert_eq!(follower.status().standby_records_total, changelog(&sea.log, 0, Offset(0)).0.len() as u64, "from the beginning");
}

#[test]
fn a_changelog_that_lost_its_records_under_it_is_followed_no_more() {
    let mut sea = Sea::new(1);
    let (mut worker, mut follower) = worker_and_follower(&mut sea);
    settle(&sea, &mut [&mut worker, &mut follower]);
    let before = follower.disk(&last(), task(0));
    let admin = sea.log.admin();
    // The worker is killed, so nothing lies in the new log yet when it is polled: the follower's position is beyond its end.
    worker.kill();
    admin.delete_topic(CHANGELOG).unwrap();
    admin.create_topic(CHANGELOG, &TopicConfig::compact(1)).unwrap();
    for _ in 0..10 {
        follower.process().standby.step(ZERO);
        sea.clock.advance(SECOND);
    }
    let waits = follower.waits();
    assert!(waits[&task(0)].contains(CHANGELOG), "{waits:?}");
    assert_eq!(follower.disk(&last(), task(0)), before, "what is on the disk may be all that is left of them");
}

#[test]
fn a_disk_that_is_older_than_the_tombstones_is_not_believed() {
    for (age_hours, read_anew) in [(23, false), (25, true)] {
        let mut sea = Sea::new(1);
        let (mut worker, mut follower) = worker_and_follower(&mut sea);
        settle(&sea, &mut [&mut worker, &mut follower]);
        follower.kill();
        sea.clock.advance(Duration::from_secs(age_hours * 3_600));
        for key in ["k1", "k2"] {
            sea.write(0, key, None);
            settle(&sea, &mut [&mut worker]);
        }
        follower.start(&sea);
        settle(&sea, &mut [&mut worker, &mut follower]);
        assert_eq!(follower.status().standby_records_total > 2, read_anew, "{age_hours} h");
        assert_follows(&sea, &mut follower);
    }
}

#[test]
fn a_topology_that_does_not_fit_touches_nothing_and_says_so() {
    let mut sea = Sea::new(1);
    let (mut worker, mut follower) = worker_and_follower(&mut sea);
    settle(&sea, &mut [&mut worker, &mut follower]);
    let before = follower.disk(&last(), task(0));
    follower.kill();
    follower.start_with(&sea, with_layout("another"));
    sea.fill(1, 5);
    settle(&sea, &mut [&mut worker, &mut follower]);
    let waits = follower.waits();
    assert!(waits[&task(0)].contains("does not fit the topology") && waits[&task(0)].contains("another"), "{waits:?}");
    assert_eq!(follower.disk(&last(), task(0)), before);
    assert_eq!(worker.status().tasks.len(), 1);
}

/// A transaction whose owner is gone holds the last stable offset where it is.
#[test]
fn it_stands_before_an_open_transaction_and_writes_nothing_of_it() {
    let mut sea = Sea::new(1);
    let (mut worker, mut follower) = worker_and_follower(&mut sea);
    settle(&sea, &mut [&mut worker, &mut follower]);
    let before = follower.disk(&last(), task(0));
    let mut somebody = open_transaction(&sea.log, "somebody", CHANGELOG);
    sea.fill(1, 5);
    settle(&sea, &mut [&mut worker, &mut follower]);
    assert_eq!(follower.disk(&last(), task(0)), before);
    let lag = follower.status().standbys[&task(0)].lag();
    assert!(lag >= 6, "{lag}: the record, and what came after it");
    somebody.abort(SECOND).unwrap();
    settle(&sea, &mut [&mut worker, &mut follower]);
    assert_follows(&sea, &mut follower);
    assert!(!follower.disk(&last(), task(0)).1.contains_key(&b"somebody's"[..]));
}

#[test]
fn who_stands_still_until_the_tombstones_have_gone_reads_anew() {
    for (hours, read_anew) in [(23, false), (25, true)] {
        let mut sea = Sea::new(1);
        let (mut worker, mut follower) = worker_and_follower(&mut sea);
        settle(&sea, &mut [&mut worker, &mut follower]);
        let mut somebody = open_transaction(&sea.log, "somebody", CHANGELOG);
        for key in ["k1", "k2"] {
            sea.write(0, key, None);
            settle(&sea, &mut [&mut worker, &mut follower]);
        }
        let before = follower.status().standby_records_total;
        sea.clock.advance(Duration::from_secs(hours * 3_600));
        somebody.abort(SECOND).unwrap();
        // Longer than it is left alone.
        for _ in 0..7 {
            settle(&sea, &mut [&mut worker, &mut follower]);
        }
        let more = follower.status().standby_records_total - before;
        assert_eq!(more > 2, read_anew, "{hours} h: {more} records");
        assert_follows(&sea, &mut follower);
    }
}

/// The rows of one that began with nothing lie in memory only until an end is reached.
#[test]
fn who_began_with_nothing_and_stands_still_reads_anew_too() {
    for (hours, read_anew) in [(23, false), (25, true)] {
        let mut sea = Sea::new(1);
        let mut worker = Machine::started("worker", &sea);
        settle(&sea, &mut [&mut worker]);
        sea.fill(1, 20);
        settle(&sea, &mut [&mut worker]);
        let mut somebody = open_transaction(&sea.log, "somebody", CHANGELOG);
        let mut follower = Machine::started("zfollower", &sea);
        settle(&sea, &mut [&mut worker, &mut follower]);
        let before = follower.status().standby_records_total;
        assert_eq!((before, follower.disk(&last(), task(0)).0), (20, None), "read, and nothing written");
        sea.clock.advance(Duration::from_secs(hours * 3_600));
        somebody.abort(SECOND).unwrap();
        for _ in 0..7 {
            settle(&sea, &mut [&mut worker, &mut follower]);
        }
        assert_eq!(follower.status().standby_records_total > before, read_anew, "{hours} h");
        assert_follows(&sea, &mut follower);
    }
}

#[test]
fn a_disk_that_fails_is_left_alone_for_a_while_and_taken_up_again() {
    for is_damage in [false, true] {
        let mut sea = Sea::new(1);
        let (mut worker, mut follower) = worker_and_follower(&mut sea);
        let fails = Arc::<AtomicBool>::default();
        follower.kill();
        follower.backend = Arc::new(Failing { fails: Arc::clone(&fails), is_damage, ..Failing::default() });
        follower.start(&sea);
        settle(&sea, &mut [&mut worker, &mut follower]);
        assert_follows(&sea, &mut follower);
        let read = follower.status().standby_records_total;
        fails.store(true, Ordering::SeqCst);
        sea.fill(1, 3);
        settle(&sea, &mut [&mut worker, &mut follower]);
        let waits = follower.waits();
        assert!(waits[&task(0)].contains("told to"), "{waits:?}");
        fails.store(false, Ordering::SeqCst);
        sea.clock.advance(Duration::from_secs(31));
        settle(&sea, &mut [&mut worker, &mut follower]);
        assert_follows(&sea, &mut follower);
        // What is damaged is read from its beginning, what was only full goes on.
        let again = follower.status().standby_records_total - read;
        assert_eq!(again > 20, is_damage, "{again} records");
    }
}

#[test]
fn a_log_that_fails_is_tried_again_and_the_work_goes_on() {
    let mut sea = Sea::new(1);
    let (mut worker, mut follower) = worker_and_follower(&mut sea);
    let world = World { log: Arc::clone(&sea.log), backend: Arc::default() };
    let (faulty, _) = faults::faulty(&world);
    follower.kill();
    *faulty.silent.lock() = 0;
    let log: Arc<dyn Log> = Arc::<faulty::FaultyLog>::clone(&faulty);
    follower.start_on(&sea, log, last());
    *faulty.silent.lock() = 7;
    settle(&sea, &mut [&mut worker, &mut follower]);
    settle(&sea, &mut [&mut worker, &mut follower]);
    assert_eq!(*faulty.silent.lock(), 0, "it was asked, and did not answer");
    assert_follows(&sea, &mut follower);
}
