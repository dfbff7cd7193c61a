//! The command line: one file per command, one place that prints errors.

pub mod check;

use std::process::ExitCode;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
