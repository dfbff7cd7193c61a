//! The only place that names rocksdb.

use super::kv::{Batch, Direction, Durability, Error, Kv, Result, Visit};

/// Placeholder until the storage lands.
#[derive(Debug, Clone)]
pub struct Options {}

/// Placeholder until the storage lands.
#[derive(Debug)]
pub struct Rocks {}

fn not_yet<T>() -> Result<T> {
    Err(Error::Failed { store: "rocks".to_owned(), source: "not there yet".into() })
}

impl Rocks {
    /// Opens a directory.
    pub fn open(_path: &std::path::Path, _options: &Options) -> Result<Self> {
        not_yet()
    }
}

impl Kv for Rocks {
    fn get(&self, _key: &[u8], _value: &mut Vec<u8>) -> Result<bool> {
        not_yet()
    }

    fn write(&self, _batch: &Batch, _durability: Durability) -> Result<()> {
        not_yet()
    }

    fn scan(&self, _from: &[u8], _to: Option<&[u8]>, _direction: Direction, _visit: &mut Visit<'_>) -> Result<()> {
        not_yet()
    }

    fn flush(&self) -> Result<()> {
        not_yet()
    }
}
