//! What a process took so far, as the kernel counted it.

use std::fs;
use std::time::Duration;

/// The kernel counts processor time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// The peak of the memory of a process.
pub(crate) fn peak_kib(id: u32) -> u64 {
    status(id, "VmHWM:")
}

/// The memory of a process.
pub(crate) fn resident_kib(id: u32) -> u64 {
    status(id, "VmRSS:")
}

fn status(id: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the process runs");
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// The processor time of a process so far.
pub(crate) fn cpu(id: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    // The name may contain anything; what follows it does not.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u32 = fields[11].parse::<u32>().unwrap() + fields[12].parse::<u32>().unwrap();
    TICK * ticks
}
