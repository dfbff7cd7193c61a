//! The state of one task and the directory that it lives in.
//!
//! A task keeps the rows of all its stores in one [`Kv`]. What a transaction writes stays in an *overlay* until the
//! transaction has committed; committed rows wait in memory as *dirty* rows (the write-back cache) and reach the disk in
//! one batch together with the changelog offsets up to which the disk is then complete. So the disk may lag behind the
//! changelog and never leads it, and a kill costs the replay of the changelog's tail, never a wipe.
//!
//! # Limits
//! [`Options::cache_bytes`] is for everything in memory: the overlay, the dirty rows, and clean rows that are kept because
//! they are hot. Clean rows are evicted as soon as the sum is above it. Overlay and dirty rows cannot be, so whoever
//! drives the task keeps them small:
//! - commit when [`TaskState::overlay_full`]: the overlay is above a quarter of `cache_bytes`;
//! - flush when [`TaskState::write_back_due`]: the dirty rows are above `write_back_bytes`, or above half of `cache_bytes`;
//! - stop reading, with no transaction open, when [`TaskState::write_back_full`]: a flush was due for long (the disk is
//!   full) and the dirty rows are above three quarters of `cache_bytes`.
//!
//! Then a quarter is always left for one more transaction. A single record that writes more than that is still
//! taken: the limits are for many records, correctness comes before them. A restore holds up to half of `cache_bytes`
//! (16 MiB at most) in records on their way to disk, while the cache is empty.

mod cache;
pub mod directory;
mod error;
pub mod export;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod keys;
pub mod layout;
mod overlay;
mod restore;
mod scan;
mod store;
mod stored;
mod task_state;
#[cfg(test)]
mod tests;

pub use directory::StateDirectory;
pub use error::{Error, Result};
pub use layout::{LayoutFault, StoreLayout, StoreSpec};
pub use task_state::{Drain, TaskState};

#[cfg(doc)]
use crate::streams::kv::Kv;

/// How much a task may keep in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// All rows of the task in memory: uncommitted, committed and not yet on disk, and clean ones that are hot.
    pub cache_bytes: usize,
    /// A flush is due when the committed rows that are not on disk take more than this.
    pub write_back_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache_bytes: 32 << 20, write_back_bytes: 4 << 20 }
    }
}
