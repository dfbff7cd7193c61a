//! What becomes of single records: results, tombstones, errors of each kind under each policy, punctuation.

use super::*;

#[test]
fn results_state_and_changelog_agree() {
    let world = World::new(1);
    let mut driver = world.driver();
    pipe(&mut driver, "a", "x");
    pipe(&mut driver, "b", "y");
    pipe(&mut driver, "a", "z");
    driver.pipe("input", Some(b"a"), None, Timestamp(7)).unwrap();
    assert_eq!(outputs(&mut driver), ["a:1:x", "b:1:y", "a:2:z", "a:3:null"]);
    assert_eq!(driver.store("counts"), [(b"a".to_vec(), b"3".to_vec()), (b"b".to_vec(), b"1".to_vec())]);
    let changelog: Vec<_> =
        driver.read("app-counts-changelog").unwrap().into_iter().map(|record| (record.key, record.value, record.timestamp.0)).collect();
    let row = |key: &str, value: &str, time| (Some(key.as_bytes().to_vec()), Some(value.as_bytes().to_vec()), time);
    assert_eq!(changelog, [row("a", "1", 1), row("b", "1", 1), row("a", "2", 1), row("a", "3", 7)]);
}

#[test]
fn one_transaction_writes_one_changelog_record_per_key() {
    let world = World::new(1);
    let mut driver = world.driver();
    for _ in 0..5 {
        driver.append("input", Some(b"a"), Some(b"x"), Timestamp(1)).unwrap();
    }
    driver.run().unwrap();
    assert_eq!(outputs(&mut driver).len(), 5);
    assert!(driver.read("app-counts-changelog").unwrap().len() < 5);
    assert_eq!(driver.store("counts"), [(b"a".to_vec(), b"5".to_vec())]);
}

#[test]
fn a_bad_record_becomes_one_dead_letter_and_leaves_no_other_trace() {
    let world = World::new(1);
    let mut driver = world.driver();
    pipe(&mut driver, "a", "x");
    driver.pipe("input", Some(b"a"), Some(&[0xff, 0xfe]), Timestamp(5)).unwrap();
    pipe(&mut driver, "a", "poison");
    pipe(&mut driver, "a", "panic");
    pipe(&mut driver, "a", "unwritable");
    driver.pipe("input", None, Some(b"keyless"), Timestamp(6)).unwrap();
    pipe(&mut driver, "a", "y");
    assert_eq!(outputs(&mut driver), ["a:1:x", "a:2:y"], "the results of a failed record are taken back with its state");
    let letters = driver.read("app-dead-letters").unwrap();
    let header = |letter: &crate::streams::testing::TestRecord, name: &str| {
        let name = format!("__streams.errors.{name}");
        let value = letter.headers.iter().find(|(key, _)| *key == name).and_then(|(_, value)| value.clone()).unwrap();
        String::from_utf8(value).unwrap()
    };
    let told: Vec<_> = letters.iter().map(|letter| (header(letter, "exception"), header(letter, "message"))).collect();
    let expect = |kind: &str, message: &str| (kind.to_owned(), message.to_owned());
    assert_eq!(
        told[1..],
        [
            expect("ProcessingError", "poisoned"),
            expect("ProcessingError", "panicked: a fault in a processor"),
            expect("ProductionError", "cannot be written"),
            expect("ProcessingError", "a record without a key"),
        ]
    );
    assert_eq!(told[0].0, "DeserializationError");
    let first = &letters[0];
    assert_eq!((first.key.as_deref(), first.value.as_deref(), first.timestamp), (Some(&b"a"[..]), Some(&[0xff, 0xfe][..]), Timestamp(5)));
    assert_eq!((header(first, "topic"), header(first, "partition"), header(first, "offset")), ("input".into(), "0".into(), "2".into()));
    assert!(header(first, "stacktrace").starts_with("node in failed\ncaused by: "));
}

#[test]
fn a_result_that_is_too_large_is_a_production_error() {
    let world = World::new(1);
    let mut driver = world.driver();
    let huge = "x".repeat(1_000_001);
    pipe(&mut driver, "a", &huge);
    pipe(&mut driver, "a", "y");
    assert_eq!(outputs(&mut driver), ["a:1:y"]);
    assert_eq!(driver.read("app-dead-letters").unwrap().len(), 1);
}

#[test]
fn skip_leaves_the_record_out_and_counts_it() {
    let world = World::new(1);
    let policy = ErrorPolicy { processing: OnError::Skip, ..ErrorPolicy::default() };
    let mut driver = world.try_driver(counting(policy)).unwrap();
    pipe(&mut driver, "a", "poison");
    pipe(&mut driver, "a", "y");
    assert_eq!(outputs(&mut driver), ["a:1:y"]);
    assert_eq!(driver.read("app-dead-letters").unwrap(), []);
    let status = driver.status();
    assert_eq!(status.tasks.values().next().unwrap().counters.dropped_records_total, 1);
}

#[test]
fn fail_stops_at_the_record_and_a_mended_topology_goes_on_there() {
    let world = World::new(1);
    let policy = ErrorPolicy { processing: OnError::Fail, ..ErrorPolicy::default() };
    let mut driver = world.try_driver(counting(policy)).unwrap();
    pipe(&mut driver, "a", "x");
    let error = driver.pipe("input", Some(b"a"), Some(b"poison"), Timestamp(1)).unwrap_err();
    let text = crate::streams::task::chain(&error);
    assert_eq!(text, "a task failed: task 0_0 stopped at input-0 offset 2 as its error policy says: node count failed: poisoned");
    drop(driver);
    let mut driver = world.driver();
    pipe(&mut driver, "a", "y");
    assert_eq!(outputs(&mut driver), ["a:1:x", "a:2:y"]);
    assert_eq!(driver.read("app-dead-letters").unwrap().len(), 1);
}

#[test]
fn an_outage_pauses_the_input_and_never_makes_a_dead_letter() {
    let world = World::new(1);
    let mut driver = world.driver();
    pipe(&mut driver, "a", "x");
    pipe(&mut driver, "a", "outage");
    pipe(&mut driver, "a", "y");
    driver.advance(Duration::from_secs(60)).unwrap();
    assert_eq!(outputs(&mut driver), ["a:1:x"]);
    assert_eq!(driver.read("app-dead-letters").unwrap(), []);
}

/// Counts records in memory and tells the count every 10 s of stream time and every 60 s of the wall clock.
#[derive(Debug, Default)]
struct Tick {
    seen: u32,
}

impl Processor<String> for Tick {
    fn init(&mut self, context: &mut InitContext<'_>) -> Result<(), BoxError> {
        context.schedule(PunctuationType::StreamTime, Duration::from_secs(10));
        context.schedule(PunctuationType::WallClockTime, Duration::from_secs(60));
        Ok(())
    }

    fn process(&mut self, _record: &Record<'_, String>, _context: &mut dyn ProcessorContext<String>) -> Result<(), BoxError> {
        self.seen += 1;
        Ok(())
    }

    fn punctuate(&mut self, punctuation: &Punctuation, context: &mut dyn ProcessorContext<String>) -> Result<(), BoxError> {
        let text = format!("{:?} {}", punctuation.kind, self.seen);
        let record = Record { key: None, value: Some(&text), timestamp: punctuation.timestamp, headers: Headers::EMPTY };
        context.forward(&record)
    }
}

pub(super) fn ticking() -> Arc<Topology<String>> {
    let topology = TopologyBuilder::new()
        .source("in", Source::new("input", Start::Earliest, || Text, String::new))
        .processor("tick", &["in"], &[], Tick::default)
        .sink("out", &["tick"], "output", || Text);
    Arc::new(topology.build().unwrap())
}

/// The same behind a copy of each record: what the copy's sink refuses, the clock has not counted.
pub(super) fn copying_and_ticking() -> Arc<Topology<String>> {
    let topology = TopologyBuilder::new()
        .source("in", Source::new("input", Start::Earliest, || Text, String::new))
        .sink("copy", &["in"], "output", || Text)
        .processor("tick", &["in"], &[], Tick::default)
        .sink("out", &["tick"], "output", || Text);
    Arc::new(topology.build().unwrap())
}

#[test]
fn punctuations_follow_stream_time_and_the_wall_clock() {
    let world = World::new(1);
    let mut driver = world.try_driver(ticking()).unwrap();
    for second in [0, 5, 9, 10, 35] {
        driver.pipe("input", Some(b"a"), Some(b"x"), Timestamp(second * 1000)).unwrap();
    }
    assert_eq!(outputs(&mut driver), ["StreamTime 4", "StreamTime 5"]);
    driver.advance(Duration::from_secs(59)).unwrap();
    assert_eq!(outputs(&mut driver), Vec::<String>::new());
    driver.advance(Duration::from_secs(1)).unwrap();
    assert_eq!(outputs(&mut driver), ["WallClockTime 5"]);
}
