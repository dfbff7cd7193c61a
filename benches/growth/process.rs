//! What a process of its own took: time, processor time and peak memory, as the kernel counted them.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// The kernel counts processor time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// What a finished process took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    pub(crate) time: Duration,
    pub(crate) cpu: Duration,
    pub(crate) peak_kib: u64,
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Took {
    let began = Instant::now();
    let mut child = command.spawn().unwrap();
    let read = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", child.id())).unwrap();
    let mut peak_kib = 0;
    // A process that has ended but was not waited for still has its times, and no memory any more.
    while let Some(peak) = read("status").lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok()) {
        peak_kib = peak;
        std::thread::park_timeout(Duration::from_millis(2));
    }
    let time = began.elapsed();
    // The name may contain anything; what follows it does not.
    let stat = read("stat");
    let fields: Vec<u32> =
        stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11).take(2).map(|field| field.parse().unwrap()).collect();
    let cpu = TICK * fields.iter().sum::<u32>();
    let status = child.wait().unwrap();
    assert!(status.success(), "{command:?}: {status}");
    Took { time, cpu, peak_kib }
}
