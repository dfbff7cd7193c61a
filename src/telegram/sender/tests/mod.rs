//! The sender on the production engine, with a log in memory, and real HTTP to a Telegram on loopback.

mod by_hand;
mod clock;
mod crashes;
mod dry_run;
mod fake;
mod groups;
mod outages;
mod outcomes;
mod queues;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};

use self::fake::{Answer, Fake, refusal};
use super::*;
use crate::avro::NoRegistry;
use crate::config::Rates;
use crate::streams::clock::{ManualClock, SystemClock};
use crate::streams::log::local::LocalLog;
use crate::streams::log::{Log, TopicConfig};
use crate::streams::runtime::{MemoryBackend, Options as Engine, StateBackend};
use crate::streams::testing::{TestRecord, TopologyTestDriver};
use crate::telegram::{Client, Limits, Options};

/// Few enough to be exceeded.
const CHATS_MAX: usize = 50;

const OUTBOX: &str = "telegram_outbox";
const DEAD_LETTERS: &str = "telegram_dead_letters";

/// What outlives a process.
struct World {
    log: Arc<LocalLog>,
    backend: Arc<MemoryBackend>,
    clock: ManualClock,
    fake: Fake,
    settings: Settings,
    partitions: i32,
    /// How long a request may take; what ends a request that is never answered.
    timeout: Duration,
}

/// A process.
struct Bench {
    driver: TopologyTestDriver,
    desk: Arc<Desk>,
}

impl World {
    fn new() -> Self {
        Self::partitioned(1)
    }

    fn partitioned(partitions: i32) -> Self {
        let log = LocalLog::in_memory();
        for topic in [OUTBOX, DEAD_LETTERS] {
            log.admin().create_topic(topic, &TopicConfig::keep(partitions)).unwrap();
        }
        let settings = Settings {
            outbox: OUTBOX.into(),
            format: ValueFormat::Json,
            dead_letters: DEAD_LETTERS.into(),
            on_unknown: OnUnknown::SendAgain,
            chats: BTreeMap::from([("once".to_owned(), OnUnknown::DeadLetter)]),
            remember: Duration::from_secs(30 * 86_400),
            chats_max: CHATS_MAX,
        };
        let (backend, fake, clock) = (Arc::default(), Fake::start(), ManualClock::at(Timestamp(1_762_217_777_000)));
        Self { log, backend, clock, fake, settings, partitions, timeout: Duration::from_secs(30) }
    }

    fn start(&self) -> Bench {
        self.start_as("one")
    }

    /// A process of this name; the same name is a restart.
    fn start_as(&self, instance: &str) -> Bench {
        self.start_with(instance, Arc::new(NoRegistry))
    }

    /// The desk of a process.
    fn desk(&self) -> Arc<Desk> {
        let token = SecretString::from("1:secret");
        let client = Client::new(&Options { base_url: self.fake.url(), token, timeout: self.timeout }).unwrap();
        let fast = NonZeroU32::new(100_000).unwrap();
        let rates = Rates { chat_per_second: fast, group_per_minute: fast, bot_per_second: fast };
        let limits = Limits::new(&rates, Arc::new(SystemClock::new()));
        Desk::start(client, limits, self.partitions, Arc::new(self.clock.clone())).unwrap()
    }

    fn start_with(&self, instance: &str, registry: Arc<dyn Registry>) -> Bench {
        let desk = self.desk();
        let topology = topology(&self.settings, registry, Arc::clone(&desk)).unwrap();
        let (log, backend): (Arc<dyn Log>, Arc<dyn StateBackend>) =
            (Arc::<LocalLog>::clone(&self.log), Arc::<MemoryBackend>::clone(&self.backend));
        let options = Engine { dead_letter_topic: DEAD_LETTERS.into(), leave_on_stop: true, ..Engine::new("app-sender", instance) };
        let driver = TopologyTestDriver::on_clock(Arc::new(topology), log, backend, options, self.clock.clone()).unwrap();
        Bench { driver, desk }
    }
}

impl Bench {
    /// A message without extras.
    fn put(&mut self, chat: &str, text: &str) {
        self.put_value(chat, &message(chat, text));
    }

    fn put_value(&mut self, chat: &str, value: &Value) {
        self.driver.append(OUTBOX, Some(chat.as_bytes()), Some(value.to_string().as_bytes()), Timestamp(7)).unwrap();
    }

    /// One turn of the tasks, which commits what it does.
    fn turn(&mut self) {
        self.driver.advance(TURN).unwrap();
    }

    /// Goes on until nothing happens any more without the time moving on.
    fn run(&mut self) {
        let (mut quiet, mut turns) = (0, 0);
        while quiet < 3 {
            self.turn();
            quiet = if self.desk.quiet() == 0 { quiet + 1 } else { 0 };
            turns += 1;
            assert!(turns < 2_000, "it never stands still: {:?}", self.desk);
        }
    }

    /// The same after so many seconds.
    fn run_after(&mut self, seconds: u64) {
        self.driver.advance(Duration::from_secs(seconds)).unwrap();
        self.run();
    }

    /// The process is killed: nothing is committed, nothing is closed.
    fn kill(self) {
        drop(self);
    }

    fn count(&self, name: &str) -> u64 {
        let status = self.driver.status();
        let nodes = status.tasks.values().flat_map(|task| task.counters.nodes.iter());
        nodes.filter(|((_, known), _)| *known == name).map(|(_, count)| count).sum()
    }

    /// The dead letters since the last time: class, reason and text.
    fn dead_letters(&mut self) -> Vec<(String, String, String)> {
        let records = self.driver.read(DEAD_LETTERS).unwrap();
        let of = |record: &TestRecord, name: &str| header(record, name).unwrap_or_default();
        let text = |record: &TestRecord| {
            let value: Value = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap_or_default();
            value["text"].as_str().unwrap_or_default().to_owned()
        };
        records
            .iter()
            .map(|record| (of(record, "__streams.errors.exception"), of(record, "__streams.errors.message"), text(record)))
            .collect()
    }

    /// Whether a run until the end goes on.
    fn is_unfinished(&self) -> bool {
        self.driver.status().tasks.values().any(|task| task.unfinished)
    }

    /// Keys of the sent log that begin with this tag.
    fn rows(&mut self, tag: u8) -> usize {
        self.driver.store(sent_log::STORE).iter().filter(|(key, _)| key[0] == tag).count()
    }
}

fn header(record: &TestRecord, name: &str) -> Option<String> {
    let value = record.headers.iter().find(|(known, _)| known == name)?.1.clone()?;
    Some(String::from_utf8(value).unwrap())
}

/// A message whose event is named after its text.
fn message(chat: &str, text: &str) -> Value {
    json!({"chat_id": chat, "text": text, "event_id": format!("event of {text}")})
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}
