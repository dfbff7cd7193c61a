//! `telegram dry-run`: what would be sent, while nothing runs and beside a live `run`; and then it is sent.

use rustix::process::Signal;
use serde_json::{Value, json};

use tidewatch::operate::simulated::Faults;

use crate::installation::{Installation, PATIENCE};
use crate::whole::{Outside, installation};

const FIRST: &str = "observed_at,video_id,title,views,likes\n1,a,One,100,1\n2,a,One,350,2\n";
const SECOND: &str = "observed_at,video_id,title,views,likes\n3,a,One,399,5\n";

fn shown(installation: &Installation) -> (String, String) {
    let output = installation.succeed(&["telegram", "dry-run"]);
    (output.stdout, output.stderr)
}

#[test]
fn shows_what_would_be_sent_and_sends_nothing() {
    let outside = Outside::start(5, Faults::none());
    let installation = installation(&outside.topology(""));
    installation.write("first.csv", FIRST);
    installation.succeed(&["import", "first.csv"]);
    installation.succeed(&["run", "--only", "topology", "--until-end"]);
    let expected = "101  Likes changed: 1 => 2. One\n103  Views changed: 100 => 350. One\n";
    for _ in 0..2 {
        assert_eq!(shown(&installation), (expected.to_owned(), "2 messages would be sent.\n".to_owned()));
    }
    let lines = installation.succeed(&["telegram", "dry-run", "--json"]).stdout;
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let event = first["event_id"].as_str().unwrap();
    let wanted = json!({
        "chat_id": "101", "message_thread_id": 0, "text": "Likes changed: 1 => 2. One", "parse_mode": "", "disable_notification": false,
        "disable_web_page_preview": false, "event_id": event, "partition": 0, "offset": 0, "queued": false,
    });
    assert_eq!(first, wanted);
    assert_eq!(outside.telegram.counts().requests, 0, "Telegram was asked");

    installation.succeed(&["run", "--only", "send", "--until-end"]);
    assert_eq!(outside.telegram.counts().requests, 2);
    assert_eq!(shown(&installation), (String::new(), "Nothing would be sent.\n".to_owned()));

    // The owner of the directory is asked where there is one.
    let live = installation.start(&["run", "--only", "topology"]);
    live.wait_for_said("starting");
    installation.write("second.csv", SECOND);
    installation.succeed(&["import", "second.csv"]);
    let told = std::iter::repeat_with(|| shown(&installation)).take(1_000).find(|(lines, _)| !lines.is_empty()).unwrap();
    assert_eq!(told, ("101  Likes changed: 2 => 5. One\n".to_owned(), "1 message would be sent.\n".to_owned()));
    live.signal(Signal::TERM);
    assert_eq!(live.join(PATIENCE).0, Some(0));
    assert_eq!(outside.telegram.counts().requests, 2);
}

#[test]
fn says_what_is_missing() {
    let shipped = Installation::new();
    let output = shipped.output(&["telegram", "dry-run"]);
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.starts_with("error: the topology file has no [telegram], so nothing is sent\nhint: "), "{}", output.stderr);
    let outside = Outside::start(6, Faults::none());
    let installation = installation(&outside.topology(""));
    let output = installation.output(&["telegram", "dry-run"]);
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.starts_with("error: there is no state directory "), "{}", output.stderr);
    assert!(!installation.state_dir().exists());
}
