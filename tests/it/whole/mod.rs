//! The whole way with the real binary: its poller at a simulated YouTube, the topology, its sender at a simulated Telegram.

mod by_hand;
pub(crate) mod deliveries;
mod deliveries_tests;
pub(crate) mod kills;
mod many;
pub(crate) mod secrets;

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

use tidewatch::operate::simulated::channel::PLAYLIST;
use tidewatch::operate::simulated::telegram::{self, Telegram};
use tidewatch::operate::simulated::youtube::{self, YouTube};
use tidewatch::operate::simulated::{Channel, Faults};
use tidewatch::streams::clock::{Clock as _, SystemClock};

use crate::comparison::assert_same;
use crate::installation::{Installation, Live, PATIENCE, Tapped};
use crate::oracle::Expected;
use crate::oracle::csv::Observation;
use deliveries::Texts;

/// What nobody may ever read: the bot's token and the API's key.
pub(crate) const TOKEN: &str = "7000000001:AAcanaryTokenCanaryTokenCanaryToken";
pub(crate) const KEY: &str = "AIzaCanaryKeyCanaryKeyCanaryKeyCanary00";

/// One chat for each rule of the shipped topology.
const CHATS: [(&str, &str); 3] = [("likes", "101"), ("comments", "-102"), ("views", "103")];

/// The two services outside.
pub(crate) struct Outside {
    pub(crate) youtube: YouTube,
    pub(crate) telegram: Telegram,
    clock: Arc<SystemClock>,
    /// When processes were killed: from before to after.
    pub(crate) kills: Vec<Range<Duration>>,
}

impl Outside {
    pub(crate) fn start(seed: u64, faults: Faults) -> Self {
        let clock = Arc::new(SystemClock::new());
        let channel = Channel::new(seed, clock.now());
        let options = youtube::Options { api_key: KEY.to_owned(), units_per_day: 10_000_000, faults: Faults::none() };
        let youtube = YouTube::start(channel, options).unwrap();
        let telegram =
            Telegram::start(telegram::Options { faults, ..telegram::Options::new(TOKEN) }, Arc::<SystemClock>::clone(&clock)).unwrap();
        Self { youtube, telegram, clock, kills: Vec::new() }
    }

    /// The shipped topology with both ends: every second a poll, many messages a second, a chat for each rule.
    pub(crate) fn topology(&self, more: &str) -> String {
        let mut text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("topology.toml")).unwrap();
        for (_, chat) in CHATS {
            text = text.replacen("chat_id = { env = \"TELEGRAM_CHAT_ID\" }", &format!("chat_id = \"{chat}\""), 1);
        }
        format!(
            "{text}\n\
             [youtube]\napi_key = {{ env = \"YOUTUBE_API_KEY\" }}\nplaylists = [\"{PLAYLIST}\"]\nbase_url = \"{}\"\nevery = \"1s\"\n\
             quota_per_day = 10000000\n\n\
             [telegram]\ntoken = {{ env = \"TELEGRAM_BOT_TOKEN\" }}\nbase_url = \"{}\"\ntimeout = \"2s\"\n\
             [telegram.limits]\nchat_per_second = 50\ngroup_per_minute = 3000\nbot_per_second = 500\n\n{more}",
            self.youtube.base_url(),
            self.telegram.base_url(),
        )
    }

    /// How long the services have been there.
    pub(crate) fn running(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Kills a process as `kill -9` does.
    pub(crate) fn kill(&mut self, live: &mut Live) {
        let before = self.clock.monotonic();
        live.kill();
        self.kills.push(before..self.clock.monotonic());
    }

    /// Waits until so many more messages were asked for; no process may end meanwhile.
    #[track_caller]
    pub(crate) fn wait_for_requests(&self, more: u64, live: &mut [&mut Live]) {
        let wanted = self.telegram.counts().requests + more;
        let came = self.telegram.wait_for(PATIENCE, |counts| counts.requests >= wanted);
        for live in live {
            assert!(live.ended().is_none(), "ended: {:#?}", live.said());
            assert!(came, "no message came any more: {:#?}", live.said());
        }
    }
}

/// An installation that knows the secrets.
pub(crate) fn installation(topology: &str) -> Installation {
    let mut installation = Installation::with_topology(topology);
    installation.set_env("YOUTUBE_API_KEY", KEY);
    installation.set_env("TELEGRAM_BOT_TOKEN", TOKEN);
    installation
}

/// Ends a process as an orchestrator does.
#[track_caller]
pub(crate) fn stop(live: Live) {
    live.signal(Signal::TERM);
    let (code, said) = live.join(Duration::from_secs(30));
    assert_eq!(code, Some(0), "{said:#?}");
}

/// Asserts that the outbox holds what the rules say about the observations. The messages of each chat, in their order.
#[track_caller]
pub(crate) fn assert_outbox(videos: &[Tapped], outbox: &[Tapped]) -> Texts {
    let mut found = Texts::new();
    for message in outbox {
        let text = |name: &str| message.value[name].as_str().unwrap().to_owned();
        found.entry(text("chat_id")).or_default().push(text("text"));
    }
    for (chat, mut wanted) in texts(videos) {
        // Observations of different partitions have no order among them.
        let mut found = found.get(&chat).cloned().unwrap_or_default();
        found.sort();
        wanted.sort();
        assert_same(&format!("messages to {chat}"), &found, &wanted);
    }
    found
}

/// What the rules say about the records of `youtube_videos`, by chat.
fn texts(videos: &[Tapped]) -> Texts {
    let observations: Vec<(Observation, bool)> = videos.iter().map(|record| (observation(record), record.value.is_null())).collect();
    let expected = Expected::of_records(observations.iter().map(|(observation, gone)| (observation, *gone)));
    let of = |rule: &str| {
        let texts = expected.messages.iter().map(|(_, text)| text.clone());
        texts.filter(|text| text.to_lowercase().starts_with(rule)).collect()
    };
    CHATS.iter().map(|(rule, chat)| ((*chat).to_owned(), of(rule))).collect()
}

fn observation(record: &Tapped) -> Observation {
    let number = |name: &str| record.value[name].as_i64();
    Observation {
        observed_at: record.timestamp,
        video_id: record.key.clone().unwrap(),
        title: record.value["title"].as_str().map(str::to_owned),
        views: number("views"),
        likes: number("likes"),
        comments: number("comments"),
    }
}
