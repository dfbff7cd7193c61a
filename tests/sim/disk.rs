//! The disk of an instance: stores that lose what was not flushed when their process dies, that can be damaged, swapped, emptied or full.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tidewatch::streams::kv::{self, Batch, Change, Direction, Durability, Kv, Visit};
use tidewatch::streams::runtime::StateBackend;
use tidewatch::streams::task::TaskId;

use crate::random::Random;
use crate::trace::Counts;

pub(crate) type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// The first byte of the key of a checkpoint, of an input offset, and of a user's row.
const CHECKPOINT: u8 = 3;
const INPUT: u8 = 4;
const ROW: u8 = 16;

/// What is written of one task.
#[derive(Clone, Debug, Default)]
struct Content {
    rows: Rows,
    /// Stores whose checkpoint a restore has written: it may be one on the way to the changelog's end.
    restored: BTreeSet<u16>,
}

/// What the stores of one task are.
#[derive(Clone, Debug, Default)]
struct Stored {
    durable: Content,
    /// What a reader sees: with what would be lost.
    current: Content,
    unflushed: Vec<Batch>,
    damaged: bool,
    /// Another task's: nothing is to be said of it.
    mistaken: bool,
}

/// The disk of one instance. It outlives its processes.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    stores: Mutex<BTreeMap<TaskId, Stored>>,
    open: Mutex<BTreeMap<TaskId, Weak<Handle>>>,
    full: AtomicBool,
    /// The first thing that was written and must never be.
    fault: Mutex<Option<String>>,
}

/// What lies on the disk of a task when a process has died.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) task: TaskId,
    /// The checkpoint of each store, by its number.
    pub(crate) checkpoints: BTreeMap<u16, i64>,
    /// The rows of each store.
    pub(crate) rows: BTreeMap<u16, Rows>,
    /// The stores' names, as the disk has them.
    pub(crate) names: BTreeMap<u16, String>,
    /// Stores whose checkpoint may be one on the way, with the end that the changelog has now.
    pub(crate) restored: BTreeMap<u16, i64>,
}

impl Disk {
    pub(crate) fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    pub(crate) fn take_fault(&self) -> Option<String> {
        self.fault.lock().take()
    }

    /// The process dies: of what was not flushed a first part has reached the disk by itself, whole batches in their order; the rest is gone.
    pub(crate) fn crash(&self, random: &mut Random, counts: &mut Counts) -> Vec<Snapshot> {
        let mut snapshots = Vec::new();
        for (task, stored) in self.stores.lock().iter_mut() {
            let kept = random.index(stored.unflushed.len() + 1);
            if kept < stored.unflushed.len() {
                counts.add("rows not flushed were lost");
            }
            for batch in stored.unflushed.drain(..).take(kept) {
                stored.durable.apply(&batch);
            }
            stored.current = stored.durable.clone();
            if !(stored.damaged || stored.mistaken) {
                snapshots.push(snapshot(*task, &stored.durable));
            }
        }
        self.open.lock().clear();
        snapshots
    }

    /// The tasks that have something here.
    pub(crate) fn tasks(&self) -> Vec<TaskId> {
        self.stores.lock().iter().filter(|(_, stored)| !stored.current.rows.is_empty()).map(|(task, _)| *task).collect()
    }

    /// From now on nothing can be read of this task.
    pub(crate) fn damage(&self, task: TaskId) {
        if let Some(stored) = self.stores.lock().get_mut(&task) {
            stored.damaged = true;
        }
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.stores.lock().values().any(|stored| stored.damaged)
    }

    /// The files of a task are gone.
    pub(crate) fn lose(&self, task: TaskId) {
        self.stores.lock().remove(&task);
    }

    /// What lies under one task is another's.
    pub(crate) fn mistake(&self, task: TaskId, others: TaskId) {
        let mut stores = self.stores.lock();
        if let Some(other) = stores.get(&others).cloned() {
            stores.insert(task, Stored { mistaken: true, ..other });
        }
    }

    /// The same content, for another process on a copy of the directory.
    pub(crate) fn copy(&self) -> Self {
        let stores = self.stores.lock().clone();
        Self { stores: Mutex::new(stores), ..Self::default() }
    }

    /// Everything goes back to what it was when `backup` was made.
    pub(crate) fn put_back(&self, backup: &Self) {
        *self.stores.lock() = backup.stores.lock().clone();
    }
}

fn snapshot(task: TaskId, durable: &Content) -> Snapshot {
    let restored = durable.restored.iter().map(|number| (*number, 0)).collect();
    let mut snapshot = Snapshot { task, checkpoints: BTreeMap::new(), rows: BTreeMap::new(), names: BTreeMap::new(), restored };
    for (key, value) in &durable.rows {
        let number = number_of(key);
        match key[0] {
            CHECKPOINT => {
                snapshot.checkpoints.insert(number, i64::from_be_bytes(value.as_slice().try_into().unwrap()));
            }
            ROW => {
                snapshot.rows.entry(number).or_default().insert(key[3..].to_vec(), value.clone());
            }
            2 => {
                let json: serde_json::Value = serde_json::from_slice(value).unwrap();
                snapshot.names.insert(number, json["name"].as_str().unwrap().to_owned());
            }
            _ => {}
        }
    }
    snapshot
}

/// The store that a key belongs to.
fn number_of(key: &[u8]) -> u16 {
    u16::from_be_bytes([key[1], key[2]])
}

impl Content {
    fn apply(&mut self, batch: &Batch) {
        let puts = |kind: u8| batch.changes().filter(|change| matches!(change, Change::Put(key, _) if key[0] == kind)).count();
        // A commit moves the checkpoint of each store that it writes to together with an input offset, a restore that of one store alone.
        let is_restore = puts(CHECKPOINT) == 1 && puts(INPUT) == 0;
        for change in batch.changes() {
            match change {
                Change::Put(key, value) => {
                    let former = self.rows.insert(key.to_vec(), value.to_vec());
                    let has_moved = key[0] == CHECKPOINT && former.as_deref() != Some(value);
                    if has_moved && is_restore {
                        self.restored.insert(number_of(key));
                    } else if has_moved {
                        self.restored.remove(&number_of(key));
                    }
                }
                Change::Delete(key) => {
                    self.rows.remove(key);
                }
                Change::DeleteRange(from, to) => self.rows.retain(|key, _| key.as_slice() < from || key.as_slice() >= to),
            }
        }
    }
}

impl StateBackend for DiskOf {
    fn open(&self, task: TaskId) -> kv::Result<Arc<dyn Kv>> {
        let mut open = self.0.open.lock();
        if open.get(&task).is_some_and(|handle| handle.strong_count() > 0) {
            return Err(kv::Error::Failed { store: task.to_string(), source: "it is open already: the lock is held".into() });
        }
        self.0.stores.lock().entry(task).or_default();
        let handle = Arc::new(Handle { disk: Arc::clone(&self.0), task });
        open.insert(task, Arc::downgrade(&handle));
        Ok(handle)
    }

    fn destroy(&self, task: TaskId) -> kv::Result<()> {
        self.0.stores.lock().remove(&task);
        Ok(())
    }
}

/// The disk as a process has it.
#[derive(Clone, Debug)]
pub(crate) struct DiskOf(pub(crate) Arc<Disk>);

#[derive(Debug)]
struct Handle {
    disk: Arc<Disk>,
    task: TaskId,
}

impl Handle {
    fn with<T>(&self, work: impl FnOnce(&mut Stored) -> kv::Result<T>) -> kv::Result<T> {
        let mut stores = self.disk.stores.lock();
        let stored = stores.entry(self.task).or_default();
        if stored.damaged {
            return Err(kv::Error::Corrupt { store: self.task.to_string(), source: "a checksum is wrong".into() });
        }
        work(stored)
    }

    /// A checkpoint only goes back with a wipe.
    fn watch(&self, stored: &Stored, batch: &Batch) {
        let wipes = batch.changes().any(|change| matches!(change, Change::DeleteRange(..)));
        for change in batch.changes() {
            let Change::Put(key, value) = change else { continue };
            let (true, Some(former)) = (key[0] == CHECKPOINT && !wipes, stored.current.rows.get(key)) else { continue };
            let read = |bytes: &[u8]| i64::from_be_bytes(bytes.try_into().unwrap());
            if read(value) < read(former) {
                let fault = format!("a checkpoint of task {} went back from {} to {}", self.task, read(former), read(value));
                self.disk.fault.lock().get_or_insert(fault);
            }
        }
    }
}

impl Kv for Handle {
    fn get(&self, key: &[u8], value: &mut Vec<u8>) -> kv::Result<bool> {
        self.with(|stored| {
            value.clear();
            Ok(stored.current.rows.get(key).map(|found| value.extend_from_slice(found)).is_some())
        })
    }

    fn write(&self, batch: &Batch, _durability: Durability) -> kv::Result<()> {
        if self.disk.full.load(Ordering::Relaxed) {
            return Err(kv::Error::DiskFull { store: self.task.to_string(), source: "no space left on device".into() });
        }
        self.with(|stored| {
            self.watch(stored, batch);
            stored.current.apply(batch);
            stored.unflushed.push(batch.clone());
            Ok(())
        })
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, direction: Direction, visit: &mut Visit<'_>) -> kv::Result<()> {
        let found: Vec<_> = self.with(|stored| {
            if to.is_some_and(|to| to <= from) {
                return Ok(Vec::new());
            }
            let upper = to.map_or(Bound::Unbounded, Bound::Excluded);
            let range = stored.current.rows.range::<[u8], _>((Bound::Included(from), upper));
            Ok(range.map(|(key, value)| (key.clone(), value.clone())).collect())
        })?;
        let mut found: Box<dyn Iterator<Item = _>> = match direction {
            Direction::Forward => Box::new(found.into_iter()),
            Direction::Reverse => Box::new(found.into_iter().rev()),
        };
        let _ended = found.any(|(key, value)| visit(&key, &value).is_break());
        Ok(())
    }

    fn flush(&self) -> kv::Result<()> {
        self.with(|stored| {
            stored.unflushed.clear();
            stored.durable = stored.current.clone();
            Ok(())
        })
    }
}
