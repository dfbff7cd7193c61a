//! The soak: whole instances (poller, topology and sender) on a real broker, lightly loaded for an hour, killed, restarted and rebalanced all the time, the broker
//! with them. What must not grow with time is written down every five seconds: memory, open files, threads, disk. `./dev soak --minutes 60`.
//!
//! In the end `report.py` decides whether something grew and draws it, and the verifier whether all that was written is right.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail by panicking anywhere")]
#![expect(clippy::print_stdout, reason = "it says what it saw")]
#![expect(clippy::disallowed_methods, reason = "processes of the real world are waited for")]

#[path = "../it/whole/deliveries.rs"]
#[expect(dead_code, reason = "the tests of `it` assert")]
mod deliveries;
mod instance;
mod judgement;
mod load;
#[path = "../it/random.rs"]
mod random;
#[path = "../it/real/mod.rs"]
#[expect(dead_code, reason = "the tests of `it` use more of it")]
mod real;
mod samples;
mod scene;
#[path = "../it/whole/secrets.rs"]
#[expect(dead_code, reason = "the tests of `it` assert, and give commands by hand")]
mod secrets;
mod trouble;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// What the command line says.
#[derive(Debug)]
pub(crate) struct Arguments {
    /// How long it is to be under load.
    pub(crate) time: Duration,
    pub(crate) seed: u64,
    /// Where its findings go.
    pub(crate) folder: PathBuf,
}

impl Arguments {
    fn read() -> Result<Self, String> {
        let binary = Path::new(env!("CARGO_BIN_EXE_tidewatch"));
        let folder = binary.ancestors().nth(2).unwrap_or(binary).join("soak");
        let mut arguments = Self { time: Duration::from_secs(3600), seed: 1, folder };
        let mut given = std::env::args().skip(1);
        while let Some(argument) = given.next() {
            let mut value = || given.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--minutes" => arguments.time = Duration::from_secs(60 * value()?.parse::<u64>().map_err(|_| "minutes are a number")?),
                "--seed" => arguments.seed = value()?.parse().map_err(|_| "a seed is a number")?,
                "--out" => arguments.folder = value()?.into(),
                other => return Err(format!("unknown argument {other}; there are --minutes N, --seed S, --out DIRECTORY")),
            }
        }
        Ok(arguments)
    }
}

fn main() -> ExitCode {
    match Arguments::read().and_then(|arguments| scene::play(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("soak: {error}");
            ExitCode::from(2)
        }
    }
}
