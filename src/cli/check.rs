//! `check`: says whether a topology file holds together, or everything that is wrong with it.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{self, Config, Diagnostics, LoadOptions, Overrides, Severity, Style};

/// The exit code for a configuration that will not run however often it is started.
const REFUSED: u8 = 2;

/// Check a topology file and report all its faults at once
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// The topology file: the command line has it among the flags of all commands
    #[arg(skip)]
    pub config: PathBuf,
    /// What the command line says of the cluster: among the flags of all commands as well
    #[arg(skip)]
    pub overrides: Overrides,
    /// Read no environment variables and no files that values name: the names stand for them
    #[arg(long)]
    pub offline: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Checks the file: exit 0 where `run` would take it, else 2. The verdict goes to stdout, faults in words to stderr.
pub fn execute(args: &Args) -> io::Result<ExitCode> {
    let options = if args.offline { LoadOptions::offline() } else { LoadOptions::online() }.with(&args.overrides);
    let verdict = Verdict::of(&config::load(&args.config, &options), args.json, Style::of_stderr());
    io::stderr().lock().write_all(verdict.talk.as_bytes())?;
    io::stdout().lock().write_all(verdict.data.as_bytes())?;
    Ok(ExitCode::from(verdict.code))
}

/// What the command has to say.
#[derive(Debug)]
struct Verdict {
    data: String,
    talk: String,
    code: u8,
}

impl Verdict {
    fn of(loaded: &Result<Config, Diagnostics>, json: bool, style: Style) -> Self {
        let (config, faults, code) = match loaded {
            Ok(config) => (Some(config), config.warnings(), 0),
            Err(faults) => (None, faults, REFUSED),
        };
        if json {
            return Self { data: format!("{}\n", to_json(config, faults)), talk: String::new(), code };
        }
        let data = config.map(|config| format!("{}: ok ({})\n", faults.file().name, size(config))).unwrap_or_default();
        Self { data, talk: faults.render(style), code }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped() -> Result<Config, Diagnostics> {
        config::shipped(&LoadOptions::offline())
    }

    fn broken() -> Result<Config, Diagnostics> {
        let text = config::SHIPPED.replace("every   = 200", "evry    = 200");
        config::load_text(&config::SourceFile::new("t.toml", text), None, &LoadOptions::offline())
    }

    #[test]
    fn a_good_file_is_ok_and_its_size_is_said() {
        let verdict = Verdict::of(&shipped(), false, Style::Plain);
        insta::assert_snapshot!(format!("{}{}", verdict.talk, verdict.data), @r"topology.toml (built in): ok (1 source, 4 processors, 2 sinks, 2 stores)");
        assert_eq!(verdict.code, 0);
    }

    #[test]
    fn a_bad_file_is_refused_and_stdout_stays_empty() {
        let verdict = Verdict::of(&broken(), false, Style::Plain);
        insta::assert_snapshot!(verdict.talk, @r"
      x [processors.views] has no key `evry`
        ,-[t.toml:59:1]
     59 | evry    = 200
        : ^^|^
        :   `-- not known here
        `----
      help: did you mean `every`?

    t.toml: 1 error
    ");
        assert_eq!((verdict.data.as_str(), verdict.code), ("", 2));
    }

    #[test]
    fn json_has_places_and_codes() {
        let verdict = Verdict::of(&broken(), true, Style::Plain);
        insta::assert_snapshot!(verdict.data, @r#"{"errors":1,"faults":[{"code":"unknown-key","column":1,"end_column":5,"end_line":59,"hint":"did you mean `every`?","line":59,"message":"[processors.views] has no key `evry`","severity":"error"}],"file":"t.toml","nodes":null,"ok":false,"warnings":0}"#);
        assert_eq!((verdict.talk.as_str(), verdict.code), ("", 2));
        let verdict = Verdict::of(&shipped(), true, Style::Plain);
        insta::assert_snapshot!(verdict.data, @r#"{"errors":0,"faults":[],"file":"topology.toml (built in)","nodes":{"processors":["changes","likes","comments","views"],"sinks":["changes","outbox"],"sources":["videos"],"stores":["changes","views"]},"ok":true,"warnings":0}"#);
    }
}
