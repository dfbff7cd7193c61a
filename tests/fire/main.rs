//! Real processes of the real binary on a real cluster of three brokers, and what goes wrong on purpose: `./dev fire`.
//!
//! A *scene* is one application with its topics, a load that goes on to the end, and two or three instances. What happens to it is in [`faults`]. In the
//! end everything must be caught up, and a program of its own (`verifier/`) reads all topics and stores and says whether they are what the input asks
//! for. A fault that was planned and did not fire, or a scene that was not verified, is as bad as a record that is lost.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail by panicking anywhere")]
#![expect(clippy::print_stdout, reason = "it says what it saw")]
#![expect(clippy::disallowed_methods, reason = "processes of the real world are waited for")]

mod cluster;
#[path = "../it/whole/deliveries.rs"]
#[expect(dead_code, reason = "the tests of `it` assert")]
mod deliveries;
mod faults;
mod instance;
mod ledger;
mod load;
mod monitor;
mod outbox;
mod proxy;
#[path = "../it/random.rs"]
mod random;
#[path = "../it/real/mod.rs"]
#[expect(dead_code, reason = "the tests of `it` use more of it")]
mod real;
mod results;
mod scene;
#[path = "../it/whole/secrets.rs"]
#[expect(dead_code, reason = "the tests of `it` assert, and give commands by hand")]
mod secrets;
mod time;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use cluster::Cluster;
use faults::Play;
use real::registry::Registry;
use results::Results;
use scene::Stage;

/// More scenes at the same time were not tried.
const SIDE_BY_SIDE_MAX: usize = 4;

const USAGE: &str =
    "--long, --fault N,..., --seed S; --table prints what came out; --mutant NAME --binary FILE expects that it is found out";

/// What the command line says.
#[derive(Debug)]
struct Arguments {
    long: bool,
    faults: Vec<u8>,
    seed: u64,
    table: bool,
    /// The name of a broken engine, which must be found out.
    mutant: Option<String>,
    binary: PathBuf,
}

impl Arguments {
    fn read() -> Result<Self, String> {
        let mut arguments = Self {
            long: false,
            faults: (1..=u8::MAX).filter(|fault| faults::is_played(*fault)).collect(),
            seed: 1,
            table: false,
            mutant: None,
            binary: PathBuf::from(env!("CARGO_BIN_EXE_tidewatch")),
        };
        let mut given = std::env::args().skip(1);
        while let Some(argument) = given.next() {
            let mut value = || given.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--long" => arguments.long = true,
                "--table" => arguments.table = true,
                "--mutant" => arguments.mutant = Some(value()?),
                "--binary" => arguments.binary = PathBuf::from(value()?),
                "--fault" => {
                    let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is no fault"));
                    arguments.faults = value()?.split(',').map(number).collect::<Result<_, String>>()?;
                    if let Some(unknown) = arguments.faults.iter().find(|fault| !faults::is_played(**fault)) {
                        return Err(format!("fault {unknown} is not played here; 23 is the poller's: ./dev sim --weeks 10"));
                    }
                }
                "--seed" => arguments.seed = value()?.parse().map_err(|_| "a seed is a number".to_owned())?,
                "-h" | "--help" => {
                    println!("fire: {USAGE}");
                    std::process::exit(0);
                }
                other => return Err(format!("unknown argument {other}; there are {USAGE}")),
            }
        }
        Ok(arguments)
    }
}

fn main() -> ExitCode {
    match Arguments::read().and_then(|arguments| run(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("fire: {error}");
            ExitCode::from(2)
        }
    }
}

/// Plays what was asked for; whether all of it was green.
fn run(arguments: &Arguments) -> Result<bool, String> {
    let output = target_directory().join("fire");
    let name = arguments.mutant.as_ref().map_or_else(|| "results.jsonl".to_owned(), |mutant| format!("mutant-{mutant}.jsonl"));
    if arguments.table {
        let rows = Results::read_all(&output).unwrap_or_default();
        if rows.is_empty() {
            return Err("there was no run yet: ./dev fire".to_owned());
        }
        println!("{}", results::table(&rows));
        return Ok(true);
    }
    let began = Instant::now();
    println!("seed {}, {} run", arguments.seed, if arguments.long { "long" } else { "short" });
    let cluster = Cluster::start()?;
    let registry = Registry::start().ok_or("there is no registry")?;
    let stage = Stage {
        proxy: std::sync::Arc::clone(&cluster.proxy),
        client: cluster.client(),
        direct: cluster.direct(),
        through_proxy: cluster.through_proxy(),
        cluster: Mutex::new(cluster),
        registry,
        binary: arguments.binary.clone(),
        mutant: arguments.mutant.clone(),
        long: arguments.long,
        seed: arguments.seed,
        results: Results::new(output.join(name)),
        kept: output,
    };
    let play = |play: &Play| {
        let wanted: Vec<u8> = play.faults.iter().copied().filter(|fault| arguments.faults.contains(fault)).collect();
        if wanted.is_empty() || play.long && !arguments.long {
            return true;
        }
        println!("{}: faults {wanted:?}", play.name);
        let outcome = (play.run)(&stage, &wanted);
        if let Err(error) = &outcome {
            println!("  {} BROKE OFF: {error}", play.name);
        }
        outcome.is_ok()
    };
    // Where there are more scenes than processors they starve each other, and one cluster serves them all: then time limits say nothing.
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(SIDE_BY_SIDE_MAX);
    let next = AtomicUsize::new(0);
    let work = || {
        let scenes = std::iter::from_fn(|| faults::SIDE_BY_SIDE.get(next.fetch_add(1, Ordering::Relaxed)));
        scenes.map(play).filter(|done| !done).count()
    };
    let side_by_side = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or(1)).sum::<usize>()
    });
    let complete = side_by_side + faults::ALONE.iter().map(play).filter(|done| !done).count() == 0;
    let rows = stage.results.rows();
    let red = rows.iter().filter(|row| !row.is_green()).count();
    println!("{} rows, {red} red, after {:.0} s", rows.len(), began.elapsed().as_secs_f64());
    Ok(complete && red == 0 && !rows.is_empty())
}

/// Where the build lies, and so what runs leave.
fn target_directory() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_tidewatch"));
    binary.ancestors().nth(2).unwrap_or(binary).to_owned()
}
