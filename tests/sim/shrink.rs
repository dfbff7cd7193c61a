//! Makes a failing simulation smaller: fewer faults, then less input, as long as it fails in the same way.

use std::time::Duration;

use tidewatch::streams::clock::{Clock, SystemClock};

use crate::plan::Plan;
use crate::run::run;

/// Time for it.
const BUDGET: Duration = Duration::from_secs(20);

/// What is left of a plan: the places of its events and batches in the whole one.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) events: Vec<usize>,
    pub(crate) batches: Vec<usize>,
}

impl Kept {
    pub(crate) fn all(plan: &Plan) -> Self {
        Self { events: (0..plan.events.len()).collect(), batches: (0..plan.batches.len()).collect() }
    }

    pub(crate) fn of(&self, plan: &Plan) -> Plan {
        let mut smaller = plan.clone();
        smaller.events = self.events.iter().filter_map(|place| plan.events.get(*place).cloned()).collect();
        smaller.batches = self.batches.iter().filter_map(|place| plan.batches.get(*place).cloned()).collect();
        smaller
    }
}

/// The smallest part of `plan` that was found to break `invariant` still.
pub(crate) fn shrink(plan: &Plan, invariant: &str) -> Kept {
    let clock = SystemClock::new();
    let mut kept = Kept::all(plan);
    let fails = |candidate: &Kept| run(candidate.of(plan), false).violation.is_some_and(|found| found.invariant == invariant);
    let mut size = kept.events.len().max(kept.batches.len()).div_ceil(2);
    while size > 0 && clock.monotonic() < BUDGET {
        let mut smaller = false;
        for of_events in [true, false] {
            let mut place = 0;
            while clock.monotonic() < BUDGET {
                let mut candidate = kept.clone();
                let list = if of_events { &mut candidate.events } else { &mut candidate.batches };
                if place >= list.len() {
                    break;
                }
                let end = (place + size).min(list.len());
                list.drain(place..end);
                if fails(&candidate) {
                    kept = candidate;
                    smaller = true;
                } else {
                    place += size;
                }
            }
        }
        if !smaller || size > 1 {
            size /= 2;
        }
    }
    kept
}
