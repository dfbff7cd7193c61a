//! Runs a topology on a log: stream threads, rebalance, commit, restore and the failure policy.
//!
//! Read [`stream_thread`](self) first, then `commit` (the whole protocol) and `failure` (everything but success).

mod backend;
mod commit;
mod error;
mod failure;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod layout;
mod narrow;
mod options;
mod pace;
mod parts;
mod rebalance;
mod restore;
mod restore_driver;
mod restore_plan;
mod shared;
mod space;
mod standby;
mod stream_thread;
mod streams;
#[cfg(test)]
mod tests;
mod topics;
mod transaction;
mod watchdog;

pub use backend::{MemoryBackend, RocksBackend, StateBackend};
pub use error::{Error, Result};
pub use layout::without_store;
pub use options::Options;
pub(crate) use parts::Parts;
pub(crate) use shared::Shared;
pub use shared::{RestoreProgress, Status, TaskStatus};
pub use standby::{StandbyProgress, StandbyStatus};
pub(crate) use stream_thread::StreamThread;
pub use streams::{ClientState, Streams};
pub use topics::{changelog_topic, dead_letter_topic};
