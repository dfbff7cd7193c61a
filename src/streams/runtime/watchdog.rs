//! Watches the stream threads from outside: a call into the log that never returns cannot report itself.

use std::sync::Arc;
use std::time::Duration;

use super::Error;
use super::shared::Shared;

/// The first thread that has made no step for longer than `limit`.
pub(super) fn stalled(shared: &Shared, limit: Duration) -> Option<Error> {
    shared.pulses.iter().enumerate().find_map(|(thread, pulse)| {
        let (operation, stalled) = pulse.current();
        (operation != ENDED && stalled > limit).then_some(Error::Stalled { thread, operation, stalled })
    })
}

/// The mark of a thread that has ended in good order.
pub(super) const ENDED: &str = "ended";

/// Looks at the threads until they have ended; a stall is a failure of the whole engine.
pub(super) fn watch(shared: &Arc<Shared>, threads: usize, limit: Duration) {
    let mut progress = shared.progress.lock();
    while progress.threads_ended < threads {
        if progress.failure.is_none()
            && let Some(error) = stalled(shared, limit)
        {
            progress.failure = Some(error);
            shared.stop.store(true, std::sync::atomic::Ordering::SeqCst);
            shared.changed.notify_all();
        }
        shared.changed.wait_for(&mut progress, Duration::from_millis(500));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::clock::{Clock, ManualClock};

    #[test]
    fn names_the_thread_and_the_operation_that_stands_still() {
        let manual = ManualClock::default();
        let clock: Arc<dyn Clock> = Arc::new(manual.clone());
        let shared = Shared::new(&clock, 2);
        manual.advance(Duration::from_secs(20));
        shared.pulses[0].beat("poll");
        shared.pulses[1].beat("send_offsets");
        manual.advance(Duration::from_secs(20));
        shared.pulses[0].beat("poll");
        assert!(stalled(&shared, Duration::from_secs(30)).is_none());
        manual.advance(Duration::from_secs(11));
        let error = stalled(&shared, Duration::from_secs(30)).unwrap();
        assert_eq!(error.to_string(), "stream thread 1 has been in `send_offsets` for 31s");
        shared.pulses[1].beat(ENDED);
        manual.advance(Duration::from_secs(11));
        assert!(stalled(&shared, Duration::from_secs(30)).is_none());
    }
}
