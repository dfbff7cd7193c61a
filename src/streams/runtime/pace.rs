//! When the next transaction may begin: not before the markers of the last one are written, as far as that can be told.
//!
//! A broker refuses the first partition of a transaction while it still writes the markers of the one before, and librdkafka then asks again after
//! 20 ms, whatever it is told. A few milliseconds of patience before a transaction are cheaper. How many it takes depends on the cluster, so the
//! pause grows while many small transactions meet that delay, and shrinks while few do.

use std::time::Duration;

/// A flush of a small transaction that takes this long has waited for librdkafka's 20 ms.
const DELAYED: Duration = Duration::from_millis(18);

/// With more records than this a flush may take as long by itself.
const SMALL_RECORDS: u64 = 500;

/// More than one transaction of so many delayed: only then is a pause cheaper than the delays, for each transaction pays it.
const RARE: f32 = 0.2;

/// What one transaction counts for in the share of delayed ones.
const WEIGHT: f32 = 1.0 / 32.0;

const GROWTH: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(10);

/// While delays are rare, a pause loses this part of itself with each commit.
const DECAY: u32 = 32;

/// The pause between a commit and the next transaction.
#[derive(Debug, Default)]
pub(super) struct Pace {
    pause: Duration,
    /// The share of transactions that were delayed, of late.
    delayed: f32,
}

impl Pace {
    /// A transaction of so many records was flushed in this time.
    pub(super) fn flushed(&mut self, records: u64, took: Duration) {
        let delayed = records <= SMALL_RECORDS && took >= DELAYED;
        self.delayed += (f32::from(u8::from(delayed)) - self.delayed) * WEIGHT;
        if self.delayed <= RARE {
            self.pause = self.pause.saturating_sub(self.pause / DECAY);
        } else if delayed {
            self.pause = (self.pause + GROWTH).min(PAUSE_MAX);
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
    fn only_small_transactions_that_are_often_delayed_make_it_patient() {
        let mut pace = Pace::default();
        for number in 0..1000 {
            pace.flushed(10, if number % 8 == 0 { 21 * MS } else { 3 * MS });
            pace.flushed(100_000, 80 * MS);
        }
        assert_eq!(pace.rest(Duration::ZERO), Duration::ZERO);
        (0..12).for_each(|_| pace.flushed(10, 21 * MS));
        let rest = pace.rest(Duration::ZERO);
        assert!(rest >= MS, "{pace:?}");
        assert_eq!(pace.rest(MS), rest.saturating_sub(MS));
        assert_eq!(pace.rest(Duration::from_secs(1)), Duration::ZERO);
    }

    #[test]
    fn the_pause_is_bounded_and_goes_away_again() {
        let mut pace = Pace::default();
        (0..100).for_each(|_| pace.flushed(1, 25 * MS));
        assert_eq!(pace.rest(Duration::ZERO), PAUSE_MAX);
        (0..300).for_each(|_| pace.flushed(1, 3 * MS));
        assert!(pace.rest(Duration::ZERO) < MS / 2, "{pace:?}");
    }
}
