//! What can go wrong in a log, sorted by what the engine must do about it.

use std::error::Error as StdError;

/// The consequence of an error; the only thing that the engine's failure policy looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The same call may succeed when it is made again.
    Retriable,
    /// The open transaction must be aborted; the producer stays usable.
    Abortable,
    /// An ordinary rebalance overtook the call: the member's generation is no longer the group's.
    Rebalanced,
    /// Somebody else holds the transactional id or the instance id now.
    Fenced,
    /// The call may or may not have taken effect.
    Unknown,
    /// The record itself is refused (too large, for example).
    Record,
    /// The offset is not in the partition's log.
    OutOfRange,
    /// The log does not know who asks, or does not let them: other credentials or rights are needed.
    Denied,
    /// The topic or partition does not exist.
    UnknownTopic,
    /// What was to be created exists.
    Exists,
    /// No space is left: works again when there is.
    DiskFull,
    /// Nothing helps but to stop.
    Fatal,
}

/// An error of a log call.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {message}")]
pub struct Error {
    /// What was being done, with its operands.
    pub operation: String,
    /// The fact.
    pub message: String,
    /// The consequence.
    pub class: Class,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error without a cause of its own.
    pub fn new(class: Class, operation: impl Into<String>, message: impl Into<String>) -> Self {
        Self { operation: operation.into(), message: message.into(), class, source: None }
    }

    /// An error that another one caused.
    pub fn caused(
        class: Class,
        operation: impl Into<String>,
        message: impl Into<String>,
        source: impl StdError + Send + Sync + 'static,
    ) -> Self {
        Self { operation: operation.into(), message: message.into(), class, source: Some(Box::new(source)) }
    }
}

/// The result of a log call.
pub type Result<T, E = Error> = std::result::Result<T, E>;
