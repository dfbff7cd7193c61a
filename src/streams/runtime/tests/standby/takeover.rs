//! What standby tasks are for: whoever takes a partition over restores the tail of its changelog and no more.

use super::*;
use crate::streams::rocks::{self, Budget, Profile};
use crate::streams::runtime::{RocksBackend, StandbyStatus};

const RECORDS: usize = 50;

/// Two machines that share two partitions, each with a standby task for the other's.
fn two(sea: &mut Sea) -> (Machine, Machine) {
    let (mut one, mut two) = (Machine::started("one", sea), Machine::started("two", sea));
    settle(sea, &mut [&mut one, &mut two]);
    sea.fill(2, RECORDS);
    settle(sea, &mut [&mut one, &mut two]);
    assert_eq!((one.status().tasks.len(), two.status().tasks.len()), (1, 1));
    (one, two)
}

#[test]
fn a_survivor_restores_the_tail_of_the_dead_ones_changelog() {
    let mut sea = Sea::new(2);
    let (mut one, mut two) = two(&mut sea);
    let standbys = two.status().standbys;
    assert_eq!(standbys.keys().collect::<Vec<_>>(), one.status().tasks.keys().collect::<Vec<_>>(), "it follows what the other has");
    assert_eq!(standbys.values().map(StandbyStatus::lag).sum::<i64>(), 0);
    assert_eq!(two.status().standby_records_total, RECORDS as u64);
    // Three records that the standby does not see any more.
    let theirs = *one.status().tasks.keys().next().unwrap();
    for key in ["k1", "k2", "new"] {
        sea.write(theirs.partition, key, Some("late"));
    }
    while one.process().thread.run_once(ZERO).unwrap() {}
    one.kill();
    settle(&sea, &mut [&mut two]);
    let status = two.status();
    assert_eq!((status.tasks.len(), status.standbys.len()), (2, 0));
    assert_eq!(status.restored_records_total, 3, "the tail");
    two.stop();
    let (records, _) = changelog(&sea.log, theirs.partition, Offset(0));
    let (checkpoint, rows) = two.disk(&last(), theirs);
    assert_eq!((checkpoint, rows.len()), (Some(sea.end_of(theirs.partition)), RECORDS + 1));
    assert_eq!(rows, fold(&records, Offset(i64::MAX)));
}

/// The stores are handed over open, with what was read and not yet written; a RocksDB can be open once.
#[test]
fn what_was_read_and_not_yet_written_is_handed_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut sea = Sea::new(1);
    let mut one = Machine::started("one", &sea);
    let mut two = Machine::new("two");
    let options = rocks::Options::new(Profile::State, Budget::new(1 << 20, 4 << 20));
    two.backend = Arc::new(RocksBackend::new(folder.path(), options));
    two.start(&sea);
    settle(&sea, &mut [&mut one, &mut two]);
    sea.fill(1, RECORDS);
    settle(&sea, &mut [&mut one, &mut two]);
    // The clock stands still: nothing is confirmed, and so little is not written otherwise.
    for key in ["k1", "k2", "new"] {
        sea.write(0, key, Some("late"));
    }
    while one.process().thread.run_once(ZERO).unwrap() || two.process().standby.step(ZERO) {}
    one.kill();
    settle(&sea, &mut [&mut two]);
    let status = two.status();
    assert_eq!((status.tasks.len(), status.restored_records_total), (1, 0), "all of it was there");
    two.stop();
    let (records, _) = changelog(&sea.log, 0, Offset(0));
    assert_eq!(two.disk(&last(), task(0)).1, fold(&records, Offset(i64::MAX)));
    // And in the other direction: what was closed in good order is opened for the standby task.
    one.start(&sea);
    settle(&sea, &mut [&mut one]);
    two.start(&sea);
    sea.write(0, "k1", Some("later"));
    settle(&sea, &mut [&mut one, &mut two]);
    assert_eq!(two.status().standby_records_total, 1);
}

#[test]
fn without_standby_tasks_the_survivor_restores_everything() {
    let mut sea = Sea::new(2);
    let (mut one, mut two) = (Machine::started("one", &sea), Machine::started("two", &sea));
    settle(&sea, &mut [&mut one, &mut two]);
    let theirs = *one.status().tasks.keys().next().unwrap();
    sea.fill(2, RECORDS);
    // The same, but nobody steps the readers.
    for _ in 0..1_000 {
        one.process().thread.run_once(ZERO).unwrap();
        two.process().thread.run_once(ZERO).unwrap();
    }
    assert_eq!(two.status().standby_records_total, 0);
    one.kill();
    for _ in 0..1_000 {
        two.process().thread.run_once(ZERO).unwrap();
    }
    assert!(two.status().tasks.contains_key(&theirs));
    assert_eq!(two.status().restored_records_total, RECORDS as u64);
}

#[test]
fn what_is_given_up_stays_warm_and_is_followed_from_where_it_was() {
    let mut sea = Sea::new(2);
    let mut one = Machine::started("one", &sea);
    settle(&sea, &mut [&mut one]);
    sea.fill(2, RECORDS);
    settle(&sea, &mut [&mut one]);
    // Another comes and takes a partition; then it goes in good order, and comes back.
    let mut two = Machine::started("two", &sea);
    settle(&sea, &mut [&mut one, &mut two]);
    assert_eq!((one.status().tasks.len(), one.status().standbys.len()), (1, 1));
    assert_eq!(one.status().standby_records_total, 0, "it had everything already");
    let given = *one.status().standbys.keys().next().unwrap();
    sea.write(given.partition, "more", Some("1"));
    settle(&sea, &mut [&mut one, &mut two]);
    assert_eq!(one.status().standby_records_total, 1);
    two.stop();
    sea.write(given.partition, "more", Some("2"));
    settle(&sea, &mut [&mut one]);
    assert_eq!((one.status().tasks.len(), one.status().restored_records_total), (2, 0));
    two.start(&sea);
    settle(&sea, &mut [&mut one, &mut two]);
    assert_eq!(one.status().standbys.len(), 1);
}

#[test]
fn a_third_instance_follows_everything_that_it_does_not_have() {
    let mut sea = Sea::new(3);
    let mut machines = ["one", "two", "three", "four"].map(|name| Machine::started(name, &sea));
    let mut all: Vec<&mut Machine> = machines.iter_mut().collect();
    settle(&sea, &mut all);
    sea.fill(3, 10);
    settle(&sea, &mut all);
    for machine in all {
        let status = machine.status();
        let mut known: Vec<_> = status.tasks.keys().chain(status.standbys.keys()).map(|id| id.partition).collect();
        known.sort_unstable();
        assert_eq!(known, [0, 1, 2], "{}: each partition once, worked on or followed", machine.name);
        assert!(status.standbys.values().all(|standby| standby.waiting.is_none() && standby.lag() == 0), "{:?}", status.standbys);
    }
}

#[test]
fn a_standby_that_is_killed_goes_on_from_its_checkpoint() {
    let mut sea = Sea::new(2);
    let (mut one, mut two) = two(&mut sea);
    let theirs = *one.status().tasks.keys().next().unwrap();
    two.kill();
    settle(&sea, &mut [&mut one]);
    two.start(&sea);
    settle(&sea, &mut [&mut one, &mut two]);
    let followed = *two.status().standbys.keys().next().unwrap();
    sea.write(followed.partition, "k1", Some("again"));
    settle(&sea, &mut [&mut one, &mut two]);
    // Whichever it follows now: it had all of it, but for the one record.
    assert_eq!(two.status().standby_records_total, 1, "{theirs} {followed}");
}

#[test]
fn a_quiet_changelog_is_confirmed_and_believed_after_days() {
    let mut sea = Sea::new(2);
    let (mut one, mut two) = two(&mut sea);
    let theirs = *one.status().tasks.keys().next().unwrap();
    // Three days without a record; tombstones are kept for one.
    for _ in 0..72 {
        sea.clock.advance(Duration::from_secs(3_600));
        settle(&sea, &mut [&mut one, &mut two]);
    }
    for key in ["k1", "k2"] {
        sea.write(theirs.partition, key, None);
        while one.process().thread.run_once(ZERO).unwrap() {}
    }
    one.kill();
    settle(&sea, &mut [&mut two]);
    assert_eq!(two.status().restored_records_total, 2);
}

#[test]
fn the_work_comes_first() {
    let mut sea = Sea::new(2);
    let (mut one, mut two) = two(&mut sea);
    let theirs = *one.status().tasks.keys().next().unwrap();
    let before = two.status().standby_records_total;
    let mine = *two.status().tasks.keys().next().unwrap();
    two.process().shared.status.lock().tasks.get_mut(&mine).unwrap().state = crate::streams::task::State::Restoring;
    sea.write(theirs.partition, "k1", Some("2"));
    while one.process().thread.run_once(ZERO).unwrap() {}
    for _ in 0..20 {
        assert!(!two.process().standby.step(ZERO));
    }
    assert_eq!(two.status().standby_records_total, before);
    two.process().shared.status.lock().tasks.get_mut(&mine).unwrap().state = crate::streams::task::State::Running;
    settle(&sea, &mut [&mut one, &mut two]);
    assert_eq!(two.status().standby_records_total, before + 1);
}
