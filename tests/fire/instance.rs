//! One instance of the real binary, with a state directory and a diary of the faults that were on order.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::real::process::Process;
use crate::scene::STOPPED;
use crate::time::wait_for;

/// What all instances of an application have in common.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) application: String,
    pub(crate) topology: String,
    pub(crate) bootstrap: String,
    pub(crate) registry: String,
    /// The binary.
    pub(crate) binary: PathBuf,
}

impl Surroundings {
    /// Creates the topics of the application.
    pub(crate) fn set_up(&self, partitions: i32) -> Result<(), String> {
        let output = Instance::new("setup", self).command(&["setup", "--partitions", &partitions.to_string()]);
        if output.status.success() { Ok(()) } else { Err(format!("setup: {}", String::from_utf8_lossy(&output.stderr))) }
    }
}

/// A line of the diary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fired {
    pub(crate) deed: String,
    pub(crate) point: String,
    pub(crate) count: u64,
    pub(crate) open: bool,
}

impl Fired {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("fault ")?.split(' ');
        let (deed, point) = (words.next()?.to_owned(), words.next()?.to_owned());
        let count = words.next()?.parse().ok()?;
        Some(Self { deed, point, count, open: words.next()? == "transaction=open" })
    }
}

/// An instance that runs or does not.
#[derive(Debug)]
pub(crate) struct Instance {
    process: Option<Process>,
    pub(crate) name: String,
    surroundings: Surroundings,
    seen_bytes: usize,
    /// Where in the log the present run begins.
    log_begins: usize,
    pub(crate) started: Instant,
    /// Which part of the binary it is.
    pub(crate) part: &'static str,
    /// A command that runs it in surroundings of its own, such as with a small disk.
    pub(crate) within: Vec<OsString>,
    folder: tempfile::TempDir,
}

impl Instance {
    pub(crate) fn new(name: &str, surroundings: &Surroundings) -> Self {
        let folder = tempfile::Builder::new().prefix("tidewatch-fire-instance-").tempdir().unwrap();
        fs::write(folder.path().join("topology.toml"), &surroundings.topology).unwrap();
        let (name, surroundings) = (name.to_owned(), surroundings.clone());
        let (process, part, within) = (None, "topology", Vec::new());
        Self { process, name, surroundings, seen_bytes: 0, log_begins: 0, started: Instant::now(), part, within, folder }
    }

    /// What brokers call it.
    pub(crate) fn client(&self) -> String {
        format!("{}-{}", self.surroundings.application, self.name)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn diary(&self) -> PathBuf {
        self.folder.path().join("diary")
    }

    fn arguments(&self, arguments: &[&str]) -> Vec<OsString> {
        let Surroundings { bootstrap, registry, .. } = &self.surroundings;
        let mut all: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        all.extend(["--bootstrap-servers", bootstrap, "--registry", registry, "--config"].map(OsString::from));
        all.push(self.folder.path().join("topology.toml").into());
        all.push("--state-dir".into());
        all.push(self.state_dir().into());
        all
    }

    /// Starts it with faults on order; it must not run.
    pub(crate) fn start(&mut self, faults: &str) {
        self.start_with(faults, &[]);
    }

    /// The same with more arguments.
    pub(crate) fn start_with(&mut self, faults: &str, more: &[&str]) {
        assert!(self.process.is_none(), "{} runs already", self.name);
        let mut command = self.within.clone();
        command.push(self.surroundings.binary.clone().into());
        command.extend(self.arguments(&[&["run", "--only", self.part, "--log", "json"], more].concat()));
        let diary = self.diary().display().to_string();
        let environment = [
            ("TELEGRAM_CHAT_ID", crate::scene::CHAT),
            ("TELEGRAM_BOT_TOKEN", crate::scene::TOKEN),
            ("REGISTRY_PASSWORD", crate::scene::PASSWORD),
            ("INSTANCE", &self.name),
            ("TIDEWATCH_FAULTS", faults),
            ("TIDEWATCH_FAULTS_LOG", &diary),
        ];
        self.log_begins = fs::read(self.folder.path().join("log")).map_or(0, |bytes| bytes.len());
        self.started = Instant::now();
        self.process = Some(Process::start_with(&self.name, self.folder.path(), &command, &environment));
    }

    /// Runs another command of the binary to its end, as this instance; its output.
    pub(crate) fn command(&self, arguments: &[&str]) -> std::process::Output {
        let mut words = self.within.clone();
        words.push(self.surroundings.binary.clone().into());
        words.extend(self.arguments(arguments));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env("TELEGRAM_CHAT_ID", crate::scene::CHAT).env("INSTANCE", &self.name);
        command.env("TELEGRAM_BOT_TOKEN", crate::scene::TOKEN).env("REGISTRY_PASSWORD", crate::scene::PASSWORD);
        command.stdin(Stdio::null()).output().unwrap()
    }

    pub(crate) fn runs(&self) -> bool {
        self.process.is_some()
    }

    pub(crate) fn signal(&mut self, signal: &str) {
        if let Some(process) = &mut self.process {
            process.signal(signal);
        }
    }

    /// How it ended, once.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.process.as_mut()?.ended()?;
        self.process = None;
        Some(status)
    }

    /// Sends a signal and waits for the end; how it ended, and how long that took. None where it does not run.
    pub(crate) fn stop(&mut self, signal: &str) -> Option<(ExitStatus, Duration)> {
        let process = self.process.take()?;
        let began = Instant::now();
        let status = process.stop(signal);
        Some((status, began.elapsed()))
    }

    /// Asks it to stop, which has to be in good order and in time; how long that took. None where it does not run.
    pub(crate) fn stop_in_time(&mut self) -> Option<Result<Duration, String>> {
        if self.runs() {
            // Before its first line it does not listen yet, and dies of the signal.
            drop(wait_for("its first line", STOPPED, || (!self.said().is_empty()).then_some(())));
        }
        let (status, took) = self.stop("TERM")?;
        let in_time = status.code() == Some(0) && took <= STOPPED;
        Some(if in_time { Ok(took) } else { Err(format!("asked to stop, it ended after {took:?} with {status}")) })
    }

    /// What the diary has that was not looked at yet.
    pub(crate) fn fired(&mut self) -> Vec<Fired> {
        let whole = self.diary_from(self.seen_bytes);
        self.seen_bytes += whole.len();
        whole.lines().filter_map(Fired::parse).collect()
    }

    /// The whole lines of the diary from a byte on.
    fn diary_from(&self, begin: usize) -> String {
        let text = fs::read_to_string(self.diary()).unwrap_or_default();
        let new = text.get(begin..).unwrap_or_default();
        new.rfind('\n').map_or_else(String::new, |end| new[..=end].to_owned())
    }

    /// How long the last stall on order was; none where it has not come to its end.
    pub(crate) fn stalled(&self) -> Option<Duration> {
        let diary = self.diary_from(0);
        let (_, ms) = diary.lines().next_back()?.strip_prefix("ended stall ")?.rsplit_once(" ms=")?;
        ms.parse().ok().map(Duration::from_millis)
    }

    /// What the present run has said, as JSON lines where they are.
    pub(crate) fn said(&self) -> Vec<Value> {
        self.said_from(self.log_begins)
    }

    /// The same of all runs.
    pub(crate) fn ever_said(&self) -> Vec<Value> {
        self.said_from(0)
    }

    fn said_from(&self, begin: usize) -> Vec<Value> {
        let bytes = fs::read(self.folder.path().join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(bytes.get(begin..).unwrap_or_default()).into_owned();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| Value::String(line.to_owned()))).collect()
    }

    /// The same as text, the last lines only.
    pub(crate) fn last_said(&self) -> String {
        let said = self.said();
        let lines = said.iter().skip(said.len().saturating_sub(12)).map(|line| format!("        {line}\n"));
        lines.collect::<Vec<_>>().concat()
    }

    /// Why the present run has ended, as it tells people: an error, its causes and what to do. Empty where it has not said so.
    pub(crate) fn reason(&self) -> String {
        let said = self.said();
        let told = said.iter().filter_map(Value::as_str).skip_while(|line| !line.starts_with("error: "));
        told.collect::<Vec<_>>().join("\n")
    }

    /// Whether a line of the present run has this message or text.
    pub(crate) fn has_said(&self, message: &str) -> bool {
        self.said().iter().any(|line| line.to_string().contains(message))
    }

    /// Whether a task of the present run has come to process, or it was told that it has none.
    pub(crate) fn has_run(&self) -> bool {
        self.has_said("\"to\":\"RUNNING\"")
    }

    /// How many tasks have come to process in the present run.
    pub(crate) fn tasks(&self) -> i32 {
        self.said().iter().map(|line| i32::from(line["message"] == "running")).sum()
    }

    /// Copies its log and its diary, as far as there are any, into a folder.
    pub(crate) fn keep(&self, kept: &Path) {
        for name in ["log", "diary"] {
            drop(fs::copy(self.folder.path().join(name), kept.join(format!("{}.{name}", self.name))));
        }
    }

    /// How many records the present run has restored so far.
    pub(crate) fn restored(&self) -> u64 {
        self.said().iter().filter(|line| line["message"] == "store restored").filter_map(|line| line["records"].as_u64()).sum()
    }

    /// The process's id.
    pub(crate) fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }
}
