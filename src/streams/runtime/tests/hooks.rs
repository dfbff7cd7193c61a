//! What a node is told: when its work is committed, when it is taken back, and when it must come to an end.

use parking_lot::Mutex;

use super::faults::{faulty, settle, try_start};
use super::faulty::{Call, Fault, FaultyLog};
use super::*;
use crate::streams::clock::SystemClock;
use crate::streams::log::{Class, Isolation, TopicPartition};
use crate::streams::runtime::Streams;

type Told = Arc<Mutex<Vec<String>>>;

/// Passes records on and writes down what it is told.
#[derive(Debug)]
struct Listener(Told);

impl Processor<String> for Listener {
    fn process(&mut self, record: &Record<'_, String>, context: &mut dyn ProcessorContext<String>) -> Result<(), BoxError> {
        let value = record.value.map_or("null", String::as_str);
        self.0.lock().push(value.to_owned());
        context.forward(record)?;
        if value == "poison" { Err("poisoned".into()) } else { Ok(()) }
    }

    fn committed(&mut self) {
        self.0.lock().push("committed".to_owned());
    }

    fn rolled_back(&mut self) {
        self.0.lock().push("rolled back".to_owned());
    }

    fn suspend(&mut self, context: &mut dyn ProcessorContext<String>) -> Result<(), BoxError> {
        self.0.lock().push("suspend".to_owned());
        let (value, timestamp) = ("last words".to_owned(), context.wall_clock());
        context.forward(&Record { key: Some(b"a"), value: Some(&value), timestamp, headers: Headers::EMPTY })
    }
}

fn listening(told: &Told) -> Arc<Topology<String>> {
    let told = Arc::clone(told);
    let topology = TopologyBuilder::new()
        .source("in", Source::new("input", Start::Earliest, || Text, String::new))
        .processor("listener", &["in"], &[], move || Listener(Arc::clone(&told)))
        .sink("out", &["listener"], "output", || Text)
        .build();
    Arc::new(topology.unwrap())
}

fn values(driver: &mut TopologyTestDriver) -> Vec<String> {
    let records = driver.read("output").unwrap();
    records.into_iter().map(|record| String::from_utf8(record.value.unwrap()).unwrap()).collect()
}

/// Starts the engine; that it commits where its input begins is not told.
fn start(world: &World, log: &Arc<FaultyLog>, told: &Told) -> TopologyTestDriver {
    let driver = try_start(world, log, listening(told)).unwrap();
    heard(told);
    driver
}

/// What was told since the last time.
fn heard(told: &Told) -> Vec<String> {
    std::mem::take(&mut *told.lock())
}

#[test]
fn a_commit_is_told_when_it_happened_and_a_failed_one_is_taken_back() {
    let (world, told) = (World::new(1), Told::default());
    let (log, faults) = faulty(&world);
    let mut driver = start(&world, &log, &told);
    pipe(&mut driver, "a", "1");
    assert_eq!(heard(&told), ["1", "committed"]);
    faults.lock().push_back(Fault { call: Call::SendOffsets, class: Class::Rebalanced, takes_effect: false });
    pipe(&mut driver, "a", "2");
    settle(&mut driver);
    assert_eq!(heard(&told), ["2", "rolled back", "2", "committed"]);
    assert_eq!(values(&mut driver), ["1", "2"]);
}

#[test]
fn a_record_that_failed_is_taken_back_at_once() {
    let (world, told) = (World::new(1), Told::default());
    let (log, _) = faulty(&world);
    let mut driver = start(&world, &log, &told);
    pipe(&mut driver, "a", "poison");
    assert_eq!(heard(&told), ["poison", "rolled back", "committed"]);
}

/// Counts its punctuations in a store, and passes nothing on.
#[derive(Debug)]
struct Ticker(Told, Option<StoreId>);

impl Processor<String> for Ticker {
    fn init(&mut self, context: &mut InitContext<'_>) -> Result<(), BoxError> {
        self.1 = context.store("counts");
        context.schedule(PunctuationType::WallClockTime, Duration::from_secs(1));
        Ok(())
    }

    fn process(&mut self, _: &Record<'_, String>, _: &mut dyn ProcessorContext<String>) -> Result<(), BoxError> {
        Ok(())
    }

    fn punctuate(&mut self, _: &Punctuation, context: &mut dyn ProcessorContext<String>) -> Result<(), BoxError> {
        let store = context.store(self.1.unwrap());
        let count = store.get(b"ticks")?.map_or(0, |row| row[0]) + 1;
        store.put(b"ticks", &[count])
    }

    fn committed(&mut self) {
        self.0.lock().push("committed".to_owned());
    }
}

fn ticking(told: &Told) -> Arc<Topology<String>> {
    let told = Arc::clone(told);
    let topology = TopologyBuilder::new()
        .source("in", Source::new("input", Start::Earliest, || Text, String::new))
        .store(counts())
        .processor("ticker", &["in"], &["counts"], move || Ticker(Arc::clone(&told), None))
        .build();
    Arc::new(topology.unwrap())
}

#[test]
fn what_a_punctuation_writes_to_a_store_is_committed_though_nothing_comes_in_or_out() {
    let (world, told) = (World::new(1), Told::default());
    let (log, _) = faulty(&world);
    let ticking = || ticking(&told);
    let mut driver = try_start(&world, &log, ticking()).unwrap();
    driver.run().unwrap();
    // The time is first known.
    driver.advance(Duration::from_secs(1)).unwrap();
    heard(&told);
    driver.advance(Duration::from_secs(1)).unwrap();
    assert_eq!(heard(&told), ["committed"]);
    let before = driver.store("counts");
    drop(driver);
    let mut driver = try_start(&world, &log, ticking()).unwrap();
    assert_eq!(driver.store("counts"), before);
}

#[test]
fn how_far_a_changelog_reaches_is_noted_though_the_input_of_its_task_stands_still() {
    let (world, told) = (World::new(2), Told::default());
    let (log, _) = faulty(&world);
    let mut driver = try_start(&world, &log, ticking(&told)).unwrap();
    driver.run().unwrap();
    driver.advance(Duration::from_secs(1)).unwrap();
    heard(&told);
    // One transaction: a record of one task, and a punctuation of both.
    driver.append("input", Some(b"a"), Some(b"x"), Timestamp(1)).unwrap();
    driver.advance(Duration::from_secs(1)).unwrap();
    assert_eq!(heard(&told), ["committed", "committed"], "of two tasks, once each");
    let admin = world.log.admin();
    let offsets = admin.group_offsets("app").unwrap();
    assert_eq!(offsets.len(), 2);
    for (input, committed) in offsets {
        let changelog = TopicPartition { topic: "app-counts-changelog".into(), ..input };
        let (_, end) = admin.watermarks(&changelog, Isolation::ReadUncommitted).unwrap();
        // One slot is the marker.
        let noted = format!("\"ends\":{{\"counts\":{}}}", end.0 - 1);
        assert!(committed.metadata.contains(&noted), "{changelog} ends at {end}: {}", committed.metadata);
    }
}

#[test]
fn what_a_node_records_when_it_is_suspended_is_committed() {
    let (world, told) = (World::new(1), Told::default());
    let (log, _) = faulty(&world);
    let driver = start(&world, &log, &told);
    driver.close().unwrap();
    assert_eq!(heard(&told)[..2], ["suspend", "committed"]);
    let mut driver = start(&world, &log, &told);
    assert_eq!(values(&mut driver), ["last words"]);
}

/// Has something to do until it was called so many times.
#[derive(Debug)]
struct Busy(u32);

impl Processor<String> for Busy {
    fn init(&mut self, context: &mut InitContext<'_>) -> Result<(), BoxError> {
        context.schedule(PunctuationType::WallClockTime, Duration::from_millis(5));
        Ok(())
    }

    fn process(&mut self, record: &Record<'_, String>, context: &mut dyn ProcessorContext<String>) -> Result<(), BoxError> {
        context.forward(record)
    }

    fn punctuate(&mut self, _: &Punctuation, context: &mut dyn ProcessorContext<String>) -> Result<(), BoxError> {
        self.0 = self.0.saturating_sub(1);
        let (value, timestamp) = (self.0.to_string(), context.wall_clock());
        context.forward(&Record { key: Some(b"a"), value: Some(&value), timestamp, headers: Headers::EMPTY })
    }

    fn is_unfinished(&self) -> bool {
        self.0 > 0
    }
}

#[test]
fn a_run_until_the_end_waits_for_what_a_node_has_still_to_do() {
    let world = World::new(1);
    let topology = TopologyBuilder::new()
        .source("in", Source::new("input", Start::Earliest, || Text, String::new))
        .processor("busy", &["in"], &[], || Busy(20))
        .sink("out", &["busy"], "output", || Text)
        .build();
    let options = Options { until_end: true, poll_timeout: Duration::from_millis(5), ..Options::new("app", "instance") };
    let (backend, clock) = (Arc::<MemoryBackend>::clone(&world.backend), Arc::new(SystemClock::new()));
    let engine = Streams::new(Arc::new(topology.unwrap()), Arc::<LocalLog>::clone(&world.log), backend, clock, options).unwrap();
    engine.start().unwrap();
    engine.join(|_| ()).unwrap();
    let end = world.log.admin().watermarks(&TopicPartition::new("output", 0), Isolation::ReadCommitted).unwrap().1;
    assert!(end.0 >= 20, "it ended after {end}");
}
