//! The way of a newcomer, from nothing to the first message: what the README says, followed to the letter, and what it shows is what is printed. Only
//! the two services are not the real ones, so their addresses are added to the file; and polls come sooner than every ten minutes.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tidewatch::operate::simulated::channel::PLAYLIST;
use tidewatch::operate::simulated::telegram::{self, Telegram};
use tidewatch::operate::simulated::youtube::{self, YouTube};
use tidewatch::operate::simulated::{Channel, Faults};
use tidewatch::streams::clock::{Clock as _, SystemClock};

use crate::installation::{Installation, Output, PATIENCE};
use crate::whole::{KEY, TOKEN, stop};

/// The heading of the README's section.
const WAY: &str = "## From nothing to the first message\n";

/// A text of the project.
fn text(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The section of the README.
fn section() -> String {
    let readme = text("README.md");
    let (_, rest) = readme.split_once(WAY).unwrap();
    rest.split("\n## ").next().unwrap().to_owned()
}

/// How its blocks are indented: they belong to the items of a list.
const INDENTATION: &str = "       ";

/// Its blocks: indented lines that follow each other, without their indentation.
fn blocks(section: &str) -> Vec<Vec<&str>> {
    let lines: Vec<Option<&str>> = section.lines().map(|line| line.strip_prefix(INDENTATION)).collect();
    lines.split(Option::is_none).filter(|block| !block.is_empty()).map(|block| block.iter().flatten().copied().collect()).collect()
}

/// The commands that it shows, each with what it prints.
fn commands(section: &str) -> Vec<(Vec<String>, Vec<String>)> {
    let mut found: Vec<(Vec<String>, Vec<String>)> = Vec::new();
    for line in blocks(section).into_iter().filter(|block| block.iter().any(|line| line.starts_with("$ "))).flatten() {
        match (line.strip_prefix("$ tidewatch "), found.last_mut()) {
            (Some(command), _) => found.push((command.split_whitespace().map(str::to_owned).collect(), Vec::new())),
            (None, Some((_, printed))) if !line.starts_with("$ ") => printed.push(line.to_owned()),
            (None, _) => {}
        }
    }
    found
}

/// What the README shows of the command.
#[track_caller]
fn shown(command: &str) -> Vec<String> {
    let found = commands(&section()).into_iter().find(|(arguments, _)| arguments.join(" ") == command);
    found.unwrap_or_else(|| panic!("the README does not say `tidewatch {command}`")).1
}

/// What a terminal shows of it.
fn on_a_terminal(output: &Output) -> Vec<String> {
    output.stderr.lines().chain(output.stdout.lines()).map(str::to_owned).collect()
}

/// Runs a command that the README shows; what it prints is what stands there.
#[track_caller]
fn follow(installation: &Installation, command: &str) {
    let arguments: Vec<&str> = command.split(' ').collect();
    assert_eq!(on_a_terminal(&installation.succeed(&arguments)), shown(command), "tidewatch {command}");
}

/// What a line of the log is about: the words before its values, and their names. The time and the values are another matter each time.
fn kind(line: &str) -> Vec<&str> {
    let words: Vec<&str> = line.split_once(" INFO ").map_or(line, |(_, said)| said).split_whitespace().collect();
    let first = words.iter().position(|word| word.contains('=')).unwrap_or(words.len());
    let names = words[first..].iter().filter_map(|word| word.split_once('=')).map(|(name, _)| name);
    words[..first].iter().copied().chain(names).collect()
}

/// The key of a line `key = value`, or the heading.
fn name(line: &str) -> &str {
    line.split(['=', '#']).next().unwrap_or(line).trim()
}

/// The shipped file after the edits: the lines that the README shows take the place of those that are commented out.
fn edited(section: &str) -> String {
    let mut file: Vec<String> = text("topology.toml").lines().map(str::to_owned).collect();
    let edits = blocks(section).into_iter().filter(|block| block[0].starts_with('['));
    let mut place = 0;
    for edit in edits.flatten() {
        let same = |line: &String| line.strip_prefix("# ").is_some_and(|shipped| name(shipped) == name(edit));
        place += file[place..].iter().position(same).unwrap_or_else(|| panic!("{edit:?} is not in topology.toml, commented out"));
        file[place] = edit.replace("PL...", PLAYLIST);
    }
    file.join("\n")
}

/// The services, and the installation of somebody who has done what the README says. Polls may come every second.
fn newcomer() -> (YouTube, Telegram, Installation) {
    let clock = Arc::new(SystemClock::new());
    let options = youtube::Options { api_key: KEY.to_owned(), units_per_day: 10_000, faults: Faults::none() };
    let youtube = YouTube::start(Channel::new(7, clock.now()), options).unwrap();
    let telegram = Telegram::start(telegram::Options::new(TOKEN), clock).unwrap();
    let mut topology = edited(&section());
    for (heading, line) in [
        ("\n[youtube]\n", format!("base_url = \"{}\"\nevery = \"1s\"\nquota_per_day = 1000000\n", youtube.base_url())),
        ("\n[telegram]\n", format!("base_url = \"{}\"\n", telegram.base_url())),
    ] {
        assert_eq!(topology.matches(heading).count(), 1, "{heading:?} in {topology}");
        topology = topology.replace(heading, &format!("{heading}{line}"));
    }
    let mut installation = Installation::with_topology(&topology);
    installation.set_env("YOUTUBE_API_KEY", KEY);
    installation.set_env("TELEGRAM_BOT_TOKEN", TOKEN);
    (youtube, telegram, installation)
}

/// The texts of the messages that the chat of the README has got.
fn messages(telegram: &Telegram) -> Vec<String> {
    let texts = telegram.texts();
    assert!(texts.iter().all(|(chat, _)| chat == "4711"), "{texts:?}");
    texts.into_iter().map(|(_, text)| text).collect()
}

#[test]
fn comes_to_the_first_message() {
    let (_youtube, telegram, installation) = newcomer();
    let ways: Vec<String> = commands(&section()).into_iter().map(|(arguments, _)| arguments.join(" ")).collect();
    assert_eq!(ways, ["telegram chats", "check", "telegram test", "run"], "what follows is all that the README says");
    for command in &ways[..3] {
        follow(&installation, command);
    }
    assert_eq!(messages(&telegram), ["tidewatch can write here."]);

    let live = installation.start(&["run"]);
    for line in shown("run") {
        let wanted = kind(&line);
        let found = live.wait_for_said(&format!(" INFO {} ", wanted[0]));
        assert_eq!(kind(&found), wanted);
    }
    assert!(telegram.wait_for(PATIENCE, |counts| counts.taken >= 2), "no message came: {:#?}", live.said());
    let first = messages(&telegram).swap_remove(1);
    assert!(["Likes", "Comments", "Views"].iter().any(|what| first.starts_with(&format!("{what} changed: "))), "{first}");
    assert!(installation.succeed(&["status"]).stdout.starts_with("ready: RUNNING"), "all is well");
    stop(live);
}

#[test]
fn may_take_cron_instead() {
    let (youtube, telegram, installation) = newcomer();
    let mut polls = 0;
    // Each one sees ten minutes more of the channel.
    while messages(&telegram).is_empty() {
        installation.succeed(&["run", "--once"]);
        polls += 1;
        assert_eq!(youtube.units(), 2 * polls, "a poll of a short playlist costs two units");
        assert!(polls < 50, "nothing changes");
    }
    assert!(polls > 1, "the first poll is quiet");
}

#[test]
fn may_leave_a_backlog_behind() {
    let (_youtube, telegram, installation) = newcomer();
    installation.write("old.csv", "observed_at,video_id,likes,title\n1000,old,1,Long ago\n2000,old,2,Long ago\n");
    installation.succeed(&["import", "old.csv"]);
    installation.succeed(&["run", "--only", "topology", "--until-end"]);
    let backlog = "Likes changed: 1 => 2. Long ago";
    let shown = installation.succeed(&["tap", "telegram_outbox", "--until-end"]).stdout;
    assert!(shown.contains(backlog), "{shown}");

    let dry = installation.succeed(&["telegram", "dry-run"]).stdout;
    assert!(dry.contains(backlog), "{dry}");
    let kept = tempfile::tempdir().unwrap();
    copy(&installation.state_dir(), kept.path());

    let readme = section();
    let remedy = readme.lines().find_map(|line| line.trim().strip_prefix("`tidewatch reset")).unwrap();
    let remedy = format!("reset{}", remedy.split('`').next().unwrap());
    let arguments: Vec<&str> = remedy.split(' ').chain(["--yes"]).collect();
    installation.succeed(&arguments);
    installation.succeed(&["run", "--only", "send", "--until-end"]);
    assert!(messages(&telegram).is_empty(), "the backlog stays where it is");

    fs::remove_dir_all(installation.state_dir()).unwrap();
    copy(kept.path(), &installation.state_dir());
    installation.succeed(&["run", "--only", "send", "--until-end"]);
    assert_eq!(messages(&telegram), [backlog], "without it the backlog is sent");
}

/// Copies a directory with all that is in it but a socket.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
