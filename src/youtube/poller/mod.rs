//! The poller: asks YouTube for the videos that are watched and writes what it sees to the topic of a source.
//!
//! One thread. Of all pollers of an application one is active, whoever the group `<application_id>-poller` gives the one partition of the state topic
//! `<application_id>-poller-state` (compacted); the others stand by. It makes a producer whose transactional id is the application's, which fences
//! a predecessor, reads the state topic, and polls when it is due. Observations and the state that explains them are committed in one
//! transaction, 50 videos at a time, with the member's generation: a poller that was killed between two requests repeats at most one batch.
//!
//! A poll reads all lists and then asks for their videos, 50 a request: 2 * ceil(N / 50) units.

mod error;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod lists;
mod member;
mod memory;
mod round;
mod schedule;
mod settings;
mod status;
mod summary;
#[cfg(test)]
mod tests;
mod videos;
mod writer;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;

use self::error::Halt;
use self::member::{Member, Read};
use self::memory::Memory;
use self::round::Round;
use self::schedule::{Due, after, back_off, due, until};
use self::writer::Writer;
use super::{Budget, Client, observation};
use crate::avro::{Encoder, Misfit, Registry, RegistryError, SchemaId};
use crate::streams::clock::{Clock, Timestamp};
use crate::streams::log::{Class, Log, TopicConfig};
use crate::streams::task::chain;

pub use self::error::Error;
#[cfg(any(test, fuzzing))]
pub(super) use self::fuzz::memory as fuzz;
pub use self::settings::{Settings, group, state_topic};
pub use self::status::{Status, StatusHandle};
pub use self::summary::Summary;

/// How long one wait for the group takes at most; so long it may take to hear that the poller is to stop.
const TICK: Duration = Duration::from_millis(100);

/// How long [`Poller::once`] waits for its turn.
const ONCE_WAIT: Duration = Duration::from_secs(60);

/// Failures of the log or the registry without a success in between, before the poller ends.
const FAILURES_MAX: u32 = 10;

/// Others that take its ids, before it ends: two processes that pass for one would go on for ever.
const FENCED_MAX: u32 = 2;

/// The pauses after failures of the log, and after polls that were not complete.
const FAILURE_FIRST: Duration = Duration::from_secs(1);
const FAILURE_MOST: Duration = Duration::from_secs(60);
const INCOMPLETE_FIRST: Duration = Duration::from_secs(60);
const INCOMPLETE_MOST: Duration = Duration::from_secs(3_600);

/// Without a failure for so long, earlier ones do not count any more.
const FAILURES_FORGOTTEN: Duration = Duration::from_secs(600);

/// Whether to stop; asked at least once in a second.
type Stop<'a> = &'a (dyn Fn() -> bool + Sync);

/// What a poller is made of.
#[derive(Debug)]
pub struct Parts {
    /// Where observations and state are written.
    pub log: Arc<dyn Log>,
    /// Where the schema is registered.
    pub registry: Arc<dyn Registry>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who asks YouTube.
    pub client: Client,
    /// What is polled.
    pub settings: Settings,
    /// The id of this instance: a restart with the same one takes up its turn at once.
    pub instance_id: Arc<str>,
    /// Whether the state topic is created where it is missing: on the embedded log. On Kafka that is `setup`'s.
    pub creates_topic: bool,
}

/// What a step of the poller was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Another one is active, or the group does not answer yet.
    StandingBy,
    /// The next poll is due after this time.
    Waiting(Duration),
    /// A poll.
    Polled(Box<Summary>),
    /// The log or the registry failed: begun anew after a pause.
    Recovering,
    /// Told to stop.
    Stopped,
}

/// What only the active poller has.
#[derive(Debug)]
struct Active {
    /// The turn in which it became so.
    turn: u64,
    writer: Writer,
    memory: Memory,
    budget: Budget,
    schema: SchemaId,
    encoder: Encoder,
    /// What was said in this turn, and is not said with every poll.
    told: HashSet<String>,
}

/// The poller.
#[derive(Debug)]
pub struct Poller {
    parts: Parts,
    group: Arc<str>,
    state_topic: Arc<str>,
    encoder: Encoder,
    runtime: Runtime,
    member: Option<Member>,
    active: Option<Active>,
    status: StatusHandle,
    tick: Duration,
    failures: u32,
    fenced: u32,
    failed_at: Duration,
    /// Until when nothing is tried after a failure.
    still_until: Duration,
    /// Polls in a row that were not complete, and since when and for how long none is begun after them.
    incomplete: u32,
    rest: Option<(Timestamp, Duration)>,
}

impl Poller {
    /// A poller; it joins its group when it runs.
    pub fn new(parts: Parts) -> Result<Self, Error> {
        let settings = &parts.settings;
        let encoder = Encoder::compile(&settings.schema, &observation::shape()).map_err(|misfits| misfit(&settings.topic, misfits))?;
        let state_topic: Arc<str> = state_topic(&settings.application_id).into();
        if parts.creates_topic {
            match parts.log.admin().create_topic(&state_topic, &TopicConfig::compact(1)) {
                Err(error) if error.class != Class::Exists => return Err(Error::Log(error)),
                _ => {}
            }
        }
        let group = group(&settings.application_id).into();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
        Ok(Self {
            group,
            state_topic,
            encoder,
            runtime,
            member: None,
            active: None,
            status: StatusHandle::default(),
            tick: TICK,
            failures: 0,
            fenced: 0,
            failed_at: Duration::ZERO,
            still_until: Duration::ZERO,
            incomplete: 0,
            rest: None,
            parts,
        })
    }

    /// A poller that never waits: whoever takes its [`turn`](Self::turn)s moves the clock between them.
    pub fn stepped(parts: Parts) -> Result<Self, Error> {
        Ok(Self { tick: Duration::ZERO, ..Self::new(parts)? })
    }

    /// One turn of what [`run`](Self::run) repeats.
    pub fn turn(&mut self) -> Result<Step, Error> {
        self.step(&|| false, false)
    }

    /// What the poller is at, also while it runs.
    pub fn status(&self) -> StatusHandle {
        self.status.clone()
    }

    /// Polls until `stop` says so, which is asked often: it returns within two seconds, where the log answers.
    pub fn run(&mut self, stop: &(dyn Fn() -> bool + Sync)) -> Result<(), Error> {
        let ended = loop {
            match self.step(stop, false) {
                Ok(Step::Stopped) => break Ok(()),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        self.leave();
        ended
    }

    /// Polls once, now, whatever is due; waits for its turn for up to a minute. Lists that could not be read lately are asked for, too.
    ///
    /// # Errors
    /// [`Error::Busy`] where another poller stays active, [`Error::Budget`] where the day's quota does not cover a poll.
    pub fn once(&mut self, stop: &(dyn Fn() -> bool + Sync)) -> Result<Summary, Error> {
        let began = self.parts.clock.monotonic();
        let ended = loop {
            match self.step(stop, true) {
                Ok(Step::Polled(summary)) => break Ok(*summary),
                Ok(Step::Stopped) => break Ok(Summary { problem: Some("it was told to stop".to_owned()), ..Summary::default() }),
                Ok(_) if self.parts.clock.monotonic().saturating_sub(began) > ONCE_WAIT => break Err(Error::Busy { waited: ONCE_WAIT }),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        self.leave();
        ended
    }

    /// One step: a poll where one is due or wanted now, or a short wait.
    fn step(&mut self, stop: Stop<'_>, now: bool) -> Result<Step, Error> {
        match self.try_step(stop, now) {
            Ok(step) => Ok(step),
            Err(Halt::Stopped) => Ok(Step::Stopped),
            Err(Halt::TurnLost | Halt::Ended) => {
                self.stand_by();
                Ok(Step::StandingBy)
            }
            Err(Halt::Fatal(error)) => Err(self.ends(error)),
            Err(Halt::Log(error)) => self.recover(Error::Log(error)),
            Err(Halt::Registry(source)) => {
                let topic = Arc::clone(&self.parts.settings.topic);
                self.recover(Error::Registry { topic, source })
            }
        }
    }

    fn try_step(&mut self, stop: Stop<'_>, now: bool) -> Result<Step, Halt> {
        if stop() {
            return Err(Halt::Stopped);
        }
        let still = self.still_until.saturating_sub(self.parts.clock.monotonic());
        if !still.is_zero() {
            // The group is heard meanwhile, where there is one to hear.
            match &mut self.member {
                Some(member) => drop(member.hear(still.min(self.tick))?),
                None => std::thread::park_timeout(still.min(self.tick)),
            }
            return Ok(Step::Recovering);
        }
        let Some(turn) = self.member()?.turn() else {
            let tick = self.tick;
            self.member()?.hear(tick)?;
            self.stand_by();
            self.report(|status| status.problem = None);
            return Ok(Step::StandingBy);
        };
        if self.active.as_ref().is_none_or(|active| active.turn != turn) {
            self.activate(turn, stop)?;
        }
        let due = self.due();
        if now && !due.is_covered {
            return Err(Halt::Fatal(self.no_budget(due.at)));
        }
        let wait = if now { Duration::ZERO } else { until(due.at, self.parts.clock.now()) };
        let tick = self.tick;
        if self.member()?.hear(wait.min(tick))? != Some(turn) {
            return Err(Halt::TurnLost);
        }
        if !wait.is_zero() {
            return Ok(Step::Waiting(wait));
        }
        self.poll(stop, now).map(|summary| Step::Polled(Box::new(summary)))
    }

    /// The member, which joins the group where it is none.
    fn member(&mut self) -> Result<&mut Member, Halt> {
        if self.member.is_none() {
            self.member = Some(Member::join(&*self.parts.log, &self.group, &self.parts.instance_id, &self.state_topic)?);
        }
        self.member.as_mut().ok_or(Halt::TurnLost)
    }

    /// Becomes the active poller: fences its predecessor, reads what that one knew.
    fn activate(&mut self, turn: u64, stop: Stop<'_>) -> Result<(), Halt> {
        self.active = None;
        let Parts { log, registry, settings, clock, .. } = &self.parts;
        let schema = registry.register(&format!("{}-value", settings.topic), &settings.schema).map_err(|source| match source {
            source @ RegistryError::Unavailable { .. } => Halt::Registry(source),
            source => Halt::Fatal(Error::Registry { topic: Arc::clone(&settings.topic), source }),
        })?;
        // Order: the predecessor's transaction is ended before its state is read.
        let writer = Writer::open(log, &self.group, &settings.topic, &self.state_topic)?;
        let mut memory = Memory::default();
        let Some(member) = &mut self.member else { return Err(Halt::TurnLost) };
        match member.read(&**log, self.tick, stop, &mut memory)? {
            Read::Whole => {}
            Read::TurnLost => return Err(Halt::TurnLost),
            Read::Stopped => return Err(Halt::Stopped),
        }
        let now = clock.now();
        let budget = match memory.ledger() {
            Some(ledger) => Budget::restored(settings.quota_per_day, ledger, now),
            None => Budget::new(settings.quota_per_day, now),
        };
        let active = Active { turn, writer, memory, budget, schema, encoder: self.encoder.clone(), told: HashSet::new() };
        let active = self.active.insert(active);
        let mut unread = Vec::new();
        for (list, refused) in active.memory.refused().filter(|(list, _)| settings.watches(list, &active.memory)) {
            let again = Timestamp(refused.again).to_string();
            tracing::warn!(list, problem = refused.why, again, "could not be read when it was last asked for; `run --once` asks at once");
            unread.push(format!("{list} ({})", refused.why));
        }
        let problem = Summary { unseen: unread, ..Summary::default() }.trouble();
        let (videos, started) = (active.memory.present(), active.memory.started());
        let units = active.budget.spent(now);
        let (last, next) = (started.map(|at| at.to_string()), self.due().at.to_string());
        tracing::info!(videos, last, units, next, "this poller is active");
        self.report(|status| {
            status.is_active = true;
            status.last_poll = started;
            status.videos = videos;
            status.problem = problem;
        });
        Ok(())
    }

    fn due(&mut self) -> Due {
        let now = self.parts.clock.now();
        let Some(active) = &mut self.active else { return Due { at: now, is_covered: true } };
        let (started, cost) = (active.memory.started(), active.memory.poll().cost);
        let due = due(started, cost, self.parts.settings.every, &mut active.budget, now);
        // A rest that is still to begin is of a clock that was set back since.
        let rest = self.rest.filter(|(from, _)| *from <= now);
        Due { at: rest.map_or(due.at, |(from, pause)| due.at.max(after(from, pause))), ..due }
    }

    fn no_budget(&mut self, until: Timestamp) -> Error {
        let now = self.parts.clock.now();
        let (left, cost) = self.active.as_mut().map_or((0, 0), |active| (active.budget.left(now), active.memory.poll().cost));
        Error::Budget { left, cost, until }
    }

    /// Polls, and says what it brought.
    fn poll(&mut self, stop: Stop<'_>, is_eager: bool) -> Result<Summary, Halt> {
        let (Some(member), Some(active)) = (&mut self.member, &mut self.active) else { return Err(Halt::TurnLost) };
        let round = Round {
            settings: &self.parts.settings,
            client: &self.parts.client,
            runtime: &self.runtime,
            clock: &*self.parts.clock,
            member,
            active,
            stop,
            tick: self.tick,
            is_eager,
            chance: xxhash_rust::xxh3::xxh3_64(self.parts.instance_id.as_bytes()),
            lists: Vec::new(),
            listed: Vec::new(),
            places: HashMap::new(),
            is_resolved: false,
            missing: Vec::new(),
            are_many_missing: false,
            is_observed: false,
            failed_in_row: 0,
            left_alone: Duration::ZERO,
            summary: Summary { is_complete: true, ..Summary::default() },
        };
        let (mut summary, left_alone) = round.run()?;
        (self.failures, self.fenced) = (0, 0);
        self.rest(&summary, left_alone);
        summary.next_in = until(self.due().at, self.parts.clock.now());
        summary.tell();
        self.report(|status| {
            status.last_poll = Some(summary.started);
            status.videos = summary.videos;
            status.problem = summary.trouble();
        });
        Ok(summary)
    }

    /// After polls that were not complete the next one is longer in coming.
    fn rest(&mut self, summary: &Summary, left_alone: Duration) {
        let now = self.parts.clock.now();
        if summary.is_complete {
            (self.incomplete, self.rest) = (0, None);
            return;
        }
        let chance = u64::from(self.incomplete).wrapping_add(now.0.unsigned_abs());
        let pause = back_off(INCOMPLETE_FIRST, self.incomplete, INCOMPLETE_MOST, chance).max(left_alone);
        self.incomplete = self.incomplete.saturating_add(1);
        self.rest = Some((now, pause));
    }

    fn stand_by(&mut self) {
        self.active = None;
        self.report(|status| status.is_active = false);
    }

    /// Begins anew after a failure: joins, fences, reads. Too many of them end the poller.
    fn recover(&mut self, error: Error) -> Result<Step, Error> {
        let now = self.parts.clock.monotonic();
        if now.saturating_sub(self.failed_at) > FAILURES_FORGOTTEN {
            (self.failures, self.fenced) = (0, 0);
        }
        self.failed_at = now;
        self.failures += 1;
        let class = if let Error::Log(error) = &error { error.class } else { Class::Retriable };
        self.fenced += u32::from(class == Class::Fenced);
        let is_hopeless = matches!(class, Class::Denied | Class::UnknownTopic | Class::Record);
        if is_hopeless || self.failures > FAILURES_MAX || self.fenced > FENCED_MAX {
            return Err(self.ends(error));
        }
        let pause = back_off(FAILURE_FIRST, self.failures - 1, FAILURE_MOST, u64::from(self.failures));
        tracing::warn!(error = chain(&error), failures = self.failures, ?pause, "begun anew");
        self.stand_by();
        self.report(|status| status.problem = Some(chain(&error)));
        if matches!(error, Error::Log(_)) {
            self.member = None;
        }
        self.still_until = now.saturating_add(pause);
        Ok(Step::Recovering)
    }

    fn ends(&mut self, error: Error) -> Error {
        self.stand_by();
        self.report(|status| status.problem = Some(chain(&error)));
        error
    }

    /// Leaves the group, so that another one has the turn at once.
    fn leave(&mut self) {
        self.stand_by();
        if let Some(Err(error)) = self.member.take().map(Member::leave) {
            tracing::debug!(error = chain(&error), "leaving the group of the pollers");
        }
    }

    fn report(&mut self, change: impl FnOnce(&mut Status)) {
        let now = self.parts.clock.now();
        let next = self.active.is_some().then(|| self.due().at);
        let units = self.active.as_mut().map(|active| active.budget.spent(now));
        self.status.change(|status| {
            status.next_poll = next;
            status.units_today = units.unwrap_or(status.units_today);
            change(status);
        });
    }
}

fn misfit(topic: &Arc<str>, misfits: Vec<Misfit>) -> Error {
    Error::Schema { topic: Arc::clone(topic), source: Misfit::first(misfits) }
}
