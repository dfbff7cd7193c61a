//! `topology.toml`: parse, check, diagnostics, secrets, and the build of the topology that it declares.
//!
//! [`load`] reads a file and reports all its faults at once, each with its place and a hint; [`build()`] makes the engine's topology of it.
//! This is the only module that reads the process environment.

mod build;
mod check;
mod closest;
mod diagnostics;
mod document;
mod external;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod kafka;
mod model;
mod parse;
mod plan;
mod registry;
mod schemas;
mod telegram;
#[cfg(test)]
mod tests;
mod youtube;

use std::path::Path;

pub use build::{Error, build};
pub use diagnostics::{Diagnostic, Diagnostics, Severity, SourceFile, Style};
pub use external::{Environment, External, Origin, Resolve, env_var};
pub use kafka::{Kafka, Overrides, RegistryAddress, parse_server};
pub use model::{Config, Engine, Processor, Recipient, Sink, SinkInput, Source, ValueFormat};
pub use registry::RegistryLookup;
pub use telegram::{BotApi, DEFAULT_BOT_API, OnUnknown, Rates, Telegram, check_bot_api, check_bot_token};
pub use youtube::{WatchedChannel, YouTube};

/// The name of the topology file where none is given.
pub const DEFAULT_PATH: &str = "topology.toml";

/// The topology file that is part of the binary: the pipeline that the program was made for.
pub const SHIPPED: &str = include_str!("../../topology.toml");

/// The parts of the program: each can be a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The poller, which `[youtube]` asks for.
    pub poll: bool,
    /// The topology.
    pub topology: bool,
    /// The sender, which `[telegram]` asks for.
    pub send: bool,
}

impl Parts {
    /// All of them.
    pub const ALL: Self = Self { poll: true, topology: true, send: true };
    /// The topology alone.
    pub const TOPOLOGY: Self = Self { poll: false, topology: true, send: false };
}

impl Default for Parts {
    fn default() -> Self {
        Self::ALL
    }
}

/// How a topology file is loaded.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// The parts that will run: what only the others need is not read from outside.
    pub parts: Parts,
    /// Whether values from outside are read.
    pub resolve: Resolve,
    /// Where `{ env = … }` looks.
    pub environment: Environment,
    /// What the command line says of the cluster.
    pub overrides: Overrides,
    /// Where the schemas are looked up that the file leaves to the registry.
    pub registry: RegistryLookup,
}

impl LoadOptions {
    /// Reads values from the environment of this process and from files.
    pub fn online() -> Self {
        Self::default()
    }

    /// Reads nothing from outside: names stand for values.
    pub fn offline() -> Self {
        let (resolve, environment) = (Resolve::Placeholders, Environment::of([]));
        Self { resolve, environment, registry: RegistryLookup::offline(), ..Self::default() }
    }

    /// Reads what is needed to reach the log; names stand for the rest.
    pub fn connecting() -> Self {
        Self { resolve: Resolve::Connection, ..Self::default() }
    }

    /// The same for a process that runs only these parts.
    #[must_use]
    pub fn for_parts(self, parts: Parts) -> Self {
        Self { parts, ..self }
    }

    /// The same with what the command line says.
    #[must_use]
    pub fn with(self, overrides: &Overrides) -> Self {
        Self { overrides: overrides.clone(), ..self }
    }

    /// The same with a registry, also where values from outside are not read.
    #[must_use]
    pub fn with_registry(self, registry: RegistryLookup) -> Self {
        Self { registry, ..self }
    }
}

/// Loads and checks the topology file at `path`.
pub fn load(path: &Path, options: &LoadOptions) -> Result<Config, Diagnostics> {
    load_text(&read(path)?, path.parent(), options)
}

/// Loads just how the log is reached: faults elsewhere in the file do not matter. None: the embedded log.
pub fn load_kafka(path: &Path, options: &LoadOptions) -> Result<Option<Kafka>, Diagnostics> {
    let file = read(path)?;
    let mut faults = Vec::new();
    let table = parse::parse_kafka(&file, &mut faults);
    check::check_kafka(table, &file, path.parent(), options, faults)
}

/// Loads just how Telegram is reached: faults elsewhere in the file do not matter. None: the file has no `[telegram]`.
pub fn load_bot_api(path: &Path, options: &LoadOptions) -> Result<Option<BotApi>, Diagnostics> {
    let file = read(path)?;
    let mut faults = Vec::new();
    let table = parse::parse_telegram(&file, &mut faults);
    check::check_bot_api(table, &file, path.parent(), options, faults)
}

/// How the log is reached where there is no topology file.
pub fn kafka_without_file(options: &LoadOptions) -> Result<Option<Kafka>, Diagnostics> {
    check::check_kafka(None, &SourceFile::new("the command line", ""), None, options, Vec::new())
}

fn read(path: &Path) -> Result<SourceFile, Diagnostics> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(SourceFile::new(name, text)),
        Err(error) => {
            let hint = (error.kind() == std::io::ErrorKind::NotFound)
                .then(|| format!("name the topology file with --config FILE, or write {DEFAULT_PATH} here; `tidewatch demo` needs none"));
            Err(Diagnostics::whole(&name, "unreadable", format!("{name} cannot be read: {error}"), hint))
        }
    }
}

/// Loads the file at `path`; without one `topology.toml` of the working directory, and without that the one that ships.
pub fn load_or_shipped(path: Option<&Path>, options: &LoadOptions) -> Result<Config, Diagnostics> {
    let default = Path::new(DEFAULT_PATH);
    match path {
        Some(path) => load(path, options),
        None if default.exists() => load(default, options),
        None => shipped(options),
    }
}

/// Loads the topology file that ships.
pub fn shipped(options: &LoadOptions) -> Result<Config, Diagnostics> {
    load_text(&SourceFile::new("topology.toml (built in)", SHIPPED), None, options)
}

/// Checks the text of a topology file; `folder` is where its schemas and files are looked for.
pub fn load_text(file: &SourceFile, folder: Option<&Path>, options: &LoadOptions) -> Result<Config, Diagnostics> {
    let mut faults = Vec::new();
    let document = parse::parse(file, &mut faults);
    check::check(document, file, folder, options, faults)
}
