//! From `kill -9` of one of two instances to the next committed output of its partitions by the other, without and with standby tasks; and what the
//! standby tasks cost the other until then.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::application::{Application, tidewatch};
use crate::feeder::{Feeder, RATE, feed_on, open_transactions, wait_until};
use crate::instance::{file, restored, restored_in, start, state};
use crate::keys::Keys;
use crate::load::load;
use crate::peer::{Job, Options, Peer};
use crate::process::{cpu, resident_kib};
use crate::real::process::Process;
use crate::restart::PARTITIONS;

/// For so long it is looked at what following costs.
const LOOK: Duration = Duration::from_secs(15);

pub(crate) fn measure(keys: u64, options: Options) {
    println!("{keys} keys in {PARTITIONS} partitions, {RATE} observations a second, session timeout 10 s");
    for standby in [false, true] {
        println!("standby = {standby}");
        takeover(keys, standby, options);
    }
}

fn takeover(keys: u64, standby: bool, options: Options) {
    let application = Application::set_up(PARTITIONS);
    let job = Job { engine: format!("standby = {standby}"), ..Job::new(&application, "takeover", options) };
    Peer::Tidewatch.set_up(&job);
    load(&application.client(), &job.input, application.schema(), (Keys::InTurn, keys, keys));
    let mut one = start(&job, "one");
    let (outputs, feeder) = feed_on(&job, &mut one, keys);
    let two = start(&job, "two");
    let began = Instant::now();
    let is_shared = |name| is_shared(&job, name, standby);
    wait_until("both have their share, and follow what they should", || is_shared("one") && is_shared("two"));
    println!("  shared{} after {:.1} s", if standby { " and warm" } else { "" }, began.elapsed().as_secs_f64());
    cost(&two);

    // With no transaction open: the end of one that died with its owner is waited for with and without standby tasks (`restart` measures that).
    drop(feeder);
    let open = open_transactions(&job);
    let mut quiet = Instant::now();
    wait_until("everything is committed", || {
        if (0..PARTITIONS).any(&open) {
            quiet = Instant::now();
        }
        quiet.elapsed() > Duration::from_secs(1)
    });
    let (told, killed) = (two.said().len(), Instant::now());
    drop(one);
    let feeder = Feeder::start(&job, keys, keys / 2);
    wait_until("the dead one's partitions are given out", || two.said()[told..].contains("partitions assigned"));
    let assigned = killed.elapsed();
    let back = outputs.wait_for_all(killed).into_iter().max().unwrap();
    let (total, waited, rest) = (back.as_secs_f64(), assigned.as_secs_f64(), back.saturating_sub(assigned).as_secs_f64());
    println!("  taken over after {total:.2} s: {waited:.2} s until the group gave it, {rest:.2} s from there");
    println!("  restored: {}", restored_in(&two.said()[told..]));

    let killed = Instant::now();
    drop(two);
    let two = start(&job, "two");
    let back = outputs.wait_for_all(killed).into_iter().max().unwrap();
    println!("  killed and started again in place: {:.2} s", back.as_secs_f64());
    println!("  restored: {}", restored(&two));
    drop((feeder, two));
}

/// Whether an instance has half of the partitions, and standby tasks for the others, with next to nothing left to read.
fn is_shared(job: &Job<'_>, name: &str, standby: bool) -> bool {
    let output = tidewatch(&["status", "--json"], &file(job)).arg("--state-dir").arg(state(job, name)).output().unwrap();
    let Ok(status) = serde_json::from_slice::<Value>(&output.stdout) else { return false };
    let half = usize::try_from(PARTITIONS).unwrap() / 2;
    let list = |key: &str| status[key].as_array().cloned().unwrap_or_default();
    let standbys = list("standbys");
    let is_warm = standbys.iter().all(|standby| standby["lag"].as_i64().is_some_and(|lag| lag < 1_000));
    status["ready"] == true && list("tasks").len() == half && standbys.len() == if standby { half } else { 0 } && is_warm
}

/// What the instance takes while it shares the work.
fn cost(process: &Process) {
    let id = process.id();
    let (before, began) = (cpu(id), Instant::now());
    std::thread::park_timeout(LOOK);
    let share = (cpu(id).saturating_sub(before)).as_secs_f64() / began.elapsed().as_secs_f64() * 100.0;
    println!("  before the kill: {share:.1} % of a processor, {} MB", resident_kib(id) / 1024);
}
