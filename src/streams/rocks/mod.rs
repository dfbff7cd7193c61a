//! The only place that names rocksdb.
