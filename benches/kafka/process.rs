//! What a process of its own took: processor time, wall time, peak memory, as the kernel counted them.

use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// The kernel counts processor time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// What a finished process took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    pub(crate) peak_kib: u64,
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Took {
    let began = Instant::now();
    let mut child = command.spawn().unwrap();
    let mut peak_kib = 0;
    // A process that has ended but was not waited for still has its times, and no memory any more.
    while let Some(now) = peak(&child) {
        peak_kib = now.max(peak_kib);
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let (wall, cpu) = (began.elapsed(), cpu(&child));
    let status = child.wait().unwrap();
    assert!(status.success(), "{command:?}: {status}");
    Took { cpu, wall, peak_kib }
}

/// The peak of its memory; none when it has ended.
fn peak(child: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The memory of a process.
pub(crate) fn resident_kib(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// The processor time of a process so far.
pub(crate) fn cpu(child: &Child) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    // The name may contain anything; what follows it does not.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u32 = fields[11].parse::<u32>().unwrap() + fields[12].parse::<u32>().unwrap();
    TICK * ticks
}
