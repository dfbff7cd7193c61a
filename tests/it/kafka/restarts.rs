//! Restarts on a real broker: what is read again from the changelogs is what the disk lacks, no more. After an orderly end that is nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::{ALL, Application, Instance};
use crate::installation::Live;
use crate::oracle::csv::Observation;
use crate::oracle::{Expected, generated};
use crate::real::records;

/// Of one, so that all work is its: a table is written to the disk every few megabytes of a partition.
const PARTITIONS: i64 = 1;

/// So little room for what waits for the disk that it is handed over every ten thousand rows or so, and small transactions.
const ENGINE: &str = "cache_mib = 4\ncommit_interval_ms = 20\ncommit_records_max = 500";

/// Within this time a process has to end that was told to.
const SIGTERM_PATIENCE: Duration = Duration::from_secs(10);

const RUN: [&str; 5] = ["run", "--only", "topology", "--log", "json"];

/// Several tables' worth of rows.
fn input() -> Vec<Observation> {
    generated::repeated(&generated::observations(20_000, 2, 13), 3)
}

fn with_input(observations: &[Observation]) -> Option<Application> {
    let application = Application::shipped(ENGINE)?;
    application.set_up(PARTITIONS, &generated::to_csv(observations));
    Some(application)
}

fn start(instance: &Instance) -> Live {
    let live = instance.start(&RUN);
    live.wait_for_said("starting");
    live
}

/// Where a changelog was read, and how much of it: an event of the log.
#[derive(Debug)]
struct Restored {
    changelog: String,
    from: i64,
    to: i64,
    records: u64,
}

fn restored<'a>(log: impl IntoIterator<Item = &'a str>) -> Vec<Restored> {
    let events = log.into_iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap();
    let restored = events.filter(|event| event["message"] == "store restored").map(|event| Restored {
        changelog: event["changelog"].as_str().unwrap().to_owned(),
        from: number(&event["from"]),
        to: number(&event["to"]),
        records: event["records"].as_u64().unwrap(),
    });
    restored.collect()
}

/// The checkpoint of each store on the disk of an instance that is not running, by partition of its changelog.
#[track_caller]
fn checkpoints(application: &Application, instance: &Instance) -> BTreeMap<String, i64> {
    let lines = instance.installation.succeed(&["state", "export"]).stdout;
    let heads = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).filter(|line| line.get("checkpoint").is_some());
    let name = |head: &Value| format!("{}-{}-changelog-{}", application.id, head["store"].as_str().unwrap(), head["partition"]);
    heads.map(|head| (name(&head), head["checkpoint"].as_i64().unwrap_or(0))).collect()
}

/// The offsets of the committed records of each partition of the changelogs.
fn changelogs(application: &Application) -> BTreeMap<String, Vec<i64>> {
    let mut found: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for store in ["changes", "views"] {
        let topic = format!("{}-{store}-changelog", application.id);
        for record in records::read(&application.client, &topic) {
            found.entry(format!("{topic}-{}", record.partition)).or_default().push(record.offset);
        }
    }
    found
}

#[test]
fn after_kill_9_only_what_the_disk_lacks_is_restored() {
    let observations = input();
    let Some(application) = with_input(&observations) else { return };
    let progress = application.progress("youtube_videos");
    let machine = application.instance();
    let mut tails = 0;
    for share in [400, 600, 800] {
        let mut live = start(&machine);
        progress.wait_for(share, &mut [&mut live]);
        live.kill();
        let checkpoints = checkpoints(&application, &machine);
        let mut live = start(&machine);
        let log = live.said_until("\"message\":\"running\"");
        tails += assert_only_the_tail(&application, &checkpoints, &log);
        live.kill();
    }
    // One kill may come right after rows were handed over, but not each.
    assert!(tails > 0, "nothing was ever to be restored");
    machine.succeed(&["run", "--only", "topology", "--until-end"]);
    application.assert_outputs(&Expected::of(&observations), PARTITIONS);
}

/// Each changelog was read from its store's checkpoint on, record by record, and most of it was not. Returns how many were.
#[track_caller]
fn assert_only_the_tail(application: &Application, checkpoints: &BTreeMap<String, i64>, log: &[String]) -> u64 {
    let restored = restored(log.iter().map(String::as_str));
    let changelogs = changelogs(application);
    assert!(!restored.is_empty(), "nothing was to be restored: {checkpoints:?}, {log:#?}");
    let (mut tail, mut whole) = (0, 0);
    for Restored { changelog, from, to, records } in &restored {
        assert_eq!(Some(from), checkpoints.get(changelog), "{changelog}: {checkpoints:?}");
        let lacking = changelogs[changelog].iter().filter(|offset| (from..to).contains(offset)).count() as u64;
        assert_eq!(*records, lacking, "{changelog} from {from} to {to}");
        tail += lacking;
        whole += changelogs[changelog].iter().filter(|offset| *offset < to).count() as u64;
    }
    assert!(tail * 3 < whole * 2, "{tail} of {whole} records were restored");
    tail
}

#[test]
fn sigterm_under_load_ends_in_time_and_the_next_start_restores_nothing() {
    let observations = input();
    let Some(application) = with_input(&observations) else { return };
    let progress = application.progress("youtube_videos");
    let machine = application.instance();
    for share in [300, 600] {
        let mut live = start(&machine);
        progress.wait_for(share, &mut [&mut live]);
        let began = Instant::now();
        live.signal(Signal::TERM);
        let (code, said) = live.join(SIGTERM_PATIENCE);
        println!("ended {:?} after SIGTERM", began.elapsed());
        assert_eq!(code, Some(0), "{said:#?}");
        let there = progress.share();
        assert!(there < ALL, "ended at the end, not under load");
        let again: u64 = restored(said.iter().map(String::as_str)).iter().map(|event| event.records).sum();
        assert_eq!(again, 0, "restored after an orderly end: {said:#?}");
    }
    let last = machine.succeed(&["run", "--only", "topology", "--until-end", "--log", "json"]);
    assert_eq!(restored(last.stderr.lines()).iter().map(|event| event.records).sum::<u64>(), 0, "{}", last.stderr);
    application.assert_outputs(&Expected::of(&observations), PARTITIONS);
}
