//! What stops a task, as opposed to what is wrong with one record.

use super::{IllegalTransition, TaskId};
use crate::streams::processor::BoxError;
use crate::streams::topology::Failure;
use crate::streams::{kv, log, state};

/// Why a task cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A bad record under the policy `fail`.
    #[error("task {task} stopped at {place} as its error policy says")]
    Record {
        /// The task.
        task: TaskId,
        /// Topic, partition and offset.
        place: String,
        /// What was wrong.
        #[source]
        source: Failure,
    },
    /// A node could not start or failed in a punctuation.
    #[error("task {task} failed")]
    Node {
        /// The task.
        task: TaskId,
        /// What was wrong.
        #[source]
        source: Failure,
    },
    /// The stores failed.
    #[error("the stores of task {task} failed")]
    Stores {
        /// The task.
        task: TaskId,
        /// What was wrong.
        #[source]
        source: state::Error,
    },
    /// A store call made by a node failed.
    #[error("a store of task {task} failed at {place}")]
    Store {
        /// The task.
        task: TaskId,
        /// Topic, partition and offset.
        place: String,
        /// What was wrong.
        #[source]
        source: BoxError,
    },
    /// The log refused a result.
    #[error("task {task} could not produce")]
    Log {
        /// The task.
        task: TaskId,
        /// What was wrong.
        #[source]
        source: log::Error,
    },
    /// A fault of the engine.
    #[error("task {task} is in the wrong state")]
    State {
        /// The task.
        task: TaskId,
        /// The transition.
        #[source]
        source: IllegalTransition,
    },
}

/// The result of a task's work.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StorageTrouble {
    /// Its bytes cannot be trusted.
    Damaged,
    /// There is no space.
    DiskFull,
    /// Anything else.
    Other,
}

/// What kind of trouble with a store lies behind an error; none where it has nothing to do with a store.
pub(crate) fn storage_trouble(error: &(dyn std::error::Error + 'static)) -> Option<StorageTrouble> {
    let mut current = Some(error);
    let mut found = None;
    while let Some(error) = current {
        // The innermost error knows best.
        if let Some(error) = error.downcast_ref::<kv::Error>() {
            found = Some(match error {
                kv::Error::Corrupt { .. } => StorageTrouble::Damaged,
                kv::Error::DiskFull { .. } => StorageTrouble::DiskFull,
                kv::Error::Failed { .. } => StorageTrouble::Other,
            });
        } else if let Some(error) = error.downcast_ref::<state::Error>() {
            found = Some(match error {
                state::Error::Corrupt { .. } => StorageTrouble::Damaged,
                state::Error::DiskFull { .. } => StorageTrouble::DiskFull,
                _ => StorageTrouble::Other,
            });
        }
        current = error.source();
    }
    found
}
