//! When the next poll is due: a function of what is remembered, so that a restart changes nothing.

use std::time::Duration;

use crate::streams::clock::Timestamp;
use crate::youtube::{Budget, PacificDay, interval};

/// When a poll is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) at: Timestamp,
    /// Whether what is left of the day covers a poll now.
    pub(super) is_covered: bool,
}

/// When the next poll is due, if the last one began at `started` and a poll costs `cost` units.
///
/// A day's first poll is begun whatever it is thought to cost: what is watched may have become less, and nothing else would find out.
pub(super) fn due(started: Option<Timestamp>, cost: u64, every: Duration, budget: &mut Budget, now: Timestamp) -> Due {
    let (left, spent, cost) = (budget.left(now), budget.spent(now), cost.max(1));
    if left == 0 || left < cost && spent > 0 {
        return Due { at: budget.day(now).end(), is_covered: false };
    }
    let at = match started {
        // A clock that was set back: what it said before is worth nothing.
        Some(started) if started <= now => {
            let day = PacificDay::of(started);
            // The units of another day say nothing about this one.
            let pause = if day == budget.day(now) { interval(every, cost, left, day.left(started)) } else { every };
            after(started, pause)
        }
        _ => now,
    };
    Due { at, is_covered: true }
}

/// A moment this much later.
pub(super) fn after(at: Timestamp, pause: Duration) -> Timestamp {
    Timestamp(at.0.saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX)))
}

/// How long it is from `now` to `at`; zero where that is past.
pub(super) fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(at.0.saturating_sub(now.0)).unwrap_or(0))
}

/// A pause that doubles from `first` with each time, up to `most`, and up to half as long again by chance, so that many pollers do not ask in step.
pub(super) fn back_off(first: Duration, times: u32, most: Duration, chance: u64) -> Duration {
    let pause = first.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX)).min(most);
    let permille = u32::try_from(chance % 500).unwrap_or_default();
    pause.saturating_add(pause.saturating_mul(permille) / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    fn spent(per_day: u64, units: u64, now: Timestamp) -> Budget {
        let mut budget = Budget::new(per_day, now);
        budget.reserve(units, now).unwrap();
        (0..units).for_each(|_| assert!(budget.spend(now)));
        budget
    }

    #[test]
    fn the_first_poll_is_due_at_once_and_the_next_when_the_last_one_says() {
        let now = at("2026-11-25T20:00:00Z");
        let mut budget = Budget::new(10_000, now);
        assert_eq!(due(None, 0, 10 * MINUTE, &mut budget, now), Due { at: now, is_covered: true });
        let mut budget = spent(10_000, 2, now);
        let later = after(now, 7 * MINUTE);
        assert_eq!(due(Some(now), 2, 10 * MINUTE, &mut budget, later).at, after(now, 10 * MINUTE));
        // Past is past: at once.
        assert!(due(Some(now), 2, 10 * MINUTE, &mut budget, after(now, 20 * MINUTE)).at < after(now, 20 * MINUTE));
    }

    #[test]
    fn what_does_not_cover_a_poll_is_kept_until_the_pacific_midnight() {
        let now = at("2026-11-25T20:00:00Z");
        let mut budget = spent(100, 97, now);
        let due = due(Some(now), 4, MINUTE, &mut budget, now);
        assert_eq!(due, Due { at: at("2026-11-26T08:00:00Z"), is_covered: false });
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_hold_up() {
        let now = at("2026-11-25T20:00:00Z");
        assert_eq!(due(Some(at("2027-11-25T20:00:00Z")), 2, MINUTE, &mut Budget::new(100, now), now).at, now);
    }

    #[test]
    fn pauses_grow_up_to_their_limit() {
        let pause = |times, chance| back_off(Duration::from_secs(1), times, Duration::from_secs(60), chance).as_millis();
        assert_eq!([pause(0, 0), pause(1, 0), pause(2, 0), pause(40, 0)], [1_000, 2_000, 4_000, 60_000]);
        assert_eq!(pause(0, 499), 1_499);
    }
}
