//! How the cost grows: processor time and memory of the whole topology on the durable embedded log, by keys, partitions, threads and bytes of a value.
//!
//! `./dev bench-growth [--quick] [--records N] [--keys-max N] [--svg FILE]` measures each place in processes of their own, prints tables and draws the curves. Linux only: peak
//! memory is what the kernel says. `./dev bench-poller [--quick]`: what a poll of YouTube costs.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a benchmark may fail by panicking anywhere")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(clippy::print_stdout, reason = "a benchmark says what it saw")]

mod counted;
#[path = "../suite/cpu.rs"]
#[expect(dead_code, reason = "the suite needs more of it")]
mod cpu;
mod curves;
#[path = "../../src/youtube/poller/tests/fake.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod fake;
#[path = "../suite/ground.rs"]
#[expect(dead_code, reason = "the suite needs more of it")]
mod ground;
mod measured;
#[path = "../suite/observations.rs"]
#[expect(dead_code, reason = "the other benchmarks write with it")]
mod observations;
mod point;
mod poller;
mod process;

use std::path::{Path, PathBuf};

// The YouTube of the tests names them as parts of its own crate.
use tidewatch::{streams, youtube};

use curves::Curve;
use measured::Figures;
use point::Size;

/// That of the program itself.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let is_quick = arguments.iter().any(|argument| argument == "--quick");
    match arguments.first().map(String::as_str) {
        Some(measured::CHILD) => measured::work(&arguments[1..]),
        Some("poller") => poller::measure(is_quick),
        None | Some("--quick" | "--svg" | "--records" | "--keys-max") => {
            let value = |name: &str| arguments.iter().skip_while(|argument| *argument != name).nth(1);
            let number = |name, default| value(name).map_or(default, |value| value.parse().unwrap());
            let default = if is_quick { Size::QUICK } else { Size::FULL };
            let size = Size { records: number("--records", default.records), keys_max: number("--keys-max", default.keys_max) };
            let svg = value("--svg").map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("growth.svg"), PathBuf::from);
            grow(size, &svg);
        }
        Some(other) => panic!("there is no {other}: poller, --quick, --records N, --keys-max N, --svg FILE"),
    }
}

const COLUMNS: &str = "processor time | of it RocksDB's threads | records/s | peak memory | gets | written to the stores | written to the log \
                       | rows of a key | disk of a key";

fn row(figures: &Figures) -> String {
    let Figures { cpu_us, background_us, records_per_second, peak_mib, gets, stored_bytes, logged_bytes, key_bytes, disk_bytes, .. } =
        figures;
    format!(
        "{cpu_us:.2} us | {background_us:.2} us | {records_per_second:.0} | {peak_mib:.0} MiB | {gets:.2} | {stored_bytes:.0} B | {logged_bytes:.0} B \
         | {key_bytes:.0} B | {disk_bytes:.0} B"
    )
}

fn grow(size: Size, svg: &Path) {
    let mut known: Vec<(point::Point, Figures)> = Vec::new();
    let mut curves = Vec::new();
    for sweep in point::sweeps(size) {
        println!("\n| {} | {COLUMNS} |\n|---|---|---|---|---|---|---|---|---|---|", sweep.name);
        let mut points = Vec::new();
        for (label, point) in sweep.points {
            // Where two sweeps meet it is measured once.
            let figures =
                known.iter().find(|(known, _)| *known == point).map_or_else(|| measured::measure(&point), |(_, figures)| *figures);
            known.push((point, figures));
            println!("| {label} | {} |", row(&figures));
            points.push((label, figures));
        }
        curves.push(Curve { name: sweep.name, points });
    }
    let (point, base) = known.iter().find(|(point, _)| point.keys == 100_000 && point.partitions == 1).unwrap();
    println!("\n{point}\n\n| | records an observation | bytes of key and value |\n|---|---|---|");
    let names = ["observation", "change", "message", "changelog of `changes`", "changelog of `views`"];
    for ((name, records), bytes) in names.iter().zip(base.records).zip(base.record_bytes) {
        println!("| {name} | {records:.2} | {bytes:.0} |");
    }
    std::fs::write(svg, curves::svg(&curves)).unwrap();
    println!("\n{}", svg.display());
}
