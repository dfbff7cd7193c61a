//! One application on the cluster, under load, with a reader that looks on: what happens to it, and the judgement at its end.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{fmt, fs};

use rdkafka::ClientConfig;
use serde_json::{Value, json};
use tidewatch::avro::SchemaId;

use crate::cluster::Cluster;
use crate::instance::{Fired, Instance, Surroundings};
use crate::ledger::Ledger;
use crate::load::{Load, Look};
use crate::monitor::Monitor;
use crate::proxy::Proxy;
use crate::real::packages::Package;
use crate::real::process::Process;
use crate::real::registry::Registry;
use crate::real::{unique, verifier};
use crate::results::{Results, Row};
use crate::secrets;
use crate::time::{nap, wait_for};

/// Whom the messages are for.
pub(crate) const CHAT: &str = "4711";

/// What nobody may ever read.
pub(crate) const TOKEN: &str = "7000000001:AAfireTokenFireTokenFireTokenFireTokenFi";

/// What the registry is told by all who ask it, and nobody else; its Java client and it take no notice.
pub(crate) const PASSWORD: &str = "fireRegistryPasswordFireRegistryPassword";

/// Partitions of every topic.
pub(crate) const PARTITIONS: i32 = 4;

/// The address is given with each command.
pub(crate) const LOGIN: &str =
    "[kafka]\nregistry = { url = \"http://localhost\", username = \"fire\", password = { env = \"REGISTRY_PASSWORD\" } }\n";

/// So long may it take until everything is caught up again after the last fault.
pub(crate) const CAUGHT_UP: Duration = Duration::from_secs(60);

/// So long may an instance take that is asked to stop.
pub(crate) const STOPPED: Duration = Duration::from_secs(10);

/// What all scenes share.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) cluster: Mutex<Cluster>,
    pub(crate) proxy: std::sync::Arc<Proxy>,
    pub(crate) client: ClientConfig,
    pub(crate) direct: String,
    pub(crate) through_proxy: String,
    pub(crate) registry: Registry,
    pub(crate) binary: PathBuf,
    /// The name of a broken engine, which must be found out.
    pub(crate) mutant: Option<String>,
    pub(crate) long: bool,
    pub(crate) seed: u64,
    pub(crate) results: Results,
    /// Where what a red scene leaves is kept.
    pub(crate) kept: PathBuf,
}

/// How a scene differs from others.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) instances: usize,
    pub(crate) look: Look,
    /// Lines under `[engine]`, and sections behind it.
    pub(crate) engine: String,
    /// Where the registry is, if not where all others find it.
    pub(crate) registry: Option<String>,
    /// What the verifier has to know beside.
    pub(crate) spec: Value,
    /// Of the kills, how many of a hundred have to meet an open transaction.
    pub(crate) open_percent: u32,
    /// Whether the brokers may take back what they said of the group's positions; the verifier's follower asks for what is certain.
    pub(crate) positions_flicker: bool,
    /// Whether somebody reads along.
    pub(crate) follow: bool,
    /// Whether the verifier must find something: a control, in which a guard is off.
    pub(crate) breaks: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            instances: 3,
            look: Look::default(),
            engine: String::new(),
            registry: None,
            spec: json!({}),
            open_percent: 0,
            positions_flicker: false,
            follow: true,
            breaks: false,
        }
    }
}

/// What an instance is to suffer.
#[derive(Clone, Debug)]
pub(crate) struct Ordered {
    pub(crate) fault: u8,
    pub(crate) id: String,
    pub(crate) fired: bool,
}

/// An instance that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) instance: usize,
    pub(crate) name: String,
    pub(crate) status: ExitStatus,
    pub(crate) ordered: Option<Ordered>,
    /// Its last lines.
    pub(crate) said: String,
    /// Why, as it tells people; empty where it told nothing.
    pub(crate) reason: String,
}

impl Ended {
    /// Whether it gave up in good order: with one of these exit codes and a reason, which may not be that a call hung.
    pub(crate) fn gave_up(&self, codes: &[i32]) -> bool {
        let code = self.status.code().is_some_and(|code| codes.contains(&code));
        code && !self.reason.is_empty() && !self.has_hung()
    }

    /// Whether something had happened to it on order.
    pub(crate) fn was_ordered(&self) -> bool {
        self.ordered.as_ref().is_some_and(|ordered| ordered.fired)
    }

    /// Whether its watchdog ended it, for a call that hung.
    pub(crate) fn has_hung(&self) -> bool {
        self.reason.contains("has been in `")
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ended by itself ({})\n{}", self.name, self.status, self.said)
    }
}

/// Fields are dropped in order: those who use the folder before it.
#[derive(Debug)]
pub(crate) struct Scene<'s> {
    pub(crate) stage: &'s Stage,
    pub(crate) name: &'static str,
    pub(crate) id: String,
    pub(crate) surroundings: Surroundings,
    pub(crate) instances: Vec<Instance>,
    pub(crate) ordered: Vec<Option<Ordered>>,
    pub(crate) load: Load,
    pub(crate) monitor: Monitor,
    pub(crate) ledger: Ledger,
    settings: Settings,
    follower: Option<Process>,
    began: Instant,
    folder: tempfile::TempDir,
}

impl<'s> Scene<'s> {
    /// Sets an application up, and begins with the load. No instance runs yet.
    fn open(stage: &'s Stage, name: &'static str, settings: Settings) -> Result<Self, String> {
        let began = Instant::now();
        let id = unique(&format!("fire-{name}"));
        let registry = settings.registry.clone().unwrap_or_else(|| stage.registry.url());
        let surroundings = Surroundings {
            application: id.clone(),
            topology: topology(&id, &settings.engine) + LOGIN,
            bootstrap: stage.through_proxy.clone(),
            registry,
            binary: stage.binary.clone(),
        };
        let folder = tempfile::Builder::new().prefix("tidewatch-fire-").tempdir().unwrap();
        surroundings.set_up(PARTITIONS)?;
        let topic = format!("{id}.youtube_videos");
        let schema = SchemaId(stage.registry.register(&format!("{topic}-value"), tidewatch::avro::shipped("youtube_video").unwrap()));
        let load = Load::start(&stage.client, &topic, schema, settings.look, stage.seed);
        let monitor = Monitor::start(&stage.client, &id, &topic, PARTITIONS);
        let ledger = Ledger::new(&folder.path().join("fired.jsonl"));
        let instances: Vec<Instance> =
            ["a", "b", "c", "d"][..settings.instances].iter().map(|name| Instance::new(name, &surroundings)).collect();
        let ordered = vec![None; instances.len()];
        let mut scene =
            Self { stage, name, id, surroundings, instances, ordered, load, monitor, ledger, settings, follower: None, began, folder };
        scene.write_spec(&[]);
        if scene.settings.follow {
            scene.follow()?;
        }
        Ok(scene)
    }

    /// A whole scene: `body` is what happens in it. Whatever that comes to, there is a judgement.
    pub(crate) fn play(
        stage: &'s Stage,
        name: &'static str,
        settings: Settings,
        body: impl FnOnce(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut scene = Self::open(stage, name, settings)?;
        if let Err(error) = body(&mut scene) {
            let said = scene.last_said();
            scene.whose_fault(&format!("broke off: {error}\n{said}"));
            for instance in &mut scene.instances {
                instance.signal("CONT");
            }
            drop(scene.tend());
            drop(scene.start_all());
        }
        scene.finish()
    }

    /// The last lines of every instance.
    pub(crate) fn last_said(&self) -> String {
        let said = self.instances.iter().map(|instance| format!("    {}:\n{}", instance.name, instance.last_said()));
        said.collect::<Vec<_>>().concat()
    }

    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.id)
    }

    pub(crate) fn changelog(&self, store: &str) -> String {
        format!("{}-{store}-changelog", self.id)
    }

    /// Starts all instances that do not run, with nothing on order, and waits until they process.
    pub(crate) fn start_all(&mut self) -> Result<(), String> {
        for instance in self.instances.iter_mut().filter(|instance| !instance.runs()) {
            instance.start("");
        }
        self.wait_until_running()
    }

    /// Waits until each instance that runs has said that a task of its own is running, or that it has none.
    pub(crate) fn wait_until_running(&mut self) -> Result<(), String> {
        for instance in self.instances.iter().filter(|instance| instance.runs()) {
            wait_for(&format!("{} running", instance.name), CAUGHT_UP, || instance.has_run().then_some(()))
                .map_err(|error| format!("{error}\n{}", instance.last_said()))?;
        }
        Ok(())
    }

    /// Asks an instance to stop that has nothing on order, which has to be in good order and in time; how long it took. Nothing happens where it does not run.
    pub(crate) fn stop(&mut self, place: usize, fault: u8) -> Duration {
        let instance = &mut self.instances[place];
        let took = instance.stop_in_time().unwrap_or(Ok(Duration::ZERO)).unwrap_or_else(|error| {
            self.ledger.broken(fault, format!("{}: {error}\n{}", instance.name, instance.last_said()));
            STOPPED
        });
        self.must_go_on(fault);
        took
    }

    /// Who has ended, with nothing on order that has happened, is noted as broken; it is started again.
    pub(crate) fn must_go_on(&mut self, fault: u8) {
        drop(self.ended_but_for(None, fault));
    }

    /// Whether one has ended, which its scene expects. All others must go on.
    pub(crate) fn has_ended(&mut self, place: usize, fault: u8) -> Option<Ended> {
        self.ended_but_for(Some(place), fault)
    }

    fn ended_but_for(&mut self, place: Option<usize>, fault: u8) -> Option<Ended> {
        let (mut expected, others): (Vec<Ended>, Vec<Ended>) = self.tend().into_iter().partition(|ended| Some(ended.instance) == place);
        for ended in others {
            if !ended.was_ordered() {
                self.ledger.broken(fault, ended.to_string());
            }
            self.instances[ended.instance].start("");
        }
        expected.pop()
    }

    /// Notes what fired, and says who has ended.
    pub(crate) fn tend(&mut self) -> Vec<Ended> {
        let mut ended = Vec::new();
        for place in 0..self.instances.len() {
            // Order: who has ended has written before.
            let status = self.instances[place].ended();
            for fired in self.instances[place].fired() {
                self.note(place, &fired);
            }
            let Some(status) = status else { continue };
            let instance = &self.instances[place];
            let (name, said, reason) = (instance.name.clone(), instance.last_said(), instance.reason());
            ended.push(Ended { instance: place, name, status, ordered: self.ordered[place].take(), said, reason });
        }
        ended
    }

    fn note(&mut self, place: usize, fired: &Fired) {
        if self.ordered[place].is_some() {
            self.fired(place, &fired.deed, Some(fired.open));
        }
    }

    /// What was ordered for an instance has happened.
    pub(crate) fn fired(&mut self, place: usize, kind: &str, open: Option<bool>) {
        let Some(ordered) = &mut self.ordered[place] else { return };
        if ordered.fired {
            return;
        }
        ordered.fired = true;
        let (fault, id) = (ordered.fault, ordered.id.clone());
        self.happened(fault, &id, kind, open);
    }

    /// A planned fault has happened; `open` says whether a transaction was open, where that is known.
    pub(crate) fn happened(&mut self, fault: u8, id: &str, kind: &str, open: Option<bool>) {
        self.ledger.fired(fault, id, kind, open, self.load.ends.sum());
        self.monitor.watch(fault, id, self.load.ends.of_each());
    }

    /// Plans a fault for an instance.
    pub(crate) fn order(&mut self, place: usize, fault: u8, point: &str) {
        let id = self.ledger.plan(fault, point);
        self.ordered[place] = Some(Ordered { fault, id, fired: false });
    }

    /// Looks after the instances for a while; who ends meanwhile, with nothing on order, is noted as broken and started again.
    pub(crate) fn watch_for(&mut self, time: Duration, fault: u8) {
        let began = Instant::now();
        while began.elapsed() < time {
            self.must_go_on(fault);
            nap(Duration::from_millis(10));
        }
    }

    /// Everything that is written now is to be committed in time; how long it took.
    pub(crate) fn catch_up(&self) -> Result<Duration, String> {
        self.monitor.wait_until(&self.load.ends.of_each(), CAUGHT_UP)
    }

    /// Ends the scene: quiet, caught up, stopped, exported, verified. The rows of its faults go to the results.
    fn finish(mut self) -> Result<(), String> {
        let outcome = self.wind_up();
        let (recoveries, mut regressions) = self.monitor.finish();
        if self.settings.positions_flicker {
            regressions.clear();
        }
        let verdict = match &outcome {
            Ok(verdict) => verdict.clone(),
            Err(error) => json!({ "ok": false, "error": error }),
        };
        if outcome.is_ok() {
            self.search();
        }
        let breaks = self.settings.breaks || self.stage.mutant.is_some();
        let mut green = verdict["ok"] == !breaks && (breaks || regressions.is_empty());
        let name = self.stage.mutant.as_deref().unwrap_or(self.name);
        for (fault, count) in &self.ledger.counts {
            let slowest = recoveries.iter().filter(|recovery| recovery.fault == *fault).map(|recovery| recovery.took).max();
            let mut row = Row::new(*fault, name, count, slowest, &verdict, (self.stage.seed, self.stage.long)).of_control(breaks);
            row.broken.extend(regressions.iter().cloned());
            green &= row.is_green();
            println!("  {}", row.line());
            self.stage.results.add(row);
        }
        println!("  {}: {} after {:.0} s; {verdict}", self.name, if green { "green" } else { "RED" }, self.began.elapsed().as_secs_f64());
        if !green {
            self.keep();
        }
        outcome.map(drop)
    }

    fn wind_up(&mut self) -> Result<Value, String> {
        if let Err(error) = self.monitor.wait_for_recovery(CAUGHT_UP) {
            self.whose_fault(&error);
        }
        let written = self.load.stop()?;
        if let Err(error) = self.catch_up() {
            self.whose_fault(&error);
        }
        // The follower sees the last of it too.
        nap(Duration::from_millis(1500));
        if let Some(follower) = self.follower.take() {
            let status = follower.stop("TERM");
            if !status.success() {
                return Err(format!("the follower ended with {status}"));
            }
        }
        for place in 0..self.instances.len() {
            let instance = &mut self.instances[place];
            if let Some(Err(error)) = instance.stop_in_time() {
                let (name, said) = (instance.name.clone(), instance.last_said());
                self.whose_fault(&format!("{name}: {error}\n{said}"));
            }
        }
        let mut exports = Vec::new();
        for instance in self.instances.iter().filter(|instance| instance.state_dir().exists()) {
            let export = instance.command(&["state", "export"]);
            if !export.status.success() {
                return Err(format!("state export of {}: {}", instance.name, String::from_utf8_lossy(&export.stderr)));
            }
            let path = self.folder.path().join(format!("{}.jsonl", instance.name));
            fs::write(&path, export.stdout).unwrap();
            exports.push(path);
        }
        self.write_spec(&exports);
        let mut verdict = self.verify()?;
        verdict["written"] = written.into();
        Ok(verdict)
    }

    /// Looks for secrets in what the instances said and left, and in all topics.
    fn search(&mut self) {
        let mut seen: secrets::Seen = self.instances.iter().flat_map(|instance| secrets::bytes_below(instance.folder())).collect();
        seen.extend(secrets::bytes_of_topics(&self.stage.client, &self.id, &[]));
        self.ledger.search(&seen, &["telegram_outbox"], &[TOKEN, PASSWORD]);
    }

    /// Something went wrong that concerns all faults of the scene.
    fn whose_fault(&mut self, what: &str) {
        let faults: Vec<u8> = self.ledger.counts.keys().copied().collect();
        for fault in faults {
            self.ledger.broken(fault, what);
        }
    }

    fn verifier(&self) -> Result<Vec<OsString>, String> {
        let python = Package::Python.folder()?.join("bin/python");
        Ok(verifier::command(&python, &self.stage.direct, &self.folder.path().join("spec.json")))
    }

    fn follow(&mut self) -> Result<(), String> {
        let mut command = self.verifier()?;
        command.extend(["--follow".into(), self.folder.path().join("seen.jsonl").into()]);
        let mut follower = Process::start("the verifier's follower", self.folder.path(), &command);
        follower.wait_for("following", |process| process.said().contains("following").then_some(()))?;
        self.follower = Some(follower);
        Ok(())
    }

    fn verify(&self) -> Result<Value, String> {
        let command = self.verifier()?;
        let output = Command::new(&command[0]).args(&command[1..]).output().map_err(|error| error.to_string())?;
        let (said, answer) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
        fs::write(self.folder.path().join("verdict"), format!("{said}\n{answer}")).unwrap();
        if !said.is_empty() {
            println!("    {}", said.lines().take(40).collect::<Vec<_>>().join("\n    "));
        }
        let verdict = answer.lines().last().and_then(|line| serde_json::from_str(line).ok());
        verdict.ok_or_else(|| format!("the verifier said nothing ({}): {said}", output.status))
    }

    fn write_spec(&self, exports: &[PathBuf]) {
        let mut spec = verifier::shipped(&self.id, |name| self.topic(name), &self.stage.registry.url(), [CHAT; 3]);
        spec["follow"] = json!(self.settings.follow.then(|| self.folder.path().join("seen.jsonl")));
        spec["exports"] = json!(exports);
        let open_percent = self.settings.open_percent;
        spec["faults"] = json!({ "planned": self.ledger.planned, "log": self.ledger.path(), "open_at_kills_percent": open_percent });
        spec["quiet_seconds"] = 60.into();
        for (key, value) in self.settings.spec.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        fs::write(self.folder.path().join("spec.json"), spec.to_string()).unwrap();
    }

    /// Keeps what a red scene leaves, for whoever looks for the reason.
    fn keep(&self) {
        let kept = self.stage.kept.join(&self.id);
        fs::create_dir_all(&kept).unwrap();
        let copy = |from: &Path, to: &Path| drop(fs::copy(from, to));
        for name in ["spec.json", "seen.jsonl", "fired.jsonl", "verdict"] {
            copy(&self.folder.path().join(name), &kept.join(name));
        }
        for instance in &self.instances {
            instance.keep(&kept);
            copy(&self.folder.path().join(format!("{}.jsonl", instance.name)), &kept.join(format!("{}.jsonl", instance.name)));
        }
        println!("  what it left is in {}", kept.display());
    }
}

/// The shipped topology under another id, whose topics' names begin with it.
pub(crate) fn topology(id: &str, engine: &str) -> String {
    let shipped = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("topology.toml")).unwrap();
    let line = |line: &str| match line.split('=').next().unwrap_or_default().trim() {
        "application_id" => format!("application_id = \"{id}\"\n"),
        "topic" => line.replacen('"', &format!("\"{id}."), 1) + "\n",
        _ => format!("{line}\n"),
    };
    let text: String = shipped.lines().map(line).collect();
    // Rows reach the disk early, so that there are many moments around it.
    format!("{text}\n[engine]\ninstance_id = {{ env = \"INSTANCE\" }}\nwrite_back_interval_ms = 300\n{engine}\n")
}
