//! Faults 1 to 3: killed at every point of the protocol, all at once, and asked to stop, under load.

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::proxy::{Deed, Told, api};
use crate::random::Random;
use crate::scene::{CAUGHT_UP, Ended, Scene, Settings, Stage};
use crate::time::{nap, wait_for};

/// The points of one round, with K11 fifty: four fifths inside a transaction, a third with the offsets in it already. K6 counts for neither, since the commit may be
/// done when the process dies.
const ROUND: &[(&str, usize)] = &[
    ("K1", 1),
    ("K2", 13),
    ("K3", 5),
    ("K4", 5),
    ("K5", 16),
    ("K6", 1),
    ("K6wire", 1),
    ("K7", 1),
    ("K8", 1),
    ("K9", 1),
    ("K10", 1),
    ("K12", 1),
    ("ANY", 1),
    ("K5away", 1),
];

/// At these points the offsets are in the transaction, and its commit was not asked for.
const OFFSETS_SENT: [&str; 2] = ["K5", "K5away"];

/// Rounds of the short run and of the long one.
const ROUNDS: [usize; 2] = [1, 8];
const REVOKED: [usize; 2] = [1, 8];
const ALL_AT_ONCE: [usize; 2] = [2, 20];
const STOPS: [usize; 2] = [4, 30];

/// Enough for a few commits.
const A_MOMENT: Duration = Duration::from_secs(1);

/// So long is waited for a point to be reached.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn play(stage: &Stage, wanted: &[u8]) -> Result<(), String> {
    let column = usize::from(stage.long);
    let mut random = Random::seeded(stage.seed);
    Scene::play(stage, "kills", Settings { open_percent: 80, ..Settings::default() }, |scene| {
        scene.instances[2].start_with("", &["--leave-on-stop"]);
        if wanted.contains(&1) {
            killed(scene, &mut random, ROUNDS[column]);
            for _ in 0..REVOKED[column] {
                killed_at_revoke(scene)?;
            }
        }
        scene.start_all()?;
        if wanted.contains(&2) {
            for _ in 0..ALL_AT_ONCE[column] {
                all_at_once(scene, &mut random)?;
            }
        }
        if wanted.contains(&3) {
            // While partitions are still being handed over for the first time, whoever comes back restores what others had.
            for instance in &scene.instances {
                wait_for(&format!("a task of {}", instance.name), CAUGHT_UP, || (instance.tasks() > 0).then_some(()))?;
            }
            for number in 0..STOPS[column] {
                stopped(scene, number % 2)?;
            }
        }
        Ok(())
    })
}

/// What one victim is to die of.
#[derive(Debug)]
struct Job {
    point: &'static str,
    since: Instant,
    /// Where the harness itself kills: when the proxy tells.
    told: Option<Receiver<Told>>,
    /// When it is asked to stop: some points lie there.
    stop_at: Option<Instant>,
    /// When it is killed and started once more, since it did not come to its point.
    again_at: Option<Instant>,
}

/// So often a point passes before the process dies there.
fn count(point: &str, random: &mut Random) -> u64 {
    1 + match point {
        "K1" | "K3" | "K4" | "K5" | "K5away" | "K6" | "K6wire" | "K7" => random.below(40),
        "K2" => random.below(250),
        "K8" => random.below(3),
        "ANY" => 50 + random.below(1500),
        _ => 0,
    }
}

fn arm(scene: &mut Scene<'_>, place: usize, point: &'static str, random: &mut Random) -> Job {
    scene.order(place, 1, point);
    let count = count(point, random);
    let mut job = Job { point, since: Instant::now(), told: None, stop_at: None, again_at: None };
    match point {
        "K6wire" => {
            let (tell, told) = channel();
            scene.stage.proxy.order(&scene.instances[place].client(), api::END_TXN, count, Deed::KeepAnswer, tell);
            scene.instances[place].start("");
            job.told = Some(told);
        }
        "K9" => {
            scene.instances[place].start(&format!("kill=K9@1:{}us", 1 + random.below(1500)));
            job.stop_at = Some(Instant::now() + Duration::from_millis(2500 + random.below(1000)));
        }
        "K6" => scene.instances[place].start(&format!("kill=K6@{count}:{}us", 1 + random.below(2000))),
        "K5away" => scene.instances[place].start(&format!("kill=K5@{count}")),
        _ => scene.instances[place].start(&format!("kill={point}@{count}")),
    }
    job
}

/// Two victims die again and again, each with its next death on order when it comes back; a third looks on.
fn killed(scene: &mut Scene<'_>, random: &mut Random, rounds: usize) {
    let mut bag: Vec<&'static str> = Vec::new();
    for _ in 0..rounds {
        bag.extend(ROUND.iter().flat_map(|(point, times)| std::iter::repeat_n(*point, *times)));
    }
    for place in (1..bag.len()).rev() {
        bag.swap(place, usize::try_from(random.below(u64::try_from(place + 1).unwrap())).unwrap());
    }
    // A restore has something to read only after a kill.
    if let Some(place) = bag.iter().rposition(|point| !["K10", "K12"].contains(point)) {
        let last = bag.len() - 1;
        bag.swap(place, last);
    }
    let wanted = bag.len();
    let mut jobs: [Option<Job>; 2] = [None, None];
    for (place, job) in jobs.iter_mut().enumerate() {
        *job = bag.pop().map(|point| arm(scene, place, point, random));
    }
    while jobs.iter().any(Option::is_some) {
        for ended in scene.tend() {
            let place = ended.instance;
            let fired = ended.was_ordered();
            let job = jobs.get_mut(place).and_then(Option::take);
            let Some(job) = job.filter(|_| fired) else {
                scene.ledger.broken(1, format!("nothing had fired, and {ended}"));
                scene.instances[place].start("");
                continue;
            };
            if job.point == "K5away" {
                // Nobody comes back before the others have taken over.
                if let Err(error) = scene.monitor.wait_for_recovery(CAUGHT_UP) {
                    scene.ledger.broken(1, error);
                }
            }
            match bag.pop() {
                Some(point) => jobs[place] = Some(arm(scene, place, point, random)),
                None => scene.instances[place].start(""),
            }
        }
        for (place, job) in jobs.iter_mut().enumerate() {
            let Some(waiting) = job else { continue };
            if waiting.told.as_ref().is_some_and(|told| told.try_recv() == Ok(Told::Met)) {
                scene.fired(place, "kill", Some(true));
                scene.instances[place].signal("KILL");
            }
            if waiting.stop_at.is_some_and(|at| Instant::now() >= at) {
                waiting.stop_at = None;
                scene.instances[place].signal("TERM");
            }
            if waiting.point == "K10" && waiting.again_at.is_none() && scene.instances[place].has_run() {
                // There was nothing to restore, the disk had it all. Who has worked for a moment and dies leaves something.
                waiting.again_at = Some(Instant::now() + A_MOMENT);
            }
            if waiting.again_at.is_some_and(|at| Instant::now() >= at) {
                waiting.again_at = None;
                scene.instances[place].stop("KILL");
                scene.instances[place].start("kill=K10@1");
            }
            if waiting.since.elapsed() > PATIENCE {
                let said = scene.instances[place].last_said();
                scene.ledger.broken(1, format!("{} was never reached\n{said}", waiting.point));
                *job = None;
            }
        }
        nap(Duration::from_millis(5));
    }
    // Whoever takes over must often enough find a transaction with its offsets in it, which is what fencing is about.
    let points = &scene.ledger.count(1).points;
    let with_offsets: u64 = OFFSETS_SENT.iter().filter_map(|point| points.get(*point)).sum();
    if with_offsets * 3 < u64::try_from(wanted).unwrap() {
        scene.ledger.broken(1, format!("only {with_offsets} of {wanted} takeovers found offsets that were sent"));
    }
}

/// A third instance comes, so the group wants partitions back of the two that are there: whichever is asked first is to die at that moment.
fn killed_at_revoke(scene: &mut Scene<'_>) -> Result<(), String> {
    for place in 0..2 {
        scene.stop(place, 1);
    }
    scene.order(0, 1, "K11");
    scene.ordered[1] = scene.ordered[0].clone();
    scene.instances[0].start("kill=K11@1");
    scene.instances[1].start("kill=K11@1");
    for _ in 0..5 {
        scene.stop(2, 1);
        scene.catch_up()?;
        scene.instances[2].start_with("", &["--leave-on-stop"]);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(15) {
            let ended = scene.tend();
            let fired = ended.iter().any(Ended::was_ordered);
            if fired {
                scene.ordered.fill(None);
                // The other one is relieved of its order, of which it may die yet while it stops.
                for place in 0..2 {
                    scene.instances[place].stop("TERM");
                    drop(scene.tend());
                    scene.instances[place].start("");
                }
                return Ok(());
            }
            for ended in ended {
                scene.ledger.broken(1, ended.to_string());
                scene.instances[ended.instance].start("");
            }
            nap(Duration::from_millis(10));
        }
    }
    scene.ordered.fill(None);
    scene.ledger.broken(1, "nobody was asked for a partition");
    Ok(())
}

/// One dies at a moment of its own, and with it all the others.
fn all_at_once(scene: &mut Scene<'_>, random: &mut Random) -> Result<(), String> {
    scene.catch_up()?;
    scene.stop(0, 2);
    scene.order(0, 2, "ANY");
    scene.instances[0].start(&format!("kill=ANY@{}", 300 + random.below(1500)));
    let began = Instant::now();
    loop {
        let ended = scene.tend();
        if !ended.is_empty() {
            for place in 1..scene.instances.len() {
                scene.instances[place].signal("KILL");
            }
            break;
        }
        if began.elapsed() > PATIENCE {
            return Err("the moment never came".to_owned());
        }
        nap(Duration::from_millis(2));
    }
    for place in 0..scene.instances.len() {
        scene.instances[place].stop("KILL");
    }
    drop(scene.tend());
    scene.start_all()?;
    scene.monitor.wait_for_recovery(CAUGHT_UP).or_else(|error| {
        scene.ledger.broken(2, error);
        Ok(())
    })
}

/// Asked to stop, it ends in time; started again, it has nothing to restore.
fn stopped(scene: &mut Scene<'_>, place: usize) -> Result<(), String> {
    scene.watch_for(Duration::from_millis(700), 3);
    let id = scene.ledger.plan(3, "TERM");
    scene.happened(3, &id, "stop", None);
    let took = scene.stop(place, 3);
    scene.ledger.remark(3, format!("stopped after {} ms", took.as_millis()));
    scene.instances[place].start("");
    scene.wait_until_running()?;
    let restored = scene.instances[place].restored();
    if restored > 0 {
        let said = scene.instances[place].last_said();
        scene.ledger.broken(3, format!("{restored} records were restored after a stop in good order\n{said}"));
    }
    scene.monitor.wait_for_recovery(CAUGHT_UP)
}
