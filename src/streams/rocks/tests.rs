//! RocksDB behind the byte map: the same answers as memory, and what survives.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use proptest::prelude::*;

use super::*;
use crate::streams::kv::memory::Memory;

fn options(profile: Profile) -> Options {
    Options::new(profile, Budget::new(4 << 20, 4 << 20))
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, Vec<u8>),
    Delete(u8),
    DeleteRange(u8, u8),
    Write,
    /// A batch that goes to a table at once.
    Large(u8, u8),
    Flush,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop::collection::vec(any::<u8>(), 0..20);
    let step = prop_oneof![
        5 => (any::<u8>(), value.clone()).prop_map(|(key, value)| Step::Put(key, value)),
        2 => any::<u8>().prop_map(Step::Delete),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| Step::DeleteRange(a.min(b), a.max(b))),
        3 => Just(Step::Write),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(key, byte)| Step::Large(key, byte)),
        1 => Just(Step::Flush),
    ];
    prop::collection::vec(step, 0..60)
}

fn content(kv: &dyn Kv, from: &[u8], to: Option<&[u8]>, direction: Direction) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    kv.scan(from, to, direction, &mut |key, value| {
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })
    .unwrap();
    rows
}

fn apply(kv: &dyn Kv, steps: &[Step], model: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
    let mut batch = Batch::default();
    let mut pending = Vec::new();
    for step in steps.iter().chain([&Step::Write]) {
        match step {
            Step::Put(key, value) => {
                batch.put(&[*key], value);
                pending.push(step);
            }
            Step::Delete(key) => {
                batch.delete(&[*key]);
                pending.push(step);
            }
            Step::DeleteRange(from, to) => {
                batch.delete_range(&[*from], &[*to]);
                pending.push(step);
            }
            Step::Write => {
                kv.write(&batch, Durability::Buffered).unwrap();
                batch.clear();
                for step in pending.drain(..) {
                    match step {
                        Step::Put(key, value) => drop(model.insert(vec![*key], value.clone())),
                        Step::Delete(key) => drop(model.remove(&vec![*key])),
                        Step::DeleteRange(from, to) => model.retain(|key, _| key[0] < *from || key[0] >= *to),
                        _ => {}
                    }
                }
            }
            Step::Large(key, byte) => {
                let (mut large, value) = (Batch::default(), vec![*byte; TABLE_BYTES]);
                large.put(&[*key], &value);
                model.insert(vec![*key], value);
                kv.write(&large, Durability::Volatile).unwrap();
            }
            Step::Flush => kv.flush().unwrap(),
        }
    }
}

fn check(kv: &dyn Kv, model: &BTreeMap<Vec<u8>, Vec<u8>>, from: u8, to: u8) {
    let all: Vec<_> = model.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    assert_eq!(content(kv, &[], None, Direction::Forward), all);
    let mut part: Vec<_> = all.into_iter().filter(|(key, _)| key[0] >= from && key[0] < to).collect();
    assert_eq!(content(kv, &[from], Some(&[to]), Direction::Forward), part);
    part.reverse();
    assert_eq!(content(kv, &[from], Some(&[to]), Direction::Reverse), part);
    let mut value = vec![1];
    assert_eq!(kv.get(&[from], &mut value).unwrap(), model.contains_key(&vec![from]));
    assert_eq!(value, model.get(&vec![from]).cloned().unwrap_or_default());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn memory_and_rocksdb_hold_what_a_map_holds(steps in steps(), from: u8, to: u8) {
        let directory = tempfile::tempdir().unwrap();
        for profile in [Profile::Log, Profile::State] {
            let path = directory.path().join(format!("{profile:?}"));
            let rocks = Rocks::open(&path, &options(profile)).unwrap();
            let mut model = BTreeMap::new();
            apply(&rocks, &steps, &mut model);
            check(&rocks, &model, from, to);
            rocks.flush().unwrap();
            drop(rocks);
            check(&Rocks::open(&path, &options(profile)).unwrap(), &model, from, to);
        }
        let (memory, mut model) = (Memory::default(), BTreeMap::new());
        apply(&memory, &steps, &mut model);
        check(&memory, &model, from, to);
    }
}

fn put(kv: &dyn Kv, key: &[u8], durability: Durability) {
    let mut batch = Batch::default();
    batch.put(key, b"value");
    kv.write(&batch, durability).unwrap();
}

#[test]
fn a_missing_current_file_is_damage_and_not_an_empty_database() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let rocks = Rocks::open(&path, &options(Profile::State)).unwrap();
    put(&rocks, b"a", Durability::Volatile);
    rocks.flush().unwrap();
    drop(rocks);
    std::fs::remove_file(path.join("CURRENT")).unwrap();
    assert!(matches!(Rocks::open(&path, &options(Profile::State)), Err(Error::Corrupt { .. })));
}

#[test]
fn a_flipped_byte_is_found_by_reading() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let rocks = Rocks::open(&path, &options(Profile::State)).unwrap();
    for key in 0..2000u32 {
        put(&rocks, &key.to_be_bytes(), Durability::Volatile);
    }
    rocks.flush().unwrap();
    drop(rocks);
    let table =
        std::fs::read_dir(&path).unwrap().flatten().find(|entry| entry.path().extension().is_some_and(|kind| kind == "sst")).unwrap();
    let mut bytes = std::fs::read(table.path()).unwrap();
    bytes[100] ^= 0xff;
    std::fs::write(table.path(), bytes).unwrap();
    let rocks = Rocks::open(&path, &options(Profile::State)).unwrap();
    let mut seen = 0;
    let outcome = rocks.scan(&[], None, Direction::Forward, &mut |_, _| {
        seen += 1;
        ControlFlow::Continue(())
    });
    assert!(matches!(outcome, Err(Error::Corrupt { .. })), "{outcome:?} after {seen} rows");
}

#[test]
fn a_second_opener_is_refused_with_the_path() {
    let directory = tempfile::tempdir().unwrap();
    let first = Rocks::open(directory.path().join("db").as_path(), &options(Profile::Log)).unwrap();
    let second = Rocks::open(directory.path().join("db").as_path(), &options(Profile::Log)).unwrap_err();
    assert!(second.to_string().contains("db"), "{second}");
    let Error::Failed { source, .. } = second else { panic!("{second:?}") };
    assert_eq!(source.to_string(), "it is open already, in this process or in another one");
    drop(first);
}

#[test]
fn a_table_that_is_gone_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let rocks = Rocks::open(&path, &options(Profile::State)).unwrap();
    put(&rocks, b"a", Durability::Volatile);
    rocks.flush().unwrap();
    drop(rocks);
    let table =
        std::fs::read_dir(&path).unwrap().flatten().find(|entry| entry.path().extension().is_some_and(|kind| kind == "sst")).unwrap();
    std::fs::remove_file(table.path()).unwrap();
    let outcome = Rocks::open(&path, &options(Profile::State)).and_then(|rocks| rocks.get(b"a", &mut Vec::new()));
    assert!(matches!(outcome, Err(Error::Corrupt { .. })), "{outcome:?}");
}

#[test]
fn a_marker_that_is_gone_costs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let rocks = Rocks::open(&path, &options(Profile::Log)).unwrap();
    put(&rocks, b"a", Durability::Synced);
    rocks.flush().unwrap();
    drop(rocks);
    std::fs::remove_file(path.join(MARKER)).unwrap();
    let rocks = Rocks::open(&path, &options(Profile::Log)).unwrap();
    assert!(rocks.get(b"a", &mut Vec::new()).unwrap());
    assert!(path.join(MARKER).exists());
    drop(rocks);
    std::fs::remove_file(path.join(MARKER)).unwrap();
    std::fs::remove_file(path.join("CURRENT")).unwrap();
    assert!(matches!(Rocks::open(&path, &options(Profile::Log)), Err(Error::Corrupt { .. })));
}

#[test]
fn what_was_to_be_durable_is_there_after_the_process_died() {
    let directory = tempfile::tempdir().unwrap();
    for profile in [Profile::Log, Profile::State] {
        let path = directory.path().join(format!("{profile:?}"));
        let rocks = Rocks::open(&path, &options(profile)).unwrap();
        put(&rocks, b"synced", Durability::Synced);
        put(&rocks, b"buffered", Durability::Buffered);
        // A death leaves the files as they are now: a copy of them is opened while the first one is still open.
        let copy = directory.path().join(format!("copy of {profile:?}"));
        std::fs::create_dir(&copy).unwrap();
        for file in std::fs::read_dir(&path).unwrap().flatten().filter(|file| file.file_name() != "LOCK") {
            std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
        }
        let survivor = Rocks::open(&copy, &options(profile)).unwrap();
        for key in [b"synced".as_slice(), b"buffered"] {
            assert!(survivor.get(key, &mut Vec::new()).unwrap(), "{profile:?}");
        }
    }
}

#[test]
fn what_is_large_goes_to_a_table_at_once_and_what_is_small_when_told() {
    let directory = tempfile::tempdir().unwrap();
    let rocks = Rocks::open(directory.path(), &Options::new(Profile::State, Budget::new(1 << 20, 1 << 20))).unwrap();
    let in_memory = || rocks.db.property_int_value("rocksdb.num-entries-active-mem-table").unwrap().unwrap();
    let write = |value: &[u8]| {
        let mut batch = Batch::default();
        batch.put(b"key", value);
        rocks.write(&batch, Durability::Volatile).unwrap();
    };
    write(b"small");
    assert_eq!(in_memory(), 1);
    rocks.begin_flush();
    assert_eq!(in_memory(), 0);
    write(&vec![0; TABLE_BYTES]);
    assert_eq!(in_memory(), 0);
}

/// The disk that a database takes, what is taken and not written counted too.
fn disk_bytes(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::read_dir(path).unwrap().flatten().map(|entry| 512 * entry.metadata().unwrap().blocks()).sum()
}

#[test]
fn a_small_database_takes_little_of_the_disk_while_it_is_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    // The list of tables that the first opening writes is not the one of the second.
    for _ in 0..2 {
        let rocks = Rocks::open(&path, &options(Profile::State)).unwrap();
        put(&rocks, b"a", Durability::Volatile);
        rocks.flush().unwrap();
        let taken = disk_bytes(&path);
        assert!(taken < 1 << 20, "{taken} bytes");
    }
}
