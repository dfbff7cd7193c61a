//! How each planned fault begins.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidewatch::streams::clock::Timestamp;
use tidewatch::streams::log::{Headers, Isolation, Log, Partition, ProducerOptions, ProducerRecord, TopicPartition};
use tidewatch::streams::runtime::changelog_topic;
use tidewatch::streams::task::TaskId;

use crate::nemesis::Armed;
use crate::plan::{AGE_MS, Fault};
use crate::topology::{APPLICATION, STORES};
use crate::world::{Foreign, SPARES, Slot, World};

fn prolong(until: &AtomicU64, to: u64) {
    until.fetch_max(to, Ordering::Relaxed);
}

impl World {
    pub(crate) fn begin(&self, index: usize, fault: &Fault) {
        let (slot, now) = (&self.slots[index], self.time.now());
        let left = match fault {
            Fault::Crash(_, after) => *after,
            Fault::Fail { times, .. } => *times,
            Fault::SlowCommit { .. }
            | Fault::SlowAbort { .. }
            | Fault::LateCommit { .. }
            | Fault::Stall { .. }
            | Fault::Forgotten { .. } => 1,
            _ => {
                self.begin_at_once(slot, index, fault, now);
                return;
            }
        };
        self.say(|| format!("[{index}] to come: {fault:?}"));
        slot.armed.lock().push(Armed { fault: fault.clone(), left });
    }

    fn begin_at_once(&self, slot: &Slot, index: usize, fault: &Fault, now: u64) {
        let alive = slot.is_alive();
        match fault {
            Fault::CrashNow
            | Fault::DiskDamaged
            | Fault::DiskLost
            | Fault::DiskMistaken
            | Fault::DiskFromBackup
            | Fault::Age { killed: true }
                if !alive =>
            {
                return;
            }
            Fault::Evict if !self.evict(slot.instance) => return,
            Fault::Stop { .. } | Fault::Age { killed: false } if !alive || self.is_nested() => return,
            Fault::DamagedInUse if !alive => return,
            _ => self.fired(fault, index),
        }
        match fault {
            Fault::CrashAll => (0..self.slots.len()).for_each(|index| self.kill(index)),
            Fault::CrashNow => self.kill(index),
            Fault::Stop { leave, down } => {
                self.stop(index);
                slot.start_at.store(now + down, Ordering::Relaxed);
                // How the next process of this place will stop.
                slot.leaves.store(*leave, Ordering::Relaxed);
            }
            Fault::Join => self.slots[self.plan.instances].wanted.store(true, Ordering::Relaxed),
            Fault::Slow { ms, lasts } => *slot.slow.lock() = (now + lasts, *ms),
            Fault::Unreachable { lasts } => prolong(&slot.unreachable_until, now + lasts),
            Fault::BrokersDown { lasts } => prolong(&self.brokers_down_until, now + lasts),
            Fault::Zombie { ms } => prolong(&slot.frozen_until, now + ms),
            Fault::Twin { lasts } => self.begin_twin(now + lasts),
            Fault::DiskFull { lasts } => prolong(&self.disk_full_until[index], now + lasts),
            Fault::MarkersHeld { lasts } => prolong(&self.markers_held_until, now + lasts),
            Fault::RegistryDown { lasts } => prolong(&self.registry_down_until, now + lasts),
            Fault::ClockJump { ms } => slot.clock.skew_ms.store(*ms, Ordering::Relaxed),
            Fault::ForeignOpen { store, lasts } => self.open_foreign(*store, now + lasts),
            Fault::Truncated { store } | Fault::Deleted { store } | Fault::MadeAnew { store } => self.destroy_changelog(fault, *store),
            Fault::Age { killed } => {
                if *killed {
                    self.kill(index);
                } else {
                    self.stop(index);
                }
                slot.start_at.store(now + AGE_MS, Ordering::Relaxed);
            }
            _ => self.begin_on_disk(slot, index, fault),
        }
    }

    fn begin_on_disk(&self, slot: &Slot, index: usize, fault: &Fault) {
        let disk = Arc::clone(&slot.disk.lock());
        let tasks = disk.tasks();
        if *fault != Fault::DamagedInUse {
            self.kill(index);
        }
        let Some(&task) = tasks.first().filter(|_| *fault != Fault::DiskFromBackup) else {
            if *fault == Fault::DiskFromBackup {
                let mut backup = slot.backup.lock();
                // The first one only makes it.
                match backup.as_ref() {
                    Some(backup) => disk.put_back(backup),
                    None => *backup = Some(disk.copy()),
                }
            }
            return;
        };
        let task = if tasks.len() > 1 { *self.random.lock().pick(&tasks) } else { task };
        match fault {
            Fault::DiskLost => tasks.iter().for_each(|task| disk.lose(*task)),
            Fault::DiskMistaken => {
                let other = tasks.iter().find(|other| **other != task && other.subtopology == task.subtopology);
                disk.mistake(task, other.copied().unwrap_or(TaskId { partition: task.partition + 1, ..task }));
            }
            _ => disk.damage(task),
        }
    }

    /// A second process with the ids of the first instance, on a copy of its directory.
    fn begin_twin(&self, until: u64) {
        let twin = &self.slots[self.plan.instances + SPARES - 1];
        *twin.disk.lock() = Arc::new(self.slots[0].disk.lock().copy());
        twin.wanted.store(true, Ordering::Relaxed);
        // It is taken away again by `World::end_what_is_over`.
        twin.unreachable_until.store(0, Ordering::Relaxed);
        *twin.slow.lock() = (until, 0);
    }

    /// Stops a twin whose time is over.
    pub(crate) fn end_twin(&self) {
        let place = self.plan.instances + SPARES - 1;
        let twin = &self.slots[place];
        let until = twin.slow.lock().0;
        if twin.wanted.load(Ordering::Relaxed) && self.time.now() >= until {
            twin.wanted.store(false, Ordering::Relaxed);
            self.kill(place);
        }
    }

    /// What nobody can make good: who needs it must say so and stop, and nobody may go on with what is left.
    fn destroy_changelog(&self, fault: &Fault, store: usize) {
        self.read();
        self.is_destroyed.store(true, Ordering::Relaxed);
        self.readers.lock().forget_changelogs();
        let (name, admin) = (changelog_topic(APPLICATION, STORES[store].1), self.log.admin());
        if matches!(fault, Fault::Truncated { .. }) {
            for at in (0..self.plan.partitions).map(|partition| TopicPartition::new(name.as_str(), partition)) {
                let end = admin.watermarks(&at, Isolation::ReadCommitted).unwrap().1;
                self.log.truncate(&at, end).unwrap();
            }
            return;
        }
        self.made_anew.lock().push(store);
        let config = admin.describe(&name).unwrap().unwrap().config;
        admin.delete_topic(&name).unwrap();
        if matches!(fault, Fault::MadeAnew { .. }) {
            admin.create_topic(&name, &config).unwrap();
        }
    }

    fn open_foreign(&self, store: usize, until: u64) {
        let name = changelog_topic(APPLICATION, STORES[store].1);
        // It may have been deleted meanwhile. And one that was made anew has no way to tell: with this record and its marker a short one ends where the
        // old one did, and offsets are all that the engine knows a changelog by.
        if self.made_anew.lock().contains(&store) || self.log.admin().describe(&name).unwrap().is_none() {
            return;
        }
        let transaction_timeout = Duration::from_secs(24 * 60 * 60);
        // Two of one moment are two.
        let transactional_id = format!("foreign-{}-{}", self.time.now(), self.foreign.lock().len()).into();
        let options = ProducerOptions { transactional_id, topics: vec![name.into()], transaction_timeout };
        let mut producer = self.log.producer(options).unwrap();
        producer.init_transactions(Duration::ZERO).unwrap();
        producer.begin().unwrap();
        for partition in 0..self.plan.partitions {
            let (key, value) = (Some(b"foreign".as_slice()), Some(b"never committed".as_slice()));
            let (headers, timestamp) = (Headers::EMPTY, Timestamp(0));
            producer.send(&ProducerRecord { topic: 0, partition: Some(Partition(partition)), key, value, headers, timestamp }).unwrap();
        }
        producer.flush(Duration::ZERO).unwrap();
        self.foreign.lock().push(Foreign { until, producer });
    }
}
