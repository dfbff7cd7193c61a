//! `demo`: the whole pipeline on a simulated channel; with `--from` on a file.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::context::{Context, refused};
use super::shutdown::Shutdown;
use super::temporary::Temporary;
use super::terminal::{Out, say};
use super::{Error, Result, http, replay, run};
use crate::config::Config;
use crate::operate::append::Appender;
use crate::operate::health::Reported;
use crate::operate::installation::{self, Installation};
use crate::operate::simulated::Channel;
use crate::operate::simulated::channel::observer::{self, Observer};
use crate::operate::tally::{self, Messages, Texts};
use crate::operate::{owner, tap};
use crate::streams::clock::{Clock, Timestamp};
use crate::streams::runtime::{ClientState, Streams};

/// The seed where none is given.
const DEFAULT_SEED: u64 = 20_260_806;

/// When the simulation begins: 2026-08-06T15:00:00Z, an afternoon.
const START: Timestamp = Timestamp(1_786_028_400_000);

/// Real time between two observations at the busiest hour.
const OBSERVATION_INTERVAL: Duration = Duration::from_millis(70);

/// Real time that a message is given for itself, so that they can be read.
const MESSAGE_INTERVAL: Duration = Duration::from_millis(600);

/// Show the whole pipeline at work: on a simulated channel, or on a file of observations
///
/// Without --from a small YouTube channel is simulated, faster than real time: the same for the same seed. Its messages appear on standard output
/// until Ctrl-C. No keys and no network are needed: what the topology file takes from the environment is replaced by its name.
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
    let config = context.load_embedded()?;
    let temporary = if context.state_dir.is_none() { Some(Temporary::new().map_err(Error::unavailable)?) } else { None };
    let path = temporary.as_ref().map_or_else(|| context.state_dir(), |temporary| temporary.path().to_owned());
    let installation = context.own(&path)?;
    let engine = installation.engine(&config, |_| ()).map_err(refused)?;
    let reported = Reported::default();
    let server = run::serve(&installation, &config, &reported)?;
    let http = args.listen.serve(&installation, &reported)?;
    let mut show = Show::open(&installation, &config, args.seed, Arc::clone(&context.clock), reported)?;
    let failed = |error| refused(installation::Error::Engine(error));
    engine.start().map_err(failed)?;
    say(&format!("A simulated channel (seed {}), faster than real time. Ctrl-C ends it.", args.seed));
    if let Some(http) = &http {
        say(&format!("HTTP on http://{}", http.address()));
    }
    let shown = show.run(&engine, shutdown, args.limit);
    // Order: the engine ends first, so that its last messages are committed when they are looked for.
    let closed = engine.close().map_err(failed);
    let shown = shown.and_then(|()| show.print(Duration::ZERO));
    drop((http, server));
    // What stopped the engine is the cause of whatever else went wrong.
    closed?;
    shown?;
    say(&show.summary());
    Ok(())
}

/// The channel on one side, its messages on the other.
struct Show {
    channel: Observer,
    appender: Appender,
    position: i64,
    clock: Arc<dyn Clock>,
    readers: Vec<tap::Reader>,
    registry: Arc<dyn crate::avro::Registry>,
    out: Out,
    observations: u64,
    messages: Messages,
    /// For those who ask how the engine is.
    reported: Reported,
}

impl Show {
    fn open(installation: &Installation, config: &Config, seed: u64, clock: Arc<dyn Clock>, reported: Reported) -> Result<Self> {
        let (log, registry) = (installation.log(), installation.registry());
        let targets = owner::targets(config);
        let target = owner::target(&targets, None).map_err(Error::user)?;
        let name = format!("demo-{seed}");
        let opened = Appender::open(&*log, &*registry, target, &observer::shape(), &name);
        let (appender, committed) =
            opened.map_err(|error| Error::config(error).hinted("The simulated channel is one of YouTube videos."))?;
        let position = committed.map_or(0, |committed| committed.offset.0);
        let mut channel = Observer::new(Channel::new(seed, START));
        // What an earlier demo with this seed appended is passed over.
        for _ in 0..position {
            channel.step();
        }
        let readers = tally::message_topics(config).map(|topic| tap::Reader::open(&*log, topic, tap::From::Latest));
        let readers: Vec<_> = readers.collect::<Result<_, _>>().map_err(Error::internal)?;
        if readers.is_empty() {
            return Err(Error::user("the topology writes no messages").hinted("A sink with value = \"telegram_message\" does."));
        }
        let (out, messages) = (Out::new(), Messages::default());
        Ok(Self { channel, appender, position, clock, readers, registry, out, observations: 0, messages, reported })
    }

    /// Appends and prints until it is told to stop, the time is over, or the engine fails.
    fn run(&mut self, engine: &Streams, shutdown: &Shutdown, limit: Option<Duration>) -> Result {
        let begin = self.clock.monotonic();
        let over = |now: Duration| shutdown.requested() || limit.is_some_and(|limit| now.saturating_sub(begin) >= limit);
        let mut due = begin;
        while !over(self.clock.monotonic()) && matches!(engine.state(), ClientState::Rebalancing | ClientState::Running) {
            self.reported.take(engine);
            due = due.max(self.clock.monotonic()) + self.observe()?;
            loop {
                let before = self.messages.total();
                let now = self.clock.monotonic();
                if now >= due || over(now) {
                    break;
                }
                self.print(due.saturating_sub(now).min(Duration::from_millis(50)))?;
                due += MESSAGE_INTERVAL * u32::try_from(self.messages.total() - before).unwrap_or(u32::MAX);
            }
        }
        Ok(())
    }

    /// Appends one observation; returns how long to wait for the next.
    fn observe(&mut self) -> Result<Duration> {
        let seen = self.channel.step();
        let wait = if seen.first_poll { Duration::ZERO } else { OBSERVATION_INTERVAL.mul_f64(seen.activity) };
        self.position += 1;
        self.observations += 1;
        let appended = self.appender.append(seen.id, seen.row, seen.at).and_then(|()| self.appender.commit(self.position, ""));
        appended.map_err(Error::internal)?;
        Ok(wait)
    }

    /// Prints the messages that were committed, waiting for them up to `timeout`.
    fn print(&mut self, timeout: Duration) -> Result {
        let mut texts = Vec::new();
        let mut reading = Texts { registry: &*self.registry };
        let share = timeout / u32::try_from(self.readers.len()).unwrap_or(1).max(1);
        for reader in &mut self.readers {
            // Each poll brings the records of one partition.
            let mut timeout = share;
            while reader.poll(timeout, &mut |_, record| texts.extend(reading.of(record))).map_err(Error::internal)? {
                timeout = Duration::ZERO;
            }
        }
        for text in &texts {
            self.messages.count(text);
            self.out.line(text)?;
        }
        if texts.is_empty() { Ok(()) } else { self.out.flush() }
    }

    fn summary(&self) -> String {
        let rules: Vec<String> = self.messages.iter().map(|(rule, count)| format!("{rule} {count}")).collect();
        format!("{} observations, {} messages ({}).", self.observations, self.messages.total(), rules.join(", "))
    }
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
