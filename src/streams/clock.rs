//! Time comes from outside: the engine asks a [`Clock`], tests and the simulation move one by hand.

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch, as Kafka records carry them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// RFC 3339 in UTC; a time outside the calendar as its number.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => fmt::Display::fmt(&at, f),
            Err(_) => fmt::Display::fmt(&self.0, f),
        }
    }
}

/// The engine's only source of time.
pub trait Clock: Debug + Send + Sync {
    /// The wall clock, for record timestamps and wall-clock punctuation.
    fn now(&self) -> Timestamp;
    /// Time since an arbitrary fixed point; never goes back. For intervals and deadlines.
    fn monotonic(&self) -> Duration;
    /// Lets this much time pass, or a little less.
    fn rest(&self, time: Duration) {
        std::thread::park_timeout(time);
    }
}

/// The machine's own clock.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Starts a monotonic clock at zero.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that stands still until it is told to move.
#[derive(Debug, Default, Clone)]
pub struct ManualClock {
    now_ms: Arc<AtomicI64>,
}

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn at(start: Timestamp) -> Self {
        Self { now_ms: Arc::new(AtomicI64::new(start.0)) }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.now_ms.fetch_add(by_ms, Ordering::SeqCst);
    }

    /// Sets the clock, also back, as somebody may who corrects it; its monotonic side goes along.
    #[cfg(test)]
    pub(crate) fn set(&self, to: Timestamp) {
        self.now_ms.store(to.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now_ms.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.now_ms.load(Ordering::SeqCst)).unwrap_or(0))
    }

    fn rest(&self, time: Duration) {
        self.advance(time);
    }
}

/// A clock whose days are short: its time of day runs `speed` times as fast as that of another clock.
///
/// Its monotonic side is the other's own, unscaled: intervals and deadlines of requests and files stay what they are.
#[derive(Debug)]
pub struct ScaledClock {
    start: Timestamp,
    speed: u32,
    inner: Arc<dyn Clock>,
    began: Duration,
}

impl ScaledClock {
    /// A clock that shows `start` now.
    pub fn new(start: Timestamp, speed: u32, inner: Arc<dyn Clock>) -> Self {
        let began = inner.monotonic();
        Self { start, speed, inner, began }
    }
}

impl Clock for ScaledClock {
    fn now(&self) -> Timestamp {
        let passed = self.inner.monotonic().saturating_sub(self.began).saturating_mul(self.speed);
        Timestamp(self.start.0.saturating_add(i64::try_from(passed.as_millis()).unwrap_or(i64::MAX)))
    }

    fn monotonic(&self) -> Duration {
        self.inner.monotonic()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scaled_clock_runs_fast_from_where_it_starts() {
        let inner = ManualClock::at(Timestamp(5_000));
        let clock = ScaledClock::new(Timestamp(1_000_000), 300, Arc::new(inner.clone()));
        assert_eq!(clock.now(), Timestamp(1_000_000));
        inner.advance(Duration::from_secs(2));
        assert_eq!((clock.now(), clock.monotonic()), (Timestamp(1_600_000), Duration::from_secs(7)));
        inner.advance(Duration::from_millis(1));
        assert_eq!(clock.now(), Timestamp(1_600_300));
    }
}
