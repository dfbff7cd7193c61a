//! Brings the stores of tasks to their changelogs' ends, away from the thread that polls the input.
//!
//! Start-up, takeover and every failure come through here: fetch the committed offset, read the changelog's tail, and only
//! then give the task back with the offset from which its input goes on.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::failure::{self, Action};
use super::options::Options;
use super::restore_plan::{self, Extent, Lifetime, fit, log_failed, needed_end, start_of, store_failed};
use super::shared::{RestoreProgress, Shared};
use super::topics::TopicTable;
use super::{Error, Result, layout};
use crate::streams::clock::Clock;
use crate::streams::log::{self, Admin, Class, Committed, Consumer, Isolation, Offset, RecordBatch, TopicPartition};
use crate::streams::processor::StoreId;
use crate::streams::task::{self, State, StreamTask, TaskId};
use crate::streams::topology::{Blueprint, Start};

/// How long one question for committed offsets may take, on a thread that has time for it: long enough to reach the group's coordinator, short
/// enough to be there when a partition is taken away.
const COMMITTED_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a restore stands still before it tries again what a full disk forbade; short enough to be there when a partition is taken away.
const SPACE_PAUSE: Duration = Duration::from_millis(100);

/// How often restores tell how far they are, and are looked at when they stand still.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// How long brokers that did not answer a look are left alone.
const UNANSWERED_PAUSE: Duration = Duration::from_secs(30);

/// What a restore found out.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The stores are complete; the input goes on here, committed or (with none committed yet) as the source says.
    Done {
        /// Where the input goes on.
        input: Offset,
        /// Whether that offset is already committed.
        committed: bool,
    },
    /// The stores do not fit their changelog: they must be rebuilt from its beginning.
    Rebuild(String),
    /// They must be rebuilt because of their age, which is nobody's fault, however often it happens.
    Outlived(String),
    /// It cannot be done.
    Failed(Error),
    /// It was cancelled.
    Cancelled,
}

/// A task that comes back.
#[derive(Debug)]
pub(super) struct Restored {
    pub(super) task: StreamTask,
    pub(super) outcome: Outcome,
}

#[derive(Debug)]
struct Entry {
    task: StreamTask,
    committed: Option<Committed>,
    /// Restores that are not finished, by changelog partition.
    stores: BTreeMap<TopicPartition, Restore>,
    planned: bool,
    /// Whether it was told that the committed offset is held up.
    told: bool,
}

#[derive(Debug)]
struct Restore {
    store: StoreId,
    progress: RestoreProgress,
    began: Duration,
    /// Up to where what is committed needs the changelog; none where nothing is committed.
    needed: Option<Offset>,
    lifetime: Lifetime,
    /// Where it was found last, and when it came there.
    seen: Option<(Offset, Duration)>,
    told: bool,
}

impl Restore {
    /// What comes of it where its changelog, with these ends, is not the one that it was planned for any more. Nothing is wiped while the disk may
    /// have the only copy: then the instance stops.
    fn outcome_if_cut(&self, (low, end): (Offset, Offset)) -> Option<Outcome> {
        let RestoreProgress { changelog, position, end: planned, .. } = &self.progress;
        if (low..=end).contains(position) && *planned <= end {
            return None;
        }
        let changelog = changelog.to_string();
        Some(match self.needed {
            Some(needed) if *position < low || needed > end => {
                let reaches = needed.max(*position).0;
                Outcome::Failed(Error::ChangelogLost { changelog, needed: position.0, reaches, low: low.0, end: end.0 })
            }
            _ => Outcome::Rebuild(format!("{changelog} was cut or made anew while it was restored up to {planned}: it has {low} to {end}")),
        })
    }
}

/// Restores tasks, a step at a time.
#[derive(Debug)]
pub(super) struct Restorer {
    consumer: Box<dyn Consumer>,
    admin: Arc<dyn Admin>,
    topology: Arc<dyn Blueprint>,
    topics: Arc<TopicTable>,
    partitions: Arc<BTreeMap<Arc<str>, i32>>,
    options: Arc<Options>,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    entries: BTreeMap<TaskId, Entry>,
    batch: RecordBatch,
    reported: Duration,
    /// When restores that stand still are looked at next.
    look_at: Duration,
}

/// What a [`Restorer`] works with.
#[derive(Debug)]
pub(super) struct Needs {
    pub(super) consumer: Box<dyn Consumer>,
    pub(super) admin: Arc<dyn Admin>,
    pub(super) topology: Arc<dyn Blueprint>,
    pub(super) topics: Arc<TopicTable>,
    pub(super) partitions: Arc<BTreeMap<Arc<str>, i32>>,
    pub(super) options: Arc<Options>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) shared: Arc<Shared>,
}

impl Restorer {
    pub(super) fn new(needs: Needs) -> Self {
        let Needs { consumer, admin, topology, topics, partitions, options, clock, shared } = needs;
        let (entries, batch) = (BTreeMap::new(), RecordBatch::default());
        let (reported, look_at) = (Duration::ZERO, Duration::ZERO);
        Self { consumer, admin, topology, topics, partitions, options, clock, shared, entries, batch, reported, look_at }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn add(&mut self, task: StreamTask) {
        self.entries.insert(task.id(), Entry { task, committed: None, stores: BTreeMap::new(), planned: false, told: false });
    }

    /// Gives a task back as far as it is; its partition was taken away.
    pub(super) fn cancel(&mut self, task: TaskId) -> Option<Restored> {
        let entry = self.entries.remove(&task)?;
        self.unassign(&entry);
        Some(Restored { task: entry.task, outcome: Outcome::Cancelled })
    }

    fn unassign(&mut self, entry: &Entry) {
        for changelog in entry.stores.keys() {
            if let Err(error) = self.consumer.unassign(changelog) {
                tracing::debug!(%error, "restore consumer");
            }
        }
    }

    /// One step: plans new tasks, reads once, returns the tasks that are finished. Waits up to `timeout` for records.
    pub(super) fn step(&mut self, timeout: Duration) -> Vec<Restored> {
        let mut finished = Vec::new();
        self.plan(timeout, &mut finished);
        if self.entries.values().any(|entry| !entry.stores.is_empty())
            && let Err((task, outcome)) = self.read(timeout)
        {
            match outcome {
                Outcome::Failed(Error::Stores { source, .. }) if failure::of_store(&*source) == Action::Pause => {
                    self.wait_for_space(task, &*source);
                }
                // Not before it is known that the changelogs have all that is wiped.
                outcome @ Outcome::Outlived(_) => {
                    let (task, outcome) = self.cut().unwrap_or((task, outcome));
                    self.finish(task, outcome, &mut finished);
                }
                outcome => self.finish(task, outcome, &mut finished),
            }
        }
        let done: Vec<_> =
            self.entries.values().filter(|entry| entry.planned && entry.stores.is_empty()).map(|entry| entry.task.id()).collect();
        for id in done {
            match self.conclude(id) {
                Outcome::Failed(Error::Log(error)) if error.class == Class::Retriable => self.wait(id, &error),
                outcome => self.finish(id, outcome, &mut finished),
            }
        }
        let now = self.clock.monotonic();
        if !self.entries.is_empty() && now.saturating_sub(self.reported) >= REPORT_INTERVAL {
            self.reported = now;
            self.report();
        }
        if let Some((id, outcome)) = self.look_at_still(now) {
            self.finish(id, outcome, &mut finished);
        }
        finished
    }

    fn finish(&mut self, id: TaskId, outcome: Outcome, finished: &mut Vec<Restored>) {
        let Some(entry) = self.entries.remove(&id) else { return };
        self.unassign(&entry);
        if let Some(status) = self.shared.status.lock().tasks.get_mut(&id) {
            status.restoring.clear();
        }
        finished.push(Restored { task: entry.task, outcome });
    }

    /// Fetches the committed offsets of new tasks and decides where their restores begin and end.
    fn plan(&mut self, timeout: Duration, finished: &mut Vec<Restored>) {
        // Whoever steps a restorer without time of his own must not be held up.
        let timeout = if timeout.is_zero() { timeout } else { COMMITTED_TIMEOUT };
        let waiting: Vec<_> = self.entries.values().filter(|entry| !entry.planned).map(|entry| entry.task.id()).collect();
        for id in waiting {
            match self.plan_task(id, timeout) {
                Ok(()) => {}
                Err(Outcome::Failed(Error::Log(error))) if error.class == Class::Retriable => {
                    self.wait(id, &error);
                    // Order: the others wait for the same, and whoever wants a task back must not wait for all of them.
                    break;
                }
                Err(outcome) => self.finish(id, outcome, finished),
            }
        }
    }

    /// A dead owner's transaction is aborted when it times out, a broker comes back: said once, and tried again at the next step.
    fn wait(&mut self, id: TaskId, error: &log::Error) {
        if let Some(entry) = self.entries.get_mut(&id)
            && !std::mem::replace(&mut entry.told, true)
        {
            tracing::info!(task = %id, input = %entry.task.source(), reason = task::chain(error), "waiting for a foreign transaction, or for a broker");
        }
    }

    /// A full disk is waited for: what could not be written is read once more.
    fn wait_for_space(&mut self, id: TaskId, error: &(dyn std::error::Error + 'static)) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if !std::mem::replace(&mut entry.told, true) {
            tracing::warn!(task = %id, error = task::chain(error), "the restore waits until there is space");
        }
        for (changelog, restore) in &entry.stores {
            if let Err(error) = self.consumer.seek(changelog, restore.progress.position) {
                tracing::debug!(%error, "restore consumer");
            }
        }
        self.clock.rest(SPACE_PAUSE);
    }

    fn plan_task(&mut self, id: TaskId, timeout: Duration) -> Result<(), Outcome> {
        let Some(entry) = self.entries.get_mut(&id) else { return Ok(()) };
        let Some(subtopology) = self.topology.subtopologies().get(id.subtopology) else { return Ok(()) };
        let source = entry.task.source().clone();
        let now = self.clock.now();
        // 1. Stable: a dead owner's transaction that holds offsets is waited out.
        let committed = self.consumer.committed(std::slice::from_ref(&source), timeout).map_err(log_failed)?.into_iter().next().flatten();
        let partitions = self.partitions.get(&source.topic).copied().unwrap_or(1);
        if let Some(committed) = &committed {
            let (low, high) = self.admin.watermarks(&source, Isolation::ReadUncommitted).map_err(log_failed)?;
            if committed.offset < low || committed.offset > high {
                let (offset, low, high) = (committed.offset.0, low.0, high.0);
                return Err(Outcome::Failed(Error::OffsetOutOfRange { partition: source.to_string(), offset, low, high }));
            }
        }
        let life = fit(id, &entry.task.stores, subtopology, partitions, committed.as_ref())?;
        let epoch = life.unwrap_or_else(|| layout::new_epoch(id, &self.options.instance_id, now));
        entry.task.metadata = layout::metadata(subtopology, partitions, &epoch);
        entry.task.stores.set_epoch(&epoch);
        entry.committed = committed;
        let mut found = Vec::new();
        for store in (0..subtopology.stores.len()).map(StoreId) {
            let changelog = TopicPartition::new(self.topics.changelog_name(id.subtopology, store), id.partition);
            // 2. The high watermark: the last stable offset may trail the last committed transaction.
            let (low, end) = self.admin.watermarks(&changelog, Isolation::ReadUncommitted).map_err(log_failed)?;
            let noted = entry.committed.as_ref().map(|committed| needed_end(committed, subtopology, store));
            let reaches = noted.map(Option::unwrap_or_default);
            let start = start_of(&entry.task.stores, store, Extent { changelog: &changelog, low, end }, reaches)?;
            found.push((store, changelog, (start, low, end), noted.map(|noted| noted.unwrap_or(end))));
        }
        let mut restores = Vec::new();
        // Order: nothing is wiped for its age before it is known that all the changelogs are whole.
        for (store, changelog, (start, low, end), needed) in found.into_iter().filter(|(_, _, (start, _, end), _)| start < end) {
            let extent = Extent { changelog: &changelog, low, end };
            let kept = || restore_plan::kept(&*self.admin, &changelog);
            let lifetime = Lifetime::begin(&entry.task.stores, store, start, extent, now, kept)?;
            let progress =
                RestoreProgress { changelog: changelog.clone(), start, position: start, end, records: 0, elapsed: Duration::ZERO };
            let began = self.clock.monotonic();
            restores.push((changelog, Restore { store, progress, began, needed, lifetime, seen: None, told: false }));
        }
        // From here on a checkpoint that is written at a planned end is as old as the plan.
        entry.task.stores.tell_time(now);
        for (changelog, restore) in restores {
            // 3. read_committed, from the stored offset on.
            self.consumer.assign(&changelog, restore.progress.start).map_err(log_failed)?;
            entry.stores.insert(changelog, restore);
        }
        entry.planned = true;
        Ok(())
    }

    /// Reads and applies one batch; then sees which changelogs have reached their ends, control records included.
    fn read(&mut self, timeout: Duration) -> Result<(), (TaskId, Outcome)> {
        let owner = |entries: &BTreeMap<TaskId, Entry>, changelog: &TopicPartition| {
            entries.values().find(|entry| entry.stores.contains_key(changelog)).map(|entry| entry.task.id())
        };
        if let Err(error) = self.consumer.poll(timeout, &mut self.batch) {
            return match error.class {
                Class::Retriable => Ok(()),
                class => {
                    let found = if class == Class::OutOfRange { self.cut() } else { None };
                    let Some(first) = self.entries.keys().next().copied() else { return Ok(()) };
                    Err(found.unwrap_or_else(|| match class {
                        Class::OutOfRange => (first, Outcome::Rebuild(error.to_string())),
                        _ => (first, Outcome::Failed(error.into())),
                    }))
                }
            };
        }
        if !self.batch.is_empty() {
            let Some(changelog) = self.batch.source().cloned() else { return Ok(()) };
            let Some(id) = owner(&self.entries, &changelog) else { return Ok(()) };
            let position = self.consumer.position(&changelog).unwrap_or_default();
            if let Some(entry) = self.entries.get_mut(&id)
                && let Some(restore) = entry.stores.get_mut(&changelog)
            {
                restore.lifetime.check(&changelog, self.clock.now()).map_err(|outcome| (id, outcome))?;
                entry.task.stores.restore(restore.store, &self.batch, position).map_err(|source| (id, store_failed(id, source)))?;
                restore.progress.records += self.batch.len() as u64;
            }
            self.batch.start(changelog);
        }
        let (now, wall_clock) = (self.clock.monotonic(), self.clock.now());
        for (id, entry) in &mut self.entries {
            let mut done = Vec::new();
            for (changelog, Restore { store, progress, began, .. }) in &mut entry.stores {
                progress.position = self.consumer.position(changelog).unwrap_or(progress.position).max(progress.start);
                progress.elapsed = now.saturating_sub(*began);
                if progress.position >= progress.end {
                    done.push((changelog.clone(), *store));
                }
            }
            for (changelog, store) in done {
                let Some(Restore { progress, lifetime, .. }) = entry.stores.get_mut(&changelog) else { continue };
                lifetime.check(&changelog, wall_clock).map_err(|outcome| (*id, outcome))?;
                // It has come in time, however long its last rows then wait for space.
                lifetime.kept = None;
                // Order: what cannot be written now is still to be restored.
                entry.task.stores.restore_done(store, progress.position).map_err(|source| (*id, store_failed(*id, source)))?;
                let Some(Restore { progress, .. }) = entry.stores.remove(&changelog) else { continue };
                self.consumer.unassign(&changelog).map_err(|error| (*id, Outcome::Failed(error.into())))?;
                self.shared.status.lock().restored_records_total += progress.records;
                let (records, took) = (progress.records, progress.elapsed);
                tracing::info!(task = %id, changelog = %changelog, records, from = %progress.start, to = %progress.position, ?took, "store restored");
            }
        }
        Ok(())
    }

    /// The task whose changelog was cut where it is being read: the error of a poll names no partition.
    fn cut(&self) -> Option<(TaskId, Outcome)> {
        self.entries.iter().find_map(|(id, entry)| {
            entry.stores.values().find_map(|restore| {
                let ends = self.admin.watermarks(&restore.progress.changelog, Isolation::ReadUncommitted).ok()?;
                Some((*id, restore.outcome_if_cut(ends)?))
            })
        })
    }

    /// All stores are complete: where does the input go on?
    fn conclude(&mut self, id: TaskId) -> Outcome {
        let Some(entry) = self.entries.get_mut(&id) else { return Outcome::Cancelled };
        if let Some(committed) = &entry.committed {
            return Outcome::Done { input: committed.offset, committed: true };
        }
        let source = entry.task.source().clone();
        let Some(subtopology) = self.topology.subtopologies().get(id.subtopology) else { return Outcome::Cancelled };
        for (index, store) in subtopology.stores.iter().enumerate() {
            let mut content = false;
            let visited = entry.task.stores.store(StoreId(index)).all(&mut |_, _| {
                content = true;
                ControlFlow::Break(())
            });
            if content || visited.is_err() {
                return Outcome::Failed(Error::OffsetLost {
                    group: self.options.application_id.to_string(),
                    partition: source.to_string(),
                    store: store.name.to_string(),
                });
            }
        }
        match self.admin.watermarks(&source, Isolation::ReadCommitted) {
            Err(error) => Outcome::Failed(error.into()),
            Ok((low, end)) => {
                let input = if subtopology.start == Start::Earliest { low } else { end };
                Outcome::Done { input, committed: false }
            }
        }
    }

    /// Looks at restores that stand still. A changelog that ends before the end that was planned is not the one of the plan any more, and no poll
    /// will ever say so; a transaction that should have ended is told, once.
    fn look_at_still(&mut self, now: Duration) -> Option<(TaskId, Outcome)> {
        if now < self.look_at {
            return None;
        }
        self.look_at = now + REPORT_INTERVAL;
        let patience = 2 * self.options.transaction_timeout;
        for (id, entry) in &mut self.entries {
            for (changelog, restore) in &mut entry.stores {
                let (position, planned) = (restore.progress.position, restore.progress.end);
                let Some((_, since)) = restore.seen.filter(|(seen, _)| *seen == position) else {
                    restore.seen = Some((position, now));
                    continue;
                };
                let Ok(ends) = self.admin.watermarks(changelog, Isolation::ReadUncommitted) else {
                    // Brokers that do not answer are asked seldom: whoever wants a task back waits for this thread.
                    self.look_at = now + UNANSWERED_PAUSE;
                    return None;
                };
                if let Some(outcome) = restore.outcome_if_cut(ends) {
                    return Some((*id, outcome));
                }
                if now.saturating_sub(since) >= patience && !std::mem::replace(&mut restore.told, true) {
                    tracing::warn!(task = %id, %changelog, %position, end = %planned, "the restore waits, probably for the end of a transaction in the changelog; one that nobody will end is found with `kafka-transactions.sh find-hanging`");
                }
            }
        }
        None
    }

    /// Tells how far the restores are.
    fn report(&self) {
        let mut status = self.shared.status.lock();
        for (id, entry) in &self.entries {
            let progress: Vec<_> = entry.stores.values().map(|restore| restore.progress.clone()).collect();
            for store in &progress {
                let (remaining, rate, eta) = (store.remaining(), store.rate(), store.eta());
                tracing::info!(task = %id, changelog = %store.changelog, remaining, ?rate, ?eta, "restoring");
            }
            if let Some(task) = status.tasks.get_mut(id) {
                task.restoring = progress;
            }
        }
    }
}

/// Takes a task into the state in which it is restored.
pub(super) fn begin(task: &mut StreamTask) -> task::Result<()> {
    match task.state() {
        State::Restoring => Ok(()),
        _ => task.transition_to(State::Restoring),
    }
}
