//! Fuzz targets: files of observations, what is said through the socket, what lies beside committed offsets.

use std::io::Cursor;

use super::observations::{Observations, Row};
use super::socket::{Request, Response};
use super::{import, letters};

/// A file of observations, plain or gzip.
pub(crate) fn csv(input: &[u8]) {
    let mut file = match Observations::of("t.csv".to_owned(), Box::new(Cursor::new(input.to_vec()))) {
        Ok(file) => file,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let mut line_before = 0;
    // A gzip bomb has rows without end: enough is enough.
    for _ in 0..100_000 {
        match file.next_row() {
            Ok(Some(Row::Observation(observation))) => {
                assert!(!observation.video_id.is_empty());
                assert!([observation.views, observation.likes, observation.comments].into_iter().flatten().all(|count| count >= 0));
            }
            Ok(Some(Row::Bad(bad))) => {
                // Rows may end with a carriage return alone, which begins no line.
                assert!(bad.line >= line_before, "line {} behind line {line_before}", bad.line);
                line_before = bad.line;
                assert!(!bad.fault.to_string().is_empty());
            }
            Ok(None) | Err(_) => return,
        }
    }
}

/// A request to the owner of an embedded log, and an answer of one.
pub(crate) fn socket(input: &[u8]) {
    if let Ok(request) = serde_json::from_slice::<Request>(input) {
        let text = serde_json::to_string(&request).unwrap_or_else(|error| panic!("{error}"));
        let again = serde_json::from_str::<Request>(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(format!("{again:?}"), format!("{request:?}"));
    }
    if let Ok(response) = serde_json::from_slice::<Response>(input) {
        let text = serde_json::to_string(&response).unwrap_or_else(|error| panic!("{error}"));
        let again = serde_json::from_str::<Response>(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(format!("{again:?}"), format!("{response:?}"));
    }
}

/// A dead letter.
pub(crate) fn letter(input: &[u8]) {
    letters::fuzz::letter(input);
}

/// An offset, and the text beside it: of a replay of dead letters, and of an import.
pub(crate) fn offsets(input: &[u8]) {
    let Some((offset, text)) = input.split_first_chunk::<8>() else { return };
    let text = String::from_utf8_lossy(text);
    letters::fuzz::progress(i64::from_be_bytes(*offset), &text);
    import::fuzz(&text);
}
