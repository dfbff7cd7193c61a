//! Stops, starts, and what the next start finds: state, offsets and layouts.

use super::*;
use crate::streams::clock::ManualClock;
use crate::streams::log::{Committed, Offset, TopicPartition};
use crate::streams::task::State;
use crate::streams::testing::Instance;
use crate::streams::topology::Blueprint;

#[test]
fn an_orderly_stop_leaves_nothing_to_restore() {
    let world = World::new(1);
    let mut driver = world.driver();
    pipe(&mut driver, "a", "x");
    driver.close().unwrap();
    let mut driver = world.driver();
    pipe(&mut driver, "a", "y");
    assert_eq!(outputs(&mut driver), ["a:1:x", "a:2:y"]);
    assert_eq!(driver.status().restored_records_total, 0);
}

#[test]
fn a_killed_engine_restores_only_what_the_disk_lacks() {
    let world = World::new(1);
    let mut driver = world.driver();
    pipe(&mut driver, "a", "x");
    driver.close().unwrap();
    let mut driver = world.driver();
    pipe(&mut driver, "b", "y");
    pipe(&mut driver, "b", "z");
    // No close: the rows of b never reached the store.
    drop(driver);
    let mut driver = world.driver();
    pipe(&mut driver, "b", "w");
    assert_eq!(outputs(&mut driver).last().unwrap(), "b:3:w");
    assert_eq!(driver.status().restored_records_total, 2);
}

#[test]
fn lost_stores_are_restored_from_the_changelog() {
    let mut world = World::new(1);
    let mut driver = world.driver();
    for number in 0..100 {
        pipe(&mut driver, &format!("k{}", number % 10), "x");
    }
    let before = driver.store("counts");
    driver.close().unwrap();
    world.backend = Arc::default();
    let mut driver = world.driver();
    assert_eq!(driver.store("counts"), before);
    assert_eq!(driver.status().restored_records_total, 100);
}

#[test]
fn a_restore_goes_on_exactly_where_the_last_one_ended() {
    let mut world = World::new(1);
    let mut driver = world.driver();
    pipe(&mut driver, "a", "1");
    driver.close().unwrap();
    world.backend = Arc::default();
    // This restore ends behind the marker, and the next record lies exactly there.
    world.driver().close().unwrap();
    let mut driver = world.driver();
    pipe(&mut driver, "a", "2");
    drop(driver);
    let mut driver = world.driver();
    pipe(&mut driver, "a", "3");
    assert_eq!(outputs(&mut driver), ["a:1:1", "a:2:2", "a:3:3"]);
    assert_eq!(driver.status().restored_records_total, 1);
}

#[test]
fn state_without_a_committed_offset_is_refused_with_the_remedy() {
    let world = World::new(1);
    let mut driver = world.driver();
    pipe(&mut driver, "a", "x");
    driver.close().unwrap();
    world.log.admin().alter_group_offsets("app", &[(TopicPartition::new("input", 0), None)]).unwrap();
    let error = world.try_driver(counting(ErrorPolicy::default())).unwrap_err().to_string();
    assert_eq!(
        error,
        "the group app has no committed offset for input-0, but its store counts has content; `tidewatch reset` starts afresh from a place that you choose"
    );
}

#[test]
fn a_committed_offset_outside_the_log_is_refused_with_the_remedy() {
    let world = World::new(1);
    world.driver().close().unwrap();
    let outside = Committed { offset: Offset(99), metadata: "".into() };
    world.log.admin().alter_group_offsets("app", &[(TopicPartition::new("input", 0), Some(outside))]).unwrap();
    let error = world.try_driver(counting(ErrorPolicy::default())).unwrap_err().to_string();
    assert_eq!(
        error,
        "the committed offset 99 of input-0 is outside its log (0 to 0); `tidewatch reset` starts afresh from a place that you choose"
    );
}

#[test]
fn a_changelog_that_was_made_anew_or_cut_is_refused_and_never_taken_for_the_state() {
    for cut in [false, true] {
        let mut world = World::new(1);
        let mut driver = world.driver();
        for value in ["x", "y", "z"] {
            pipe(&mut driver, "a", value);
        }
        driver.close().unwrap();
        // What the disk has is complete, so nothing is missed there.
        let changelog = TopicPartition::new("app-counts-changelog", 0);
        if cut {
            world.log.truncate(&changelog, Offset(3)).unwrap();
            world.driver().close().unwrap();
        } else {
            let admin = world.log.admin();
            let config = admin.describe(&changelog.topic).unwrap().unwrap().config;
            admin.delete_topic(&changelog.topic).unwrap();
            admin.create_topic(&changelog.topic, &config).unwrap();
            assert!(world.try_driver(counting(ErrorPolicy::default())).is_err());
        }
        world.backend = Arc::default();
        let error = world.try_driver(counting(ErrorPolicy::default())).unwrap_err().to_string();
        let held = if cut { "has records from offset 3 up to 6" } else { "is empty" };
        let expected = format!("the changelog app-counts-changelog-0 {held}, but the state needs it from offset ");
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[test]
fn a_changelog_that_is_made_anew_under_a_running_engine_is_noticed_at_the_next_commit() {
    let world = World::new(1);
    let mut driver = world.driver();
    pipe(&mut driver, "a", "1");
    let admin = world.log.admin();
    admin.delete_topic("app-counts-changelog").unwrap();
    admin.create_topic("app-counts-changelog", &TopicConfig::compact(1)).unwrap();
    // More than it had before: its end tells nothing.
    for value in ["2", "3", "4"] {
        driver.append("input", Some(value.as_bytes()), Some(b"x"), Timestamp(1)).unwrap();
    }
    let said = driver.run().unwrap_err().to_string();
    assert!(said.starts_with("the changelog app-counts-changelog-0 was deleted and made anew"), "{said}");
    assert_eq!(outputs(&mut driver), ["a:1:1", "2:1:x", "3:1:x", "4:1:x"], "its own state was complete");
    drop(driver);
    // Neither this disk nor an empty one goes on, for nothing would bring back what only this disk has.
    for backend in [world.backend, Arc::default()] {
        let again = World { log: Arc::clone(&world.log), backend }.try_driver(counting(ErrorPolicy::default()));
        assert_eq!(again.unwrap_err().to_string(), said);
    }
}

#[test]
fn latest_begins_at_the_end_and_remembers_it() {
    let world = World::new(1);
    let topology = || {
        let topology = TopologyBuilder::new()
            .source("in", Source::new("input", Start::Latest, || Text, String::new))
            .store(counts())
            .processor("count", &["in"], &["counts"], Count::default)
            .sink("out", &["count"], "output", || Text);
        Arc::new(topology.build().unwrap())
    };
    let mut driver = world.driver();
    driver.append("input", Some(b"a"), Some(b"before"), Timestamp(1)).unwrap();
    drop(driver);
    world.log.admin().alter_group_offsets("app", &[]).unwrap();
    let fresh = Options::new("other", "instance");
    let start = |topology| {
        TopologyTestDriver::with(topology, Arc::<LocalLog>::clone(&world.log), Arc::<MemoryBackend>::default(), fresh.clone()).unwrap()
    };
    let mut driver = start(topology());
    // The place where it began is committed although no record came: what arrives while it is down is not skipped.
    driver.append("input", Some(b"a"), Some(b"while down"), Timestamp(1)).unwrap();
    drop(driver);
    let mut driver = start(topology());
    driver.run().unwrap();
    assert_eq!(outputs(&mut driver), ["a:1:while down"]);
}

fn with_store(name: &'static str, kind: &str, ty: &str) -> Arc<Topology<String>> {
    let layout = StoreLayout { kind: kind.into(), fields: [("n".to_owned(), ty.to_owned())].into() };
    let topology = TopologyBuilder::new()
        .source("in", Source::new("input", Start::Earliest, || Text, String::new))
        .store(StoreSpec { name: name.into(), layout })
        .processor("count", &["in"], &[name], Count::default)
        .sink("out", &["count"], "output", || Text);
    Arc::new(topology.build().unwrap())
}

#[test]
fn stored_state_that_does_not_fit_the_topology_is_refused_naming_both_sides() {
    let world = World::new(1);
    world.driver().close().unwrap();
    let refused = |topology| world.try_driver(topology).unwrap_err().to_string();
    let renamed = refused(with_store("renamed", "count", "long"));
    assert!(renamed.contains("counts") && renamed.contains("renamed") && renamed.contains("tidewatch reset"), "{renamed}");
    let kind = refused(with_store("counts", "latest", "long"));
    assert!(kind.contains("count") && kind.contains("latest"), "{kind}");
    let ty = refused(with_store("counts", "count", "string"));
    assert!(ty.contains("long") && ty.contains("string"), "{ty}");
    // The same holds when the disk is lost: the layout is with the committed offsets.
    let bare = World { log: Arc::clone(&world.log), backend: Arc::default() };
    assert!(bare.try_driver(with_store("counts", "latest", "long")).is_err());
    assert!(world.try_driver(counting(ErrorPolicy::default())).is_ok());
}

#[test]
fn another_number_of_input_partitions_is_refused() {
    let world = World::new(1);
    world.driver().close().unwrap();
    let admin = world.log.admin();
    let kept = admin.group_offsets("app").unwrap();
    admin.delete_topic("input").unwrap();
    admin.create_topic("input", &TopicConfig::keep(2)).unwrap();
    let error = world.try_driver(counting(ErrorPolicy::default())).unwrap_err().to_string();
    assert!(error.contains("app-counts-changelog has 1 partitions, but its input input has 2"), "{error}");
    // With the changelog gone too, the offsets still know.
    admin.delete_topic("app-counts-changelog").unwrap();
    let kept: Vec<_> = kept.into_iter().map(|(partition, committed)| (partition, Some(committed))).collect();
    admin.alter_group_offsets("app", &kept).unwrap();
    let error = world.try_driver(counting(ErrorPolicy::default())).unwrap_err().to_string();
    assert!(error.contains("written for 1 input partitions, the input has 2 now"), "{error}");
}

#[test]
fn a_missing_topic_is_named() {
    let log = LocalLog::in_memory();
    let topology = counting(ErrorPolicy::default());
    let options = Options::new("app", "instance");
    let clock = Arc::new(ManualClock::default());
    let error = crate::streams::runtime::Streams::new(topology, log, Arc::<MemoryBackend>::default(), clock, options).unwrap_err();
    assert_eq!(error.to_string(), "the topic output does not exist");
}

#[test]
fn internal_topics_are_created_only_where_that_is_wanted() {
    let log = LocalLog::in_memory();
    let admin = log.admin();
    for topic in ["input", "output"] {
        admin.create_topic(topic, &TopicConfig::keep(2)).unwrap();
    }
    let options = Options { create_internal_topics: false, ..Options::new("app", "instance") };
    let start = |options: &Options| {
        let clock = Arc::new(ManualClock::default());
        let (topology, log) = (counting(ErrorPolicy::default()), Arc::<LocalLog>::clone(&log));
        crate::streams::runtime::Streams::new(topology, log, Arc::<MemoryBackend>::default(), clock, options.clone())
    };
    assert_eq!(start(&options).unwrap_err().to_string(), "the topic app-counts-changelog does not exist");
    admin.create_topic("app-counts-changelog", &TopicConfig::compact(2)).unwrap();
    assert_eq!(start(&options).unwrap_err().to_string(), "the topic app-dead-letters does not exist");
    assert!(admin.describe("app-dead-letters").unwrap().is_none());
    start(&Options { create_internal_topics: true, ..options.clone() }).unwrap();
    assert_eq!(admin.describe("app-dead-letters").unwrap().unwrap().config, TopicConfig::keep(2));
    start(&options).unwrap();
}

#[test]
fn the_description_is_kafka_streams_own() {
    let topology = counting(ErrorPolicy::default());
    let expected = "Topologies:\n  Sub-topology: 0\n    Source: in (topics: [input])\n      --> count\n    Processor: count (stores: [counts])\n      --> out\n      <-- in\n    Sink: out (topic: output)\n      <-- count\n";
    assert_eq!(topology.describe().to_string(), expected);
    assert_eq!(topology.subtopologies().len(), 1);
}

#[test]
fn a_changelog_that_is_made_anew_while_it_is_restored_ends_the_restore() {
    let world = World::new(1);
    let mut driver = world.driver();
    for value in ["x", "y"] {
        pipe(&mut driver, "a", value);
    }
    driver.close().unwrap();
    // Somebody's open transaction holds the restore up.
    let changelog: Arc<str> = "app-counts-changelog".into();
    let _somebody = open_transaction(&world.log, "somebody", &changelog);
    let clock = ManualClock::default();
    let (log, backend): (Arc<dyn Log>, Arc<dyn StateBackend>) = (Arc::<LocalLog>::clone(&world.log), Arc::<MemoryBackend>::default());
    let options = Options::new("app", "instance");
    let mut instance = Instance::new(counting(ErrorPolicy::default()), log, backend, Arc::new(clock.clone()), options).unwrap();
    let mut turns = |turns: u32| {
        for _ in 0..turns {
            clock.advance(Duration::from_secs(1));
            instance.step()?;
        }
        Ok::<_, crate::streams::runtime::Error>(instance.status().tasks.values().map(|task| task.state).collect::<Vec<_>>())
    };
    assert_eq!(turns(20).unwrap(), [State::Restoring]);
    let admin = world.log.admin();
    admin.delete_topic(&changelog).unwrap();
    admin.create_topic(&changelog, &TopicConfig::compact(1)).unwrap();
    let said = turns(20).unwrap_err().to_string();
    assert!(said.starts_with("the changelog app-counts-changelog-0 is empty, but the state needs it from offset 4 up to 4: "), "{said}");
}
