//! `demo` without a file: the real poller, the real engine and the real sender between a simulated YouTube and a simulated Telegram.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;

use super::context::{Context, refused};
use super::shutdown::Shutdown;
use super::terminal::{Out, say};
use super::{Error, Result};
use crate::config::{Config, OnUnknown, Rates, ValueFormat};
use crate::operate::health::Reported;
use crate::operate::installation::{self, Installation};
use crate::operate::simulated::channel::PLAYLIST;
use crate::operate::simulated::telegram::{self as fake_telegram, Event};
use crate::operate::simulated::youtube as fake_youtube;
use crate::operate::simulated::{self, Channel, Fault, Faults, Telegram, YouTube};
use crate::operate::tally::{self, Messages};
use crate::operate::{owner, tap};
use crate::streams::clock::{Clock, ScaledClock, Timestamp};
use crate::streams::log::TopicConfig;
use crate::streams::runtime::{ClientState, Streams};
use crate::telegram::{self, Desk, Limits};
use crate::youtube;
use crate::youtube::poller::{self, Parts, Poller};

/// When the simulation begins: 2026-08-06T15:00:00Z, an afternoon.
const START: Timestamp = Timestamp(1_786_028_400_000);

/// How much faster than real time: ten minutes, from one poll to the next, are two seconds.
const SPEED: u32 = 300;

/// The simulated time between two polls.
const POLL_INTERVAL: Duration = Duration::from_secs(600);

/// A log with later observations than this is not caught up with: its times are none of the simulation's.
const CATCH_UP_MAX_MS: i64 = 10 * 365 * 86_400_000;

/// How long the simulated Telegram takes for a message, so that they can be read.
const MESSAGE_TIME: Duration = Duration::from_millis(450);

/// The message that is answered with 429 first, and the seconds that are to be waited then.
const FLOODED: u64 = 6;
const FLOOD_WAIT_S: u64 = 1;

/// How long a request of the poller or the sender may take.
const REQUEST_TIME: Duration = Duration::from_secs(10);

/// Messages and waits that are not told yet.
const EVENTS_MAX: usize = 64;

/// Requests that the simulated Telegram keeps.
const REQUESTS_KEPT: usize = 100;

/// How often it is looked what there is to tell.
const LOOK: Duration = Duration::from_millis(50);

/// Memory for the sender's rows.
const SENDER_CACHE_BYTES: usize = 4 << 20;

/// What the simulated services know their only client by.
const API_KEY: &str = "simulated";
const TOKEN: &str = "1:simulated";

/// Everything around the engine.
pub(super) struct Simulation {
    youtube: YouTube,
    // Held for its server.
    _telegram: Telegram,
    sender: Streams,
    poller: Option<JoinHandle<std::result::Result<(), poller::Error>>>,
    stop: Arc<AtomicBool>,
    events: mpsc::Receiver<Event>,
    out: Out,
    messages: Messages,
}

impl Simulation {
    /// Starts the services, the sender and the poller.
    pub(super) fn start(installation: &Installation, config: &Config, seed: u64, context: &Context) -> Result<Self> {
        let target = owner::targets(config);
        let target = owner::target(&target, None).map_err(Error::user)?;
        // Later observations are those of an earlier demonstration: it goes on after them.
        let begin = newest(installation, &target.topic)?.map_or(START, |newest| Timestamp(newest.0.saturating_add(600_000)));
        let mut channel = Channel::new(seed, START);
        channel.pass_until(begin.min(Timestamp(START.0 + CATCH_UP_MAX_MS)));
        let clock: Arc<dyn Clock> = Arc::new(ScaledClock::new(begin, SPEED, Arc::clone(&context.clock)));
        let options = fake_youtube::Options { api_key: API_KEY.to_owned(), units_per_day: u64::MAX, faults: Faults::none() };
        let youtube = YouTube::start(channel, options).map_err(unavailable)?;
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let options = fake_telegram::Options {
            delay: MESSAGE_TIME,
            faults: Faults::scripted([(FLOODED, Fault::TooMany { retry_after: FLOOD_WAIT_S })]),
            // A chat's id is the name of what it is taken from, since that is not there.
            any_chat: true,
            kept: REQUESTS_KEPT,
            events: Some(sender),
            ..fake_telegram::Options::new(TOKEN)
        };
        let telegram = Telegram::start(options, Arc::clone(&context.clock)).map_err(unavailable)?;

        let sender = sender_engine(installation, config, &telegram.base_url(), context)?;
        let poller = Poller::new(poller_parts(installation, target, &youtube.base_url(), clock)?);
        let mut poller = poller.map_err(|error| Error::config(error).hinted("The simulated channel is one of YouTube videos."))?;
        sender.start().map_err(failed)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let poller = std::thread::Builder::new().name("poller".to_owned()).spawn(move || poller.run(&|| stopping.load(Ordering::SeqCst)));
        let poller = poller.map_err(Error::unavailable)?;
        Ok(Self {
            youtube,
            _telegram: telegram,
            sender,
            poller: Some(poller),
            stop,
            events,
            out: Out::new(),
            messages: Messages::default(),
        })
    }

    /// Tells what happens until it is told to stop, the time is over, or one of the parts ends.
    pub(super) fn show(&mut self, engine: &Streams, reported: &Reported, shutdown: &Shutdown, over: &mut dyn FnMut() -> bool) -> Result {
        let works = |engine: &Streams| matches!(engine.state(), ClientState::Created | ClientState::Rebalancing | ClientState::Running);
        while !over() && works(engine) && works(&self.sender) && !self.poller.as_ref().is_none_or(JoinHandle::is_finished) {
            reported.take(engine);
            self.tell()?;
            if shutdown.wait(LOOK) {
                break;
            }
        }
        Ok(())
    }

    /// Prints the messages that were taken, and says what is special.
    fn tell(&mut self) -> Result {
        for event in self.youtube.take_events() {
            say(&event.to_string());
        }
        let mut is_new = false;
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::Message { text, .. } => {
                    self.messages.count(&text);
                    self.out.line(&text)?;
                    is_new = true;
                }
                Event::Wait(seconds) => {
                    // In its place among the messages.
                    self.out.flush()?;
                    say(&format!("429: Telegram says to wait {seconds} s"));
                }
            }
        }
        if is_new { self.out.flush() } else { Ok(()) }
    }

    /// Ends poller, engine and sender, in the order of the way of a record; then tells what is left to tell.
    pub(super) fn end(mut self, engine: &Streams) -> Result {
        self.stop.store(true, Ordering::SeqCst);
        let polled = self.poller.take().map_or(Ok(Ok(())), JoinHandle::join).map_err(|_| Error::internal("the poller panicked"));
        let closed = engine.close().map_err(failed);
        let sent = self.sender.close().map_err(failed);
        // What stopped one of them is the cause of whatever else went wrong.
        polled?.map_err(Error::internal)?;
        closed?;
        sent?;
        self.tell()?;
        say(&self.summary());
        Ok(())
    }

    fn summary(&self) -> String {
        let rules: Vec<String> = self.messages.iter().map(|(rule, count)| format!("{rule} {count}")).collect();
        let (observations, requests) = (self.youtube.observations(), self.youtube.units());
        format!("{observations} observations with {requests} requests, {} messages ({}).", self.messages.total(), rules.join(", "))
    }
}

/// The time of the newest observation in the topic.
fn newest(installation: &Installation, topic: &str) -> Result<Option<Timestamp>> {
    let mut newest = None;
    let read = tap::for_each(&*installation.log(), topic, &mut |record| newest = newest.max(Some(record.timestamp)));
    read.map_err(Error::internal)?;
    Ok(newest)
}

fn poller_parts(
    installation: &Installation,
    target: &crate::operate::append::Target,
    base_url: &str,
    clock: Arc<dyn Clock>,
) -> Result<Parts> {
    let options = youtube::Options {
        base_url: base_url.to_owned(),
        api_key: API_KEY.into(),
        timeout: REQUEST_TIME,
        user_agent: "tidewatch (demo)".to_owned(),
    };
    let settings = poller::Settings {
        application_id: Arc::clone(&target.application_id),
        topic: Arc::clone(&target.topic),
        schema: target.schema.clone(),
        playlists: vec![PLAYLIST.to_owned()],
        channels: Vec::new(),
        videos: Vec::new(),
        every: POLL_INTERVAL,
        quota_per_day: 10_000,
        removed_after: 3,
    };
    Ok(Parts {
        log: installation.log(),
        registry: installation.registry(),
        clock,
        client: youtube::Client::new(&options).map_err(Error::internal)?,
        settings,
        instance_id: installation.directory().instance_id().into(),
        creates_topic: true,
    })
}

/// The sender, on an engine of its own. Its limits are none: the simulated Telegram takes its time.
fn sender_engine(installation: &Installation, config: &Config, base_url: &str, context: &Context) -> Result<Streams> {
    let outbox = outbox(config)?;
    let options = telegram::Options { base_url: base_url.to_owned(), token: TOKEN.into(), timeout: REQUEST_TIME };
    let client = telegram::Client::new(&options).map_err(Error::internal)?;
    let many = std::num::NonZeroU32::MIN.saturating_add(999);
    let rates = Rates { chat_per_second: many, group_per_minute: many, bot_per_second: many };
    let limits = Limits::new(&rates, Arc::clone(&context.clock));
    let desk = Desk::start(client, limits, config.engine.partitions, Arc::clone(&context.clock)).map_err(Error::unavailable)?;
    let settings = telegram::Settings {
        outbox: outbox.into(),
        format: ValueFormat::Avro,
        dead_letters: telegram::DEAD_LETTERS.into(),
        on_unknown: OnUnknown::SendAgain,
        chats: std::collections::BTreeMap::new(),
        remember: Duration::from_secs(30 * 86_400),
    };
    let topology = telegram::topology(&settings, installation.registry(), desk).map_err(Error::internal)?;
    let dead_letters = TopicConfig::keep(config.engine.partitions);
    installation.create_topic(telegram::DEAD_LETTERS, &dead_letters).map_err(refused)?;
    let mut options = telegram::runtime_options(config, installation.directory().instance_id());
    options.cache_bytes = SENDER_CACHE_BYTES;
    installation.beside("sender", Arc::new(topology), options).map_err(refused)
}

/// The topic whose messages are sent.
fn outbox(config: &Config) -> Result<&str> {
    if let Some(telegram) = &config.telegram {
        return Ok(&telegram.outbox);
    }
    let mut topics = tally::message_topics(config);
    match (topics.next(), topics.next()) {
        (Some(outbox), None) => Ok(outbox),
        (None, _) => Err(Error::user("the topology writes no messages").hinted("A sink with value = \"telegram_message\" does.")),
        (Some(_), Some(_)) => {
            let error = Error::user("the topology writes messages to several topics");
            Err(error.hinted("`outbox` in [telegram] says which of them are sent."))
        }
    }
}

fn failed(error: crate::streams::runtime::Error) -> Error {
    refused(installation::Error::Engine(error))
}

fn unavailable(error: simulated::Error) -> Error {
    Error::unavailable(error).hinted("The demonstration needs two free ports of the loopback, which is 127.0.0.1.")
}
