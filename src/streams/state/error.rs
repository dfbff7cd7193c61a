//! What can go wrong with the state of a task.

use crate::streams::kv;
use crate::streams::processor::BoxError;

/// Why the state of a task could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The stored bytes are damaged: wipe the state of this task and restore it from the changelogs.
    #[error("state of task {task} is corrupt")]
    Corrupt {
        /// Which task.
        task: String,
        /// What was found.
        #[source]
        source: BoxError,
    },
    /// No space left. The committed rows stay in memory; the same call works again when there is space.
    #[error("no space left for the state of task {task}")]
    DiskFull {
        /// Which task.
        task: String,
        /// What the storage said.
        #[source]
        source: kv::Error,
    },
    /// The storage failed in another way.
    #[error("state of task {task} failed")]
    Failed {
        /// Which task.
        task: String,
        /// What the storage said.
        #[source]
        source: kv::Error,
    },
    /// The state was written by another version of this program.
    #[error("state of task {task} has format {stored}, this version reads format {known}")]
    Format {
        /// Which task.
        task: String,
        /// What the disk says.
        stored: u8,
        /// What this version reads and writes.
        known: u8,
    },
    /// Two stores of one task have the same name.
    #[error("task {task} declares store {store} twice")]
    DuplicateStore {
        /// Which task.
        task: String,
        /// The name.
        store: String,
    },
    /// More stores than there are numbers for.
    #[error("task {task} has too many stores, at most {limit} are possible")]
    TooManyStores {
        /// Which task.
        task: String,
        /// How many are possible.
        limit: usize,
    },
    /// The task has no store with this number.
    #[error("task {task} has no store number {store}")]
    UnknownStore {
        /// Which task.
        task: String,
        /// The number that was asked for.
        store: usize,
    },
    /// The call needs the transaction to be over: `committed` or `discard` first.
    #[error("task {task} has uncommitted rows")]
    Uncommitted {
        /// Which task.
        task: String,
    },
    /// Rows were declared committed that had not been drained into the changelog since they were written.
    #[error("task {task} has rows that are in no changelog")]
    NotDrained {
        /// Which task.
        task: String,
    },
}

/// The result of a call on the state of a task.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Sorts an error of the storage by its consequence.
    pub(super) fn of(task: &str, error: kv::Error) -> Self {
        let task = task.to_owned();
        match error {
            kv::Error::Corrupt { .. } => Self::Corrupt { task, source: Box::new(error) },
            kv::Error::DiskFull { .. } => Self::DiskFull { task, source: error },
            kv::Error::Failed { .. } => Self::Failed { task, source: error },
        }
    }

    /// Stored bytes that make no sense.
    pub(super) fn corrupt(task: &str, source: impl Into<BoxError>) -> Self {
        Self::Corrupt { task: task.to_owned(), source: source.into() }
    }
}
