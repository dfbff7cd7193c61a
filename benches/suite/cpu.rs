//! Processor time: what else the machine does counts for much less in it than in time by the clock.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

fn read(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).unwrap()
}

/// Of this thread.
pub(crate) fn thread() -> Duration {
    read(ClockId::ThreadCPUTime)
}

/// Of all threads of this process, those that have ended too.
pub(crate) fn process() -> Duration {
    read(ClockId::ProcessCPUTime)
}
