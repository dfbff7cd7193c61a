//! Simulated time: one for the whole world, and each instance's own idea of what o'clock it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tidewatch::streams::clock::{Clock, Timestamp};

/// When a simulation begins, by the brokers' clock.
pub(crate) const START: i64 = 1_760_000_000_000;

/// Milliseconds since the simulation began.
#[derive(Debug, Default)]
pub(crate) struct Time(AtomicU64);

impl Time {
    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn pass(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }

    /// The brokers' clock.
    pub(crate) fn wall(&self) -> Timestamp {
        Timestamp(START + i64::try_from(self.now()).unwrap())
    }
}

/// The clock of an instance: its wall clock may be wrong and may jump, its monotonic side does neither.
#[derive(Debug)]
pub(crate) struct InstanceClock {
    pub(crate) time: Arc<Time>,
    pub(crate) skew_ms: AtomicI64,
}

impl Clock for InstanceClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.time.wall().0 + self.skew_ms.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.time.now())
    }

    fn rest(&self, time: Duration) {
        self.time.pass(u64::try_from(time.as_millis()).unwrap());
    }
}
