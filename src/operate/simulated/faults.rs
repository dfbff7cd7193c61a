//! What goes wrong with a simulated service: by a script, by chance from a seed, or both.

use std::collections::BTreeMap;
use std::time::Duration;

use super::random::Random;

/// What becomes of a request besides the answer it should have.
///
/// The names say how far the request got: *before* it was taken, so that sending it again repeats nothing, or *after*, so that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Refused with 429. Telegram says how many seconds to wait, in the document and in the header `Retry-After`; YouTube does not.
    TooMany {
        /// The seconds.
        retry_after: u64,
    },
    /// Refused with 500 and a document in the service's own form.
    Internal,
    /// Refused with 502 and the HTML page of a proxy.
    BadGateway,
    /// Not taken, and never answered: the client waits until it has had enough.
    HangBefore,
    /// Taken, and never answered.
    HangAfter,
    /// Not taken; the connection is reset.
    ResetBefore,
    /// Taken; the connection is reset instead of an answer.
    ResetAfter,
    /// Taken, and answered piece by piece over this time.
    SlowBody(Duration),
    /// Taken; the connection ends after half of the answer.
    CutBody,
}

impl Fault {
    /// Whether the request has its effect all the same.
    pub fn takes(self) -> bool {
        matches!(self, Self::HangAfter | Self::ResetAfter | Self::SlowBody(_) | Self::CutBody)
    }
}

/// Which requests meet which fault. The same requests in the same order meet the same faults.
#[derive(Clone, Debug)]
pub struct Faults {
    scripted: BTreeMap<u64, Fault>,
    chances: Vec<(f64, Fault)>,
    random: Random,
    requests: u64,
}

impl Faults {
    /// None at all.
    pub fn none() -> Self {
        Self::by_chance(0, &[])
    }

    /// The requests with these numbers, counted from 1, meet these faults.
    pub fn scripted(script: impl IntoIterator<Item = (u64, Fault)>) -> Self {
        Self { scripted: script.into_iter().collect(), ..Self::none() }
    }

    /// Each request meets one of these faults, or none: with the probability beside it, from 0 to 1. Their sum should not be above 1.
    pub fn by_chance(seed: u64, chances: &[(f64, Fault)]) -> Self {
        Self { scripted: BTreeMap::new(), chances: chances.to_vec(), random: Random::new(seed), requests: 0 }
    }

    /// The next requests meet these faults, one each, before anything else is looked at.
    pub fn push(&mut self, faults: impl IntoIterator<Item = Fault>) {
        let after = self.scripted.range(self.requests + 1..).next_back().map_or(self.requests, |(last, _)| *last);
        self.scripted.extend((after + 1..).zip(faults));
    }

    /// The fault of the next request.
    pub(super) fn next(&mut self) -> Option<Fault> {
        self.requests += 1;
        // Drawn for every request, so that a script does not shift what chance brings.
        let mut drawn = self.random.unit();
        if let Some(fault) = self.scripted.remove(&self.requests) {
            return Some(fault);
        }
        self.chances.iter().find_map(|(probability, fault)| {
            drawn -= probability;
            (drawn < 0.0).then_some(*fault)
        })
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(mut faults: Faults, count: usize) -> Vec<Option<Fault>> {
        (0..count).map(|_| faults.next()).collect()
    }

    #[test]
    fn a_script_counts_from_one() {
        let mut faults = Faults::scripted([(2, Fault::Internal)]);
        assert_eq!(drawn(faults.clone(), 3), [None, Some(Fault::Internal), None]);
        faults.push([Fault::CutBody, Fault::BadGateway]);
        assert_eq!(drawn(faults, 5), [None, Some(Fault::Internal), Some(Fault::CutBody), Some(Fault::BadGateway), None]);
    }

    #[test]
    fn chance_keeps_its_probabilities_and_its_seed() {
        let chances = [(0.05, Fault::Internal), (0.2, Fault::HangAfter)];
        let seen = drawn(Faults::by_chance(7, &chances), 10_000);
        let count = |fault| seen.iter().filter(|seen| **seen == fault).count();
        assert!((400..600).contains(&count(Some(Fault::Internal))), "{}", count(Some(Fault::Internal)));
        assert!((1_800..2_200).contains(&count(Some(Fault::HangAfter))), "{}", count(Some(Fault::HangAfter)));
        assert_eq!(seen, drawn(Faults::by_chance(7, &chances), 10_000));
        assert_ne!(seen, drawn(Faults::by_chance(8, &chances), 10_000));
    }
}
