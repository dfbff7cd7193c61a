//! `demo --from FILE`: the whole job, on real input and on awkward input, against the oracle.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::comparison::assert_topics;
use crate::data;
use crate::installation::Installation;
use crate::oracle::{Expected, csv};

/// Runs the demo over a text and compares summary, changes and messages.
#[track_caller]
fn assert_does_the_job(name: &str, text: &str) {
    let installation = Installation::new();
    installation.write(name, text);
    let expected = Expected::of(&csv::observations(text));
    let output = installation.succeed(&["demo", "--from", name, "--json"]);
    assert_eq!(output.json(), expected.summary());
    assert_topics(&installation, &expected, 1);
}

#[test]
fn tells_every_change_of_the_trending_videos() {
    let Some(path) = data::file("us_trending_2025-11.csv.gz") else { return };
    let installation = Installation::new();
    let expected = Expected::of(&csv::observations(&csv::text_of(&path)));
    let output = installation.succeed(&["demo", "--from", path.to_str().unwrap(), "--json"]);
    assert_eq!(output.json(), expected.summary());
    assert_topics(&installation, &expected, 1);
}

#[test]
fn tells_every_change_where_counts_are_hidden() {
    let Some(text) = data::trending() else { return };
    assert_does_the_job("hidden.csv", &data::hide_zeros(&text));
}

#[test]
fn crosses_no_boundary_of_the_playlist_twice() {
    let Some(text) = data::playlist() else { return };
    assert_does_the_job("playlist.csv", &text);
}

#[test]
fn passes_awkward_titles_on_as_they_are() {
    assert_does_the_job("awkward.csv", include_str!("../fixtures/awkward.csv"));
}

#[test]
fn reports_bad_rows_and_goes_on() {
    let installation = Installation::new();
    installation.write("bad.csv", include_str!("../fixtures/bad_rows.csv"));
    let output = installation.succeed(&["demo", "--from", "bad.csv", "--json"]);
    let expected = json!({
        "observations": 4, "videos": 2, "changes": 2,
        "messages": {"likes": 2, "comments": 0, "views": 1},
        "dead_letters": 4,
    });
    assert_eq!(output.json(), expected);
    for line in [4, 5, 6, 8] {
        let told = output.stderr.lines().any(|talk| talk.contains(&format!("line {line}")) || talk.contains(&format!(":{line}:")));
        assert!(told, "nothing is said about line {line}:\n{}", output.stderr);
    }
    let letters = installation.tap("youtube-changes-dead-letters");
    let raw: Vec<&str> = letters.iter().filter_map(|letter| letter.value.as_str()).collect();
    assert_eq!(raw[0], "yesterday,a,First,110,2,1");
    assert_eq!(letters.len(), 4);
}

#[test]
fn a_second_replay_of_the_same_file_appends_nothing() {
    let installation = Installation::new();
    let text = include_str!("../fixtures/awkward.csv");
    installation.write("awkward.csv", text);
    installation.write("copy.csv", text);
    let expected = Expected::of(&csv::observations(text));
    for file in ["awkward.csv", "copy.csv"] {
        installation.succeed(&["demo", "--from", file, "--json"]);
    }
    assert_topics(&installation, &expected, 1);
}

#[test]
fn a_file_that_is_not_there_is_a_usage_error() {
    let installation = Installation::new();
    let output = installation.output(&["demo", "--from", "nowhere.csv"]);
    assert_eq!(output.code, Some(2), "{}", output.stderr);
    assert!(output.stderr.contains("nowhere.csv"), "{}", output.stderr);
    assert_eq!(output.stdout, "");
}

#[test]
fn a_simulated_channel_tells_its_first_message_within_five_seconds_and_ends_on_ctrl_c() {
    let installation = Installation::new();
    let started = Instant::now();
    let live = installation.start(&["demo", "--seed", "1"]);
    live.wait_for(" changed: ");
    assert!(started.elapsed() < Duration::from_secs(5), "the first message took {:?}", started.elapsed());
    live.signal(Signal::INT);
    let (code, said) = live.join(Duration::from_secs(10));
    assert_eq!(code, Some(0), "{said:#?}");
    assert!(Path::new(&installation.state_dir()).is_dir());
}

/// What the README shows of the demonstration: its messages, and what is special.
fn simulation_in_the_readme() -> (Vec<String>, Vec<String>) {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let block =
        readme.lines().skip_while(|line| !line.starts_with("    A simulated channel (seed ")).map_while(|line| line.strip_prefix("    "));
    block.map(str::to_owned).partition(|line| line.contains(" changed: "))
}

#[test]
fn a_simulation_shows_what_happens_seldom_within_a_minute() {
    let installation = Installation::new();
    let live = installation.start(&["demo"]);
    let (messages, talk) = simulation_in_the_readme();
    assert!(messages.len() >= 3, "{messages:?}");
    for message in messages {
        assert_eq!(live.wait_for(&message), message);
    }
    // The poller finds the removed video missing three times before it says so.
    let tap = installation.start(&["tap", "youtube_videos"]);
    tap.wait_for("(tombstone)  [reason: private]");
    live.signal(Signal::INT);
    let (code, said) = live.join(Duration::from_secs(10));
    assert_eq!(code, Some(0), "{said:#?}");
    for special in ["429: ", "takes off: ", "likes are hidden now: ", "removed: "] {
        assert!(talk.iter().any(|line| line.starts_with(special)), "the README shows no {special:?}");
    }
    for line in talk {
        assert!(said.contains(&line), "{line:?} is not in {said:#?}");
    }
    drop(tap);
    let observations = installation.tap("youtube_videos");
    let hidden = observations.iter().filter(|record| record.value.get("likes").is_some_and(serde_json::Value::is_null));
    assert!(hidden.count() > 0, "no likes were hidden");
    assert_eq!(installation.tap("telegram_dead_letters").len(), 0);
}

#[test]
fn what_the_readme_shows_is_what_is_printed() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(project.join("README.md")).unwrap();
    let mut shown = 0;
    for example in readme.split("    $ ./dev ").skip(1) {
        let (command, rest) = example.split_once('\n').unwrap();
        let json = rest.lines().find(|line| line.trim_start().starts_with('{')).unwrap();
        let arguments: Vec<String> = command
            .split_whitespace()
            .map(|word| if word.starts_with("tests/") { project.join(word).display().to_string() } else { word.to_owned() })
            .collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        assert_eq!(Installation::new().succeed(&arguments).stdout.trim(), json.trim(), "{command}");
        shown += 1;
    }
    assert!(shown > 0, "the README shows nothing");
}
