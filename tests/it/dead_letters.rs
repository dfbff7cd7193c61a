//! Dead letters, listed and put back: on the embedded log, beside a live `run`, and (the same, from `kafka/letters.rs`) on a broker.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::installation::{Installation, Output};

/// A text that is empty for a video without a title, and what somebody makes of it who has looked at the dead letters.
pub(crate) const BROKEN: &str = "text    = \"{{ current.title }}\"";
pub(crate) const MENDED: &str = "text    = \"Likes: {{ current.likes }}\"";

/// Two observations without a title, of which the second is a change, and a row that is none.
pub(crate) const OBSERVATIONS: &str = "observed_at,video_id,likes\n1000,a,1\n2000,a,2\n3000,a,many\n";

/// The shipped topology with the broken text.
pub(crate) fn broken(shipped: &str) -> String {
    let text = "text    = \"Likes changed: {{ previous.likes }} => {{ current.likes }}. {{ current.title }}\"";
    assert_eq!(shipped.matches(text).count(), 1);
    shipped.replace(text, BROKEN)
}

/// What a command ends with, which must be code 0.
pub(crate) type Run<'a> = &'a dyn Fn(&[&str]) -> Output;

/// Goes the whole way from the letters to the message that they stand for. The observations were processed with the broken text; `mend` mends it.
pub(crate) fn are_put_back_once(run: Run<'_>, videos: &str, outbox: &str, mend: &dyn Fn()) {
    let tapped = |topic: &str| run(&["tap", topic, "--until-end", "--json"]).stdout.lines().map(parsed).collect::<Vec<Value>>();
    let listed = run(&["dead-letters", "list", "--json"]).stdout;
    let mut letters: Vec<Value> = listed.lines().map(parsed).collect();
    letters.sort_by_key(|letter| letter["exception"].to_string());
    let [row, record] = letters.as_slice() else { panic!("{listed}") };
    assert_eq!((&row["exception"], &row["value"], &row["replayed"]), (&"BadRow".into(), &"3000,a,many".into(), &false.into()));
    assert!(row["obstacle"].as_str().unwrap().starts_with("it is a row of a file"), "{row}");
    assert_eq!((&record["exception"], &record["key"]), (&"ProcessingError".into(), &"a".into()));
    assert_eq!(record["message"], "the text of likes is empty for this record");
    assert_eq!((&record["origin"]["topic"], &record["value"]["likes"]), (&videos.into(), &2.into()), "decoded");
    assert!(tapped(outbox).is_empty());

    mend();
    let plan = run(&["dead-letters", "replay", "--reason", "likes IS empty", "--dry-run"]).stdout;
    assert_eq!(plan, format!("This will append 1 letter to {videos}.\n"));
    assert_eq!(tapped(videos).len(), 2, "a dry run appends nothing");
    let said = run(&["dead-letters", "replay", "--yes"]).stderr;
    assert!(said.contains("\n1 letter cannot be replayed: it is a row of a file") && said.ends_with("\nReplayed: 1.\n"), "{said}");
    let said = run(&["dead-letters", "replay", "--yes"]).stderr;
    assert!(said.starts_with("There is nothing to replay.\n1 letter was replayed before; --again would repeat that.\n"), "{said}");

    run(&["run", "--until-end"]);
    let messages = tapped(outbox);
    assert_eq!(messages.len(), 1, "{messages:#?}");
    assert_eq!(messages[0]["value"]["text"], "Likes: 2");
    let last = tapped(videos).into_iter().find(|record| record["headers"].is_array()).unwrap();
    let letter = format!("{}-{}@{}", record["topic"].as_str().unwrap(), record["partition"], record["offset"]);
    assert_eq!(last["headers"], serde_json::json!([["tidewatch.replay", letter]]));
    assert_eq!((&last["timestamp_ms"], &last["partition"]), (&2000.into(), &record["origin"]["partition"]));
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// An installation that has processed the observations with the broken text.
fn with_letters() -> (Installation, String) {
    let shipped = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("topology.toml")).unwrap();
    let topology = broken(&shipped);
    let installation = Installation::with_topology(&topology);
    installation.write("a.csv", OBSERVATIONS);
    installation.succeed(&["import", "a.csv"]);
    installation.succeed(&["run", "--until-end"]);
    (installation, topology)
}

#[test]
fn of_the_embedded_log_are_put_back_once() {
    let (installation, topology) = with_letters();
    let mend = || drop(installation.write("topology.toml", &topology.replace(BROKEN, MENDED)));
    are_put_back_once(&|arguments| installation.succeed(arguments), "youtube_videos", "telegram_outbox", &mend);
}

#[test]
fn are_put_back_by_a_run_that_goes_on() {
    let (installation, topology) = with_letters();
    let alone = installation.succeed(&["dead-letters", "list"]).stdout;
    assert_eq!(alone.lines().count(), 2);
    installation.write("topology.toml", &topology.replace(BROKEN, MENDED));
    let live = installation.start(&["run"]);
    live.wait_for_said("starting");
    assert_eq!(installation.succeed(&["dead-letters", "list"]).stdout, alone, "told by the owner as it is");
    let tap = installation.start(&["tap", "telegram_outbox"]);
    let said = installation.succeed(&["dead-letters", "replay", "--yes"]).stderr;
    assert!(said.ends_with("\nReplayed: 1.\n"), "{said}");
    tap.wait_for("Likes: 2");
    let said = installation.output(&["dead-letters", "list", "--topic", "youtube_vidoes"]);
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (Some(2), "error: there is no topic youtube_vidoes\nhint: Did you mean youtube_videos?\n")
    );
    live.signal(Signal::TERM);
    assert_eq!(live.join(Duration::from_secs(10)).0, Some(0));
    let listed = installation.succeed(&["dead-letters", "list", "--key", "a"]).stdout;
    assert!(
        listed.ends_with("  [replayed]\n") && listed.contains("  youtube_videos-0@1  a  ProcessingError: the text of likes"),
        "{listed}"
    );
}

#[test]
fn are_put_back_only_when_somebody_says_yes() {
    let (installation, _) = with_letters();
    let asked = installation.output(&["dead-letters", "replay"]);
    assert_eq!(asked.code, Some(2), "{}", asked.stderr);
    assert!(asked.stderr.contains("nobody can be asked") && asked.stderr.contains("hint: --yes"), "{}", asked.stderr);
    assert_eq!(installation.tap("youtube_videos").len(), 2);
    let wrong = installation.output(&["dead-letters", "list", "--since", "yesterday"]);
    assert!(wrong.code == Some(2) && wrong.stderr.contains("not a time such as"), "{}", wrong.stderr);
    let none = installation.succeed(&["dead-letters", "list", "--since", "2026-01-01T00:00:00Z"]);
    assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", "No dead letter matches.\n"));
}
