//! `run --once` as cron sees it: 0 where all is well, otherwise the reason and an exit code that says whether trying again may help.

use tidewatch::operate::simulated::channel::{CHANNEL_ID, PLAYLIST};
use tidewatch::operate::simulated::youtube::{Options, YouTube};
use tidewatch::operate::simulated::{Channel, Fault, Faults};
use tidewatch::streams::clock::{Clock as _, SystemClock};

use crate::installation::{Installation, Output};
use crate::whole::KEY;

/// A list of which YouTube knows nothing.
const WRONG: &str = "PLwrongWrongWrongWrongWrongWrong00";

/// What the message of exit code 1 begins with.
const NOTHING: &str = "nothing that is watched could be polled: cannot be read: ";

fn youtube(faults: Faults) -> YouTube {
    let options = Options { api_key: KEY.to_owned(), units_per_day: 10_000, faults };
    YouTube::start(Channel::new(7, SystemClock::new().now()), options).unwrap()
}

/// The shipped topology with these lists to watch, and more lines under `[youtube]`.
fn topology(youtube: &YouTube, lists: &[&str], more: &str) -> String {
    let shipped = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("topology.toml")).unwrap();
    let ends =
        format!("\n[youtube]\napi_key = {{ env = \"KEY\" }}\nplaylists = {lists:?}\nbase_url = \"{}\"\n{more}\n", youtube.base_url());
    shipped + &ends
}

/// An installation that watches these lists, with more lines under `[youtube]`.
fn watching(youtube: &YouTube, lists: &[&str], more: &str) -> Installation {
    let mut installation = Installation::with_topology(&topology(youtube, lists, more));
    installation.set_env("KEY", KEY);
    installation
}

/// Polls once; the exit code, and the error with its causes, without hints.
fn once(installation: &Installation) -> (Option<i32>, Option<String>) {
    let Output { code, stdout, stderr } = installation.output(&["run", "--once"]);
    assert_eq!(stdout, "", "what is said is on stderr");
    let said = stderr.lines().filter_map(|line| line.strip_prefix("error: ").or_else(|| line.strip_prefix("caused by: ")));
    let error = said.collect::<Vec<_>>().join(": ");
    assert_eq!(code == Some(0), error.is_empty(), "{code:?}: {stderr}");
    (code, (!error.is_empty()).then_some(error))
}

/// How many records a topic has got since there were `before`; `before` becomes what there are now.
fn more(installation: &Installation, topic: &str, before: &mut usize) -> usize {
    let now = installation.tap(topic).len();
    now - std::mem::replace(before, now)
}

#[test]
fn a_poll_that_is_complete_is_a_success() {
    let youtube = youtube(Faults::none());
    let installation = watching(&youtube, &[PLAYLIST], "");
    let mut videos = 0;
    for _ in 0..2 {
        assert_eq!(once(&installation), (Some(0), None));
        assert_eq!(more(&installation, "youtube_videos", &mut videos), 12);
    }
}

#[test]
fn a_poll_that_could_read_nothing_fails_and_says_why() {
    let youtube = youtube(Faults::none());
    let installation = watching(&youtube, &[WRONG], "");
    let expected = format!("{NOTHING}{WRONG} (YouTube knows no playlist {WRONG} (playlistNotFound))");
    for _ in 0..2 {
        assert_eq!(once(&installation), (Some(1), Some(expected.clone())), "it is asked for each time");
    }
    assert_eq!(youtube.units(), 2);
    // Beside one that can be read it is told, and what is watched is observed.
    let installation = watching(&youtube, &[WRONG, PLAYLIST], "");
    let Output { code, stderr, .. } = installation.output(&["run", "--once"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.lines().any(|line| line.contains(" WARN cannot be read") && line.contains(WRONG)), "{stderr}");
    assert!(stderr.lines().any(|line| line.contains(" INFO poll complete ") && line.contains("unread=1")), "{stderr}");
    assert_eq!(installation.tap("youtube_videos").len(), 12);
}

#[test]
fn a_poll_that_is_not_complete_fails_and_what_it_observed_is_processed_all_the_same() {
    let youtube = youtube(Faults::none());
    let installation = watching(&youtube, &[PLAYLIST], "");
    assert_eq!(once(&installation), (Some(0), None));
    let (mut videos, mut changes) = (12, 0);
    // A list is added of which nothing comes, each of the three times that it is asked for.
    let uploads = format!("UU{}", &CHANNEL_ID[2..]);
    installation.write("topology.toml", &topology(&youtube, &[&uploads, PLAYLIST], ""));
    for polls in 1.. {
        youtube.push_faults([Fault::Internal; 3]);
        let (code, error) = once(&installation);
        assert_eq!((code, youtube.units()), (Some(1), 2 + 5 * polls), "{error:?}");
        let error = error.unwrap();
        assert!(error.starts_with("the poll is not complete: ") && error.contains("500"), "{error}");
        assert!(more(&installation, "youtube_videos", &mut videos) > 0);
        if more(&installation, "youtube_changes", &mut changes) > 0 {
            break;
        }
        assert!(polls < 10, "nothing changes");
    }
    // It passes.
    assert_eq!(once(&installation), (Some(0), None));
}

#[test]
fn a_poll_that_the_quota_does_not_cover_fails_and_what_waits_is_processed_all_the_same() {
    let youtube = youtube(Faults::none());
    let installation = watching(&youtube, &[PLAYLIST], "quota_per_day = 3");
    assert_eq!(once(&installation), (Some(0), None));
    installation.write("a.csv", "observed_at,video_id,views,likes\n1,a,100,1\n2,a,350,2\n");
    installation.succeed(&["import", "a.csv"]);
    let (code, error) = once(&installation);
    assert_eq!(code, Some(1));
    let error = error.unwrap();
    let expected = "the poller stopped: what is left of this day's quota (1 units) does not cover a poll (2 units); it begins anew at ";
    assert!(error.starts_with(expected), "{error}");
    assert_eq!(youtube.units(), 2, "nothing was asked");
    assert_eq!(installation.tap("youtube_changes").len(), 1);
}

#[test]
fn a_key_that_is_not_valid_is_a_fault_of_the_configuration() {
    let youtube = youtube(Faults::none());
    let mut installation = watching(&youtube, &[PLAYLIST], "");
    installation.set_env("KEY", "AIzaAnother");
    let (code, error) = once(&installation);
    assert_eq!(code, Some(2));
    let error = error.unwrap();
    assert!(error.starts_with("the poller stopped: YouTube cannot be polled: "), "{error}");
}
