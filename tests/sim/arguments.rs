//! What the simulation can be told, and what it does then: as a command, or as a test that `cargo test` runs with arguments for other tests.

use std::fmt;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;
use tidewatch::streams::clock::{Clock, SystemClock};

use crate::coverage;
use crate::edges::command as edges;
use crate::mutants;
use crate::plan::Plan;
use crate::run::{Total, run, run_many};
use crate::shrink::{Kept, shrink};
use crate::trace::Violation;

/// Seeds that a test run takes.
const SEEDS: u64 = 2_000;
/// In each so many seeds every kind of fault happens.
const SEEDS_FOR_ALL: u64 = 1_000;
/// Seeds that are run twice, to see that they do the same.
const REPEATED: u64 = 20;
/// The last lines of a trace that are shown.
const LINES_SHOWN: usize = 150;
/// More failures than this are not looked for.
const FAILURES_MAX: usize = 10;

/// Whole installations with faults at every call, from seeds.
#[derive(Debug, Parser)]
#[command(name = "sim", bin_name = "./dev sim", disable_help_subcommand = true)]
#[expect(clippy::struct_excessive_bools, reason = "each is an argument of its own")]
pub(crate) struct Arguments {
    /// Runs so many seeds instead of the tests
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,
    /// Runs one seed
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// With --seed: shows all that happens
    #[arg(long, requires = "seed")]
    trace: bool,
    /// With --seed: only these events of its plan, by number
    #[arg(long, value_name = "NUMBERS", requires = "seed")]
    events: Option<Places>,
    /// With --seed: only these batches of input, by number
    #[arg(long, value_name = "NUMBERS", requires = "seed")]
    batches: Option<Places>,
    /// How many seeds run at once
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Ends after this time, however many seeds are left
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
    /// Runs the sender instead, with a Telegram that answers from the seed
    #[arg(long)]
    edges: bool,
    /// Runs so many simulated weeks of the poller instead, from --from on
    #[arg(long, value_name = "N")]
    weeks: Option<u64>,
    /// Ends at the first failure and does not make it smaller
    #[arg(long)]
    brief: bool,
    /// Switches the guard against commits that were sent twice off: then there must be damage
    #[arg(long)]
    without_guard: bool,
    /// Which tests to run, by a part of their names
    #[arg(value_name = "TEST")]
    filters: Vec<String>,
    /// What `cargo test` passes to all tests; nothing here depends on it
    #[command(flatten)]
    ignored: Ignored,
}

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an argument that other tests know")]
struct Ignored {
    #[arg(long, hide = true)]
    nocapture: bool,
    #[arg(long, hide = true)]
    no_capture: bool,
    #[arg(long, hide = true)]
    show_output: bool,
    #[arg(short, long, hide = true)]
    quiet: bool,
    #[arg(long, hide = true)]
    list: bool,
    #[arg(long, hide = true)]
    exact: bool,
    #[arg(long = "ignored", hide = true)]
    only_left_out: bool,
    #[arg(long = "include-ignored", hide = true)]
    left_out_too: bool,
    #[arg(long, hide = true)]
    test_threads: Option<usize>,
    #[arg(long, hide = true)]
    skip: Vec<String>,
    #[arg(long, hide = true)]
    format: Option<String>,
    #[arg(long, hide = true)]
    color: Option<String>,
    #[arg(short = 'Z', hide = true)]
    unstable: Option<String>,
}

/// Places in a plan with commas between them. There may be none: a failure that needs no fault at all is the plainest.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Places(Vec<usize>);

impl FromStr for Places {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split(',').filter(|number| !number.is_empty()).map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    }
}

/// A test: its name, and what is wrong.
type Test = (&'static str, fn(&Arguments) -> Vec<String>);

const TESTS: [Test; 10] = [
    ("every_promise_holds_whatever_fails", every_promise_holds),
    ("every_kind_of_fault_happens", every_kind_happens),
    ("one_seed_gives_one_trace", one_trace),
    ("the_command_that_repeats_a_failure_is_understood", again_is_understood),
    ("the_patches_of_the_mutants_fit", |_| mutants::faults()),
    ("without_the_guard_a_commit_that_is_sent_twice_does_damage", guard_is_needed),
    ("the_sender_loses_nothing_and_repeats_only_what_is_unknown", |arguments| edges::sender_keeps_its_promises(arguments.jobs())),
    ("one_seed_gives_one_trace_of_the_sender", |_| edges::one_trace(edges::sender, edges::SEEDS_TWICE)),
    ("one_seed_gives_one_trace_of_the_poller", |_| edges::one_trace(edges::poller, edges::WEEKS_TWICE)),
    ("the_poller_keeps_within_its_quota_and_writes_what_was_there", |arguments| edges::poller_keeps_its_promises(arguments.jobs())),
];

impl Arguments {
    pub(crate) fn run(&self) -> ExitCode {
        if self.edges || self.weeks.is_some() {
            return self.at_the_edges();
        }
        if let Some(seed) = self.seed {
            return self.one(seed);
        }
        if self.seeds.is_some() || self.seconds.is_some() {
            return self.many();
        }
        self.tests()
    }

    fn at_the_edges(&self) -> ExitCode {
        let limit = self.seconds.map(Duration::from_secs);
        let (run, flag, count): (edges::Run, _, _) = if let Some(weeks) = self.weeks {
            (edges::poller, "--weeks 1", weeks)
        } else {
            (edges::sender, "--edges", self.seeds.unwrap_or(if limit.is_some() { u64::MAX } else { SEEDS }))
        };
        match self.seed {
            Some(seed) => edges::one(run, seed),
            None => edges::many(run, flag, self.from, count, self.jobs(), limit),
        }
    }

    fn jobs(&self) -> usize {
        self.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
    }

    fn plan(&self, seed: u64) -> Plan {
        let plan = Plan::of(seed);
        if self.without_guard { plan.without_guard() } else { plan }
    }

    fn one(&self, seed: u64) -> ExitCode {
        let plan = self.plan(seed);
        let mut kept = Kept::all(&plan);
        kept.events = self.events.clone().map_or(kept.events, |Places(events)| events);
        kept.batches = self.batches.clone().map_or(kept.batches, |Places(batches)| batches);
        let outcome = run(kept.of(&plan), true);
        let first = if self.trace { 0 } else { outcome.lines.len().saturating_sub(LINES_SHOWN) };
        for line in outcome.lines.iter().skip(if outcome.violation.is_some() || self.trace { first } else { usize::MAX }) {
            println!("{line}");
        }
        println!("seed {seed}: trace {:016x}, {} s simulated", outcome.hash, outcome.simulated / 1000);
        match outcome.violation {
            None => ExitCode::SUCCESS,
            Some(violation) => {
                println!("{}", violated(seed, &violation));
                ExitCode::FAILURE
            }
        }
    }

    fn many(&self) -> ExitCode {
        let limit = self.seconds.map(Duration::from_secs);
        let clock = SystemClock::new();
        let failures_max = if self.brief { 1 } else { FAILURES_MAX };
        let total = run_many(self.from, self.seeds.unwrap_or(u64::MAX), self.jobs(), limit, |seed| self.plan(seed), failures_max);
        for line in coverage::table(&total.counts) {
            println!("{line}");
        }
        println!(
            "{} seeds in {:.1} s, {} h simulated, {} stores of dead processes inspected, {} failed",
            total.seeds,
            clock.monotonic().as_secs_f64(),
            total.simulated / 3_600_000,
            total.inspected,
            total.failed.len()
        );
        self.report(&total).iter().for_each(|line| println!("{line}"));
        if total.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// What failed, the first of it made small.
    fn report(&self, total: &Total) -> Vec<String> {
        let mut lines: Vec<String> = total.failed.iter().map(|(seed, violation)| violated(*seed, violation)).collect();
        if let Some((seed, violation)) = total.failed.first().filter(|_| !self.brief) {
            let plan = self.plan(*seed);
            let kept = shrink(&plan, violation.invariant);
            let outcome = run(kept.of(&plan), true);
            lines.push(format!("the smallest part of seed {seed} that was found to fail:"));
            lines.extend(outcome.lines.iter().skip(outcome.lines.len().saturating_sub(LINES_SHOWN)).cloned());
            lines.extend(outcome.violation.map(|violation| violated(*seed, &violation)));
            lines.push(format!("again: {}", self.again(*seed, &kept)));
        }
        lines
    }

    /// The command that runs what is kept of a seed.
    fn again(&self, seed: u64, kept: &Kept) -> String {
        let guard = if self.without_guard { " --without-guard" } else { "" };
        let (events, batches) = (Places(kept.events.clone()), Places(kept.batches.clone()));
        format!("./dev sim --seed {seed} --trace{guard} --events={events} --batches={batches}")
    }

    fn tests(&self) -> ExitCode {
        let chosen = |name: &str| {
            let fits = |filter: &String| if self.ignored.exact { name == *filter } else { name.contains(filter.as_str()) };
            (self.filters.is_empty() || self.filters.iter().any(fits)) && !self.ignored.skip.iter().any(fits) && !self.ignored.only_left_out
        };
        let tests: Vec<&Test> = TESTS.iter().filter(|(name, _)| chosen(name)).collect();
        if self.ignored.list {
            for (name, _) in &tests {
                println!("{name}: test");
            }
            return ExitCode::SUCCESS;
        }
        println!("\nrunning {} tests", tests.len());
        let clock = SystemClock::new();
        let mut failed = 0;
        for (name, test) in &tests {
            let faults = test(self);
            println!("test {name} ... {}", if faults.is_empty() { "ok" } else { "FAILED" });
            for fault in &faults {
                println!("{fault}");
            }
            failed += usize::from(!faults.is_empty());
        }
        let (passed, left_out) = (tests.len() - failed, TESTS.len() - tests.len());
        let how = if failed == 0 { "ok" } else { "FAILED" };
        let took = clock.monotonic().as_secs_f64();
        println!(
            "\ntest result: {how}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {left_out} filtered out; finished in {took:.2}s\n"
        );
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(101) }
    }
}

fn violated(seed: u64, violation: &Violation) -> String {
    format!("seed {seed} breaks \"{}\": {}", violation.invariant, violation.text)
}

fn every_promise_holds(arguments: &Arguments) -> Vec<String> {
    let total = run_many(0, SEEDS, arguments.jobs(), None, Plan::of, FAILURES_MAX);
    arguments.report(&total)
}

fn every_kind_happens(arguments: &Arguments) -> Vec<String> {
    // Not the seeds of the other test: what is rare shows in one of two.
    let total = run_many(SEEDS, SEEDS_FOR_ALL, arguments.jobs(), None, Plan::of, FAILURES_MAX);
    let mut faults = arguments.report(&total);
    if faults.is_empty() {
        faults
            .extend(coverage::missing(&total.counts).into_iter().map(|missing| format!("in {SEEDS_FOR_ALL} seeds there was no {missing}")));
    }
    faults
}

fn again_is_understood(_: &Arguments) -> Vec<String> {
    let kept = |events: &[usize], batches: &[usize]| Kept { events: events.to_vec(), batches: batches.to_vec() };
    let mut faults = Vec::new();
    for kept in [kept(&[], &[]), kept(&[], &[3]), kept(&[0, 2], &[1, 4, 5])] {
        let command = Arguments::parse_from(["sim", "--without-guard"]).again(17, &kept);
        match Arguments::try_parse_from(command.split_whitespace().skip(1)) {
            Ok(read)
                if read.seed == Some(17)
                    && read.trace
                    && read.without_guard
                    && read.events == Some(Places(kept.events))
                    && read.batches == Some(Places(kept.batches)) => {}
            Ok(read) => faults.push(format!("{command} is taken for {read:?}")),
            Err(error) => faults.push(format!("{command}: {error}")),
        }
    }
    faults
}

/// The same seeds, each twice, in threads of their own.
fn one_trace(_: &Arguments) -> Vec<String> {
    let hashes = || (0..REPEATED).map(|seed| run(Plan::of(seed), false).hash).collect::<Vec<_>>();
    let (first, second) = std::thread::scope(|scope| {
        let (first, second) = (scope.spawn(hashes), scope.spawn(hashes));
        (first.join().unwrap(), second.join().unwrap())
    });
    let differ = first.iter().zip(&second).position(|(first, second)| first != second);
    differ.into_iter().map(|seed| format!("seed {seed} had two traces: {:016x} and {:016x}", first[seed], second[seed])).collect()
}

fn guard_is_needed(arguments: &Arguments) -> Vec<String> {
    let total = run_many(0, SEEDS, arguments.jobs(), None, |seed| Plan::of(seed).without_guard(), 1);
    if total.failed.is_empty() { vec![format!("in {} seeds nothing was damaged", total.seeds)] } else { Vec::new() }
}
