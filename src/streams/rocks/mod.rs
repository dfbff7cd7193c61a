//! RocksDB behind [`Kv`]: the only place that names rocksdb.
//!
//! Facts that shaped it: with `create_if_missing` a directory whose `CURRENT` is gone opens silently empty and loses its
//! tables, so a marker of our own says that a database was made here; an iterator that meets a damaged block just ends
//! early, so its status is always asked.

#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBRawIterator, ErrorKind, FlushOptions, LruCacheOptions, ReadOptions, WriteBatch,
    WriteBufferManager, WriteOptions,
};

use super::kv::{Batch, Change, Direction, Durability, Error, Kv, Result, Visit};

/// Written last when a database is made.
const MARKER: &str = "TIDEWATCH";

/// Memory that all databases opened with it share: block cache and write buffers.
#[derive(Clone)]
pub struct Budget {
    cache: Cache,
    write_buffers: Arc<WriteBufferManager>,
}

impl std::fmt::Debug for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Budget").field("write_buffer_bytes", &self.write_buffers.get_buffer_size()).finish_non_exhaustive()
    }
}

impl Budget {
    /// A budget of so many bytes for cached blocks, and so many for rows that are not in a table yet.
    pub fn new(cache_bytes: usize, write_buffer_bytes: usize) -> Self {
        let mut lru = LruCacheOptions::default();
        lru.set_capacity(cache_bytes);
        // By default a cache of 16 MiB is cut into 32 parts of half a MiB each. A filter of a table is larger than that and was read,
        // and its checksum computed, at every get. There is hardly anybody to share the lock with.
        lru.set_num_shard_bits(1);
        let cache = Cache::new_lru_cache_opts(&lru);
        let write_buffers = Arc::new(WriteBufferManager::new_write_buffer_manager(write_buffer_bytes, false));
        Self { cache, write_buffers }
    }
}

/// Disk that is taken at a time for the list of a database's tables, in bytes.
const MANIFEST_BYTES: usize = 64 << 10;

/// A volatile batch of rows from this size on goes to a table at once, by a thread of RocksDB's: rows that stay in a write buffer are searched for in
/// its skip list by every read that the cache does not answer. Where the table before it is still being written, that is waited for.
const TABLE_BYTES: usize = 256 << 10;

/// What a database is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The embedded log: one database, large values in the order of their keys, a write-ahead log.
    Log,
    /// The stores of a task: many small databases, random reads. The changelog is their write-ahead log.
    State,
}

/// How databases are opened.
#[derive(Clone, Debug)]
pub struct Options {
    profile: Profile,
    budget: Budget,
}

impl Options {
    /// Opens databases for `profile` on a shared budget.
    pub fn new(profile: Profile, budget: Budget) -> Self {
        Self { profile, budget }
    }

    fn to_rocksdb(&self) -> rocksdb::Options {
        let mut options = rocksdb::Options::default();
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&self.budget.cache);
        // Indexes and filters stay with their tables (about two bytes per key): in a small block cache they push each other
        // out, and each get reads whole filters again.
        table.set_cache_index_and_filter_blocks(false);
        table.set_format_version(5);
        options.set_write_buffer_manager(&self.budget.write_buffers);
        options.set_compression_type(DBCompressionType::Lz4);
        // RocksDB's own diary: small, and without its regular statistics.
        options.set_keep_log_file_num(2);
        options.set_max_log_file_size(1 << 20);
        options.set_stats_dump_period_sec(0);
        // By default 4 MiB of disk are taken for the list of tables of each database, of which a few hundred bytes are used; a process that is killed leaves them taken.
        options.set_manifest_preallocation_size(MANIFEST_BYTES);
        options.set_max_open_files(512);
        options.set_max_background_jobs(2);
        match self.profile {
            Profile::Log => {
                options.set_write_buffer_size(16 << 20);
                table.set_block_size(64 << 10);
                options.set_max_total_wal_size(64 << 20);
                // Old records are read once, if at all: what is compacted should not push out what is hot.
                options.set_target_file_size_base(64 << 20);
                // The youngest files (all, as long as they are less than 256 MB) are merged again soon, each time unpacked and packed: that was a
                // quarter of all processor time.
                let (none, lz4) = (DBCompressionType::None, DBCompressionType::Lz4);
                options.set_compression_per_level(&[none, none, lz4, lz4, lz4, lz4, lz4]);
            }
            Profile::State => {
                // Small buffers and arenas: many tasks share one budget.
                options.set_write_buffer_size(4 << 20);
                options.set_arena_block_size(64 << 10);
                options.set_target_file_size_base(16 << 20);
                table.set_bloom_filter(10.0, false);
                table.set_block_size(4 << 10);
                // As Kafka Streams has it: rows are short, and each read of a cold one would unpack a whole block.
                options.set_compression_type(DBCompressionType::None);
            }
        }
        options.set_block_based_table_factory(&table);
        options
    }
}

/// A RocksDB with one column family.
#[derive(Debug)]
pub struct Rocks {
    db: DB,
    path: PathBuf,
    options: Options,
}

impl Rocks {
    /// Opens the database at `path`, or makes one where there was none. What lies there is never removed.
    pub fn open(path: &Path, options: &Options) -> Result<Self> {
        let io = |error: std::io::Error| Error::Failed { store: path.display().to_string(), source: Box::new(error) };
        let marker = path.join(MARKER);
        let was_made = marker.exists();
        let has_current = path.join("CURRENT").exists();
        // Without CURRENT RocksDB would begin anew and delete the tables.
        if !has_current && (was_made || has_tables(path)) {
            return Err(Error::Corrupt { store: path.display().to_string(), source: Box::new(Fault::CurrentGone) });
        }
        std::fs::create_dir_all(path).map_err(io)?;
        let mut opened = options.to_rocksdb();
        opened.create_if_missing(!has_current);
        let db = DB::open(&opened, path).map_err(|error| {
            let is_held = error.kind() == ErrorKind::IOError && error.as_ref().contains("lock");
            if is_held {
                Error::Failed { store: path.display().to_string(), source: Box::new(Fault::Held(error)) }
            } else {
                classify(path, error)
            }
        })?;
        if !was_made {
            mark(path, &marker).map_err(io)?;
        }
        Ok(Self { db, path: path.to_owned(), options: options.clone() })
    }

    fn failed(&self, error: rocksdb::Error) -> Error {
        classify(&self.path, error)
    }

    fn flush_tables(&self, wait: bool) -> Result<()> {
        let mut options = FlushOptions::default();
        options.set_wait(wait);
        self.db.flush_opt(&options).map_err(|error| self.failed(error))
    }

    fn visit(&self, mut cursor: DBRawIterator<'_>, direction: Direction, visit: &mut Visit<'_>) -> Result<()> {
        while let Some((key, value)) = cursor.item() {
            if visit(key, value).is_break() {
                return Ok(());
            }
            match direction {
                Direction::Forward => cursor.next(),
                Direction::Reverse => cursor.prev(),
            }
        }
        cursor.status().map_err(|error| self.failed(error))
    }
}

impl Kv for Rocks {
    fn get(&self, key: &[u8], value: &mut Vec<u8>) -> Result<bool> {
        value.clear();
        match self.db.get_pinned(key).map_err(|error| self.failed(error))? {
            None => Ok(false),
            Some(found) => {
                value.extend_from_slice(&found);
                Ok(true)
            }
        }
    }

    fn write(&self, batch: &Batch, durability: Durability) -> Result<()> {
        let mut rows = WriteBatch::with_capacity_bytes(batch.size_bytes() + 64);
        for change in batch.changes() {
            match change {
                Change::Put(key, value) => rows.put(key, value),
                Change::Delete(key) => rows.delete(key),
                Change::DeleteRange(from, to) => rows.delete_range(from, to),
            }
        }
        let mut options = WriteOptions::default();
        // A store never writes a log of its own: a mixture would be replayed out of order.
        let logged = self.options.profile == Profile::Log;
        options.set_sync(logged && durability == Durability::Synced);
        options.disable_wal(!logged);
        self.db.write_opt(rows, &options).map_err(|error| self.failed(error))?;
        match durability {
            _ if logged => Ok(()),
            Durability::Buffered | Durability::Synced => self.flush(),
            Durability::Volatile => {
                if batch.size_bytes() >= TABLE_BYTES {
                    self.begin_flush();
                }
                Ok(())
            }
        }
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, direction: Direction, visit: &mut Visit<'_>) -> Result<()> {
        if to.is_some_and(|to| to <= from) {
            return Ok(());
        }
        let mut bounds = ReadOptions::default();
        bounds.set_iterate_lower_bound(from);
        if let Some(to) = to {
            bounds.set_iterate_upper_bound(to);
        }
        let mut cursor = self.db.raw_iterator_opt(bounds);
        match direction {
            Direction::Forward => cursor.seek_to_first(),
            Direction::Reverse => cursor.seek_to_last(),
        }
        self.visit(cursor, direction, visit)
    }

    fn flush(&self) -> Result<()> {
        if self.options.profile == Profile::Log {
            self.db.flush_wal(true).map_err(|error| self.failed(error))?;
        }
        self.flush_tables(true)
    }

    fn begin_flush(&self) {
        // The rows are written: what keeps them from a table is what the next write is told.
        if let Err(error) = self.flush_tables(false) {
            tracing::debug!(store = %self.path.display(), %error, "rows stay in memory for now");
        }
    }
}

/// What RocksDB does not say clearly itself.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("its CURRENT file is gone")]
    CurrentGone,
    #[error("it is open already, in this process or in another one")]
    Held(#[source] rocksdb::Error),
}

/// Says for good that a database was made here.
fn mark(path: &Path, marker: &Path) -> std::io::Result<()> {
    let mut file = std::fs::File::create(marker)?;
    file.write_all(b"A RocksDB database of tidewatch.\n")?;
    file.sync_all()?;
    std::fs::File::open(path)?.sync_all()
}

fn has_tables(path: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(path) else { return false };
    entries.flatten().any(|entry| entry.path().extension().is_some_and(|kind| kind == "sst"))
}

fn classify(path: &Path, error: rocksdb::Error) -> Error {
    let store = path.display().to_string();
    let text = error.as_ref();
    // RocksDB's own words, and strerror's for ENOSPC and EDQUOT.
    let full = ["No space left on device", "Disk quota exceeded", "Out of disk space", "NoSpace"].iter().any(|words| text.contains(words));
    match error.kind() {
        _ if full => Error::DiskFull { store, source: Box::new(error) },
        ErrorKind::Corruption => Error::Corrupt { store, source: Box::new(error) },
        // A table that the manifest names and that is not there.
        ErrorKind::IOError if text.contains("No such file or directory") => Error::Corrupt { store, source: Box::new(error) },
        _ => Error::Failed { store, source: Box::new(error) },
    }
}
