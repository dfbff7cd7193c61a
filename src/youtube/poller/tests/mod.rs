//! The poller on an in-memory log, with a clock that is moved by hand, against a YouTube on loopback.

mod budget;
mod failures;
mod fake;
mod group;
mod mortal;
mod polls;
mod removals;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use secrecy::SecretString;

use self::fake::Fake;
use self::mortal::Mortal;
use super::{Error, Parts, Poller, Settings, Step, Summary, state_topic};
use crate::avro::{Aliases, Decoder, EmbeddedRegistry, Registry, Row, Schema, Value, shipped, wire};
use crate::config::WatchedChannel;
use crate::streams::clock::{Clock, ManualClock, Timestamp};
use crate::streams::log::local::LocalLog;
use crate::streams::log::{ConsumerOptions, Isolation, Log, Offset, Polled, RecordBatch, TopicConfig, TopicPartition};
use crate::youtube::ids::{Channel, Uploads};
use crate::youtube::observation;
use crate::youtube::{Client, Options, PacificDay};

const TOPIC: &str = "youtube_videos";
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// No video, no word about one.
const NONE: [(String, String); 0] = [];

/// The wall clock stands still until it is moved; whoever waits finds that time has passed each time that it looks.
#[derive(Debug)]
struct Looked {
    now: ManualClock,
    looks: AtomicI64,
}

impl Clock for Looked {
    fn now(&self) -> Timestamp {
        self.now.now()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(250 * self.looks.fetch_add(1, Ordering::SeqCst).unsigned_abs())
    }
}

/// A record of the observations' topic.
#[derive(Clone, Debug, PartialEq)]
struct Record {
    id: String,
    /// None for a tombstone.
    row: Option<Row>,
    reason: Option<String>,
    at: Timestamp,
}

impl Record {
    fn field(&self, name: &str) -> &Value {
        self.row.as_ref().unwrap().get(observation::shape().index_of(name).unwrap())
    }

    fn text(&self, name: &str) -> Option<&str> {
        if let Value::String(text) = self.field(name) { Some(text) } else { None }
    }
}

/// A log, a clock and a YouTube, for any number of pollers.
struct Scene {
    log: Arc<LocalLog>,
    registry: Arc<dyn Registry>,
    now: ManualClock,
    clock: Arc<Looked>,
    fake: Fake,
    settings: Settings,
    read: Offset,
}

impl Scene {
    /// A scene with the list `PLa` of these many videos, at noon of a winter's day on the Pacific coast.
    fn new(videos: usize) -> Self {
        Self::at("2026-11-25T20:00:00Z", videos)
    }

    fn at(time: &str, videos: usize) -> Self {
        let now = ManualClock::at(Timestamp(time.parse::<jiff::Timestamp>().unwrap().as_millisecond()));
        let clock = Arc::new(Looked { now: now.clone(), looks: AtomicI64::new(0) });
        let log = LocalLog::in_memory();
        log.admin().create_topic(TOPIC, &TopicConfig::keep(1)).unwrap();
        let shared: Arc<dyn Log> = Arc::clone(&log) as Arc<dyn Log>;
        let registry = Arc::new(EmbeddedRegistry::open(shared, Arc::new(now.clone())).unwrap());
        let fake = Fake::start(now.clone());
        fake.with(|world| (0..videos).for_each(|number| world.add("PLa", &id(number))));
        let settings = Settings {
            application_id: "app".into(),
            topic: TOPIC.into(),
            schema: Schema::parse(shipped("youtube_video").unwrap()).unwrap(),
            playlists: vec!["PLa".to_owned()],
            channels: Vec::new(),
            videos: Vec::new(),
            every: 10 * MINUTE,
            quota_per_day: 10_000,
            removed_after: 3,
        };
        Self { log, registry, now, clock, fake, settings, read: Offset(0) }
    }

    fn poller(&self) -> Poller {
        self.poller_on("one", Arc::clone(&self.log) as Arc<dyn Log>)
    }

    fn client(&self) -> Client {
        let options = Options {
            base_url: self.fake.url(),
            api_key: SecretString::from("AIzaCanary"),
            timeout: Duration::from_secs(10),
            user_agent: "test".to_owned(),
        };
        Client::new(&options).unwrap()
    }

    fn parts(&self, instance_id: &str, log: Arc<dyn Log>) -> Parts {
        Parts {
            log,
            registry: Arc::clone(&self.registry),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            client: self.client(),
            settings: self.settings.clone(),
            instance_id: instance_id.into(),
            creates_topic: true,
        }
    }

    fn poller_on(&self, instance_id: &str, log: Arc<dyn Log>) -> Poller {
        let mut poller = Poller::new(self.parts(instance_id, log)).unwrap();
        poller.tick = Duration::ZERO;
        poller
    }

    /// A poller that can be killed.
    fn mortal(&self) -> (Poller, Arc<Mortal>) {
        let mortal = Arc::new(Mortal::new(Arc::clone(&self.log) as Arc<dyn Log>));
        (self.poller_on("one", Arc::clone(&mortal) as Arc<dyn Log>), mortal)
    }

    /// Moves the clock until the poller polls; with the time that it waited.
    fn next(&self, poller: &mut Poller) -> (Summary, Duration) {
        self.try_next(poller).unwrap()
    }

    fn try_next(&self, poller: &mut Poller) -> Result<(Summary, Duration), Error> {
        let mut waited = Duration::ZERO;
        for _ in 0..10_000 {
            match poller.step(&|| false, false)? {
                Step::Polled(summary) => return Ok((*summary, waited)),
                Step::Waiting(wait) => {
                    waited += wait;
                    self.now.advance(wait);
                }
                Step::StandingBy | Step::Recovering => {}
                Step::Stopped => panic!("nobody told it to stop"),
            }
        }
        panic!("it never polls: {:?}", poller.status().get())
    }

    fn poll(&self, poller: &mut Poller) -> Summary {
        self.next(poller).0
    }

    /// The records of the observations' topic that were not read before.
    fn records(&mut self) -> Vec<Record> {
        let options = ConsumerOptions { group: None, instance_id: None, isolation: Isolation::ReadCommitted };
        let mut consumer = self.log.consumer(options).unwrap();
        let place = TopicPartition::new(TOPIC, 0);
        consumer.assign(&place, self.read).unwrap();
        let (schema, shape) = (&self.settings.schema, observation::shape());
        let decoder = Decoder::compile_with(schema, schema, &shape, &Aliases::default()).unwrap();
        let (mut batch, mut records) = (RecordBatch::default(), Vec::new());
        while consumer.poll(Duration::ZERO, &mut batch).unwrap() == Polled::Records {
            records.extend(batch.iter().map(|record| {
                let row = record.value.map(|value| {
                    let mut row = Row::of(&shape);
                    decoder.decode(wire::split(value, record.headers).unwrap().1, &mut row).unwrap();
                    row
                });
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                Record { id: text(record.key.unwrap()), row, reason: record.headers.last("reason").map(text), at: record.timestamp }
            }));
        }
        self.read = consumer.position(&place).unwrap();
        records
    }

    /// The ids of the observations that say so, with what they say.
    fn appeared(&mut self) -> Vec<(String, String)> {
        let records = self.records();
        let seen = records.iter().filter(|record| record.row.is_some());
        seen.filter_map(|record| Some((record.id.clone(), record.text("appeared")?.to_owned()))).collect()
    }

    /// The removals, with their reasons.
    fn removed(&mut self) -> Vec<(String, String)> {
        let records = self.records().into_iter().filter(|record| record.row.is_none());
        records.map(|record| (record.id, record.reason.unwrap())).collect()
    }

    fn units(&self) -> BTreeMap<PacificDay, u64> {
        self.fake.with(|world| world.units.clone())
    }

    fn units_in_all(&self) -> u64 {
        self.units().values().sum()
    }

    /// What the state topic says under a key.
    fn state(&self, key: &str) -> Option<serde_json::Value> {
        let options = ConsumerOptions { group: None, instance_id: None, isolation: Isolation::ReadCommitted };
        let mut consumer = self.log.consumer(options).unwrap();
        consumer.assign(&TopicPartition::new(state_topic("app"), 0), Offset(0)).unwrap();
        let (mut batch, mut found) = (RecordBatch::default(), None);
        while consumer.poll(Duration::ZERO, &mut batch).unwrap() == Polled::Records {
            for record in batch.iter().filter(|record| record.key == Some(key.as_bytes())) {
                found = record.value.map(|value| serde_json::from_slice(value).unwrap());
            }
        }
        found
    }
}

/// The id of a video.
fn id(number: usize) -> String {
    format!("video{number:06}")
}

fn watched(channel: Channel, uploads: Uploads) -> WatchedChannel {
    WatchedChannel { channel, uploads }
}

fn pair(id: &str, what: &str) -> (String, String) {
    (id.to_owned(), what.to_owned())
}
