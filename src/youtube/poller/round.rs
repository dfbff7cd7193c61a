//! One poll: what its steps have in common, from the reservation of units to the commit.

use std::collections::HashMap;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::error::Halt;
use super::member::Member;
use super::memory::Reason;
use super::schedule::back_off;
use super::writer::{Failed, Written};
use super::{Active, Error, Settings, Stop, Summary};
use crate::streams::clock::{Clock, Timestamp};
use crate::streams::task::chain;
use crate::youtube::{Action, Client, Ledger, Problem};

/// Units that are reserved at a time: what a killed poller may have reserved and not spent.
pub(super) const BLOCK: u64 = 10;

/// How often a request is sent before it has failed.
const TRIES: u32 = 3;

/// The pauses between them.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MOST: Duration = Duration::from_secs(30);

/// A longer pause than this is not made within a poll.
const PAUSE_MOST: Duration = Duration::from_secs(120);

/// So many requests that fail in a row end the poll: then it is not one list that is in trouble.
const FAILED_IN_ROW_MAX: u32 = 2;

/// How often a commit that came to nothing is made again.
const COMMITS: u32 = 3;

/// So long after midnight a quota that is spent may still be that of the day before: YouTube's clock and this one differ, and what is spent is not
/// forgotten everywhere at once.
const RESET_LAG: Duration = Duration::from_secs(3_600);

/// The pause before it is asked again then.
const RESET_PAUSE: Duration = Duration::from_secs(600);

/// While an answer is waited for the group is heard this often.
const HEAR_EVERY: Duration = Duration::from_millis(100);

/// How far a list was read in this poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Not at all, or in vain.
    Unread,
    /// To the limit of what is read: what is in it is known, what is not in it is not.
    Bounded,
    /// To its end.
    Whole,
}

/// A list of this poll.
#[derive(Clone, Debug)]
pub(super) struct ListRead {
    pub(super) id: String,
    pub(super) extent: Extent,
}

/// A video that is in a list, or watched by itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Listed {
    pub(super) id: String,
    /// Places in [`Round::lists`].
    pub(super) lists: Vec<usize>,
    /// Whether an item of a list says that it is private.
    pub(super) is_private: bool,
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Reply<T> {
    Got(T),
    /// The list that was asked for cannot be read.
    Refused(Problem),
    /// The page token is not taken.
    PagingLost(Problem),
    /// Nothing came of it, however often it was tried.
    Failed(Problem),
}

/// A poll under way.
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one poll")]
pub(super) struct Round<'a> {
    pub(super) settings: &'a Settings,
    pub(super) client: &'a Client,
    pub(super) runtime: &'a Runtime,
    pub(super) clock: &'a dyn Clock,
    pub(super) member: &'a mut Member,
    pub(super) active: &'a mut Active,
    pub(super) stop: Stop<'a>,
    /// How long one wait for the group may take.
    pub(super) tick: Duration,
    /// Whether lists that could not be read are asked for before their time.
    pub(super) is_eager: bool,
    pub(super) chance: u64,
    pub(super) lists: Vec<ListRead>,
    pub(super) listed: Vec<Listed>,
    pub(super) places: HashMap<String, usize>,
    /// Whether all lists that are watched are known: a handle may not have been resolved.
    pub(super) is_resolved: bool,
    /// Videos that are listed and that YouTube leaves out, with what that seems to mean.
    pub(super) missing: Vec<(String, Reason)>,
    /// Whether so many are missing that it is not believed.
    pub(super) are_many_missing: bool,
    /// Whether all videos that are listed were asked for.
    pub(super) is_observed: bool,
    pub(super) failed_in_row: u32,
    /// Set where YouTube wants to be left alone for longer than a poll waits.
    pub(super) left_alone: Duration,
    pub(super) summary: Summary,
}

impl<'a> Round<'a> {
    /// Polls. What went wrong with YouTube is in the summary; an error is something else.
    pub(super) fn run(mut self) -> Result<(Summary, Duration), Halt> {
        self.begin()?;
        match self.look() {
            Ok(()) => {}
            Err(Halt::Ended) => self.summary.is_complete = false,
            Err(halt) => return Err(halt),
        }
        self.finish()?;
        Ok((self.summary, self.left_alone))
    }

    fn look(&mut self) -> Result<(), Halt> {
        self.read_lists()?;
        self.observe()?;
        self.count_the_missing()?;
        self.forget()
    }

    fn begin(&mut self) -> Result<(), Halt> {
        let now = self.clock.now();
        tracing::info!("START");
        self.summary.started = now;
        let cost = self.active.memory.poll().cost.max(1);
        self.active.memory.poll_mut().started = Some(now.0);
        // Written down again also where enough is reserved: between polls what is written down is what was spent.
        let ready = self.active.budget.ready(now);
        if !self.reserve(cost.min(BLOCK).saturating_sub(ready)) {
            let ledger = self.active.budget.ledger();
            self.active.memory.set_ledger(ledger);
        }
        self.commit(&[])
    }

    /// Reserves units, which are written down with the next commit; says whether there were any.
    fn reserve(&mut self, units: u64) -> bool {
        let Some(ledger) = self.active.budget.reserve(units, self.clock.now()) else { return false };
        self.active.memory.set_ledger(ledger);
        true
    }

    fn finish(&mut self) -> Result<(), Halt> {
        let now = self.clock.now();
        if self.is_observed {
            for read in self.lists.iter().filter(|read| read.extent != Extent::Unread) {
                let list = super::memory::List { complete: true, ..self.active.memory.list(&read.id) };
                self.active.memory.set_list(&read.id, list);
            }
        }
        if self.summary.is_complete || self.summary.units > self.active.memory.poll().cost {
            self.active.memory.poll_mut().cost = self.summary.units;
        }
        let units = self.active.budget.spent(now);
        let day = self.active.budget.day(now);
        self.active.memory.set_ledger(Ledger { day, units });
        self.commit(&[])?;
        self.summary.videos = self.active.memory.present();
        self.summary.units_today = units;
        self.note_unread();
        Ok(())
    }

    /// Notes which lists and channels that are watched cannot be read.
    fn note_unread(&mut self) {
        let handles = self.settings.handles().map(|handle| format!("@{handle}"));
        let mut unread = Vec::new();
        for id in self.lists.iter().map(|list| list.id.clone()).chain(handles) {
            let list = self.active.memory.list(&id);
            let is_none_yet =
                !list.complete && crate::youtube::ids::part_of_uploads(&id).is_some_and(|channel| self.reads_part_of(channel));
            if let Some(refused) = list.refused.filter(|_| !is_none_yet) {
                unread.push(format!("{id} ({})", refused.why));
            }
        }
        self.summary.unseen.splice(0..0, unread);
    }

    /// Whether some of a channel's uploads can be read: then it is there, and has only none of the other kinds.
    fn reads_part_of(&self, channel: &str) -> bool {
        self.lists.iter().any(|list| list.extent != Extent::Unread && crate::youtube::ids::part_of_uploads(&list.id) == Some(channel))
    }

    /// What is left of the day, in units.
    pub(super) fn units_left(&mut self) -> u64 {
        self.active.budget.left(self.clock.now())
    }

    /// Hears the group, for at most `timeout`.
    pub(super) fn hear(&mut self, timeout: Duration) -> Result<(), Halt> {
        if (self.stop)() {
            return Err(Halt::Stopped);
        }
        let turn = self.member.hear(timeout)?;
        if turn == Some(self.active.turn) { Ok(()) } else { Err(Halt::TurnLost) }
    }

    fn pause(&mut self, pause: Duration) -> Result<(), Halt> {
        let until = self.clock.monotonic().saturating_add(pause);
        loop {
            let left = until.saturating_sub(self.clock.monotonic());
            if left.is_zero() {
                return Ok(());
            }
            self.hear(left.min(self.tick))?;
        }
    }

    /// A number that differs from poller to poller and from time to time.
    fn chance(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(1);
        xxhash_rust::xxh3::xxh3_64_with_seed(&self.clock.now().0.to_le_bytes(), self.chance)
    }

    /// Counts the unit of a request that is about to be sent.
    fn spend(&mut self) -> Result<(), Halt> {
        let now = self.clock.now();
        // Twice at most: the day may end between the reservation and the request.
        for _ in 0..2 {
            if self.active.budget.ready(now) == 0 {
                if !self.reserve(BLOCK) {
                    return Err(self.end("the quota of this day is spent, as far as `quota_per_day` allows"));
                }
                self.commit(&[])?;
            }
            if self.active.budget.spend(now) {
                self.summary.units += 1;
                return Ok(());
            }
        }
        Err(self.end("no unit could be reserved"))
    }

    /// Notes why the poll can do no more.
    pub(super) fn end(&mut self, why: impl Into<String>) -> Halt {
        self.note(why.into());
        Halt::Ended
    }

    fn note(&mut self, problem: String) {
        self.summary.is_complete = false;
        self.summary.problem = Some(problem);
    }

    /// Sends a request up to three times, as its problems want it.
    pub(super) fn request<T, F>(&mut self, send: impl Fn(&'a Client) -> F) -> Result<Reply<T>, Halt>
    where
        F: Future<Output = Result<T, Problem>>,
    {
        let client = self.client;
        let mut tried = 0;
        loop {
            self.hear(Duration::ZERO)?;
            self.spend()?;
            let problem = match self.wait_for(send(client))? {
                Ok(answer) => {
                    self.failed_in_row = 0;
                    return Ok(Reply::Got(answer));
                }
                Err(problem) => problem,
            };
            tried += 1;
            let chance = self.chance();
            let back_off = back_off(RETRY_FIRST, tried - 1, RETRY_MOST, chance);
            let pause = match problem.action() {
                Action::Fatal => return Err(Halt::Fatal(Error::YouTube(problem))),
                Action::QuotaExhausted => return Err(self.exhausted(&problem)),
                Action::SkipList => return Ok(Reply::Refused(problem)),
                Action::RestartPaging => return Ok(Reply::PagingLost(problem)),
                Action::BackOff { at_least } => at_least.saturating_add(back_off),
                Action::Retry => back_off,
            };
            if pause > PAUSE_MOST {
                self.left_alone = pause;
            }
            if pause > PAUSE_MOST || tried >= TRIES {
                return Ok(Reply::Failed(problem));
            }
            tracing::warn!(%problem, hint = problem.hint(), tried, ?pause, "asking YouTube again");
            self.pause(pause)?;
        }
    }

    /// YouTube says that the day's quota is spent, which is written down: a restart does not ask again before midnight.
    fn exhausted(&mut self, problem: &Problem) -> Halt {
        let now = self.clock.now();
        if now < super::schedule::after(self.active.budget.day(now).start(), RESET_LAG) {
            self.left_alone = RESET_PAUSE;
            tracing::warn!(%problem, pause = ?RESET_PAUSE, "the day of the quota has only begun: asked again");
            return self.end(problem.to_string());
        }
        let ledger = self.active.budget.exhaust(now);
        self.active.memory.set_ledger(ledger);
        let until = self.active.budget.day(now).end().to_string();
        tracing::warn!(%problem, hint = problem.hint(), until, "nothing is asked before the quota begins anew");
        self.end(problem.to_string())
    }

    /// Waits for an answer, hearing the group meanwhile.
    fn wait_for<T>(&mut self, answer: impl Future<Output = Result<T, Problem>>) -> Result<Result<T, Problem>, Halt> {
        let runtime = self.runtime;
        runtime.block_on(async {
            let mut answer = std::pin::pin!(answer);
            let mut hears = tokio::time::interval(HEAR_EVERY);
            loop {
                tokio::select! {
                    biased;
                    answer = &mut answer => return Ok(answer),
                    _ = hears.tick() => self.hear(Duration::ZERO)?,
                }
            }
        })
    }

    /// Commits what became known, and the state that explains it: all or nothing.
    pub(super) fn commit(&mut self, rows: &[Written]) -> Result<(), Halt> {
        let state = self.active.memory.changes().map_err(|error| Halt::Fatal(Error::State(error)))?;
        if rows.is_empty() && state.is_empty() {
            return Ok(());
        }
        let mut tried = 0;
        loop {
            tried += 1;
            let at: Timestamp = self.clock.now();
            match self.active.writer.commit(rows, &state, &self.member.metadata(), at) {
                Ok(()) => {
                    self.active.memory.saved();
                    return Ok(());
                }
                Err(Failed::Again(error)) if tried < COMMITS => {
                    tracing::info!(error = chain(&error), "committing again");
                    // What overtook the commit is heard here: the turn may be another's.
                    self.hear(self.tick)?;
                }
                Err(Failed::Again(error) | Failed::Over(error)) => return Err(Halt::Log(error)),
            }
        }
    }

    /// A request came to nothing: this poll is not complete, and where the one before failed too it ends.
    pub(super) fn fail(&mut self, what: &str, problem: &Problem) -> Result<(), Halt> {
        tracing::warn!(what, %problem, hint = problem.hint(), "passed over in this poll");
        self.failed_in_row += 1;
        self.note(problem.to_string());
        if self.failed_in_row >= FAILED_IN_ROW_MAX || !self.left_alone.is_zero() { Err(Halt::Ended) } else { Ok(()) }
    }
}
