//! Days of polling, simulated: the limit holds whatever happens, and the day is used up to its end.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// Units that are reserved at once.
const BLOCK: u64 = 10;

/// A poller that spends units as it is told.
struct Poller {
    budget: Budget,
    per_day: u64,
    /// What is written down.
    ledger: Option<Ledger>,
    /// What YouTube counts.
    counted: BTreeMap<PacificDay, u64>,
}

impl Poller {
    fn new(per_day: u64, now: Timestamp) -> Self {
        Self { budget: Budget::new(per_day, now), per_day, ledger: None, counted: BTreeMap::new() }
    }

    /// A request; false where there is no unit for it.
    fn ask(&mut self, now: Timestamp) -> bool {
        if self.budget.ready(now) == 0 {
            let Some(ledger) = self.budget.reserve(BLOCK, now) else { return false };
            self.ledger = Some(ledger);
        }
        let may = self.budget.spend(now);
        *self.counted.entry(PacificDay::of(now)).or_default() += u64::from(may);
        may
    }

    /// It is killed, and another one goes on with what is written down.
    fn restart(&mut self, now: Timestamp) {
        self.budget = match self.ledger {
            Some(ledger) => Budget::restored(self.per_day, ledger, now),
            None => Budget::new(self.per_day, now),
        };
    }
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    Timestamp(at.0 + i64::try_from(by.as_millis()).unwrap())
}

/// The starts of polls of `cost` units each, from the first moment of one day to that of another.
fn starts(poller: &mut Poller, every: Duration, cost: u64, from: &str, to: &str) -> Vec<Timestamp> {
    let [from, to] = [from, to].map(|day| day.parse::<PacificDay>().unwrap().start());
    let (mut now, mut starts) = (from, Vec::new());
    while now < to {
        let until_reset = poller.budget.day(now).left(now);
        if poller.budget.left(now) >= cost {
            starts.push(now);
            assert!((0..cost).all(|_| poller.ask(now)));
        }
        let wait = interval(every, cost, poller.budget.left(now), until_reset);
        assert!(wait >= every);
        now = later(now, wait);
    }
    starts
}

fn gaps(starts: &[Timestamp]) -> (i64, i64) {
    let gaps = starts.windows(2).map(|pair| pair[1].0 - pair[0].0);
    (gaps.clone().min().unwrap() / 1_000, gaps.max().unwrap() / 1_000)
}

#[test]
fn a_quota_that_is_enough_changes_nothing() {
    let mut poller = Poller::new(10_000, Timestamp(0));
    // 500 videos: 10 pages and 10 batches.
    let starts = starts(&mut poller, 10 * MINUTE, 20, "2026-11-20", "2026-11-27");
    assert_eq!((starts.len(), gaps(&starts)), (7 * 144, (600, 600)));
    assert!(poller.counted.values().all(|units| *units == 2_880));
}

#[test]
fn a_quota_that_is_not_is_spread_over_the_day() {
    let mut poller = Poller::new(10_000, Timestamp(0));
    // 5,000 videos: 100 pages and 100 batches; 50 polls a day instead of 144.
    let starts = starts(&mut poller, 10 * MINUTE, 200, "2026-11-20", "2026-11-27");
    assert_eq!(starts.len(), 7 * 50);
    assert_eq!(poller.counted.values().copied().collect::<Vec<_>>(), [10_000; 7]);
    let (shortest, longest) = gaps(&starts);
    assert!((1_727..=1_729).contains(&shortest) && (1_727..=1_729).contains(&longest), "{shortest} {longest}");
}

#[test]
fn days_of_23_and_25_hours_are_used_to_their_end() {
    for (from, to, hours) in [("2026-03-08", "2026-03-09", 23), ("2026-11-01", "2026-11-02", 25)] {
        let mut poller = Poller::new(1_000, Timestamp(0));
        let starts = starts(&mut poller, MINUTE, 10, from, to);
        assert_eq!((starts.len(), poller.counted.len()), (100, 1), "{from}");
        let expected = hours * 36;
        let (shortest, longest) = gaps(&starts);
        assert!(shortest >= expected - 1 && longest <= expected + 1, "{from}: {shortest} to {longest}, not {expected}");
    }
}

#[test]
fn intervals_at_the_edges() {
    let hours = |count: u64| Duration::from_secs(count * 3_600);
    assert_eq!(interval(10 * MINUTE, 20, 10_000, hours(24)), 10 * MINUTE);
    assert_eq!(interval(10 * MINUTE, 100, 900, hours(10)), hours(1), "nine, and the first of the next day");
    assert_eq!(interval(10 * MINUTE, 100, 100, hours(10)), hours(5));
    assert_eq!(interval(10 * MINUTE, 100, 99, hours(10)), hours(10), "nothing is left for another");
    assert_eq!(interval(10 * MINUTE, 100, 0, MINUTE), 10 * MINUTE);
    assert_eq!(interval(10 * MINUTE, 0, 0, hours(10)), 10 * MINUTE, "nothing is asked, so nothing is spent");
    assert_eq!(interval(MINUTE, 1, 6, Duration::from_secs(3_600)), Duration::from_millis(514_286), "rounded up");
    assert_eq!(interval(MINUTE, 1, 0, Duration::MAX), Duration::from_millis(u64::MAX));
}

proptest! {
    /// Whatever polls cost, however often it is killed and wherever in the year it is: no day has more than its units.
    #[test]
    fn no_day_has_more_than_its_units(
        per_day in 1_u64..400,
        every in 1_u32..120,
        from in prop_oneof![Just("2026-03-07"), Just("2026-10-31"), Just("2026-06-15")],
        offset_minutes in 0_i64..1_440,
        polls in prop::collection::vec((0_u64..30, 0_u64..90, prop::bool::weighted(0.1)), 1..200),
    ) {
        let every = every * MINUTE;
        let mut now = Timestamp(from.parse::<PacificDay>().unwrap().start().0 + offset_minutes * 60_000);
        let mut poller = Poller::new(per_day, now);
        // A poll costs what it costs, and its requests take their time: what is known is what the last one cost.
        let mut guess = 1;
        for (cost, seconds, is_killed) in polls {
            let start = now;
            let until_reset = poller.budget.day(start).left(start);
            let mut spent = 0;
            if poller.budget.left(now) >= guess {
                for _ in 0..cost {
                    now = later(now, Duration::from_secs(seconds));
                    if !poller.ask(now) && !poller.ask(now) {
                        break;
                    }
                    spent += 1;
                }
                guess = spent.max(1);
            }
            if is_killed {
                let before = poller.budget.clone().spent(now);
                poller.restart(now);
                let after = poller.budget.spent(now);
                prop_assert!(before <= after && after < before + BLOCK, "{before} {after}");
            }
            let wait = interval(every, guess, poller.budget.left(now), until_reset);
            prop_assert!(wait >= every);
            now = Timestamp(later(start, wait).0.max(now.0));
        }
        for (day, units) in &poller.counted {
            prop_assert!(*units <= per_day, "{day}: {units} of {per_day}");
        }
    }
}
