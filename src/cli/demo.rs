//! `demo`: the whole pipeline on a simulated channel; with `--from` on a file.

use std::path::PathBuf;
use std::time::Duration;

use super::context::{Context, refused};
use super::shutdown::Shutdown;
use super::simulation::{Services, Simulation};
use super::temporary::Temporary;
use super::terminal::say;
use super::{Error, Result, http, replay, run};
use crate::config::{self, Parts};
use crate::operate::health::Reported;
use crate::operate::installation;

/// The seed where none is given.
const DEFAULT_SEED: u64 = 20_260_806;

/// Show the whole pipeline at work: on a simulated channel, or on a file of observations
///
/// Without --from a small YouTube channel is simulated, faster than real time: the same for the same seed. It is polled over HTTP as YouTube is, and
/// the messages are sent as to Telegram; what arrives there appears on standard output until Ctrl-C. No keys and no network are needed: what the
/// topology file takes from the environment is replaced by its name.
///
/// Everything goes through the durable embedded log, in a temporary directory that is removed at the end, or in --state-dir, where the same
/// command goes on after any interruption. The topology is that of --config, of ./topology.toml, or else the one that ships.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Replay this file of observations and stop when all is committed (see `import` for its columns)
    #[arg(long, value_name = "FILE.csv[.gz]", conflicts_with = "http")]
    from: Option<PathBuf>,
    /// Print one JSON object that counts what is in the topics, instead of the messages
    #[arg(long, requires = "from")]
    json: bool,
    /// The seed of the simulated channel
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SEED, conflicts_with = "from")]
    seed: u64,
    /// Stop after this time, such as 30s or 5m
    #[arg(long = "for", value_name = "TIME", value_parser = duration, conflicts_with = "from")]
    limit: Option<Duration>,
    #[command(flatten)]
    listen: http::Listen,
    // Known here as everywhere, and refused with a reason: the help need not offer them.
    #[arg(id = "bootstrap_servers", long = "bootstrap-servers", hide = true, value_delimiter = ',', value_parser = config::parse_server)]
    _bootstrap_servers: Vec<String>,
    #[arg(id = "registry", long = "registry", hide = true)]
    _registry: Option<String>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Result<jiff::SignedDuration, _> = text.parse();
    let duration = parsed.ok().and_then(|duration| Duration::try_from(duration).ok());
    duration.ok_or_else(|| "not a time such as 30s, 5m or 1h30m".to_owned())
}

pub(super) fn execute(args: &Args, context: &Context, shutdown: &Shutdown) -> Result {
    match &args.from {
        Some(file) => replay::execute(file, args.json, context, shutdown),
        None => simulate(args, context, shutdown),
    }
}

fn simulate(args: &Args, context: &Context, shutdown: &Shutdown) -> Result {
    let mut config = context.load_embedded()?;
    let temporary = if context.state_dir.is_none() { Some(Temporary::new().map_err(Error::unavailable)?) } else { None };
    let path = temporary.as_ref().map_or_else(|| context.state_dir(), |temporary| temporary.path().to_owned());
    let installation = context.own(&path)?;
    let services = Services::start(&installation, &mut config, args.seed, context)?;
    let engine = installation.engine(&config, |_| ()).map_err(refused)?;
    let reported = Reported::of(Parts::ALL);
    let server = run::serve(&installation, &config, &reported)?;
    let http = args.listen.serve(&installation, &reported)?;
    let mut simulation = Simulation::start(services, &installation, &config, &reported)?;
    say(&format!("A simulated channel (seed {}), faster than real time. Ctrl-C ends it.", args.seed));
    if let Some(http) = &http {
        say(&format!("HTTP on http://{}", http.address()));
    }
    let begin = context.clock.monotonic();
    let mut over = || args.limit.is_some_and(|limit| context.clock.monotonic().saturating_sub(begin) >= limit);
    let shown = match engine.start() {
        Ok(()) => simulation.show(&engine, &reported, shutdown, &mut over),
        Err(error) => Err(refused(installation::Error::Engine(error))),
    };
    let ended = simulation.end(&engine);
    drop((http, server));
    ended?;
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5_400)));
        for bad in ["30", "", "-5s", "soon"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
