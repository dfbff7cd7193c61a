//! Time, as a harness of real processes has it: these wait for what other processes do, and nothing else tells of that.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment after which nothing is waited for any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    pub(crate) fn passed(self) -> bool {
        Instant::now() >= self.0
    }
}

/// Rests between two looks at something.
pub(crate) fn nap(time: Duration) {
    std::thread::sleep(time);
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Asks again and again until there is an answer; an error when it takes too long.
pub(crate) fn wait_for<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Option<T>) -> Result<T, String> {
    let deadline = Deadline::after(within);
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if deadline.passed() {
            return Err(format!("not within {within:?}: {what}"));
        }
        nap(Duration::from_millis(10));
    }
}
