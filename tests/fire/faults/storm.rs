//! Faults 12 and 20: instances that come and go, and two where there may be one.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::instance::Instance;
use crate::random::Random;
use crate::scene::{CAUGHT_UP, Scene, Settings, Stage};
use crate::time::nap;

/// How often somebody comes or goes.
const EVENTS: [usize; 2] = [20, 200];
const TWINS: [usize; 2] = [2, 10];

/// So long may a second holder of an id go on beside the first.
const BESIDE: Duration = Duration::from_secs(30);

pub(crate) fn play(stage: &Stage, wanted: &[u8]) -> Result<(), String> {
    let column = usize::from(stage.long);
    let mut random = Random::seeded(stage.seed + 12);
    let settings = Settings { instances: 4, engine: "standby = true".to_owned(), ..Settings::default() };
    Scene::play(stage, "storm", settings, |scene| {
        scene.start_all()?;
        if wanted.contains(&12) {
            let mut checkpoints = Checkpoints::default();
            for _ in 0..EVENTS[column] {
                come_or_go(scene, &mut random, &mut checkpoints);
            }
            scene.ledger.remark(12, format!("{} checkpoints looked at, of {} stores", checkpoints.looks, checkpoints.known.len()));
            if checkpoints.looks == 0 {
                scene.ledger.broken(12, "there was no checkpoint to look at");
            }
            for place in 0..scene.instances.len() {
                scene.stop(place, 12);
            }
            scene.start_all()?;
            scene.monitor.wait_for_recovery(CAUGHT_UP)?;
        }
        if wanted.contains(&20) {
            for number in 0..TWINS[column] {
                same_directory(scene, number % 2);
                same_id(scene, number % 2)?;
            }
        }
        Ok(())
    })
}

/// How far the stores on the disks of all instances are, by instance, store and partition, when last looked at.
#[derive(Debug, Default)]
struct Checkpoints {
    known: HashMap<(usize, String, i64), i64>,
    looks: u64,
}

impl Checkpoints {
    /// Looks at the disk of an instance that does not run: it never goes back, whoever wrote there, a stream thread or a standby task, unless a store was begun
    /// anew.
    fn look(&mut self, scene: &mut Scene<'_>, place: usize) {
        if scene.instances[place].has_said("the store is rebuilt") {
            self.known.retain(|(of, ..), _| *of != place);
        }
        let output = scene.instances[place].command(&["state", "export"]);
        if !output.status.success() {
            scene.ledger.broken(12, format!("state export: {}", String::from_utf8_lossy(&output.stderr)));
        }
        for line in String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.contains("\"checkpoint\"")) {
            let row: Value = serde_json::from_str(line).unwrap();
            let (Some(checkpoint), Some(partition)) = (row["checkpoint"].as_i64(), row["partition"].as_i64()) else { continue };
            let store = row["store"].as_str().unwrap_or_default().to_owned();
            self.looks += 1;
            let known = self.known.entry((place, store, partition)).or_insert(checkpoint);
            if checkpoint < *known {
                let name = &scene.instances[place].name;
                scene.ledger.broken(12, format!("{name}: the checkpoint of {row} was {known}\n{}", scene.instances[place].last_said()));
            }
            *known = checkpoint;
        }
    }
}

fn come_or_go(scene: &mut Scene<'_>, random: &mut Random, checkpoints: &mut Checkpoints) {
    scene.watch_for(Duration::from_millis(300 + random.below(1700)), 12);
    let mut place = usize::try_from(random.below(4)).unwrap();
    let running = scene.instances.iter().filter(|instance| instance.runs()).count();
    if scene.instances[place].runs() && running == 1 {
        // One is always there, or nothing would be learnt of the hand-over: another one comes.
        place = (place + 1) % 4;
    }
    let (kind, signal) = match (scene.instances[place].runs(), random.below(3)) {
        (false, 0) => ("stays", None),
        (false, _) => ("leaves", None),
        (true, 0) => ("kill", Some("KILL")),
        (true, _) => ("stop", Some("TERM")),
    };
    let id = scene.ledger.plan(12, if signal.is_some() { kind } else { "start" });
    match signal {
        None if kind == "leaves" => scene.instances[place].start_with("", &["--leave-on-stop"]),
        None => scene.instances[place].start(""),
        Some("TERM") => drop(scene.stop(place, 12)),
        Some(signal) => drop(scene.instances[place].stop(signal)),
    }
    scene.happened(12, &id, "come-or-go", None);
    scene.must_go_on(12);
    if signal.is_some() {
        checkpoints.look(scene, place);
    }
}

/// A second process on a directory that somebody holds ends at once, and says who holds it.
fn same_directory(scene: &mut Scene<'_>, place: usize) {
    let id = scene.ledger.plan(20, "directory");
    let began = Instant::now();
    let output = scene.instances[place].command(&["run", "--only", "topology"]);
    let took = began.elapsed();
    scene.happened(20, &id, "twin", None);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let holder = scene.instances[place].process_id().map(|id| format!("process {id}"));
    if output.status.success() || took > Duration::from_secs(5) || !holder.is_some_and(|holder| said.contains(&holder)) {
        scene.ledger.broken(20, format!("the second process ended after {took:?} with {} and said {said}", output.status));
    }
}

/// Another directory with the id of one that runs: the newcomer has the work, the other ends and names the id.
fn same_id(scene: &mut Scene<'_>, place: usize) -> Result<(), String> {
    let id = scene.ledger.plan(20, "id");
    let name = scene.instances[place].name.clone();
    let mut twin = Instance::new(&name, &scene.surroundings);
    twin.start("");
    scene.happened(20, &id, "twin", None);
    let began = Instant::now();
    let survivor = loop {
        if let Some(ended) = scene.has_ended(place, 20) {
            if !ended.gave_up(&[1]) || !ended.reason.contains(&format!("holds the instance id {name};")) {
                scene.ledger.broken(20, ended.to_string());
            }
            break "the newcomer";
        }
        if let Some(status) = twin.ended() {
            scene.ledger.broken(20, format!("the newcomer gave up ({status})\n{}", twin.last_said()));
            break "the first";
        }
        if began.elapsed() > BESIDE {
            scene.ledger.broken(20, "both go on");
            break "both";
        }
        nap(Duration::from_millis(10));
    };
    scene.ledger.remark(20, format!("one id twice: {survivor} went on, after {} ms", began.elapsed().as_millis()));
    scene.monitor.wait_for_recovery(CAUGHT_UP)?;
    if let Some(Err(error)) = twin.stop_in_time() {
        scene.ledger.broken(20, format!("{error}\n{}", twin.last_said()));
    }
    scene.start_all()?;
    scene.monitor.wait_for_recovery(CAUGHT_UP)
}
