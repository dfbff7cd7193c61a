//! A clock for simulated weeks: it stands still until it is moved, but whoever looks how much time is left finds that some has passed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tidewatch::streams::clock::{Clock, Timestamp};

/// Each look costs so much.
const LOOK_MS: i64 = 100;

#[derive(Clone, Debug)]
pub(super) struct Passing {
    start_ms: i64,
    now_ms: Arc<AtomicI64>,
}

impl Passing {
    pub(super) fn at(start_ms: i64) -> Self {
        Self { start_ms, now_ms: Arc::new(AtomicI64::new(start_ms)) }
    }

    pub(super) fn pass(&self, by: Duration) {
        self.now_ms.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for Passing {
    fn now(&self) -> Timestamp {
        Timestamp(self.now_ms.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        let now = self.now_ms.fetch_add(LOOK_MS, Ordering::SeqCst) + LOOK_MS;
        Duration::from_millis(u64::try_from(now - self.start_ms).unwrap())
    }
}
