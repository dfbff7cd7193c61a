//! One installation of the real binary: a directory of its own with a topology file and a state directory, and nothing of the
//! caller's environment but what finds the libraries.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// No command may take longer: the machine may be slow, but it does not stand still.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// What the messages of these tests are sent to.
const CHAT: &str = "4711";

/// An installation; the directory goes with it.
#[derive(Debug)]
pub(crate) struct Installation {
    directory: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

impl Installation {
    /// One that runs the shipped topology.
    pub(crate) fn new() -> Self {
        Self::with_engine("")
    }

    /// One whose topology file has these lines under `[engine]`.
    pub(crate) fn with_engine(engine: &str) -> Self {
        let shipped = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("topology.toml")).unwrap();
        let engine = if engine.is_empty() { String::new() } else { format!("\n[engine]\n{engine}\n") };
        Self::with_topology(&(shipped + &engine))
    }

    /// One with this topology file.
    pub(crate) fn with_topology(text: &str) -> Self {
        let installation = Self { directory: tempfile::tempdir().unwrap(), environment: Vec::new() };
        installation.write("topology.toml", text);
        installation
    }

    /// Lets the commands find a value in their environment.
    pub(crate) fn set_env(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Writes a file into the directory.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// The state directory.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.directory.path().join("installation")
    }

    /// The binary with these arguments and this installation's state directory, ready to be started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidewatch"));
        command.args(arguments).arg("--state-dir").arg(self.state_dir()).current_dir(self.directory.path()).env_clear();
        for name in ["PATH", "LD_LIBRARY_PATH"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        let own = self.environment.iter().map(|(name, value)| (name, value));
        command.env("TELEGRAM_CHAT_ID", CHAT).envs(own).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        let mut command = assert_cmd::Command::from_std(self.command(arguments));
        let output = command.timeout(PATIENCE).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Output { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs a command that must succeed.
    #[track_caller]
    pub(crate) fn succeed(&self, arguments: &[&str]) -> Output {
        let output = self.output(arguments);
        assert_eq!(output.code, Some(0), "tidewatch {arguments:?} failed:\n{}", output.stderr);
        output
    }

    /// Starts a command that goes on.
    pub(crate) fn start(&self, arguments: &[&str]) -> Live {
        Live::start(self.command(arguments))
    }

    /// All committed records of a topic, in the order in which `tap` shows them.
    #[track_caller]
    pub(crate) fn tap(&self, topic: &str) -> Vec<Tapped> {
        let output = self.succeed(&["tap", topic, "--json", "--from", "earliest"]);
        output.stdout.lines().map(|line| Tapped::parse(line)).collect()
    }
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// The one JSON value on stdout.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {:?}", self.stdout))
    }
}

/// A line of `tap --json`, without what two runs of the same input may differ in: offsets (markers take some).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tapped {
    pub(crate) partition: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<String>,
    pub(crate) headers: Value,
    pub(crate) value: Value,
}

impl Tapped {
    #[track_caller]
    pub(crate) fn parse(line: &str) -> Self {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        let key = line["key"].as_str().map(str::to_owned);
        let (partition, timestamp) = (line["partition"].as_i64().unwrap(), line["timestamp_ms"].as_i64().unwrap());
        Self { partition, timestamp, key, headers: line["headers"].clone(), value: line["value"].clone() }
    }
}

/// A started command. It is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Live {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Live {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdout, stderr) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        Self { child, stdout, stderr }
    }

    /// Waits for a line of stdout that contains `text`.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) -> String {
        find(&self.stdout, text, PATIENCE).unwrap_or_else(|seen| panic!("no {text:?} on stdout, but {seen:#?}; stderr: {:#?}", self.said()))
    }

    /// Waits for a line of stderr that contains `text`.
    #[track_caller]
    pub(crate) fn wait_for_said(&self, text: &str) -> String {
        find(&self.stderr, text, PATIENCE).unwrap_or_else(|seen| panic!("no {text:?} on stderr, but {seen:#?}"))
    }

    /// Waits for a line of stderr that contains `text`: all lines up to it.
    #[track_caller]
    pub(crate) fn said_until(&self, text: &str) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        while let Ok(line) = self.stderr.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            seen.push(line);
            if seen.last().is_some_and(|line| line.contains(text)) {
                return seen;
            }
        }
        panic!("no {text:?} on stderr, but {seen:#?}");
    }

    /// What is on stderr and was not looked at yet.
    pub(crate) fn said(&self) -> Vec<String> {
        self.stderr.try_iter().collect()
    }

    /// Whether it has ended, and how.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// Waits for its end; the exit code, none where a signal ended it, and what it said on stderr.
    #[track_caller]
    pub(crate) fn join(mut self, within: Duration) -> (Option<i32>, Vec<String>) {
        let deadline = Instant::now() + within;
        let mut said = Vec::new();
        // Both pipes close when the process ends; reading them is the wait.
        loop {
            match self.stderr.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => said.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("did not end within {within:?}; stderr: {said:#?}"),
            }
        }
        (self.child.wait().unwrap().code(), said)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.child.kill().unwrap_or_default();
            self.child.wait().map(drop).unwrap_or_default();
        }
    }
}

fn lines(pipe: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || BufReader::new(pipe).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    receiver
}

/// The first line that contains `text`; otherwise what came instead.
fn find(lines: &Receiver<String>, text: &str, within: Duration) -> Result<String, Vec<String>> {
    let deadline = Instant::now() + within;
    let mut seen = Vec::new();
    while let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        if line.contains(text) {
            return Ok(line);
        }
        seen.push(line);
    }
    Err(seen)
}
