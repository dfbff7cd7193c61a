//! One input partition at work: takes a record through the nodes, keeps its results and state writes together, and
//! decides what becomes of a record that fails.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::collector::{Output, RecordCollector};
use super::error::storage_trouble;
use super::punctuation::PunctuationQueue;
use super::{Error, Result, State, dead_letter};
use crate::streams::clock::{Clock, Timestamp};
use crate::streams::log::{Headers, HeadersBuf, Offset, ProducerRecord, RecordRef, TopicPartition};
use crate::streams::processor::{BoxError, KeyValueStore, PunctuationType, RecordContext, StoreId};
use crate::streams::state::TaskState;
use crate::streams::topology::{Blueprint, ErrorPolicy, Failure, FailureKind, Graph, OnError, Services, Subtopology};

/// Names a task: `<sub-topology>_<partition>`, as Kafka Streams does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// The sub-topology.
    pub subtopology: usize,
    /// The partition of its source topic.
    pub partition: i32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.subtopology, self.partition)
    }
}

/// What a task counted; totals since the task was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Input records taken in.
    pub process_total: u64,
    /// Results handed to the log.
    pub produce_total: u64,
    /// Input records left out under the policy `skip`.
    pub dropped_records_total: u64,
    /// Input records sent to the dead-letter topic.
    pub dead_letter_records_total: u64,
    /// What the nodes counted, by node and name.
    pub nodes: BTreeMap<(Arc<str>, &'static str), u64>,
}

/// What a task is made from, shared by all tasks of a thread.
#[derive(Clone, Debug)]
pub(crate) struct Blueprints {
    pub(crate) topology: Arc<dyn Blueprint>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Index of the dead-letter topic among the producer's topics.
    pub(crate) dead_letters: usize,
    pub(crate) record_bytes_max: usize,
}

/// What became of an input record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Processed {
    /// It is through (or skipped, or a dead letter).
    Done,
    /// Something that it needs is out of reach: it must be tried again later.
    Unavailable(String),
}

/// A task.
#[derive(Debug)]
pub struct StreamTask {
    id: TaskId,
    source: TopicPartition,
    state: State,
    graph: Box<dyn Graph>,
    punctuations: PunctuationQueue,
    pub(crate) stores: TaskState,
    /// Lives as long as the stores are open: who else wants them looks whether it does. Order: it goes after them.
    _lease: Arc<()>,
    store_count: usize,
    collector: RecordCollector,
    headers: HeadersBuf,
    errors: ErrorPolicy,
    stream_time: Timestamp,
    counters: Counters,
    blueprints: Blueprints,
    /// The input offset that is committed; what was processed beyond it is in the open transaction.
    pub(crate) committed: Offset,
    /// What is committed beside the offset: what its stores are, and which life of their changelogs.
    pub(crate) metadata: Arc<str>,
    /// While set, the input stands still until this point of the monotonic clock.
    pub(crate) paused_until: Option<Duration>,
    /// What its input waits for; kept until a record has gone through.
    pub(crate) paused_for: Option<String>,
}

impl StreamTask {
    pub(crate) fn new(
        id: TaskId,
        subtopology: &Subtopology,
        (stores, lease): (TaskState, Arc<()>),
        blueprints: &Blueprints,
    ) -> Result<Self> {
        let mut task = Self {
            id,
            source: TopicPartition::new(Arc::clone(&subtopology.topic), id.partition),
            state: State::Created,
            graph: blueprints.topology.graph(subtopology.id),
            punctuations: PunctuationQueue::default(),
            stores,
            _lease: lease,
            store_count: subtopology.stores.len(),
            collector: RecordCollector::new(blueprints.record_bytes_max),
            headers: HeadersBuf::default(),
            errors: subtopology.errors,
            stream_time: Timestamp(i64::MIN),
            counters: Counters::default(),
            blueprints: blueprints.clone(),
            committed: Offset(0),
            metadata: Arc::from(""),
            paused_until: None,
            paused_for: None,
        };
        task.start_nodes()?;
        Ok(task)
    }

    fn start_nodes(&mut self) -> Result<()> {
        let scheduled = self.graph.init().map_err(|source| Error::Node { task: self.id, source })?;
        self.punctuations = PunctuationQueue::new(scheduled);
        Ok(())
    }

    /// Its name.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Its input partition.
    pub fn source(&self) -> &TopicPartition {
        &self.source
    }

    /// Its state.
    pub fn state(&self) -> State {
        self.state
    }

    /// How many stores it has.
    pub(crate) fn store_count(&self) -> usize {
        self.store_count
    }

    /// What it counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn transition_to(&mut self, to: State) -> Result<()> {
        self.state.transition_to(to).map_err(|source| Error::State { task: self.id, source })
    }

    /// Takes one input record through the nodes; its results and state writes count together or not at all.
    pub(crate) fn process(&mut self, record: &RecordRef<'_>, output: &mut dyn Output) -> Result<Processed> {
        self.stream_time = self.stream_time.max(record.timestamp);
        self.stores.begin_record(record.timestamp);
        let (graph, mut services, source) = self.nodes();
        let input = RecordContext { source, record: *record };
        let outcome = catch_unwind(AssertUnwindSafe(|| graph.process(input, &mut services)));
        match outcome {
            Ok(Ok(())) => self.finish(output)?,
            Ok(Err(failure)) => return self.failed(record, failure, output),
            Err(panic) => {
                // What the nodes hold in memory cannot be trusted after a panic; what counts is in the stores.
                self.graph = self.blueprints.topology.graph(self.id.subtopology);
                self.start_nodes()?;
                let source = BoxError::from(format!("panicked: {}", panic_message(&*panic)));
                let failure = Failure { kind: FailureKind::Processing, node: Arc::from("(panic)"), source };
                return self.failed(record, failure, output);
            }
        }
        self.counters.process_total += 1;
        Ok(Processed::Done)
    }

    /// Does with an input record as the policy for results says that the log refuses.
    pub(crate) fn refuse(&mut self, record: &RecordRef<'_>, cause: &str, output: &mut dyn Output) -> Result<Processed> {
        self.stores.begin_record(record.timestamp);
        let failure = Failure { kind: FailureKind::Production, node: Arc::from("(log)"), source: BoxError::from(cause) };
        self.failed(record, failure, output)
    }

    fn finish(&mut self, output: &mut dyn Output) -> Result<()> {
        let sent = self.collector.finish(output).map_err(|source| Error::Log { task: self.id, source })?;
        self.counters.produce_total += sent as u64;
        Ok(())
    }

    /// Takes back what the record did, then does as the topology's error policy says.
    fn failed(&mut self, record: &RecordRef<'_>, failure: Failure, output: &mut dyn Output) -> Result<Processed> {
        self.collector.discard();
        self.stores.undo_record();
        self.graph.rolled_back();
        let place = || format!("{} offset {}", self.source, record.offset);
        // An outage is no fault of the record: it must never become a dead letter.
        if storage_trouble(&failure).is_some() {
            return Err(Error::Store { task: self.id, place: place(), source: Box::new(failure) });
        }
        let policy = match failure.kind {
            FailureKind::Unavailable => return Ok(Processed::Unavailable(chain(&failure))),
            FailureKind::Deserialization => self.errors.deserialization,
            FailureKind::Processing => self.errors.processing,
            FailureKind::Production => self.errors.production,
        };
        match policy {
            OnError::Fail => return Err(Error::Record { task: self.id, place: place(), source: failure }),
            OnError::Skip => {
                tracing::warn!(task = %self.id, place = place(), error = chain(&failure), "record skipped");
                self.counters.dropped_records_total += 1;
            }
            OnError::DeadLetter => {
                tracing::warn!(task = %self.id, place = place(), error = chain(&failure), "record sent to the dead letters");
                dead_letter::headers(&mut self.headers, &self.source, record, &failure);
                let letter = ProducerRecord {
                    topic: self.blueprints.dead_letters,
                    partition: None,
                    key: record.key,
                    value: record.value,
                    headers: self.headers.as_headers(),
                    timestamp: record.timestamp,
                };
                output.send(&letter).map_err(|source| Error::Log { task: self.id, source })?;
                self.counters.dead_letter_records_total += 1;
            }
        }
        self.counters.process_total += 1;
        Ok(Processed::Done)
    }

    /// Calls the nodes whose time has come; returns whether any was called.
    pub(crate) fn punctuate(&mut self, output: &mut dyn Output) -> Result<bool> {
        if self.punctuations.is_empty() {
            return Ok(false);
        }
        let mut called = false;
        let wall_clock = self.blueprints.clock.now();
        for (kind, now) in [(PunctuationType::StreamTime, self.stream_time), (PunctuationType::WallClockTime, wall_clock)] {
            if now == Timestamp(i64::MIN) {
                continue;
            }
            while let Some((node, punctuation)) = self.punctuations.due(kind, now) {
                called = true;
                self.call(now, output, |graph, services| graph.punctuate(node, &punctuation, services))?;
            }
        }
        Ok(called)
    }

    /// The nodes, what they work with, and the input.
    fn nodes(&mut self) -> (&mut dyn Graph, TaskServices<'_>, &TopicPartition) {
        let services = TaskServices {
            stores: &mut self.stores,
            collector: &mut self.collector,
            counters: &mut self.counters,
            stream_time: self.stream_time,
            clock: &*self.blueprints.clock,
        };
        (&mut *self.graph, services, &self.source)
    }

    /// Calls nodes without a record. There is none that could be set aside: a failure stops the task.
    fn call(
        &mut self,
        now: Timestamp,
        output: &mut dyn Output,
        work: impl FnOnce(&mut dyn Graph, &mut TaskServices<'_>) -> Result<(), Failure>,
    ) -> Result<()> {
        self.stores.begin_record(now);
        let (graph, mut services, _) = self.nodes();
        work(graph, &mut services).map_err(|source| Error::Node { task: self.id, source })?;
        self.finish(output)?;
        if self.stores.overlay_bytes() == 0 {
            return Ok(());
        }
        // No input moved on, so nothing else would have its writes committed.
        output.open().map_err(|source| Error::Log { task: self.id, source })
    }

    /// The input offset that is committed; none where nothing is yet.
    pub(crate) fn committed(&self) -> Option<Offset> {
        Some(self.committed).filter(|committed| committed.0 >= 0)
    }

    /// Tells the nodes that what they did is committed.
    pub(crate) fn tell_committed(&mut self) {
        self.graph.committed();
    }

    /// Whether a node has something to do that no input record brings.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.graph.is_unfinished()
    }

    /// Lets the nodes bring to an end what goes on outside, for the last commit before the task is closed.
    pub(crate) fn suspend(&mut self, output: &mut dyn Output) -> Result<()> {
        let now = self.blueprints.clock.now();
        self.call(now, output, |graph, services| graph.suspend(services))
    }

    /// Forgets everything since the last commit.
    pub(crate) fn discard(&mut self) {
        self.collector.discard();
        self.stores.discard();
        self.graph.rolled_back();
    }
}

struct TaskServices<'a> {
    stores: &'a mut TaskState,
    collector: &'a mut RecordCollector,
    counters: &'a mut Counters,
    stream_time: Timestamp,
    clock: &'a dyn Clock,
}

impl Services for TaskServices<'_> {
    fn store(&mut self, store: StoreId) -> &mut dyn KeyValueStore {
        self.stores.store(store)
    }

    fn emit(
        &mut self,
        topic: usize,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Headers<'_>,
        timestamp: Timestamp,
    ) -> Result<(), BoxError> {
        Ok(self.collector.collect(&ProducerRecord { topic, partition: None, key, value, headers, timestamp })?)
    }

    fn stream_time(&self) -> Timestamp {
        self.stream_time
    }

    fn wall_clock(&self) -> Timestamp {
        self.clock.now()
    }

    fn count(&mut self, node: &Arc<str>, name: &'static str, by: u64) {
        *self.counters.nodes.entry((Arc::clone(node), name)).or_default() += by;
    }
}

pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

/// An error with its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
