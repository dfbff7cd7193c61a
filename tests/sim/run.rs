//! Runs simulations: one, or many at once, each in one thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tidewatch::streams::clock::{Clock, SystemClock};

use crate::input;
use crate::plan::Plan;
use crate::told;
use crate::trace::{Counts, Violation};
use crate::world::World;

/// What came of a simulation.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) violation: Option<Violation>,
    pub(crate) counts: Counts,
    pub(crate) hash: u64,
    pub(crate) lines: Vec<String>,
    /// Stores of dead processes that were compared with their changelogs.
    pub(crate) inspected: u64,
    /// Milliseconds that passed in it.
    pub(crate) simulated: u64,
}

pub(crate) fn run(plan: Plan, readable: bool) -> Outcome {
    let world = World::new(plan, readable);
    told::listen(Arc::downgrade(&world));
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| world.run())) {
        let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        world.violated("nothing panics", text.unwrap_or_default());
    }
    let (violation, mut counts) = (world.violation.lock().clone(), world.counts.lock().clone());
    input::count(&world.plan.batches, &mut counts);
    let (hash, lines) = {
        let mut trace = world.trace.lock();
        (trace.hash(), trace.take_lines())
    };
    let inspected = world.readers.lock().inspected;
    Outcome { violation, counts, hash, lines, inspected, simulated: world.time.now() }
}

/// What came of many.
#[derive(Debug, Default)]
pub(crate) struct Total {
    pub(crate) seeds: u64,
    pub(crate) failed: Vec<(u64, Violation)>,
    pub(crate) counts: Counts,
    pub(crate) inspected: u64,
    pub(crate) simulated: u64,
}

/// Runs the seeds from `from` on: so many, or for so long; stops early at so many failures.
pub(crate) fn run_many(
    from: u64,
    count: u64,
    jobs: usize,
    limit: Option<Duration>,
    plan: impl Fn(u64) -> Plan + Sync,
    failures_max: usize,
) -> Total {
    let (next, total, clock) = (AtomicU64::new(from), Mutex::new(Total::default()), SystemClock::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let over = limit.is_some_and(|limit| clock.monotonic() >= limit) || total.lock().failed.len() >= failures_max;
            if seed >= from.saturating_add(count) || over {
                return;
            }
            let outcome = run(plan(seed), false);
            let mut total = total.lock();
            total.seeds += 1;
            total.counts.merge(&outcome.counts);
            total.inspected += outcome.inspected;
            total.simulated += outcome.simulated;
            total.failed.extend(outcome.violation.map(|violation| (seed, violation)));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(work);
        }
    });
    let mut total = total.into_inner();
    total.failed.sort_by_key(|(seed, _)| *seed);
    total
}
