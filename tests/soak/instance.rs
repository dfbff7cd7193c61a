//! An instance: a state directory and, most of the time, a process that runs all parts on it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::time::{Duration, Instant};

use crate::real::process::Process;

/// What all instances have in common.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    /// The topology file.
    pub(crate) topology: PathBuf,
    /// Brokers and registry, as the command line has them.
    pub(crate) flags: Vec<String>,
    pub(crate) environment: Vec<(&'static str, &'static str)>,
}

#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) name: &'static str,
    surroundings: Surroundings,
    folder: PathBuf,
    /// Leaves its groups when it is told to stop, so that others take over at once.
    leaves: bool,
    process: Option<Process>,
    /// How often it was started.
    pub(crate) life: u32,
    pub(crate) since: Instant,
    /// When it is to be started again.
    pub(crate) due: Option<Instant>,
}

impl Instance {
    /// `folder` is its own; it is made.
    pub(crate) fn new(name: &'static str, leaves: bool, surroundings: &Surroundings, folder: &Path) -> Self {
        let folder = folder.join(name);
        fs::create_dir_all(&folder).unwrap();
        Self { name, surroundings: surroundings.clone(), folder, leaves, process: None, life: 0, since: Instant::now(), due: None }
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.folder.join("state")
    }

    fn words(&self, arguments: &[&str]) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec![env!("CARGO_BIN_EXE_tidewatch").into()];
        words.extend(arguments.iter().map(Into::into));
        words.extend(["--config".into(), self.surroundings.topology.clone().into(), "--state-dir".into(), self.state_dir().into()]);
        words
    }

    /// Runs a command to its end; `on_kafka`: with the brokers and the registry.
    pub(crate) fn succeed(&self, arguments: &[&str], on_kafka: bool) -> Result<Output, String> {
        let mut words = self.words(arguments);
        if on_kafka {
            words.extend(self.surroundings.flags.iter().map(Into::into));
        }
        let environment = self.surroundings.environment.iter().copied();
        let output = Command::new(&words[0]).args(&words[1..]).envs(environment).output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(output);
        }
        Err(format!("{} of {}: {}: {}", arguments.join(" "), self.name, output.status, String::from_utf8_lossy(&output.stderr)))
    }

    pub(crate) fn start(&mut self) {
        assert!(self.process.is_none(), "{} runs already", self.name);
        let mut words = self.words(if self.leaves { &["run", "--leave-on-stop"] } else { &["run"] });
        words.extend(self.surroundings.flags.iter().map(Into::into));
        self.process = Some(Process::start_with(self.name, &self.folder, &words, &self.surroundings.environment));
        self.life += 1;
        self.since = Instant::now();
        self.due = None;
    }

    /// Sends a signal that ends it, and waits until it has; how long that took.
    pub(crate) fn stop(&mut self, signal: &str) -> Option<(Duration, ExitStatus)> {
        let began = Instant::now();
        let status = self.process.take()?.stop(signal);
        Some((began.elapsed(), status))
    }

    /// The process's id, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// How it ended, where nobody asked it to.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.process.as_mut()?.ended()?;
        self.process = None;
        Some(status)
    }

    /// How many tasks have begun to run so far.
    pub(crate) fn tasks_seen(&self) -> usize {
        let log = fs::read(self.log()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        log.lines().filter(|line| line.contains(" running task=")).count()
    }

    /// The last lines of its log.
    pub(crate) fn last_said(&self) -> String {
        let text = fs::read(self.log()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("log")
    }
}
