//! Follows the changelogs of standby tasks, a step at a time: takes tasks up, reads, and confirms from time to time how far the disk is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::super::layout;
use super::super::parts::Parts;
use super::super::restore::Outcome;
use super::super::restore_plan::{self, Lifetime, may_hold_tombstones};
use super::super::{Error, Result};
use super::opening::Opening;
use super::{StandbyProgress, StandbyStatus};
use crate::streams::clock::Timestamp;
use crate::streams::log::{self, Admin, Class, Committed, Consumer, ConsumerOptions, Isolation, Offset, RecordBatch, TopicPartition};
use crate::streams::processor::StoreId;
use crate::streams::task::{self, State, TaskId};
use crate::streams::topology::Subtopology;

/// How often it looks for tasks that nobody here has.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// No task is taken up before the stream threads have taken none for so long: a rebalance has several rounds, and what is opened in the middle of one
/// may be theirs in the next.
const SETTLED: Duration = Duration::from_secs(3);

/// How often the end of a changelog is asked for, and what was read up to it is written with its age.
const CONFIRM_INTERVAL: Duration = Duration::from_secs(5);

/// How often it looks whether the changelogs are still the ones that they were.
const LIFE_INTERVAL: Duration = Duration::from_secs(60);

/// After this time a task is looked at again that waits for its owner.
const WAIT: Duration = Duration::from_secs(5);

/// After this time something is tried again that failed.
const RETRY: Duration = Duration::from_secs(30);

/// A changelog that is followed.
#[derive(Debug)]
struct Reading {
    task: TaskId,
    store: StoreId,
    position: Offset,
    /// Where it was when that was the end for the last time.
    complete: Offset,
    lifetime: Lifetime,
    /// The high watermark when it was last asked for, and at which point of the monotonic clock that was.
    end: Offset,
    asked: Duration,
    /// An end of the changelog and the time when it was that; none once it was reached and written.
    target: Option<(Offset, Timestamp)>,
}

/// A task that is not followed for the time being.
#[derive(Debug)]
struct Aside {
    cause: String,
    until: Duration,
}

/// Why a task is not followed.
enum Refusal {
    /// The log does not answer, for whatever task.
    Log(log::Error),
    /// Something about this task; and for how long it is left alone.
    Task(String, Duration),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Log(error) => Self::Log(error),
            error => Self::Task(task::chain(&error), RETRY),
        }
    }
}

impl From<log::Error> for Refusal {
    fn from(error: log::Error) -> Self {
        Self::Log(error)
    }
}

/// Follows changelogs.
#[derive(Debug)]
pub(crate) struct StandbyReader {
    parts: Parts,
    admin: Arc<dyn Admin>,
    /// None until it is needed, and after an error that a consumer does not recover from.
    consumer: Option<Box<dyn Consumer>>,
    reading: BTreeMap<TopicPartition, Reading>,
    aside: BTreeMap<TaskId, Aside>,
    batch: RecordBatch,
    /// How often stores were claimed when that was last looked at, and since when it was so often.
    claims: (u64, Duration),
    /// Points of the monotonic clock before which nothing is done at all, no tasks are looked for, lives are not compared, nothing is reported.
    rest_until: Duration,
    look_at: Duration,
    compare_at: Duration,
    report_at: Duration,
}

impl StandbyReader {
    pub(crate) fn new(parts: Parts) -> Self {
        let (admin, zero) = (parts.log.admin(), Duration::ZERO);
        Self {
            parts,
            admin,
            consumer: None,
            reading: BTreeMap::new(),
            aside: BTreeMap::new(),
            batch: RecordBatch::default(),
            claims: (0, zero),
            rest_until: zero,
            look_at: zero,
            compare_at: zero,
            report_at: zero,
        }
    }

    /// One step; returns whether there may be more to do at once. Waits for nothing but answers of the log, for committed offsets up to `patience`.
    pub(crate) fn step(&mut self, patience: Duration) -> bool {
        self.let_go();
        let mut is_busy = false;
        if !self.must_rest() {
            match self.follow(patience) {
                Ok(more) => is_busy = more,
                Err(error) => self.failed(&error),
            }
        }
        self.report();
        is_busy
    }

    fn now(&self) -> Duration {
        self.parts.clock.monotonic()
    }

    /// The work comes first: before this instance knows what is its own, and while a task of its own is restored, nothing is followed.
    fn must_rest(&self) -> bool {
        let status = self.parts.shared.status.lock();
        !status.member || status.tasks.values().any(|task| task.state == State::Restoring) || self.now() < self.rest_until
    }

    fn follow(&mut self, patience: Duration) -> log::Result<bool> {
        if self.consumer.is_none() {
            self.claims.1 = self.now();
            self.consumer = Some(self.parts.log.consumer(ConsumerOptions {
                group: Some(Arc::clone(&self.parts.options.application_id)),
                instance_id: None,
                isolation: Isolation::ReadCommitted,
            })?);
        }
        let took_up = self.take_up(patience)?;
        let has_read = self.read()?;
        self.confirm()?;
        self.compare_lives(patience)?;
        Ok(took_up || has_read)
    }

    /// Stops reading what a stream thread has taken, or what was given up.
    fn let_go(&mut self) {
        let standbys = &self.parts.shared.standbys;
        let gone: Vec<_> =
            self.reading.iter().filter(|(_, reading)| !standbys.is_followed(reading.task)).map(|(log, _)| log.clone()).collect();
        for changelog in gone {
            self.reading.remove(&changelog);
            if let Some(consumer) = &mut self.consumer
                && let Err(error) = consumer.unassign(&changelog)
            {
                tracing::debug!(%error, "standby consumer");
            }
        }
    }

    /// All tasks with stores.
    fn tasks(&self) -> impl Iterator<Item = (TaskId, &Subtopology)> {
        let stateful = self.parts.topology.subtopologies().iter().filter(|subtopology| !subtopology.stores.is_empty());
        stateful.flat_map(|subtopology| {
            let partitions = self.parts.partitions.get(&subtopology.topic).copied().unwrap_or(0);
            (0..partitions).map(move |partition| (TaskId { subtopology: subtopology.id, partition }, subtopology))
        })
    }

    /// Takes up the next task that nobody here has; returns whether there may be more.
    fn take_up(&mut self, patience: Duration) -> log::Result<bool> {
        let now = self.now();
        let standbys = &self.parts.shared.standbys;
        if self.claims.0 != standbys.claims() {
            self.claims = (standbys.claims(), now);
        }
        if now < self.look_at || now < self.claims.1 + SETTLED {
            return Ok(false);
        }
        let is_due = |id: &TaskId| self.aside.get(id).is_none_or(|aside| now >= aside.until) && standbys.is_free(*id);
        let Some((id, subtopology)) = self.tasks().find(|(id, _)| is_due(id)).map(|(id, subtopology)| (id, subtopology.clone())) else {
            self.look_at = now + LOOK_INTERVAL;
            return Ok(false);
        };
        match self.begin(id, &subtopology, patience) {
            Ok(()) => drop(self.aside.remove(&id)),
            Err(Refusal::Task(cause, wait)) => self.set_aside(id, cause, wait),
            Err(Refusal::Log(error)) => {
                self.look_at = now + LOOK_INTERVAL;
                return Err(error);
            }
        }
        Ok(true)
    }

    fn begin(&mut self, id: TaskId, subtopology: &Subtopology, patience: Duration) -> Result<(), Refusal> {
        let Some(consumer) = &mut self.consumer else { return Ok(()) };
        let standbys = &self.parts.shared.standbys;
        let (claims, now) = (standbys.claims(), self.parts.clock.now());
        let waits = |cause: &str| Refusal::Task(cause.to_owned(), WAIT);
        let source = TopicPartition::new(Arc::clone(&subtopology.topic), id.partition);
        let committed = consumer.committed(std::slice::from_ref(&source), patience)?.into_iter().next().flatten();
        let committed = committed.ok_or_else(|| waits("nothing is committed yet"))?;
        // Rows without it would be taken for rows of whatever life there is when they are found.
        let life = life_of(&committed).ok_or_else(|| waits("its owner has not yet named the life of its changelogs"))?;
        let opening = Opening { parts: &self.parts, id, subtopology, committed: &committed, now };
        let changelogs = opening.changelogs(&*self.admin)?;
        let mut starts = Vec::new();
        let open = || {
            let (task, found) = opening.open(&life, &changelogs)?;
            starts = found;
            Ok::<_, Error>(task)
        };
        // Somebody took stores meanwhile: what was found out is asked again.
        let Some(opened) = standbys.take(id, claims, open) else { return Ok(()) };
        opened?;
        let asked = self.parts.clock.monotonic();
        for (changelog, (start, as_of)) in changelogs.into_iter().zip(starts) {
            if let Err(error) = consumer.assign(&changelog.partition, start) {
                standbys.forget(id);
                return Err(error.into());
            }
            tracing::info!(task = %id, changelog = %changelog.partition, from = %start, end = %changelog.end, "standby task begins");
            let (store, end, target) = (changelog.store, changelog.end, Some((changelog.end, now)));
            let lifetime = Lifetime { as_of, kept: changelog.kept };
            let reading = Reading { task: id, store, position: start, complete: start, lifetime, end, asked, target };
            self.reading.insert(changelog.partition, reading);
        }
        Ok(())
    }

    fn set_aside(&mut self, id: TaskId, cause: String, wait: Duration) {
        let until = self.now() + wait;
        let is_news = self.aside.get(&id).is_none_or(|known| known.cause != cause);
        if is_news && wait >= RETRY {
            tracing::warn!(task = %id, cause, "no standby task");
        }
        self.aside.insert(id, Aside { cause, until });
    }

    /// Reads and applies one batch; returns whether there was one.
    fn read(&mut self) -> log::Result<bool> {
        let Some(consumer) = &mut self.consumer else { return Ok(false) };
        if self.reading.is_empty() {
            return Ok(false);
        }
        consumer.poll(Duration::ZERO, &mut self.batch)?;
        for (changelog, reading) in &mut self.reading {
            reading.position = consumer.position(changelog).unwrap_or(reading.position).max(reading.position);
        }
        if self.batch.is_empty() {
            return Ok(false);
        }
        let Some((changelog, reading)) = self.batch.source().and_then(|source| self.reading.get_key_value(source)) else { return Ok(true) };
        let (id, store, lifetime, position) = (reading.task, reading.store, reading.lifetime, reading.position);
        let now = self.parts.clock.now();
        let applied = self.parts.shared.standbys.with(id, |task| {
            lifetime.check(changelog, now)?;
            task.stores.restore(store, &self.batch, position).map_err(|error| restore_plan::store_failed(id, error))
        });
        let changelog = changelog.clone();
        if let Some(Ok(())) = &applied {
            self.parts.shared.status.lock().standby_records_total += self.batch.len() as u64;
        }
        self.batch.start(changelog);
        self.check(id, applied);
        Ok(true)
    }

    /// A store that failed is given up, and wiped where it may not be believed.
    fn check(&mut self, id: TaskId, outcome: Option<Result<(), Outcome>>) {
        let standbys = &self.parts.shared.standbys;
        let cause = match outcome {
            Some(Err(Outcome::Rebuild(cause) | Outcome::Outlived(cause))) => {
                if let Err(error) = standbys.wipe(id, &*self.parts.backend) {
                    tracing::warn!(task = %id, error = task::chain(&error), "the store of a standby task could not be removed");
                }
                cause
            }
            Some(Err(Outcome::Failed(error))) => {
                standbys.forget(id);
                task::chain(&error)
            }
            _ => return,
        };
        self.set_aside(id, cause, RETRY);
    }

    /// Asks for the end of one changelog, and writes what has reached an end with the age that it then has.
    fn confirm(&mut self) -> log::Result<()> {
        let (now, at) = (self.now(), self.parts.clock.now());
        // One question a step: a slow broker must not keep the reader from what it is there for.
        let due = self.reading.iter_mut().find(|(_, reading)| now.saturating_sub(reading.asked) >= CONFIRM_INTERVAL);
        if let Some((changelog, reading)) = due {
            reading.asked = now;
            (_, reading.end) = self.admin.watermarks(changelog, Isolation::ReadUncommitted)?;
            reading.target.get_or_insert((reading.end, at));
        }
        let mut reached = Vec::new();
        for (changelog, reading) in &mut self.reading {
            let Some((_, target)) = reading.target.take_if(|(end, _)| reading.position >= *end) else { continue };
            let in_time =
                if may_hold_tombstones(reading.complete, reading.position) { reading.lifetime.check(changelog, at) } else { Ok(()) };
            (reading.complete, reading.lifetime.as_of) = (reading.position, target);
            reached.push((reading.task, reading.store, reading.position, target, in_time));
        }
        for (id, store, position, target, in_time) in reached {
            let written = self.parts.shared.standbys.with(id, |task| {
                in_time?;
                task.stores.tell_time(target);
                let written = task.stores.restore_done(store, position);
                task.stores.tell_time(task.began);
                written.map_err(|error| restore_plan::store_failed(id, error))
            });
            self.check(id, written);
        }
        Ok(())
    }

    /// Gives up tasks whose changelogs have begun a new life: they are opened again, and wiped.
    fn compare_lives(&mut self, patience: Duration) -> log::Result<()> {
        let now = self.now();
        if now < self.compare_at || self.reading.is_empty() {
            return Ok(());
        }
        self.compare_at = now + LIFE_INTERVAL;
        let Some(consumer) = &mut self.consumer else { return Ok(()) };
        let followed: BTreeMap<TaskId, &Subtopology> = self
            .reading
            .values()
            .filter_map(|reading| Some((reading.task, self.parts.topology.subtopologies().get(reading.task.subtopology)?)))
            .collect();
        let sources: Vec<_> =
            followed.iter().map(|(id, subtopology)| TopicPartition::new(Arc::clone(&subtopology.topic), id.partition)).collect();
        let committed = consumer.committed(&sources, patience)?;
        for (&id, committed) in followed.keys().zip(committed) {
            // Where it has no name, its owner is about to give it one.
            let Some(life) = committed.as_ref().and_then(life_of) else { continue };
            if self.parts.shared.standbys.with(id, |task| task.life != life) == Some(true) {
                tracing::info!(task = %id, "the changelogs of a standby task have begun a new life");
                self.parts.shared.standbys.forget(id);
            }
        }
        Ok(())
    }

    /// The log failed. What passes by itself is waited for; otherwise everything is begun anew, after a while.
    fn failed(&mut self, error: &log::Error) {
        if error.class == Class::Retriable {
            tracing::debug!(%error, "standby");
            return;
        }
        if error.class == Class::OutOfRange {
            let cut = self.reading.iter().find(|(changelog, reading)| is_cut(&*self.admin, changelog, reading.position));
            if let Some(id) = cut.map(|(_, reading)| reading.task) {
                // Opened again, it is found to be outside of its changelog.
                self.parts.shared.standbys.forget(id);
                return self.set_aside(id, task::chain(error), LOOK_INTERVAL);
            }
        }
        tracing::warn!(error = task::chain(error), "changelogs cannot be followed; it will be tried again");
        self.parts.shared.standbys.close();
        self.reading.clear();
        self.consumer = None;
        self.rest_until = self.now() + RETRY;
    }

    /// Tells how far it is, at most once a second.
    fn report(&mut self) {
        let now = self.now();
        if now < self.report_at {
            return;
        }
        self.report_at = now + LOOK_INTERVAL;
        let mut standbys: BTreeMap<TaskId, StandbyStatus> = BTreeMap::new();
        for (changelog, reading) in &self.reading {
            let progress = StandbyProgress { changelog: changelog.clone(), position: reading.position, end: reading.end };
            standbys.entry(reading.task).or_default().changelogs.push(progress);
        }
        // What a stream thread has taken meanwhile is no standby task any more.
        let free = self.aside.iter().filter(|(id, _)| self.parts.shared.standbys.is_free(**id));
        standbys.extend(free.map(|(id, aside)| (*id, StandbyStatus { waiting: Some(aside.cause.clone()), ..StandbyStatus::default() })));
        self.parts.shared.status.lock().standbys = standbys;
    }
}

/// The name that the owner has given to the life of the changelogs; none where it did not yet.
fn life_of(committed: &Committed) -> Option<String> {
    layout::read(&committed.metadata)?.epoch().map(str::to_owned)
}

/// Whether a position lies outside of its changelog.
fn is_cut(admin: &dyn Admin, changelog: &TopicPartition, position: Offset) -> bool {
    let ends = admin.watermarks(changelog, Isolation::ReadUncommitted);
    ends.is_ok_and(|(low, end)| !(low..=end).contains(&position))
}
