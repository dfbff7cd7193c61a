//! Standby tasks: stores of partitions that others have, kept near the ends of their changelogs, so that a takeover restores only the tails.
//!
//! One [`StandbyReader`] in a process follows the changelogs of all tasks that no stream thread here has open. It is never in the way of the
//! work: it rests as long as it reads, stands still while a task of this process is restored, and whatever fails in it sets a standby task
//! aside and nothing else. What it writes is what a restore writes, with the same checkpoints and by the same rules, and whoever takes a task over
//! restores it as always, from the checkpoint to the high watermark: a standby makes that way shorter and promises nothing of its own.
//!
//! The stores of a task are open once in a process. [`Standbys`] knows who has them: a stream thread that takes a task is handed the open
//! stores; when its task is closed, its *lease* ends with it, and the reader opens them again.

mod opening;
mod reader;

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;

use super::backend::StateBackend;
use super::parts::Parts;
use crate::streams::clock::Timestamp;
use crate::streams::kv::{self, Kv};
use crate::streams::log::{Offset, TopicPartition};
use crate::streams::processor::StoreId;
use crate::streams::state::TaskState;
use crate::streams::task::{self, TaskId, panic_message};

pub(crate) use reader::StandbyReader;

/// How long one question for committed offsets may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the reader rests when there is nothing to read.
const IDLE: Duration = Duration::from_millis(50);

/// How far a standby task is with one changelog, as it was last looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandbyProgress {
    /// The changelog partition.
    pub changelog: TopicPartition,
    /// The next offset to read.
    pub position: Offset,
    /// The high watermark.
    pub end: Offset,
}

/// A standby task as it was last reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StandbyStatus {
    /// The changelogs that it follows; none while it waits.
    pub changelogs: Vec<StandbyProgress>,
    /// Why it follows nothing, where it does not.
    pub waiting: Option<String>,
}

impl StandbyStatus {
    /// How many offset slots it is behind (not records: compaction and markers leave gaps).
    pub fn lag(&self) -> i64 {
        self.changelogs.iter().map(|changelog| (changelog.end.0 - changelog.position.0).max(0)).sum()
    }
}

/// The open stores of a standby task.
#[derive(Debug)]
struct StandbyTask {
    stores: TaskState,
    kv: Arc<dyn Kv>,
    count: usize,
    /// The life of the changelogs that its rows come from.
    life: String,
    /// When it began: a checkpoint on the way to an end is no younger.
    began: Timestamp,
}

impl StandbyTask {
    /// Writes what was read, whatever the age of it. What cannot be written is read again by whoever has the stores next.
    fn write(&mut self, id: TaskId) {
        for store in (0..self.count).map(StoreId) {
            if let Err(error) = self.stores.restore_so_far(store) {
                tracing::warn!(task = %id, error = task::chain(&error), "a standby task could not write what it had read");
                return;
            }
        }
    }

    fn close(mut self, id: TaskId) {
        self.write(id);
        if let Err(error) = self.stores.close(None) {
            tracing::warn!(task = %id, error = task::chain(&error), "a standby task could not be closed in good order");
        }
    }
}

/// Who has the stores of which task open.
#[derive(Debug, Default)]
pub(crate) struct Standbys(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    /// Tasks of stream threads, as long as they live.
    leases: BTreeMap<TaskId, Weak<()>>,
    /// Goes up when a stream thread takes or removes stores: what was found out about them before may not be true any more.
    claims: u64,
    tasks: BTreeMap<TaskId, StandbyTask>,
}

impl Held {
    fn is_free(&self, id: TaskId) -> bool {
        !self.tasks.contains_key(&id) && self.leases.get(&id).is_none_or(|lease| lease.strong_count() == 0)
    }
}

impl Standbys {
    /// Opens the stores of a task for a stream thread; those of a standby task are handed over as they are. They are the caller's as long as it
    /// keeps the lease, which must go after them.
    pub(super) fn claim(&self, id: TaskId, backend: &dyn StateBackend) -> kv::Result<(Arc<dyn Kv>, Arc<()>)> {
        let lease = Arc::new(());
        let standby = {
            let mut held = self.0.lock();
            held.claims += 1;
            held.leases.insert(id, Arc::downgrade(&lease));
            held.tasks.remove(&id)
        };
        let Some(mut standby) = standby else { return Ok((backend.open(id)?, lease)) };
        standby.write(id);
        tracing::info!(task = %id, "taken over from the standby task");
        Ok((standby.kv, lease))
    }

    /// Removes the stores of a task that no stream thread has open.
    pub(super) fn destroy(&self, id: TaskId, backend: &dyn StateBackend) -> kv::Result<()> {
        let mut held = self.0.lock();
        held.claims += 1;
        drop(held.tasks.remove(&id));
        backend.destroy(id)
    }

    /// How often a stream thread took stores.
    fn claims(&self) -> u64 {
        self.0.lock().claims
    }

    fn is_free(&self, id: TaskId) -> bool {
        self.0.lock().is_free(id)
    }

    fn is_followed(&self, id: TaskId) -> bool {
        self.0.lock().tasks.contains_key(&id)
    }

    /// Makes a standby task, unless somebody has taken stores since `claims` was asked for; returns none then.
    fn take<E>(&self, id: TaskId, claims: u64, open: impl FnOnce() -> Result<StandbyTask, E>) -> Option<Result<(), E>> {
        let mut held = self.0.lock();
        if held.claims != claims || !held.is_free(id) {
            return None;
        }
        Some(open().map(|task| drop(held.tasks.insert(id, task))))
    }

    /// Does something with a standby task; nothing where a stream thread has taken its stores.
    fn with<T>(&self, id: TaskId, work: impl FnOnce(&mut StandbyTask) -> T) -> Option<T> {
        self.0.lock().tasks.get_mut(&id).map(work)
    }

    /// Drops a standby task as it is: its disk is as complete as its checkpoints say.
    fn forget(&self, id: TaskId) {
        drop(self.0.lock().tasks.remove(&id));
    }

    /// Removes a standby task with what it has on the disk; nothing where a stream thread has taken its stores.
    fn wipe(&self, id: TaskId, backend: &dyn StateBackend) -> kv::Result<()> {
        let mut held = self.0.lock();
        drop(held.tasks.remove(&id));
        if held.is_free(id) { backend.destroy(id) } else { Ok(()) }
    }

    /// Closes all standby tasks in good order.
    fn close(&self) {
        let mut held = self.0.lock();
        for (id, task) in std::mem::take(&mut held.tasks) {
            task.close(id);
        }
    }
}

/// Starts the thread that follows changelogs until the engine stops. Nothing that happens to it ends the engine.
pub(super) fn spawn(parts: Parts) -> io::Result<JoinHandle<()>> {
    let body = move || {
        let shared = Arc::clone(&parts.shared);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| serve(parts))) {
            tracing::error!(error = panic_message(&*panic), "the standby thread panicked; nothing is followed any more");
        }
        shared.standbys.close();
        shared.status.lock().standbys.clear();
    };
    Builder::new().name("standby".to_owned()).spawn(body)
}

fn serve(parts: Parts) {
    let (shared, clock) = (Arc::clone(&parts.shared), Arc::clone(&parts.clock));
    let mut reader = StandbyReader::new(parts);
    while !shared.stopping() {
        let began = clock.monotonic();
        let is_busy = reader.step(PATIENCE);
        let took = clock.monotonic().saturating_sub(began);
        // As long again as it worked: it has half of a processor at most.
        std::thread::park_timeout(if is_busy { took.min(IDLE) } else { IDLE });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::streams::runtime::MemoryBackend;

    const TASK: TaskId = TaskId { subtopology: 0, partition: 0 };

    /// Stores that count how often they are opened, or cannot be.
    #[derive(Debug, Default)]
    struct Counting {
        inner: MemoryBackend,
        opened: AtomicUsize,
        fails: bool,
    }

    impl StateBackend for Counting {
        fn open(&self, task: TaskId) -> kv::Result<Arc<dyn Kv>> {
            self.opened.fetch_add(1, Ordering::SeqCst);
            if self.fails {
                return Err(kv::Error::Failed { store: "test".to_owned(), source: "told to".into() });
            }
            self.inner.open(task)
        }

        fn destroy(&self, task: TaskId) -> kv::Result<()> {
            self.inner.destroy(task)
        }
    }

    fn refuse() -> Result<StandbyTask, &'static str> {
        panic!("it is not free, or was not all the time");
    }

    #[test]
    fn stores_belong_to_a_stream_thread_as_long_as_its_lease_lives() {
        let (standbys, backend) = (Standbys::default(), Counting::default());
        let before = standbys.claims();
        assert!(standbys.is_free(TASK));
        let (kv, lease) = standbys.claim(TASK, &backend).unwrap();
        assert!(!standbys.is_free(TASK) && standbys.take(TASK, standbys.claims(), refuse).is_none());
        standbys.wipe(TASK, &backend).unwrap();
        assert!(!standbys.is_free(TASK), "the reader removes nothing of a stream thread's");
        drop((kv, lease));
        assert!(standbys.is_free(TASK));
        assert!(standbys.take(TASK, before, refuse).is_none(), "what was found out before it was claimed");
        assert_eq!(standbys.take(TASK, standbys.claims(), || Err("asked")).unwrap().unwrap_err(), "asked");
        assert_eq!(backend.opened.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn what_cannot_be_opened_is_nobodys() {
        let (standbys, backend) = (Standbys::default(), Counting { fails: true, ..Counting::default() });
        assert!(standbys.claim(TASK, &backend).is_err());
        assert!(standbys.is_free(TASK));
        let before = standbys.claims();
        standbys.destroy(TASK, &backend).unwrap();
        assert!(standbys.is_free(TASK) && standbys.take(TASK, before, refuse).is_none(), "what is removed is looked at again");
    }
}
