//! Faults 4 and 5: processes and threads that stand still until others have taken their work, and then go on.

use std::time::{Duration, Instant};

use crate::random::Random;
use crate::scene::{Ended, Scene, Settings, Stage};
use crate::time::nap;

const STOPS: [usize; 2] = [2, 15];
const STALLS: [usize; 2] = [1, 5];

/// A stall that the watchdog ends, which is at 30 seconds where nobody sets it.
const HANGS: Duration = Duration::from_secs(40);

/// A stall past the minute that a group waits for a poll.
const OVERDUE: Duration = Duration::from_secs(66);

/// The longest that a fault of these is felt: the session, the dead transaction and its sweep.
const TAKEN_OVER: Duration = Duration::from_secs(60);

/// So long may it take until it is a member again, or has ended.
const BACK: Duration = Duration::from_secs(30);

/// A process that is stopped until all that was written before is committed by others, and then goes on.
pub(crate) fn stopped(stage: &Stage, _: &[u8]) -> Result<(), String> {
    let mut random = Random::seeded(stage.seed + 4);
    Scene::play(stage, "zombies", Settings::default(), |scene| {
        scene.start_all()?;
        for number in 0..STOPS[usize::from(stage.long)] {
            let (place, point) = (number % 2, ["K5", "K3", "K2"][number % 3]);
            strike(scene, place, 4, point, &format!("stop={point}@{}", 1 + random.below(60)))?;
            scene.monitor.wait_for_recovery(TAKEN_OVER)?;
            if let Some(ended) = go_on(scene, place, 4, point, BACK).filter(|ended| !ended.gave_up(&[1])) {
                scene.ledger.broken(4, ended.to_string());
            }
            scene.monitor.wait_for_recovery(TAKEN_OVER)?;
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
            let (ended, lasted) = stall(scene, number % 2, "watchdog", 1 + random.below(100), HANGS)?;
            // The stall may come to its end before the process does.
            let hung = ended.as_ref().is_some_and(|ended| ended.has_hung() && ended.status.code() == Some(1));
            if !hung || lasted.is_some_and(|lasted| lasted < HANGS) {
                scene.ledger.broken(5, format!("the watchdog should have ended it; it stood still for {lasted:?} of {HANGS:?}: {ended:?}"));
            }
            scene.monitor.wait_for_recovery(TAKEN_OVER)?;
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
            let (ended, lasted) = stall(scene, number % 2, "overdue", 1 + random.below(100), OVERDUE)?;
            let well = ended.as_ref().is_none_or(|ended| ended.gave_up(&[1]));
            if !well || lasted.is_none_or(|lasted| lasted < OVERDUE) {
                scene.ledger.broken(5, format!("it should have stood still for {OVERDUE:?}, not {lasted:?}, and gone on: {ended:?}"));
            }
            scene.monitor.wait_for_recovery(TAKEN_OVER)?;
        }
        Ok(())
    })
}

/// A thread of one stands still; who has ended for it, and how long it stood still where it came to the end of that.
fn stall(
    scene: &mut Scene<'_>,
    place: usize,
    point: &str,
    count: u64,
    time: Duration,
) -> Result<(Option<Ended>, Option<Duration>), String> {
    strike(scene, place, 5, point, &format!("stall=K2@{count}:{}s", time.as_secs()))?;
    let ended = go_on(scene, place, 5, point, time + BACK);
    Ok((ended, scene.instances[place].stalled()))
}

/// Makes one stand still, once all that was written before is committed.
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

/// Continues one, and waits until it is a member again, or has ended and is started again: then that is what comes back.
fn go_on(scene: &mut Scene<'_>, place: usize, fault: u8, point: &str, within: Duration) -> Option<Ended> {
    let said = scene.instances[place].said().len();
    scene.instances[place].signal("CONT");
    let began = Instant::now();
    let is_back = |line: &serde_json::Value| line["message"] == "partitions assigned";
    let (how, gone) = loop {
        if let Some(ended) = scene.has_ended(place, fault) {
            scene.instances[place].start("");
            break (format!("ended with {}", ended.status), Some(ended));
        }
        if scene.instances[place].said().iter().skip(said).any(is_back) {
            break ("became a member again".to_owned(), None);
        }
        if began.elapsed() > within {
            let last = scene.instances[place].last_said();
            scene.ledger.broken(fault, format!("neither a member again nor gone after {within:?}\n{last}"));
            break ("did neither".to_owned(), None);
        }
        nap(Duration::from_millis(20));
    };
    scene.ordered[place] = None;
    scene.ledger.remark(fault, format!("{point}: {how} after {} ms", began.elapsed().as_millis()));
    gone
}
