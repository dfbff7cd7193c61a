//! Recorded observations: not part of the repository, found where `TIDEWATCH_DATA` says. Without it the tests that need them are
//! skipped, loudly; with `TIDEWATCH_REQUIRE_DATA=1` they fail instead.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::oracle::csv;

static SKIPPED: AtomicUsize = AtomicUsize::new(0);

/// A file of the data; none where the calling test is to be skipped.
pub(crate) fn file(name: &str) -> Option<PathBuf> {
    let found = std::env::var_os("TIDEWATCH_DATA").map(|folder| PathBuf::from(folder).join(name)).filter(|path| path.is_file());
    if found.is_none() {
        let required = std::env::var("TIDEWATCH_REQUIRE_DATA").is_ok_and(|value| value == "1");
        assert!(!required, "TIDEWATCH_REQUIRE_DATA is set, but TIDEWATCH_DATA names no directory with {name}");
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let count = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
        // Past the harness, which holds back what passing tests print.
        let note = format!("SKIPPED ({count} so far): {test} needs {name}; say where it lies with TIDEWATCH_DATA\n");
        std::io::Write::write_all(&mut std::io::stderr(), note.as_bytes()).unwrap();
    }
    found
}

/// Daily snapshots of trending videos.
pub(crate) fn trending() -> Option<String> {
    file("us_trending_2025-11.csv.gz").map(|path| csv::text_of(&path))
}

/// A playlist, polled for two days; views only.
pub(crate) fn playlist() -> Option<String> {
    file("playlist_2026-08.csv").map(|path| csv::text_of(&path))
}

/// The same observations, with no value where likes or comments were 0.
pub(crate) fn hide_zeros(text: &str) -> String {
    let mut rows = csv::rows(text).into_iter();
    let header = rows.next().unwrap();
    let hidden: Vec<bool> = header.iter().map(|name| name == "likes" || name == "comments").collect();
    let mut blanked = header.join(",");
    for row in rows {
        let cells = row.into_iter().zip(&hidden).map(|(cell, &hidden)| if hidden && cell == "0" { String::new() } else { cell });
        blanked.push('\n');
        blanked.push_str(&cells.collect::<Vec<_>>().join(","));
    }
    blanked.push('\n');
    blanked
}
