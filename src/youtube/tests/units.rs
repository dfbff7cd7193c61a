//! The days of the quota and the units of a day.

use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3_600_000;

/// A moment, in UTC.
fn at(text: &str) -> Timestamp {
    Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

fn day(text: &str) -> PacificDay {
    text.parse().unwrap()
}

#[test]
fn a_day_begins_at_midnight_on_the_pacific_coast() {
    assert_eq!(PacificDay::of(at("2026-11-26T07:59:59.999Z")), day("2026-11-25"));
    assert_eq!(PacificDay::of(at("2026-11-26T08:00:00Z")), day("2026-11-26"));
    // In summer an hour earlier.
    assert_eq!(PacificDay::of(at("2026-07-01T06:59:59.999Z")), day("2026-06-30"));
    assert_eq!(PacificDay::of(at("2026-07-01T07:00:00Z")), day("2026-07-01"));
    assert_eq!(day("2026-07-01").start(), at("2026-07-01T07:00:00Z"));
    assert_eq!(day("2026-07-01").to_string(), "2026-07-01");
    assert_eq!(day("2026-07-01").left(at("2026-07-02T06:00:00Z")), Duration::from_secs(3_600));
    assert_eq!(day("2026-07-01").left(at("2026-07-03T06:00:00Z")), Duration::ZERO);
    assert!("soon".parse::<PacificDay>().is_err());
}

#[test]
fn days_have_23_24_or_25_hours() {
    let hours = |text: &str| (day(text).end().0 - day(text).start().0) / HOUR;
    for (text, expected) in [
        ("2026-03-07", 24),
        ("2026-03-08", 23),
        ("2026-03-09", 24),
        ("2026-10-31", 24),
        ("2026-11-01", 25),
        ("2026-11-02", 24),
        ("2027-03-14", 23),
        ("2027-11-07", 25),
    ] {
        assert_eq!(hours(text), expected, "{text}");
    }
}

#[test]
fn units_are_reserved_written_down_and_then_spent() {
    let now = at("2026-11-26T20:00:00Z");
    let mut budget = Budget::new(25, now);
    assert!(!budget.spend(now), "nothing is reserved");
    assert_eq!(budget.reserve(10, now), Some(Ledger { day: day("2026-11-26"), units: 10 }));
    assert!((0..10).all(|_| budget.spend(now)));
    assert!(!budget.spend(now));
    assert_eq!((budget.spent(now), budget.left(now), budget.ready(now)), (10, 15, 0));
    budget.reserve(10, now).unwrap();
    assert!(budget.spend(now));
    // A process that is killed here has spent 11; the next one thinks that it was 20.
    let mut next = Budget::restored(25, budget.ledger(), now);
    assert_eq!((next.spent(now), next.left(now)), (20, 5));
    assert_eq!(next.reserve(10, now).unwrap().units, 25, "no more than the day has");
    assert_eq!(next.reserve(10, now), None);
    assert!((0..5).all(|_| next.spend(now)));
    assert!(!next.spend(now));
}

#[test]
fn midnight_brings_new_units_and_takes_those_that_were_reserved() {
    let (before, after) = (at("2026-11-26T07:59:59Z"), at("2026-11-26T08:00:00Z"));
    let mut budget = Budget::new(10, before);
    budget.reserve(10, before).unwrap();
    assert!(budget.spend(before));
    assert!(!budget.spend(after), "what was reserved was yesterday's");
    assert_eq!((budget.day(after), budget.left(after)), (day("2026-11-26"), 10));
    assert_eq!(budget.reserve(3, after), Some(Ledger { day: day("2026-11-26"), units: 3 }));
    let mut restored = Budget::restored(10, Ledger { day: day("2026-11-25"), units: 10 }, after);
    assert_eq!(restored.left(after), 10);
}

#[test]
fn youtube_knows_better_what_is_spent() {
    let now = at("2026-11-26T20:00:00Z");
    let mut budget = Budget::new(10_000, now);
    budget.reserve(10, now).unwrap();
    assert_eq!(budget.exhaust(now), Ledger { day: day("2026-11-26"), units: 10_000 });
    assert_eq!((budget.left(now), budget.reserve(1, now), budget.spend(now)), (0, None, false));
    // Of a limit that was raised meanwhile the rest can be used.
    assert_eq!(Budget::restored(12_000, budget.ledger(), now).left(now), 2_000);
    assert_eq!(Budget::restored(5_000, budget.ledger(), now).left(now), 0);
    assert_eq!(budget.left(day("2026-11-26").end()), 10_000);
}

#[test]
fn a_clock_that_is_set_back() {
    let (late, early) = (at("2026-11-26T08:00:01Z"), at("2026-11-26T07:59:59Z"));
    let mut budget = Budget::new(10, late);
    budget.reserve(6, late).unwrap();
    assert_eq!(budget.ready(early), 6, "the day has begun and does not begin again");
    assert_eq!(budget.day(early), day("2026-11-26"));
    // By days: the day that it was never came.
    let long_ago = at("2026-01-10T20:00:00Z");
    assert_eq!((budget.day(long_ago), budget.ready(long_ago)), (day("2026-01-10"), 6));
}

proptest! {
    /// Each moment is in one day, whose end is the start of the next.
    #[test]
    fn days_follow_each_other(millis in -60_000_000_000_000_i64..200_000_000_000_000) {
        let day = PacificDay::of(Timestamp(millis));
        prop_assert!(day.start().0 <= millis && millis < day.end().0);
        prop_assert_eq!(PacificDay::of(Timestamp(day.end().0 - 1)), day);
        prop_assert_eq!(PacificDay::of(day.end()).start(), day.end());
        prop_assert!([23, 24, 25].contains(&((day.end().0 - day.start().0) / HOUR)));
        prop_assert_eq!(day.to_string().parse::<PacificDay>().unwrap(), day);
    }

    /// No moment is too early or too late for an answer.
    #[test]
    fn no_moment_is_out_of_range(millis: i64) {
        let day = PacificDay::of(Timestamp(millis));
        prop_assert!(day.start() <= day.end());
    }
}
