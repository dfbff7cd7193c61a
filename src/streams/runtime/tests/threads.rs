//! Real threads: several of them share the partitions, stop in order, and leave the same results as one.

use std::collections::BTreeMap;

use super::*;
use crate::streams::clock::{Clock, SystemClock};
use crate::streams::kv;
use crate::streams::log::{Headers, Isolation, Offset, Polled, ProducerOptions, ProducerRecord, RecordBatch, TopicPartition};
use crate::streams::runtime::{ClientState, Error, Status, Streams};
use crate::streams::task::TaskId;

const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn fill(log: &LocalLog, records: usize) {
    let options = ProducerOptions { transactional_id: "fill".into(), topics: vec!["input".into()], transaction_timeout: TIMEOUT };
    let mut producer = log.producer(options).unwrap();
    producer.init_transactions(TIMEOUT).unwrap();
    producer.begin().unwrap();
    for number in 0..records {
        let (key, value) = (format!("k{}", number % 50), number.to_string());
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        producer.send(&ProducerRecord { topic: 0, partition: None, key, value, headers: Headers::EMPTY, timestamp: Timestamp(1) }).unwrap();
    }
    producer.commit(TIMEOUT).unwrap();
}

/// All outputs, per key in order.
fn by_key(log: &LocalLog, partitions: i32) -> BTreeMap<String, Vec<String>> {
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for number in 0..partitions {
        let options = crate::streams::log::ConsumerOptions { group: None, instance_id: None, isolation: Isolation::ReadCommitted };
        let mut consumer = log.consumer(options).unwrap();
        consumer.assign(&TopicPartition::new("output", number), Offset(0)).unwrap();
        let mut batch = RecordBatch::default();
        while consumer.poll(Duration::ZERO, &mut batch).unwrap() == Polled::Records {
            for record in batch.iter() {
                let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
                seen.entry(text(record.key)).or_default().push(text(record.value));
            }
        }
    }
    seen
}

fn expected(records: usize) -> BTreeMap<String, Vec<String>> {
    let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for number in 0..records {
        let key = format!("k{}", number % 50);
        let seen = expected.entry(key.clone()).or_default();
        seen.push(format!("{key}:{}:{number}", seen.len() + 1));
    }
    expected
}

fn streams(world: &World, threads: usize, until_end: bool) -> Streams {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let options = Options { threads, until_end, ..Options::new("app", "instance") };
    let backend = Arc::<MemoryBackend>::clone(&world.backend);
    Streams::new(counting(ErrorPolicy::default()), Arc::<LocalLog>::clone(&world.log), backend, clock, options).unwrap()
}

#[test]
fn until_the_end_with_any_number_of_threads_gives_the_same_results() {
    for threads in 1..=3 {
        let world = World::new(4);
        fill(&world.log, 5_000);
        let streams = streams(&world, threads, true);
        assert_eq!(streams.state(), ClientState::Created);
        streams.start().unwrap();
        streams.join(|_| ()).unwrap();
        assert_eq!(streams.state(), ClientState::NotRunning);
        assert_eq!(by_key(&world.log, 4), expected(5_000), "{threads} threads");
    }
}

#[test]
fn a_stop_in_the_middle_and_a_start_with_more_threads_lose_and_repeat_nothing() {
    let world = World::new(4);
    fill(&world.log, 20_000);
    for threads in [1, 2, 4] {
        let streams = streams(&world, threads, threads == 4);
        streams.start().unwrap();
        // Somewhere in the middle, or at the end if it was quick.
        let stop_once_it_works = |status: &Status| {
            if threads != 4 && (status.commit_total > 0 || streams.state() == ClientState::Running) {
                streams.stop();
            }
        };
        streams.join(stop_once_it_works).unwrap();
    }
    assert_eq!(by_key(&world.log, 4), expected(20_000));
}

#[test]
fn a_failure_of_one_thread_stops_the_engine_with_its_error() {
    let world = World::new(2);
    let policy = ErrorPolicy { processing: OnError::Fail, ..ErrorPolicy::default() };
    fill(&world.log, 10);
    let mut driver = world.driver();
    driver.append("input", Some(b"a"), Some(b"poison"), Timestamp(1)).unwrap();
    drop(driver);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let options = Options { threads: 2, ..Options::new("app", "instance") };
    let backend = Arc::<MemoryBackend>::clone(&world.backend);
    let streams = Streams::new(counting(policy), Arc::<LocalLog>::clone(&world.log), backend, clock, options).unwrap();
    streams.start().unwrap();
    let error = streams.join(|_| ()).unwrap_err();
    assert!(crate::streams::task::chain(&error).contains("poisoned"), "{error}");
    assert_eq!(streams.state(), ClientState::Error);
}

/// Stores that cannot be opened by one of the threads, which dies of it.
#[derive(Debug)]
struct Deadly {
    stores: Arc<MemoryBackend>,
    thread: &'static str,
}

impl StateBackend for Deadly {
    fn open(&self, task: TaskId) -> kv::Result<Arc<dyn kv::Kv>> {
        assert_ne!(std::thread::current().name(), Some(self.thread), "told to");
        self.stores.open(task)
    }

    fn destroy(&self, task: TaskId) -> kv::Result<()> {
        self.stores.destroy(task)
    }
}

#[test]
fn a_stream_thread_that_panics_stops_the_engine_and_loses_nothing() {
    let world = World::new(4);
    fill(&world.log, 5_000);
    let backend = Arc::new(Deadly { stores: Arc::clone(&world.backend), thread: "stream-1" });
    let options = Options { threads: 2, ..Options::new("app", "instance") };
    let (log, clock) = (Arc::<LocalLog>::clone(&world.log), Arc::new(SystemClock::new()));
    let broken = Streams::new(counting(ErrorPolicy::default()), log, backend, clock, options).unwrap();
    broken.start().unwrap();
    let error = broken.join(|_| ()).unwrap_err();
    assert!(matches!(&error, Error::Panicked { thread: 1, message } if message.contains("told to")), "{error}");
    assert_eq!(broken.state(), ClientState::Error);
    drop(broken);
    let streams = streams(&world, 2, true);
    streams.start().unwrap();
    streams.join(|_| ()).unwrap();
    assert_eq!(by_key(&world.log, 4), expected(5_000));
}

/// Two engines share the work, one stops when the other is as `ready` says, and that one takes over; its status before and in the end.
fn takeover(backend: Arc<dyn StateBackend>, ready: impl Fn(&Status) -> bool) -> (Status, Status) {
    let world = World::new(4);
    let engine = |name: &str, backend| {
        let options = Options { threads: 2, standby: true, leave_on_stop: true, ..Options::new("app", name) };
        let (log, clock) = (Arc::<LocalLog>::clone(&world.log), Arc::new(SystemClock::new()));
        Streams::new(counting(ErrorPolicy::default()), log, backend, clock, options).unwrap()
    };
    let (first, second) = (engine("first", Arc::<MemoryBackend>::default()), engine("second", backend));
    fill(&world.log, 5_000);
    first.start().unwrap();
    second.start().unwrap();
    let mut before = None;
    let watch = |_: &Status| {
        let status = second.status();
        if before.is_none() && status.tasks.len() == 2 && ready(&status) {
            before = Some(status);
            first.stop();
        }
    };
    first.join(watch).unwrap();
    let watch = |status: &Status| {
        if status.tasks.len() == 4 && second.state() == ClientState::Running {
            second.stop();
        }
    };
    second.join(watch).unwrap();
    assert_eq!(by_key(&world.log, 4), expected(5_000));
    (before.unwrap(), second.status())
}

#[test]
fn a_standby_thread_makes_a_takeover_short() {
    let is_warm = |status: &Status| {
        let mut standbys = status.standbys.values();
        status.standbys.len() == 2 && standbys.all(|standby| standby.waiting.is_none() && standby.lag() == 0)
    };
    let (before, status) = takeover(Arc::<MemoryBackend>::default(), |status| status.standby_records_total > 0 && is_warm(status));
    assert_eq!(before.restored_records_total, status.restored_records_total, "{status:?}");
    assert!(status.standbys.is_empty(), "{status:?}");
}

#[test]
fn a_standby_thread_that_dies_takes_nothing_with_it() {
    let (_, status) = takeover(Arc::new(Deadly { stores: Arc::default(), thread: "standby" }), |_| true);
    assert_eq!((status.tasks.len(), status.standby_records_total), (4, 0), "{status:?}");
}
