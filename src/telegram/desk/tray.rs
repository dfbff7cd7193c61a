//! The tray between a desk and the one who makes its requests.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::board::{Board, LOOK, Next};
use crate::streams::clock::Clock;
use crate::telegram::{Limits, Outcome};

/// Who makes the requests that lie in a [`Tray`], each once, and leaves there what came of them. The real one is [`Service`](super::Service);
/// a simulation has its own, so that it decides what comes of a request and when.
pub trait Courier: std::fmt::Debug + Send + Sync {
    /// There may be something to be done: [`Tray::next`] says what. Returns at once.
    fn call(&self);

    /// A task that comes to an end waits for its requests: returns when more than `ended` of all requests have ended, or after a short time.
    fn wait(&self, ended: u64);
}

/// Where the requests lie whose intents are committed, until the limits allow them and a [`Courier`] takes them.
#[derive(Debug)]
pub struct Tray {
    pub(super) board: Mutex<Board>,
    /// A request has ended.
    pub(super) ended: Condvar,
    pub(super) limits: Limits,
    pub(super) clock: Arc<dyn Clock>,
}

impl Tray {
    /// An empty tray.
    pub fn new(limits: Limits, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { board: Mutex::default(), ended: Condvar::new(), limits, clock })
    }

    /// Takes what is to be done now. What is taken is under way: each request of it must come to [`done`](Self::done).
    pub fn next(&self) -> Next {
        let mut board = self.board.lock();
        let before = board.ended_total;
        let next = board.next(&self.limits, self.clock.monotonic());
        if board.ended_total > before {
            self.ended.notify_all();
        }
        next
    }

    /// A request has ended, and this came of it.
    pub fn done(&self, job: u64, outcome: Outcome) {
        self.board.lock().done(job, outcome, self.clock.monotonic());
        self.ended.notify_all();
    }

    /// Waits as [`Courier::wait`] says, on the machine's own clock.
    pub(super) fn wait(&self, ended: u64) {
        self.wait_for(LOOK, |board| board.ended_total > ended);
    }

    /// Waits until it is as wanted, or a request has ended, or the time is over.
    pub(super) fn wait_for(&self, longest: Duration, wanted: impl Fn(&Board) -> bool) {
        let mut board = self.board.lock();
        if !wanted(&board) {
            self.ended.wait_for(&mut board, longest);
        }
    }
}
