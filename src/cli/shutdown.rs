//! The wish to stop: from a signal, from the end of `--for`, or from the command itself.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

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
    /// One that SIGINT and SIGTERM request. The second signal ends the process at once, with exit code 1: someone is in a hurry.
    pub(crate) fn on_signals() -> io::Result<Self> {
        let shutdown = Self::default();
        let second = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // Order: the check of the flag before the flag is set, or the first signal would end the process.
            signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&second))?;
            signal_hook::flag::register(signal, Arc::clone(&second))?;
        }
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let requested = shutdown.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for _ in signals.forever() {
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
