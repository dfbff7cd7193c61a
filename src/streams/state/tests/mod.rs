//! Tests of the whole: what each call promises. [`model`] has random runs against a model.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;

use super::*;
use crate::streams::clock::Timestamp;
use crate::streams::kv::memory::Memory;
use crate::streams::kv::{self, Batch, Direction, Durability, Kv, Visit};
use crate::streams::log::{Headers, Offset, RecordBatch, RecordRef, TopicPartition};
use crate::streams::processor::{BoxError, KeyValueStore, StoreId};

mod age;
mod model;

/// What a [`Faulty`] store does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Nothing,
    DiskFull,
    Corrupt,
    Stopped,
}

/// A store whose writes (and, if corrupt, reads) fail when told to.
#[derive(Debug)]
struct Faulty {
    inner: Memory,
    fault: Mutex<Fault>,
    large_writes: Mutex<usize>,
}

impl Faulty {
    fn new() -> Arc<Self> {
        Arc::new(Self { inner: Memory::default(), fault: Mutex::new(Fault::Nothing), large_writes: Mutex::new(0) })
    }

    fn set(&self, fault: Fault) {
        *self.fault.lock() = fault;
    }

    fn result(&self, reads: bool) -> kv::Result<()> {
        let (store, source) = ("faulty".to_owned(), "as told".into());
        match *self.fault.lock() {
            Fault::Corrupt => Err(kv::Error::Corrupt { store, source }),
            Fault::DiskFull if !reads => Err(kv::Error::DiskFull { store, source }),
            Fault::Stopped if !reads => Err(kv::Error::Failed { store, source }),
            _ => Ok(()),
        }
    }

    fn rows(&self) -> usize {
        let mut rows = 0;
        self.inner
            .scan(&[], None, Direction::Forward, &mut |_, _| {
                rows += 1;
                ControlFlow::Continue(())
            })
            .unwrap();
        rows
    }
}

impl Kv for Faulty {
    fn get(&self, key: &[u8], value: &mut Vec<u8>) -> kv::Result<bool> {
        self.result(true)?;
        self.inner.get(key, value)
    }

    fn write(&self, batch: &Batch, durability: Durability) -> kv::Result<()> {
        self.result(false)?;
        *self.large_writes.lock() += usize::from(batch.size_bytes() > 1 << 20);
        self.inner.write(batch, durability)
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, direction: Direction, visit: &mut Visit<'_>) -> kv::Result<()> {
        self.result(true)?;
        self.inner.scan(from, to, direction, visit)
    }

    fn flush(&self) -> kv::Result<()> {
        self.result(false)
    }
}

const A: StoreId = StoreId(0);
const B: StoreId = StoreId(1);
const SMALL: Options = Options { cache_bytes: 4096, write_back_bytes: 1024 };

fn spec(name: &str) -> StoreSpec {
    let layout = StoreLayout { kind: "latest".to_owned(), fields: BTreeMap::from([("likes".to_owned(), "long".to_owned())]) };
    StoreSpec { name: Arc::from(name), layout }
}

fn open_named(kv: &Arc<Faulty>, names: &[&str]) -> Result<TaskState> {
    TaskState::open("0_0", Arc::clone(kv) as Arc<dyn Kv>, names.iter().map(|name| spec(name)).collect(), SMALL)
}

fn open(kv: &Arc<Faulty>) -> TaskState {
    open_named(kv, &["a", "b"]).unwrap()
}

fn all(store: &mut dyn KeyValueStore) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut rows = Vec::new();
    store
        .all(&mut |key, value| {
            rows.push((text(key), text(value)));
            ControlFlow::Continue(())
        })
        .unwrap();
    rows
}

fn rows(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn drained(state: &mut TaskState) -> Vec<(usize, String, Option<String>, i64)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut writes = Vec::new();
    state
        .drain(&mut |store, key, value, timestamp| {
            writes.push((store.0, text(key), value.map(text), timestamp.0));
            Ok(())
        })
        .unwrap();
    writes
}

/// Writes one record's worth and commits it; the changelog of `A` then ends at `offset`.
fn commit(state: &mut TaskState, writes: &[(&str, Option<&str>)], offset: i64) {
    state.begin_record(Timestamp(offset));
    for &(key, value) in writes {
        match value {
            Some(value) => state.store(A).put(key.as_bytes(), value.as_bytes()).unwrap(),
            None => state.store(A).delete(key.as_bytes()).unwrap(),
        }
    }
    drained(state);
    state.committed(&[(A, Offset(offset))]).unwrap();
}

/// Offset, key, value.
type Changelogged<'a> = (i64, &'a [u8], Option<&'a [u8]>);

fn batch(records: &[Changelogged<'_>]) -> RecordBatch {
    let mut batch = RecordBatch::default();
    batch.start(TopicPartition::new("changelog", 0));
    for &(offset, key, value) in records {
        batch.push(&RecordRef { offset: Offset(offset), timestamp: Timestamp(0), key: Some(key), value, headers: Headers::EMPTY });
    }
    batch
}

/// The state's error inside a store's.
fn own(error: &BoxError) -> &Error {
    error.downcast_ref().unwrap()
}

#[test]
fn a_record_reads_its_own_writes_and_a_failed_one_leaves_no_trace() {
    let mut state = open(&Faulty::new());
    state.begin_record(Timestamp(1));
    state.store(A).put(b"k", b"first").unwrap();
    state.store(A).put(b"gone", b"x").unwrap();
    state.begin_record(Timestamp(2));
    state.store(A).put(b"k", b"second").unwrap();
    state.store(A).put(b"k", b"third").unwrap();
    state.store(A).delete(b"gone").unwrap();
    state.store(B).put(b"k", b"other store").unwrap();
    assert_eq!(state.store(A).get(b"k").unwrap(), Some(&b"third"[..]));
    assert_eq!(state.store(A).get(b"gone").unwrap(), None);
    state.undo_record();
    assert_eq!(state.store(A).get(b"k").unwrap(), Some(&b"first"[..]));
    assert_eq!(state.store(A).get(b"gone").unwrap(), Some(&b"x"[..]));
    assert_eq!(state.store(B).get(b"k").unwrap(), None);
    assert_eq!(drained(&mut state), [(0, "k".into(), Some("first".into()), 1), (0, "gone".into(), Some("x".into()), 1)]);
}

#[test]
fn the_changelog_gets_the_last_write_per_key_in_the_order_of_first_writes() {
    let mut state = open(&Faulty::new());
    for (time, key, value) in [(1, "x", "1"), (2, "y", "2"), (3, "x", "3")] {
        state.begin_record(Timestamp(time));
        state.store(B).put(key.as_bytes(), value.as_bytes()).unwrap();
    }
    state.store(A).delete(b"z").unwrap();
    let expected = [(1, "x".into(), Some("3".into()), 3), (1, "y".into(), Some("2".into()), 2), (0, "z".into(), None, 3)];
    assert_eq!(drained(&mut state), expected);
    assert!(state.overlay_bytes() > 0, "the overlay stays until the outcome is known");
    state.committed(&[]).unwrap();
    assert_eq!(state.overlay_bytes(), 0);
    assert_eq!(drained(&mut state), []);
}

#[test]
fn rows_that_are_in_no_changelog_cannot_be_committed() {
    let mut state = open(&Faulty::new());
    state.store(A).put(b"k", b"1").unwrap();
    assert_eq!(state.committed(&[]).unwrap_err().to_string(), "task 0_0 has rows that are in no changelog");
    drained(&mut state);
    state.store(A).put(b"k", b"2").unwrap();
    assert!(matches!(state.committed(&[]), Err(Error::NotDrained { .. })));
    assert!(state.drain(&mut |_, _, _, _| Err("full".into())).is_err());
    assert!(matches!(state.committed(&[]), Err(Error::NotDrained { .. })));
}

#[test]
fn an_abort_forgets_the_transaction_and_keeps_what_was_committed_before() {
    let kv = Faulty::new();
    let mut state = open(&kv);
    commit(&mut state, &[("k", Some("committed"))], 1);
    state.begin_record(Timestamp(2));
    state.store(A).put(b"k", b"aborted").unwrap();
    state.store(A).put(b"fresh", b"aborted").unwrap();
    drained(&mut state);
    state.discard();
    assert_eq!(all(state.store(A)), rows(&[("k", "committed")]));
    assert_eq!(state.store(A).get(b"fresh").unwrap(), None);
    assert_eq!(kv.rows(), 0, "nothing was flushed yet");
}

#[test]
fn a_flush_writes_committed_rows_with_their_checkpoint_and_nothing_uncommitted() {
    let kv = Faulty::new();
    let mut state = open(&kv);
    commit(&mut state, &[("k", Some("committed")), ("dead", None)], 7);
    state.begin_record(Timestamp(8));
    state.store(A).put(b"k", b"open").unwrap();
    assert_eq!(state.checkpoint(A), None);
    state.flush(Some(Offset(40))).unwrap();
    assert_eq!((state.checkpoint(A), state.checkpoint(B), state.write_back_bytes()), (Some(Offset(7)), None, 0));
    assert_eq!(state.store(A).get(b"k").unwrap(), Some(&b"open"[..]));
    drop(state);
    let mut state = open(&kv);
    assert_eq!(all(state.store(A)), rows(&[("k", "committed")]));
    assert_eq!((state.checkpoint(A), state.stored_input()), (Some(Offset(7)), Some(Offset(40))));
    let before = kv.rows();
    state.flush(None).unwrap();
    assert_eq!((kv.rows(), state.stored_input()), (before, Some(Offset(40))));
}

#[test]
fn a_full_disk_keeps_the_rows_until_there_is_space() {
    let kv = Faulty::new();
    let mut state = open(&kv);
    kv.set(Fault::DiskFull);
    for number in 0..50 {
        commit(&mut state, &[(&format!("key{number:02}"), Some("a value of some length"))], number + 1);
    }
    assert!(state.write_back_due());
    assert!(state.write_back_full());
    let error = state.flush(None).unwrap_err();
    assert_eq!(error.to_string(), "no space left for the state of task 0_0");
    assert!(matches!(error, Error::DiskFull { .. }));
    assert_eq!(all(state.store(A)).len(), 50);
    assert_eq!((state.checkpoint(A), state.complete_up_to(A)), (None, Some(Offset(50))));
    kv.set(Fault::Nothing);
    state.close(None).unwrap();
    assert!(!state.write_back_due());
    assert_eq!(all(open(&kv).store(A)).len(), 50);
}

#[test]
fn corruption_is_told_as_such_wherever_it_shows() {
    let kv = Faulty::new();
    let mut state = open(&kv);
    commit(&mut state, &[("k", Some("v"))], 1);
    kv.set(Fault::Corrupt);
    assert!(matches!(own(&state.store(A).get(b"other").unwrap_err()), Error::Corrupt { .. }));
    assert!(matches!(own(&state.store(A).all(&mut |_, _| ControlFlow::Continue(())).unwrap_err()), Error::Corrupt { .. }));
    assert_eq!(state.store(A).get(b"k").unwrap(), Some(&b"v"[..]), "what is in memory is still known");
    assert!(matches!(state.flush(None), Err(Error::Corrupt { .. })));
    assert_eq!(open_named(&kv, &["a"]).unwrap_err().to_string(), "state of task 0_0 is corrupt");
}

#[test]
fn layouts_are_stored_with_the_rows_and_read_back() {
    let kv = Faulty::new();
    let mut state = open(&kv);
    assert!(state.stored_layouts().is_empty(), "opening writes nothing");
    state.flush(None).unwrap();
    let stored = open(&kv).stored_layouts().clone();
    assert_eq!(stored.into_iter().collect::<Vec<_>>(), [("a".to_owned(), spec("a").layout), ("b".to_owned(), spec("b").layout)]);
}

#[test]
fn another_store_shifts_nothing_and_one_that_is_gone_is_remembered() {
    let kv = Faulty::new();
    let mut state = open_named(&kv, &["m"]).unwrap();
    commit(&mut state, &[("k", Some("v"))], 3);
    state.close(None).unwrap();
    let mut state = open_named(&kv, &["a", "m", "z"]).unwrap();
    assert_eq!(all(state.store(StoreId(1))), rows(&[("k", "v")]));
    assert_eq!((state.checkpoint(A), state.checkpoint(B)), (None, Some(Offset(3))));
    commit(&mut state, &[("k", Some("in a"))], 1);
    state.close(None).unwrap();
    let state = open_named(&kv, &["a"]).unwrap();
    assert_eq!(state.stored_layouts().keys().collect::<Vec<_>>(), ["a", "m", "z"]);
    assert!(layout::check(state.stored_layouts(), &[spec("a")]).is_err());
}

#[test]
fn stores_are_known_by_name_and_number() {
    let kv = Faulty::new();
    assert_eq!(open_named(&kv, &["a", "a"]).unwrap_err().to_string(), "task 0_0 declares store a twice");
    let mut state = open(&kv);
    let error = state.store(StoreId(2)).put(b"k", b"v").unwrap_err();
    assert_eq!(error.to_string(), "task 0_0 has no store number 2");
    assert!(state.store(StoreId(2)).get(b"k").is_err());
    assert!(matches!(state.committed(&[(StoreId(2), Offset(1))]), Err(Error::UnknownStore { .. })));
    assert!(matches!(state.wipe(StoreId(2)), Err(Error::UnknownStore { .. })));
    assert!(matches!(state.restore(StoreId(2), &batch(&[]), Offset(0)), Err(Error::UnknownStore { .. })));
}

#[test]
fn a_state_of_another_format_is_refused() {
    let kv = Faulty::new();
    let mut one = Batch::default();
    one.put(&keys::meta(keys::Kind::Format, 0), &[9]);
    kv.write(&one, Durability::Volatile).unwrap();
    assert_eq!(open_named(&kv, &["a"]).unwrap_err().to_string(), "state of task 0_0 has format 9, this version reads format 1");
}

#[test]
fn rows_without_a_format_are_corruption() {
    let kv = Faulty::new();
    let mut one = Batch::default();
    one.put(b"\x10\0\0key", b"value");
    kv.write(&one, Durability::Volatile).unwrap();
    assert!(matches!(open_named(&kv, &["a"]), Err(Error::Corrupt { .. })));
}

#[test]
fn a_wiped_store_is_empty_and_the_others_stay() {
    let kv = Faulty::new();
    let mut state = open(&kv);
    commit(&mut state, &[("k", Some("v"))], 3);
    state.store(B).put(b"k", b"other").unwrap();
    assert_eq!(state.wipe(A).unwrap_err().to_string(), "task 0_0 has uncommitted rows");
    drained(&mut state);
    state.committed(&[(B, Offset(5))]).unwrap();
    state.flush(Some(Offset(9))).unwrap();
    commit(&mut state, &[("dirty", Some("v"))], 4);
    state.wipe(A).unwrap();
    assert_eq!((all(state.store(A)), all(state.store(B))), (rows(&[]), rows(&[("k", "other")])));
    assert_eq!((state.checkpoint(A), state.complete_up_to(A), state.checkpoint(B)), (None, None, Some(Offset(5))));
    assert_eq!(state.write_back_bytes(), 0);
    state.wipe_all().unwrap();
    assert_eq!(kv.rows(), 0);
    assert_eq!((state.stored_input(), state.stored_layouts().len(), state.checkpoint(B)), (None, 0, None));
    commit(&mut state, &[("again", Some("v"))], 1);
    state.close(None).unwrap();
    assert_eq!(all(open(&kv).store(A)), rows(&[("again", "v")]));
}

#[test]
fn a_large_restore_goes_in_chunks_each_with_its_checkpoint() {
    let kv = Faulty::new();
    let options = Options { cache_bytes: 8 << 20, write_back_bytes: 1 << 20 };
    let mut state = TaskState::open("0_0", Arc::clone(&kv) as Arc<dyn Kv>, vec![spec("a"), spec("b")], options).unwrap();
    let value = [b'v'; 1000];
    let mut offset = 0;
    for round in 0..10 {
        let keys: Vec<String> = (0..500).map(|number| format!("{:05}", (number * 7919 + round) % 3000)).collect();
        let records: Vec<_> = keys.iter().zip(offset..).map(|(key, offset)| (offset, key.as_bytes(), Some(&value[..]))).collect();
        offset += 500;
        state.restore(A, &batch(&records), Offset(offset)).unwrap();
        let checkpoint = state.checkpoint(A).map_or(0, |offset| offset.0);
        assert!(offset - checkpoint <= 2500, "no more than a chunk waits in memory");
    }
    state.restore_done(A, Offset(offset + 1)).unwrap();
    assert_eq!((state.checkpoint(A), *kv.large_writes.lock()), (Some(Offset(5001)), 2));
    let distinct: std::collections::BTreeSet<_> =
        (0..10).flat_map(|round| (0..500).map(move |number| (number * 7919 + round) % 3000)).collect();
    assert_eq!(all(state.store(A)).len(), distinct.len());
}

#[test]
fn a_restore_that_meets_a_full_disk_goes_on_with_the_same_batch() {
    let kv = Faulty::new();
    let mut state = open(&kv);
    let value = [b'v'; 600];
    let keys: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    let records: Vec<_> = keys.iter().zip(0..).map(|(key, offset)| (offset, key.as_bytes(), Some(&value[..]))).collect();
    state.restore(A, &batch(&records[..1]), Offset(1)).unwrap();
    kv.set(Fault::DiskFull);
    assert!(matches!(state.restore(A, &batch(&records), Offset(10)), Err(Error::DiskFull { .. })));
    kv.set(Fault::Nothing);
    state.restore(A, &batch(&records), Offset(10)).unwrap();
    state.restore_done(A, Offset(10)).unwrap();
    assert_eq!((all(state.store(A)).len(), state.checkpoint(A)), (10, Some(Offset(10))));
}

#[test]
fn rows_without_a_checkpoint_do_not_outlive_a_restore() {
    let kv = Faulty::new();
    let mut state = open(&kv);
    state.store(A).put(b"deleted since, its tombstone compacted", b"v").unwrap();
    drained(&mut state);
    state.committed(&[]).unwrap();
    state.flush(None).unwrap();
    state.restore(A, &batch(&[(4, b"k", Some(b"v"))]), Offset(5)).unwrap();
    state.restore_done(A, Offset(5)).unwrap();
    assert_eq!(all(state.store(A)), rows(&[("k", "v")]));
}

#[test]
fn a_restore_that_was_broken_off_does_not_hide_later_rows_from_the_next_one() {
    let kv = Faulty::new();
    let mut state = open(&kv);
    state.restore(A, &batch(&[]), Offset(3)).unwrap();
    commit(&mut state, &[("committed", Some("v"))], 5);
    state.restore(A, &batch(&[(5, b"k", Some(b"v"))]), Offset(6)).unwrap();
    state.restore_done(A, Offset(6)).unwrap();
    drop(state);
    let mut state = open(&kv);
    assert_eq!((state.checkpoint(A), all(state.store(A))), (Some(Offset(6)), rows(&[("committed", "v"), ("k", "v")])));
}

#[test]
fn a_restore_needs_the_transaction_to_be_over() {
    let mut state = open(&Faulty::new());
    state.store(A).put(b"k", b"v").unwrap();
    assert!(matches!(state.restore(A, &batch(&[]), Offset(0)), Err(Error::Uncommitted { .. })));
    assert!(matches!(state.restore_done(A, Offset(0)), Err(Error::Uncommitted { .. })));
    assert!(matches!(state.wipe_all(), Err(Error::Uncommitted { .. })));
}

#[test]
fn a_scan_can_be_ended_and_prefixes_end_where_they_should() {
    let mut state = open(&Faulty::new());
    commit(&mut state, &[("a", Some("1")), ("ab", Some("2")), ("b", Some("3"))], 1);
    state.flush(None).unwrap();
    commit(&mut state, &[("aa", Some("4"))], 2);
    let mut seen = Vec::new();
    state
        .store(A)
        .prefix_scan(b"a", &mut |key, _| {
            seen.push(key.to_vec());
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(seen, [&b"a"[..], b"aa", b"ab"]);
    for limit in 1..4 {
        let mut count = 0;
        let visit = &mut |_: &[u8], _: &[u8]| {
            count += 1;
            if count == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        state.store(A).all(visit).unwrap();
        assert_eq!(count, limit);
    }
    state.store(A).range(b"b", Some(b"a"), &mut |_, _| panic!("an empty range")).unwrap();
}

#[test]
fn memory_stays_within_its_limit_when_all_rows_are_clean() {
    let kv = Faulty::new();
    let mut state = open(&kv);
    for number in 0..2000 {
        commit(&mut state, &[(&format!("key{number}"), Some("a value of some length"))], number + 1);
        if state.write_back_due() {
            state.flush(None).unwrap();
        }
        assert!(state.memory_bytes() <= SMALL.cache_bytes, "{} bytes after {number}", state.memory_bytes());
    }
    for number in 0..2000 {
        assert!(state.store(A).get(format!("key{number}").as_bytes()).unwrap().is_some());
        assert!(state.memory_bytes() <= SMALL.cache_bytes + 200);
    }
}

#[test]
fn the_first_sight_of_a_key_costs_one_read_and_an_absent_one_is_remembered() {
    let kv = Faulty::new();
    let mut state = open(&kv);
    assert_eq!(state.store(A).get(b"absent").unwrap(), None);
    kv.set(Fault::Corrupt);
    assert_eq!(state.store(A).get(b"absent").unwrap(), None);
    state.store(A).put(b"never read", b"v").unwrap();
    assert_eq!(state.store(A).get(b"never read").unwrap(), Some(&b"v"[..]));
}
