//! The stores.

use std::sync::Arc;

use super::{Call, Client, Interposer, Post};
use crate::streams::kv::{Batch, Direction, Durability, Kv, Result, Visit};
use crate::streams::runtime::StateBackend;
use crate::streams::task::TaskId;

/// Stores behind an [`Interposer`].
#[derive(Debug)]
pub struct InterposedBackend {
    inner: Arc<dyn StateBackend>,
    interposer: Arc<dyn Interposer>,
}

impl InterposedBackend {
    /// All calls to stores of `inner` that are made through this backend are told to `interposer`.
    pub fn new(inner: Arc<dyn StateBackend>, interposer: Arc<dyn Interposer>) -> Self {
        Self { inner, interposer }
    }

    fn post(&self, task: TaskId) -> Post {
        Post { interposer: Arc::clone(&self.interposer), client: Client::Stores(task) }
    }
}

impl StateBackend for InterposedBackend {
    fn open(&self, task: TaskId) -> Result<Arc<dyn Kv>> {
        let post = self.post(task);
        let inner = post.store(&Call::Open, || self.inner.open(task))?;
        Ok(Arc::new(InterposedKv { inner, post }))
    }

    fn destroy(&self, task: TaskId) -> Result<()> {
        self.post(task).store(&Call::Destroy, || self.inner.destroy(task))
    }
}

#[derive(Debug)]
struct InterposedKv {
    inner: Arc<dyn Kv>,
    post: Post,
}

impl Kv for InterposedKv {
    fn get(&self, key: &[u8], value: &mut Vec<u8>) -> Result<bool> {
        self.post.store(&Call::Get(key), || self.inner.get(key, value))
    }

    fn write(&self, batch: &Batch, durability: Durability) -> Result<()> {
        self.post.store(&Call::Write(batch, durability), || self.inner.write(batch, durability))
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, direction: Direction, visit: &mut Visit<'_>) -> Result<()> {
        self.post.store(&Call::Scan, || self.inner.scan(from, to, direction, visit))
    }

    fn begin_flush(&self) {
        self.inner.begin_flush();
    }

    fn flush(&self) -> Result<()> {
        self.post.store(&Call::Sync, || self.inner.flush())
    }
}
