//! Every row of the failure policy, on the running engine: nothing lost, nothing twice.

use std::collections::{BTreeSet, VecDeque};

use parking_lot::Mutex;

use super::faulty::{Call, Fault, FaultyLog};
use super::*;
use crate::streams::log::Class;
use crate::streams::task::State;
use crate::streams::testing::TestRecord;

const CLASSES: [Class; 6] = [Class::Retriable, Class::Abortable, Class::Rebalanced, Class::Unknown, Class::DiskFull, Class::Fatal];

pub(super) fn faulty(world: &World) -> (Arc<FaultyLog>, Arc<Mutex<VecDeque<Fault>>>) {
    let faults = Arc::<Mutex<VecDeque<Fault>>>::default();
    (Arc::new(faulty_log(world, &faults)), faults)
}

fn faulty_log(world: &World, faults: &Arc<Mutex<VecDeque<Fault>>>) -> FaultyLog {
    let (refuses, offsets, silent) = (Arc::default(), Arc::default(), Arc::default());
    FaultyLog { inner: Arc::clone(&world.log), faults: Arc::clone(faults), refuses, offsets, silent }
}

fn start(world: &World, log: &Arc<FaultyLog>) -> TopologyTestDriver {
    try_start(world, log, counting(ErrorPolicy::default())).unwrap()
}

pub(super) fn try_start(
    world: &World,
    log: &Arc<FaultyLog>,
    topology: Arc<Topology<String>>,
) -> crate::streams::runtime::Result<TopologyTestDriver> {
    let backend = Arc::<MemoryBackend>::clone(&world.backend);
    TopologyTestDriver::with(topology, Arc::<FaultyLog>::clone(log), backend, Options::new("app", "instance"))
}

pub(super) fn settle(driver: &mut TopologyTestDriver) {
    // Longer than any pause.
    driver.advance(Duration::from_secs(5)).unwrap();
}

#[test]
fn a_fault_of_any_class_at_any_call_loses_nothing_and_repeats_nothing() {
    for call in [Call::Flush, Call::SendOffsets, Call::Commit] {
        for class in CLASSES {
            for takes_effect in [false, true] {
                // A commit that took effect is reported as anything but "unknown" or "retriable" by no log.
                let lies = call == Call::Commit && takes_effect && class == Class::Retriable;
                if lies {
                    continue;
                }
                let world = World::new(1);
                let (log, faults) = faulty(&world);
                let mut driver = start(&world, &log);
                pipe(&mut driver, "a", "1");
                faults.lock().push_back(Fault { call, class, takes_effect });
                pipe(&mut driver, "a", "2");
                settle(&mut driver);
                pipe(&mut driver, "a", "3");
                settle(&mut driver);
                let what = format!("{call:?} {class:?} {takes_effect}");
                assert_eq!(outputs(&mut driver), ["a:1:1", "a:2:2", "a:3:3"], "{what}");
                assert_eq!(driver.store("counts"), [(b"a".to_vec(), b"3".to_vec())], "{what}");
                assert!(faults.lock().is_empty(), "{what}: the fault did not fire");
            }
        }
    }
}

#[test]
fn a_task_that_is_restored_after_a_failure_is_not_called_running() {
    let world = World::new(1);
    let (log, faults) = faulty(&world);
    let mut driver = start(&world, &log);
    pipe(&mut driver, "a", "1");
    *log.silent.lock() = u32::MAX;
    faults.lock().push_back(Fault { call: Call::Commit, class: Class::Unknown, takes_effect: true });
    driver.append("input", Some(b"a"), Some(b"2"), Timestamp(1)).unwrap();
    driver.run().unwrap();
    assert_eq!(driver.status().tasks.values().map(|task| task.state).collect::<Vec<_>>(), [State::Restoring]);
}

#[test]
fn fencing_closes_the_tasks_rejoins_and_goes_on() {
    let world = World::new(1);
    let (log, faults) = faulty(&world);
    let mut driver = start(&world, &log);
    pipe(&mut driver, "a", "1");
    faults.lock().push_back(Fault { call: Call::Commit, class: Class::Fenced, takes_effect: false });
    pipe(&mut driver, "a", "2");
    settle(&mut driver);
    assert_eq!(outputs(&mut driver), ["a:1:1", "a:2:2"]);
}

#[test]
fn fencing_again_and_again_ends_with_the_instance_id() {
    let world = World::new(1);
    let (log, faults) = faulty(&world);
    let mut driver = start(&world, &log);
    for _ in 0..5 {
        faults.lock().push_back(Fault { call: Call::Commit, class: Class::Fenced, takes_effect: false });
    }
    let error = driver.pipe("input", Some(b"a"), Some(b"1"), Timestamp(1)).unwrap_err();
    assert!(error.to_string().starts_with("another process holds the instance id instance"), "{error}");
}

#[test]
fn the_newcomer_has_an_instance_id_and_the_former_holder_ends() {
    let world = World::new(1);
    let mut first = world.driver();
    pipe(&mut first, "a", "1");
    let mut second = world.driver();
    pipe(&mut second, "a", "2");
    let error = first.advance(Duration::from_secs(1)).unwrap_err();
    assert!(error.to_string().starts_with("another process holds the instance id instance"), "{error:?}");
    pipe(&mut second, "a", "3");
    assert_eq!(outputs(&mut second), ["a:1:1", "a:2:2", "a:3:3"], "the former holder takes nothing back");
}

#[test]
fn rebalances_and_full_disks_are_waited_for_however_often_they_come() {
    for class in [Class::Rebalanced, Class::DiskFull] {
        let world = World::new(1);
        let (log, faults) = faulty(&world);
        let mut driver = start(&world, &log);
        for _ in 0..20 {
            faults.lock().push_back(Fault { call: Call::SendOffsets, class, takes_effect: false });
        }
        pipe(&mut driver, "a", "1");
        for _ in 0..20 {
            settle(&mut driver);
        }
        assert_eq!(outputs(&mut driver), ["a:1:1"], "{class:?}");
    }
}

#[test]
fn a_full_disk_that_forbids_the_abort_and_a_new_producer_is_waited_for() {
    let world = World::new(1);
    let (log, faults) = faulty(&world);
    let mut driver = start(&world, &log);
    pipe(&mut driver, "a", "1");
    for call in [Call::Flush, Call::Abort, Call::Init, Call::Init, Call::Commit, Call::Init] {
        faults.lock().push_back(Fault { call, class: Class::DiskFull, takes_effect: false });
    }
    pipe(&mut driver, "a", "2");
    for _ in 0..5 {
        settle(&mut driver);
    }
    assert!(faults.lock().is_empty());
    pipe(&mut driver, "a", "3");
    assert_eq!(outputs(&mut driver), ["a:1:1", "a:2:2", "a:3:3"]);
}

#[test]
fn failures_without_a_commit_between_them_are_bounded() {
    let world = World::new(1);
    let (log, faults) = faulty(&world);
    let mut driver = start(&world, &log);
    for _ in 0..20 {
        faults.lock().push_back(Fault { call: Call::Flush, class: Class::Abortable, takes_effect: false });
    }
    let error = driver.pipe("input", Some(b"a"), Some(b"1"), Timestamp(1)).unwrap_err();
    assert!(error.to_string().starts_with("6 failures in a row"), "{error}");
}

#[test]
fn an_unknown_commit_that_took_effect_is_found_in_the_changelog() {
    let world = World::new(1);
    let (log, faults) = faulty(&world);
    let mut driver = start(&world, &log);
    faults.lock().push_back(Fault { call: Call::Commit, class: Class::Unknown, takes_effect: true });
    pipe(&mut driver, "a", "1");
    settle(&mut driver);
    assert_eq!(driver.status().restored_records_total, 1);
    assert_eq!(outputs(&mut driver), ["a:1:1"]);
}

#[test]
fn a_killed_engine_with_an_open_transaction_repeats_nothing() {
    for call in [Call::Flush, Call::SendOffsets, Call::Commit] {
        for takes_effect in [false, true] {
            let world = World::new(1);
            let (log, faults) = faulty(&world);
            let mut driver = start(&world, &log);
            pipe(&mut driver, "a", "1");
            // Dead at this call: the policy would go on, so it fails until it gives up, and the engine is dropped.
            for _ in 0..20 {
                faults.lock().push_back(Fault { call, class: Class::Fatal, takes_effect: takes_effect && call != Call::Commit });
            }
            assert!(driver.pipe("input", Some(b"a"), Some(b"2"), Timestamp(1)).is_err());
            drop(driver);
            faults.lock().clear();
            let mut driver = start(&world, &log);
            pipe(&mut driver, "a", "3");
            assert_eq!(outputs(&mut driver), ["a:1:1", "a:2:2", "a:3:3"], "{call:?} {takes_effect}");
        }
    }
}

fn append(driver: &mut TopologyTestDriver, values: &[&str]) {
    for value in values {
        driver.append("input", Some(b"a"), Some(value.as_bytes()), Timestamp(1)).unwrap();
    }
}

#[test]
fn a_record_whose_results_the_log_refuses_at_the_flush_goes_where_the_policy_says() {
    // In each place of a transaction of many.
    for place in [0, 1, 40, 98, 99] {
        for (policy, letters) in [(OnError::DeadLetter, 1), (OnError::Skip, 0)] {
            let world = World::new(1);
            let (log, _) = faulty(&world);
            let mut driver = try_start(&world, &log, counting(ErrorPolicy { production: policy, ..ErrorPolicy::default() })).unwrap();
            *log.refuses.lock() = Some(":huge");
            let mut values = vec!["x"; 100];
            values[place] = "huge";
            append(&mut driver, &values);
            driver.run().unwrap();
            settle(&mut driver);
            let expected: Vec<_> = (1..100).map(|count| format!("a:{count}:x")).collect();
            assert_eq!(outputs(&mut driver), expected, "{place} {policy:?}");
            assert_eq!(driver.read("app-dead-letters").unwrap().len(), letters, "{place} {policy:?}");
            assert_eq!(driver.store("counts"), [(b"a".to_vec(), b"99".to_vec())]);
            // The search is over: transactions are as large as before.
            log.offsets.lock().clear();
            append(&mut driver, &["x"; 100]);
            driver.run().unwrap();
            assert!(log.offsets.lock().len() < 5, "{:?}", log.offsets.lock());
        }
    }
}

#[test]
fn a_record_that_is_refused_in_each_of_two_tasks_is_found_in_both() {
    let world = World::new(2);
    let (log, _) = faulty(&world);
    let mut driver = try_start(&world, &log, counting(ErrorPolicy::default())).unwrap();
    *log.refuses.lock() = Some(":huge");
    let keys = ["a", "b", "c", "d", "e", "f"];
    for (key, value) in ["x", "huge", "x"].into_iter().flat_map(|value| keys.map(|key| (key, value))) {
        driver.append("input", Some(key.as_bytes()), Some(value.as_bytes()), Timestamp(1)).unwrap();
    }
    for _ in 0..5 {
        driver.run().unwrap();
    }
    let mut found = outputs(&mut driver);
    found.sort();
    let expected: Vec<_> = keys.iter().flat_map(|key| [1, 2].map(|count| format!("{key}:{count}:x"))).collect();
    assert_eq!(found, expected);
    let letters = driver.read("app-dead-letters").unwrap();
    assert_eq!(letters.len(), keys.len());
    let partition = |letter: &TestRecord| letter.headers.iter().find(|(name, _)| name == "__streams.errors.partition").cloned();
    let partitions: BTreeSet<_> = letters.iter().map(partition).collect();
    assert_eq!(partitions.len(), 2, "each task has its own");
}

#[test]
fn a_policy_of_failing_names_the_record_that_is_refused_and_why() {
    let world = World::new(1);
    let (log, _) = faulty(&world);
    let mut driver = try_start(&world, &log, counting(ErrorPolicy { production: OnError::Fail, ..ErrorPolicy::default() })).unwrap();
    *log.refuses.lock() = Some(":huge");
    append(&mut driver, &["x", "x", "huge", "x"]);
    let text = crate::streams::task::chain(&driver.run().unwrap_err());
    assert!(text.contains("input-0 offset 4") && text.contains("producing to output: too large"), "{text}");
    assert_eq!(outputs(&mut driver), ["a:1:x", "a:2:x"]);
}

#[test]
fn a_dead_letter_that_is_refused_as_well_stops_the_engine() {
    let world = World::new(1);
    let (log, _) = faulty(&world);
    let mut driver = start(&world, &log);
    *log.refuses.lock() = Some("huge");
    append(&mut driver, &["x", "huge", "x"]);
    let text = crate::streams::task::chain(&driver.run().unwrap_err());
    assert!(text.contains("producing to output: too large"), "{text}");
}

#[test]
fn a_restore_waits_for_a_broker_that_does_not_answer() {
    let world = World::new(1);
    let (log, _) = faulty(&world);
    let mut driver = start(&world, &log);
    pipe(&mut driver, "a", "1");
    drop(driver);
    for silent in 1..6 {
        *log.silent.lock() = silent;
        let mut driver = start(&world, &log);
        for _ in 0..silent {
            driver.run().unwrap();
        }
        assert_eq!(driver.store("counts"), [(b"a".to_vec(), b"1".to_vec())], "{silent}");
        assert_eq!(*log.silent.lock(), 0);
    }
}

#[test]
fn the_results_of_punctuations_alone_are_committed_as_a_member_of_the_group() {
    let world = World::new(1);
    let (log, _) = faulty(&world);
    let mut driver = try_start(&world, &log, records::ticking()).unwrap();
    pipe(&mut driver, "a", "1");
    log.offsets.lock().clear();
    driver.advance(Duration::from_secs(60)).unwrap();
    assert_eq!(outputs(&mut driver), ["WallClockTime 1"]);
    assert_eq!(*log.offsets.lock(), [1], "without an offset the log does not ask who commits");
}

#[test]
fn what_a_punctuation_makes_in_the_turn_of_a_failure_is_not_lost() {
    let world = World::new(1);
    let (log, faults) = faulty(&world);
    let mut driver = try_start(&world, &log, records::copying_and_ticking()).unwrap();
    pipe(&mut driver, "a", "1");
    // In one turn a record's result fails, the producer cannot be kept, and a minute of the wall clock is over.
    for call in [Call::Send, Call::Abort] {
        faults.lock().push_back(Fault { call, class: Class::DiskFull, takes_effect: false });
    }
    driver.append("input", Some(b"a"), Some(b"2"), Timestamp(1)).unwrap();
    driver.advance(Duration::from_secs(60)).unwrap();
    settle(&mut driver);
    assert!(faults.lock().is_empty());
    let mut seen = outputs(&mut driver);
    seen.sort();
    // The node counts in memory, and saw one of them twice.
    assert_eq!(seen, ["1", "2", "WallClockTime 3"]);
}
