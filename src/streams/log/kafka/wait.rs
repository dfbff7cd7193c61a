//! Waits on this thread: for a future (the admin client answers through futures; the engine has no executor and needs none for that), and
//! for a group to have a coordinator.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Between two questions to a group without a coordinator.
const ASK_AGAIN: Duration = Duration::from_millis(100);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs `future` to its end.
pub(super) fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        thread::park();
    }
}

/// Asks again while a group has no coordinator, which a cluster that was just made or restarted says at once; up to `timeout`.
pub(super) fn patiently<T>(timeout: Duration, mut ask: impl FnMut() -> Result<T, KafkaError>) -> Result<T, KafkaError> {
    use RDKafkaErrorCode::{CoordinatorLoadInProgress, CoordinatorNotAvailable, NotCoordinator, WaitingForCoordinator};
    for _ in 0..timeout.as_millis() / ASK_AGAIN.as_millis() {
        match ask() {
            Err(cause)
                if matches!(
                    cause.rdkafka_error_code(),
                    Some(NotCoordinator | CoordinatorNotAvailable | CoordinatorLoadInProgress | WaitingForCoordinator)
                ) =>
            {
                thread::park_timeout(ASK_AGAIN);
            }
            outcome => return outcome,
        }
    }
    ask()
}
