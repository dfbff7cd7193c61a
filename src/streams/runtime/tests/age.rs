//! State that a start finds on the disk, and that is too old, of another life, or of another topology.

use super::faulty::{Call, Fault, FaultyLog};
use super::*;
use crate::streams::clock::ManualClock;
use crate::streams::log::{Admin, Class, Committed, Offset, TopicPartition};
use crate::streams::state::layout::StoreLayout;
use crate::streams::state::{self, TaskState};
use crate::streams::task::{State, TaskId};
use crate::streams::testing::Instance;

const CHANGELOG: &str = "app-counts-changelog";

const HOUR: Duration = Duration::from_secs(3600);

fn at(world: &World, clock: &ManualClock) -> TopologyTestDriver {
    let backend = Arc::<MemoryBackend>::clone(&world.backend);
    let log = Arc::<LocalLog>::clone(&world.log);
    TopologyTestDriver::on_clock(counting(ErrorPolicy::default()), log, backend, Options::new("app", "instance"), clock.clone()).unwrap()
}

/// Rows on the disk, and two records that only the changelog has.
fn killed(world: &World, clock: &ManualClock) {
    let mut driver = at(world, clock);
    pipe(&mut driver, "a", "1");
    driver.close().unwrap();
    let mut driver = at(world, clock);
    pipe(&mut driver, "b", "1");
    pipe(&mut driver, "b", "2");
    drop(driver);
}

#[test]
fn a_checkpoint_older_than_the_tombstones_is_wiped_and_a_younger_one_is_not() {
    // The topic keeps tombstones for a day.
    for (age, restored) in [(23 * HOUR, 2), (25 * HOUR, 3)] {
        let (world, clock) = (World::new(1), ManualClock::default());
        killed(&world, &clock);
        clock.advance(age);
        let mut driver = at(&world, &clock);
        assert_eq!(driver.status().restored_records_total, restored, "{age:?}");
        pipe(&mut driver, "b", "3");
        assert_eq!(outputs(&mut driver), ["a:1:1", "b:1:1", "b:2:2", "b:3:3"], "{age:?}");
    }
}

/// An instance whose clock is moved between its turns.
struct Waiting {
    clock: ManualClock,
    instance: Instance,
}

impl Waiting {
    fn new(world: &World, clock: &ManualClock) -> Self {
        let (log, backend) = (Arc::<LocalLog>::clone(&world.log), Arc::<MemoryBackend>::clone(&world.backend));
        let (topology, options) = (counting(ErrorPolicy::default()), Options::new("app", "instance"));
        let instance = Instance::new(topology, log, backend, Arc::new(clock.clone()), options).unwrap();
        Self { clock: clock.clone(), instance }
    }

    /// The state of its task after twenty seconds, where its restore began, and how many records it has restored.
    fn turns(&mut self) -> (State, Option<Offset>, u64) {
        for _ in 0..20 {
            self.clock.advance(Duration::from_secs(1));
            self.instance.step().unwrap();
        }
        let status = self.instance.status();
        let task = status.tasks.values().next().unwrap();
        (task.state, task.restoring.first().map(|progress| progress.start), status.restored_records_total)
    }
}

#[test]
fn a_restore_that_outlasts_the_tombstones_begins_anew() {
    for (hours, restored) in [(23, 2), (25, 3)] {
        let (world, clock) = (World::new(1), ManualClock::default());
        killed(&world, &clock);
        let mut somebody = open_transaction(&world.log, "somebody", CHANGELOG);
        let mut waiting = Waiting::new(&world, &clock);
        assert_eq!(waiting.turns(), (State::Restoring, Some(Offset(2)), 0));
        clock.advance(hours * HOUR);
        somebody.abort(Duration::ZERO).unwrap();
        assert_eq!(waiting.turns(), (State::Running, None, restored), "{hours} h");
    }
}

/// What comes too late does not become a checkpoint on the way: another start would take it for what was read in time.
#[test]
fn rows_that_come_too_late_are_not_applied() {
    for (hours, start) in [(23, 2), (25, 0)] {
        let (world, clock) = (World::new(1), ManualClock::default());
        let mut driver = at(&world, &clock);
        pipe(&mut driver, "a", "1");
        driver.close().unwrap();
        let mut driver = at(&world, &clock);
        let mut first = open_transaction(&world.log, "first", CHANGELOG);
        pipe(&mut driver, "b", "1");
        drop(driver);
        let _second = open_transaction(&world.log, "second", CHANGELOG);
        let mut waiting = Waiting::new(&world, &clock);
        assert_eq!(waiting.turns(), (State::Restoring, Some(Offset(2)), 0));
        clock.advance(hours * HOUR);
        first.abort(Duration::ZERO).unwrap();
        assert_eq!(waiting.turns(), (State::Restoring, Some(Offset(start)), 0), "{hours} h");
    }
}

#[test]
fn a_restore_may_outlast_the_tombstones_again_and_again() {
    let (world, clock) = (World::new(1), ManualClock::default());
    killed(&world, &clock);
    let transactions: Vec<_> = ["first", "second", "third"].map(|id| open_transaction(&world.log, id, CHANGELOG)).into();
    let mut waiting = Waiting::new(&world, &clock);
    for mut transaction in transactions {
        assert_eq!(waiting.turns().0, State::Restoring);
        clock.advance(25 * HOUR);
        // Its record comes too late.
        transaction.commit(Duration::ZERO).unwrap();
    }
    assert_eq!(waiting.turns().0, State::Running);
}

#[test]
fn an_old_checkpoint_at_the_end_of_its_changelog_has_missed_nothing() {
    let (world, clock) = (World::new(1), ManualClock::default());
    let mut driver = at(&world, &clock);
    pipe(&mut driver, "a", "1");
    driver.close().unwrap();
    clock.advance(1000 * HOUR);
    assert_eq!(at(&world, &clock).status().restored_records_total, 0);
}

#[test]
fn rows_written_before_a_restore_are_as_old_as_their_commit() {
    let (world, clock) = (World::new(1), ManualClock::default());
    let (log, faults) = faults::faulty(&world);
    let backend = Arc::<MemoryBackend>::clone(&world.backend);
    let (log_given, options) = (Arc::<FaultyLog>::clone(&log), Options::new("app", "instance"));
    let mut driver = TopologyTestDriver::on_clock(counting(ErrorPolicy::default()), log_given, backend, options, clock).unwrap();
    pipe(&mut driver, "a", "1");
    // What is committed is written, and the process ends before it knows how far the changelog reaches.
    *log.silent.lock() = u32::MAX;
    faults.lock().push_back(Fault { call: Call::Flush, class: Class::Fatal, takes_effect: false });
    driver.append("input", Some(b"a"), Some(b"2"), Timestamp(1)).unwrap();
    driver.run().unwrap();
    drop(driver);
    assert!(faults.lock().is_empty() && *log.silent.lock() < u32::MAX);
    let kv = world.backend.open(TaskId { subtopology: 0, partition: 0 }).unwrap();
    let state = TaskState::open("0_0", kv, vec![counts()], state::Options::default()).unwrap();
    assert_eq!((state.checkpoint(StoreId(0)), state.as_of(StoreId(0)).is_some()), (Some(Offset(1)), true));
}

#[test]
fn a_quiet_store_beside_a_busy_one_is_confirmed_from_time_to_time() {
    let (world, clock) = (World::new(2), ManualClock::default());
    let mut driver = at(&world, &clock);
    for key in ["a", "b", "c", "d", "e", "f"] {
        pipe(&mut driver, key, "1");
    }
    // Two days at work: the disk is as old as its last confirmation, not as its last row.
    for _ in 0..48 {
        driver.advance(HOUR).unwrap();
        pipe(&mut driver, "a", "again");
    }
    for key in ["b", "c", "d", "e", "f"] {
        pipe(&mut driver, key, "2");
    }
    drop(driver);
    let driver = at(&world, &clock);
    let restored = driver.status().restored_records_total;
    assert!((5..=7).contains(&restored), "{restored} records");
}

fn offsets(admin: &dyn Admin) -> Vec<(TopicPartition, Committed)> {
    admin.group_offsets("app").unwrap()
}

/// Forgets the state and goes on from here, as `reset --to latest` on another machine does.
fn reset_elsewhere(world: &World) {
    let admin = world.log.admin();
    admin.delete_topic("app-counts-changelog").unwrap();
    let nameless = |(partition, committed): (TopicPartition, Committed)| (partition, Some(Committed { metadata: "".into(), ..committed }));
    let set: Vec<_> = offsets(&*admin).into_iter().map(nameless).collect();
    admin.alter_group_offsets("app", &set).unwrap();
}

#[test]
fn a_state_of_an_earlier_life_is_not_taken_for_the_present_one() {
    let world = World::new(1);
    let mut driver = world.driver();
    for value in ["1", "2"] {
        pipe(&mut driver, "a", value);
    }
    driver.close().unwrap();
    reset_elsewhere(&world);
    // The other machine goes on: the checkpoint here lies within its changelog.
    let (log, backend) = (Arc::<LocalLog>::clone(&world.log), Arc::<MemoryBackend>::default());
    let options = Options::new("app", "another machine");
    let mut driver = TopologyTestDriver::with(counting(ErrorPolicy::default()), log, backend, options).unwrap();
    for value in ["3", "4", "5"] {
        pipe(&mut driver, "b", value);
    }
    driver.close().unwrap();
    assert_eq!(driver_store(&world), [(b"b".to_vec(), b"3".to_vec())]);
    // And it stays so: the new life has a name of its own, on the disk as in the offsets.
    let driver = world.driver();
    assert_eq!(driver.status().restored_records_total, 0);
}

fn driver_store(world: &World) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut driver = world.driver();
    let rows = driver.store("counts");
    driver.close().unwrap();
    rows
}

#[test]
fn offsets_set_by_hand_cost_a_restore_and_no_more() {
    let world = World::new(1);
    let mut driver = world.driver();
    pipe(&mut driver, "a", "1");
    driver.close().unwrap();
    let admin = world.log.admin();
    let by_hand = |(partition, committed): (TopicPartition, Committed)| (partition, Some(Committed { metadata: "".into(), ..committed }));
    let set: Vec<_> = offsets(&*admin).into_iter().map(by_hand).collect();
    admin.alter_group_offsets("app", &set).unwrap();
    let mut driver = world.driver();
    pipe(&mut driver, "a", "2");
    assert_eq!(outputs(&mut driver), ["a:1:1", "a:2:2"]);
    assert_eq!(driver.status().restored_records_total, 1);
}

/// So many fields that no broker takes the layout as metadata.
fn wide(ty: &str) -> Arc<Topology<String>> {
    let fields = (0..400).map(|number| (format!("field_number_{number}"), ty.to_owned())).collect();
    let layout = StoreLayout { kind: "count".into(), fields };
    let topology = TopologyBuilder::new()
        .source("in", Source::new("input", Start::Earliest, || Text, String::new))
        .store(StoreSpec { name: "counts".into(), layout })
        .processor("count", &["in"], &["counts"], Count::default)
        .sink("out", &["count"], "output", || Text);
    Arc::new(topology.build().unwrap())
}

#[test]
fn a_layout_too_long_for_the_offsets_is_guarded_by_the_disk() {
    let world = World::new(1);
    let mut driver = world.try_driver(wide("long")).unwrap();
    pipe(&mut driver, "a", "1");
    driver.close().unwrap();
    let (_, committed) = offsets(&*world.log.admin()).pop().unwrap();
    assert!(committed.metadata.len() <= 4096 && !committed.metadata.contains("field_number"), "{}", committed.metadata);
    let error = world.try_driver(wide("string")).unwrap_err().to_string();
    assert!(error.contains("field_number_1 ") && error.contains("long") && error.contains("tidewatch reset"), "{error}");
    assert!(world.try_driver(wide("long")).is_ok());
    // The number of partitions is guarded by the offsets all the same.
    assert!(committed.metadata.contains("\"partitions\":1"), "{}", committed.metadata);
}
