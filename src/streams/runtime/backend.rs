//! Where the stores of tasks are kept: a RocksDB per task, or memory.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::streams::kv::memory::Memory;
use crate::streams::kv::{self, Kv};
use crate::streams::rocks::{self, Rocks};
use crate::streams::task::TaskId;

/// Opens the stores of tasks.
pub trait StateBackend: Debug + Send + Sync {
    /// Opens what is there, or begins anew.
    fn open(&self, task: TaskId) -> kv::Result<Arc<dyn Kv>>;
    /// Removes everything of a task; it is not open.
    fn destroy(&self, task: TaskId) -> kv::Result<()>;
}

/// A RocksDB directory per task below one directory. It is a cache of the changelogs.
#[derive(Debug)]
pub struct RocksBackend {
    path: PathBuf,
    options: rocks::Options,
}

impl RocksBackend {
    /// Keeps tasks below `path`.
    pub fn new(path: impl Into<PathBuf>, options: rocks::Options) -> Self {
        Self { path: path.into(), options }
    }
}

impl StateBackend for RocksBackend {
    fn open(&self, task: TaskId) -> kv::Result<Arc<dyn Kv>> {
        Ok(Arc::new(Rocks::open(&self.path.join(task.to_string()), &self.options)?))
    }

    fn destroy(&self, task: TaskId) -> kv::Result<()> {
        let path = self.path.join(task.to_string());
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(kv::Error::Failed { store: path.display().to_string(), source: Box::new(error) })
            }
            _ => Ok(()),
        }
    }
}

/// Stores in memory. They outlive a task, as a directory would, so that tests can restart an engine on them.
#[derive(Debug, Default)]
pub struct MemoryBackend {
    tasks: Mutex<BTreeMap<TaskId, Arc<Memory>>>,
}

impl StateBackend for MemoryBackend {
    fn open(&self, task: TaskId) -> kv::Result<Arc<dyn Kv>> {
        let mut tasks = self.tasks.lock();
        let memory: Arc<dyn Kv> = Arc::<Memory>::clone(tasks.entry(task).or_default());
        Ok(memory)
    }

    fn destroy(&self, task: TaskId) -> kv::Result<()> {
        self.tasks.lock().remove(&task);
        Ok(())
    }
}
