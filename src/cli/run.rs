//! `run`: poller, topology and sender, until they are told to stop or, with `--until-end` and `--once`, until there is nothing left to do.

use std::sync::Arc;
use std::thread::{Builder, Scope, ScopedJoinHandle};

use super::context::{Context, refused};
use super::shutdown::Shutdown;
use super::{Error, Result, http};
use crate::config::{Config, LoadOptions, Parts};
use crate::operate::ends::Sender;
use crate::operate::health::Reported;
use crate::operate::installation::{self, Installation};
use crate::operate::outgoing::Outgoing;
use crate::operate::owner::{self, Owner};
use crate::operate::socket::Server;
use crate::streams::runtime::{Options, Status, Streams};
use crate::telegram;
use crate::youtube::poller::{self, Poller, Summary};

/// A part of the program that can run by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The poller, which [youtube] asks for
    Poll,
    /// The topology
    Topology,
    /// The sender, which [telegram] asks for
    Send,
}

/// Run poller, topology and sender until SIGINT or SIGTERM: then each commits and closes, and the exit code is 0
///
/// Without [youtube] in the topology file nothing is polled, without [telegram] nothing is sent. On Kafka each part can be a process of its own, and
/// several of each: of the pollers of an application one is active.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Do not poll; process what is in the inputs at the start, send what is to be sent, and stop
    #[arg(long)]
    until_end: bool,
    /// Poll once, process and send what came of it, and stop
    #[arg(long, conflicts_with = "until_end")]
    once: bool,
    /// Leave the consumer groups when it stops: others take over at once, instead of waiting for a restart
    #[arg(long)]
    leave_on_stop: bool,
    /// Number of stream threads, instead of that of the topology file
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Run just this part
    #[arg(long, value_enum, value_name = "PART")]
    only: Option<Part>,
    #[command(flatten)]
    listen: http::Listen,
}

impl Args {
    /// The parts that are to run, as far as the topology file has them.
    fn parts(&self) -> Parts {
        let is = |part| self.only.is_none_or(|only| only == part);
        Parts { poll: is(Part::Poll) && !self.until_end, topology: is(Part::Topology), send: is(Part::Send) }
    }

    /// The parts that do run; refuses one that was asked for and is not in the file.
    fn check(&self, config: &Config) -> Result<Parts> {
        let wanted = self.parts();
        let parts = Parts { poll: wanted.poll && config.youtube.is_some(), send: wanted.send && config.telegram.is_some(), ..wanted };
        let missing = match self.only {
            Some(Part::Poll) if self.until_end => {
                return Err(Error::user("the poller has no end").hinted("`run --only poll --once` polls once."));
            }
            Some(Part::Poll) if !parts.poll => "[youtube]",
            Some(Part::Send) if !parts.send => "[telegram]",
            None if self.once && !parts.poll => "[youtube]",
            _ => return Ok(parts),
        };
        let error = Error::user(format!("the topology file has no {missing}"));
        Err(error.hinted("The shipped topology.toml shows its keys, commented out."))
    }
}

/// However a part ends, by a panic too: the others end with it.
struct EndsOthers<'a> {
    part: &'static str,
    shutdown: &'a Shutdown,
}

impl Drop for EndsOthers<'_> {
    fn drop(&mut self) {
        tracing::info!(part = self.part, "ended");
        self.shutdown.request();
    }
}

/// What runs, and where.
struct Run<'a> {
    args: &'a Args,
    parts: Parts,
    config: &'a Config,
    context: &'a Context,
    installation: &'a Installation,
    reported: &'a Reported,
    shutdown: &'a Shutdown,
}

pub(super) fn execute(args: &Args, context: &Context, shutdown: &Shutdown) -> Result {
    let mut config = context.load(&LoadOptions::online().for_parts(args.parts()))?;
    config.engine.threads = args.threads.map_or(config.engine.threads, usize::from);
    let parts = args.check(&config)?;
    let installation = context.own_for(&config)?;
    let reported = Reported::of(parts);
    let run = Run { args, parts, config: &config, context, installation: &installation, reported: &reported, shutdown };
    if args.once || args.until_end { run.in_turn() } else { run.together() }
}

impl Run<'_> {
    /// One part after the other, each until it has done what there is.
    fn in_turn(&self) -> Result {
        let _serving = self.serve()?;
        let mut polled = Ok(());
        if let Some(mut poller) = self.poller()? {
            self.reported.watch_poller(poller.status());
            polled = match poller.once(&|| self.shutdown.requested()) {
                Ok(summary) => self.judge(&summary),
                // No reason for the others to wait: what was left to do by an earlier run is done.
                Err(error @ (poller::Error::Budget { .. } | poller::Error::Busy { .. })) => Err(refused(error.into())),
                Err(error) => return Err(refused(error.into())),
            };
        }
        if let Some(engine) = self.topology()? {
            drive(&engine, self.shutdown, self.reported, |_| ())?;
        }
        if let Some(sender) = self.sender()?.filter(|_| !self.shutdown.requested()) {
            self.send(&sender)?;
        }
        // What was observed is through, all the same.
        polled
    }

    /// A poll that is not complete, or could read nothing of what is watched, is a failure to whoever asked for that one poll; a list that cannot be
    /// read beside others that can is told in the log. One that was told to stop is none.
    fn judge(&self, summary: &Summary) -> Result {
        let is_in_vain = summary.observed == 0 && !summary.unseen.is_empty();
        if self.shutdown.requested() || summary.is_complete && !is_in_vain {
            return Ok(());
        }
        let what = if summary.is_complete { "nothing that is watched could be polled" } else { "the poll is not complete" };
        Err(Error::unavailable(format!("{what}: {}", summary.trouble().unwrap_or_default())))
    }

    /// All parts at once. When one ends, the others end with it.
    fn together(&self) -> Result {
        let (topology, sender, poller) = (self.topology()?, self.sender()?, self.poller()?);
        let _serving = self.serve()?;
        std::thread::scope(|scope| {
            let polling = poller.map(|poller| self.spawn(scope, "poller", move || self.poll(poller)));
            let sending = sender.map(|sender| self.spawn(scope, "sender", move || self.send(&sender)));
            let (polling, sending) = (polling.transpose()?, sending.transpose()?);
            let processed = topology.map_or(Ok(()), |engine| {
                let _ends = EndsOthers { part: "topology", shutdown: self.shutdown };
                drive(&engine, self.shutdown, self.reported, |_| ())
            });
            let ended = [polling, sending]
                .into_iter()
                .flatten()
                .map(|part| part.join().unwrap_or_else(|_| Err(Error::internal("a part of the program panicked; the log says where"))));
            // What stopped one of them stopped the others: the first failure is the cause.
            [processed].into_iter().chain(ended.collect::<Vec<_>>()).collect()
        })
    }

    fn spawn<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        part: &'static str,
        body: impl FnOnce() -> Result + Send + 'scope,
    ) -> Result<ScopedJoinHandle<'scope, Result>> {
        let body = move || {
            let _ends = EndsOthers { part, shutdown: self.shutdown };
            body()
        };
        Builder::new().name(part.to_owned()).spawn_scoped(scope, body).map_err(|error| {
            self.shutdown.request();
            Error::unavailable(error)
        })
    }

    fn poller(&self) -> Result<Option<Poller>> {
        if !self.parts.poll {
            return Ok(None);
        }
        self.installation.poller(self.config, Arc::clone(&self.context.clock)).map_err(refused)
    }

    fn topology(&self) -> Result<Option<Streams>> {
        self.parts.topology.then(|| self.installation.engine(self.config, |options| self.adjust(options)).map_err(refused)).transpose()
    }

    fn sender(&self) -> Result<Option<Sender>> {
        if !self.parts.send {
            return Ok(None);
        }
        self.installation.sender(self.config, |options| self.adjust(options)).map_err(refused)
    }

    fn adjust(&self, options: &mut Options) {
        options.until_end = self.args.until_end || self.args.once;
        // Whoever stops when there is nothing left to do takes nothing over.
        options.standby &= !options.until_end;
        options.leave_on_stop = self.args.leave_on_stop;
    }

    fn poll(&self, mut poller: Poller) -> Result {
        self.reported.watch_poller(poller.status());
        poller.run(&|| self.shutdown.requested()).map_err(|error| refused(error.into()))
    }

    fn send(&self, sender: &Sender) -> Result {
        let Sender { engine, desk } = sender;
        self.reported.watch_desk(Arc::clone(desk));
        let ended = run_engine(engine, self.shutdown, |engine, status| {
            self.reported.set_sender(engine.state(), status.clone());
            if desk.stopped().is_some() {
                engine.stop();
            }
        });
        match desk.stopped() {
            Some(reason) => {
                let error = Error::config(format!("Telegram refuses what the bot sends: {reason}"));
                Err(error.hinted("`token` and `base_url` of [telegram] say who sends, and where; `tidewatch telegram test` tries them."))
            }
            // Who runs it until the end is told that this was not it.
            None if desk.status().out_of_reach && !self.shutdown.requested() => {
                ended.and(Err(Error::unavailable("Telegram is out of reach, the messages wait for the next run")))
            }
            None => ended,
        }
    }

    /// Answers other commands and over HTTP, as long as what it returns is there.
    fn serve(&self) -> Result<(Server, Option<crate::operate::http::Server>)> {
        let server = serve(self.installation, self.config, self.reported)?;
        let http = self.args.listen.serve(self.installation, self.reported)?;
        let directory = self.installation.directory();
        let instance = &*self.config.engine.instance_id_or(directory.instance_id());
        let brokers = self.config.kafka.as_ref().map(|kafka| kafka.bootstrap_servers.join(","));
        let Parts { poll, topology, send } = self.parts;
        let parts: Vec<_> =
            [("poll", poll), ("topology", topology), ("send", send)].into_iter().filter(|part| part.1).map(|part| part.0).collect();
        tracing::info!(
            application = %self.config.application_id, directory = %directory.path().display(), instance, brokers, parts = parts.join(","), "starting"
        );
        Ok((server, http))
    }
}

/// Starts the topology's engine and stays until it has ended; a request to stop is passed on. `each` sees what it reports, several times a second.
pub(super) fn drive(engine: &Streams, shutdown: &Shutdown, reported: &Reported, mut each: impl FnMut(&Status)) -> Result {
    run_engine(engine, shutdown, |engine, status| {
        reported.set(engine.state(), status.clone());
        each(status);
    })
}

fn run_engine(engine: &Streams, shutdown: &Shutdown, mut each: impl FnMut(&Streams, &Status)) -> Result {
    let failed = |error| refused(installation::Error::Engine(error));
    engine.start().map_err(failed)?;
    let mut told = false;
    let ended = engine.join(|status| {
        if shutdown.requested() && !told {
            told = true;
            tracing::info!("stopping");
            engine.stop();
        }
        each(engine, status);
    });
    ended.map_err(failed)
}

/// Answers other commands through the socket in the directory.
pub(super) fn serve(installation: &Installation, config: &Config, reported: &Reported) -> Result<Server> {
    let owner = Owner {
        log: installation.log(),
        registry: installation.registry(),
        application_id: Arc::clone(&config.application_id),
        outboxes: telegram::outboxes(config),
        targets: owner::targets(config),
        outgoing: Outgoing::of(config),
        reported: reported.clone(),
    };
    let server = Server::start(installation.directory().path(), Arc::new(owner));
    server.map_err(|error| Error::unavailable(error).hinted("The socket in the state directory could not be opened."))
}
