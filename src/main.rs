//! The `tidewatch` binary: parses the command line, runs one command, maps its result to an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidewatch::cli::main()
}
