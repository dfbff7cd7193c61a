//! What the poller is at, for whoever asks from another thread.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::streams::clock::Timestamp;

/// What the poller is at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether it is the active one; the others stand by.
    pub is_active: bool,
    /// When the last poll began, also that of a predecessor.
    pub last_poll: Option<Timestamp>,
    /// When the next one is due; none where another poller is active.
    pub next_poll: Option<Timestamp>,
    /// Units of this day, with those that a killed poller may have spent.
    pub units_today: u64,
    /// Videos that are known and not removed.
    pub videos: usize,
    /// What is wrong; none where nothing is.
    pub problem: Option<String>,
}

/// A handle to the status of a poller. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct StatusHandle(Arc<Mutex<Status>>);

impl StatusHandle {
    /// The status now.
    pub fn get(&self) -> Status {
        self.0.lock().clone()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.0.lock());
    }
}
