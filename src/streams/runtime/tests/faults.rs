//! Every row of the failure policy, on the running engine: nothing lost, nothing twice.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::faulty::{Call, Fault, FaultyLog};
use super::*;
use crate::streams::log::Class;

const CLASSES: [Class; 6] = [Class::Retriable, Class::Abortable, Class::Rebalanced, Class::Unknown, Class::DiskFull, Class::Fatal];

fn faulty(world: &World) -> (Arc<FaultyLog>, Arc<Mutex<VecDeque<Fault>>>) {
    let faults = Arc::<Mutex<VecDeque<Fault>>>::default();
    (Arc::new(FaultyLog { inner: Arc::clone(&world.log), faults: Arc::clone(&faults) }), faults)
}

fn start(world: &World, log: &Arc<FaultyLog>) -> TopologyTestDriver {
    let backend = Arc::<MemoryBackend>::clone(&world.backend);
    TopologyTestDriver::with(counting(ErrorPolicy::default()), Arc::<FaultyLog>::clone(log), backend, Options::new("app", "instance"))
        .unwrap()
}

fn settle(driver: &mut TopologyTestDriver) {
    // Longer than any pause.
    driver.advance(std::time::Duration::from_secs(5)).unwrap();
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
