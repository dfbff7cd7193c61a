//! What must hold: while it happens, and when peace has come.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use tidewatch::streams::log::{Isolation, Log, TopicPartition};
use tidewatch::streams::task::State;
use tidewatch::streams::testing::StoreRows;

use crate::clock::START;
use crate::disk::Rows;
use crate::input::{Batch, Given};
use crate::readers::{Id, difference};
use crate::rows::meanings;
use crate::topology::{APPLICATION, STORES};
use crate::world::{Slot, World};

/// After the last fault everything is caught up within this time.
const RECOVERY_MS: u64 = 60_000;
const TICKS_MAX: u32 = 2_000_000;
/// A check each so many ticks: often enough to name the moment.
const CHECK_EVERY: u32 = 16;

impl World {
    /// Looks whether everything is as it must be at any moment.
    pub(crate) fn check(&self, now: bool) {
        self.end_twin();
        if self.has_failed() || !(now || self.checks.fetch_add(1, Ordering::Relaxed).is_multiple_of(CHECK_EVERY)) {
            return;
        }
        self.read();
        for slot in &self.slots {
            if let Some(fault) = slot.disk.lock().take_fault() {
                self.violated("checkpoints never go back", fault);
            }
        }
        let (admin, readers) = (self.log.admin(), self.readers.lock());
        if self.log.held_markers() > 0 || !readers.all_read(&*admin) {
            return;
        }
        for (at, committed) in admin.group_offsets(APPLICATION).unwrap() {
            let id = (usize::from(&*at.topic == "changes"), at.partition.0);
            if let Some(violation) = readers.lacking(id, committed.offset) {
                self.violated(violation.invariant, violation.text);
                return;
            }
        }
    }

    /// What has not been taken in yet.
    fn lag(&self) -> Option<String> {
        let admin = self.log.admin();
        let committed: BTreeMap<_, _> = admin.group_offsets(APPLICATION).unwrap().into_iter().collect();
        let inputs = ["input", "changes"].into_iter().flat_map(|topic| (0..self.plan.partitions).map(move |partition| (topic, partition)));
        inputs.map(|(topic, partition)| TopicPartition::new(topic, partition)).find_map(|at| {
            let end = admin.watermarks(&at, Isolation::ReadUncommitted).unwrap().1;
            let offset = committed.get(&at).map_or(-1, |committed| committed.offset.0);
            (offset != end.0).then(|| format!("{at} is committed up to {offset} of {end}"))
        })
    }

    /// No more faults; whoever is wanted runs.
    fn make_peace(&self) {
        self.peace.store(true, Ordering::Relaxed);
        let now = self.time.now();
        let times = [&self.brokers_down_until, &self.registry_down_until, &self.markers_held_until];
        times.into_iter().chain(&self.disk_full_until).for_each(|until| until.store(now, Ordering::Relaxed));
        self.foreign.lock().iter_mut().for_each(|foreign| foreign.until = now);
        for (index, slot) in self.slots.iter().enumerate() {
            // What is damaged and was not read since is found by whoever opens it.
            if slot.disk.lock().is_damaged() {
                self.kill(index);
            }
            slot.armed.lock().clear();
            slot.unreachable_until.store(now, Ordering::Relaxed);
            slot.frozen_until.fetch_min(now, Ordering::Relaxed);
            slot.start_at.fetch_min(now + 1_000, Ordering::Relaxed);
            let slow = slot.slow.lock().1;
            *slot.slow.lock() = (now, slow);
        }
        self.say(|| "PEACE".to_owned());
    }

    /// Goes on until everything is caught up.
    fn settle(&self, what: &str) {
        let deadline = self.time.now() + RECOVERY_MS;
        for tick in 0..TICKS_MAX {
            // Who was stopped by what nobody can make good stays so.
            if self.has_failed() || self.is_stopped.load(Ordering::Relaxed) {
                return;
            }
            if tick % 32 == 0 && self.lag().is_none() && self.is_whole() {
                self.check(true);
                return;
            }
            if self.time.now() > deadline {
                break;
            }
            self.tick();
        }
        let hanging = self.readers.lock().hanging(&*self.log.admin()).map(|at| format!("{at} has an open transaction"));
        let why = self.lag().or(hanging).unwrap_or_else(|| "an instance is not at work".to_owned());
        let exits: Vec<String> = self.slots.iter().filter_map(|slot| slot.exits.lock().last().cloned()).collect();
        self.violated("everything is caught up 60 s after the last fault", format!("{what}: {why}; last exits: {exits:?}"));
    }

    /// Whether all processes are at work, and nothing is on its way.
    fn is_whole(&self) -> bool {
        let at_work = self.slots.iter().all(|slot| {
            let wanted = slot.wanted.load(Ordering::Relaxed);
            wanted == slot.running.lock().as_ref().is_some_and(|(_, instance)| instance.is_settled())
        });
        let tasks = |slot: &Slot| slot.running.lock().as_ref().map_or_else(BTreeMap::new, |(_, instance)| instance.status().tasks);
        let states: Vec<State> = self.slots.iter().flat_map(|slot| tasks(slot).into_values().map(|task| task.state)).collect();
        // Who does not know yet that others have its tasks is not at rest either.
        let all = states.len() == 2 * usize::try_from(self.plan.partitions).unwrap() && states.iter().all(|state| *state == State::Running);
        at_work && all && self.log.held_markers() == 0 && self.readers.lock().hanging(&*self.log.admin()).is_none()
    }

    /// The whole of it: faults, peace, one more observation of everything, a stop of all and a start of all.
    pub(crate) fn run(&self) {
        while !self.is_over() && !self.has_failed() {
            self.tick();
        }
        // What has begun goes on for a while.
        let absent = self.slots.iter().filter(|slot| slot.wanted.load(Ordering::Relaxed)).map(|slot| slot.start_at.load(Ordering::Relaxed));
        let until = absent.max().unwrap_or(0).max(self.time.now()) + 3_000;
        while self.time.now() < until && !self.has_failed() {
            self.tick();
        }
        self.make_peace();
        if self.is_destroyed.load(Ordering::Relaxed) {
            return self.end_without_a_changelog();
        }
        self.settle("after the last fault");
        self.append(&self.probe());
        self.settle("after one more record of each key");
        self.compare_stores("at work");
        if self.has_failed() {
            return;
        }
        let running: Vec<usize> = (0..self.slots.len()).filter(|index| self.slots[*index].is_alive()).collect();
        for index in &running {
            self.stop(*index);
        }
        self.check(true);
        for index in &running {
            self.slots[*index].start_at.store(self.time.now(), Ordering::Relaxed);
        }
        self.settle("after all were stopped and started");
        self.compare_stores("started again");
        self.nothing_restored(&running);
    }

    /// A changelog was destroyed: either nobody needs it, and all goes on, or whoever does has stopped. What comes out is right all the same.
    fn end_without_a_changelog(&self) {
        let until = self.time.now() + RECOVERY_MS / 3;
        while self.time.now() < until && !self.has_failed() {
            self.tick();
        }
        if !self.is_stopped.load(Ordering::Relaxed) {
            self.settle("though a changelog was destroyed");
            self.append(&self.probe());
            self.settle("after one more record of each key, though a changelog was destroyed");
        }
        self.check(true);
    }

    fn nothing_restored(&self, running: &[usize]) {
        // A wiped store may be empty and so say nothing: what counts is that no record was read.
        for index in running {
            let restored = self.slots[*index].running.lock().as_ref().map_or(0, |(_, instance)| instance.status().restored_records_total);
            let leaves = self.slots.iter().any(|slot| slot.leaves.load(Ordering::Relaxed));
            if restored > 0 && !leaves && !self.has_failed() {
                self.violated("an orderly stop leaves nothing to restore", format!("instance {index} restored {restored} records"));
            }
        }
    }

    /// A record of each key, so that what is remembered shows in a result.
    fn probe(&self) -> Batch {
        let mut keys: Vec<(i32, Vec<u8>)> = Vec::new();
        for given in self.plan.batches.iter().flat_map(|batch| &batch.records) {
            let Some(key) = &given.key else { continue };
            if !keys.contains(&(given.partition, key.clone())) {
                keys.push((given.partition, key.clone()));
            }
        }
        let timestamp = START + 50_000;
        let value = Some(b"known;probe;5000;77;".to_vec());
        let records = keys.into_iter().map(|(partition, key)| Given { partition, key: Some(key), value: value.clone(), timestamp });
        Batch { at: 0, records: records.collect(), aborts: false }
    }

    /// What the owners have, what the changelogs say, and what the oracle knows: the same.
    fn compare_stores(&self, when: &str) {
        if self.has_failed() {
            return;
        }
        let mut owned: BTreeMap<(&str, Id), StoreRows> = BTreeMap::new();
        for slot in &self.slots {
            let mut running = slot.running.lock();
            let Some((_, instance)) = running.as_mut() else { continue };
            for (subtopology, store) in STORES {
                for (task, rows) in instance.rows(store).unwrap() {
                    if owned.insert((store, (subtopology, task.partition)), rows).is_some() {
                        self.violated("a task has one owner", format!("{task} has two"));
                    }
                }
            }
        }
        let readers = self.readers.lock();
        for (subtopology, store) in STORES {
            for partition in 0..self.plan.partitions {
                let id = (subtopology, partition);
                let Some(rows) = owned.remove(&(store, id)) else {
                    self.violated("a task has one owner", format!("{subtopology}_{partition} has none"));
                    return;
                };
                let found: Rows = rows.into_iter().collect();
                let changelog = if readers.forgotten { found.clone() } else { readers.state(store, partition, i64::MAX) };
                if let Some(text) = difference(&found, &changelog) {
                    self.violated("stores are their changelogs", format!("{when}, store {store} of {subtopology}_{partition}: {text}"));
                    return;
                }
                let empty = crate::oracle::Task::default();
                let task = readers.tasks.get(&id).unwrap_or(&empty);
                let expected = match store {
                    "ticker" => {
                        let ticks = readers.ticks.get(&partition).filter(|ticks| **ticks > 0);
                        ticks.into_iter().map(|ticks| (format!("t{partition}").into_bytes(), ticks.to_string().into_bytes())).collect()
                    }
                    _ => task.meanings(store),
                };
                let found = meanings(store, found);
                if let Some(text) = difference(&found, &expected) {
                    self.violated(
                        "stores are the fold of the input",
                        format!("{when}, store {store} of {subtopology}_{partition}: {text}"),
                    );
                    return;
                }
            }
        }
    }
}
