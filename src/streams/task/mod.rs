//! Tasks: one per input partition of a sub-topology. A task has its own nodes, stores and results, and no thread.

mod collector;
mod dead_letter;
mod error;
mod punctuation;
mod state;
mod stream_task;

pub use collector::{Output, RecordCollector};
pub use dead_letter::{ERROR_HEADERS, REPLAY_HEADER, is_own_header, put_error_header};
pub use error::{Error, Result};
pub(crate) use error::{StorageTrouble, storage_trouble};
pub use state::{IllegalTransition, State};
pub(crate) use stream_task::{Blueprints, Processed, chain, panic_message};
pub use stream_task::{Counters, StreamTask, TaskId};
