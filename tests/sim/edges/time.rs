//! The time of a run: moves when the run says so. The wall clock may be set, the other one goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tidewatch::streams::clock::{Clock, Timestamp};

/// Clocks that all parts of a run share.
#[derive(Clone, Debug)]
pub(crate) struct Time {
    passed_ms: Arc<AtomicU64>,
    wall_ahead_ms: Arc<AtomicI64>,
}

impl Time {
    /// The wall clock shows `start`.
    pub(crate) fn at(start: Timestamp) -> Self {
        Self { passed_ms: Arc::new(AtomicU64::new(1_000_000)), wall_ahead_ms: Arc::new(AtomicI64::new(start.0 - 1_000_000)) }
    }

    /// Milliseconds that have passed.
    pub(crate) fn passed_ms(&self) -> u64 {
        self.passed_ms.load(Ordering::SeqCst)
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, ms: u64) {
        self.passed_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Sets the wall clock by so much.
    pub(crate) fn set_wall(&self, by_ms: i64) {
        self.wall_ahead_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for Time {
    fn now(&self) -> Timestamp {
        Timestamp(i64::try_from(self.passed_ms()).unwrap() + self.wall_ahead_ms.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.passed_ms())
    }

    /// Time is the run's alone: who rests is called again a moment later.
    fn rest(&self, _: Duration) {}
}
