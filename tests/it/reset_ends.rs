//! `reset` of the two ends: what the sender sent, and what the poller knows.

use serde_json::Value;

use tidewatch::operate::simulated::Faults;

use crate::installation::Installation;
use crate::whole::{Outside, installation};

const ROWS: &str = "observed_at,video_id,title,views,likes\n1,a,One,100,1\n2,a,One,350,2\n";

/// Sends what there is to send; how many requests that takes.
fn sent(installation: &Installation, outside: &Outside) -> u64 {
    let before = outside.telegram.counts().requests;
    installation.succeed(&["run", "--only", "send", "--until-end"]);
    outside.telegram.counts().requests - before
}

#[test]
fn a_sender_leaves_a_backlog_out_or_sends_it_again_only_when_it_is_told_so() {
    let outside = Outside::start(7, Faults::none());
    let installation = installation(&outside.topology(""));
    installation.write("a.csv", ROWS);
    installation.succeed(&["import", "a.csv"]);
    installation.succeed(&["run", "--only", "topology", "--until-end"]);
    // Before its first start: what is there is somebody else's.
    installation.succeed(&["reset", "--sender", "--to", "latest", "--yes"]);
    assert_eq!(sent(&installation, &outside), 0);

    let output = installation.output(&["reset", "--sender", "--to", "earliest"]);
    let expected = "This will, for the sender of youtube-changes:\n  \
        delete the topic youtube-changes-sender-sent-log-changelog with all its records\n  \
        delete the cached state of 1 task\n  \
        set the position in telegram_outbox-0 to offset 0 (now at offset 3)\n\
        It leaves all other topics as they are.\n\
        Messages that wait to be sent are forgotten, unless they are read again.\n\
        What was sent is forgotten, too: a message that is read a second time is sent a second time.\n\
        error: nobody can be asked: standard input is not a terminal\n\
        hint: --yes does it without asking.\n";
    assert_eq!((output.code, output.stderr.as_str()), (Some(2), expected));
    assert_eq!(sent(&installation, &outside), 0, "nothing may be done unasked");
    installation.succeed(&["reset", "--sender", "--to", "earliest", "--yes"]);
    assert_eq!(sent(&installation, &outside), 2);

    // The topology writes the same messages again; the sender knows them.
    let said = installation.output(&["reset", "--to", "earliest"]).stderr;
    assert!(said.contains("\nMessages in telegram_outbox that were sent already are not sent again; "), "{said}");
    installation.succeed(&["reset", "--to", "earliest", "--yes"]);
    installation.succeed(&["run", "--only", "topology", "--until-end"]);
    assert_eq!(installation.tap("telegram_outbox").len(), 4);
    assert_eq!(sent(&installation, &outside), 0, "a reset of the topology sends nothing twice");
    installation.succeed(&["reset", "--sender", "--to", "earliest", "--yes"]);
    assert_eq!(sent(&installation, &outside), 2, "each event once");
}

/// The units of this day, as the poller has them.
fn units(installation: &Installation) -> u64 {
    let records = installation.tap("youtube-changes-poller-state");
    let last = records.iter().rfind(|record| record.key.as_deref() == Some("quota")).unwrap();
    let parsed: Value = last.value.as_str().map_or_else(|| last.value.clone(), |text| serde_json::from_str(text).unwrap());
    parsed["units"].as_u64().unwrap()
}

#[test]
fn a_poller_that_forgot_everything_polls_for_the_first_time() {
    let outside = Outside::start(8, Faults::none());
    let installation = installation(&outside.topology(""));
    let poll = || drop(installation.succeed(&["run", "--only", "poll", "--once"]));
    poll();
    let (first, videos) = (units(&installation), installation.tap("youtube_videos").len());
    assert!(first > 0 && videos > 0);
    poll();
    assert_eq!((units(&installation), installation.tap("youtube_videos").len()), (2 * first, 2 * videos));

    let output = installation.output(&["reset", "--poller"]);
    let expected = "This will, for the poller of youtube-changes:\n  \
        delete the topic youtube-changes-poller-state with all its records\n\
        It leaves all other topics as they are.\n\
        The next poll is a first one: no video is new, and one that went away meanwhile is not told as removed.\n\
        The units that were spent today count as not spent.\n\
        error: nobody can be asked: standard input is not a terminal\n\
        hint: --yes does it without asking.\n";
    assert_eq!((output.code, output.stderr.as_str()), (Some(2), expected));
    installation.succeed(&["reset", "--poller", "--yes"]);
    poll();
    assert_eq!((units(&installation), installation.tap("youtube_videos").len()), (first, 3 * videos));
    assert!(installation.tap("youtube_videos").iter().all(|record| record.value["appeared"].is_null()), "nothing is new");
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let shipped = Installation::new();
    shipped.write("a.csv", ROWS);
    shipped.succeed(&["import", "a.csv"]);
    let wrongs = [
        &["reset", "--sender"][..],
        &["reset", "--sender", "--store", "views", "--yes"],
        &["reset", "--sender", "--poller", "--yes"],
        &["reset", "--poller", "--to", "latest"],
        &["reset", "--poller", "--store", "views"],
    ];
    for wrong in wrongs {
        let output = shipped.output(wrong);
        assert_eq!(output.code, Some(2), "{wrong:?}");
        assert!(output.stderr.contains("Usage: "), "{}", output.stderr);
    }
    let output = shipped.output(&["reset", "--sender", "--to", "latest", "--yes"]);
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.starts_with("error: the topology file has no [telegram], so there is no sender\nhint: "), "{}", output.stderr);
}
