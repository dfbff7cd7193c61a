//! Faults 4 and 5: processes and threads that stand still until others have taken their work, and then go on.

use std::time::{Duration, Instant};

use crate::random::Random;
use crate::scene::{Scene, Settings, Stage};
use crate::time::nap;

const STOPS: [usize; 2] = [2, 15];
const STALLS: [usize; 2] = [1, 5];

/// The point of a stall that the watchdog ends.
const WATCHDOG: &str = "watchdog";

/// The longest that a fault of these is felt: the session, the dead transaction and its sweep; for a stall its own time too.
const TAKEN_OVER: Duration = Duration::from_secs(60);

/// So long may it take until it is a member again, or has ended.
const BACK: Duration = Duration::from_secs(30);

pub(crate) fn stopped(stage: &Stage, _: &[u8]) -> Result<(), String> {
    let mut random = Random::seeded(stage.seed + 4);
    Scene::play(stage, "zombies", Settings::default(), |scene| {
        scene.start_all()?;
        for number in 0..STOPS[usize::from(stage.long)] {
            let point = ["K5", "K3", "K2"][number % 3];
            stop(scene, number % 2, point, &format!("stop={point}@{}", 1 + random.below(60)))?;
        }
        Ok(())
    })
}

/// A thread that stands still for longer than the watchdog bears, which ends the process.
pub(crate) fn stalled(stage: &Stage, _: &[u8]) -> Result<(), String> {
    let mut random = Random::seeded(stage.seed + 5);
    Scene::play(stage, "stalls", Settings { instances: 2, ..Settings::default() }, |scene| {
        scene.start_all()?;
        for number in 0..STALLS[usize::from(stage.long)] {
            stall(scene, number % 2, WATCHDOG, 1 + random.below(100), Duration::from_secs(40))?;
        }
        Ok(())
    })
}

/// The same without a watchdog, past the time that the group waits for a poll.
pub(crate) fn stalled_for_long(stage: &Stage, _: &[u8]) -> Result<(), String> {
    let mut random = Random::seeded(stage.seed + 55);
    let settings = Settings { instances: 2, engine: "watchdog = \"1h\"".to_owned(), ..Settings::default() };
    Scene::play(stage, "overdue", settings, |scene| {
        scene.start_all()?;
        for number in 0..STALLS[usize::from(stage.long)] {
            stall(scene, number % 2, "overdue", 1 + random.below(100), Duration::from_secs(66))?;
        }
        Ok(())
    })
}

/// One is stopped until all that was written before is committed by others; then it goes on.
fn stop(scene: &mut Scene<'_>, place: usize, point: &str, plan: &str) -> Result<(), String> {
    strike(scene, place, 4, point, plan)?;
    scene.monitor.wait_for_recovery(TAKEN_OVER)?;
    let said = scene.instances[place].said().len();
    scene.instances[place].signal("CONT");
    go_on(scene, place, 4, point, said, BACK);
    scene.monitor.wait_for_recovery(TAKEN_OVER)
}

/// A thread of one stands still for all of the time, or until the watchdog ends the process.
fn stall(scene: &mut Scene<'_>, place: usize, point: &str, count: u64, time: Duration) -> Result<(), String> {
    strike(scene, place, 5, point, &format!("stall=K2@{count}:{}s", time.as_secs()))?;
    let said = scene.instances[place].said().len();
    let end = go_on(scene, place, 5, point, said, time + BACK);
    let as_planned = if point == WATCHDOG { end.hung } else { end.stalled.is_some_and(|lasted| lasted >= time) };
    if !as_planned {
        scene.ledger.broken(5, format!("{point}: it should have stood still for {time:?}: {end:?}"));
    }
    scene.monitor.wait_for_recovery(TAKEN_OVER + time)
}

/// Has one stand still, after all before it is over.
fn strike(scene: &mut Scene<'_>, place: usize, fault: u8, point: &str, plan: &str) -> Result<(), String> {
    scene.catch_up()?;
    scene.stop(place, fault);
    scene.order(place, fault, point);
    scene.instances[place].start(plan);
    let began = Instant::now();
    while scene.ordered[place].as_ref().is_some_and(|ordered| !ordered.fired) {
        if !scene.tend().is_empty() || began.elapsed() > TAKEN_OVER {
            return Err(format!("{plan} never happened\n{}", scene.instances[place].last_said()));
        }
        nap(Duration::from_millis(10));
    }
    Ok(())
}

/// How one went on that had stood still.
#[derive(Debug)]
struct End {
    /// Its watchdog ended it.
    hung: bool,
    /// How long its thread had stalled; none where it was not told to, or never came to the end of it.
    stalled: Option<Duration>,
}

/// Waits until one is a member again, or has ended and is started again; it had said so many lines before.
fn go_on(scene: &mut Scene<'_>, place: usize, fault: u8, point: &str, said: usize, within: Duration) -> End {
    let began = Instant::now();
    let (how, end) = loop {
        if let Some(ended) = scene.tend().into_iter().find(|ended| ended.instance == place) {
            let end = End { hung: ended.has_hung(), stalled: scene.instances[place].stalled() };
            scene.instances[place].start("");
            break (format!("ended with {}", ended.status), end);
        }
        let is_back = |line: &serde_json::Value| line["message"] == "partitions assigned";
        let stands = began.elapsed() > within;
        if stands {
            let last = scene.instances[place].last_said();
            scene.ledger.broken(fault, format!("neither a member again nor gone after {within:?}\n{last}"));
        }
        if stands || scene.instances[place].said().iter().skip(said).any(is_back) {
            let how = if stands { "did neither" } else { "became a member again" };
            break (how.to_owned(), End { hung: false, stalled: scene.instances[place].stalled() });
        }
        nap(Duration::from_millis(20));
    };
    scene.ordered[place] = None;
    scene.ledger.remark(fault, format!("{point}: went on, and {how} after {} ms", began.elapsed().as_millis()));
    end
}
