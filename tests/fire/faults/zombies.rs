//! Faults 4 and 5: processes and threads that stand still until others have taken their work, and then go on.

use std::time::{Duration, Instant};

use crate::random::Random;
use crate::scene::{Scene, Settings, Stage};
use crate::time::nap;

const STOPS: [usize; 2] = [2, 15];
const STALLS: [usize; 2] = [1, 5];

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
            still(scene, number % 2, 4, point, &format!("stop={point}@{}", 1 + random.below(60)), Duration::ZERO)?;
        }
        Ok(())
    })
}

/// A thread that stands still: for less than the watchdog bears, which is nothing; for more, which ends the process.
pub(crate) fn stalled(stage: &Stage, _: &[u8]) -> Result<(), String> {
    let mut random = Random::seeded(stage.seed + 5);
    Scene::play(stage, "stalls", Settings { instances: 2, ..Settings::default() }, |scene| {
        scene.start_all()?;
        for number in 0..STALLS[usize::from(stage.long)] {
            let count = 1 + random.below(100);
            still(scene, number % 2, 5, "watchdog", &format!("stall=K2@{count}:40s"), Duration::from_secs(40))?;
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
            let count = 1 + random.below(100);
            still(scene, number % 2, 5, "overdue", &format!("stall=K2@{count}:66s"), Duration::from_secs(66))?;
        }
        Ok(())
    })
}

/// One stands still until all that was written before is committed by others, or by itself; then it goes on.
fn still(scene: &mut Scene<'_>, place: usize, fault: u8, point: &str, plan: &str, stall: Duration) -> Result<(), String> {
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
    let fired = Instant::now();
    if stall.is_zero() {
        scene.monitor.wait_for_recovery(TAKEN_OVER)?;
    }
    let before = scene.instances[place].said().len();
    scene.instances[place].signal("CONT");
    let (went_on, rest) = (Instant::now(), stall.saturating_sub(fired.elapsed()));
    let end = loop {
        if let Some(ended) = scene.tend().into_iter().find(|ended| ended.instance == place) {
            scene.instances[place].start("");
            break format!("ended with {}", ended.status);
        }
        let said = scene.instances[place].said();
        let is_back = |line: &serde_json::Value| line["message"] == "partitions assigned";
        if said.iter().skip(before).any(is_back) {
            break "became a member again".to_owned();
        }
        if went_on.elapsed() > rest + BACK {
            scene.ledger.broken(fault, format!("neither a member again nor gone after {BACK:?}\n{}", scene.instances[place].last_said()));
            break "did neither".to_owned();
        }
        nap(Duration::from_millis(20));
    };
    scene.ordered[place] = None;
    scene.ledger.remark(fault, format!("{point}: went on, and {end} after {} ms", went_on.elapsed().as_millis()));
    scene.monitor.wait_for_recovery(TAKEN_OVER + rest)
}
