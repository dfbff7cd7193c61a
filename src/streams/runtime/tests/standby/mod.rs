//! Standby tasks: several instances of an application on one log, each with its own stores, a step at a time.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use super::*;
use crate::streams::clock::{Clock, ManualClock};
use crate::streams::log::{
    ConsumerOptions, Headers, Isolation, Offset, Partition, Polled, Producer, ProducerOptions, ProducerRecord, RecordBatch, TopicPartition,
};
use crate::streams::runtime::standby::StandbyReader;
use crate::streams::runtime::{Parts, Shared, Status, StreamThread};
use crate::streams::state::{self, TaskState};
use crate::streams::task::TaskId;
use crate::streams::topology::Blueprint;

mod property;
mod takeover;
mod trouble;

const ZERO: Duration = Duration::ZERO;
const SECOND: Duration = Duration::from_secs(1);
const CHANGELOG: &str = "app-last-changelog";

/// Remembers the last value of each key, forgets it where there is none, and passes everything on.
#[derive(Debug, Default)]
struct Last {
    store: Option<StoreId>,
}

impl Processor<String> for Last {
    fn init(&mut self, context: &mut InitContext<'_>) -> Result<(), BoxError> {
        self.store = context.store("last");
        Ok(())
    }

    fn process(&mut self, record: &Record<'_, String>, context: &mut dyn ProcessorContext<String>) -> Result<(), BoxError> {
        let (key, store) = (record.key.ok_or("no key")?, self.store.ok_or("no store")?);
        match record.value {
            Some(value) => context.store(store).put(key, value.as_bytes())?,
            None => context.store(store).delete(key)?,
        }
        context.forward(record)
    }
}

fn last() -> Arc<Topology<String>> {
    with_layout("last")
}

/// The same with a store of another kind, as far as its layout says.
fn with_layout(kind: &str) -> Arc<Topology<String>> {
    let layout = StoreLayout { kind: kind.into(), ..StoreLayout::default() };
    let topology = TopologyBuilder::new()
        .source("in", Source::new("input", Start::Earliest, || Text, String::new))
        .store(StoreSpec { name: "last".into(), layout })
        .processor("last", &["in"], &["last"], Last::default)
        .sink("out", &["last"], "output", || Text)
        .build();
    Arc::new(topology.unwrap())
}

fn task(partition: i32) -> TaskId {
    TaskId { subtopology: 0, partition }
}

/// The log, its clock, and somebody who writes the input.
struct Sea {
    log: Arc<LocalLog>,
    clock: ManualClock,
    producer: Box<dyn Producer>,
}

impl Sea {
    fn new(partitions: i32) -> Self {
        let World { log, .. } = World::new(partitions);
        let options = ProducerOptions { transactional_id: "feed".into(), topics: vec!["input".into()], transaction_timeout: SECOND };
        let mut producer = log.producer(options).unwrap();
        producer.init_transactions(SECOND).unwrap();
        Self { log, clock: ManualClock::at(Timestamp(1_000_000)), producer }
    }

    fn write(&mut self, partition: i32, key: &str, value: Option<&str>) {
        self.producer.begin().unwrap();
        let (partition, timestamp) = (Some(Partition(partition)), self.clock.now());
        let (key, value) = (Some(key.as_bytes()), value.map(str::as_bytes));
        self.producer.send(&ProducerRecord { topic: 0, partition, key, value, headers: Headers::EMPTY, timestamp }).unwrap();
        self.producer.commit(SECOND).unwrap();
    }

    /// So many records for each of the partitions, of as many keys.
    fn fill(&mut self, partitions: i32, records: usize) {
        for number in 0..records {
            for partition in 0..partitions {
                self.write(partition, &format!("k{number}"), Some("x"));
            }
        }
    }

    fn end_of(&self, partition: i32) -> Offset {
        self.log.admin().watermarks(&TopicPartition::new(CHANGELOG, partition), Isolation::ReadUncommitted).unwrap().1
    }
}

/// One process of the application, with a disk that outlives it.
struct Machine {
    name: &'static str,
    backend: Arc<dyn StateBackend>,
    running: Option<Process>,
}

struct Process {
    thread: StreamThread,
    standby: StandbyReader,
    shared: Arc<Shared>,
}

impl Machine {
    fn new(name: &'static str) -> Self {
        Self { name, backend: Arc::new(MemoryBackend::default()), running: None }
    }

    fn started(name: &'static str, sea: &Sea) -> Self {
        let mut machine = Self::new(name);
        machine.start(sea);
        machine
    }

    fn start(&mut self, sea: &Sea) {
        self.start_with(sea, last());
    }

    fn start_with(&mut self, sea: &Sea, topology: Arc<Topology<String>>) {
        let log: Arc<dyn Log> = Arc::<LocalLog>::clone(&sea.log);
        self.start_on(sea, log, topology);
    }

    fn start_on(&mut self, sea: &Sea, log: Arc<dyn Log>, topology: Arc<Topology<String>>) {
        let options = Options {
            restore_thread: false,
            poll_timeout: ZERO,
            offsets_only_interval: ZERO,
            standby: true,
            ..Options::new("app", self.name)
        };
        let clock = Arc::new(sea.clock.clone());
        let parts = Parts::new(topology, log, Arc::clone(&self.backend), clock, options).unwrap();
        let shared = Arc::clone(&parts.shared);
        let thread = StreamThread::new(0, parts.clone()).unwrap();
        self.running = Some(Process { thread, standby: StandbyReader::new(parts), shared });
    }

    /// As `kill -9` does: what is in memory is gone.
    fn kill(&mut self) {
        self.running = None;
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.running.take() {
            process.thread.close().unwrap();
        }
    }

    fn process(&mut self) -> &mut Process {
        self.running.as_mut().expect("a machine that runs")
    }

    fn status(&mut self) -> Status {
        self.process().shared.status.lock().clone()
    }

    /// What its standby tasks wait for.
    fn waits(&mut self) -> BTreeMap<TaskId, String> {
        self.status().standbys.into_iter().filter_map(|(id, standby)| Some((id, standby.waiting?))).collect()
    }

    /// What its disk has of a task: the checkpoint, and the rows.
    fn disk(&self, topology: &Topology<String>, id: TaskId) -> (Option<Offset>, Rows) {
        let declared = topology.subtopologies()[0].stores.clone();
        let mut stores = TaskState::open("test", self.backend.open(id).unwrap(), declared, state::Options::default()).unwrap();
        let mut rows = Rows::new();
        let visited = stores.store(StoreId(0)).all(&mut |key, value| {
            rows.insert(key.to_vec(), value.to_vec());
            ControlFlow::Continue(())
        });
        visited.unwrap();
        (stores.checkpoint(StoreId(0)), rows)
    }
}

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// A record of a changelog: offset, key, value.
type Row = (Offset, Vec<u8>, Option<Vec<u8>>);

/// Runs machines until nothing is left to do, for six seconds of their clock: long enough to look for tasks, and to confirm.
fn settle(sea: &Sea, machines: &mut [&mut Machine]) {
    for _ in 0..6 {
        let mut quiet = 0;
        for _ in 0..10_000 {
            let mut busy = false;
            for process in machines.iter_mut().filter_map(|machine| machine.running.as_mut()) {
                busy |= process.thread.run_once(ZERO).unwrap();
                busy |= process.standby.step(ZERO);
            }
            quiet = if busy { 0 } else { quiet + 1 };
            if quiet > 3 {
                break;
            }
        }
        assert!(quiet > 3, "they never come to rest");
        sea.clock.advance(SECOND);
    }
}

/// All committed records of a changelog partition that are still there.
fn changelog(log: &LocalLog, partition: i32, from: Offset) -> (Vec<Row>, Offset) {
    let place = TopicPartition::new(CHANGELOG, partition);
    let options = ConsumerOptions { group: None, instance_id: None, isolation: Isolation::ReadCommitted };
    let mut consumer = log.consumer(options).unwrap();
    consumer.assign(&place, from).unwrap();
    let (mut batch, mut records) = (RecordBatch::default(), Vec::new());
    while consumer.poll(ZERO, &mut batch).unwrap() == Polled::Records {
        records.extend(batch.iter().map(|record| (record.offset, record.key.unwrap().to_vec(), record.value.map(<[u8]>::to_vec))));
    }
    (records, consumer.position(&place).unwrap())
}

/// What the records before an offset come to.
fn fold(records: &[Row], before: Offset) -> Rows {
    let mut rows = Rows::new();
    for (_, key, value) in records.iter().filter(|(offset, ..)| *offset < before) {
        match value {
            Some(value) => drop(rows.insert(key.clone(), value.clone())),
            None => drop(rows.remove(key)),
        }
    }
    rows
}
