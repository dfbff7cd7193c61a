//! A worker of Kafka Connect with an HTTP sink connector.
//!
//! No package registry has an open HTTP sink, so `TIDEWATCH_CONNECT_HTTP_SINK` names the folder with its jars.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::broker::{java_command, write_logging};
use super::http::get;
use super::or_skip;
use super::packages::{Package, java};
use super::process::{Process, free_port, port_was_taken};

/// How often a port is chosen before giving up: somebody else may take it between the choice and the start.
const ATTEMPTS: usize = 3;

/// A standalone worker. Fields are dropped in order: the process before its folder.
#[derive(Debug)]
pub(crate) struct Connect {
    process: Process,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Connect {
    /// Starts a worker with the texts of a worker file and of connector files. Where it listens, what it loads and where it keeps its
    /// offsets is set here, in the place of what the worker file says.
    pub(crate) fn start(worker: &str, connectors: &[String], environment: &[(&str, &str)]) -> Option<Self> {
        let (lib, plugins) = Self::parts()?;
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let folder = tempfile::Builder::new().prefix("tidewatch-connect-").tempdir().unwrap();
            let port = free_port();
            let listener = format!("http://127.0.0.1:{port}");
            let offsets = folder.path().join("offsets").display().to_string();
            let changes = [("listeners", &*listener), ("plugin.path", &plugins), ("offset.storage.file.filename", &offsets)];
            let mut command = java_command(&lib, folder.path(), "org.apache.kafka.connect.cli.ConnectStandalone");
            write_logging(folder.path());
            let texts = std::iter::once(with(worker, &changes)).chain(connectors.iter().cloned());
            for (number, text) in texts.enumerate() {
                let path: PathBuf = folder.path().join(format!("{number}.properties"));
                fs::write(&path, text).unwrap();
                command.push(OsString::from(path));
            }
            let mut process = Process::start_with("Connect's worker", folder.path(), &command, environment);
            let url = format!("http://127.0.0.1:{port}/connectors");
            let all_there = |connectors_there: &Value| connectors_there.as_array().is_some_and(|there| there.len() == connectors.len());
            match process.wait_for("running its connectors", |_| get(&url).filter(all_there)) {
                Ok(_) => return Some(Self { process, port, _folder: folder }),
                Err(said) if port_was_taken(&said) => last = said,
                Err(said) => panic!("{said}"),
            }
        }
        panic!("{ATTEMPTS} times somebody else took a port that was free: {last}");
    }

    /// Kafka's jars, and a `plugin.path` of the connector and the converter. A test asks before it starts what it needs besides.
    pub(crate) fn parts() -> Option<(PathBuf, String)> {
        or_skip(Self::find_parts())
    }

    fn find_parts() -> Result<(PathBuf, String), String> {
        java()?;
        let sink = std::env::var("TIDEWATCH_CONNECT_HTTP_SINK").ok().filter(|folder| !folder.is_empty());
        let sink = sink.ok_or("TIDEWATCH_CONNECT_HTTP_SINK names no folder with the jar of Aiven's http-connector-for-apache-kafka")?;
        if !PathBuf::from(&sink).is_dir() {
            return Err(format!("TIDEWATCH_CONNECT_HTTP_SINK is {sink}, which is no folder"));
        }
        Ok((Package::Kafka.folder()?.join("lib"), format!("{sink},{}", Package::Converter.folder()?.display())))
    }

    /// The state of the only task of a connector, and why it failed if it did; waits until it has one of these states.
    pub(crate) fn wait_for_state(&mut self, connector: &str, states: &[&str]) -> (String, String) {
        let url = format!("http://127.0.0.1:{}/connectors/{connector}/status", self.port);
        let ask = |_: &Process| {
            let status = get(&url)?;
            let task = status["tasks"].get(0)?;
            let text = |name: &str| task[name].as_str().unwrap_or_default().to_owned();
            states.contains(&&*text("state")).then(|| (text("state"), text("trace")))
        };
        self.process.wait_for(&format!("{states:?}"), ask).unwrap_or_else(|said| panic!("{said}"))
    }

    /// All that the worker has logged: warnings and errors.
    pub(crate) fn said(&self) -> String {
        self.process.said()
    }
}

/// A properties file with other values for settings that it has; a setting that it does not have is a mistake of the test or of the file.
pub(crate) fn with(properties: &str, changes: &[(&str, &str)]) -> String {
    let mut lines: Vec<String> = properties.lines().map(str::to_owned).collect();
    for (name, value) in changes {
        let line = lines.iter_mut().find(|line| line.split_once('=').is_some_and(|(found, _)| found.trim() == *name));
        *line.unwrap_or_else(|| panic!("the file has no {name}:\n{properties}")) = format!("{name}={value}");
    }
    lines.join("\n") + "\n"
}

#[test]
fn settings_are_replaced_and_not_added() {
    assert_eq!(with("# b=0\na=1\nb=2\n", &[("b", "3=4")]), "# b=0\na=1\nb=3=4\n");
    assert!(std::panic::catch_unwind(|| with("a=1\n", &[("b", "2")])).is_err());
}
