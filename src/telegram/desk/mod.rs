//! The desk: where the requests of all tasks of a process wait for their turn, are made, and leave their outcomes.
//!
//! Tasks are stream threads' and may not wait; requests take seconds. So a task hands over what it has a committed intent for
//! ([`Desk::hand`]), and asks later what came of it ([`Desk::outcomes`]). An outcome stays until the task says that it is recorded
//! ([`Desk::forget`]), which is after the commit: when that fails, it is taken again.
//!
//! ```text
//! reserve -> RESERVED --hand--> HANDED --limits allow it--> STARTED --answer--> DONE --forget-->
//!               |                 |                                              ^
//!               '--(rolled back)  '--(stopped, or the task comes to an end)------'
//! ```

//!
//! Who makes them is the [`Courier`], who takes them from the [`Tray`].

mod board;
mod service;
mod tray;

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::sync::Arc;
use std::time::Duration;

pub use board::Next;
use board::{Job, Stage};
pub use service::Service;
pub use tray::{Courier, Tray};

use super::sent_log::ChatId;
use super::{Client, Limits, Outcome, Request};
use crate::streams::clock::Clock;

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// It was made.
    Made(Outcome),
    /// It was not made.
    NotMade,
}

/// What the desk knows of a request that a task finds an intent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It is here.
    Here,
    /// It was never handed over.
    Never,
    /// It may have been here.
    Perhaps,
}

/// How the desk is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Requests that wait for the limits.
    pub waiting: usize,
    /// Requests on their way.
    pub in_flight: usize,
    /// Messages sent or edited since the start.
    pub sent_total: u64,
    /// Partitions whose messages this process sends.
    pub partitions: usize,
    /// Whether the service does not answer: it is tried now and then.
    pub out_of_reach: bool,
    /// Why nothing is sent any more.
    pub stopped: Option<String>,
}

/// The desk.
pub struct Desk {
    tray: Arc<Tray>,
    courier: Box<dyn Courier>,
    session: u64,
    partitions: u32,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("session", &self.session).field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Desk {
    /// Starts the desk of a process that sends for some of the `partitions` of the outbox: it gets as much of the bot's rate. Its requests are
    /// made on a thread of their own.
    pub fn start(client: Client, limits: Limits, partitions: i32, clock: Arc<dyn Clock>) -> io::Result<Arc<Self>> {
        let tray = Tray::new(limits, clock);
        let service = Service::start(client, Arc::clone(&tray))?;
        Ok(Self::new(tray, Box::new(service), partitions, RandomState::new().build_hasher().finish()))
    }

    /// A desk whose requests `courier` takes from `tray`. `session` names the process among all that ever wrote intents.
    pub fn new(tray: Arc<Tray>, courier: Box<dyn Courier>, partitions: i32, session: u64) -> Arc<Self> {
        Arc::new(Self { tray, courier, session, partitions: u32::try_from(partitions).unwrap_or(1).max(1) })
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        self.tray.board.lock().status()
    }

    /// Why nothing is sent any more: the bot's token or the address is wrong. The queues stay; a restart with what is right goes on.
    pub fn stopped(&self) -> Option<String> {
        self.tray.board.lock().stopped.clone()
    }

    /// Whether the service has been out of reach for this long.
    pub(super) fn is_out_of_reach_for(&self, long: Duration) -> bool {
        let since = self.tray.board.lock().out_of_reach_since;
        since.is_some_and(|since| self.now() >= since + long)
    }

    /// Names this process among those that wrote intents.
    pub(super) fn session(&self) -> u64 {
        self.session
    }

    fn now(&self) -> Duration {
        self.tray.clock.monotonic()
    }

    /// A task begins; returns how it is called here.
    pub(super) fn join(&self) -> u64 {
        let mut board = self.tray.board.lock();
        let owner = board.join(self.now());
        let owners = board.owners.len();
        drop(board);
        self.share(owners);
        owner
    }

    /// A task is gone. What was not begun for it is never made; what is under way may be asked for by its successor.
    pub(super) fn leave(&self, owner: u64) {
        let mut board = self.tray.board.lock();
        board.leave(owner);
        let owners = board.owners.len();
        drop(board);
        self.share(owners);
    }

    /// A task is at work: its partition is its own.
    pub(super) fn beat(&self, owner: u64) {
        let now = self.now();
        if let Some(at) = self.tray.board.lock().owners.get_mut(&owner) {
            *at = now;
        }
    }

    fn share(&self, owners: usize) {
        self.tray.limits.set_share(u32::try_from(owners).unwrap_or(u32::MAX).clamp(1, self.partitions), self.partitions);
    }

    /// Takes a place for a request; none where there is no room, or nothing is sent any more.
    pub(super) fn reserve(&self, owner: u64, chat: &ChatId) -> Option<u64> {
        self.tray.board.lock().reserve(owner, chat)
    }

    /// Gives up the places that a task has taken and not used.
    pub(super) fn release(&self, owner: u64) {
        self.tray.board.lock().jobs.retain(|_, job| job.owner != Some(owner) || !matches!(job.stage, Stage::Reserved));
    }

    /// Makes a request as soon as the limits allow it. Its intent is committed.
    pub(super) fn hand(&self, job: u64, request: Request) {
        self.tray.board.lock().hand(job, request);
        self.courier.call();
    }

    /// The requests of a task and their chats.
    pub(super) fn jobs(&self, owner: u64) -> Vec<(u64, ChatId)> {
        self.own(owner, |job| Some(Arc::clone(&job.chat)))
    }

    /// Takes over a request of a task that is gone.
    pub(super) fn adopt(&self, owner: u64, job: u64) -> Known {
        self.tray.board.lock().adopt(owner, job)
    }

    /// What came of the requests of a task that are done.
    pub(super) fn outcomes(&self, owner: u64) -> Vec<(u64, ChatId, Delivery)> {
        let done = self.own(owner, |job| match &job.stage {
            Stage::Done(delivery) => Some((Arc::clone(&job.chat), delivery.clone())),
            Stage::Reserved | Stage::Handed(_) | Stage::Started => None,
        });
        done.into_iter().map(|(id, (chat, delivery))| (id, chat, delivery)).collect()
    }

    fn own<T>(&self, owner: u64, what: impl Fn(&Job) -> Option<T>) -> Vec<(u64, T)> {
        let board = self.tray.board.lock();
        let own = board.jobs.iter().filter(|(_, job)| job.owner == Some(owner));
        own.filter_map(|(id, job)| Some((*id, what(job)?))).collect()
    }

    /// What came of these requests is recorded for good.
    pub(super) fn forget(&self, jobs: &[u64]) {
        let mut board = self.tray.board.lock();
        for job in jobs {
            board.jobs.remove(job);
        }
    }

    /// A task comes to an end: its requests that are not begun will not be made, those under way are waited for.
    pub(super) fn settle(&self, owner: u64) {
        let deadline = self.tray.board.lock().end(owner, self.now());
        loop {
            let board = self.tray.board.lock();
            if !board.is_under_way(owner) || self.now() >= deadline {
                break;
            }
            let ended = board.ended_total;
            drop(board);
            self.courier.wait(ended);
        }
        self.tray.board.lock().has_ended(self.now());
        self.courier.call();
    }
}

#[cfg(test)]
mod tests;
