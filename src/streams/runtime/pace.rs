//! When the next transaction may begin: not before the markers of the last one are written, as far as that can be told.
//!
//! A broker refuses the first partition of a transaction while it still writes the markers of the one before, and librdkafka then asks again after
//! 20 ms, whatever it is told. A few milliseconds of patience before a transaction are cheaper. How many it takes depends on the cluster, so the
//! pause grows when a small transaction met that delay, and shrinks slowly while none does.

use std::time::Duration;

/// A flush of a small transaction that takes this long has waited for librdkafka's 20 ms.
const DELAYED: Duration = Duration::from_millis(18);

/// With more records than this a flush may take as long by itself.
const SMALL_RECORDS: u64 = 500;

const GROWTH: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(10);

/// While nothing is delayed, a pause loses this part of itself with each commit.
const DECAY: u32 = 128;

/// The pause between a commit and the next transaction.
#[derive(Debug, Default)]
pub(super) struct Pace {
    pause: Duration,
}

impl Pace {
    /// A transaction of so many records was flushed in this time.
    pub(super) fn flushed(&mut self, records: u64, took: Duration) {
        if records <= SMALL_RECORDS && took >= DELAYED {
            self.pause = (self.pause + GROWTH).min(PAUSE_MAX);
        } else {
            self.pause = self.pause.saturating_sub(self.pause / DECAY);
        }
    }

    /// How long to wait when the last commit was `since` ago.
    pub(super) fn rest(&self, since: Duration) -> Duration {
        self.pause.saturating_sub(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn only_small_transactions_that_were_delayed_make_it_patient() {
        let mut pace = Pace::default();
        pace.flushed(10, 3 * MS);
        pace.flushed(100_000, 80 * MS);
        assert_eq!(pace.rest(Duration::ZERO), Duration::ZERO);
        pace.flushed(10, 21 * MS);
        pace.flushed(10, 21 * MS);
        assert_eq!(pace.rest(Duration::ZERO), 2 * MS);
        assert_eq!(pace.rest(MS), MS);
        assert_eq!(pace.rest(3 * MS), Duration::ZERO);
    }

    #[test]
    fn the_pause_is_bounded_and_goes_away_again() {
        let mut pace = Pace::default();
        (0..100).for_each(|_| pace.flushed(1, 25 * MS));
        assert_eq!(pace.rest(Duration::ZERO), PAUSE_MAX);
        (0..600).for_each(|_| pace.flushed(1, 3 * MS));
        assert!(pace.rest(Duration::ZERO) < MS / 2, "{pace:?}");
    }
}
