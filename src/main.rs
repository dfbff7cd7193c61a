//! The `tidewatch` binary: parses the command line, runs one command, maps its result to an exit code.

use std::process::ExitCode;

/// Also that of librdkafka and RocksDB, which is what it is for: they allocate per record, and the C library's allocator cost the whole process a
/// sixth of its processor time.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    tidewatch::cli::main()
}
