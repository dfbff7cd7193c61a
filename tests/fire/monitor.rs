//! How far the group is, asked of the brokers all the time: how long a fault was felt, and whether a position ever went back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::real::PATIENCE;
use crate::time::{Deadline, nap};

/// A fault whose end is waited for: until all is committed that was written before it.
#[derive(Clone, Debug)]
struct Open {
    fault: u8,
    id: String,
    since: Instant,
    ends: Vec<i64>,
}

/// How long a fault was felt.
#[derive(Clone, Debug)]
pub(crate) struct Recovery {
    pub(crate) fault: u8,
    pub(crate) took: Duration,
}

#[derive(Debug, Default)]
struct State {
    committed: Vec<i64>,
    open: Vec<Open>,
    recoveries: Vec<Recovery>,
    /// What went back, in words.
    regressions: Vec<String>,
}

/// Where each partition of the topics whose names begin with a prefix ends; for `read_committed` how much of it is beyond every open transaction.
pub(crate) fn ends(client: &ClientConfig, prefix: &str, isolation: &str) -> BTreeMap<(String, i32), i64> {
    let mut config = client.clone();
    let consumer: BaseConsumer = config.set("group.id", "unused").set("isolation.level", isolation).create().unwrap();
    let metadata = consumer.fetch_metadata(None, PATIENCE).unwrap();
    let topics = metadata.topics().iter().filter(|topic| topic.name().starts_with(prefix));
    let places = topics.flat_map(|topic| topic.partitions().iter().map(|partition| (topic.name().to_owned(), partition.id())));
    places.map(|place| (place.clone(), consumer.fetch_watermarks(&place.0, place.1, PATIENCE).unwrap().1)).collect()
}

/// The thread that asks.
#[derive(Debug)]
pub(crate) struct Monitor {
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    pub(crate) fn start(client: &ClientConfig, group: &str, topic: &str, partitions: i32) -> Self {
        let mut config = client.clone();
        // What is committed now, and not what an open transaction may still change.
        config.set("group.id", group).set("isolation.level", "read_uncommitted").set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg);
        let consumer: BaseConsumer = config.create().unwrap();
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(topic, 0, partitions - 1);
        let (state, stop) = (Arc::new(Mutex::new(State::default())), Arc::new(AtomicBool::new(false)));
        let (shared, told) = (Arc::clone(&state), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Acquire) {
                if let Ok(answer) = consumer.committed_offsets(asked.clone(), Duration::from_secs(5)) {
                    let elements = answer.elements();
                    let offsets = elements.iter().map(|element| if let Offset::Offset(offset) = element.offset() { offset } else { 0 });
                    shared.lock().unwrap().look(offsets.collect());
                }
                nap(Duration::from_millis(40));
            }
        });
        Self { state, stop, thread: Some(thread) }
    }

    /// A fault has happened: from now on it is felt until all that is in the input now is committed.
    pub(crate) fn watch(&self, fault: u8, id: &str, ends: Vec<i64>) {
        self.state.lock().unwrap().open.push(Open { fault, id: id.to_owned(), since: Instant::now(), ends });
    }

    pub(crate) fn committed(&self) -> Vec<i64> {
        self.state.lock().unwrap().committed.clone()
    }

    /// Waits until so much is committed.
    pub(crate) fn wait_until(&self, ends: &[i64], within: Duration) -> Result<Duration, String> {
        let (began, deadline) = (Instant::now(), Deadline::after(within));
        loop {
            let committed = self.committed();
            if reaches(&committed, ends) {
                return Ok(began.elapsed());
            }
            if deadline.passed() {
                return Err(format!("not caught up within {within:?}: committed {committed:?} of {ends:?}"));
            }
            nap(Duration::from_millis(20));
        }
    }

    /// Waits until all faults are over.
    pub(crate) fn wait_for_recovery(&self, within: Duration) -> Result<(), String> {
        let deadline = Deadline::after(within);
        loop {
            let open: Vec<String> = self.state.lock().unwrap().open.iter().map(|open| open.id.clone()).collect();
            if open.is_empty() {
                return Ok(());
            }
            if deadline.passed() {
                return Err(format!("still felt after {within:?}: {}", open.join(", ")));
            }
            nap(Duration::from_millis(20));
        }
    }

    /// How long each fault was felt, and what went back.
    pub(crate) fn finish(&mut self) -> (Vec<Recovery>, Vec<String>) {
        self.stop.store(true, Ordering::Release);
        drop(self.thread.take().map(JoinHandle::join));
        let mut state = self.state.lock().unwrap();
        (std::mem::take(&mut state.recoveries), std::mem::take(&mut state.regressions))
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

impl State {
    fn look(&mut self, committed: Vec<i64>) {
        for (partition, (now, before)) in committed.iter().zip(&self.committed).enumerate() {
            if now < before {
                self.regressions.push(format!("partition {partition}: the group went back from {before} to {now}"));
            }
        }
        self.committed = committed;
        let (over, open) = std::mem::take(&mut self.open).into_iter().partition(|open: &Open| reaches(&self.committed, &open.ends));
        self.open = open;
        self.recoveries.extend(over.into_iter().map(|open| Recovery { fault: open.fault, took: open.since.elapsed() }));
    }
}

fn reaches(committed: &[i64], ends: &[i64]) -> bool {
    ends.iter().enumerate().all(|(partition, &end)| committed.get(partition).copied().unwrap_or(0) >= end)
}
