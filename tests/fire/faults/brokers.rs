//! Faults 9 and 10: brokers that restart, and brokers that are away.

use std::fs;
use std::time::{Duration, Instant};

use crate::cluster::NODES;
use crate::scene::{CAUGHT_UP, PARTITIONS, Scene, Settings, Stage};
use crate::time::{nap, wait_for};

/// Restarts of a broker, in good order and by a kill in turn.
const RESTARTS: [usize; 2] = [4, 30];

/// How long all are away.
const AWAY: [Duration; 2] = [Duration::from_secs(25), Duration::from_secs(180)];

/// How often all are away in the middle of a hand-over.
const HALF_WAY: usize = 3;

/// So long its giver stands still: past the time that a group waits for a poll, and not past that and a session.
const STALL: Duration = Duration::from_secs(66);

/// How much of a processor a process may use that can do nothing, and how much its memory may grow.
const CPU_SHARE_MAX: f64 = 0.2;
const GROWTH_KIB_MAX: u64 = 40 << 10;

/// A broker tells of an offset before the others have it; when all die at once it may not be true for a moment.
fn settings() -> Settings {
    Settings { positions_flicker: true, ..Settings::default() }
}

/// All go in the middle of a hand-over.
pub(crate) fn half_way(stage: &Stage, _: &[u8]) -> Result<(), String> {
    let settings = Settings { instances: 2, engine: "watchdog = \"1h\"".to_owned(), ..settings() };
    Scene::play(stage, "half-way", settings, |scene| {
        let left_over = (0..HALF_WAY).map(|_| away_half_way(scene)).collect::<Result<Vec<bool>, String>>()?;
        // Now and then all is well without anybody's help.
        if !left_over.contains(&true) {
            scene.ledger.broken(10, "no partition was ever left to nobody");
        }
        Ok(())
    })
}

pub(crate) fn play(stage: &Stage, wanted: &[u8]) -> Result<(), String> {
    let column = usize::from(stage.long);
    Scene::play(stage, "brokers", settings(), |scene| {
        scene.start_all()?;
        if wanted.contains(&9) {
            for number in 0..RESTARTS[column] {
                restart(scene, number / 2 % NODES, ["TERM", "KILL"][number % 2])?;
            }
        }
        if wanted.contains(&10) {
            away(scene, AWAY[column])?;
            away_at_start(scene)?;
        }
        Ok(())
    })
}

fn restart(scene: &mut Scene<'_>, node: usize, signal: &str) -> Result<(), String> {
    let topics = ["youtube_videos", "youtube_changes", "telegram_outbox"].map(|name| scene.topic(name));
    let mut topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    topics.extend(["__consumer_offsets", "__transaction_state"]);
    let mut cluster = scene.stage.cluster.lock().unwrap();
    cluster.wait_until_in_step(&topics)?;
    let id = scene.ledger.plan(9, if signal == "TERM" { "clean" } else { "hard" });
    scene.happened(9, &id, "broker", None);
    cluster.stop(node, signal);
    supervise(scene, 9, Duration::from_secs(2));
    cluster.start_again()?;
    drop(cluster);
    supervise_until_recovered(scene, 9, CAUGHT_UP)
}

/// All brokers go at once, and come back after a while: memory does not grow, nobody is busy with nothing, and then it goes on by itself.
fn away(scene: &mut Scene<'_>, time: Duration) -> Result<(), String> {
    let id = scene.ledger.plan(10, "away");
    let before: Vec<Option<Use>> = scene.instances.iter().map(|instance| instance.process_id().and_then(Use::of)).collect();
    let mut cluster = scene.stage.cluster.lock().unwrap();
    scene.happened(10, &id, "broker", None);
    cluster.stop_all();
    supervise(scene, 10, time);
    let mut measured = 0;
    for (place, before) in before.into_iter().enumerate() {
        let now = scene.instances[place].process_id().and_then(Use::of);
        let (Some(before), Some(now)) = (before, now) else { continue };
        let Some(cpu) = now.cpu.checked_sub(before.cpu) else { continue };
        measured += 1;
        let (share, growth) = (cpu.as_secs_f64() / time.as_secs_f64(), now.resident_kib.saturating_sub(before.resident_kib));
        let remark = format!(
            "{}: {:.1} % of a processor and {growth} KiB more in {} s without brokers",
            scene.instances[place].name,
            share * 100.0,
            time.as_secs()
        );
        if share > CPU_SHARE_MAX || growth > GROWTH_KIB_MAX {
            scene.ledger.broken(10, remark);
        } else {
            scene.ledger.remark(10, remark);
        }
    }
    if measured == 0 {
        scene.ledger.broken(10, "nobody stayed, so nothing is known of who waits");
    }
    cluster.start_again()?;
    let back = Instant::now();
    drop(cluster);
    supervise_until_recovered(scene, 10, CAUGHT_UP)?;
    scene.ledger.remark(10, format!("caught up {} ms after the brokers were back", back.elapsed().as_millis()));
    Ok(())
}

/// No broker is there when an instance starts.
fn away_at_start(scene: &mut Scene<'_>) -> Result<(), String> {
    let id = scene.ledger.plan(10, "start");
    scene.stop(0, 10);
    let mut cluster = scene.stage.cluster.lock().unwrap();
    scene.happened(10, &id, "broker", None);
    cluster.stop_all();
    scene.instances[0].start("");
    supervise(scene, 10, Duration::from_secs(15));
    cluster.start_again()?;
    drop(cluster);
    supervise_until_recovered(scene, 10, CAUGHT_UP)?;
    supervise(scene, 10, Duration::from_secs(2));
    Ok(())
}

/// All brokers go when the first of two has just been asked for partitions that the second is to have, and the first stands still until it has dropped out of the
/// group, but comes back before a broker misses it. It is given its former place, without what it was giving up; nobody has that then, and no broker will ask
/// for another rebalance. Whether that was so: who finds such partitions joins anew.
fn away_half_way(scene: &mut Scene<'_>) -> Result<bool, String> {
    for place in 0..scene.instances.len() {
        scene.stop(place, 10);
    }
    scene.order(0, 10, "half-way");
    scene.instances[0].start(&format!("stall=K11@1:{}s", STALL.as_secs()));
    // When the session is over that the other may have left.
    wait_for("the first with everything", CAUGHT_UP, || (scene.instances[0].tasks() >= PARTITIONS).then_some(()))?;
    let mut cluster = scene.stage.cluster.lock().unwrap();
    scene.instances[1].start("");
    let fired = |scene: &mut Scene<'_>| {
        scene.must_go_on(10);
        scene.ordered[0].as_ref().is_some_and(|ordered| ordered.fired)
    };
    wait_for("a hand-over", CAUGHT_UP, || fired(scene).then_some(()))?;
    cluster.stop_all();
    supervise(scene, 10, Duration::from_secs(12));
    cluster.start_again()?;
    drop(cluster);
    scene.ordered[0] = None;
    let lasted =
        supervise_until(scene, 10, STALL, |scene| scene.instances[0].stalled().ok_or_else(|| "the giver never went on".to_owned()))?;
    if lasted < STALL {
        scene.ledger.broken(10, format!("the giver should have stood still for {STALL:?}, not {lasted:?}"));
    }
    supervise_until_recovered(scene, 10, CAUGHT_UP)?;
    let anew = scene.instances.iter().filter(|instance| instance.has_said("joining anew")).map(|instance| instance.name.as_str());
    let anew = anew.collect::<Vec<_>>().join(" and ");
    scene.ledger.remark(10, format!("joined anew, since partitions were left over: {anew}"));
    Ok(!anew.is_empty())
}

/// Who ends says why in good order, and is started again a second later, as a supervisor does.
fn supervise(scene: &mut Scene<'_>, fault: u8, time: Duration) {
    let began = Instant::now();
    loop {
        let ended = scene.tend();
        for ended in &ended {
            if ended.gave_up(&[1]) {
                scene.ledger.remark(fault, format!("{} was started again after: {}", ended.name, ended.reason.replace('\n', "; ")));
            } else {
                scene.ledger.broken(fault, ended.to_string());
            }
        }
        if !ended.is_empty() {
            nap(Duration::from_secs(1));
            for instance in scene.instances.iter_mut().filter(|instance| !instance.runs()) {
                instance.start("");
            }
        }
        if began.elapsed() >= time {
            return;
        }
        nap(Duration::from_millis(20));
    }
}

fn supervise_until_recovered(scene: &mut Scene<'_>, fault: u8, within: Duration) -> Result<(), String> {
    supervise_until(scene, fault, within, |scene| scene.monitor.wait_for_recovery(Duration::from_millis(50)))
}

/// Supervises until something is so; else an error says what is not.
fn supervise_until<T>(
    scene: &mut Scene<'_>,
    fault: u8,
    within: Duration,
    is_so: impl Fn(&Scene<'_>) -> Result<T, String>,
) -> Result<T, String> {
    let began = Instant::now();
    loop {
        supervise(scene, fault, Duration::from_millis(20));
        match is_so(scene) {
            Ok(value) => return Ok(value),
            Err(error) if began.elapsed() > within => return Err(format!("{error}\n{}", scene.last_said())),
            Err(_) => {}
        }
    }
}

/// What a process has used.
#[derive(Clone, Copy, Debug)]
struct Use {
    cpu: Duration,
    resident_kib: u64,
}

impl Use {
    fn of(process: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?;
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(Self { cpu: Duration::from_millis(ticks * 10), resident_kib: resident.split_whitespace().next()?.parse().ok()? })
    }
}
