//! `check`: says whether a topology file holds together, or everything that is wrong with it.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{self, Config, Diagnostics, LoadOptions, Severity, Style};

/// The exit code for a configuration that will not run however often it is started.
const REFUSED: u8 = 2;

/// Check a topology file and report all its faults at once
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// The topology file
    #[arg(long, value_name = "FILE", default_value = config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// Read no environment variables and no files named in values: their names stand for them
    #[arg(long)]
    pub offline: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Checks the file. The verdict goes to stdout, the faults of a file in words to stderr.
pub fn execute(args: &Args) -> io::Result<ExitCode> {
    let options = if args.offline { LoadOptions::offline() } else { LoadOptions::online() };
    let loaded = config::load(&args.config, &options);
    let code = if loaded.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) };
    let faults = match &loaded {
        Ok(config) => config.warnings(),
        Err(faults) => faults,
    };
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", to_json(loaded.as_ref().ok(), faults))?;
        return Ok(code);
    }
    io::stderr().lock().write_all(faults.render(Style::of_stderr()).as_bytes())?;
    if let Ok(config) = &loaded {
        writeln!(out, "{}: ok ({})", faults.file().name, size(config))?;
    }
    Ok(code)
}

/// `1 source, 4 processors, 2 sinks, 2 stores`.
fn size(config: &Config) -> String {
    let counts = [
        (config.sources.len(), "source"),
        (config.processors.len(), "processor"),
        (config.sinks.len(), "sink"),
        (config.stores().count(), "store"),
    ];
    let words: Vec<String> = counts.iter().map(|(count, word)| format!("{count} {word}{}", if *count == 1 { "" } else { "s" })).collect();
    words.join(", ")
}

fn to_json(config: Option<&Config>, faults: &Diagnostics) -> serde_json::Value {
    serde_json::json!({
        "file": &*faults.file().name,
        "ok": config.is_some(),
        "errors": faults.count(Severity::Error),
        "warnings": faults.count(Severity::Warning),
        "faults": faults.to_json(),
        "nodes": config.map(|config| serde_json::json!({
            "sources": config.sources.iter().map(|it| &*it.name).collect::<Vec<_>>(),
            "processors": config.processors.iter().map(|it| &*it.name).collect::<Vec<_>>(),
            "sinks": config.sinks.iter().map(|it| &*it.name).collect::<Vec<_>>(),
            "stores": config.stores().collect::<Vec<_>>(),
        })),
    })
}
