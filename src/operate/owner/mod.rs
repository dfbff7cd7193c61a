//! What the owner of an embedded log does for other commands, asked through the socket.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::append::{self, Target};
use super::health::Reported;
use super::import::{Import, Watch};
use super::letters::Letters;
use super::observations::Fault;
use super::outgoing::Outgoing;
use super::socket::{Failure, Handler, Reply, Request, Response};
use super::{import, letters, tap};
use crate::avro::Registry;
use crate::config::Config;
use crate::streams::log::Log;
use crate::telegram::dry_run;

/// Answers with the log that this process owns.
#[derive(Debug)]
pub struct Owner {
    /// The log.
    pub log: Arc<dyn Log>,
    /// Its schemas.
    pub registry: Arc<dyn Registry>,
    /// The application, whose dead letters others may ask for.
    pub application_id: Arc<str>,
    /// Its outboxes.
    pub outboxes: Vec<Arc<str>>,
    /// Where observations may go, by the name of the source.
    pub targets: Vec<(String, Target)>,
    /// The sender of the application, which may run elsewhere; none without `[telegram]`.
    pub outgoing: Option<Outgoing>,
    /// What the engine last reported.
    pub reported: Reported,
}

/// The targets of a configuration, by the name of the source.
pub fn targets(config: &Config) -> Vec<(String, Target)> {
    let target = |source: &crate::config::Source| Target {
        application_id: Arc::clone(&config.application_id),
        topic: Arc::clone(&source.topic),
        schema: source.schema.clone(),
        format: source.format,
        key: source.key,
    };
    config.sources.iter().map(|source| (source.name.to_string(), target(source))).collect()
}

/// A source that is not there, or not named although there are several.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTarget {
    /// There is no such source.
    #[error("the topology has no source {name}; it has: {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The sources that there are.
        known: String,
    },
    /// There are several.
    #[error("the topology has several sources, one must be named with --source: {known}")]
    Several {
        /// The sources that there are.
        known: String,
    },
}

/// The owner's topology file sends nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the process that owns the state directory runs a topology file without [telegram]")]
struct NoSender;

/// The source of this name; without one the only one.
pub fn target<'a>(targets: &'a [(String, Target)], name: Option<&str>) -> Result<&'a Target, NoTarget> {
    let known = || targets.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    match (name, targets) {
        (Some(wanted), _) => {
            let found = targets.iter().find(|(name, _)| name == wanted).map(|(_, target)| target);
            found.ok_or_else(|| NoTarget::Unknown { name: wanted.to_owned(), known: known() })
        }
        (None, [(_, target)]) => Ok(target),
        (None, _) => Err(NoTarget::Several { known: known() }),
    }
}

impl Handler for Owner {
    fn handle(&self, request: Request, reply: &mut Reply) -> Result<(), Failure> {
        match request {
            Request::Tap(request) => self.tap(&request, reply),
            Request::Import { path, source } => self.import(&path, source.as_deref(), reply),
            Request::DeadLetters { request } => self.letters(&request, reply),
            Request::DryRun => self.dry_run(reply),
            Request::Status => {
                let health = serde_json::to_value(self.reported.health()).map_err(|error| Failure::of(&error, false))?;
                reply.say(&Response::Status(health));
                Ok(())
            }
        }
    }
}

impl Owner {
    fn tap(&self, request: &tap::Request, reply: &mut Reply) -> Result<(), Failure> {
        let over = reply.watch();
        let stop = || over.is_over();
        let mut emit = |record| reply.send(&Response::Record(record));
        tap::tap(&*self.log, &*self.registry, request, &stop, &mut emit).map_err(|error| {
            let by_user = matches!(error, tap::Error::UnknownTopic { .. });
            Failure { hints: error.hint().into_iter().collect(), ..Failure::of(&error, by_user) }
        })
    }

    fn letters(&self, request: &letters::Request, reply: &mut Reply) -> Result<(), Failure> {
        let letters =
            Letters { log: &*self.log, registry: &*self.registry, application_id: &self.application_id, outboxes: &self.outboxes };
        let over = reply.watch();
        let stop = || over.is_over();
        let done = match request {
            letters::Request::List(filter) => letters.list(filter, &stop, &mut |letter| reply.send(&Response::Letter(Box::new(letter)))),
            letters::Request::Plan { filter, again } => {
                letters.plan(filter, *again, &stop).map(|plan| reply.say(&Response::ReplayPlan(plan)))
            }
            letters::Request::Replay { filter, again, plan } => {
                // Told between transactions; who does not listen finds out at the end what became of it, or asks again.
                let told = |count| match reply.send_in_time(&Response::Committed(count)) {
                    ControlFlow::Continue(()) | ControlFlow::Break(()) => {}
                };
                let outcome = letters.replay((filter, *again), plan, &stop, &mut { told });
                outcome.map(|outcome| reply.say(&Response::Replayed(outcome)))
            }
        };
        done.map_err(|error| Failure { hints: error.hint().into_iter().collect(), ..Failure::of(&error, error.is_by_user()) })
    }

    fn dry_run(&self, reply: &mut Reply) -> Result<(), Failure> {
        let none = || Failure::of(&NoSender, true);
        let outgoing = self.outgoing.as_ref().ok_or_else(none)?;
        let mut emit = |pending| reply.send(&Response::Pending(Box::new(pending)));
        let summary = outgoing.preview(&*self.log, Arc::clone(&self.registry), &mut emit).map_err(|error| {
            let by_user = matches!(error, dry_run::Error::NoTopic { .. });
            Failure::of(&error, by_user)
        })?;
        reply.say(&Response::Previewed(summary));
        Ok(())
    }

    fn import(&self, path: &Path, source: Option<&str>, reply: &mut Reply) -> Result<(), Failure> {
        let target = target(&self.targets, source).map_err(|error| Failure::of(&error, true))?;
        let import = Import { log: &*self.log, registry: &*self.registry, target, path };
        let outcome = import.run(Box::new(|_| ()), &mut Told { reply, bad_rows: Vec::new() }).map_err(|error| {
            let by_user = match &error {
                import::Error::File(file) => file.is_by_user(),
                import::Error::Append(error) => matches!(error, append::Error::Format { .. }),
            };
            Failure::of(&error, by_user)
        })?;
        reply.say(&Response::Imported(outcome));
        Ok(())
    }
}

/// Of what is wrong with a row a client is told so many characters.
const FAULT_CHARS_MAX: usize = 300;

/// Tells a client about the import that it asked for, and only between transactions: a client that does not read must not hold up those who
/// wait for the end of one. What is kept is bounded by the rows of a transaction.
struct Told<'a> {
    reply: &'a mut Reply,
    bad_rows: Vec<Response>,
}

impl Watch for Told<'_> {
    fn bad_row(&mut self, line: u64, fault: &Fault) {
        let fault = fault.to_string().chars().take(FAULT_CHARS_MAX).collect();
        self.bad_rows.push(Response::BadRow { line, fault });
    }

    fn committed(&mut self, rows: u64) {
        for response in self.bad_rows.drain(..).chain([Response::Committed(rows)]) {
            if self.reply.send_in_time(&response).is_break() {
                break;
            }
        }
    }

    fn stop(&self) -> bool {
        self.reply.is_lost() || self.reply.watch().is_over()
    }
}

#[cfg(test)]
mod tests;
