//! Bulk loading: sorted rows become a table file that RocksDB takes in as it is.

use std::path::Path;
use std::sync::atomic::Ordering;

use rocksdb::{IngestExternalFileOptions, SstFileWriter};

use super::{Error, Result, Rocks};
use crate::streams::kv::{Batch, Change, Durability, Kv};

const SUFFIX: &str = ".ingest";

/// Loads rows that are sorted by key; anything else is written as an ordinary batch.
pub(super) fn ingest(rocks: &Rocks, sorted: &Batch) -> Result<()> {
    let mut last: Option<&[u8]> = None;
    let mut plain = false;
    for change in sorted.changes() {
        let (Change::Put(key, _) | Change::Delete(key) | Change::DeleteRange(key, _)) = change;
        plain |= matches!(change, Change::DeleteRange(..)) || last.is_some_and(|last| last >= key);
        last = Some(key);
    }
    if plain {
        return rocks.write(sorted, Durability::Volatile);
    }
    if last.is_none() {
        return Ok(());
    }
    let number = rocks.ingests.fetch_add(1, Ordering::Relaxed);
    let file = rocks.path.join(format!("{number}{SUFFIX}"));
    let options = rocks.options.to_rocksdb();
    let mut writer = SstFileWriter::create(&options);
    let outcome = load(rocks, sorted, &mut writer, &file);
    if outcome.is_err() {
        // What is left of the file is of no use to anybody; the next open clears it if this fails too.
        std::fs::remove_file(&file).unwrap_or_default();
    }
    outcome
}

fn load(rocks: &Rocks, sorted: &Batch, writer: &mut SstFileWriter<'_>, file: &Path) -> Result<()> {
    let failed = |error| rocks.failed(error);
    writer.open(file).map_err(failed)?;
    for change in sorted.changes() {
        match change {
            Change::Put(key, value) => writer.put(key, value).map_err(failed)?,
            Change::Delete(key) => writer.delete(key).map_err(failed)?,
            Change::DeleteRange(..) => {
                let source = "a range cannot be ingested".into();
                return Err(Error::Failed { store: rocks.path.display().to_string(), source });
            }
        }
    }
    writer.finish().map_err(failed)?;
    let mut ingest = IngestExternalFileOptions::default();
    ingest.set_move_files(true);
    rocks.db.ingest_external_file_opts(&ingest, vec![file]).map_err(failed)
}

/// Removes what ingests of a dead process left.
pub(super) fn clear(path: &Path) {
    let Ok(entries) = std::fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().ends_with(SUFFIX) {
            // It only wastes space.
            std::fs::remove_file(entry.path()).unwrap_or_default();
        }
    }
}
