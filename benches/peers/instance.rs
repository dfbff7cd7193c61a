//! Instances of tidewatch that share the work of one job.

use std::path::PathBuf;

use crate::application::tidewatch_run;
use crate::peer::Job;
use crate::real::process::Process;

/// The topology file of a job.
pub(crate) fn file(job: &Job<'_>) -> PathBuf {
    job.folder().join("topology.toml")
}

/// The state directory of an instance.
pub(crate) fn state(job: &Job<'_>, name: &str) -> PathBuf {
    job.folder().join(name).join("state")
}

/// Starts an instance, for the first time or again.
pub(crate) fn start(job: &Job<'_>, name: &str) -> Process {
    let folder = job.folder().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    Process::start_with(name, &folder, &tidewatch_run(&file(job), &state(job, name)), &[("RUST_LOG", "info")])
}

/// What an instance says that it restored since its last start.
pub(crate) fn restored(process: &Process) -> String {
    let text = process.said();
    let since = text.rfind("starting").unwrap_or(0);
    restored_in(&text[since..])
}

/// What a part of a log says that was restored.
pub(crate) fn restored_in(text: &str) -> String {
    let lines = text.lines().filter(|line| line.contains("store restored"));
    let lines: Vec<_> = lines.map(|line| format!("{} records in {}", value(line, "records="), value(line, "took="))).collect();
    if lines.is_empty() { "nothing".to_owned() } else { lines.join(", ") }
}

/// What follows a key in a line of the log.
pub(crate) fn value<'a>(line: &'a str, key: &str) -> &'a str {
    line.split_once(key).and_then(|(_, rest)| rest.split_whitespace().next()).unwrap_or("?")
}
