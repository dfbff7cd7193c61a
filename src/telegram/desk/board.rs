//! What a desk knows: which requests there are, how far each is, and which of them may be made now.
//!
//! It has no thread and no clock: whoever asks says what time it is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Delivery, Known, Status};
use crate::telegram::limits::{Limits, Wait};
use crate::telegram::sent_log::ChatId;
use crate::telegram::{Outcome, Request};

/// Requests of all tasks together that are on their way or wait for the limits. At 30 a second and 5 s each, 150 are under way.
pub(super) const JOBS_MAX: usize = 256;

/// Outcomes that nobody has asked for since their task was lost.
pub(super) const ORPHANS_MAX: usize = 1024;

/// How long requests under way are waited for when a task comes to an end: others wait for its partition.
pub(super) const PATIENCE: Duration = Duration::from_secs(8);

/// While tasks come to an end nothing is begun, also not between one and the next.
pub(super) const HOLD: Duration = Duration::from_millis(250);

/// Requests in a row without an answer of the Bot API, to whatever chats, after which the service counts as out of reach.
pub(super) const TROUBLE: u32 = 10;

/// As long as it is, one request at a time tries it, with pauses that grow from the first to the last of these.
const PROBE_FIRST: Duration = Duration::from_secs(1);
const PROBE_LAST: Duration = Duration::from_secs(15);

/// No request is begun for a task that was not at work for so long. Shorter than any session timeout of a group: the task may be a zombie's.
pub(super) const ALIVE: Duration = Duration::from_secs(3);

/// When it is looked again at what something holds up.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// Nobody looks again sooner.
const LOOK_MIN: Duration = Duration::from_millis(1);

/// How far a request is.
#[derive(Debug)]
pub(super) enum Stage {
    Reserved,
    Handed(Request),
    Started,
    Done(Delivery),
}

#[derive(Debug)]
pub(super) struct Job {
    /// The task; none when it is gone.
    pub(super) owner: Option<u64>,
    pub(super) chat: ChatId,
    pub(super) stage: Stage,
}

/// What may be done now.
#[derive(Debug, Default)]
pub struct Next {
    /// Requests to be made at once, each with its number.
    pub requests: Vec<(u64, Request)>,
    /// After this time there may be more; none: not before the courier is called.
    pub look_in: Option<Duration>,
}

impl Next {
    fn look_in(&mut self, wait: Duration) {
        let wait = wait.max(LOOK_MIN);
        self.look_in = Some(self.look_in.map_or(wait, |known| known.min(wait)));
    }
}

/// The board.
#[derive(Debug, Default)]
pub(super) struct Board {
    pub(super) jobs: BTreeMap<u64, Job>,
    pub(super) last_job: u64,
    last_owner: u64,
    /// Requests up to this one may have been forgotten although nobody recorded what came of them.
    lost_up_to: u64,
    /// The tasks, and when each was last at work.
    pub(super) owners: BTreeMap<u64, Duration>,
    /// Tasks that come to an end just now.
    pub(super) ending: usize,
    /// Nothing is begun before this time: another may follow.
    held_until: Duration,
    /// Until when requests are waited for, since the first of the tasks that come to an end one after the other.
    deadline: Option<Duration>,
    /// Requests in a row that the Bot API did not answer.
    unanswered: u32,
    /// When the service is tried next, and since when that is so, while it is out of reach.
    probe_at: Duration,
    pub(super) out_of_reach_since: Option<Duration>,
    sent_total: u64,
    /// Requests that have ended, in whatever way.
    pub(super) ended_total: u64,
    pub(super) stopped: Option<String>,
}

impl Board {
    pub(super) fn status(&self) -> Status {
        let count = |wanted: fn(&Stage) -> bool| self.jobs.values().filter(|job| wanted(&job.stage)).count();
        Status {
            waiting: count(|stage| matches!(stage, Stage::Handed(_))),
            in_flight: count(|stage| matches!(stage, Stage::Started)),
            sent_total: self.sent_total,
            partitions: self.owners.len(),
            out_of_reach: self.out_of_reach_since.is_some(),
            stopped: self.stopped.clone(),
        }
    }

    /// A task begins; returns how it is called here.
    pub(super) fn join(&mut self, now: Duration) -> u64 {
        self.last_owner += 1;
        self.owners.insert(self.last_owner, now);
        self.last_owner
    }

    /// A task is gone. What was not begun for it is never made; what is under way may be asked for by its successor.
    pub(super) fn leave(&mut self, owner: u64) {
        self.owners.remove(&owner);
        self.jobs.retain(|_, job| job.owner != Some(owner) || matches!(job.stage, Stage::Started | Stage::Done(_)));
        self.jobs.values_mut().filter(|job| job.owner == Some(owner)).for_each(|job| job.owner = None);
        self.bury();
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

    /// Takes a place for a request; none where there is no room, or nothing is sent any more.
    pub(super) fn reserve(&mut self, owner: u64, chat: &ChatId) -> Option<u64> {
        let taken = self.jobs.values().filter(|job| job.owner.is_some()).count();
        if self.stopped.is_some() || taken >= JOBS_MAX {
            return None;
        }
        self.last_job += 1;
        self.jobs.insert(self.last_job, Job { owner: Some(owner), chat: Arc::clone(chat), stage: Stage::Reserved });
        Some(self.last_job)
    }

    /// From its place a request goes to those that wait.
    pub(super) fn hand(&mut self, job: u64, request: Request) {
        if let Some(job) = self.jobs.get_mut(&job).filter(|job| matches!(job.stage, Stage::Reserved)) {
            job.stage = Stage::Handed(request);
        }
    }

    /// Takes over a request of a task that is gone.
    pub(super) fn adopt(&mut self, owner: u64, job: u64) -> Known {
        let lost_up_to = self.lost_up_to;
        match self.jobs.get_mut(&job) {
            Some(job) => {
                job.owner = Some(owner);
                Known::Here
            }
            None if job <= lost_up_to => Known::Perhaps,
            None => Known::Never,
        }
    }

    /// A task comes to an end: what is not begun for it is never made. Returns until when the rest is waited for. Tasks that come to an end one
    /// after the other share that time, as long as nothing can have been begun between them.
    pub(super) fn end(&mut self, owner: u64, now: Duration) -> Duration {
        let deadline = self.deadline.filter(|_| self.is_held(now)).unwrap_or(now + PATIENCE);
        self.deadline = Some(deadline);
        self.ending += 1;
        for job in self.jobs.values_mut().filter(|job| job.owner == Some(owner) && matches!(job.stage, Stage::Handed(_))) {
            job.stage = Stage::Done(Delivery::NotMade);
        }
        deadline
    }

    /// It has come to an end.
    pub(super) fn has_ended(&mut self, now: Duration) {
        self.ending = self.ending.saturating_sub(1);
        self.held_until = self.held_until.max(now + HOLD);
    }

    /// Whether a request of the task is under way.
    pub(super) fn is_under_way(&self, owner: u64) -> bool {
        self.jobs.values().any(|job| job.owner == Some(owner) && matches!(job.stage, Stage::Started))
    }

    /// Takes the requests that are to be made now, in the order in which they were handed over: they are under way from now on.
    ///
    /// Order: the limits count a request when nothing holds it up any more. Otherwise all that was held up would be sent at once.
    pub(super) fn next(&mut self, limits: &Limits, now: Duration) -> Next {
        let mut next = Next::default();
        let waiting: Vec<u64> = self.jobs.iter().filter(|(_, job)| matches!(job.stage, Stage::Handed(_))).map(|(id, _)| *id).collect();
        for id in waiting {
            let held = self.is_held(now) || self.is_out_of_reach(now) || self.is_stale(id, now);
            let stopped = self.stopped.is_some();
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            let Stage::Handed(Request::Send(message) | Request::Edit { message, .. }) = &job.stage else { continue };
            if stopped {
                job.stage = Stage::Done(Delivery::NotMade);
                self.ended_total += 1;
                continue;
            }
            if held {
                next.look_in(LOOK);
                continue;
            }
            match limits.take(&message.chat_id) {
                Ok(()) => {
                    if let Stage::Handed(request) = std::mem::replace(&mut job.stage, Stage::Started) {
                        next.requests.push((id, request));
                    }
                }
                Err(Wait::Chat(wait)) => next.look_in(wait),
                Err(Wait::Bot(wait)) => {
                    next.look_in(wait);
                    // Those behind it wait in the line.
                    break;
                }
            }
        }
        next
    }

    /// Whether tasks come to an end.
    pub(super) fn is_held(&self, now: Duration) -> bool {
        self.ending > 0 || now < self.held_until
    }

    /// Whether the service is out of reach, and it is not the time to try it.
    pub(super) fn is_out_of_reach(&self, now: Duration) -> bool {
        self.unanswered >= TROUBLE && (now < self.probe_at || self.jobs.values().any(|job| matches!(job.stage, Stage::Started)))
    }

    /// Whether the task of a request was not at work lately: its thread, or the whole process, stood still, and its partition may be another's.
    fn is_stale(&self, job: u64, now: Duration) -> bool {
        let owner = self.jobs.get(&job).and_then(|job| job.owner);
        owner.and_then(|owner| self.owners.get(&owner)).is_some_and(|at| now.saturating_sub(*at) > ALIVE)
    }

    /// A request has ended, and this came of it.
    pub(super) fn done(&mut self, id: u64, outcome: Outcome, now: Duration) {
        self.heard(&outcome, now);
        match &outcome {
            Outcome::Sent { .. } | Outcome::Unchanged => self.sent_total += 1,
            Outcome::Stop { reason } => {
                tracing::error!(
                    reason,
                    "nothing is sent any more: the bot's token or the address of the Bot API is wrong; the messages stay in their queues"
                );
                self.stopped.get_or_insert_with(|| reason.clone());
            }
            _ => {}
        }
        if let Some(job) = self.jobs.get_mut(&id) {
            job.stage = Stage::Done(Delivery::Made(outcome));
        }
        self.ended_total += 1;
    }

    /// Takes note of whether the Bot API answers.
    pub(super) fn heard(&mut self, outcome: &Outcome, now: Duration) {
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
}
