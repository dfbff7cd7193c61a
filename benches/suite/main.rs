//! The benchmarks: the steps of a record's way, each by itself and beside a peer, and the whole of it. `./dev bench` runs them all with criterion,
//! which counts processor time here; `./dev bench-check` compares each with its peer in one short run and fails where one has become slower than it
//! may be.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a benchmark may fail by panicking anywhere")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time, and its sizes come from the environment")]
#![expect(clippy::print_stdout, reason = "the check says what it saw")]

mod avro;
mod check;
mod cpu;
#[expect(dead_code, reason = "another benchmark asks for more")]
mod ground;
mod latest;
mod node;
#[expect(dead_code, reason = "another benchmark writes with them too")]
mod observations;
mod pair;
mod raw;
mod rows;
mod rules;
mod store;
mod whole;

use std::process::ExitCode;
use std::time::Duration;

use cpu::ProcessorTime;
use criterion::Criterion;

/// That of the program itself.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().filter(|argument| argument != "--bench").collect();
    if let [_, flag, wanted @ ..] = arguments.as_slice()
        && check::is_flag(flag)
    {
        return check::run(flag, &wanted.join(" "));
    }
    let criterion = Criterion::default().with_measurement(ProcessorTime);
    let mut criterion = criterion.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2)).configure_from_args();
    for pairs in [avro::decode, avro::encode, latest::steps, rules::conditions, rules::templates] {
        pair::measure(&mut criterion, pairs());
    }
    store::stores(&mut criterion);
    whole::topology(&mut criterion);
    whole::restore(&mut criterion);
    criterion.final_summary();
    ExitCode::SUCCESS
}
