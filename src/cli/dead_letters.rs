//! `dead-letters`: lists what could not be processed or delivered, and puts it back; by this process or by the one that owns the directory.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::context::{Access, Context, remote};
use super::shutdown::Shutdown;
use super::terminal::{Out, confirm, say};
use super::{Error, Result};
use crate::config::LoadOptions;
use crate::operate::installation::Connection;
use crate::operate::letters::{self, Filter, Letter, Letters, Outcome, Plan};
use crate::operate::socket::{self, Request, Response};
use crate::telegram;

/// List what could not be processed or delivered, and put it back
///
/// Records that the topology could not process lie in the topic `ID-dead-letters`, where ID is the application's id; messages that could not be
/// delivered in `telegram_dead_letters`, which other applications may share: theirs are left out. Both are the records as they were, with the reason in their headers.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show dead letters: time, topic-partition@offset where the record was read, key, what was wrong, value
    List {
        #[command(flatten)]
        which: Which,
        /// Print a JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Append dead letters to the topics that they came from, each exactly once
    ///
    /// A letter goes back with its key, its value, its time and its own headers, and with the header `tidewatch.replay` that names the letter. What
    /// was replayed is remembered: the same command again repeats nothing. It says what it will do and asks. The letters stay where they are.
    Replay {
        #[command(flatten)]
        which: Which,
        /// Replay those too that were replayed before
        #[arg(long)]
        again: bool,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// Which letters; all that is given must hold.
#[derive(Debug, clap::Args)]
struct Which {
    /// Only those in this topic, or from it
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Only those whose exception, message or causes contain this text, in whatever case
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only those of records that are not older than this time, such as 2026-08-06T10:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<i64>,
    /// Only those with this key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

fn time(text: &str) -> Result<i64, &'static str> {
    text.parse().map(|at: jiff::Timestamp| at.as_millisecond()).map_err(|_| "not a time such as 2026-08-06T10:00:00Z")
}

impl From<Which> for Filter {
    fn from(which: Which) -> Self {
        let Which { topic, reason, since, key } = which;
        Self { topic, reason, since, key }
    }
}

pub(super) fn execute(args: Args, context: &Context, shutdown: &Shutdown) -> Result {
    let config = context.load(&LoadOptions::connecting())?;
    if config.kafka.is_none() {
        context.must_exist()?;
    }
    let access = context.access(config.kafka.as_ref(), shutdown)?;
    let source = match &access {
        Access::Own(installation) => Source::Log(installation.connection()),
        Access::Cluster(connection) => Source::Log(connection),
        Access::Owner(directory) => Source::Owner(directory),
    };
    let post = Post { source, application_id: &config.application_id, outboxes: telegram::outboxes(&config), shutdown };
    match args.command {
        Command::List { which, json } => list(&post, which.into(), json),
        Command::Replay { which, again, dry_run, yes } => {
            let filter = which.into();
            let plan = post.plan(&filter, again)?;
            // A plan that broke off is none.
            if shutdown.requested() {
                return Err(Error::unavailable("interrupted; nothing was replayed"));
            }
            if dry_run {
                let mut out = Out::new();
                plan.to_string().lines().try_for_each(|line| out.line(line))?;
                return out.flush();
            }
            say(plan.to_string().trim_end());
            if plan.letters() == 0 {
                return Ok(());
            }
            if !yes {
                confirm()?;
            }
            replay(&post, filter, again, plan)
        }
    }
}

fn list(post: &Post<'_>, filter: Filter, json: bool) -> Result {
    let mut out = Out::new();
    let mut count = 0_u64;
    let mut failed = None;
    let nothing = if filter.is_none() { "There are no dead letters." } else { "No dead letter matches." };
    post.list(filter, &mut |letter| {
        count += 1;
        let line = if json { serde_json::to_string(letter).unwrap_or_default() } else { letter.to_string() };
        match out.line(&line) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    if count == 0 && !post.shutdown.requested() {
        say(nothing);
    }
    out.flush()
}

fn replay(post: &Post<'_>, filter: Filter, again: bool, plan: Plan) -> Result {
    let planned = plan.letters();
    let outcome = post.replay(filter, again, plan)?;
    if !outcome.complete {
        let error = Error::unavailable(format!("interrupted after {} of {planned} letters", outcome.replayed));
        return Err(error.hinted("What was replayed is remembered; the same command, without --again, goes on from there."));
    }
    say(&format!("Replayed: {}.", outcome.replayed));
    Ok(())
}

/// Who has the letters.
enum Source<'a> {
    Log(&'a Connection),
    Owner(&'a Path),
}

/// The letters, wherever they are.
struct Post<'a> {
    source: Source<'a>,
    application_id: &'a str,
    outboxes: Vec<Arc<str>>,
    shutdown: &'a Shutdown,
}

impl Post<'_> {
    fn letters<'a>(&'a self, connection: &'a Connection) -> Letters<'a> {
        Letters { log: &*connection.log, registry: &*connection.registry, application_id: self.application_id, outboxes: &self.outboxes }
    }

    fn list(&self, filter: Filter, emit: &mut dyn FnMut(&Letter) -> ControlFlow<()>) -> Result {
        match self.source {
            Source::Log(connection) => {
                let listed = self.letters(connection).list(&filter, &|| self.shutdown.requested(), &mut |letter| emit(&letter));
                listed.map_err(failed)
            }
            Source::Owner(directory) => self.ask(directory, letters::Request::List(filter), &mut |response| match response {
                Response::Letter(letter) => emit(&letter),
                _ => ControlFlow::Continue(()),
            }),
        }
    }

    fn plan(&self, filter: &Filter, again: bool) -> Result<Plan> {
        match self.source {
            Source::Log(connection) => self.letters(connection).plan(filter, again, &|| self.shutdown.requested()).map_err(failed),
            Source::Owner(directory) => {
                let mut plan = Plan::default();
                self.ask(directory, letters::Request::Plan { filter: filter.clone(), again }, &mut |response| {
                    if let Response::ReplayPlan(answer) = response {
                        plan = answer;
                    }
                    ControlFlow::Continue(())
                })?;
                Ok(plan)
            }
        }
    }

    fn replay(&self, filter: Filter, again: bool, plan: Plan) -> Result<Outcome> {
        match self.source {
            Source::Log(connection) => {
                let letters = self.letters(connection);
                letters.replay((&filter, again), &plan, &|| self.shutdown.requested(), &mut |_| ()).map_err(failed)
            }
            Source::Owner(directory) => {
                let mut outcome = Outcome::default();
                self.ask(directory, letters::Request::Replay { filter, again, plan }, &mut |response| {
                    match response {
                        Response::Committed(replayed) => outcome.replayed = replayed,
                        Response::Replayed(answer) => outcome = answer,
                        _ => {}
                    }
                    ControlFlow::Continue(())
                })?;
                Ok(outcome)
            }
        }
    }

    /// Asks the owner of the directory.
    fn ask(&self, directory: &Path, request: letters::Request, each: &mut dyn FnMut(Response) -> ControlFlow<()>) -> Result {
        let answer = socket::ask(directory, &Request::DeadLetters { request }, &|| self.shutdown.requested(), each);
        match answer.map_err(Error::unavailable)? {
            Some(failure) => Err(remote(failure)),
            None => Ok(()),
        }
    }
}

fn failed(error: letters::Error) -> Error {
    let hint = error.hint();
    if error.is_by_user() { Error::user(error) } else { Error::unavailable(error) }.hinted_if(hint)
}
