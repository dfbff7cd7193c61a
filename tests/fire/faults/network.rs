//! Faults 6, 7 and 11: requests that come late, answers that are lost, ways that are cut.

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::proxy::{Deed, Told, Way, api};
use crate::random::Random;
use crate::scene::{CAUGHT_UP, Scene, Settings, Stage};
use crate::time::nap;

const LOST_ANSWERS: [usize; 2] = [4, 30];
const CUTS: [usize; 2] = [1, 4];
const LATE: [usize; 2] = [3, 20];
const JOINS: [u64; 2] = [3, 36];

/// An outage that the watchdog (30 s) must not take for a call that hangs.
const LONGER_THAN_THE_WATCHDOG: Duration = Duration::from_secs(45);

/// So long may it take after a cut until it works again, or has ended.
const BACK: Duration = Duration::from_secs(30);

/// What a broker says to who holds an id no longer: an old epoch, or fenced.
const FENCED: [i16; 2] = [47, 90];

pub(crate) fn play(stage: &Stage, wanted: &[u8]) -> Result<(), String> {
    let column = usize::from(stage.long);
    let mut random = Random::seeded(stage.seed + 7);
    Scene::play(stage, "network", Settings::default(), |scene| {
        scene.start_all()?;
        if wanted.contains(&7) {
            for number in 0..LOST_ANSWERS[column] {
                // Every fourth time the connection stays, and the client waits until its patience is over.
                let deed = if number % 4 == 3 { Deed::KeepAnswer } else { Deed::LoseAnswer };
                lost_answer(scene, number % 2, deed, 1 + random.below(30))?;
            }
        }
        if wanted.contains(&11) {
            for number in 0..CUTS[column] {
                for (way, seconds) in [(Way::Held, 14), (Way::RequestsHeld, 14), (Way::AnswersHeld, 14), (Way::Refused, 14), (Way::Held, 4)]
                {
                    cut(scene, number % 2, way, Duration::from_secs(seconds))?;
                }
                if stage.long {
                    cut(scene, number % 2, [Way::Refused, Way::Held][number / 2 % 2], LONGER_THAN_THE_WATCHDOG)?;
                }
                delayed(scene, number % 2)?;
            }
            for skip in 0..JOINS[column] {
                lost_metadata(scene, 0, skip % 12)?;
            }
        }
        Ok(())
    })
}

/// Waits for something that the proxy tells, and looks after the instances meanwhile.
fn wait_told(scene: &mut Scene<'_>, told: &Receiver<Told>, fault: u8, within: Duration) -> Result<Told, String> {
    let began = Instant::now();
    loop {
        if let Ok(what) = told.try_recv() {
            return Ok(what);
        }
        if began.elapsed() > within {
            return Err("the request never came".to_owned());
        }
        scene.watch_for(Duration::from_millis(5), fault);
    }
}

/// The commit is done, and its answer never arrives.
fn lost_answer(scene: &mut Scene<'_>, place: usize, deed: Deed, skip: u64) -> Result<(), String> {
    let id = scene.ledger.plan(7, if deed == Deed::KeepAnswer { "kept" } else { "lost" });
    let (tell, told) = channel();
    scene.stage.proxy.order(&scene.instances[place].client(), api::END_TXN, skip, deed, tell);
    let met = wait_told(scene, &told, 7, CAUGHT_UP)?;
    scene.happened(7, &id, "network", Some(true));
    let answered = if met == Told::Met { wait_told(scene, &told, 7, CAUGHT_UP)? } else { met };
    if answered != Told::Answered(Some(0)) {
        scene.ledger.broken(7, format!("the broker did not commit: {answered:?}"));
    }
    restart_while(scene, 7, place, CAUGHT_UP);
    scene.monitor.wait_for_recovery(CAUGHT_UP)
}

/// An answer about topics is lost while an instance starts and joins, another one each time: it is in the group soon all the same.
fn lost_metadata(scene: &mut Scene<'_>, place: usize, skip: u64) -> Result<(), String> {
    scene.catch_up()?;
    scene.stop(place, 11);
    let id = scene.ledger.plan(11, "metadata");
    let (tell, told) = channel();
    scene.stage.proxy.order(&scene.instances[place].client(), api::METADATA, skip, Deed::LoseAnswer, tell);
    scene.instances[place].start("");
    wait_told(scene, &told, 11, CAUGHT_UP)?;
    scene.happened(11, &id, "network", None);
    restart_while(scene, 11, place, CAUGHT_UP);
    if let Err(error) = scene.wait_until_running() {
        scene.ledger.broken(11, error);
    }
    Ok(())
}

/// Until nothing is felt any more; who has ended meanwhile is started again, as a supervisor would.
fn restart_while(scene: &mut Scene<'_>, fault: u8, place: usize, within: Duration) -> Option<String> {
    let began = Instant::now();
    let mut ended_with = None;
    while scene.monitor.wait_for_recovery(Duration::from_millis(50)).is_err() && began.elapsed() < within {
        for ended in scene.tend() {
            // What nobody did anything to has no reason to end.
            if ended.instance != place || !ended.gave_up(&[1, 2]) {
                scene.ledger.broken(fault, ended.to_string());
            }
            ended_with = Some(format!("ended with {}", ended.status));
            scene.instances[ended.instance].start("");
        }
    }
    ended_with
}

fn cut(scene: &mut Scene<'_>, place: usize, way: Way, time: Duration) -> Result<(), String> {
    scene.catch_up()?;
    let id = scene.ledger.plan(11, &format!("{way:?}{}s", time.as_secs()));
    let client = scene.instances[place].client();
    scene.stage.proxy.set_way(&client, way);
    scene.happened(11, &id, "network", None);
    let began = Instant::now();
    let mut ended_with = None;
    while began.elapsed() < time {
        ended_with = restart_while(scene, 11, place, Duration::from_millis(100)).or(ended_with);
        nap(Duration::from_millis(20));
    }
    scene.stage.proxy.set_way(&client, Way::Free);
    let healed = Instant::now();
    let ends = scene.load.ends.of_each();
    while scene.monitor.wait_until(&ends, Duration::from_millis(50)).is_err() {
        ended_with = restart_while(scene, 11, place, Duration::from_millis(50)).or(ended_with);
        if healed.elapsed() > CAUGHT_UP {
            return Err(format!("not caught up after a cut\n{}", scene.instances[place].last_said()));
        }
    }
    let caught_up = healed.elapsed();
    // It has a part again, or is gone: what it says of itself is what counts.
    let status = loop {
        ended_with = restart_while(scene, 11, place, Duration::from_millis(50)).or(ended_with);
        let status = scene.instances[place].command(&["status"]);
        if status.status.success() {
            break "ready";
        }
        if healed.elapsed() > BACK {
            let said = String::from_utf8_lossy(&status.stdout).into_owned();
            scene.ledger.broken(11, format!("{way:?}: not back after {BACK:?}: {said}\n{}", scene.instances[place].last_said()));
            break "not ready";
        }
        nap(Duration::from_millis(100));
    };
    let remark = format!(
        "{way:?} for {} s: caught up {} ms after its end, {status} after {} ms{}",
        time.as_secs(),
        caught_up.as_millis(),
        healed.elapsed().as_millis(),
        ended_with.map(|how| format!(", {how}")).unwrap_or_default()
    );
    scene.ledger.remark(11, remark);
    scene.monitor.wait_for_recovery(CAUGHT_UP)
}

/// Everything takes 150 ms longer in each direction.
fn delayed(scene: &mut Scene<'_>, place: usize) -> Result<(), String> {
    let id = scene.ledger.plan(11, "delay");
    let client = scene.instances[place].client();
    scene.stage.proxy.set_delay(&client, Duration::from_millis(150));
    scene.happened(11, &id, "network", None);
    scene.watch_for(Duration::from_secs(6), 11);
    scene.stage.proxy.set_delay(&client, Duration::ZERO);
    scene.monitor.wait_for_recovery(CAUGHT_UP)
}

/// A commit request that arrives when the next transaction is open: the guard sees to it that it is refused.
pub(crate) fn late(stage: &Stage, _: &[u8]) -> Result<(), String> {
    late_requests(stage, "late", "", false)
}

/// The same without the guard: it must be found, or the other shows nothing.
pub(crate) fn late_unguarded(stage: &Stage, _: &[u8]) -> Result<(), String> {
    late_requests(stage, "unguarded", "endtxn_guard_ms = 9999", true)
}

fn late_requests(stage: &Stage, name: &'static str, guard: &str, breaks: bool) -> Result<(), String> {
    let mut random = Random::seeded(stage.seed + 6);
    // Long transactions: there is always one for the late request to meet.
    let engine = format!("commit_at_end_of_input = false\ncommit_interval_ms = 1500\n{guard}");
    Scene::play(stage, name, Settings { instances: 2, engine, breaks, ..Settings::default() }, |scene| {
        scene.start_all()?;
        for number in 0..LATE[usize::from(stage.long)] {
            let place = number % 2;
            let client = scene.instances[place].client();
            let id = scene.ledger.plan(6, "late");
            let (tell, told) = channel();
            let order = stage.proxy.order(&client, api::END_TXN, random.below(2), Deed::Late, tell);
            wait_told(scene, &told, 6, CAUGHT_UP)?;
            scene.happened(6, &id, "network", Some(true));
            // The client sends it again by itself; then a new transaction begins.
            let before = stage.proxy.count(&client, api::ADD_PARTITIONS);
            let began = Instant::now();
            while stage.proxy.count(&client, api::ADD_PARTITIONS) == before && began.elapsed() < CAUGHT_UP {
                scene.watch_for(Duration::from_millis(5), 6);
            }
            scene.watch_for(Duration::from_millis(600), 6);
            stage.proxy.release(order);
            let answered = wait_told(scene, &told, 6, CAUGHT_UP)?;
            scene.ledger.remark(6, format!("the late request was answered with {answered:?}"));
            if !breaks && !matches!(answered, Told::Answered(Some(code)) if FENCED.contains(&code)) {
                scene.ledger.broken(6, "the late request was not refused");
            }
            restart_while(scene, 6, place, CAUGHT_UP);
            scene.monitor.wait_for_recovery(CAUGHT_UP)?;
        }
        Ok(())
    })
}
