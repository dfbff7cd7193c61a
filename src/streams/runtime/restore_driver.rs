//! Runs the restorer: on a thread of its own, or a step at a time where the caller owns all time.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::parts::Parts;
use super::restore::{Needs, Restored, Restorer};
use super::{Error, Result};
use crate::streams::log::{ConsumerOptions, Isolation};
use crate::streams::task::{StreamTask, TaskId};

/// Each task passes these channels at most once per assignment, so the number of assigned partitions bounds them.
pub(super) enum Request {
    Add(Box<StreamTask>),
    Cancel(TaskId),
}

/// Where restores run.
#[derive(Debug)]
pub(super) enum RestoreDriver {
    Inline(Box<Restorer>),
    Threaded {
        requests: Option<Sender<Request>>,
        restored: Receiver<Restored>,
        /// What came back while a cancelled task was waited for.
        aside: Vec<Restored>,
        thread: Option<JoinHandle<()>>,
    },
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Add(task) => write!(f, "Add({})", task.id()),
            Self::Cancel(task) => write!(f, "Cancel({task})"),
        }
    }
}

impl RestoreDriver {
    pub(super) fn new(index: usize, restorer: Restorer, threaded: bool) -> Result<Self> {
        if !threaded {
            return Ok(Self::Inline(Box::new(restorer)));
        }
        let (requests, incoming) = channel();
        let (outgoing, restored) = channel();
        let thread = std::thread::Builder::new()
            .name(format!("restore-{index}"))
            .spawn(move || serve(restorer, &incoming, &outgoing))
            .map_err(Error::Thread)?;
        Ok(Self::Threaded { requests: Some(requests), restored, aside: Vec::new(), thread: Some(thread) })
    }

    pub(super) fn add(&mut self, task: StreamTask) -> Result<()> {
        match self {
            Self::Inline(restorer) => {
                restorer.add(task);
                Ok(())
            }
            Self::Threaded { .. } => self.request(Request::Add(Box::new(task))),
        }
    }

    /// Ends the restore of a task that was added and did not come back yet; waits for it (the restore thread takes requests several times a
    /// second). As long as anybody holds the task, nobody else can open its stores.
    pub(super) fn cancel(&mut self, task: TaskId) -> Result<Option<StreamTask>> {
        self.request(Request::Cancel(task))?;
        match self {
            Self::Inline(restorer) => Ok(restorer.cancel(task).map(|cancelled| cancelled.task)),
            Self::Threaded { restored, aside, .. } => {
                if let Some(place) = aside.iter().position(|known| known.task.id() == task) {
                    return Ok(Some(aside.swap_remove(place).task));
                }
                loop {
                    let back = restored.recv().map_err(|_| ended())?;
                    if back.task.id() == task {
                        return Ok(Some(back.task));
                    }
                    aside.push(back);
                }
            }
        }
    }

    fn request(&mut self, request: Request) -> Result<()> {
        let Self::Threaded { requests: Some(requests), .. } = self else { return Ok(()) };
        requests.send(request).map_err(|_| ended())
    }

    /// The tasks that are finished.
    pub(super) fn step(&mut self) -> Result<Vec<Restored>> {
        match self {
            Self::Inline(restorer) if restorer.is_idle() => Ok(Vec::new()),
            Self::Inline(restorer) => Ok(restorer.step(Duration::ZERO)),
            Self::Threaded { requests, restored, aside, .. } => {
                let mut finished = std::mem::take(aside);
                loop {
                    match restored.try_recv() {
                        Ok(task) => finished.push(task),
                        // It only ends by itself when it panicked: its tasks would stay RESTORING for ever.
                        Err(TryRecvError::Disconnected) if requests.is_some() => return Err(ended()),
                        Err(TryRecvError::Empty | TryRecvError::Disconnected) => return Ok(finished),
                    }
                }
            }
        }
    }

    /// Ends the thread and returns the tasks that it still had.
    pub(super) fn close(&mut self) -> Vec<Restored> {
        if let Self::Threaded { requests, thread, .. } = self {
            // The thread ends when nobody can ask it any more.
            requests.take();
            if let Some(thread) = thread.take()
                && thread.join().is_err()
            {
                tracing::error!("the restore thread panicked");
            }
        }
        self.step().unwrap_or_default()
    }
}

impl Drop for RestoreDriver {
    fn drop(&mut self) {
        drop(self.close());
    }
}

fn ended() -> Error {
    Error::Thread(std::io::Error::other("the restore thread has ended"))
}

fn serve(mut restorer: Restorer, requests: &Receiver<Request>, restored: &Sender<Restored>) {
    loop {
        // With nothing to do it waits for a request; otherwise it only looks for one.
        let request = if restorer.is_idle() { requests.recv().map_err(|_| TryRecvError::Disconnected) } else { requests.try_recv() };
        let finished = match request {
            Ok(Request::Add(task)) => {
                restorer.add(*task);
                continue;
            }
            Ok(Request::Cancel(task)) => restorer.cancel(task).into_iter().collect(),
            Err(TryRecvError::Empty) => restorer.step(Duration::from_millis(20)),
            Err(TryRecvError::Disconnected) => return,
        };
        for task in finished {
            if restored.send(task).is_err() {
                return;
            }
        }
    }
}

/// The restorer's consumer has the same group, for its committed offsets, but never joins it.
pub(super) fn restorer(parts: &Parts) -> Result<Restorer> {
    let consumer = parts.log.consumer(ConsumerOptions {
        group: Some(Arc::clone(&parts.options.application_id)),
        instance_id: None,
        isolation: Isolation::ReadCommitted,
    })?;
    Ok(Restorer::new(Needs {
        consumer,
        admin: parts.log.admin(),
        topology: Arc::clone(&parts.topology),
        topics: Arc::clone(&parts.topics),
        partitions: Arc::clone(&parts.partitions),
        options: Arc::clone(&parts.options),
        clock: Arc::clone(&parts.clock),
        shared: Arc::clone(&parts.shared),
    }))
}
