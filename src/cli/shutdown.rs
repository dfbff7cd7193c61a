//! The wish to stop: from a signal, from the end of `--for`, or from the command itself.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::streams::clock::Clock;

/// `timeout` and others send a signal to the process and to its group: it arrives twice. Later it is meant.
const REPEAT: Duration = Duration::from_secs(1);

/// Set once, never taken back; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shutdown(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    requested: AtomicBool,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Shutdown {
    /// One that SIGINT and SIGTERM request. Another signal later ends the process at once, with exit code 1: someone is in a hurry.
    pub(crate) fn on_signals(clock: Arc<dyn Clock>) -> io::Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let shutdown = Self::default();
        let requested = shutdown.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let mut first = None;
            for _ in signals.forever() {
                let now = clock.monotonic();
                let since = now.saturating_sub(*first.get_or_insert(now));
                if since >= REPEAT {
                    signal_hook::low_level::exit(1);
                }
                requested.request();
            }
        })?;
        Ok(shutdown)
    }

    /// Asks for the end.
    pub(crate) fn request(&self) {
        self.0.requested.store(true, Ordering::SeqCst);
        let _guard = self.0.lock.lock();
        self.0.changed.notify_all();
    }

    /// Whether the end was asked for.
    pub(crate) fn requested(&self) -> bool {
        self.0.requested.load(Ordering::SeqCst)
    }

    /// Waits until the end is asked for, at most this long; returns whether it was.
    pub(crate) fn wait(&self, at_most: Duration) -> bool {
        let mut guard = self.0.lock.lock();
        if !self.requested() {
            self.0.changed.wait_for(&mut guard, at_most);
        }
        self.requested()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_never_taken_back() {
        let shutdown = Shutdown::default();
        assert!(!shutdown.wait(Duration::ZERO));
        shutdown.clone().request();
        assert!(shutdown.requested());
        assert!(shutdown.wait(Duration::from_secs(60)));
    }
}
