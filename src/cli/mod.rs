//! The command line: one file per command, one place that prints errors.

pub mod check;

use std::process::ExitCode;

mod error;
mod logging;
mod shutdown;

pub use error::{Error, Kind, Result};

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    logging::install(logging::Format::Human, 0);
    error::conclude(Ok(()))
}
