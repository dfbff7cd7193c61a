//! The deterministic simulation: whole installations of the production runtime in one thread, with faults at every call, everything from one seed.
//!
//! `cargo test` runs it like a test; `./dev sim` runs any number of seeds, and one again to be read.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panicking anywhere")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program that reports to people")]

mod arguments;
mod checks;
mod clock;
mod coverage;
mod disk;
mod edges;
mod events;
mod input;
mod mutants;
mod nemesis;
mod oracle;
mod plan;
mod processes;
mod random;
mod readers;
mod rows;
mod run;
mod shrink;
mod told;
mod topology;
mod trace;
mod world;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|info| {
        // Processors that are told to panic do so, and the engine takes it for an error of the record.
        let text = info.to_string();
        if text.contains("Broken pipe") {
            // Whoever read along has seen enough.
            std::process::exit(0);
        }
        if !text.contains("told to panic") {
            eprintln!("{text}");
        }
    }));
    tracing::subscriber::set_global_default(told::Listener).unwrap();
    Arguments::parse().run()
}
