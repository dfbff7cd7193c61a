//! Pollers as members of a group on a real broker: one polls, the other stands by and takes over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use serde_json::{Value, json};
use tidewatch::avro::{EmbeddedRegistry, Registry, Schema, shipped};
use tidewatch::streams::clock::{Clock, SystemClock};
use tidewatch::streams::log::kafka::{KafkaLog, Options as KafkaOptions};
use tidewatch::streams::log::local::LocalLog;
use tidewatch::streams::log::{ConsumerOptions, Isolation, Log, Offset, Polled, RecordBatch, TopicConfig, TopicPartition};
use tidewatch::youtube::poller::{Error, Parts, Poller, Settings, StatusHandle, state_topic};
use tidewatch::youtube::{Client, Options};

use crate::real::broker::Broker;
use crate::real::http::{Answer, Request, Server};
use crate::real::unique;

const PATIENCE: Duration = Duration::from_secs(60);
const VIDEOS: usize = 60;

#[track_caller]
fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        thread::park_timeout(Duration::from_millis(20));
    }
}

/// A playlist of 60 videos.
fn youtube(request: &Request) -> Answer {
    let id = |number: usize| format!("video{number:06}");
    let path = request.target.split('?').next().unwrap_or_default();
    if path == "/playlistItems" {
        let start = if request.target.contains("pageToken") { 50 } else { 0 };
        let items: Vec<Value> =
            (start..VIDEOS.min(start + 50)).map(|number| json!({ "contentDetails": { "videoId": id(number) } })).collect();
        let next = (start == 0).then_some("more");
        return Answer::json(200, &json!({ "kind": "youtube#playlistItemListResponse", "items": items, "nextPageToken": next }));
    }
    let asked = (0..VIDEOS).map(id).filter(|id| request.target.contains(id));
    let items: Vec<Value> = asked.map(|id| json!({ "id": id, "statistics": { "viewCount": "7" } })).collect();
    Answer::json(200, &json!({ "kind": "youtube#videoListResponse", "items": items }))
}

/// A broker, a YouTube, and what pollers have in common.
struct Scene {
    log: Arc<dyn Log>,
    registry: Arc<dyn Registry>,
    clock: Arc<dyn Clock>,
    server: Server,
    units: Arc<AtomicU64>,
    settings: Settings,
}

impl Scene {
    fn new(broker: &Broker) -> Self {
        let log: Arc<dyn Log> = KafkaLog::new(KafkaOptions::new(broker.bootstrap_servers().split(',').map(str::trim))).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        // Schemas are another matter.
        let registry = Arc::new(EmbeddedRegistry::open(LocalLog::in_memory(), Arc::clone(&clock)).unwrap());
        let units = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&units);
        let server = Server::start(move |request| {
            counted.fetch_add(1, Ordering::SeqCst);
            Some(youtube(request))
        });
        let application_id = unique("poller");
        let settings = Settings {
            topic: format!("{application_id}-videos").into(),
            schema: Schema::parse(shipped("youtube_video").unwrap()).unwrap(),
            playlists: vec!["PLkafka".to_owned()],
            channels: Vec::new(),
            videos: Vec::new(),
            every: Duration::from_secs(1),
            quota_per_day: 1_000_000,
            removed_after: 3,
            application_id: application_id.into(),
        };
        let scene = Self { log, registry, clock, server, units, settings };
        let admin = scene.log.admin();
        for (topic, config) in [(&*scene.settings.topic, TopicConfig::keep(2)), (&scene.state_topic(), TopicConfig::compact(1))] {
            admin.create_topic(topic, &config).unwrap();
            eventually("the topic", || admin.watermarks(&TopicPartition::new(topic, 0), Isolation::ReadCommitted).is_ok());
        }
        scene
    }

    fn state_topic(&self) -> String {
        state_topic(&self.settings.application_id)
    }

    fn poller(&self, instance_id: &str) -> Poller {
        let options = Options {
            base_url: format!("http://127.0.0.1:{}", self.server.port()),
            api_key: SecretString::from("a-key"),
            timeout: Duration::from_secs(10),
            user_agent: "test".to_owned(),
        };
        let parts = Parts {
            log: Arc::clone(&self.log),
            registry: Arc::clone(&self.registry),
            clock: Arc::clone(&self.clock),
            client: Client::new(&options).unwrap(),
            settings: self.settings.clone(),
            instance_id: instance_id.into(),
            creates_topic: false,
        };
        Poller::new(parts).unwrap()
    }

    /// Records of both partitions of the videos' topic.
    fn records(&self) -> usize {
        let options = ConsumerOptions { group: None, instance_id: None, isolation: Isolation::ReadCommitted };
        let mut consumer = self.log.consumer(options).unwrap();
        let places = [0, 1].map(|number| TopicPartition::new(Arc::clone(&self.settings.topic), number));
        let ends = places.each_ref().map(|place| self.log.admin().watermarks(place, Isolation::ReadCommitted).unwrap().1);
        for place in &places {
            consumer.assign(place, Offset(0)).unwrap();
        }
        let (mut batch, mut count) = (RecordBatch::default(), 0);
        eventually("the end of the topic", || {
            if consumer.poll(Duration::from_millis(100), &mut batch).unwrap() == Polled::Records {
                count += batch.len();
            }
            places.iter().zip(ends).all(|(place, end)| consumer.position(place).is_some_and(|position| position >= end))
        });
        count
    }
}

/// A poller that runs until it is told to stop.
struct Running {
    stop: Arc<AtomicBool>,
    status: StatusHandle,
    thread: thread::JoinHandle<Result<(), Error>>,
}

impl Running {
    fn start(mut poller: Poller) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let (status, stopping) = (poller.status(), Arc::clone(&stop));
        let thread = thread::spawn(move || poller.run(&|| stopping.load(Ordering::SeqCst)));
        Self { stop, status, thread }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap().unwrap();
    }
}

#[test]
fn one_polls_and_the_other_takes_over_where_it_was() {
    let Some(broker) = Broker::shared() else { return };
    let scene = Scene::new(broker);
    let first = Running::start(scene.poller("one"));
    eventually("the first poll", || first.status.get().videos == VIDEOS);
    let second = Running::start(scene.poller("two"));
    let polled = scene.units.load(Ordering::SeqCst);
    eventually("more polls", || scene.units.load(Ordering::SeqCst) >= polled + 12);
    assert!(first.status.get().is_active != second.status.get().is_active, "one of the two is active");
    first.stop();
    let units = scene.units.load(Ordering::SeqCst);
    eventually("the second one's polls", || second.status.get().is_active && scene.units.load(Ordering::SeqCst) >= units + 8);
    let status = second.status.get();
    assert_eq!((status.videos, status.problem), (VIDEOS, None), "it knows what the first one knew");
    second.stop();
    let units = scene.units.load(Ordering::SeqCst);
    let polls = usize::try_from(units / 4).unwrap();
    // Of a poll that was broken off only the batches that were committed are there.
    let records = scene.records();
    assert!((VIDEOS * (polls - 2)..=VIDEOS * (polls + 1)).contains(&records), "{records} records of {polls} polls");
    // The state holds the units: not fewer than were spent, and at most a block more.
    let mut third = scene.poller("three");
    let summary = third.once(&|| false).unwrap();
    assert_eq!((summary.is_complete, summary.new, summary.observed), (true, 0, VIDEOS), "{summary:?}");
    assert!((units + 4..=units + 4 + 20).contains(&summary.units_today), "{} counted, {units} + 4 spent", summary.units_today);
}
