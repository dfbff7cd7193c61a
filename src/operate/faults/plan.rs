//! What is to happen to this process, as the environment says it.

use std::str::FromStr;
use std::time::Duration;

use crate::config;

/// The variable that says what is to happen: steps such as `kill=K4@17`, with commas between them.
const PLAN: &str = "TIDEWATCH_FAULTS";

/// The variable that names the file in which each step is written down before it happens, and a stall's end after it; without it that is said on standard error.
const DIARY: &str = "TIDEWATCH_FAULTS_LOG";

/// A moment in the life of a record, named as the kill points of the tests are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Point {
    /// A poll brought records.
    Polled,
    /// A record was sent, in the middle of a batch.
    Sent,
    /// Everything is sent, nothing is flushed.
    Produced,
    /// Everything is in the log.
    Flushed,
    /// The offsets are in the transaction.
    OffsetsSent,
    /// The same, of a transaction with a dead letter.
    LetterAndOffsetsSent,
    /// The commit is about to go out; with a delay it is under way.
    Committing,
    /// The commit was answered, no store knows of it.
    Committed,
    /// Committed rows were written to a store.
    Written,
    /// A store is about to make its rows durable; with a delay it is doing so.
    Syncing,
    /// A restore has read records.
    Restoring,
    /// The group wants partitions back, nothing is committed for them yet.
    Revoked,
    /// The group gave partitions, nothing is restored yet.
    Assigned,
    /// Any call to the log or to a store.
    Any,
}

impl Point {
    const ALL: [(&str, Self); 14] = [
        ("K1", Self::Polled),
        ("K2", Self::Sent),
        ("K3", Self::Produced),
        ("K4", Self::Flushed),
        ("K5", Self::OffsetsSent),
        ("K6", Self::Committing),
        ("K7", Self::Committed),
        ("K8", Self::Written),
        ("K9", Self::Syncing),
        ("K10", Self::Restoring),
        ("K11", Self::Revoked),
        ("K12", Self::Assigned),
        ("LETTER", Self::LetterAndOffsetsSent),
        ("ANY", Self::Any),
    ];

    pub(super) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, point)| *point == self).map_or("?", |(name, _)| name)
    }
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        found.map(|(_, point)| *point).ok_or_else(|| format!("there is no point {text:?}: K1 to K12, LETTER, ANY"))
    }
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// The process ends as by `kill -9`; with a delay the call goes on meanwhile.
    Kill(Duration),
    /// The process stands still as by `kill -STOP`, until somebody continues it.
    Stop,
    /// The thread stands still for so long.
    Stall(Duration),
}

/// One step of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) deed: Deed,
    pub(super) point: Point,
    /// At which time that the point is reached, counted from 1.
    pub(super) count: u64,
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no step of a plan, as kill=K4@17, kill=K6@3:500us, stall=K2@5:12s or stop=K3@1 are");
        let (deed, place) = text.split_once('=').ok_or_else(wrong)?;
        let (place, time) = place.split_once(':').map_or((place, None), |(place, time)| (place, Some(time)));
        let (point, count) = place.split_once('@').ok_or_else(wrong)?;
        let time = time.map(|time| duration(time).ok_or_else(wrong)).transpose()?;
        let deed = match (deed, time) {
            ("kill", time) => Deed::Kill(time.unwrap_or_default()),
            ("stop", None) => Deed::Stop,
            ("stall", Some(time)) => Deed::Stall(time),
            _ => return Err(wrong()),
        };
        let count = count.parse().ok().filter(|&count| count > 0).ok_or_else(wrong)?;
        Ok(Self { deed, point: point.parse()?, count })
    }
}

/// A number with `us`, `ms` or `s`.
fn duration(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(end)?;
    let number: u64 = number.parse().ok()?;
    Some(match unit {
        "us" => Duration::from_micros(number),
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        _ => return None,
    })
}

/// All that is to happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// Keys whose processing panics.
    pub(super) panics: Vec<Vec<u8>>,
    /// The path of the diary.
    pub(super) diary: Option<String>,
}

impl Plan {
    /// What the environment of the process says; none where it says nothing.
    pub(super) fn of_environment() -> Result<Option<Self>, String> {
        let Some(text) = config::env_var(PLAN) else { return Ok(None) };
        let plan = text.parse::<Self>().map_err(|fault| format!("{PLAN}: {fault}"))?;
        Ok(Some(Self { diary: config::env_var(DIARY), ..plan }))
    }
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut plan = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            match part.strip_prefix("panic=") {
                Some(key) => plan.panics.push(key.as_bytes().to_vec()),
                None => plan.steps.push(part.parse()?),
            }
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_as_it_is_written() {
        let plan: Plan = "kill=K4@17,kill=K6@3:500us,stall=K2@5:12s,stop=K3@1,panic=a key".parse().unwrap();
        let step = |deed, point, count| Step { deed, point, count };
        let expected = [
            step(Deed::Kill(Duration::ZERO), Point::Flushed, 17),
            step(Deed::Kill(Duration::from_micros(500)), Point::Committing, 3),
            step(Deed::Stall(Duration::from_secs(12)), Point::Sent, 5),
            step(Deed::Stop, Point::Produced, 1),
        ];
        assert_eq!(plan.steps, expected);
        assert_eq!(plan.panics, [b"a key".to_vec()]);
    }

    #[test]
    fn what_is_no_plan_is_refused() {
        for text in ["kill", "kill=K4", "kill=K13@1", "kill=K4@0", "kill=K4@x", "stall=K2@1", "stall=K2@1:5", "stop=K2@1:5s", "spill=K1@1"]
        {
            assert!(text.parse::<Plan>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_point_has_its_name() {
        for (name, point) in Point::ALL {
            assert_eq!((name.parse::<Point>().unwrap(), point.name()), (point, name));
        }
    }
}
