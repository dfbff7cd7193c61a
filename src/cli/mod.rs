//! The command line: one file per command, one place that prints errors.

pub mod check;
mod context;
mod dead_letters;
mod demo;
mod dry_run;
mod error;
mod http;
mod import;
mod logging;
mod redaction;
mod replay;
mod reset;
mod run;
mod setup;
mod shutdown;
mod simulation;
mod state;
mod status;
mod tap;
mod telegram;
mod temporary;
mod terminal;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;

use crate::config::{self, Overrides};
use crate::streams::clock::SystemClock;
use context::Context;
pub use error::{Error, Kind, Result};
use shutdown::Shutdown;

/// Remembers the previous and the current observation of every key, emits what changed, tells somebody
#[derive(Debug, clap::Parser)]
#[command(name = "tidewatch", version, arg_required_else_help = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Standard output is data, standard error is talk.
Exit codes: 0 done, 1 failed (a restart may help), 2 usage or configuration (it will not).";

#[derive(Debug, clap::Args)]
struct Common {
    /// The topology file [default: topology.toml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The directory that holds the embedded log and the state [default: .tidewatch]
    #[arg(long, global = true, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Work on this Kafka cluster, whatever the topology file says
    #[arg(long, global = true, value_name = "HOST:PORT[,..]", value_delimiter = ',', value_parser = config::parse_server)]
    bootstrap_servers: Vec<String>,
    /// The schema registry of the cluster, whatever the topology file says
    #[arg(long, global = true, value_name = "URL")]
    registry: Option<String>,
    /// How the program talks on standard error
    #[arg(long, global = true, value_enum, value_name = "FORM", default_value = "human")]
    log: logging::Format,
    /// Say more; repeat for more still
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Say less; repeat for less still
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    quiet: u8,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Demo(demo::Args),
    Run(run::Args),
    Import(import::Args),
    Setup(setup::Args),
    Check(check::Args),
    Reset(reset::Args),
    Tap(tap::Args),
    DeadLetters(dead_letters::Args),
    Status(status::Args),
    #[command(subcommand)]
    State(state::Command),
    /// Find the ids of chats, try whether messages arrive, show what would be sent
    #[command(subcommand)]
    Telegram(telegram::Command),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => {
            // Help goes to standard output with exit code 0, usage errors to standard error with 2.
            usage.print().unwrap_or_default();
            return ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(2));
        }
    };
    // What is talked about without being asked: `run` is watched over time, the others are over soon.
    let base = i16::from(matches!(cli.command, Command::Run(_)));
    logging::install(cli.common.log, base + i16::from(cli.common.verbose) - i16::from(cli.common.quiet));
    let clock = Arc::new(SystemClock::new());
    let Common { config, state_dir, bootstrap_servers, registry, .. } = cli.common;
    let context = Context { config, state_dir, overrides: Overrides { bootstrap_servers, registry }, clock };
    if let Command::Check(args) = cli.command {
        return check(&context, &args);
    }
    let shutdown = Shutdown::on_signals(Arc::clone(&context.clock)).map_err(Error::internal);
    error::conclude(shutdown.and_then(|shutdown| execute(cli.command, &context, &shutdown)))
}

fn execute(command: Command, context: &Context, shutdown: &Shutdown) -> Result {
    match command {
        Command::Demo(args) => demo::execute(&args, context, shutdown),
        Command::Run(args) => run::execute(&args, context, shutdown),
        Command::Import(args) => import::execute(&args, context, shutdown),
        Command::Setup(args) => setup::execute(&args, context),
        Command::Reset(args) => reset::execute(&args, context),
        Command::Tap(args) => tap::execute(args, context, shutdown),
        Command::DeadLetters(args) => dead_letters::execute(args, context, shutdown),
        Command::Status(args) => status::execute(&args, context, shutdown),
        Command::State(command) => state::execute(&command, context),
        Command::Telegram(command) => telegram::execute(&command, context, shutdown),
        // Answered before: it has an exit code of its own.
        Command::Check(_) => Ok(()),
    }
}

fn check(context: &Context, args: &check::Args) -> ExitCode {
    let overrides = context.overrides.clone();
    let args = check::Args { config: context.config_path(), overrides, offline: args.offline, json: args.json };
    match check::execute(&args) {
        Ok(code) => code,
        Err(error) => error::conclude(Err(Error::output(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_declaration_of_the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn common_flags_stand_before_or_after_the_command() {
        for line in [["tidewatch", "--state-dir", "d", "run"], ["tidewatch", "run", "--state-dir", "d"]] {
            let cli = Cli::try_parse_from(line).unwrap();
            assert_eq!(cli.common.state_dir, Some(PathBuf::from("d")));
        }
    }
}
