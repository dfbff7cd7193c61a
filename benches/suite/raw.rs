//! RocksDB by itself, as it is set up by default, written in batches without its own log: what a store would cost with nothing around it.

use std::path::Path;

use rocksdb::{DB, DBPinnableSlice, Options, WriteBatch, WriteOptions};

/// A database.
#[derive(Debug)]
pub(crate) struct Raw {
    db: DB,
}

impl Raw {
    pub(crate) fn open(path: &Path) -> Self {
        let mut options = Options::default();
        options.create_if_missing(true);
        Self { db: DB::open(&options, path).unwrap() }
    }

    pub(crate) fn get(&self, key: &str) -> Option<DBPinnableSlice<'_>> {
        self.db.get_pinned(key).unwrap()
    }

    /// One batch.
    pub(crate) fn write(&self, rows: impl Iterator<Item = (impl AsRef<[u8]>, impl AsRef<[u8]>)>) {
        let mut batch = WriteBatch::default();
        for (key, value) in rows {
            batch.put(key, value);
        }
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        self.db.write_opt(batch, &options).unwrap();
    }

    pub(crate) fn flush(&self) {
        self.db.flush().unwrap();
    }
}
