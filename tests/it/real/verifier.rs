//! The verifier (`tests/fire/verifier`): what an application left on a broker, held against its input by a program that has no code of ours.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::or_skip;
use super::packages::Package;
use super::process::Process;

/// The directory of the verifier's sources.
pub(crate) fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fire/verifier")
}

/// Python with the libraries that the verifier needs; none where the test is to be skipped.
pub(crate) fn interpreter() -> Option<PathBuf> {
    Some(or_skip(Package::Python.folder())?.join("bin/python"))
}

/// What there is to know about an application that runs the shipped topology: its id, the full names of its topics, the chats of its rules likes, comments and views.
pub(crate) fn shipped(id: &str, topic: impl Fn(&str) -> String, registry: &str, chats: [&str; 3]) -> Value {
    let text = |name: &str, field: &str| format!("{name} changed: {{previous.{field}}} => {{current.{field}}}. {{current.title}}");
    let [likes, comments, views] = chats;
    json!({
        "application": id,
        "group": id,
        "registry": registry,
        "topics": {
            "input": topic("youtube_videos"), "changes": topic("youtube_changes"), "outbox": topic("telegram_outbox"),
            "dead_letters": format!("{id}-dead-letters"),
        },
        "latest": {"store": "changes", "changelog": format!("{id}-changes-changelog"), "watch": ["title", "views", "likes", "comments"]},
        "rules": [
            {"name": "likes", "kind": "differs", "field": "likes", "chat_id": likes, "text": text("Likes", "likes")},
            {"name": "comments", "kind": "differs", "field": "comments", "chat_id": comments, "text": text("Comments", "comments")},
            {"name": "views", "kind": "milestone", "field": "views", "every": 200, "chat_id": views, "text": text("Views", "views"),
             "store": "views", "changelog": format!("{id}-views-changelog")},
        ],
    })
}

/// What the verifier says.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// 0: all right; 1: something is broken; 2: it cannot be judged.
    pub(crate) code: Option<i32>,
    /// Its counts; null where it cannot be judged.
    pub(crate) counts: Value,
    /// What it said about them.
    pub(crate) said: String,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {:?}: {}\n{}", self.code, self.counts, self.said)
    }
}

impl Verdict {
    /// How often a kind of fault was found, or how much was looked at.
    #[track_caller]
    pub(crate) fn count(&self, kind: &str) -> u64 {
        self.counts[kind].as_u64().unwrap_or_else(|| panic!("no {kind}: {self}"))
    }
}

/// The command that verifies what a specification says.
pub(crate) fn command(python: &Path, bootstrap: &str, specification: &Path) -> Vec<OsString> {
    // No compiled files beside the sources.
    let mut command: Vec<OsString> = vec![python.into(), "-B".into(), sources().join("verify.py").into(), "--bootstrap".into()];
    command.extend([bootstrap.into(), "--spec".into(), specification.into()]);
    command
}

fn written(folder: &Path, name: &str, specification: &Value) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, specification.to_string()).unwrap();
    path
}

/// Judges an application that has come to rest. Files go into `folder`.
pub(crate) fn verify(python: &Path, folder: &Path, bootstrap: &str, specification: &Value) -> Verdict {
    let words = command(python, bootstrap, &written(folder, "spec.json", specification));
    let output = Command::new(&words[0]).args(&words[1..]).output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let counts = text(&output.stdout).lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
    Verdict { code: output.status.code(), counts, said: text(&output.stderr) }
}

/// The verifier as a reader that is there while everything happens.
#[derive(Debug)]
pub(crate) struct Follower {
    process: Process,
    seen: PathBuf,
}

impl Follower {
    /// Starts it; `folder` is its own.
    pub(crate) fn start(python: &Path, folder: &Path, bootstrap: &str, specification: &Value) -> Self {
        let seen = folder.join("seen.jsonl");
        let mut words = command(python, bootstrap, &written(folder, "follow.json", specification));
        words.extend(["--follow".into(), seen.clone().into()]);
        let mut process = Process::start("the verifier", folder, &words);
        process.wait_for("following", |process| process.said().contains("following").then_some(())).unwrap_or_else(|said| panic!("{said}"));
        Self { process, seen }
    }

    /// What it wrote down so far.
    pub(crate) fn seen(&self) -> &Path {
        &self.seen
    }

    /// Ends it: what it wrote down.
    #[track_caller]
    pub(crate) fn stop(mut self) -> PathBuf {
        self.process.signal("TERM");
        let status = self.process.end();
        assert!(status.success(), "{status}: {}", self.process.said());
        self.seen
    }
}
