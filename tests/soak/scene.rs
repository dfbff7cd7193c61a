//! The hour itself: an installation on a broker, its ends at simulated services, trouble, and a sample every five seconds.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use serde_json::{Value, json};

use tidewatch::operate::simulated::channel::PLAYLIST;
use tidewatch::operate::simulated::{Channel, Faults, telegram, youtube};
use tidewatch::streams::clock::{Clock as _, SystemClock};

use crate::Arguments;
use crate::instance::{Instance, Surroundings};
use crate::judgement;
use crate::load::Load;
use crate::real::broker::{Broker, Settings};
use crate::real::registry::Registry;
use crate::real::verifier::{self, Follower};
use crate::samples::{Lag, Samples};
use crate::trouble::{Plan, Trouble};

pub(crate) const ID: &str = "soak";
const PARTITIONS: i32 = 6;
/// So often a directory has been opened before anything is judged: RocksDB keeps two diaries and two lists of its options.
const OPENINGS: usize = 3;
const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// No more trouble towards the end.
const CALM: Duration = Duration::from_secs(20);
/// So long may it take until everything is caught up when the load has ended.
const CAUGHT_UP: Duration = Duration::from_secs(60);

pub(crate) const TOKEN: &str = "7000000001:AAsoakTokenSoakTokenSoakTokenSoakTo";
pub(crate) const KEY: &str = "AIzaSoakKeySoakKeySoakKeySoakKeySoakKey0";

/// One chat for each rule of the shipped topology.
pub(crate) const CHATS: [&str; 3] = ["101", "-102", "103"];

/// The two services outside.
#[derive(Debug)]
pub(crate) struct Outside {
    youtube: youtube::YouTube,
    pub(crate) telegram: telegram::Telegram,
}

impl Outside {
    fn start(seed: u64) -> Result<Self, String> {
        let clock = Arc::new(SystemClock::new());
        let channel = Channel::new(seed, clock.now());
        let options = youtube::Options { api_key: KEY.to_owned(), units_per_day: 10_000_000, faults: Faults::none() };
        let youtube = youtube::YouTube::start(channel, options).map_err(|error| error.to_string())?;
        let telegram = telegram::Telegram::start(telegram::Options::new(TOKEN), clock).map_err(|error| error.to_string())?;
        Ok(Self { youtube, telegram })
    }

    /// The shipped topology with both ends. What was sent is remembered as shortly as can be, and rows are kept in as little memory: both are full before anything is
    /// judged.
    fn topology(&self) -> String {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("topology.toml");
        let mut text = fs::read_to_string(shipped).unwrap();
        text = text.replacen("application_id = \"youtube-changes\"", &format!("application_id = \"{ID}\""), 1);
        for chat in CHATS {
            text = text.replacen("chat_id = { env = \"TELEGRAM_CHAT_ID\" }", &format!("chat_id = \"{chat}\""), 1);
        }
        format!(
            "{text}\n\
             [engine]\ncache_mib = 1\n\n\
             [youtube]\napi_key = {{ env = \"YOUTUBE_API_KEY\" }}\nplaylists = [\"{PLAYLIST}\"]\nbase_url = \"{}\"\nevery = \"5s\"\n\
             quota_per_day = 10000000\n\n\
             [telegram]\ntoken = {{ env = \"TELEGRAM_BOT_TOKEN\" }}\nbase_url = \"{}\"\nremember = \"1h\"\n\
             [telegram.limits]\nchat_per_second = 50\ngroup_per_minute = 3000\nbot_per_second = 500\n",
            self.youtube.base_url(),
            self.telegram.base_url(),
        )
    }
}

/// Fields are dropped in order: processes before what they talk to.
pub(crate) struct Scene {
    pub(crate) instances: Vec<Instance>,
    follower: Option<Follower>,
    pub(crate) broker: Broker,
    pub(crate) registry: Registry,
    pub(crate) outside: Outside,
    pub(crate) samples: Samples,
    topology_lag: Lag,
    sender_lag: Lag,
    pub(crate) folder: PathBuf,
    pub(crate) python: PathBuf,
    pub(crate) specification: Value,
    pub(crate) fired: Vec<Value>,
    /// What must not have happened.
    pub(crate) faults: Vec<String>,
}

/// The hour; whether all was right.
pub(crate) fn play(arguments: &Arguments) -> Result<bool, String> {
    let mut scene = Scene::open(arguments)?;
    let schema = tidewatch::avro::shipped("youtube_video").ok_or("there is no schema youtube_video")?;
    let id = scene.registry.register("youtube_videos-value", schema);
    // Most of the warm-up; after it the caches have time to settle.
    let load = Load::start(&scene.broker.client(), "youtube_videos", id, arguments.seed, arguments.time / 8);
    scene.see_all_partitions()?;
    scene.instances.iter_mut().for_each(Instance::start);
    scene.run(arguments);
    println!("{:.1} s: {} records of load", scene.samples.elapsed().as_secs_f64(), load.taken());
    if let Err(error) = load.stop() {
        // What the hour has shown is judged all the same.
        scene.faults.push(error);
    }
    scene.come_to_rest()?;
    judgement::of(scene, arguments)
}

impl Scene {
    fn open(arguments: &Arguments) -> Result<Self, String> {
        let folder = arguments.folder.clone();
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
        }
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let python = verifier::interpreter().ok_or("there is no Python")?;
        let broker = Broker::start(&Settings::default()).ok_or("there is no broker")?;
        let registry = Registry::start().ok_or("there is no registry")?;
        let outside = Outside::start(arguments.seed)?;
        let topology = folder.join("topology.toml");
        fs::write(&topology, outside.topology()).map_err(|error| error.to_string())?;
        let flags = ["--bootstrap-servers", broker.bootstrap_servers(), "--registry", &registry.url()].map(str::to_owned).to_vec();
        let environment = vec![("YOUTUBE_API_KEY", KEY), ("TELEGRAM_BOT_TOKEN", TOKEN)];
        let surroundings = Surroundings { topology, flags, environment };
        let instances = [("a", false), ("b", false), ("c", true)].map(|(name, leaves)| Instance::new(name, leaves, &surroundings, &folder));
        instances[0].succeed(&["setup", "--partitions", &PARTITIONS.to_string()], true)?;
        let specification = verifier::shipped(ID, str::to_owned, &registry.url(), CHATS);
        let follow = folder.join("follower");
        fs::create_dir_all(&follow).map_err(|error| error.to_string())?;
        let follower = Some(Follower::start(&python, &follow, broker.bootstrap_servers(), &specification));
        let client: ClientConfig = broker.client();
        Ok(Self {
            instances: instances.into(),
            follower,
            registry,
            outside,
            samples: Samples::create(&folder)?,
            topology_lag: Lag::new(&client, ID, "youtube_videos", PARTITIONS),
            sender_lag: Lag::new(&client, &format!("{ID}-sender"), "telegram_outbox", PARTITIONS),
            broker,
            folder,
            python,
            specification,
            fired: Vec::new(),
            faults: Vec::new(),
        })
    }

    /// Each instance has all partitions by itself, more than once: later nobody's directory grows by that of a partition that it did not have before, or by what
    /// RocksDB keeps of an earlier opening.
    fn see_all_partitions(&mut self) -> Result<(), String> {
        let tasks = 2 * usize::try_from(PARTITIONS).unwrap();
        for round in 1..=OPENINGS {
            for instance in &mut self.instances {
                instance.start();
                let (deadline, wanted) = (Instant::now() + CAUGHT_UP, tasks * round);
                while instance.tasks_seen() < wanted {
                    if Instant::now() > deadline {
                        return Err(format!("{} had {} of {wanted} tasks\n{}", instance.name, instance.tasks_seen(), instance.last_said()));
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
                instance.stop("TERM");
            }
        }
        Ok(())
    }

    /// Trouble and samples, until the time is up and all instances are back.
    fn run(&mut self, arguments: &Arguments) {
        let mut plan = Plan::new(arguments.seed);
        let mut sample = Instant::now() + SAMPLE_EVERY;
        while self.samples.elapsed() < arguments.time {
            self.look_after();
            if Instant::now() >= sample {
                sample += SAMPLE_EVERY;
                let lags = (self.topology_lag.now(), self.sender_lag.now());
                self.samples.take(&self.instances, lags.0, lags.1);
            }
            // The first instance is left alone.
            let others = self.instances.len() as u64 - 1;
            if self.samples.elapsed() + CALM < arguments.time
                && let Some((trouble, which, away)) = plan.due(others)
            {
                self.make(trouble, which + 1, away);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        for instance in self.instances.iter_mut().filter(|instance| instance.id().is_none()) {
            instance.start();
        }
    }

    /// Starts who is due again. Nobody may end without being told to.
    fn look_after(&mut self) {
        for instance in &mut self.instances {
            if let Some(status) = instance.ended() {
                self.faults.push(format!("{} ended by itself: {status}\n{}", instance.name, instance.last_said()));
                self.samples.event("ended-by-itself", instance.name);
                instance.due = Some(Instant::now());
            }
            if instance.due.is_some_and(|due| Instant::now() >= due) {
                instance.start();
                self.samples.event("start", instance.name);
            }
        }
    }

    fn make(&mut self, trouble: Trouble, which: usize, away: Duration) {
        let instance = &mut self.instances[which];
        let is_brokers = matches!(trouble, Trouble::BrokerRestart | Trouble::BrokerKill);
        if !is_brokers && instance.id().is_none() {
            return;
        }
        // Each kind has to have happened; the first of each bears its name.
        let is_first = self.fired.iter().all(|fired| fired["kind"] != trouble.name());
        let id = if is_first { trouble.name().to_owned() } else { self.fired.len().to_string() };
        let input_end = self.topology_lag.end().unwrap_or_default();
        self.fired.push(json!({"id": id, "kind": trouble.name(), "transaction": null, "input_end": input_end}));
        self.samples.event(trouble.name(), if is_brokers { "broker" } else { instance.name });
        match trouble {
            Trouble::Kill | Trouble::KillForLong => drop(instance.stop("KILL")),
            Trouble::Restart => {
                let (took, status) = instance.stop("TERM").unwrap_or_default();
                if !status.success() || took > Duration::from_secs(10) {
                    self.faults.push(format!("{} ended with {status} {took:?} after SIGTERM\n{}", instance.name, instance.last_said()));
                }
            }
            Trouble::BrokerRestart => {
                self.broker.stop();
                self.broker.start_again();
            }
            Trouble::BrokerKill => {
                self.broker.kill();
                self.broker.start_again();
            }
        }
        if !is_brokers {
            instance.due = Some(Instant::now() + away);
        }
    }

    /// Waits until everything is caught up, and ends the instances; what the pollers wrote until then is processed by one of them.
    fn come_to_rest(&mut self) -> Result<(), String> {
        let began = Instant::now();
        loop {
            self.look_after();
            let lags = (self.topology_lag.now(), self.sender_lag.now());
            if lags == (Some(0), Some(0)) {
                break;
            }
            if began.elapsed() > CAUGHT_UP {
                self.faults.push(format!("not caught up after {CAUGHT_UP:?}: {lags:?}"));
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        println!("caught up after {:.1} s", began.elapsed().as_secs_f64());
        for instance in &mut self.instances {
            match instance.stop("TERM") {
                Some((took, status)) if status.success() && took <= Duration::from_secs(10) => {}
                ended => self.faults.push(format!("{} ended with {ended:?} after SIGTERM\n{}", instance.name, instance.last_said())),
            }
        }
        for part in ["topology", "send"] {
            self.instances[0].succeed(&["run", "--only", part, "--until-end"], true)?;
        }
        let seen = self.follower.take().map(Follower::stop).ok_or("nobody read along")?;
        self.specification["follow"] = json!(seen);
        Ok(())
    }

    /// Writes lines of JSON into a file of the run.
    pub(crate) fn write_lines(&self, name: &str, lines: &[Value]) -> Result<PathBuf, String> {
        let path = self.folder.join(name);
        let mut file = fs::File::create(&path).map_err(|error| error.to_string())?;
        lines.iter().try_for_each(|line| writeln!(file, "{line}")).map_err(|error| error.to_string())?;
        Ok(path)
    }
}
