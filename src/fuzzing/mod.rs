//! Everything that reads what comes from outside, or back from disk and topics, as functions of bytes. Not part of a release: the fuzzer in
//! `tests/fuzz` runs them over inputs that it makes up, the tests over the inputs that are kept there.
//!
//! A target panics where the code under it is wrong: where it panics itself, where a refused input leaves no proper error, where two readers of the
//! same bytes disagree, where what was written is not read back, or where it takes more memory than a [`Target`] allows. It never judges an input:
//! any bytes are a fair one.

use std::fmt;

pub(crate) mod input;
#[cfg(test)]
mod tests;

/// Something that reads bytes.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, also that of its folders in `tests/fuzz`.
    pub name: &'static str,
    run: fn(&[u8]),
    /// What it may hold at most at one time, in bytes, whatever the input.
    memory_bytes_base: u64,
    /// How much more for each byte of the input.
    memory_bytes_each: u64,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Target {
    /// Reads an input.
    ///
    /// # Panics
    /// Where the code under test is wrong.
    pub fn run(self, input: &[u8]) {
        (self.run)(input);
    }

    /// Holds the peak of what was allocated while an input was read against the limit.
    ///
    /// # Panics
    /// Where it was more.
    pub fn check_memory(self, input: &[u8], peak_bytes: u64) {
        let limit = self.memory_bytes_base + self.memory_bytes_each * input.len() as u64;
        assert!(peak_bytes <= limit, "{}: {peak_bytes} bytes for an input of {} bytes, {limit} are allowed", self.name, input.len());
    }
}

/// The target with this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}

const fn of(name: &'static str, run: fn(&[u8]), memory_kib_base: u64, memory_bytes_each: u64) -> Target {
    Target { name, run, memory_bytes_base: memory_kib_base << 10, memory_bytes_each }
}

/// All of them.
pub const TARGETS: [Target; 14] = [
    of("avro", crate::avro::fuzz::avro, 4096, 4096),
    of("schema", crate::avro::fuzz::schema, 4096, 4096),
    of("wire", crate::avro::fuzz::wire, 1024, 256),
    of("json", crate::avro::fuzz::json, 1024, 256),
    of("youtube", crate::youtube::fuzz::answers, 1024, 256),
    of("telegram", crate::telegram::fuzz::answers, 1024, 256),
    of("text", crate::telegram::fuzz::texts, 1024, 256),
    of("topology", crate::config::fuzz::file, 16384, 1024),
    of("condition", crate::processors::fuzz::condition, 16384, 4096),
    of("template", crate::processors::fuzz::template, 128 << 10, 4096),
    of("csv", crate::operate::fuzz::csv, 2048, 64),
    of("rows", rows, 1024, 256),
    of("log", crate::streams::log::local::fuzz::rows, 1024, 256),
    of("socket", crate::operate::fuzz::socket, 1024, 256),
];

/// Rows of stores and of compacted topics, and what lies beside committed offsets; the first byte says which.
fn rows(input: &[u8]) {
    let Some((which, rest)) = input.split_first() else { return };
    match which % 7 {
        0 => crate::telegram::fuzz::sent_log(rest),
        1 => crate::youtube::fuzz::memory(rest),
        2 => crate::processors::fuzz::stored(rest),
        3 => crate::operate::fuzz::offsets(rest),
        4 => crate::operate::fuzz::letter(rest),
        5 => crate::streams::runtime::fuzz::offsets(rest),
        _ => crate::streams::state::fuzz::rows(rest),
    }
}
