//! The end of a consumer, within a time.
//!
//! librdkafka may end the group's side of a consumer while a rebalance is still to be told to us, and then answers no call any more that is made
//! about it, for ever. It was seen where an instance had nothing to do and stopped before its group had answered.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;

use super::context::Ear;

/// How long the end of a consumer is waited for. One that has a group says good-bye to nobody: it is usually a matter of milliseconds.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Holds a consumer until after its owner let go of it, and closes it then.
#[derive(Default)]
pub(super) struct Closer(Option<Arc<BaseConsumer<Ear>>>);

impl Closer {
    pub(super) fn of(consumer: &Arc<BaseConsumer<Ear>>) -> Self {
        Self(Some(Arc::clone(consumer)))
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        let Some(consumer) = self.0.take() else { return };
        let (done, closed) = channel();
        let close = move || {
            drop(consumer);
            done.send(()).unwrap_or_default();
        };
        // Without a thread the closure is dropped here, and the consumer with it.
        if thread::Builder::new().name("closing".to_owned()).spawn(close).is_ok() && closed.recv_timeout(TIMEOUT).is_err() {
            tracing::info!(target: "librdkafka", "a consumer did not come to its end and is left to itself");
        }
    }
}
