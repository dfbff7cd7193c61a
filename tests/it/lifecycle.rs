//! Stopping, starting and being used while running.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::comparison::assert_topics;
use crate::installation::{Installation, Live, PATIENCE, Tapped};
use crate::kills::written;
use crate::oracle::csv::Observation;
use crate::oracle::{Expected, generated};

/// Waits until something outside this process is so.
#[track_caller]
fn wait_until(what: &str, live: &Live, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} never came: {:#?}", live.said());
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Starts `run` and waits until others can talk to it.
fn start_run(installation: &Installation) -> Live {
    let live = installation.start(&["run"]);
    wait_until("the socket of a running instance", &live, || installation.state_dir().join("socket").exists());
    live
}

fn import(installation: &Installation, name: &str, observations: &[Observation]) {
    installation.write(name, &generated::to_csv(observations));
    installation.succeed(&["import", name]);
}

#[test]
fn the_state_is_restored_from_the_changelog_when_it_was_removed() {
    let installation = Installation::new();
    let all = generated::observations(200, 40, 5);
    let (first, second) = all.split_at(all.len() / 2);
    import(&installation, "first.csv", first);
    installation.succeed(&["run", "--until-end"]);
    let state = installation.state_dir().join("state");
    assert!(fs::read_dir(&state).unwrap().next().is_some(), "there is no state to remove");
    fs::remove_dir_all(&state).unwrap();
    import(&installation, "second.csv", second);
    installation.succeed(&["run", "--until-end"]);
    assert_topics(&installation, &Expected::of(&all), 1);
}

#[test]
fn sigterm_in_the_middle_commits_and_leaves_nothing_to_restore() {
    // Small transactions, so that some are committed before the middle.
    let installation = Installation::with_engine("commit_interval_ms = 5");
    let all = generated::repeated(&generated::observations(400, 60, 6), 4);
    import(&installation, "all.csv", &all);
    // First without an orderly end, so that there is something to restore, and to show that it would be seen here.
    run_for(&installation, 8 << 20).kill();
    let live = run_for(&installation, 8 << 20);
    live.signal(Signal::TERM);
    let (code, said) = live.join(Duration::from_secs(10));
    assert_eq!(code, Some(0), "{said:#?}");
    assert!(restored(said.iter().map(String::as_str)) > 0, "nothing was restored after kill -9: {said:#?}");
    let expected = Expected::of(&all);
    let changes = installation.tap("youtube_changes").len();
    assert!((1..expected.changes.len()).contains(&changes), "not in the middle: {changes} changes");

    let output = installation.succeed(&["run", "--until-end", "--log", "json"]);
    assert_eq!(restored(output.stderr.lines()), 0, "{}", output.stderr);
    assert_topics(&installation, &expected, 1);
}

/// Starts `run` and waits until it has written so much.
fn run_for(installation: &Installation, bytes: u64) -> Live {
    let before = written(&installation.state_dir()).unwrap_or_default();
    let live = installation.start(&["run", "--log", "json"]);
    wait_until("progress", &live, || written(&installation.state_dir()).is_some_and(|(name, size)| name != before.0 && size > bytes));
    live
}

/// How many records a log in JSON says were restored.
fn restored<'a>(log: impl Iterator<Item = &'a str>) -> u64 {
    let events = log.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    events.filter(|event| event["message"] == "store restored").filter_map(|event| event["records"].as_u64()).sum()
}

#[test]
fn a_second_run_is_refused_and_told_who_holds_the_directory() {
    let installation = Installation::new();
    let live = start_run(&installation);
    let output = installation.output(&["run"]);
    assert_ne!(output.code, Some(0));
    assert!(output.stderr.contains(&live.id().to_string()), "the holder {} is not named:\n{}", live.id(), output.stderr);
    live.signal(Signal::TERM);
    assert_eq!(live.join(Duration::from_secs(10)).0, Some(0));
}

#[test]
fn tap_and_import_work_while_a_run_owns_the_directory() {
    let installation = Installation::new();
    let live = start_run(&installation);
    let all = generated::observations(50, 4, 7);
    let (first, second) = all.split_at(150);
    import(&installation, "first.csv", first);
    let tap = installation.start(&["tap", "youtube_changes", "--json", "--from", "earliest"]);
    let expected = Expected::of(&all);
    let seen = |count: usize| -> Vec<Tapped> { (0..count).map(|_| Tapped::parse(&tap.wait_for("{"))).collect() };
    let early = Expected::of(first).changes.len();
    let mut found = seen(early);
    // It follows: what is imported now reaches it through the run.
    import(&installation, "second.csv", second);
    found.extend(seen(expected.changes.len() - early));
    let found: Vec<_> = found.into_iter().map(|record| (record.key.unwrap_or_default(), record.timestamp, record.value)).collect();
    let wanted: Vec<_> = expected.changes.iter().map(|change| (change.key.clone(), change.timestamp, change.value.clone())).collect();
    crate::comparison::assert_same("the records that tap showed", &found, &wanted);
    tap.signal(Signal::INT);
    assert_eq!(tap.join(Duration::from_secs(10)).0, Some(0));
    live.signal(Signal::TERM);
    assert_eq!(live.join(Duration::from_secs(10)).0, Some(0));
    assert_topics(&installation, &expected, 1);
}

#[test]
fn reset_goes_back_to_the_beginning() {
    let installation = Installation::new();
    let all = generated::observations(20, 10, 8);
    import(&installation, "all.csv", &all);
    installation.succeed(&["run", "--until-end"]);
    let once = installation.tap("youtube_changes");
    installation.succeed(&["reset", "--to", "earliest", "--yes"]);
    assert!(!Path::new(&installation.state_dir().join("state")).join("0_0").exists());
    installation.succeed(&["run", "--until-end"]);
    let twice = installation.tap("youtube_changes");
    // The topology begins anew: the same changes, not changes against the state that it had at the end.
    crate::comparison::assert_same("youtube_changes", &twice, &[once.clone(), once].concat());
}
