//! Commands that meet a live owner of the directory, and the simulated channel from outside.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::installation::{Installation, Live, PATIENCE};

/// Starts a command that owns the directory and waits until it processes: what is asked then is answered.
fn start(installation: &Installation, arguments: &[&str]) -> Live {
    let live = installation.start(arguments);
    let deadline = Instant::now() + PATIENCE;
    while !installation.state_dir().join("socket").exists() {
        assert!(Instant::now() < deadline, "no socket: {:#?}", live.said());
        std::thread::sleep(Duration::from_millis(1));
    }
    live
}

#[track_caller]
fn end(live: Live) {
    live.signal(Signal::TERM);
    let (code, said) = live.join(Duration::from_secs(10));
    assert_eq!(code, Some(0), "{said:#?}");
}

#[test]
fn errors_come_through_the_socket_as_they_are() {
    let installation = Installation::new();
    let live = start(&installation, &["run"]);
    let output = installation.output(&["tap", "youtube_video"]);
    assert_eq!(output.stderr, "error: there is no topic youtube_video\nhint: Did you mean youtube_videos?\n");
    assert_eq!(output.code, Some(2));
    installation.write("columns.csv", "time\n1\n");
    let output = installation.output(&["import", "columns.csv"]);
    assert!(output.stderr.ends_with("columns.csv has no column observed_at; its columns are: time\n"), "{}", output.stderr);
    assert_eq!(output.code, Some(2));
    end(live);
}

#[test]
fn bad_rows_are_told_to_the_one_who_asked() {
    let installation = Installation::new();
    let live = start(&installation, &["run"]);
    installation.write("a.csv", "observed_at,video_id,views\n1,a,1\n2,a,many\n");
    let said = installation.succeed(&["import", "a.csv"]).stderr;
    let expected = "a.csv:3: views is not a whole number: \"many\" (the row went to the dead letters)\n\
                    a.csv: 1 observation and 1 bad row in the dead letters appended.\n";
    assert_eq!(said, expected);
    let shown = installation.succeed(&["tap", "youtube-changes-dead-letters", "--until-end"]).stdout;
    assert!(shown.contains("\"2,a,many\"") && shown.contains("[tidewatch.import.line: 3]"), "{shown}");
    end(live);
}

#[test]
fn a_signal_that_arrives_twice_still_ends_it_in_good_order() {
    let installation = Installation::new();
    let live = start(&installation, &["run"]);
    for _ in 0..5 {
        live.signal(Signal::INT);
    }
    end(live);
    assert!(!installation.state_dir().join("socket").exists());
}

#[test]
fn reset_is_refused_while_somebody_owns_the_directory() {
    let installation = Installation::new();
    let live = start(&installation, &["run"]);
    let output = installation.output(&["reset", "--to", "latest", "--yes"]);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    let holder = format!("is in use by process {}, ", live.id());
    assert!(output.stderr.contains(&holder) && output.stderr.contains("tidewatch run"), "{}", output.stderr);
    assert!(output.stderr.contains("\nhint: One process at a time owns a state directory."), "{}", output.stderr);
    end(live);
}

#[test]
fn a_run_that_is_killed_ends_those_who_follow_it_with_an_error() {
    let installation = Installation::new();
    let mut live = start(&installation, &["demo"]);
    let tap = installation.start(&["tap", "telegram_outbox"]);
    tap.wait_for("Likes changed");
    live.kill();
    let (code, said) = tap.join(PATIENCE);
    assert_eq!(code, Some(1));
    assert!(said.iter().any(|line| line.contains("broke off")), "{said:?}");
}

#[test]
fn a_simulation_that_was_interrupted_goes_on_and_repeats_nothing() {
    let installation = Installation::new();
    let keys = |count: usize| {
        let records = installation.tap("youtube_videos");
        assert!(records.len() > count, "{}", records.len());
        records
    };
    let mut live = installation.start(&["demo"]);
    live.wait_for(" changed: ");
    live.kill();
    let before = keys(12);
    installation.succeed(&["demo", "--for", "2s"]);
    let after = keys(before.len());
    assert_eq!(after[..before.len()], before);
    let mut seen: Vec<_> = after.iter().map(|record| (record.timestamp, record.key.clone())).collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), after.len(), "a video was observed twice in one poll");
}

#[test]
fn the_simulation_leaves_no_temporary_directory_behind() {
    let installation = Installation::new();
    let folder = installation.write("x", "").parent().unwrap().join("temporary");
    std::fs::create_dir(&folder).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidewatch"));
    for name in ["PATH", "LD_LIBRARY_PATH"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    let output = command.args(["demo", "--for", "1s"]).env("TMPDIR", &folder).current_dir(&folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}
