//! Brokers that take their time: each call by itself may, and the watchdog looks at each by itself.

use std::sync::OnceLock;

use parking_lot::Mutex;

use super::*;
use crate::streams::clock::{Clock, ManualClock};
use crate::streams::runtime::{Parts, Shared, StreamThread};
use crate::streams::testing::interposed::{Call, Client, Fault, InterposedLog, Interposer};

const SLOW: Duration = Duration::from_secs(12);

/// Each call that waits for the brokers takes long; how long a thread seems to have stood still at the end of one.
#[derive(Debug, Default)]
struct Slow {
    clock: ManualClock,
    shared: OnceLock<Arc<Shared>>,
    stood: Mutex<Vec<(&'static str, Duration)>>,
}

impl Interposer for Slow {
    fn before(&self, _: &Client, call: &Call<'_>) -> Result<(), Fault> {
        if let (Call::Flush | Call::SendOffsets | Call::Commit, Some(shared)) = (call, self.shared.get()) {
            self.clock.advance(SLOW);
            self.stood.lock().push(shared.pulses[0].current());
        }
        Ok(())
    }

    fn after(&self, _: &Client, _: &Call<'_>) -> Result<(), Fault> {
        Ok(())
    }
}

#[test]
fn a_commit_is_as_many_signs_of_life_as_it_waits_for_the_log() {
    let (world, slow) = (World::new(1), Arc::new(Slow::default()));
    let clock: Arc<dyn Clock> = Arc::new(slow.clock.clone());
    let log = Arc::new(InterposedLog::new(Arc::<LocalLog>::clone(&world.log), Arc::<Slow>::clone(&slow)));
    let backend = Arc::<MemoryBackend>::clone(&world.backend);
    let options = Options { threads: 1, restore_thread: false, poll_timeout: Duration::ZERO, ..Options::new("app", "instance") };
    let parts = Parts::new(counting(ErrorPolicy::default()), log, backend, clock, options).unwrap();
    let shared = Arc::clone(&parts.shared);
    let mut thread = StreamThread::new(0, parts).unwrap();
    threads::fill(&world.log, 1);
    slow.shared.set(shared).unwrap();
    for _ in 0..100 {
        thread.run_once(Duration::ZERO).unwrap();
        if slow.stood.lock().len() >= 3 {
            break;
        }
    }
    let stood = slow.stood.lock();
    assert_eq!(stood[..3], [("flush", SLOW), ("send_offsets", SLOW), ("commit", SLOW)]);
}
