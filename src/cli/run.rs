//! `run`: the topology, until it is told to stop or, with `--until-end`, until its input is used up.

use std::sync::Arc;

use super::context::{Context, refused};
use super::shutdown::Shutdown;
use super::{Error, Result, http};
use crate::config::{Config, LoadOptions};
use crate::operate::health::Reported;
use crate::operate::installation::{self, Installation};
use crate::operate::owner::{self, Owner};
use crate::operate::socket::Server;
use crate::streams::runtime::{Options, Status, Streams};

/// A part of the program that can run by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The topology.
    Topology,
}

/// Run the topology until SIGINT or SIGTERM: then it commits, closes and exits with 0
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Stop when everything that was in the inputs at the start is committed
    #[arg(long)]
    until_end: bool,
    /// Leave the consumer group when it stops: others take over at once, instead of waiting for a restart
    #[arg(long)]
    leave_on_stop: bool,
    /// Number of stream threads, instead of that of the topology file
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Run just this part (there is only one so far)
    #[arg(long, value_enum, value_name = "PART")]
    only: Option<Part>,
    #[command(flatten)]
    listen: http::Listen,
}

pub(super) fn execute(args: &Args, context: &Context, shutdown: &Shutdown) -> Result {
    // All parts that there are is what runs anyway.
    let (None | Some(Part::Topology)) = args.only;
    let mut config = context.load(&LoadOptions::online())?;
    config.engine.threads = args.threads.map_or(config.engine.threads, usize::from);
    let installation = context.own_for(&config)?;
    let adjust = |options: &mut Options| (options.until_end, options.leave_on_stop) = (args.until_end, args.leave_on_stop);
    let engine = installation.engine(&config, adjust).map_err(refused)?;
    let reported = Reported::default();
    let server = serve(&installation, &config, &reported)?;
    let http = args.listen.serve(&installation, &reported)?;
    let directory = installation.directory();
    let instance = config.engine.instance_id.as_deref().unwrap_or(directory.instance_id());
    let brokers = config.kafka.as_ref().map(|kafka| kafka.bootstrap_servers.join(","));
    tracing::info!(application = %config.application_id, directory = %directory.path().display(), instance, brokers, "starting");
    let ended = drive(&engine, shutdown, &reported, |_| ());
    drop((http, server));
    ended
}

/// Starts the engine and stays until it has ended; a request to stop is passed on. `each` sees what it reports, several times a second.
pub(super) fn drive(engine: &Streams, shutdown: &Shutdown, reported: &Reported, mut each: impl FnMut(&Status)) -> Result {
    let failed = |error| refused(installation::Error::Engine(error));
    engine.start().map_err(failed)?;
    let mut told = false;
    let ended = engine.join(|status| {
        if shutdown.requested() && !told {
            told = true;
            tracing::info!("stopping");
            engine.stop();
        }
        reported.set(engine.state(), status.clone());
        each(status);
    });
    ended.map_err(failed)
}

/// Answers other commands through the socket in the directory.
pub(super) fn serve(installation: &Installation, config: &Config, reported: &Reported) -> Result<Server> {
    let owner = Owner {
        log: installation.log(),
        registry: installation.registry(),
        application_id: Arc::clone(&config.application_id),
        targets: owner::targets(config),
        reported: reported.clone(),
    };
    let server = Server::start(installation.directory().path(), Arc::new(owner));
    server.map_err(|error| Error::unavailable(error).hinted("The socket in the state directory could not be opened."))
}
