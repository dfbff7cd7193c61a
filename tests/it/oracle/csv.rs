//! A CSV reader and a clock reader of the oracle's own, so that a fault in the product's is not a fault here as well.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;

/// One row of a file of observations; none is an empty cell or a column that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Observation {
    /// Milliseconds since the Unix epoch.
    pub(crate) observed_at: i64,
    pub(crate) video_id: String,
    pub(crate) title: Option<String>,
    pub(crate) views: Option<i64>,
    pub(crate) likes: Option<i64>,
    pub(crate) comments: Option<i64>,
}

/// The text of a file, unpacked where its name ends in `.gz`.
pub(crate) fn text_of(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap();
    let mut text = String::new();
    if path.extension().is_some_and(|extension| extension == "gz") {
        flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(bytes).unwrap();
    }
    text
}

/// The observations of a file in which every row is good.
pub(crate) fn observations(text: &str) -> Vec<Observation> {
    let mut rows = rows(text).into_iter();
    let header = rows.next().expect("a header");
    rows.map(|row| {
        let mut cells: HashMap<&str, String> = header.iter().map(String::as_str).zip(row).filter(|(_, cell)| !cell.is_empty()).collect();
        let mut number = |name| cells.remove(name).map(|cell| cell.parse().unwrap());
        let (views, likes, comments) = (number("views"), number("likes"), number("comments"));
        Observation {
            observed_at: milliseconds(&cells["observed_at"]),
            video_id: cells["video_id"].clone(),
            title: cells.remove("title"),
            views,
            likes,
            comments,
        }
    })
    .collect()
}

/// The cells of each line, as RFC 4180 has them.
pub(crate) fn rows(text: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let cell = row.last_mut().unwrap();
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            c if quoted => cell.push(c),
            ',' => row.push(String::new()),
            '\r' => {}
            '\n' => rows.push(std::mem::replace(&mut row, vec![String::new()])),
            c => cell.push(c),
        }
    }
    if row != [""] {
        rows.push(row);
    }
    rows
}

/// Milliseconds since the Unix epoch of `2025-11-04T00:56:17.823Z`; the fraction may be absent.
pub(crate) fn milliseconds(time: &str) -> i64 {
    let number = |from: usize, to: usize| time[from..to].parse::<i64>().unwrap();
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let fraction = time[19..].trim_end_matches('Z').trim_start_matches('.');
    let millis = if fraction.is_empty() { 0 } else { format!("{fraction:0<3}")[..3].parse().unwrap() };
    // Days from the civil date, years beginning in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    ((days * 24 + number(11, 13)) * 60 + number(14, 16)) * 60_000 + number(17, 19) * 1000 + millis
}

#[test]
fn reads_quotes_and_line_ends() {
    assert_eq!(rows("a,b\r\n\"x,\"\"y\"\"\n\",\n,z"), [["a", "b"], ["x,\"y\"\n", ""], ["", "z"]]);
}

#[test]
fn reads_times() {
    assert_eq!(milliseconds("1970-01-01T00:00:00Z"), 0);
    assert_eq!(milliseconds("2025-11-04T00:56:17.823Z"), 1_762_217_777_823);
    assert_eq!(milliseconds("2024-02-29T12:00:00.5Z"), 1_709_208_000_500);
}
