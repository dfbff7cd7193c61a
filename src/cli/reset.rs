//! `reset`: forgets state and sets the position; says what it will do and asks.

use super::context::Context;
use super::terminal::{confirm, say};
use super::{Error, Result};
use crate::config::{Config, LoadOptions};
use crate::operate::installation::{Connection, Installation};
use crate::operate::reset::{self, Application, Plan, Scope, To};
use crate::processors::did_you_mean;
use crate::streams::log::Admin;
use crate::streams::state::{StateDirectory, directory};

/// Begin anew: forget the state and set the position in the input
///
/// Deletes the changelogs of the application's stores and their cached state, and sets where it reads on. It says exactly what it will do and
/// asks. All other topics stay as they are: what is read a second time is written to them a second time. What the sender sent is not sent a second
/// time, since it remembers that by itself; --sender forgets it.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["to", "store", "poller"]))]
pub(super) struct Args {
    /// Forget all state and read on from here: earliest, latest, or a time such as 2026-08-06T10:00:00Z
    #[arg(long, value_name = "PLACE")]
    to: Option<To>,
    /// Forget just this store (the name of its node); the position stays
    #[arg(long, value_name = "NAME")]
    store: Option<String>,
    /// Forget what the poller knows: its next poll is a first one. The topology's state stays
    #[arg(long)]
    poller: bool,
    /// Instead of the topology, let the sender forget what it sent and what waits, and read its outbox from the place given by --to
    #[arg(long, requires = "to", conflicts_with_all = ["store", "poller"])]
    sender: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) fn execute(args: &Args, context: &Context) -> Result {
    let config = context.load(&LoadOptions::connecting())?;
    let (connection, installation) = open(context, &config)?;
    let directory = installation.as_ref().map(Installation::directory);
    let admin = connection.log.admin();
    let whose = if args.sender { directory::SENDER } else { directory::TOPOLOGY };
    let plan = plan(args, &*admin, &config, tasks(directory, whose)?)?;
    say(plan.to_string().trim_end());
    if !args.yes {
        confirm()?;
    }
    let mut remove = |task: &str| {
        let removed = directory.map_or(Ok(()), |directory| directory.remove_task(whose, task));
        removed.map_err(|source| reset::Error::Task { task: task.to_owned(), source: Box::new(source) })
    };
    plan.execute(&*admin, &mut remove).map_err(|error| broken_off(error, &config))?;
    say("Done.");
    if config.kafka.is_some() {
        say(if args.poller {
            "Before the next `run`: `tidewatch setup` makes the poller's topic anew."
        } else {
            "Before the next `run`: `tidewatch setup` makes the changelogs anew, and other instances' state directories must be deleted."
        });
    }
    Ok(())
}

/// The log, and this machine's part of the state. On Kafka the state may be elsewhere: then there is none to remove here.
fn open(context: &Context, config: &Config) -> Result<(Connection, Option<Installation>)> {
    match &config.kafka {
        Some(kafka) if !context.state_dir().is_dir() => Ok((Context::connect(kafka)?, None)),
        _ => {
            context.must_exist()?;
            let installation = context.own_for(config)?;
            Ok((installation.connection().clone(), Some(installation)))
        }
    }
}

/// What is asked for.
fn plan(args: &Args, admin: &dyn Admin, config: &Config, tasks: Vec<String>) -> Result<Plan> {
    let planned = match (&args.to, &args.store) {
        (Some(to), _) if args.sender => {
            let Some(telegram) = &config.telegram else {
                let error = Error::user("the topology file has no [telegram], so there is no sender");
                return Err(error.hinted("--to without --sender begins the topology anew."));
            };
            reset::sender(admin, config, telegram, tasks, *to)
        }
        (Some(to), _) => reset::plan(admin, &application(config, tasks), &Scope::All(*to)),
        (None, Some(store)) => reset::plan(admin, &application(config, tasks), &Scope::Store(store.clone())),
        (None, None) => reset::poller(admin, config),
    };
    planned.map_err(failed)
}

/// The tasks with a state on this machine.
fn tasks(directory: Option<&StateDirectory>, whose: &str) -> Result<Vec<String>> {
    directory.map_or(Ok(Vec::new()), |directory| directory.tasks(whose)).map_err(Error::unavailable)
}

fn application(config: &Config, tasks: Vec<String>) -> Application {
    Application {
        id: config.application_id.to_string(),
        inputs: config.sources.iter().map(|source| source.topic.to_string()).collect(),
        outputs: config.sinks.iter().map(|sink| sink.topic.to_string()).collect(),
        stores: config.stores().map(str::to_owned).collect(),
        tasks,
        outbox: config.telegram.as_ref().map(|telegram| telegram.outbox.to_string()),
    }
}

/// A member that stopped and stayed one: Kafka moves no offsets before its session is over.
const MEMBERS: &str = "All instances must be stopped; one that was stopped without --leave-on-stop counts as a member until its session times out \
                       (10 s by default).";

/// An error while the reset is made; on Kafka a group with members is the usual one.
fn broken_off(error: reset::Error, config: &Config) -> Error {
    match error {
        reset::Error::Log(_) if config.kafka.is_some() => Error::unavailable(error).hinted(MEMBERS),
        _ => failed(error),
    }
}

fn failed(error: reset::Error) -> Error {
    let reset::Error::UnknownStore { store, known } = &error else { return Error::internal(error) };
    let hint = match did_you_mean(store, known.iter().map(String::as_str)) {
        Some(meant) => format!("Did you mean {meant}?"),
        None => format!("It has: {}.", known.join(", ")),
    };
    Error::user(error).hinted(hint)
}
