//! Against a real broker, side by side with a bare client that does the same reading and writing and nothing else.
//!
//! `./dev bench-kafka [throughput|latency|restart|takeover]`: starts a broker and a registry out of packages, runs both sides in turn, and prints
//! ratios. Figures of different runs are not to be compared: machines are noisy.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark says what it saw, or fails"
)]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod application;
mod latency;
mod load;
#[path = "../suite/observations.rs"]
mod observations;
mod passthrough;
mod process;
#[path = "../../tests/it/real/mod.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod real;
mod restart;
mod takeover;
mod throughput;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |name: &str, default: u64| {
        let value = arguments.iter().skip_while(|argument| *argument != name).nth(1);
        value.map_or(default, |value| value.parse().expect("a number"))
    };
    match arguments.first().map(String::as_str) {
        Some(passthrough::ARGUMENT) => passthrough::child(&arguments[1..]),
        Some("latency") => latency::measure(number("--rate", 1_000), number("--seconds", 20)),
        Some("restart") => restart::measure(number("--keys", 1_000_000)),
        Some("takeover") => takeover::measure(number("--keys", 1_000_000)),
        None | Some("throughput") => throughput::measure(&throughput::Size {
            records: number("--records", 2_000_000),
            videos: number("--videos", 100_000),
            partitions: i32::try_from(number("--partitions", 4)).expect("few partitions"),
            runs: number("--runs", 3),
        }),
        Some(other) => panic!("there is no measurement {other}: throughput, latency, restart, takeover"),
    }
}
