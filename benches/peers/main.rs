//! Side by side on one real broker: tidewatch, Kafka Streams and Quix Streams with the same job, and the limit, a bare client that does the same
//! reading and writing and nothing else.
//!
//! `./dev bench-peers [throughput|idle|restore|restart|latency|takeover]`: starts a broker and a registry out of packages, runs all in turn, looks
//! whether their outputs are the same, and prints ratios. Figures of different runs are not to be compared: machines are noisy.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark says what it saw, or fails"
)]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod application;
mod arguments;
mod compare;
mod feeder;
mod flame;
mod group;
mod idle;
mod instance;
mod java;
mod keys;
mod latency;
mod load;
#[path = "../suite/observations.rs"]
#[expect(dead_code, reason = "the other benchmarks use more of it")]
mod observations;
mod passthrough;
mod peer;
mod process;
#[path = "../../tests/it/real/mod.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod real;
mod report;
mod restart;
mod restore;
mod takeover;
mod throughput;

use std::path::Path;

use arguments::Arguments;
use keys::Keys;
use peer::{Options, Peer};
use report::Report;
use throughput::Size;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.first().is_some_and(|first| first == passthrough::ARGUMENT) {
        passthrough::child(&arguments[1..]);
        return;
    }
    let arguments = Arguments::parse(arguments).unwrap_or_else(|fault| fail(&fault));
    if arguments.help {
        println!("{}", arguments::HELP);
        return;
    }
    let _clean = java::Clean;
    let mut report = Report::new(arguments.text("--out").map(Path::new));
    run(&arguments, &mut report).unwrap_or_else(|fault| fail(&fault));
}

fn fail<T>(fault: &str) -> T {
    eprintln!("error: {fault}\n\n{}", arguments::HELP);
    std::process::exit(2)
}

fn run(arguments: &Arguments, report: &mut Report) -> Result<(), String> {
    let options = Options { threads: arguments.number("--threads", 1)?, heap_mib: arguments.number("--heap", 512)? };
    let peers = peers(arguments)?;
    // Of several numbers the largest: how many videos a state has.
    let keys = arguments.list("--videos")?.and_then(|videos| videos.into_iter().max()).unwrap_or(1_000_000);
    let runs = arguments.number("--runs", 3)?;
    let all = arguments.command.is_empty();
    let is = |command: &str| all || arguments.command == command;
    let flame = arguments.text("--flame").map(Path::new);
    if flame.is_some() {
        flame::missing()?;
    }
    if is("throughput") {
        for size in sizes(arguments)? {
            throughput::measure(report, &peers, &size, options, flame);
        }
    }
    if is("idle") {
        idle::measure(report, &peers, arguments.number("--seconds", 10)?, options);
    }
    if is("restore") {
        restore::measure(report, &peers, keys, runs, options);
    }
    if is("restart") {
        restart::measure(report, &peers, keys, options);
    }
    if is("latency") {
        let rates = arguments.list("--rate")?.unwrap_or_else(|| vec![100, 1_000, 10_000]);
        let size = latency::Size { rates, seconds: arguments.number("--seconds", 20)?, runs };
        latency::measure(report, &peers, &size, options);
    }
    if arguments.command == "takeover" {
        takeover::measure(keys, options);
    }
    Ok(())
}

/// Those that are asked for, or all that can be had here; what cannot be had is told.
fn peers(arguments: &Arguments) -> Result<Vec<Peer>, String> {
    if let Some(peers) = arguments.list::<Peer>("--peers")? {
        return peers.into_iter().map(|peer| peer.missing().map(|()| peer)).collect();
    }
    let mut peers = Peer::ALL.to_vec();
    peers.retain(|peer| match peer.missing() {
        Ok(()) => true,
        Err(missing) => {
            eprintln!("WITHOUT {}: {missing}", peer.name());
            false
        }
    });
    Ok(peers)
}

/// What is asked for, or few and many videos with both kinds of keys.
fn sizes(arguments: &Arguments) -> Result<Vec<Size>, String> {
    let mut sizes = Vec::new();
    for videos in arguments.list("--videos")?.unwrap_or_else(|| vec![100_000, 1_000_000]) {
        for keys in arguments.list("--keys")?.unwrap_or_else(|| vec![Keys::Uniform, Keys::Zipf]) {
            sizes.push(Size {
                records: arguments.number("--records", 2_000_000)?,
                videos,
                keys,
                partitions: i32::try_from(arguments.number("--partitions", 4)?).map_err(|error| error.to_string())?,
                runs: arguments.number("--runs", 3)?,
                quix_records: arguments.number("--quix-records", 200_000)?,
            });
        }
    }
    Ok(sizes)
}
