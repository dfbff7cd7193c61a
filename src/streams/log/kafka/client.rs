//! A client of librdkafka, whose calls and whose destruction are waited for, but not without end.

use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

/// How long the destruction of a client is waited for. Where nothing is wrong it takes a few milliseconds, and that of a producer with records in flight
/// half a second.
const END_TIMEOUT: Duration = Duration::from_secs(3);

/// A client. Its destruction waits for its threads, and may wait for ever where a broker has gone and come back
/// (<https://github.com/confluentinc/librdkafka/issues/4674>). So a thread of its own destroys it, and is left behind when it does not come to an end.
pub(super) struct Client<C: Send + Sync + 'static> {
    // Order: the thread has the last share of it, and is waited for afterwards.
    inner: Arc<C>,
    end: Option<End>,
    what: &'static str,
    timeout: Duration,
}

/// The end of a client, on another thread.
struct End {
    what: &'static str,
    begin: Sender<()>,
    over: Mutex<Receiver<()>>,
    timeout: Duration,
}

impl<C: Send + Sync + 'static> Client<C> {
    /// A client, and what it is called where it does not end.
    pub(super) fn new(what: &'static str, client: C) -> Self {
        Self::ending_within(END_TIMEOUT, what, client)
    }

    fn ending_within(timeout: Duration, what: &'static str, client: C) -> Self {
        Self { inner: Arc::new(client), end: None, what, timeout }
    }

    /// Makes a `call` that librdkafka may never bring to an end, on a thread with a share of the client.
    ///
    /// A thread for each call: that costs tens of microseconds, and a transaction, which makes one such call, some milliseconds.
    ///
    /// # Errors
    /// Where there is no thread to be had; and `TimedOut` where the call is not over within `limit`: the thread is left behind then, and has the client for as
    /// long as the call lasts.
    pub(super) fn call<T: Send + 'static>(
        &self,
        name: &'static str,
        limit: Duration,
        call: impl FnOnce(&C) -> T + Send + 'static,
    ) -> io::Result<T> {
        let (tell, over) = channel();
        let share = self.share();
        let work = move || {
            let outcome = call(&share);
            // Order: its owner may destroy the client as soon as it knows.
            drop(share);
            tell.send(outcome).unwrap_or_default();
        };
        thread::Builder::new().name(name.to_owned()).spawn(work)?;
        over.recv_timeout(limit).map_err(|error| match error {
            RecvTimeoutError::Timeout => {
                tracing::warn!(target: "librdkafka", client = self.what, call = name, ?limit, "a call is not over in time and is left behind");
                io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {limit:?}"))
            }
            RecvTimeoutError::Disconnected => io::Error::other("the call broke off"),
        })
    }

    /// A share, for another thread. It is not destroyed before all have let go of theirs.
    pub(super) fn share(&self) -> Arc<C> {
        Arc::clone(&self.inner)
    }
}

impl<C: Send + Sync + 'static> Deref for Client<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.inner
    }
}

impl<C: Send + Sync + 'static> Drop for Client<C> {
    fn drop(&mut self) {
        let (begin, begun) = channel();
        let (tell, over) = channel();
        let last = Arc::clone(&self.inner);
        let work = move || {
            begun.recv().unwrap_or_default();
            drop(last);
            tell.send(()).unwrap_or_default();
        };
        // Where there is no thread to be had, the owner destroys it.
        if thread::Builder::new().name("ending".to_owned()).spawn(work).is_ok() {
            self.end = Some(End { what: self.what, begin, over: Mutex::new(over), timeout: self.timeout });
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.begin.send(()).unwrap_or_default();
        if self.over.get_mut().recv_timeout(self.timeout).is_err() {
            tracing::warn!(target: "librdkafka", client = self.what, "it does not end and is left behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Ends when it may, and tells it.
    struct Slow {
        may: Mutex<Receiver<()>>,
        has_ended: Arc<AtomicBool>,
    }

    impl Drop for Slow {
        fn drop(&mut self) {
            self.may.lock().recv().unwrap_or_default();
            self.has_ended.store(true, Ordering::SeqCst);
        }
    }

    fn slow(timeout: Duration) -> (Client<Slow>, Sender<()>, Arc<AtomicBool>) {
        let (let_go, may) = channel();
        let has_ended = Arc::<AtomicBool>::default();
        let client = Client::ending_within(timeout, "slow", Slow { may: Mutex::new(may), has_ended: Arc::clone(&has_ended) });
        (client, let_go, has_ended)
    }

    #[test]
    fn a_client_that_ends_is_waited_for() {
        let (client, let_go, has_ended) = slow(Duration::from_secs(60));
        let_go.send(()).unwrap();
        drop(client);
        assert!(has_ended.load(Ordering::SeqCst));
    }

    #[test]
    fn a_call_that_is_not_over_in_time_is_left_behind_with_the_client() {
        let (client, let_go, has_ended) = slow(Duration::from_secs(60));
        let_go.send(()).unwrap();
        assert_eq!(client.call("quick", Duration::from_secs(60), |_| 7).unwrap(), 7);
        let (go_on, wait) = channel::<()>();
        let (tell, over) = channel();
        let outcome = client.call("slow", Duration::from_millis(20), move |_| {
            let _told_when_dropped: Sender<()> = tell;
            wait.recv().unwrap_or_default();
        });
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(client);
        assert!(!has_ended.load(Ordering::SeqCst), "the call still has it");
        go_on.send(()).unwrap();
        over.recv().unwrap_err();
    }

    #[test]
    fn a_client_that_does_not_end_is_left_behind() {
        let (client, _let_go, has_ended) = slow(Duration::from_millis(20));
        drop(client);
        assert!(!has_ended.load(Ordering::SeqCst));
    }
}
