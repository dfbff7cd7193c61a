//! `telegram dry-run`: what the sender would send now, read by this process or by the one that owns the directory.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::context::{Access, Context, remote};
use super::shutdown::Shutdown;
use super::terminal::{Out, say};
use super::{Error, Result};
use crate::config::LoadOptions;
use crate::operate::installation::Connection;
use crate::operate::outgoing::{Outgoing, Pending};
use crate::operate::socket::{self, Request, Response};
use crate::telegram::dry_run::{self, Summary};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print a JSON object per line: `chat_id`, `message_thread_id`, `text`, `parse_mode`, `disable_notification`, `disable_web_page_preview`,
    /// `event_id`, `partition`, `offset`, `queued`
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(args: &Args, context: &Context, shutdown: &Shutdown) -> Result {
    // Neither the token nor the ids of the chats: they are in the messages.
    let config = context.load(&LoadOptions::connecting())?;
    let Some(outgoing) = Outgoing::of(&config) else {
        let error = Error::config("the topology file has no [telegram], so nothing is sent");
        return Err(error.hinted("The shipped topology.toml shows its keys, commented out."));
    };
    if config.kafka.is_none() {
        context.must_exist()?;
    }
    let mut printer = Printer { out: Out::new(), json: args.json, shutdown, failed: None };
    let summary = match context.access(config.kafka.as_ref(), shutdown)? {
        Access::Own(installation) => read(&outgoing, installation.connection(), &mut printer)?,
        Access::Cluster(connection) => read(&outgoing, &connection, &mut printer)?,
        Access::Owner(directory) => {
            let mut summary = Summary::default();
            let answer = socket::ask(&directory, &Request::DryRun, &|| shutdown.requested(), &mut |response| match response {
                Response::Pending(pending) => printer.print(&pending),
                Response::Previewed(answer) => {
                    summary = answer;
                    ControlFlow::Continue(())
                }
                _ => ControlFlow::Continue(()),
            });
            if let Some(failure) = answer.map_err(Error::unavailable)? {
                return Err(remote(failure));
            }
            summary
        }
    };
    if let Some(error) = printer.failed {
        return Err(error);
    }
    printer.out.flush()?;
    if !shutdown.requested() {
        say(&told(summary));
    }
    Ok(())
}

/// Reads a log that this process can read itself.
fn read(outgoing: &Outgoing, connection: &Connection, printer: &mut Printer<'_>) -> Result<Summary> {
    let mut emit = |pending| printer.print(&pending);
    outgoing.preview(&*connection.log, Arc::clone(&connection.registry), &mut emit).map_err(|error| {
        let is_by_user = matches!(error, dry_run::Error::NoTopic { .. });
        if is_by_user { Error::user(error) } else { Error::unavailable(error) }
    })
}

/// What was found, in a sentence.
fn told(summary: Summary) -> String {
    let Summary { messages, known, dead_letters } = summary;
    let mut parts = vec![match messages {
        0 => "Nothing would be sent".to_owned(),
        1 => "1 message would be sent".to_owned(),
        count => format!("{count} messages would be sent"),
    }];
    if known > 0 {
        parts.push(format!("{known} known already"));
    }
    if dead_letters > 0 {
        parts.push(format!("{dead_letters} for the dead letters"));
    }
    format!("{}.", parts.join(", "))
}

struct Printer<'a> {
    out: Out,
    json: bool,
    shutdown: &'a Shutdown,
    failed: Option<Error>,
}

impl Printer<'_> {
    fn print(&mut self, pending: &Pending) -> ControlFlow<()> {
        let line = if self.json { serde_json::to_string(pending).unwrap_or_default() } else { pending.to_string() };
        if let Err(error) = self.out.line(&line) {
            self.failed = Some(error);
            return ControlFlow::Break(());
        }
        if self.shutdown.requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_names_what_there_is() {
        assert_eq!(told(Summary::default()), "Nothing would be sent.");
        let summary = Summary { messages: 1, known: 0, dead_letters: 0 };
        assert_eq!(told(summary), "1 message would be sent.");
        let summary = Summary { messages: 2, known: 3, dead_letters: 1 };
        assert_eq!(told(summary), "2 messages would be sent, 3 known already, 1 for the dead letters.");
    }
}
