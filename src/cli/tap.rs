//! `tap`: the records of a topic, read by this process or by the one that owns the directory.

use std::ops::ControlFlow;

use super::context::{Access, Context, remote};
use super::shutdown::Shutdown;
use super::terminal::Out;
use super::{Error, Result};
use crate::operate::installation::Connection;
use crate::operate::socket::{self, Request, Response};
use crate::operate::tap::{self, From, Tapped};

/// Show the records of a topic, decoded
///
/// On Kafka, and while a `run` owns the state directory, it follows the topic until it is stopped with Ctrl-C (or, with --until-end, ends with
/// what is there now); otherwise nobody appends, and it ends at the end. Only committed records are shown, in their order within each partition.
///
/// Topics are those of the topology file, `ID-NODE-changelog` and `ID-dead-letters`, where ID is the application's id, and `_schemas`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The topic
    topic: String,
    /// Where to begin: earliest, latest, an offset, or a time such as 2026-08-06T10:00:00Z
    #[arg(long, value_name = "PLACE", default_value = "earliest")]
    from: From,
    /// Show only records with this key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Print a JSON object per line: `topic`, `partition`, `offset`, `time`, `timestamp_ms`, `key`, `headers`, `schema`, `value`
    #[arg(long)]
    json: bool,
    /// End with what is there now, also while a `run` goes on
    #[arg(long)]
    until_end: bool,
}

pub(super) fn execute(args: Args, context: &Context, shutdown: &Shutdown) -> Result {
    let kafka = context.kafka()?;
    if kafka.is_none() {
        context.must_exist()?;
    }
    let access = context.access(kafka.as_ref(), shutdown)?;
    let follow = matches!(access, Access::Owner(_) | Access::Cluster(_)) && !args.until_end;
    let request = tap::Request { topic: args.topic, from: args.from, key: args.key, follow };
    let mut printer = Printer { out: Out::new(), json: args.json, flush: follow, failed: None };
    let stop = || shutdown.requested();
    match access {
        Access::Own(installation) => read(installation.connection(), &request, &stop, &mut printer)?,
        Access::Cluster(connection) => read(&connection, &request, &stop, &mut printer)?,
        Access::Owner(directory) => {
            let mut each = |response| match response {
                Response::Record(record) => printer.print(&record),
                _ => ControlFlow::Continue(()),
            };
            let answer = socket::ask(&directory, &Request::Tap(request), &stop, &mut each);
            if let Some(failure) = answer.map_err(Error::unavailable)? {
                return Err(remote(failure));
            }
        }
    }
    printer.failed.map_or_else(|| printer.out.flush(), Err)
}

/// Reads a log that this process can read itself.
fn read(connection: &Connection, request: &tap::Request, stop: &dyn Fn() -> bool, printer: &mut Printer) -> Result {
    let mut emit = |record| printer.print(&record);
    tap::tap(&*connection.log, &*connection.registry, request, stop, &mut emit).map_err(failed)
}

fn failed(error: tap::Error) -> Error {
    match error.hint() {
        Some(hint) => Error::user(error).hinted(hint),
        None => Error::internal(error),
    }
}

struct Printer {
    out: Out,
    json: bool,
    /// Whether somebody watches each record arrive.
    flush: bool,
    failed: Option<Error>,
}

impl Printer {
    fn print(&mut self, record: &Tapped) -> ControlFlow<()> {
        let line = if self.json { serde_json::to_string(record).unwrap_or_default() } else { record.to_string() };
        let printed = self.out.line(&line).and_then(|()| if self.flush { self.out.flush() } else { Ok(()) });
        match printed {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failed = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}
