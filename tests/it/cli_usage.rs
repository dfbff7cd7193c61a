//! What the commands say when something is wrong, and with which exit code: each path is read as a user would read it.

use std::fs;
use std::io::Read as _;
use std::process::Stdio;

use serde_json::json;

use crate::installation::{Installation, Output};

const ROWS: &str = "observed_at,video_id,views,likes\n1,a,100,1\n2,a,350,2\n";

/// The error that `arguments` end with; nothing may be on stdout.
#[track_caller]
fn refused(installation: &Installation, arguments: &[&str], code: i32) -> String {
    let Output { code: found, stdout, stderr } = installation.output(arguments);
    assert_eq!((found, stdout.as_str()), (Some(code), ""), "{stderr}");
    stderr.replace(&installation.state_dir().display().to_string(), "DIR")
}

#[test]
fn help_goes_to_stdout_and_usage_errors_to_stderr() {
    let installation = Installation::new();
    let help = installation.succeed(&["--help"]);
    for command in ["demo", "run", "import", "setup", "check", "reset", "tap", "dead-letters", "status", "state", "telegram"] {
        assert!(help.stdout.contains(&format!("  {command} ")), "{}", help.stdout);
        let help = installation.succeed(&[command, "--help"]);
        assert!(["Usage: tidewatch ", "--state-dir"].iter().all(|it| help.stdout.contains(it)), "{}", help.stdout);
        // The demonstration refuses a cluster, and does not offer one.
        let offers = ["--bootstrap-servers", "--registry"].map(|flag| help.stdout.contains(flag));
        assert_eq!(offers, [command != "demo"; 2], "{}", help.stdout);
        assert_eq!(help.stderr, "");
    }
    // The short help of a command is its first sentence, and its own help has the rest.
    let long = [("run", "of the pollers of an application one is active"), ("import", "observed_at"), ("reset", "--sender forgets it")];
    for (command, sentence) in long {
        let said = installation.succeed(&[command, "--help"]).stdout;
        assert!(said.split_whitespace().collect::<Vec<_>>().join(" ").contains(sentence), "{said}");
    }
    for wrong in [
        &["tap"][..],
        &["fly"],
        &["run", "--threads", "0"],
        &["demo", "--json"],
        &["reset"],
        &["run", "--only", "poll"],
        &["run", "--http", "here"],
        &["demo", "--from", "x", "--http", "0"],
    ] {
        let said = refused(&installation, wrong, 2);
        assert!(said.starts_with("error: "), "{wrong:?}: {said}");
    }
    assert!(!installation.state_dir().exists(), "a usage error must leave nothing behind");
}

#[test]
fn a_topology_file_that_is_refused_is_shown_with_all_its_faults() {
    let installation = Installation::new();
    installation.write("topology.toml", "application_id = \"x\"\n[sources.videos]\ntopik = \"t\"\n");
    for command in [&["run"][..], &["import", "x.csv"], &["reset", "--to", "latest"], &["demo"]] {
        let said = refused(&installation, command, 2);
        assert!(said.starts_with("error: the topology file is refused\n"), "{said}");
        assert!(said.contains("topology.toml:3:1") && said.contains("did you mean"), "{said}");
    }
    let said = refused(&installation, &["run", "--config", "none.toml"], 2);
    assert!(said.contains("none.toml cannot be read"), "{said}");
}

#[test]
fn run_names_the_environment_variable_that_is_missing() {
    let installation = Installation::new();
    let mut command = installation.command(&["run", "--until-end"]);
    let output = command.env_remove("TELEGRAM_CHAT_ID").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("TELEGRAM_CHAT_ID"), "{said}");
    assert!(!installation.state_dir().exists());
}

#[test]
fn files_that_cannot_be_imported_say_why() {
    let installation = Installation::new();
    let said = refused(&installation, &["import", "none.csv"], 2);
    assert!(said.starts_with("error: none.csv cannot be read\ncaused by: No such file"), "{said}");
    installation.write("columns.csv", "time,video,likes\n1,a,2\n");
    let said = refused(&installation, &["import", "columns.csv"], 2);
    assert_eq!(said, "error: columns.csv has no column observed_at; its columns are: time, video, likes\n");
    installation.write("empty.csv", "");
    let said = refused(&installation, &["import", "empty.csv"], 2);
    assert_eq!(said, "error: empty.csv is empty, a line of column names was expected\n");
    installation.write("good.csv", ROWS);
    let said = refused(&installation, &["import", "good.csv", "--source", "video"], 2);
    assert_eq!(said, "error: the topology has no source video; it has: videos\n");
    let said = refused(&installation, &["import", "."], 2);
    assert_eq!(said, "error: . is not a regular file\n");
}

#[test]
fn import_says_what_it_appended_and_what_it_did_not() {
    let installation = Installation::new();
    installation.write("a.csv", &format!("{ROWS}x,a,1,1\n"));
    let said = installation.succeed(&["import", "a.csv"]).stderr;
    assert_eq!(
        said,
        "a.csv:4: observed_at is not a time: \"x\" (the row went to the dead letters)\n\
         a.csv: 2 observations and 1 bad row in the dead letters appended.\n"
    );
    let said = installation.succeed(&["import", "a.csv"]).stderr;
    assert_eq!(said, "a.csv was imported before: 2 observations and 1 bad row in the dead letters. Nothing was appended.\n");
}

#[test]
fn tap_shows_records_for_people_and_for_programs() {
    let installation = Installation::new();
    installation.write("a.csv", ROWS);
    installation.succeed(&["demo", "--from", "a.csv"]);
    let shown = installation.succeed(&["tap", "telegram_outbox", "--from", "1970-01-01T00:00:00Z"]).stdout;
    let first = shown.lines().next().unwrap();
    assert!(first.starts_with("telegram_outbox-0@0  1970-01-01T00:00:00.002Z  TELEGRAM_CHAT_ID  {"), "{first}");
    let one = installation.succeed(&["tap", "youtube_videos", "--json", "--from", "1", "--key", "a"]).json();
    assert_eq!((&one["offset"], &one["key"], &one["value"]["views"]), (&json!(1), &json!("a"), &json!(350)));
    assert_eq!(installation.succeed(&["tap", "youtube_videos", "--key", "b"]).stdout, "");
    assert_eq!(installation.succeed(&["tap", "youtube_videos", "--from", "latest"]).stdout, "");
    let said = refused(&installation, &["tap", "youtube_video"], 2);
    assert_eq!(said, "error: there is no topic youtube_video\nhint: Did you mean youtube_videos?\n");
    let said = refused(&installation, &["tap", "youtube_videos", "--from", "soon"], 2);
    assert!(said.contains("not earliest, latest, an offset, or a time"), "{said}");
}

#[test]
fn reading_makes_no_directory() {
    let installation = Installation::new();
    for command in [&["tap", "youtube_videos"][..], &["reset", "--to", "latest", "--yes"]] {
        let said = refused(&installation, command, 2);
        assert!(said.starts_with("error: there is no state directory DIR\nhint: "), "{said}");
    }
    assert!(!installation.state_dir().exists());
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let installation = Installation::new();
    installation.write("a.csv", &format!("observed_at,video_id,views\n{}", "1,v,1\n".repeat(20_000)));
    installation.succeed(&["import", "a.csv"]);
    let mut tap = installation.command(&["tap", "youtube_videos"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut some = [0; 100];
    tap.stdout.take().unwrap().read_exact(&mut some).unwrap();
    let output = tap.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""));
}

#[test]
fn reset_says_what_it_would_do_and_asks_nobody_who_is_not_there() {
    let installation = Installation::new();
    installation.write("a.csv", ROWS);
    installation.succeed(&["import", "a.csv"]);
    installation.succeed(&["run", "--until-end"]);
    let said = refused(&installation, &["reset", "--to", "earliest"], 2);
    let expected = "This will, for the application youtube-changes:\n  \
        delete the topic youtube-changes-changes-changelog with all its records\n  \
        delete the topic youtube-changes-views-changelog with all its records\n  \
        delete the cached state of 1 task\n  \
        set the position in youtube_videos-0 to offset 0 (now at offset 3)\n\
        It leaves all other topics as they are.\n\
        What is read a second time is written a second time: youtube_changes, telegram_outbox.\n\
        error: nobody can be asked: standard input is not a terminal\n\
        hint: --yes does it without asking.\n";
    assert_eq!(said, expected);
    assert!(installation.state_dir().join("state/0_0").exists(), "nothing may be done unasked");
    let said = refused(&installation, &["reset", "--store", "view", "--yes"], 2);
    assert_eq!(said, "error: the topology has no store view\nhint: Did you mean views?\n");
}

#[test]
fn a_forgotten_store_begins_anew_and_the_others_go_on() {
    let installation = Installation::new();
    installation.write("a.csv", ROWS);
    installation.succeed(&["import", "a.csv"]);
    installation.succeed(&["run", "--until-end"]);
    installation.succeed(&["reset", "--store", "views", "--yes"]);
    // The mark of the milestones is gone: 350 is a first sight again. What changed is known all the same.
    installation.write("b.csv", "observed_at,video_id,views,likes\n3,a,390,3\n4,a,401,3\n");
    installation.succeed(&["import", "b.csv"]);
    installation.succeed(&["run", "--until-end"]);
    let messages = installation.tap("telegram_outbox");
    let texts: Vec<_> = messages.iter().map(|message| message.value["text"].as_str().unwrap().trim_end()).collect();
    let expected = ["Likes changed: 1 => 2.", "Views changed: 100 => 350.", "Likes changed: 2 => 3.", "Views changed: 390 => 401."];
    assert_eq!(texts, expected);
}

#[test]
fn the_log_is_json_where_it_is_asked_for() {
    let installation = Installation::new();
    let said = installation.succeed(&["run", "--until-end", "--log", "json"]).stderr;
    let events: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().any(|event| event["message"] == "topic created" && event["topic"] == "youtube_videos"), "{said}");
    assert!(events.iter().all(|event| event["level"] == "INFO"), "{said}");
}

#[test]
fn a_damaged_directory_is_refused_in_words() {
    let installation = Installation::new();
    fs::write(installation.state_dir(), "a file").unwrap();
    let said = refused(&installation, &["run"], 2);
    assert_eq!(said, "error: DIR is not a directory\n");
}
