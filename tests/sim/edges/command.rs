//! The edges as tests and by command: many seeds at once, what each fault came to, and one seed to be read.

use std::collections::BTreeMap;
use std::hash::Hasher as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tidewatch::streams::clock::{Clock, SystemClock};
use xxhash_rust::xxh3::Xxh3;

use super::{Report, poller as weeks};

/// Seeds of the sender, and simulated weeks of the poller, that a test run takes.
const SEEDS: u64 = 2_000;
const WEEKS: u64 = 24;

/// Seeds in which each fault of the sender happens.
const SEEDS_FOR_ALL: u64 = 1_000;

/// Seeds that are run twice: of the sender, and weeks of the poller.
pub(crate) const SEEDS_TWICE: u64 = 10;
pub(crate) const WEEKS_TWICE: u64 = 2;

const FAILURES_MAX: usize = 10;

/// Lines of a failed seed's trace that are shown unasked.
const LINES_SHOWN: usize = 60;

/// Runs a seed.
pub(crate) type Run = fn(u64) -> Report;

/// What the sender has to meet.
const FAULTS: [&str; 50] = [
    "S1",
    "S2",
    "S3",
    "S4",
    "200 slowly",
    "429 chat",
    "429 all",
    "429 header",
    "500",
    "502",
    "504 taken",
    "504 untaken",
    "time-out taken",
    "time-out untaken",
    "no connection",
    "reset taken",
    "reset untaken",
    "slow body",
    "half a document",
    "400 empty",
    "400 markup",
    "400 thread",
    "400 unmodified",
    "400 edit",
    "400 chat",
    "400 migrated",
    "401",
    "403",
    "dies before a commit",
    "dies after a commit",
    "dies after a flush",
    "dies with offsets sent",
    "dies in a restore",
    "commit lost",
    "commit, answer lost",
    "all die at once",
    "disk lost",
    "fenced",
    "stalled",
    "zombie",
    "session over",
    "stopped in order",
    "ended in order",
    "given up in order",
    "partition moved",
    "moved away",
    "clock set back",
    "clock set forward",
    "outbox read again",
    "dead letter put back",
];

/// What the poller has to meet in the weeks of a test run.
const POLLER_FAULTS: [&str; 14] = [
    "429 Retry-After",
    "500",
    "503 Retry-After",
    "HTML 403",
    "HTML 502",
    "cut",
    "empty",
    "half a document",
    "poller killed",
    "quotaExceeded",
    "rateLimitExceeded",
    "video deleted",
    "video off the list or on it",
    "video private or public",
];

/// The sender in one seed.
pub(crate) fn sender(seed: u64) -> Report {
    caught(|| super::run(seed))
}

/// The poller in a week of one seed.
pub(crate) fn poller(seed: u64) -> Report {
    caught(|| weeks::run(seed, 7))
}

fn caught(run: impl FnOnce() -> Report) -> Report {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Report { violations: vec![format!("a panic: {}", text.unwrap_or_default())], ..Report::default() }
    })
}

#[derive(Debug, Default)]
struct Total {
    seeds: u64,
    counts: BTreeMap<&'static str, u64>,
    failed: Vec<(u64, String)>,
}

fn all(run: Run, from: u64, count: u64, jobs: usize, limit: Option<Duration>) -> Total {
    let (next, total, clock) = (AtomicU64::new(from), Mutex::new(Total::default()), SystemClock::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let over = limit.is_some_and(|limit| clock.monotonic() >= limit) || total.lock().failed.len() >= FAILURES_MAX;
            if seed >= from.saturating_add(count) || over {
                return;
            }
            let report = run(seed);
            let mut total = total.lock();
            total.seeds += 1;
            for (name, count) in report.counts {
                *total.counts.entry(name).or_default() += count;
            }
            total.failed.extend(report.violations.into_iter().next().map(|violation| (seed, violation)));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(work);
        }
    });
    let mut total = total.into_inner();
    total.failed.sort();
    total
}

/// What failed; of the first, what happened just before.
fn faults(run: Run, total: &Total, flag: &str) -> Vec<String> {
    let first = total.failed.first().map(|(seed, _)| run(*seed).trace).unwrap_or_default();
    let before = first.into_iter().rev().take(LINES_SHOWN).rev();
    before.chain(total.failed.iter().map(|(seed, what)| format!("seed {seed}: {what}\nagain: ./dev sim {flag} --seed {seed}"))).collect()
}

/// Runs many, and says how often each fault was there.
pub(crate) fn many(run: Run, flag: &str, from: u64, count: u64, jobs: usize, limit: Option<Duration>) -> ExitCode {
    let clock = SystemClock::new();
    let total = all(run, from, count, jobs, limit);
    for (name, count) in &total.counts {
        println!("{count:>9}  {name}");
    }
    println!("{} seeds in {:.1} s, {} failed", total.seeds, clock.monotonic().as_secs_f64(), total.failed.len());
    for line in faults(run, &total, flag) {
        println!("{line}");
    }
    if total.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one, and shows all that happens.
pub(crate) fn one(run: Run, seed: u64) -> ExitCode {
    let report = run(seed);
    for line in &report.trace {
        println!("{line}");
    }
    for violation in &report.violations {
        println!("seed {seed}: {violation}");
    }
    println!("seed {seed}: trace {:016x}", hash(&report));
    if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn hash(report: &Report) -> u64 {
    let mut hasher = Xxh3::new();
    report.trace.iter().for_each(|line| hasher.write(line.as_bytes()));
    hasher.finish()
}

pub(crate) fn sender_keeps_its_promises(jobs: usize) -> Vec<String> {
    let total = all(sender, 0, SEEDS_FOR_ALL, jobs, None);
    let mut found = faults(sender, &total, "--edges");
    if found.is_empty() {
        found.extend(missing(&total, &FAULTS));
        found.extend(faults(sender, &all(sender, SEEDS_FOR_ALL, SEEDS - SEEDS_FOR_ALL, jobs, None), "--edges"));
    }
    found
}

pub(crate) fn poller_keeps_its_promises(jobs: usize) -> Vec<String> {
    let total = all(poller, 0, WEEKS, jobs, None);
    let mut found = faults(poller, &total, "--weeks 1");
    if found.is_empty() {
        found.extend(missing(&total, &POLLER_FAULTS));
    }
    found
}

fn missing(total: &Total, wanted: &[&str]) -> Vec<String> {
    let missing = wanted.iter().filter(|name| !total.counts.contains_key(*name));
    missing.map(|name| format!("in {} seeds there was no {name}", total.seeds)).collect()
}

/// The same seeds, each twice, in threads of their own.
pub(crate) fn one_trace(run: Run, seeds: u64) -> Vec<String> {
    let hashes = || (0..seeds).map(|seed| hash(&run(seed))).collect::<Vec<_>>();
    let (first, second) = std::thread::scope(|scope| {
        let (first, second) = (scope.spawn(hashes), scope.spawn(hashes));
        (first.join().unwrap(), second.join().unwrap())
    });
    let differ = first.iter().zip(&second).position(|(first, second)| first != second);
    differ.into_iter().map(|seed| format!("seed {seed} had two traces: {:016x} and {:016x}", first[seed], second[seed])).collect()
}
