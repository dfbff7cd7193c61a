//! A log and stores that ask somebody before and after each call: where faults come in, and where a process can be made to die.
//!
//! Whoever is asked ([`Interposer`]) sees the calls of one engine in the order in which they are made. An error *before* a call keeps it from
//! taking effect; one *after* it hides its answer. Who wants a crash answers every call from then on with an error before it: nothing takes effect
//! any more, as nothing does that a dead process does.

mod log;
mod stores;

use std::fmt::Debug;
use std::sync::Arc;

pub use log::InterposedLog;
pub use stores::InterposedBackend;

use crate::streams::kv::{self, Batch, Durability};
use crate::streams::log::{Class, Error, Offset, Polled, ProducerRecord, RecordBatch, TopicPartition};
use crate::streams::task::TaskId;

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Client {
    /// A consumer that is a member of a group.
    Member,
    /// A consumer that reads what it is told: a restore, mostly.
    Reader,
    /// A producer, by its transactional id.
    Producer(Arc<str>),
    /// The admin.
    Admin,
    /// The stores of a task.
    Stores(TaskId),
}

/// A call to the log or to a store. Calls that cannot fail are not told of.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Call<'a> {
    /// A consumer joins its group.
    Subscribe(&'a [Arc<str>]),
    /// A consumer leaves its group.
    Unsubscribe,
    /// A consumer begins to read a partition.
    Assign(&'a TopicPartition, Offset),
    /// A consumer stops reading a partition.
    Unassign(&'a TopicPartition),
    /// A consumer goes to an offset.
    Seek(&'a TopicPartition, Offset),
    /// A consumer stops or continues fetching a partition.
    PauseOrResume(&'a TopicPartition),
    /// A consumer polls; afterwards with what the poll brought. An error afterwards loses the records, which no real client does.
    Poll(Option<(&'a Polled, &'a RecordBatch)>),
    /// A consumer asks for stable committed offsets.
    Committed(&'a [TopicPartition]),
    /// `init_transactions`.
    Init,
    /// A transaction begins.
    Begin,
    /// A record is queued.
    Send(&'a ProducerRecord<'a>),
    /// The queue is emptied.
    Flush,
    /// Offsets are added to the transaction.
    SendOffsets,
    /// The transaction is committed.
    Commit,
    /// The transaction is aborted.
    Abort,
    /// The admin is asked something that changes nothing.
    Ask,
    /// The admin changes something.
    Alter,
    /// The log is told to do what a broker does by itself. Whoever answers with an error does it in its place: nobody hears of it.
    Maintain,
    /// The stores of a task are opened.
    Open,
    /// The stores of a task are removed.
    Destroy,
    /// A row is read.
    Get(&'a [u8]),
    /// A batch is written.
    Write(&'a Batch, Durability),
    /// Rows are visited.
    Scan,
    /// What was written is made durable.
    Sync,
}

/// What is told instead of the answer.
#[derive(Debug)]
pub enum Fault {
    /// To a call to the log.
    Log(Error),
    /// To a call to a store.
    Store(kv::Error),
}

impl Fault {
    fn into_log(self) -> Error {
        match self {
            Self::Log(error) => error,
            Self::Store(error) => Error::caused(Class::Fatal, "a call to the log", "interposed", error),
        }
    }

    fn into_store(self) -> kv::Error {
        match self {
            Self::Store(error) => error,
            Self::Log(error) => kv::Error::Failed { store: "interposed".to_owned(), source: error.into() },
        }
    }
}

/// Who is asked.
pub trait Interposer: Debug + Send + Sync {
    /// Before a call takes effect.
    fn before(&self, client: &Client, call: &Call<'_>) -> Result<(), Fault>;
    /// After it took effect, with success.
    fn after(&self, client: &Client, call: &Call<'_>) -> Result<(), Fault>;
    /// Whether polls bring nothing now: a consumer that does not reach its broker hears of no error.
    fn is_silent(&self, client: &Client) -> bool {
        let _ = client;
        false
    }
}

/// What each interposed part has: who it is, and whom it asks.
#[derive(Clone, Debug)]
struct Post {
    interposer: Arc<dyn Interposer>,
    client: Client,
}

impl Post {
    fn log<T>(&self, call: &Call<'_>, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        self.interposer.before(&self.client, call).map_err(Fault::into_log)?;
        let done = work()?;
        self.interposer.after(&self.client, call).map_err(Fault::into_log)?;
        Ok(done)
    }

    fn store<T>(&self, call: &Call<'_>, work: impl FnOnce() -> kv::Result<T>) -> kv::Result<T> {
        self.interposer.before(&self.client, call).map_err(Fault::into_store)?;
        let done = work()?;
        self.interposer.after(&self.client, call).map_err(Fault::into_store)?;
        Ok(done)
    }
}

#[cfg(test)]
mod tests;
