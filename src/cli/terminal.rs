//! Standard output for data, standard error for talk and progress.

use std::io::{self, BufRead, BufWriter, IsTerminal, Stdout, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;

use super::{Error, Result, redaction};
use crate::operate::import::Watch;
use crate::operate::observations::Fault;
use crate::streams::clock::Clock;

use super::shutdown::Shutdown;

/// How often a line about the progress appears where there is no bar.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Standard output; a reader that went away ends the command.
#[derive(Debug)]
pub(crate) struct Out {
    to: BufWriter<Stdout>,
    terminal: bool,
}

impl Out {
    pub(crate) fn new() -> Self {
        let to = io::stdout();
        let terminal = to.is_terminal();
        Self { to: BufWriter::new(to), terminal }
    }

    /// A line of data. A terminal gets no control characters: data must not command it.
    pub(crate) fn line(&mut self, text: &str) -> Result {
        let written = if self.terminal && text.contains(|c: char| c.is_control()) {
            writeln!(self.to, "{}", text.replace(|c: char| c.is_control(), " "))
        } else {
            writeln!(self.to, "{text}")
        };
        written.map_err(Error::output)
    }

    pub(crate) fn flush(&mut self) -> Result {
        self.to.flush().map_err(Error::output)
    }
}

/// A line of talk.
pub(crate) fn say(text: &str) {
    // Where standard error is closed there is nobody to talk to.
    writeln!(redaction::stderr(), "{text}").unwrap_or_default();
}

/// Asks whether to go on; where nobody can be asked, or the answer is no, that is an error.
pub(crate) fn confirm() -> Result {
    if !io::stdin().is_terminal() {
        return Err(Error::user("nobody can be asked: standard input is not a terminal").hinted("--yes does it without asking."));
    }
    let mut answer = String::new();
    let mut talk = io::stderr().lock();
    let asked = write!(talk, "Go on? [y/N] ").and_then(|()| talk.flush()).and_then(|()| io::stdin().lock().read_line(&mut answer));
    asked.map_err(Error::unavailable)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Error::user("not confirmed; nothing was changed")),
    }
}

/// How far a long piece of work is: a bar on a terminal, now and then a line elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    lines: Option<Arc<Lines>>,
}

#[derive(Debug)]
struct Lines {
    clock: Arc<dyn Clock>,
    label: String,
    last: Mutex<Duration>,
}

impl Progress {
    /// Progress towards `total`, of bytes or of records.
    pub(crate) fn new(label: &str, total: u64, bytes: bool, clock: &Arc<dyn Clock>) -> Self {
        if !io::stderr().is_terminal() {
            let last = Mutex::new(clock.monotonic());
            return Self {
                bar: ProgressBar::hidden(),
                lines: Some(Arc::new(Lines { clock: Arc::clone(clock), label: label.to_owned(), last })),
            };
        }
        let template =
            if bytes { "{msg} {wide_bar} {bytes}/{total_bytes} {eta}" } else { "{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}" };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(total).with_style(style).with_message(label.to_owned());
        Self { bar, lines: None }
    }

    pub(crate) fn advance(&self, by: u64) {
        self.bar.inc(by);
    }

    pub(crate) fn reach(&self, position: u64) {
        self.bar.set_position(position);
    }

    /// So much is done; a line where that is due.
    pub(crate) fn note(&self, text: &str) {
        let Some(lines) = &self.lines else { return };
        let now = lines.clock.monotonic();
        let mut last = lines.last.lock();
        if now.saturating_sub(*last) >= LINE_INTERVAL {
            *last = now;
            say(&format!("{}: {text}", lines.label));
        }
    }

    /// A line of talk beside the bar.
    pub(crate) fn say(&self, text: &str) {
        self.bar.suspend(|| say(text));
    }

    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// Tells about an import, whoever does it.
#[derive(Debug)]
pub(crate) struct ImportTalk {
    pub(crate) file: String,
    pub(crate) progress: Progress,
    pub(crate) shutdown: Shutdown,
}

impl ImportTalk {
    pub(crate) fn new(path: &Path, clock: &Arc<dyn Clock>, shutdown: &Shutdown) -> Self {
        let total = path.metadata().map_or(0, |metadata| metadata.len());
        let progress = Progress::new("importing", total, true, clock);
        Self { file: path.display().to_string(), progress, shutdown: shutdown.clone() }
    }

    /// A row is bad.
    pub(crate) fn bad_row(&self, line: u64, fault: &str) {
        self.progress.say(&format!("{}:{line}: {fault} (the row went to the dead letters)", self.file));
    }

    /// So many rows are done.
    pub(crate) fn committed(&self, rows: u64) {
        self.progress.note(&format!("{rows} rows"));
    }
}

impl Watch for ImportTalk {
    fn bad_row(&mut self, line: u64, fault: &Fault) {
        Self::bad_row(self, line, &fault.to_string());
    }

    fn committed(&mut self, rows: u64) {
        Self::committed(self, rows);
    }

    fn stop(&self) -> bool {
        self.shutdown.requested()
    }
}
