//! `kill -9` at random moments: whatever is in the topics afterwards is what an undisturbed run leaves.
//!
//! The moments are chosen by how much the embedded log has written since the process was started, so that they fall into work and
//! not into start-up alone, on a machine of any speed.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::comparison::{assert_same, assert_topics, without_event_ids};
use crate::data;
use crate::installation::{Installation, PATIENCE, Tapped};
use crate::oracle::csv::{self, Observation};
use crate::oracle::{Expected, generated};
use crate::random::Random;

const KILLS_MIN: usize = 20;
const KILLS_MAX: usize = 50;

/// Observations enough for a run that can be killed often: real ones where there are some.
fn text() -> String {
    let real = data::trending().map(|text| csv::observations(&text));
    let observations = real.unwrap_or_else(|| generated::observations(400, 60, 1));
    generated::to_csv(&generated::repeated(&observations, 4))
}

/// The bytes in the newest write-ahead log below a directory, and its name; it is the first thing that any change reaches.
pub(crate) fn written(directory: &Path) -> Option<(String, u64)> {
    let entries = fs::read_dir(directory.join("log")).ok()?.flatten();
    let logs = entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "log"));
    logs.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.metadata().ok()?.len()))).max()
}

/// Runs a command to its end, or kills it when it has written `after` bytes. What it wrote, and whether it was killed.
fn run_and_kill(installation: &Installation, arguments: &[&str], after: u64) -> (u64, bool) {
    let directory = installation.state_dir();
    let mut live = installation.start(arguments);
    let deadline = Instant::now() + PATIENCE;
    // The log that was there before is not this process's.
    let mut current = written(&directory).unwrap_or_default();
    let mut before = 0;
    loop {
        if let Some(status) = live.ended() {
            assert!(status.success(), "ended with {status}: {:#?}", live.said());
            return (before + current.1, false);
        }
        let newest = written(&directory).unwrap_or_default();
        if newest.0 != current.0 {
            before += current.1;
        }
        current = newest;
        if before + current.1 >= after && !current.0.is_empty() {
            live.kill();
            return (before + current.1, true);
        }
        assert!(Instant::now() < deadline, "no end in sight: {:#?}", live.said());
        // Looking as often as possible would take the processor from what is looked at.
        std::thread::sleep(Duration::from_micros(300));
    }
}

/// Runs a command again and again, killing it at random moments, until it has come to its end. Returns the number of kills.
#[track_caller]
fn kill_until_done(installation: &Installation, arguments: &[&str], whole: u64, random: &mut Random) -> usize {
    let mut kills = 0;
    loop {
        let after = match (kills, random.below(5)) {
            (KILLS_MAX.., _) => u64::MAX,
            // Now and then as early as possible: while the directory is being opened.
            (_, 0) => 0,
            _ => random.below(whole / 8),
        };
        if !run_and_kill(installation, arguments, after).1 {
            return kills;
        }
        kills += 1;
    }
}

#[derive(Debug)]
struct Topics {
    videos: Vec<Tapped>,
    changes: Vec<Tapped>,
    messages: Vec<Tapped>,
}

impl Topics {
    fn of(installation: &Installation) -> Self {
        Self {
            videos: in_partitions(installation.tap("youtube_videos")),
            changes: in_partitions(installation.tap("youtube_changes")),
            messages: installation.tap("telegram_outbox"),
        }
    }
}

/// `tap` promises the order within each partition only.
fn in_partitions(mut records: Vec<Tapped>) -> Vec<Tapped> {
    records.sort_by_key(|record| record.partition);
    records
}

fn sorted(mut messages: Vec<Tapped>) -> Vec<Tapped> {
    messages.sort_by_key(|message| (message.timestamp, message.value.to_string()));
    messages
}

/// The whole job in one process: a kill may hit the import as well as the topology.
#[test]
fn of_the_demo_leave_no_trace() {
    let text = text();
    let expected = Expected::of(&csv::observations(&text));
    let arguments = ["demo", "--from", "long.csv", "--json"];
    let [calm, killed] = [(); 2].map(|()| Installation::new());
    for installation in [&calm, &killed] {
        installation.write("long.csv", &text);
    }
    let (whole, _) = run_and_kill(&calm, &arguments, u64::MAX);
    let kills = kill_until_done(&killed, &arguments, whole, &mut Random::seeded(1));
    assert!(kills >= KILLS_MIN, "only {kills} kills hit");

    assert_topics(&calm, &expected, 1);
    assert_topics(&killed, &expected, 1);
    let [calm, killed] = [&calm, &killed].map(Topics::of);
    assert_same("youtube_videos", &killed.videos, &calm.videos);
    assert_same("youtube_changes", &killed.changes, &calm.changes);
    // A killed import leaves records of aborted transactions, so offsets, and with them event ids, are others.
    assert_same("telegram_outbox", &without_event_ids(&killed.messages), &without_event_ids(&calm.messages));
}

/// Only the topology is killed: even the event ids are the same.
#[track_caller]
fn assert_run_survives(engine: &str, partitions: i64, seed: u64) {
    let text = text();
    let observations: Vec<Observation> = csv::observations(&text);
    let expected = Expected::of(&observations);
    let [calm, killed] = [(); 2].map(|()| Installation::with_engine(engine));
    for installation in [&calm, &killed] {
        installation.write("long.csv", &text);
        installation.succeed(&["import", "long.csv"]);
    }
    let arguments = ["run", "--until-end"];
    let (whole, _) = run_and_kill(&calm, &arguments, u64::MAX);
    let kills = kill_until_done(&killed, &arguments, whole, &mut Random::seeded(seed));
    assert!(kills >= KILLS_MIN, "only {kills} kills hit");

    assert_topics(&killed, &expected, partitions);
    let [calm, killed] = [&calm, &killed].map(Topics::of);
    let used = calm.videos.iter().map(|record| record.partition).max().map_or(0, |last| last + 1);
    assert_eq!(used, partitions, "the videos are not spread over the partitions");
    assert_same("youtube_videos", &killed.videos, &calm.videos);
    assert_same("youtube_changes", &killed.changes, &calm.changes);
    // All messages are of one chat and so in one partition: those of two input partitions have no order among them.
    let order = |messages| if partitions > 1 { sorted(messages) } else { messages };
    assert_same("telegram_outbox", &order(killed.messages), &order(calm.messages));
}

#[test]
fn of_one_thread_leave_no_trace() {
    assert_run_survives("threads = 1\npartitions = 1\ncommit_interval_ms = 20", 1, 2);
}

#[test]
fn of_two_threads_with_four_partitions_leave_no_trace() {
    assert_run_survives("threads = 2\npartitions = 4\ncommit_interval_ms = 20", 4, 3);
}
