//! The units that a key may spend in a day, and how polls are spread so that they last.
//!
//! A day of the quota is one of the Pacific coast (<https://developers.google.com/youtube/v3/getting-started#quota>): 23 or 25 hours long
//! when the clocks change there. Everything here is arithmetic: the time comes from outside, what must outlive the process is a [`Ledger`].

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;
use std::time::Duration;

use jiff::civil::{Date, Time};
use jiff::tz::{Offset, TimeZone};

use crate::streams::clock::Timestamp;

/// The rule of the Pacific coast since 2007, as POSIX writes it. Not looked up in the machine's own files: a container has none, and the same moment is
/// to be the same day everywhere. The time without the summer's hour stands in should the rule not be readable, which a test rules out.
static PACIFIC: LazyLock<TimeZone> =
    LazyLock::new(|| TimeZone::posix("PST8PDT,M3.2.0,M11.1.0").unwrap_or_else(|_| TimeZone::fixed(Offset::constant(-8))));

/// A day of the quota, from midnight to midnight Pacific time. Its text is `2026-11-26`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacificDay(Date);

impl PacificDay {
    /// The day that a moment is in.
    pub fn of(at: Timestamp) -> Self {
        let limit = if at.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        Self(PACIFIC.to_datetime(jiff::Timestamp::from_millisecond(at.0).unwrap_or(limit)).date())
    }

    /// Its first moment.
    pub fn start(self) -> Timestamp {
        let limit = if self.0.year() < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        let midnight = PACIFIC.to_timestamp(self.0.to_datetime(Time::midnight()));
        Timestamp(midnight.unwrap_or(limit).as_millisecond())
    }

    /// The first moment of the next day, when the quota begins anew.
    pub fn end(self) -> Timestamp {
        self.next().start()
    }

    fn next(self) -> Self {
        Self(self.0.tomorrow().unwrap_or(Date::MAX))
    }

    /// How long it is until the quota begins anew, from a moment within the day; never negative.
    pub fn left(self, now: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.end().0.saturating_sub(now.0)).unwrap_or(0))
    }
}

impl fmt::Display for PacificDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for PacificDay {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        text.parse().map(Self)
    }
}

/// What must be written down of a [`Budget`] so that another process can go on with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// The day.
    pub day: PacificDay,
    /// The units of it that are spent, or reserved and perhaps spent.
    pub units: u64,
}

/// The units of a day.
///
/// Units are reserved in blocks before they are spent: [`Budget::reserve`], write down the [`Ledger`], then [`Budget::spend`] before each request. So a
/// process that is killed has never spent more than is written down, and at most a block less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    per_day: u64,
    day: PacificDay,
    reserved: u64,
    spent: u64,
}

impl Budget {
    /// An untouched budget of `per_day` units.
    pub fn new(per_day: u64, now: Timestamp) -> Self {
        Self { per_day, day: PacificDay::of(now), reserved: 0, spent: 0 }
    }

    /// The budget that a process before this one wrote down: what was reserved counts as spent.
    pub fn restored(per_day: u64, ledger: Ledger, now: Timestamp) -> Self {
        let mut budget = Self { per_day, day: ledger.day, reserved: ledger.units, spent: ledger.units };
        budget.turn(now);
        budget
    }

    /// Goes over to the next day where it has come.
    ///
    /// A clock that is set back over midnight does not give the units of a day twice: the day stays. One that was wrong by days does not hold up the poller
    /// until then: the units count for the day that it is now.
    fn turn(&mut self, now: Timestamp) {
        let today = PacificDay::of(now);
        if today > self.day {
            *self = Self { day: today, reserved: 0, spent: 0, ..*self };
        } else if today.next() < self.day {
            self.day = today;
        }
    }

    /// The day that units are taken from now.
    pub fn day(&mut self, now: Timestamp) -> PacificDay {
        self.turn(now);
        self.day
    }

    /// The units that were spent today.
    pub fn spent(&mut self, now: Timestamp) -> u64 {
        self.turn(now);
        self.spent
    }

    /// The units that may still be spent today.
    pub fn left(&mut self, now: Timestamp) -> u64 {
        self.turn(now);
        self.per_day.saturating_sub(self.spent)
    }

    /// The units that may be spent without reserving more.
    pub fn ready(&mut self, now: Timestamp) -> u64 {
        self.turn(now);
        self.reserved - self.spent
    }

    /// Reserves up to `units` more of today's; none where the day has no more. What it returns must be written down before any of them is spent.
    pub fn reserve(&mut self, units: u64, now: Timestamp) -> Option<Ledger> {
        self.turn(now);
        let taken = units.min(self.per_day.saturating_sub(self.reserved));
        if taken == 0 {
            return None;
        }
        self.reserved += taken;
        Some(self.ledger())
    }

    /// Takes one unit for a request that is about to be sent. False where none is reserved: then it must not be sent. That is also so where midnight came
    /// after the reservation.
    #[must_use]
    pub fn spend(&mut self, now: Timestamp) -> bool {
        let may = self.ready(now) > 0;
        self.spent += u64::from(may);
        may
    }

    /// YouTube says that the day's quota is spent: nothing is left of it, whatever was counted. What it returns must be written down.
    pub fn exhaust(&mut self, now: Timestamp) -> Ledger {
        self.turn(now);
        self.reserved = self.reserved.max(self.per_day);
        self.spent = self.reserved;
        self.ledger()
    }

    /// What is to be written down.
    pub fn ledger(&self) -> Ledger {
        Ledger { day: self.day, units: self.reserved }
    }
}

/// The time from the start of a poll to the start of the next: `every`, or longer where the units that are `left` would not last until the day ends in
/// `until_reset`, with `cost` units a poll. Where they do not cover one more poll it is at least the rest of the day.
///
/// `left` is what is left after the poll whose successor is asked for, and `until_reset` is counted from the start of that poll.
pub fn interval(every: Duration, cost: u64, left: u64, until_reset: Duration) -> Duration {
    let polls = left.checked_div(cost).unwrap_or(u64::MAX);
    let rest_millis = until_reset.as_nanos().div_ceil(1_000_000);
    // The polls that are left, and the first of the next day, which is not to be before it: rounded up.
    let spread = rest_millis.div_ceil(u128::from(polls) + 1);
    every.max(Duration::from_millis(u64::try_from(spread).unwrap_or(u64::MAX)))
}
