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
use super::shared::{RestoreProgress, Shared};
use super::topics::TopicTable;
use super::{Error, Result, layout};
use crate::streams::clock::{Clock, Timestamp};
use crate::streams::log::{self, Admin, Class, Committed, Consumer, Isolation, Offset, RecordBatch, TopicPartition};
use crate::streams::processor::StoreId;
use crate::streams::state::TaskState;
use crate::streams::task::{self, State, StreamTask, TaskId};
use crate::streams::topology::{Blueprint, Start, Subtopology};

/// How long one question for committed offsets may take, on a thread that has time for it: long enough to reach the group's coordinator, short
/// enough to be there when a partition is taken away.
const COMMITTED_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a restore stands still before it tries again what a full disk forbade; short enough to be there when a partition is taken away.
const SPACE_PAUSE: Duration = Duration::from_millis(100);

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
    stores: BTreeMap<TopicPartition, (StoreId, RestoreProgress, Duration)>,
    planned: bool,
    /// Whether it was told that the committed offset is held up.
    told: bool,
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
        let (entries, batch, reported) = (BTreeMap::new(), RecordBatch::default(), Duration::ZERO);
        Self { consumer, admin, topology, topics, partitions, options, clock, shared, entries, batch, reported }
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
        self.report();
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
        for (changelog, (_, progress, _)) in &entry.stores {
            if let Err(error) = self.consumer.seek(changelog, progress.position) {
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
        let mut restores = Vec::new();
        for store in (0..subtopology.stores.len()).map(StoreId) {
            let changelog = TopicPartition::new(self.topics.changelog_name(id.subtopology, store), id.partition);
            // 2. The high watermark: the last stable offset may trail the last committed transaction.
            let (low, end) = self.admin.watermarks(&changelog, Isolation::ReadUncommitted).map_err(log_failed)?;
            let kept = || Ok(self.admin.describe(&changelog.topic)?.map(|topic| topic.config.delete_retention));
            let extent = Extent { changelog: &changelog, low, end };
            let reaches = entry.committed.as_ref().map(|committed| committed_end(committed, subtopology, store).unwrap_or_default());
            let start = start_of(&entry.task.stores, store, extent, reaches, now, kept)?;
            if start >= end {
                continue;
            }
            let progress =
                RestoreProgress { changelog: changelog.clone(), start, position: start, end, records: 0, elapsed: Duration::ZERO };
            restores.push((changelog, (store, progress, self.clock.monotonic())));
        }
        // From here on the checkpoints that are written are as old as the ends that they will reach.
        entry.task.stores.tell_time(now);
        for (changelog, restore) in restores {
            // 3. read_committed, from the stored offset on.
            self.consumer.assign(&changelog, restore.1.start).map_err(log_failed)?;
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
            let cut = if error.class == Class::OutOfRange { self.cut() } else { None };
            let Some(id) = cut.or_else(|| self.entries.keys().next().copied()) else { return Ok(()) };
            return match error.class {
                Class::Retriable => Ok(()),
                // The changelog was cut while it was read.
                Class::OutOfRange => Err((id, Outcome::Rebuild(error.to_string()))),
                _ => Err((id, Outcome::Failed(error.into()))),
            };
        }
        if !self.batch.is_empty() {
            let Some(changelog) = self.batch.source().cloned() else { return Ok(()) };
            let Some(id) = owner(&self.entries, &changelog) else { return Ok(()) };
            let position = self.consumer.position(&changelog).unwrap_or_default();
            if let Some(entry) = self.entries.get_mut(&id)
                && let Some((store, progress, _)) = entry.stores.get_mut(&changelog)
            {
                entry.task.stores.restore(*store, &self.batch, position).map_err(|source| (id, store_failed(id, source)))?;
                progress.records += self.batch.len() as u64;
            }
            self.batch.start(changelog);
        }
        let now = self.clock.monotonic();
        for (id, entry) in &mut self.entries {
            let mut done = Vec::new();
            for (changelog, (store, progress, began)) in &mut entry.stores {
                progress.position = self.consumer.position(changelog).unwrap_or(progress.position).max(progress.start);
                progress.elapsed = now.saturating_sub(*began);
                if progress.position >= progress.end {
                    done.push((changelog.clone(), *store));
                }
            }
            for (changelog, store) in done {
                let Some((_, progress, _)) = entry.stores.get(&changelog) else { continue };
                // Order: what cannot be written now is still to be restored.
                entry.task.stores.restore_done(store, progress.position).map_err(|source| (*id, store_failed(*id, source)))?;
                let Some((_, progress, _)) = entry.stores.remove(&changelog) else { continue };
                self.consumer.unassign(&changelog).map_err(|error| (*id, Outcome::Failed(error.into())))?;
                self.shared.status.lock().restored_records_total += progress.records;
                let (records, took) = (progress.records, progress.elapsed);
                tracing::info!(task = %id, changelog = %changelog, records, from = %progress.start, to = %progress.position, ?took, "store restored");
            }
        }
        Ok(())
    }

    /// The task whose changelog was cut where it is being read: the error of a poll names no partition.
    fn cut(&self) -> Option<TaskId> {
        let is_cut = |changelog: &TopicPartition, position: Offset| is_cut(&*self.admin, changelog, position);
        let mut entries = self.entries.values();
        let found = entries.find(|entry| entry.stores.iter().any(|(changelog, (_, progress, _))| is_cut(changelog, progress.position)))?;
        Some(found.task.id())
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

    /// Tells how far the restores are, at most once a second.
    fn report(&mut self) {
        let now = self.clock.monotonic();
        if self.entries.is_empty() || now.saturating_sub(self.reported) < Duration::from_secs(1) {
            return;
        }
        self.reported = now;
        let mut status = self.shared.status.lock();
        for (id, entry) in &self.entries {
            let progress: Vec<_> = entry.stores.values().map(|(_, progress, _)| progress.clone()).collect();
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

/// Up to where the offsets say that the changelog of a store reaches.
fn committed_end(committed: &Committed, subtopology: &Subtopology, store: StoreId) -> Option<Offset> {
    layout::read(&committed.metadata)?.end(&subtopology.stores.get(store.0)?.name)
}

pub(super) fn log_failed(error: log::Error) -> Outcome {
    Outcome::Failed(error.into())
}

/// Whether what lies on the disk belongs to what is committed, and both to the topology; returns the life of the changelogs, where it has a name.
pub(super) fn fit(
    id: TaskId,
    stores: &TaskState,
    subtopology: &Subtopology,
    partitions: i32,
    committed: Option<&Committed>,
) -> Result<Option<String>, Outcome> {
    // Nothing is committed: a state, if there is one, is refused when it is restored; otherwise a new life begins.
    let Some(committed) = committed else { return Ok(None) };
    let kept = layout::read(&committed.metadata);
    if let Some(kept) = &kept {
        kept.check(id, subtopology, partitions).map_err(Outcome::Failed)?;
    }
    let life = kept.as_ref().and_then(layout::Layout::epoch);
    // A state without a name was written before there were any: it is trusted, and named.
    if stores.stored_epoch().is_some_and(|stored| Some(stored) != life) {
        return Err(Outcome::Rebuild(
            "it belongs to an earlier life of its changelogs, before a reset or another way to set offsets".to_owned(),
        ));
    }
    let on_disk = layout::check_disk(id, subtopology, stores.stored_layouts());
    match on_disk {
        // The offsets know better: the disk was left by another topology.
        Err(error) if kept.as_ref().is_some_and(layout::Layout::knows_stores) => Err(Outcome::Rebuild(task::chain(&error))),
        Err(error) => Err(Outcome::Failed(error)),
        Ok(()) => Ok(life.map(str::to_owned)),
    }
}

/// What there is of a changelog.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent<'a> {
    pub(super) changelog: &'a TopicPartition,
    /// The first offset still in the log.
    pub(super) low: Offset,
    /// The high watermark.
    pub(super) end: Offset,
}

/// Where the restore of a store begins; none of its rows may be believed whose checkpoint is outside the changelog, or older than the changelog
/// keeps tombstones (`kept`, asked for where it matters). Where something is committed, all of the changelog is needed, up to where it `reaches` at
/// least.
pub(super) fn start_of(
    stores: &TaskState,
    store: StoreId,
    Extent { changelog, low, end }: Extent<'_>,
    reaches: Option<Offset>,
    now: Timestamp,
    kept: impl FnOnce() -> log::Result<Option<Duration>>,
) -> Result<Offset, Outcome> {
    let checkpoint = stores.checkpoint(store);
    let is_outside = checkpoint.is_some_and(|offset| offset < low || offset > end);
    if reaches == Some(layout::LOST) {
        return Err(Outcome::Failed(Error::ChangelogMadeAnew { changelog: changelog.to_string() }));
    }
    // Compaction keeps the log's beginning where it is. Where that has moved, or the end is before what the disk has or the offsets ask for, records
    // are gone that nothing can bring back: a state without them would be wrong, and nobody would know.
    if let Some(asked) = reaches
        && (is_outside || checkpoint.is_none() && low.0 > 0 || asked > end)
    {
        let needed = checkpoint.unwrap_or_default();
        let (changelog, reaches) = (changelog.to_string(), asked.max(needed).0);
        return Err(Outcome::Failed(Error::ChangelogLost { changelog, needed: needed.0, reaches, low: low.0, end: end.0 }));
    }
    let Some(checkpoint) = checkpoint else { return Ok(low) };
    if is_outside {
        return Err(Outcome::Rebuild(format!("checkpoint {checkpoint} of {changelog} is outside its log ({low} to {end})")));
    }
    // One slot is the marker of the transaction at the checkpoint; a tombstone and its marker are two.
    if let Some(as_of) = stores.as_of(store).filter(|_| end.0 - checkpoint.0 > 1) {
        let age = Duration::from_millis(u64::try_from(now.0.saturating_sub(as_of.0)).unwrap_or(0));
        if let Some(kept) = kept().map_err(log_failed)?.filter(|&kept| age > kept) {
            let cause = format!("checkpoint {checkpoint} of {changelog} is {age:?} old, tombstones after it may be gone");
            return Err(Outcome::Rebuild(format!("{cause} (delete.retention.ms is {})", kept.as_millis())));
        }
    }
    Ok(checkpoint)
}

/// Whether a position lies outside of its changelog.
pub(super) fn is_cut(admin: &dyn Admin, changelog: &TopicPartition, position: Offset) -> bool {
    let ends = admin.watermarks(changelog, Isolation::ReadUncommitted);
    ends.is_ok_and(|(low, end)| position < low || position > end)
}

pub(super) fn store_failed(id: TaskId, source: impl std::error::Error + Send + Sync + 'static) -> Outcome {
    match failure::of_store(&source) {
        Action::Rebuild => Outcome::Rebuild(task::chain(&source)),
        _ => Outcome::Failed(Error::Stores { task: id, source: Box::new(source) }),
    }
}

/// Takes a task into the state in which it is restored.
pub(super) fn begin(task: &mut StreamTask) -> task::Result<()> {
    match task.state() {
        State::Restoring => Ok(()),
        _ => task.transition_to(State::Restoring),
    }
}
