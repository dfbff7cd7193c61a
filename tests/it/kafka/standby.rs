//! Standby tasks on a real broker: who takes over from a process that is killed restores the tail of its changelogs, and nothing is lost.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::{ALL, Application, Instance, observations};
use crate::installation::{Live, PATIENCE};
use crate::oracle::csv::Observation;
use crate::oracle::{Expected, generated};

const PARTITIONS: i64 = 4;

/// Several transactions a second, and rows that stay in the memory of whoever is killed: without standby tasks they would be restored.
const ENGINE: &str = "standby = true\ncommit_interval_ms = 50\ncommit_records_max = 500";

const RUN: [&str; 5] = ["run", "--only", "topology", "--log", "json"];

impl Instance {
    fn status(&self) -> Value {
        self.installation.output(&["status", "--json"]).json()
    }

    /// Waits until it has so many tasks, and as many standby tasks, none of which has anything left to read.
    #[track_caller]
    fn wait_until_warm(&self, tasks: usize, standbys: usize) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status();
            let list = |name: &str| status[name].as_array().cloned().unwrap_or_default();
            let is_warm = |standby: &Value| standby["lag"] == 0;
            if list("tasks").len() == tasks && list("standbys").len() == standbys && list("standbys").iter().all(is_warm) {
                return;
            }
            assert!(Instant::now() < deadline, "{tasks} tasks and {standbys} standby tasks: {status:#}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Waits until two share the partitions, and each follows what the other has.
#[track_caller]
fn wait_until_shared(machines: &[Instance]) {
    for machine in machines {
        machine.wait_until_warm(2, 2);
    }
}

/// What a process said with these words.
fn lines(said: &[String], message: &str) -> Vec<Value> {
    let lines = said.iter().map(|line| serde_json::from_str(line).unwrap_or_default());
    lines.filter(|line: &Value| line["fields"]["message"] == message || line["message"] == message).collect()
}

/// The records that were restored, by the lines of the log.
fn restored(said: &[String]) -> u64 {
    let records = |line: &Value| line["fields"]["records"].as_u64().or(line["records"].as_u64()).unwrap();
    lines(said, "store restored").iter().map(records).sum()
}

fn start(instance: &Instance, more: &[&str]) -> Live {
    let live = instance.start(&[&RUN[..], more].concat());
    live.wait_for_said("starting");
    live
}

#[track_caller]
fn stop(live: Live) -> Vec<String> {
    live.signal(Signal::TERM);
    let (code, said) = live.join(Duration::from_secs(30));
    assert_eq!(code, Some(0), "{said:#?}");
    said
}

/// An application whose input comes in parts.
fn with_parts(parts: usize) -> Option<(Application, Vec<Vec<Observation>>)> {
    let application = Application::shipped(ENGINE)?;
    let observations = observations(2);
    let parts: Vec<_> = observations.chunks(observations.len().div_ceil(parts)).map(<[_]>::to_vec).collect();
    application.set_up(PARTITIONS, &generated::to_csv(&parts[0]));
    Some((application, parts))
}

impl Application {
    /// Appends observations, and waits until they are processed.
    #[track_caller]
    fn append(&self, name: &str, observations: &[Observation], live: &mut [&mut Live]) {
        self.home.installation.write(name, &generated::to_csv(observations));
        self.home.succeed(&["import", name]);
        self.progress("youtube_videos").wait_for(ALL, live);
    }
}

#[test]
fn the_survivor_restores_only_the_tail() {
    let Some((application, parts)) = with_parts(3) else { return };
    let machines = [(); 2].map(|()| application.instance());
    let [mut first, mut second] = machines.each_ref().map(|machine| start(machine, &[]));
    wait_until_shared(&machines);
    application.append("second.csv", &parts[1], &mut [&mut first, &mut second]);
    wait_until_shared(&machines);
    let before = second.said();
    assert_eq!(lines(&before, "standby task begins").len(), 4, "two tasks with two stores each: {before:#?}");

    first.kill();
    application.append("third.csv", &parts[2], &mut [&mut second]);
    machines[1].wait_until_warm(4, 0);
    let after = second.said();
    assert_eq!(lines(&after, "taken over from the standby task").len(), 2, "{after:#?}");
    // What lies in the changelogs of both partitions is thousands of records; the tail is what was committed in the last moment.
    let tail = restored(&after);
    assert!(tail <= 500, "{tail} records restored: {after:#?}");
    let lines_of_takeover = lines(&after, "store restored");
    eprintln!("takeover: {tail} records in {} stores", lines_of_takeover.len());

    // The one that was killed comes back: a part of its disk is behind, the group gives it what it gives it, and it follows the rest.
    let first = start(&machines[0], &[]);
    wait_until_shared(&machines);
    assert!(lines(&stop(second), "the store is rebuilt from its changelog").is_empty());
    stop(first);
    application.assert_outputs(&Expected::of(&parts.concat()), PARTITIONS);
}

/// After a reset the disk of a standby task that another machine has kept is of an earlier life, however well its checkpoints fit.
#[test]
fn what_was_kept_over_a_reset_is_not_believed() {
    let Some((application, parts)) = with_parts(2) else { return };
    let machines = [(); 2].map(|()| application.instance());
    let mut live = machines.each_ref().map(|machine| start(machine, &["--leave-on-stop"]));
    let [first, second] = &mut live;
    application.progress("youtube_videos").wait_for(ALL, &mut [first, second]);
    wait_until_shared(&machines);
    for live in live {
        stop(live);
    }
    application.home.succeed(&["reset", "--to", "earliest", "--yes"]);
    application.home.succeed(&["setup", "--partitions", &PARTITIONS.to_string()]);

    // Everything is processed again by one, longer than the first time; the other comes back with what it had.
    let mut first = start(&machines[0], &[]);
    application.append("more.csv", &parts[1], &mut [&mut first]);
    let mut second = start(&machines[1], &[]);
    wait_until_shared(&machines);
    let said = second.said();
    let rebuilt = lines(&said, "the store of a standby task is rebuilt from its changelog");
    assert_eq!(rebuilt.len(), 2, "{said:#?}");
    assert!(rebuilt.iter().all(|line| line.to_string().contains("an earlier life of its changelogs")), "{rebuilt:#?}");

    first.kill();
    machines[1].wait_until_warm(4, 0);
    let tail = restored(&second.said());
    assert!(tail <= 500, "{tail} records restored");
    // What was said before the reset, and everything once more.
    let (mut once, again) = (Expected::of(&parts[0]), Expected::of(&parts.concat()));
    once.changes.extend(again.changes);
    application.assert_changes(&once, PARTITIONS);
    application.progress("youtube_videos").wait_for(ALL, &mut [&mut second]);
    stop(second);
}
