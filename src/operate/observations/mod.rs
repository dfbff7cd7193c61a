//! Files of observations: CSV, plain or gzip, read as a stream in bounded memory, columns by their names.
//!
//! A row that cannot be used is handed out with its line and its raw bytes; the rest goes on. A stray quote would swallow all that follows: a row
//! that spans lines and has the wrong number of columns, or that grows too long, is given up at the end of its first line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use csv::ByteRecord;
use flate2::read::MultiGzDecoder;
use xxhash_rust::xxh3::Xxh3;

use crate::streams::clock::Timestamp;

/// A longer row is a bad one.
const ROW_BYTES_MAX: usize = 64 << 10;

/// The columns that are read; the first two must be there.
const COLUMNS: [&str; 6] = ["observed_at", "video_id", "views", "likes", "comments", "title"];

/// Why a file cannot be read (any further).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be opened or read.
    #[error("{path} cannot be read")]
    Io {
        /// The file.
        path: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// It is a directory, a pipe or the like.
    #[error("{path} is not a regular file")]
    NotAFile {
        /// The file.
        path: String,
    },
    /// There is not even a header.
    #[error("{path} is empty, a line of column names was expected")]
    Empty {
        /// The file.
        path: String,
    },
    /// A column that must be there is not.
    #[error("{path} has no column {column}; its columns are: {found}")]
    MissingColumn {
        /// The file.
        path: String,
        /// The column.
        column: &'static str,
        /// The columns that are there.
        found: String,
    },
    /// Two columns have the same name.
    #[error("{path} has the column {column} twice")]
    RepeatedColumn {
        /// The file.
        path: String,
        /// The column.
        column: &'static str,
    },
}

impl Error {
    /// Whether another file would do; otherwise reading this one again may.
    pub fn is_by_user(&self) -> bool {
        match self {
            Self::Io { source, .. } => matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied),
            _ => true,
        }
    }
}

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not as many cells as there are columns.
    #[error("{found} cells, but there are {expected} columns")]
    Cells {
        /// The cells.
        found: usize,
        /// The columns.
        expected: usize,
    },
    /// Longer than a row may be.
    #[error("longer than {ROW_BYTES_MAX} bytes, or a quote that is never closed")]
    TooLong,
    /// A cell that must not be empty.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// A cell that is no text.
    #[error("{0} is not UTF-8 text")]
    NotText(&'static str),
    /// A cell that is no time.
    #[error("observed_at is not a time: \"{0}\"")]
    NotATime(String),
    /// A cell that is no count.
    #[error("{column} is not a whole number: \"{cell}\"")]
    NotACount {
        /// The column.
        column: &'static str,
        /// The cell.
        cell: String,
    },
}

/// One observation of a video; none is what the file is silent about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the columns")]
pub struct Observation<'a> {
    pub observed_at: Timestamp,
    pub video_id: &'a str,
    pub title: Option<&'a str>,
    pub views: Option<i64>,
    pub likes: Option<i64>,
    pub comments: Option<i64>,
}

/// A row that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow<'a> {
    /// The line on which it begins, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub fault: Fault,
    /// Its bytes, without the line's end.
    pub raw: &'a [u8],
}

/// One row of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row<'a> {
    /// A good one.
    Observation(Observation<'a>),
    /// A bad one.
    Bad(BadRow<'a>),
}

/// The hash of a file's bytes as 32 hexadecimal digits: what an import is known by.
pub fn content_hash(path: &Path) -> Result<String, Error> {
    let mut file = open(path)?;
    let mut hash = Xxh3::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = file.read(&mut buffer).map_err(|source| unreadable(path, source))?;
        if length == 0 {
            return Ok(format!("{:032x}", hash.digest128()));
        }
        hash.update(buffer.get(..length).unwrap_or_default());
    }
}

fn open(path: &Path) -> Result<File, Error> {
    let file = File::open(path).map_err(|source| unreadable(path, source))?;
    let metadata = file.metadata().map_err(|source| unreadable(path, source))?;
    if metadata.is_file() { Ok(file) } else { Err(Error::NotAFile { path: path.display().to_string() }) }
}

fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::Io { path: path.display().to_string(), source }
}

/// Reads a file row by row.
pub struct Observations {
    path: String,
    csv: csv::Reader<Recorder>,
    record: ByteRecord,
    /// Places of [`COLUMNS`] in a record.
    places: [Option<usize>; COLUMNS.len()],
    columns: usize,
    /// The first line that `csv` saw, less one.
    lines_before: u64,
    raw: Vec<u8>,
}

impl std::fmt::Debug for Observations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observations").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Observations {
    /// Opens a file, gzip or not, and reads its header. `on_bytes` hears how many bytes of the file were read, for a progress bar.
    pub fn open(path: &Path, on_bytes: Box<dyn FnMut(u64) + Send>) -> Result<Self, Error> {
        Self::of(path.display().to_string(), Box::new(Counted { file: open(path)?, on_bytes }))
    }

    /// The same for the bytes of a file.
    pub(super) fn of(path: String, file: Box<dyn Read + Send>) -> Result<Self, Error> {
        let mut reader = BufReader::with_capacity(64 << 10, file);
        let begin = reader.fill_buf().map_err(|source| Error::Io { path: path.clone(), source })?;
        let zipped = begin.starts_with(&[0x1f, 0x8b]);
        let reader: Box<dyn Read + Send> = if zipped { Box::new(MultiGzDecoder::new(reader)) } else { Box::new(reader) };
        Self::read(path, reader)
    }

    fn read(path: String, reader: Box<dyn Read + Send>) -> Result<Self, Error> {
        let csv = csv_reader(Recorder::of(Vec::new(), reader));
        let (record, raw) = (ByteRecord::new(), Vec::new());
        let mut this = Self { path, csv, record, places: [None; COLUMNS.len()], columns: 0, lines_before: 0, raw };
        if !this.csv.read_byte_record(&mut this.record).map_err(|error| this.failed(error))? {
            return Err(Error::Empty { path: this.path });
        }
        this.header()?;
        Ok(this)
    }

    fn header(&mut self) -> Result<(), Error> {
        let names: Vec<String> = self.record.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect();
        self.columns = names.len();
        for (place, column) in self.places.iter_mut().zip(COLUMNS) {
            *place = names.iter().position(|name| name == column);
            if names.iter().filter(|name| *name == column).count() > 1 {
                return Err(Error::RepeatedColumn { path: self.path.clone(), column });
            }
        }
        let missing = COLUMNS.into_iter().zip(self.places).take(2).find(|(_, place)| place.is_none());
        match missing {
            Some((column, _)) => Err(Error::MissingColumn { path: self.path.clone(), column, found: names.join(", ") }),
            None => Ok(()),
        }
    }

    /// The next row; none at the end of the file.
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>, Error> {
        let start = self.csv.position().byte();
        let line = self.csv.position().line();
        self.csv.get_mut().forget(start);
        match self.csv.read_byte_record(&mut self.record) {
            Ok(false) => return Ok(None),
            Ok(true) => {}
            Err(_) if self.csv.get_ref().too_long => return Ok(Some(self.give_up(start, line, Fault::TooLong))),
            Err(error) => return Err(self.failed(error)),
        }
        let end = self.csv.position().byte();
        let (skipped, raw) = trim_lines(self.csv.get_ref().between(start, end));
        let fault = if self.record.len() == self.columns {
            match observation(&self.record, &self.places) {
                Ok(observation) => return Ok(Some(Row::Observation(observation))),
                Err(fault) => fault,
            }
        } else {
            let fault = Fault::Cells { found: self.record.len(), expected: self.columns };
            if raw.contains(&b'\n') {
                return Ok(Some(self.give_up(start, line, fault)));
            }
            fault
        };
        self.raw.clear();
        self.raw.extend_from_slice(raw);
        Ok(Some(Row::Bad(BadRow { line: self.lines_before + line + skipped, fault, raw: &self.raw })))
    }

    /// Hands out the first line of what was read as a bad row, and reads on after it with a new CSV reader.
    fn give_up(&mut self, start: u64, line: u64, fault: Fault) -> Row<'_> {
        let nothing = csv_reader(Recorder::of(Vec::new(), Box::new(io::empty())));
        let recorder = std::mem::replace(&mut self.csv, nothing).into_inner();
        let kept = recorder.between(start, u64::MAX);
        let (skipped, _) = trim_lines(kept);
        let blank = kept.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let text = kept.get(blank..).unwrap_or_default();
        // A line without end: what was read of it goes, and what follows of it will be a bad row again.
        let length = text.iter().position(|&byte| byte == b'\n').map_or(text.len(), |at| at + 1);
        let (first, rest) = text.split_at_checked(length).unwrap_or((text, &[]));
        self.raw.clear();
        self.raw.extend_from_slice(first.trim_ascii_end());
        let mut ahead = rest.to_vec();
        ahead.extend_from_slice(recorder.ahead.get(recorder.ahead_read..).unwrap_or_default());
        let line = self.lines_before + line + skipped;
        self.lines_before = line;
        self.csv = csv_reader(Recorder::of(ahead, recorder.reader));
        Row::Bad(BadRow { line, fault, raw: &self.raw })
    }

    fn failed(&self, error: csv::Error) -> Error {
        let source = match error.into_kind() {
            csv::ErrorKind::Io(source) => source,
            kind => io::Error::other(format!("{kind:?}")),
        };
        Error::Io { path: self.path.clone(), source }
    }
}

fn csv_reader(recorder: Recorder) -> csv::Reader<Recorder> {
    csv::ReaderBuilder::new().has_headers(false).flexible(true).buffer_capacity(16 << 10).from_reader(recorder)
}

/// Line breaks before a row (blank lines, the second byte of a CRLF), and the row without line breaks around it.
fn trim_lines(raw: &[u8]) -> (u64, &[u8]) {
    let before = raw.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let (blank, row) = raw.split_at_checked(before).unwrap_or((raw, &[]));
    let lines: u64 = blank.iter().map(|&byte| u64::from(byte == b'\n')).sum();
    let after = row.iter().rev().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    (lines, row.get(..row.len() - after).unwrap_or_default())
}

fn observation<'a>(record: &'a ByteRecord, places: &[Option<usize>; COLUMNS.len()]) -> Result<Observation<'a>, Fault> {
    let [observed_at, video_id, views, likes, comments, title] = *places;
    let [at_name, id_name, views_name, likes_name, comments_name, title_name] = COLUMNS;
    Ok(Observation {
        observed_at: time(cell(record, observed_at, at_name)?.ok_or(Fault::Empty(at_name))?)?,
        video_id: cell(record, video_id, id_name)?.ok_or(Fault::Empty(id_name))?,
        views: count(cell(record, views, views_name)?, views_name)?,
        likes: count(cell(record, likes, likes_name)?, likes_name)?,
        comments: count(cell(record, comments, comments_name)?, comments_name)?,
        title: cell(record, title, title_name)?,
    })
}

/// A cell without white space around it; none where it is empty or absent.
fn cell<'a>(record: &'a ByteRecord, place: Option<usize>, column: &'static str) -> Result<Option<&'a str>, Fault> {
    let Some(bytes) = place.and_then(|place| record.get(place)) else { return Ok(None) };
    let text = std::str::from_utf8(bytes).map_err(|_| Fault::NotText(column))?.trim();
    Ok((!text.is_empty()).then_some(text))
}

/// RFC 3339, or milliseconds since the Unix epoch.
pub(crate) fn time(text: &str) -> Result<Timestamp, Fault> {
    if let Ok(millis) = text.parse() {
        return Ok(Timestamp(millis));
    }
    let parsed: Result<jiff::Timestamp, _> = text.parse();
    parsed.map(|at| Timestamp(at.as_millisecond())).map_err(|_| Fault::NotATime(shortened(text)))
}

/// A count; spreadsheets and data frames write whole numbers as `12.0` where a column has empty cells.
fn count(text: Option<&str>, column: &'static str) -> Result<Option<i64>, Fault> {
    let Some(text) = text else { return Ok(None) };
    let whole = match text.split_once('.') {
        Some((whole, zeros)) if zeros.bytes().all(|byte| byte == b'0') => whole,
        _ => text,
    };
    match whole.parse() {
        Ok(count) if count >= 0 => Ok(Some(count)),
        _ => Err(Fault::NotACount { column, cell: shortened(text) }),
    }
}

/// A cell as a message shows it.
fn shortened(text: &str) -> String {
    const SHOWN_MAX: usize = 60;
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Tells how many bytes of a file were read so far.
struct Counted {
    file: File,
    on_bytes: Box<dyn FnMut(u64) + Send>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(into)?;
        (self.on_bytes)(length as u64);
        Ok(length)
    }
}

/// Keeps the bytes of the row that is being read, and refuses to read a row without end.
struct Recorder {
    /// What is read before `reader`: lines that were read already, but as part of a row that was given up.
    ahead: Vec<u8>,
    ahead_read: usize,
    reader: Box<dyn Read + Send>,
    kept: Vec<u8>,
    /// Where in the stream the current row begins.
    start: u64,
    /// Bytes of the stream before `kept`.
    forgotten: u64,
    too_long: bool,
}

impl Recorder {
    fn of(ahead: Vec<u8>, reader: Box<dyn Read + Send>) -> Self {
        Self { ahead, ahead_read: 0, reader, kept: Vec::new(), start: 0, forgotten: 0, too_long: false }
    }

    /// A row begins at this place of the stream.
    fn forget(&mut self, start: u64) {
        self.start = start;
        let before = usize::try_from(start.saturating_sub(self.forgotten)).unwrap_or(usize::MAX).min(self.kept.len());
        // Moving what is left costs: not for every row.
        if before >= ROW_BYTES_MAX / 2 {
            self.kept.drain(..before);
            self.forgotten = start;
        }
    }

    fn between(&self, start: u64, end: u64) -> &[u8] {
        let place = |at: u64| usize::try_from(at.saturating_sub(self.forgotten)).unwrap_or(usize::MAX).min(self.kept.len());
        self.kept.get(place(start)..place(end)).unwrap_or_default()
    }
}

impl Read for Recorder {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.between(self.start, u64::MAX).len() > ROW_BYTES_MAX {
            self.too_long = true;
            return Err(io::Error::other("a row without end"));
        }
        let mut ahead = self.ahead.get(self.ahead_read..).unwrap_or_default();
        let length = if ahead.is_empty() { self.reader.read(into)? } else { ahead.read(into)? };
        self.ahead_read = (self.ahead_read + length).min(self.ahead.len());
        self.kept.extend_from_slice(into.get(..length).unwrap_or_default());
        Ok(length)
    }
}

#[cfg(test)]
mod tests;
