//! Stores, and the files of a log, that count what is asked of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidewatch::streams::kv::{self, Batch, Direction, Durability, Kv, Visit};
use tidewatch::streams::runtime::StateBackend;
use tidewatch::streams::task::TaskId;

/// What they were asked.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    gets: AtomicU64,
    written_bytes: AtomicU64,
}

impl Counts {
    pub(crate) fn gets(&self) -> u64 {
        self.gets.load(Ordering::Relaxed)
    }

    pub(crate) fn written_bytes(&self) -> u64 {
        self.written_bytes.load(Ordering::Relaxed)
    }

    /// Something that counts between its user and its files.
    pub(crate) fn of(self: &Arc<Self>, inner: Arc<dyn Kv>) -> Arc<dyn Kv> {
        Arc::new(Store { inner, counts: Arc::clone(self) })
    }

    fn wrote(&self, batch: &Batch) {
        self.written_bytes.fetch_add(batch.size_bytes() as u64, Ordering::Relaxed);
    }
}

/// A backend, counted.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) inner: Arc<dyn StateBackend>,
    pub(crate) counts: Arc<Counts>,
}

impl StateBackend for Counted {
    fn open(&self, task: TaskId) -> kv::Result<Arc<dyn Kv>> {
        Ok(self.counts.of(self.inner.open(task)?))
    }

    fn destroy(&self, task: TaskId) -> kv::Result<()> {
        self.inner.destroy(task)
    }
}

#[derive(Debug)]
struct Store {
    inner: Arc<dyn Kv>,
    counts: Arc<Counts>,
}

impl Kv for Store {
    fn get(&self, key: &[u8], value: &mut Vec<u8>) -> kv::Result<bool> {
        self.counts.gets.fetch_add(1, Ordering::Relaxed);
        self.inner.get(key, value)
    }

    fn write(&self, batch: &Batch, durability: Durability) -> kv::Result<()> {
        self.counts.wrote(batch);
        self.inner.write(batch, durability)
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, direction: Direction, visit: &mut Visit<'_>) -> kv::Result<()> {
        self.inner.scan(from, to, direction, visit)
    }

    fn begin_flush(&self) {
        self.inner.begin_flush();
    }

    fn flush(&self) -> kv::Result<()> {
        self.inner.flush()
    }
}
