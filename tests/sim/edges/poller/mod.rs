//! Simulated weeks of the poller: quota, faults, kills between its steps, videos that come and go; and an oracle that knows nothing of how it works.

mod clock;
mod oracle;
mod youtube;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tidewatch::avro::{EmbeddedRegistry, Registry, Schema, shipped};
use tidewatch::streams::clock::Clock;
use tidewatch::streams::log::local::LocalLog;
use tidewatch::streams::log::{Log, TopicConfig};
use tidewatch::streams::testing::interposed::{InterposedLog, Interposer};
use tidewatch::youtube::poller::{Parts, Poller, Settings, Step};
use tidewatch::youtube::{Client, Options};

use self::clock::Passing;
use self::youtube::{LIST, Video, World, YouTube, day, moment};
use super::Report;
use super::process::Hand;
use crate::random::Random;

const TOPIC: &str = "youtube_videos";
const MINUTE: Duration = Duration::from_secs(60);

/// When weeks begin: in both nights in which the clocks of the Pacific coast are changed, and in ordinary ones.
const STARTS: [&str; 4] = ["2026-10-29T12:00:00Z", "2026-03-05T21:00:00Z", "2026-11-25T08:30:00Z", "2026-06-10T02:00:00Z"];

/// A poller and its world.
struct Scene {
    random: Random,
    clock: Passing,
    log: Arc<LocalLog>,
    registry: Arc<dyn Registry>,
    youtube: YouTube,
    settings: Settings,
    poller: Option<(Poller, Arc<Hand>)>,
    polls: u64,
    kills: Vec<i64>,
    violations: Vec<String>,
    trace: Vec<String>,
}

/// So many simulated days.
pub(crate) fn run(seed: u64, days: u64) -> Report {
    let mut scene = Scene::new(seed);
    let start = scene.clock.now().0;
    let storm = start + i64::try_from(days).unwrap() * 86_400_000;
    while scene.clock.now().0 < storm && scene.violations.is_empty() {
        scene.disturb();
        scene.turn();
    }
    scene.calm();
    // Long enough for what is missing to be missed, also where half of all is missing at once.
    let end = scene.clock.now().0 + 3 * 86_400_000;
    while scene.clock.now().0 < end && scene.violations.is_empty() {
        scene.turn();
    }
    oracle::judge(&mut scene, start, storm);
    let mut counts: BTreeMap<&'static str, u64> = scene.youtube.with(|world| world.counts.clone());
    counts.insert("polls", scene.polls);
    counts.insert("poller killed", scene.kills.len() as u64);
    Report { counts, violations: scene.violations, trace: scene.trace }
}

impl Scene {
    fn new(seed: u64) -> Self {
        let mut random = Random::of(seed, 11);
        let clock = Passing::at(moment(STARTS[usize::try_from(seed % 4).unwrap()]));
        let log = LocalLog::in_memory();
        log.admin().create_topic(TOPIC, &TopicConfig::keep(1)).unwrap();
        let registry = EmbeddedRegistry::open(Arc::<LocalLog>::clone(&log), Arc::new(clock.clone())).unwrap();
        let mut world = World::new(Random::of(seed, 12));
        world.trouble = random.below(60);
        for number in 0..random.between(3, 130) {
            world.videos.insert(format!("video{number:06}"), video(clock.now().0));
        }
        let settings = Settings {
            application_id: "app".into(),
            topic: TOPIC.into(),
            schema: Schema::parse(shipped("youtube_video").unwrap()).unwrap(),
            playlists: vec![LIST.to_owned()],
            channels: Vec::new(),
            videos: Vec::new(),
            every: MINUTE * u32::try_from(random.between(10, 60)).unwrap(),
            quota_per_day: random.between(60, 300),
            removed_after: u32::try_from(random.between(1, 3)).unwrap(),
        };
        let youtube = YouTube::start(&clock, world);
        let (poller, polls, kills, violations, trace) = (None, 0, Vec::new(), Vec::new(), Vec::new());
        Self { random, clock, log, registry: Arc::new(registry), youtube, settings, poller, polls, kills, violations, trace }
    }

    fn begin(&mut self) -> (Poller, Arc<Hand>) {
        let hand = Arc::<Hand>::default();
        let log: Arc<dyn Log> = Arc::<LocalLog>::clone(&self.log);
        let log: Arc<dyn Log> = Arc::new(InterposedLog::new(log, Arc::<Hand>::clone(&hand) as Arc<dyn Interposer>));
        let options = Options {
            base_url: self.youtube.url(),
            api_key: SecretString::from("AIzaSimulated"),
            timeout: Duration::from_secs(10),
            user_agent: "simulation".to_owned(),
        };
        let parts = Parts {
            log,
            registry: Arc::clone(&self.registry),
            clock: Arc::new(self.clock.clone()) as Arc<dyn Clock>,
            client: Client::new(&options).unwrap(),
            settings: self.settings.clone(),
            instance_id: "one".into(),
            creates_topic: true,
        };
        (Poller::stepped(parts).unwrap(), hand)
    }

    /// One turn of the poller; time passes as it says.
    fn turn(&mut self) {
        let (mut poller, hand) = match self.poller.take() {
            Some(known) => known,
            None => self.begin(),
        };
        let step = poller.turn();
        let now = self.clock.now().0;
        if hand.is_dead() {
            // Whatever it says: it is dead.
            self.kills.push(now);
            self.trace.push(format!("{} killed", self.clock.now()));
            self.youtube.with(|world| world.kill = None);
            self.clock.pass(Duration::from_secs(self.random.between(1, 300)));
            return;
        }
        match step {
            Ok(Step::Waiting(wait)) => self.clock.pass(wait.min(MINUTE * 5)),
            Ok(Step::Polled(summary)) => {
                self.polls += 1;
                self.trace.push(format!("{} {:?} units {} of {}", self.clock.now(), summary.problem, summary.units, summary.units_today));
            }
            Ok(Step::StandingBy | Step::Recovering) => self.clock.pass(Duration::from_millis(100)),
            Ok(Step::Stopped) => self.violations.push("it stopped by itself".to_owned()),
            Err(error) => {
                self.violations.push(format!("it ended: {error}"));
                return;
            }
        }
        self.poller = Some((poller, hand));
    }

    /// Something happens, some of it wrong.
    fn disturb(&mut self) {
        let now = self.clock.now().0;
        let hand = self.poller.as_ref().map(|(_, hand)| Arc::clone(hand));
        let random = &mut self.random;
        let (what, number) = (random.below(400), random.next());
        if what == 0
            && let Some(hand) = &hand
        {
            let left = number % 12 + 1;
            self.youtube.with(|world| world.kill = Some((left, Arc::clone(hand))));
        }
        if what == 1
            && let Some(hand) = &hand
        {
            let (point, calls) = (super::process::POINTS[usize::try_from(number % 4).unwrap()], u32::try_from(number / 8 % 6 + 1).unwrap());
            hand.arm(point, calls);
        }
        self.youtube.with(|world| match what {
            2 => {
                let kind = *world.random.pick(&["rateLimitExceeded", "500", "HTML 403", "half a document", "cut", "HTML 502"]);
                world.outage = Some((now + i64::try_from(number % 20_000_000).unwrap(), kind));
            }
            3 if number % 3 == 0 => world.is_spent_on = Some(day(now)),
            4..=9 => {
                let count = world.videos.len();
                world.videos.insert(format!("video{count:06}"), video(now));
            }
            10..=29 => {
                let place = usize::try_from(number % world.videos.len() as u64).unwrap();
                let (_, video) = world.videos.iter_mut().nth(place).unwrap();
                let was = video.is_there();
                let name = match number / 1_000 % 4 {
                    0 => {
                        video.is_private = !video.is_private;
                        "video private or public"
                    }
                    1 => {
                        video.is_listed = !video.is_listed;
                        "video off the list or on it"
                    }
                    2 if number % 3 == 0 => {
                        video.is_deleted = true;
                        "video deleted"
                    }
                    _ => {
                        video.views += i64::try_from(number % 100 + 1).unwrap();
                        video.history.push((now, video.views));
                        "video seen"
                    }
                };
                if video.is_there() != was {
                    video.changes.push(now);
                }
                *world.counts.entry(name).or_default() += 1;
            }
            _ => {}
        });
    }

    /// From now on nothing goes wrong any more.
    fn calm(&mut self) {
        self.trace.push(format!("{} calm", self.clock.now()));
        self.youtube.with(|world| (world.trouble, world.outage, world.is_spent_on, world.kill) = (0, None, None, None));
        if let Some((_, hand)) = &self.poller {
            hand.arm(super::process::Point::CommitLost, u32::MAX);
        }
    }
}

fn video(now: i64) -> Video {
    let (changes, history) = (vec![now], vec![(now, 100)]);
    Video { views: 100, is_listed: true, is_private: false, is_deleted: false, changes, history }
}
