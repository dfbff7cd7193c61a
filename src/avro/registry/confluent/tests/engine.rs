//! The whole engine with a registry that goes away and comes back: partitions pause, nothing becomes a dead letter, nothing is lost.

use super::*;
use crate::avro::{Aliases, AvroDeserializer, AvroSerializer, Encoder, Row};
use crate::streams::clock::Timestamp;
use crate::streams::testing::TopologyTestDriver;
use crate::streams::topology::{Source, Start, TopologyBuilder};

/// A value of the schema with this id.
fn value(id: u8) -> [u8; 6] {
    [0, 0, 0, 0, id, 2]
}

fn driver(registry: &Arc<ConfluentRegistry>) -> TopologyTestDriver {
    let registry = Arc::clone(registry);
    let deserializer =
        move || AvroDeserializer::new(Arc::<ConfluentRegistry>::clone(&registry), schema(), schema().shape().clone(), Aliases::new());
    let encoder = Encoder::compile(&schema(), schema().shape()).unwrap();
    let topology = TopologyBuilder::new()
        .source("in", Source::new("input", Start::Earliest, deserializer, || Row::of(schema().shape())))
        .sink("out", &["in"], "output", move || AvroSerializer::new(SchemaId(77), encoder.clone()))
        .build();
    TopologyTestDriver::new(Arc::new(topology.unwrap())).unwrap()
}

fn count(driver: &mut TopologyTestDriver, topic: &str) -> usize {
    driver.read(topic).unwrap().len()
}

fn paused(driver: &TopologyTestDriver) -> Option<String> {
    driver.status().tasks.values().find_map(|task| task.paused.clone())
}

#[test]
fn an_outage_pauses_the_partition_and_nothing_is_lost() {
    let fake = Fake::start(found);
    let registry = Arc::new(client(&fake));
    let mut driver = driver(&registry);
    driver.pipe("input", None, Some(&value(1)), Timestamp(1)).unwrap();
    assert_eq!(count(&mut driver, "output"), 1);
    assert_eq!(paused(&driver), None);

    fake.answer(|_| fake::error(503, 50300));
    driver.pipe("input", None, Some(&value(2)), Timestamp(2)).unwrap();
    driver.pipe("input", None, Some(&value(1)), Timestamp(3)).unwrap();
    for _ in 0..20 {
        // The outcome of each try is waited for here, so that every one is another request.
        registry.schema(SchemaId(2)).unwrap_err();
        driver.advance(Duration::from_millis(600)).unwrap();
    }
    assert!(fake.lines().len() > 20);
    assert_eq!(count(&mut driver, "output"), 0, "the order is kept: the third waits for the second");
    assert!(paused(&driver).unwrap().contains("looking up schema 2 at http://127.0.0.1"), "{:?}", paused(&driver));

    fake.answer(found);
    // What the engine's last try brought may be told first.
    while registry.schema(SchemaId(2)).is_err() {}
    driver.advance(Duration::from_millis(600)).unwrap();
    assert_eq!(count(&mut driver, "output"), 2);
    assert_eq!(count(&mut driver, "test-dead-letters"), 0);
    assert_eq!(paused(&driver), None);
}

#[test]
fn an_unknown_schema_is_a_dead_letter_after_three_tries_and_the_rest_goes_on() {
    let fake = Fake::start(|request| if request.line.contains("/1?") { found(request) } else { fake::error(404, 40403) });
    let registry = Arc::new(client(&fake));
    let mut driver = driver(&registry);
    driver.append("input", None, Some(&value(9)), Timestamp(1)).unwrap();
    driver.pipe("input", None, Some(&value(1)), Timestamp(2)).unwrap();
    let mut tries = 0;
    while count(&mut driver, "test-dead-letters") == 0 {
        tries += 1;
        assert!(tries < 1_000_000, "no dead letter");
        std::thread::yield_now();
        driver.advance(Duration::from_millis(600)).unwrap();
    }
    assert_eq!(count(&mut driver, "output"), 1);
    let lines = fake.lines();
    assert_eq!(lines.iter().filter(|line| line.contains("/9?")).count(), 3, "{lines:?}");
}
