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

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Notify;

use super::sent_log::ChatId;
use super::{Client, Limits, Outcome, Request};
use crate::streams::clock::Clock;

/// Requests of all tasks together that are on their way or wait for the limits. At 30 a second and 5 s each, 150 are under way.
const JOBS_MAX: usize = 256;

/// Outcomes that nobody has asked for since their task was lost.
const ORPHANS_MAX: usize = 1024;

/// How long requests under way are waited for when a task comes to an end: others wait for its partition.
const PATIENCE: Duration = Duration::from_secs(8);

/// Tasks that come to an end one after the other share the time that there is for all of them.
const NEXT_TASK: Duration = Duration::from_secs(1);

/// While tasks come to an end nothing is begun, also not between one and the next.
const HOLD: Duration = Duration::from_millis(250);

/// Requests in a row without an answer of the Bot API, to whatever chats, after which the service counts as out of reach.
const TROUBLE: u32 = 10;

/// As long as it is, one request at a time tries it, with pauses that grow from the first to the last of these.
const PROBE_FIRST: Duration = Duration::from_secs(1);
const PROBE_LAST: Duration = Duration::from_secs(15);

/// No request is begun for a task that was not at work for so long. Shorter than any session timeout of a group: the task may be a zombie's.
const ALIVE: Duration = Duration::from_secs(3);

/// How long a wait lasts before the clock is asked again.
const LOOK: Duration = Duration::from_millis(50);

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

#[derive(Debug)]
enum Stage {
    Reserved,
    Handed,
    Started,
    Done(Delivery),
}

#[derive(Debug)]
struct Job {
    /// The task; none when it is gone.
    owner: Option<u64>,
    chat: ChatId,
    stage: Stage,
}

#[derive(Debug, Default)]
struct Board {
    jobs: BTreeMap<u64, Job>,
    last_job: u64,
    last_owner: u64,
    /// Requests up to this one may have been forgotten although nobody recorded what came of them.
    lost_up_to: u64,
    /// The tasks, and when each was last at work.
    owners: BTreeMap<u64, Duration>,
    holds: usize,
    /// Until when requests are waited for, since a task began to come to an end.
    deadline: Option<Duration>,
    /// Requests in a row that the Bot API did not answer.
    unanswered: u32,
    /// When the service is tried next, and since when that is so, while it is out of reach.
    probe_at: Duration,
    out_of_reach_since: Option<Duration>,
    sent_total: u64,
    stopped: Option<String>,
}

/// What tasks and requests share.
#[derive(Debug)]
struct Shared {
    board: Mutex<Board>,
    /// A request is done.
    done: Condvar,
    /// Nothing holds requests up any more.
    free: Notify,
    clock: Arc<dyn Clock>,
}

/// Whether a request may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    /// Yes.
    Open,
    /// Not now.
    Shut,
    /// Nobody wants it any more.
    Never,
}

/// The desk. It makes its requests on a thread of its own.
pub struct Desk {
    shared: Arc<Shared>,
    session: u64,
    partitions: u32,
    client: Client,
    limits: Arc<Limits>,
    clock: Arc<dyn Clock>,
    handle: Handle,
    /// There until it is dropped.
    runtime: Option<Runtime>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("session", &self.session).field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Desk {
    /// Starts the desk of a process that sends for some of the `partitions` of the outbox: it gets as much of the bot's rate.
    pub fn start(client: Client, limits: Limits, partitions: i32, clock: Arc<dyn Clock>) -> io::Result<Arc<Self>> {
        let runtime = Builder::new_multi_thread().worker_threads(1).max_blocking_threads(2).thread_name("telegram").enable_all().build()?;
        let shared = Shared { board: Mutex::default(), done: Condvar::new(), free: Notify::new(), clock: Arc::clone(&clock) };
        Ok(Arc::new(Self {
            shared: Arc::new(shared),
            session: RandomState::new().build_hasher().finish(),
            partitions: u32::try_from(partitions).unwrap_or(1).max(1),
            client,
            limits: Arc::new(limits),
            clock,
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        }))
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        self.shared.board.lock().status()
    }

    /// Why nothing is sent any more: the bot's token or the address is wrong. The queues stay; a restart with what is right goes on.
    pub fn stopped(&self) -> Option<String> {
        self.shared.board.lock().stopped.clone()
    }

    /// Whether the service has been out of reach for this long.
    pub(super) fn is_out_of_reach_for(&self, long: Duration) -> bool {
        let since = self.shared.board.lock().out_of_reach_since;
        since.is_some_and(|since| self.clock.monotonic() >= since + long)
    }

    /// Names this process among those that wrote intents.
    pub(super) fn session(&self) -> u64 {
        self.session
    }

    /// A task begins; returns how it is called here.
    pub(super) fn join(&self) -> u64 {
        let mut board = self.shared.board.lock();
        board.last_owner += 1;
        let owner = board.last_owner;
        board.owners.insert(owner, self.clock.monotonic());
        let owners = board.owners.len();
        drop(board);
        self.share(owners);
        owner
    }

    /// A task is gone. What was not begun for it is never made; what is under way may be asked for by its successor.
    pub(super) fn leave(&self, owner: u64) {
        let mut board = self.shared.board.lock();
        board.owners.remove(&owner);
        board.jobs.retain(|_, job| job.owner != Some(owner) || matches!(job.stage, Stage::Started | Stage::Done(_)));
        board.jobs.values_mut().filter(|job| job.owner == Some(owner)).for_each(|job| job.owner = None);
        board.bury();
        let owners = board.owners.len();
        drop(board);
        self.share(owners);
    }

    /// A task is at work: its partition is its own.
    pub(super) fn beat(&self, owner: u64) {
        let now = self.clock.monotonic();
        if let Some(at) = self.shared.board.lock().owners.get_mut(&owner) {
            *at = now;
        }
    }

    fn share(&self, owners: usize) {
        self.limits.set_share(u32::try_from(owners).unwrap_or(u32::MAX).clamp(1, self.partitions), self.partitions);
    }

    /// Takes a place for a request; none where there is no room, or nothing is sent any more.
    pub(super) fn reserve(&self, owner: u64, chat: &ChatId) -> Option<u64> {
        let mut board = self.shared.board.lock();
        let taken = board.jobs.values().filter(|job| job.owner.is_some()).count();
        if board.stopped.is_some() || taken >= JOBS_MAX {
            return None;
        }
        board.last_job += 1;
        let id = board.last_job;
        board.jobs.insert(id, Job { owner: Some(owner), chat: Arc::clone(chat), stage: Stage::Reserved });
        Some(id)
    }

    /// Gives up the places that a task has taken and not used.
    pub(super) fn release(&self, owner: u64) {
        self.shared.board.lock().jobs.retain(|_, job| job.owner != Some(owner) || !matches!(job.stage, Stage::Reserved));
    }

    /// Makes a request as soon as the limits allow it. Its intent is committed.
    pub(super) fn hand(&self, job: u64, request: Request) {
        if !self.shared.begin(job) {
            return;
        }
        let (shared, client, limits) = (Arc::clone(&self.shared), self.client.clone(), Arc::clone(&self.limits));
        self.handle.spawn(async move {
            let (Request::Send(message) | Request::Edit { message, .. }) = &request;
            if shared.turn(job, &message.chat_id, &limits).await {
                let mut unfinished = Unfinished { shared: &shared, job, outcome: None };
                unfinished.outcome = Some(client.send(&request).await);
            }
        });
    }

    /// The requests of a task and their chats.
    pub(super) fn jobs(&self, owner: u64) -> Vec<(u64, ChatId)> {
        let board = self.shared.board.lock();
        let own = board.jobs.iter().filter(|(_, job)| job.owner == Some(owner));
        own.map(|(id, job)| (*id, Arc::clone(&job.chat))).collect()
    }

    /// Takes over a request of a task that is gone.
    pub(super) fn adopt(&self, owner: u64, job: u64) -> Known {
        let mut board = self.shared.board.lock();
        let lost_up_to = board.lost_up_to;
        match board.jobs.get_mut(&job) {
            Some(job) => {
                job.owner = Some(owner);
                Known::Here
            }
            None if job <= lost_up_to => Known::Perhaps,
            None => Known::Never,
        }
    }

    /// What came of the requests of a task that are done.
    pub(super) fn outcomes(&self, owner: u64) -> Vec<(u64, ChatId, Delivery)> {
        let board = self.shared.board.lock();
        let own = board.jobs.iter().filter(|(_, job)| job.owner == Some(owner));
        own.filter_map(|(id, job)| match &job.stage {
            Stage::Done(delivery) => Some((*id, Arc::clone(&job.chat), delivery.clone())),
            Stage::Reserved | Stage::Handed | Stage::Started => None,
        })
        .collect()
    }

    /// What came of these requests is recorded for good.
    pub(super) fn forget(&self, jobs: &[u64]) {
        let mut board = self.shared.board.lock();
        for job in jobs {
            board.jobs.remove(job);
        }
    }

    /// A task comes to an end: its requests that are not begun will not be made, those under way are waited for.
    pub(super) fn settle(&self, owner: u64) {
        let mut board = self.shared.board.lock();
        let now = self.clock.monotonic();
        let deadline = board.deadline.filter(|deadline| now < *deadline + NEXT_TASK).unwrap_or(now + PATIENCE);
        board.deadline = Some(deadline);
        board.holds += 1;
        for job in board.jobs.values_mut().filter(|job| job.owner == Some(owner) && matches!(job.stage, Stage::Handed)) {
            job.stage = Stage::Done(Delivery::NotMade);
        }
        let under_way = |board: &Board| {
            let mut jobs = board.jobs.values();
            jobs.any(|job| job.owner == Some(owner) && matches!(job.stage, Stage::Started))
        };
        while under_way(&board) && self.clock.monotonic() < deadline {
            self.shared.done.wait_for(&mut board, LOOK);
        }
        drop(board);
        let shared = Arc::clone(&self.shared);
        self.handle.spawn(async move {
            tokio::time::sleep(HOLD).await;
            shared.board.lock().holds -= 1;
            shared.free.notify_waiters();
        });
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // Dropping it would wait for its threads, and panic on a thread of another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Board {
    fn status(&self) -> Status {
        let count = |wanted: fn(&Stage) -> bool| self.jobs.values().filter(|job| wanted(&job.stage)).count();
        Status {
            waiting: count(|stage| matches!(stage, Stage::Handed)),
            in_flight: count(|stage| matches!(stage, Stage::Started)),
            sent_total: self.sent_total,
            partitions: self.owners.len(),
            out_of_reach: self.out_of_reach_since.is_some(),
            stopped: self.stopped.clone(),
        }
    }

    /// Whether the service is out of reach, and it is not the time to try it.
    fn is_out_of_reach(&self, now: Duration) -> bool {
        self.unanswered >= TROUBLE && (now < self.probe_at || self.jobs.values().any(|job| matches!(job.stage, Stage::Started)))
    }

    /// Whether the task of a request was not at work lately: its thread, or the whole process, stood still, and its partition may be another's.
    fn is_stale(&self, job: u64, now: Duration) -> bool {
        let owner = self.jobs.get(&job).and_then(|job| job.owner);
        owner.and_then(|owner| self.owners.get(&owner)).is_some_and(|at| now.saturating_sub(*at) > ALIVE)
    }

    /// Takes note of whether the Bot API answers.
    fn heard(&mut self, outcome: &Outcome, now: Duration) {
        if !matches!(outcome, Outcome::Retry { .. } | Outcome::Unknown { .. }) {
            self.unanswered = 0;
            if self.out_of_reach_since.take().is_some() {
                tracing::info!("Telegram answers again");
            }
            return;
        }
        self.unanswered = self.unanswered.saturating_add(1);
        if self.unanswered >= TROUBLE {
            let pause = PROBE_FIRST.saturating_mul(1 << (self.unanswered - TROUBLE).min(8)).min(PROBE_LAST);
            self.probe_at = now + pause;
            if self.out_of_reach_since.replace(self.out_of_reach_since.unwrap_or(now)).is_none() {
                tracing::warn!(reason = outcome.reason(), "Telegram is out of reach: one request at a time tries it");
            }
        }
    }

    /// Forgets outcomes that nobody has asked for, the oldest first.
    fn bury(&mut self) {
        let orphans: Vec<u64> = self.jobs.iter().filter(|(_, job)| job.owner.is_none()).map(|(id, _)| *id).collect();
        let surplus = orphans.len().saturating_sub(ORPHANS_MAX);
        for id in orphans.into_iter().take(surplus) {
            self.jobs.remove(&id);
            self.lost_up_to = self.lost_up_to.max(id);
        }
    }
}

impl Shared {
    /// From its place a request goes to those that wait.
    fn begin(&self, job: u64) -> bool {
        let mut board = self.board.lock();
        let Some(job) = board.jobs.get_mut(&job).filter(|job| matches!(job.stage, Stage::Reserved)) else { return false };
        job.stage = Stage::Handed;
        true
    }

    /// Waits for the turn of a request; whether it is made: it is still wanted.
    ///
    /// Order: the limits count it when nothing holds it up any more. Otherwise all that was held up would be sent at once.
    async fn turn(&self, job: u64, chat: &str, limits: &Limits) -> bool {
        loop {
            let free = self.free.notified();
            match self.gate(job, false) {
                Gate::Never => return false,
                Gate::Shut => drop(tokio::time::timeout(LOOK, free).await),
                Gate::Open => {
                    limits.ready(chat).await;
                    match self.gate(job, true) {
                        Gate::Open => return true,
                        Gate::Shut => {}
                        Gate::Never => return false,
                    }
                }
            }
        }
    }

    /// Whether a request may be made; if so and it `starts`, it is under way from now on.
    fn gate(&self, id: u64, starts: bool) -> Gate {
        let mut board = self.board.lock();
        let now = self.clock.monotonic();
        let shut = board.holds > 0 || board.is_out_of_reach(now) || board.is_stale(id, now);
        let stopped = board.stopped.is_some();
        let Some(job) = board.jobs.get_mut(&id).filter(|job| matches!(job.stage, Stage::Handed)) else { return Gate::Never };
        if stopped {
            job.stage = Stage::Done(Delivery::NotMade);
            self.done.notify_all();
            return Gate::Never;
        }
        if shut {
            return Gate::Shut;
        }
        if starts {
            job.stage = Stage::Started;
        }
        Gate::Open
    }
}

/// A request under way: however it ends, its task hears of it.
struct Unfinished<'a> {
    shared: &'a Shared,
    job: u64,
    outcome: Option<Outcome>,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or_else(|| Outcome::Unknown { reason: "the request was broken off here".to_owned() });
        let now = self.shared.clock.monotonic();
        let mut board = self.shared.board.lock();
        board.heard(&outcome, now);
        match &outcome {
            Outcome::Sent { .. } | Outcome::Unchanged => board.sent_total += 1,
            Outcome::Stop { reason } => {
                tracing::error!(
                    reason,
                    "nothing is sent any more: the bot's token or the address of the Bot API is wrong; the messages stay in their queues"
                );
                board.stopped.get_or_insert_with(|| reason.clone());
            }
            _ => {}
        }
        if let Some(job) = board.jobs.get_mut(&self.job) {
            job.stage = Stage::Done(Delivery::Made(outcome));
        }
        self.shared.done.notify_all();
        self.shared.free.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
