//! A schema registry: Apicurio, which speaks Confluent's API. One is shared by all tests of the process; those that stop it start their own.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::OnceLock;

use serde_json::json;

use super::broker::QUICK_JAVA;
use super::http::{Client, get};
use super::or_skip;
use super::packages::{Package, java, only_file};
use super::process::{Process, free_port, port_was_taken};

/// How often a port is chosen before giving up: somebody else may take it between the choice and the start.
const ATTEMPTS: usize = 3;

/// A registry; its schemas outlive a stop. Fields are dropped in order: the process before its folder.
#[derive(Debug)]
pub(crate) struct Registry {
    process: Option<Process>,
    port: u16,
    jar: PathBuf,
    folder: tempfile::TempDir,
}

impl Registry {
    /// The one of all tests. Subjects on it need a name from [`super::unique`].
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Result<Registry, String>> = OnceLock::new();
        or_skip(SHARED.get_or_init(Self::try_start).as_ref().map_err(Clone::clone))
    }

    /// One of the caller's own, which it may stop; gone when dropped.
    pub(crate) fn start() -> Option<Self> {
        or_skip(Self::try_start())
    }

    /// An error says what is missing on this machine; a registry that does not start although all is there is a panic.
    fn try_start() -> Result<Self, String> {
        java()?;
        let jar = only_file(&Package::Registry.folder()?, "-runner.jar")?;
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let folder = tempfile::Builder::new().prefix("tidewatch-registry-").tempdir().unwrap();
            let mut registry = Self { process: None, port: free_port(), jar: jar.clone(), folder };
            match registry.run() {
                Ok(()) => return Ok(registry),
                Err(said) if port_was_taken(&said) => last = said,
                Err(said) => panic!("{said}"),
            }
        }
        panic!("{ATTEMPTS} times somebody else took a port that was free: {last}");
    }

    fn run(&mut self) -> Result<(), String> {
        assert!(self.process.is_none(), "the registry runs already");
        let port = format!("-Dquarkus.http.port={}", self.port);
        let options = ["java", QUICK_JAVA, "-Xmx512m", "-Dquarkus.http.host=127.0.0.1", &port, "-jar"];
        let mut command: Vec<OsString> = options.map(OsString::from).into();
        command.push(self.jar.clone().into());
        // A file, so that a restart keeps the schemas and their ids.
        let database = format!("jdbc:h2:file:{}/schemas", self.folder.path().display());
        let environment = [("REGISTRY_DATASOURCE_URL", database.as_str())];
        let mut process = Process::start_with("the registry", self.folder.path(), &command, &environment);
        let subjects = format!("{}/subjects", self.url());
        process.wait_for("answering", |_| get(&subjects))?;
        self.process = Some(process);
        Ok(())
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The base URL of Confluent's API.
    pub(crate) fn url(&self) -> String {
        confluent_url("http", self.port)
    }

    /// The base URL of its own API, which its own converter wants.
    pub(crate) fn own_url(&self) -> String {
        format!("http://127.0.0.1:{}/apis/registry/v2", self.port)
    }

    /// Registers a schema under a subject; its id.
    pub(crate) fn register(&self, subject: &str, schema: &str) -> u32 {
        let url = format!("{}/subjects/{subject}/versions", self.url());
        let (status, answer) = Client::default().send("POST", &url, Some(&json!({ "schema": schema }))).unwrap();
        let id = answer["id"].as_u64().unwrap_or_else(|| panic!("{subject}: {status}: {answer}"));
        u32::try_from(id).unwrap()
    }

    /// Stops it.
    pub(crate) fn stop(&mut self) {
        self.process.take().expect("the registry runs").stop("TERM");
    }

    /// Starts a stopped one again, with its port and its schemas.
    pub(crate) fn start_again(&mut self) {
        self.run().unwrap_or_else(|said| panic!("{said}"));
    }
}

/// The base URL of Confluent's API on a port, such as that of a [`super::front::Gate`] before the registry.
pub(crate) fn confluent_url(scheme: &str, port: u16) -> String {
    format!("{scheme}://127.0.0.1:{port}/apis/ccompat/v7")
}
