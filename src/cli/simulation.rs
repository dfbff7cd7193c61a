//! `demo` without a file: the real poller, the real engine and the real sender between a simulated YouTube and a simulated Telegram.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;

use super::context::{Context, refused};
use super::shutdown::Shutdown;
use super::terminal::{Out, say};
use super::{Error, Result};
use crate::config::{self, Config, External, OnUnknown, Parts, Rates, Source};
use crate::operate::ends::Sender;
use crate::operate::health::Reported;
use crate::operate::installation::{self, Installation};
use crate::operate::simulated::channel::PLAYLIST;
use crate::operate::simulated::telegram::{self as fake_telegram, Event};
use crate::operate::simulated::youtube as fake_youtube;
use crate::operate::simulated::{self, Channel, Fault, Faults, Telegram, YouTube};
use crate::operate::tally::{self, Messages};
use crate::operate::tap;
use crate::streams::clock::{Clock, ScaledClock, Timestamp};
use crate::streams::runtime::{ClientState, Streams};
use crate::youtube::poller;

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

/// The services, before anything runs between them.
pub(super) struct Services {
    youtube: YouTube,
    telegram: Telegram,
    events: mpsc::Receiver<Event>,
    /// The poller's: that of the simulated channel.
    clock: Arc<dyn Clock>,
}

/// Everything around the engine.
pub(super) struct Simulation {
    youtube: YouTube,
    // Held for its server.
    _telegram: Telegram,
    sender: Sender,
    poller: Option<JoinHandle<std::result::Result<(), poller::Error>>>,
    stop: Arc<AtomicBool>,
    events: mpsc::Receiver<Event>,
    out: Out,
    messages: Messages,
}

impl Services {
    /// Starts the services; whatever `config` says of YouTube and Telegram, from now on it names these.
    pub(super) fn start(installation: &Installation, config: &mut Config, seed: u64, context: &Context) -> Result<Self> {
        let source = source(config)?;
        let (source, observations) = (Arc::clone(&source.name), Arc::clone(&source.topic));
        let outbox = outbox(config)?;
        installation.create_topics(config, Parts::TOPOLOGY).map_err(refused)?;
        // Later observations are those of an earlier demonstration: it goes on after them.
        let begin = newest(installation, &observations)?.map_or(START, |newest| Timestamp(newest.0.saturating_add(600_000)));
        let mut channel = Channel::new(seed, START);
        channel.pass_until(begin.min(Timestamp(START.0 + CATCH_UP_MAX_MS)));
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
        config.youtube = Some(watched(source, youtube.base_url()));
        config.telegram = Some(sending(outbox, &telegram.base_url()));
        let clock = Arc::new(ScaledClock::new(begin, SPEED, Arc::clone(&context.clock)));
        Ok(Self { youtube, telegram, events, clock })
    }
}

impl Simulation {
    /// Starts the sender and the poller of `config` between the services.
    pub(super) fn start(services: Services, installation: &Installation, config: &Config, reported: &Reported) -> Result<Self> {
        let Services { youtube, telegram, events, clock } = services;
        let sender = installation.sender(config, |options| options.cache_bytes = SENDER_CACHE_BYTES).map_err(refused)?;
        let poller = installation.poller(config, clock).map_err(refused)?;
        let (Some(sender), Some(mut poller)) = (sender, poller) else {
            return Err(Error::internal("the simulated services are not in the configuration"));
        };
        reported.watch_desk(Arc::clone(&sender.desk));
        reported.watch_poller(poller.status());
        sender.engine.start().map_err(failed)?;
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
        while !over() && works(engine) && works(&self.sender.engine) && !self.poller.as_ref().is_none_or(JoinHandle::is_finished) {
            reported.take(engine);
            reported.set_sender(self.sender.engine.state(), self.sender.engine.status());
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
        let sent = self.sender.engine.close().map_err(failed);
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

/// The simulated channel's list, as `[youtube]` would say it.
fn watched(source: Arc<str>, base_url: String) -> config::YouTube {
    config::YouTube {
        api_key: External::literal(API_KEY),
        playlists: vec![PLAYLIST.to_owned()],
        channels: Vec::new(),
        videos: Vec::new(),
        every: POLL_INTERVAL,
        quota_per_day: 10_000,
        removed_after: 3,
        base_url,
        timeout: REQUEST_TIME,
        source,
    }
}

/// The simulated Telegram, as `[telegram]` would say it. There are no limits worth the name: it takes its time itself.
fn sending(outbox: Arc<str>, base_url: &str) -> config::Telegram {
    let many = std::num::NonZeroU32::MIN.saturating_add(999);
    config::Telegram {
        token: External::literal(TOKEN),
        base_url: base_url.into(),
        timeout: REQUEST_TIME,
        outbox,
        on_unknown: OnUnknown::SendAgain,
        chats: BTreeMap::new(),
        remember: Duration::from_secs(30 * 86_400),
        limits: Rates { chat_per_second: many, group_per_minute: many, bot_per_second: many },
    }
}

/// The source whose topic takes the observations: that of `[youtube]`, or the only one.
fn source(config: &Config) -> Result<&Source> {
    match (config.youtube_source(), config.sources.as_slice()) {
        (Some(source), _) | (None, [source]) => Ok(source),
        (None, _) => {
            let error = Error::user("the topology has several sources");
            Err(error.hinted("`source` in [youtube] says which of them takes what is observed."))
        }
    }
}

/// The topic whose messages are sent: that of `[telegram]`, or the only one.
fn outbox(config: &Config) -> Result<Arc<str>> {
    if let Some(telegram) = &config.telegram {
        return Ok(Arc::clone(&telegram.outbox));
    }
    let mut topics = tally::message_topics(config);
    match (topics.next(), topics.next()) {
        (Some(outbox), None) => Ok(outbox.into()),
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
