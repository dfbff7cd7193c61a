//! Appends a file of observations to the topic of a source: in transactions, each with the row up to which the file is done.
//!
//! The position is kept under the hash of the file's content. So an import that was killed goes on where it was, and a file that was imported
//! appends nothing a second time, whatever it is called now.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::append::{self, Appender, Target};
use super::observations::{self, BadRow, Fault, Observation, Observations, Row as FileRow};
use crate::avro::{Field, Registry, Row, Shape, Type, Value};
use crate::streams::clock::Timestamp;
use crate::streams::log::{HeadersBuf, Log};
use crate::streams::task::put_error_header;

/// Rows of one transaction.
const TRANSACTION_ROWS_MAX: u64 = 5_000;

/// Why an import ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] observations::Error),
    /// The topic cannot be written.
    #[error(transparent)]
    Append(#[from] append::Error),
}

/// What became of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Appended to the topic.
    pub observations: u64,
    /// Gone to the dead letters.
    pub bad_rows: u64,
}

impl Counts {
    fn rows(self) -> u64 {
        self.observations.saturating_add(self.bad_rows)
    }
}

/// What became of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// By earlier imports of the same content.
    pub before: Counts,
    /// By this one.
    pub now: Counts,
    /// Whether the end of the file was reached.
    pub complete: bool,
}

/// What is kept beside the position.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Position {
    #[serde(flatten)]
    counts: Counts,
    complete: bool,
}

/// For the fuzz targets: what lies beside a position, and what is counted on from it.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(text: &str) {
    let position: Position = serde_json::from_str(text).unwrap_or_default();
    let rows = position.counts.rows();
    assert!(rows >= position.counts.observations && rows >= position.counts.bad_rows);
}

/// Who watches an import.
pub trait Watch {
    /// A row went to the dead letters.
    fn bad_row(&mut self, line: u64, fault: &Fault);
    /// So many rows of the file are committed.
    fn committed(&mut self, rows: u64);
    /// Whether to stop after the next commit.
    fn stop(&self) -> bool;
}

/// The fields of an observation as a row.
pub fn shape() -> Shape {
    let fields = [("title", Type::String), ("views", Type::Long), ("likes", Type::Long), ("comments", Type::Long)];
    Shape { fields: fields.into_iter().map(|(path, ty)| Field::new(path, ty, true)).collect() }
}

fn fill(row: &mut Row, observation: &Observation<'_>) {
    let [title, views, likes, comments] = row.values.as_mut_slice() else { return };
    match observation.title {
        Some(text) => title.set_str(text),
        None => *title = Value::Null,
    }
    for (value, count) in [(views, observation.views), (likes, observation.likes), (comments, observation.comments)] {
        *value = count.map_or(Value::Null, Value::Long);
    }
}

/// What is read, and where it goes.
#[derive(Debug)]
pub struct Import<'a> {
    /// The log.
    pub log: &'a dyn Log,
    /// Takes the schema of the values.
    pub registry: &'a dyn Registry,
    /// The topic.
    pub target: &'a Target,
    /// The file.
    pub path: &'a Path,
}

impl Import<'_> {
    /// Appends what earlier imports of the same content did not. `on_bytes` hears how much of the file was read.
    pub fn run(&self, on_bytes: Box<dyn FnMut(u64) + Send>, watch: &mut dyn Watch) -> Result<Outcome, Error> {
        let hash = observations::content_hash(self.path)?;
        // A file that cannot be used must not leave anything behind.
        let mut file = Observations::open(self.path, on_bytes)?;
        let name = format!("import-{hash}");
        let (mut appender, committed) = Appender::open(self.log, self.registry, self.target, &shape(), &name)?;
        let position: Position = committed.and_then(|committed| serde_json::from_str(&committed.metadata).ok()).unwrap_or_default();
        let mut outcome = Outcome { before: position.counts, now: Counts::default(), complete: position.complete };
        if position.complete {
            return Ok(outcome);
        }
        let file_name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let session = Session { appender: &mut appender, topic: &self.target.topic, file_name, before: position.counts, watch };
        (outcome.now, outcome.complete) = session.run(&mut file)?;
        Ok(outcome)
    }
}

/// One run through a file.
struct Session<'a> {
    appender: &'a mut Appender,
    topic: &'a str,
    file_name: String,
    before: Counts,
    watch: &'a mut dyn Watch,
}

impl Session<'_> {
    /// What was appended, and whether that is all.
    fn run(mut self, file: &mut Observations) -> Result<(Counts, bool), Error> {
        let mut row = Row::of(&shape());
        let mut headers = HeadersBuf::default();
        let mut now = Counts::default();
        let (mut rows, mut last) = (0, Timestamp::default());
        while let Some(found) = file.next_row()? {
            rows += 1;
            let is_new = rows > self.before.rows();
            match found {
                FileRow::Observation(observation) => {
                    // Bad rows take the time of the row before them, whether it was appended now or earlier.
                    last = observation.observed_at;
                    if is_new {
                        fill(&mut row, &observation);
                        self.appender.append(observation.video_id, Some(&row), last)?;
                        now.observations += 1;
                    }
                }
                FileRow::Bad(bad) if is_new => {
                    self.watch.bad_row(bad.line, &bad.fault);
                    self.describe(&bad, &mut headers);
                    self.appender.dead_letter(bad.raw, &headers, last)?;
                    now.bad_rows += 1;
                }
                FileRow::Bad(_) => {}
            }
            if is_new && now.rows().is_multiple_of(TRANSACTION_ROWS_MAX) && self.commit(now, false)? {
                return Ok((now, false));
            }
        }
        self.commit(now, true)?;
        Ok((now, true))
    }

    /// Commits; returns whether to stop.
    fn commit(&mut self, now: Counts, complete: bool) -> Result<bool, Error> {
        let observations = self.before.observations.saturating_add(now.observations);
        let counts = Counts { observations, bad_rows: self.before.bad_rows.saturating_add(now.bad_rows) };
        let metadata = serde_json::to_string(&Position { counts, complete }).unwrap_or_default();
        self.appender.commit(i64::try_from(counts.rows()).unwrap_or(i64::MAX), &metadata)?;
        self.watch.committed(counts.rows());
        Ok(self.watch.stop())
    }

    /// The headers of KIP-1034, with the place in the file: there is no source record to point to.
    fn describe(&self, bad: &BadRow<'_>, headers: &mut HeadersBuf) {
        headers.clear();
        let place = format!("{}:{}", self.file_name, bad.line);
        let message = bad.fault.to_string();
        let mut put = |name: &str, value: &str| put_error_header(headers, name, value);
        put("exception", "BadRow");
        put("stacktrace", &format!("{place}: {message}"));
        put("message", &message);
        put("topic", self.topic);
        put("partition", "-1");
        put("offset", "-1");
        headers.push("tidewatch.import.file", Some(self.file_name.as_bytes()));
        headers.push("tidewatch.import.line", Some(bad.line.to_string().as_bytes()));
    }
}

#[cfg(test)]
mod tests;
