//! [`Instance`]: one instance of the production runtime without a thread of its own: it does something when it is told to.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use crate::streams::clock::Clock;
use crate::streams::log::Log;
use crate::streams::processor::{BoxError, StoreId};
use crate::streams::runtime::{Options, Parts, Result, Shared, StateBackend, Status, StreamThread};
use crate::streams::task::TaskId;
use crate::streams::topology::Blueprint;

/// The rows of a store, in the order of their keys.
pub type StoreRows = Vec<(Vec<u8>, Vec<u8>)>;

/// An instance of the engine with one stream thread, whose turns the caller takes.
///
/// Dropping it without [`close`](Self::close) is a death: nothing is committed, nothing is written.
#[derive(Debug)]
pub struct Instance {
    thread: StreamThread,
    shared: Arc<Shared>,
}

impl Instance {
    /// Starts as a process does: looks at the topics, fences earlier holders of its ids, joins the group. It never waits: polls are made without a
    /// timeout, restores go on with its steps.
    pub fn new(
        topology: Arc<dyn Blueprint>,
        log: Arc<dyn Log>,
        backend: Arc<dyn StateBackend>,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<Self> {
        let options = Options { threads: 1, restore_thread: false, poll_timeout: Duration::ZERO, ..options };
        let parts = Parts::new(topology, log, backend, clock, options)?;
        let shared = Arc::clone(&parts.shared);
        Ok(Self { thread: StreamThread::new(0, parts)?, shared })
    }

    /// One turn of the stream thread: polls once, processes what came, commits if it is time. Returns whether anything happened.
    pub fn step(&mut self) -> Result<bool> {
        self.thread.run_once(Duration::ZERO)
    }

    /// Whether nothing is left to do until a record comes or time moves.
    pub fn is_settled(&self) -> bool {
        self.thread.is_settled()
    }

    /// What the engine counted.
    pub fn status(&self) -> Status {
        self.shared.status.lock().clone()
    }

    /// The tasks that process: those that are being restored are not among them.
    pub fn running(&mut self) -> BTreeSet<TaskId> {
        self.thread.tasks_mut().map(|(_, task)| task.id()).collect()
    }

    /// The rows of a store in each task that processes, committed and uncommitted.
    pub fn rows(&mut self, store: &str) -> Result<BTreeMap<TaskId, StoreRows>, BoxError> {
        let mut found = BTreeMap::new();
        for (names, task) in self.thread.tasks_mut() {
            let Some(id) = names.iter().position(|known| known == store) else { continue };
            let mut rows = Vec::new();
            task.stores.store(StoreId(id)).all(&mut |key, value| {
                rows.push((key.to_vec(), value.to_vec()));
                ControlFlow::Continue(())
            })?;
            found.insert(task.id(), rows);
        }
        Ok(found)
    }

    /// Commits, closes the stores and ends, as a SIGTERM would.
    pub fn close(mut self) -> Result<()> {
        self.thread.close()
    }
}
