//! The benchmarks: the steps of a record's way, each by itself, and the whole of it. `./dev bench` runs them all.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark may fail by panicking anywhere")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

mod avro;
mod latest;
mod observations;
mod whole;

use criterion::{criterion_group, criterion_main};

criterion_group!(benches, avro::decode, avro::encode, latest::step, whole::topology, whole::restore);
criterion_main!(benches);
