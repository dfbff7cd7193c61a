//! Random runs against a model: whatever happens, the state reads as the model does, and a crash leaves on disk exactly
//! what the changelog says up to the checkpoint.

use proptest::prelude::*;

use super::*;

type Table = BTreeMap<Vec<u8>, Vec<u8>>;

const STORES: usize = 2;

#[derive(Clone, Debug)]
enum Op {
    /// One input record: writes, then perhaps a failure that takes them back.
    Record {
        writes: Vec<(usize, u8, Option<u8>)>,
        fails: bool,
    },
    /// A transaction commits; the changelog offset of the last store written may be unknown.
    Commit {
        all_offsets_known: bool,
    },
    /// A transaction is aborted.
    Abort,
    /// Nobody knows the outcome: the state is discarded and restored, from memory's position or the disk's.
    Unknown {
        committed: bool,
        from_disk: bool,
    },
    Flush {
        input: u8,
    },
    FlushOnFullDisk,
    /// From now on the disk takes no writes, until the next crash.
    DiskStops,
    /// The process dies; the next one restores in batches of this size, perhaps beginning too early.
    Crash {
        batch: usize,
        from_start: bool,
    },
    Get {
        store: usize,
        key: u8,
    },
    Range {
        store: usize,
        from: u8,
        to: Option<u8>,
    },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let write = (0..STORES, any::<u8>().prop_map(|key| key % 24), proptest::option::weighted(0.8, any::<u8>()));
    let op = prop_oneof![
        12 => (prop::collection::vec(write, 0..6), prop::bool::weighted(0.2)).prop_map(|(writes, fails)| Op::Record { writes, fails }),
        4 => prop::bool::weighted(0.9).prop_map(|all_offsets_known| Op::Commit { all_offsets_known }),
        1 => Just(Op::Abort),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(committed, from_disk)| Op::Unknown { committed, from_disk }),
        2 => any::<u8>().prop_map(|input| Op::Flush { input }),
        1 => Just(Op::FlushOnFullDisk),
        1 => Just(Op::DiskStops),
        1 => (1..9_usize, any::<bool>()).prop_map(|(batch, from_start)| Op::Crash { batch, from_start }),
        4 => (0..STORES, any::<u8>().prop_map(|key| key % 24)).prop_map(|(store, key)| Op::Get { store, key }),
        2 => (0..STORES, any::<u8>().prop_map(|key| key % 24), proptest::option::of(any::<u8>().prop_map(|key| key % 24)))
            .prop_map(|(store, from, to)| Op::Range { store, from, to }),
    ];
    prop::collection::vec(op, 1..120)
}

/// Keys of several lengths, some the beginning of others.
fn key(number: u8) -> Vec<u8> {
    vec![b'k'; usize::from(number % 4)].into_iter().chain([number / 4]).chain(vec![7; usize::from(number % 3) * 5]).collect()
}

fn value(number: u8) -> Vec<u8> {
    vec![number; usize::from(number)]
}

fn apply(table: &mut Table, key: &[u8], value: Option<&[u8]>) {
    match value {
        Some(value) => drop(table.insert(key.to_vec(), value.to_vec())),
        None => drop(table.remove(key)),
    }
}

/// A changelog: records with gaps where the markers of transactions are.
#[derive(Debug, Default)]
struct Changelog {
    records: Vec<(i64, Vec<u8>, Option<Vec<u8>>)>,
    end: i64,
}

impl Changelog {
    fn up_to(&self, offset: Option<Offset>) -> Table {
        let mut table = Table::new();
        for (_, key, value) in self.records.iter().filter(|(at, ..)| Some(Offset(*at)) < offset) {
            apply(&mut table, key, value.as_deref());
        }
        table
    }
}

struct Run {
    kv: Arc<Faulty>,
    options: Options,
    state: TaskState,
    changelogs: [Changelog; STORES],
    committed: [Table; STORES],
    visible: [Table; STORES],
    /// Whether rows were committed whose offset is not known.
    unsure: [bool; STORES],
    /// The same of what was flushed.
    unsure_on_disk: [bool; STORES],
}

impl Run {
    fn new(options: Options) -> Self {
        let kv = Faulty::new();
        let state = Self::open(&kv, options);
        let (changelogs, committed, visible) = Default::default();
        Self { kv, options, state, changelogs, committed, visible, unsure: [false; STORES], unsure_on_disk: [false; STORES] }
    }

    fn open(kv: &Arc<Faulty>, options: Options) -> TaskState {
        TaskState::open("0_0", Arc::clone(kv) as Arc<dyn Kv>, vec![spec("a"), spec("b")], options).unwrap()
    }

    fn step(&mut self, op: &Op) {
        match op {
            Op::Record { writes, fails } => self.record(writes, *fails),
            Op::Commit { all_offsets_known } => self.commit(*all_offsets_known),
            Op::Abort => {
                self.state.discard();
                self.visible = self.committed.clone();
            }
            Op::Unknown { committed, from_disk } => self.unknown(*committed, *from_disk),
            Op::Flush { input } => {
                if self.state.flush(Some(Offset(i64::from(*input)))).is_ok() {
                    self.flushed();
                    assert_eq!(self.state.write_back_bytes(), 0);
                }
            }
            Op::FlushOnFullDisk => {
                let fault = std::mem::replace(&mut *self.kv.fault.lock(), Fault::DiskFull);
                let waits = self.state.write_back_bytes();
                assert!(self.state.flush(None).is_err() || waits == 0);
                assert_eq!(self.state.write_back_bytes(), waits);
                self.kv.set(fault);
            }
            Op::DiskStops => self.kv.set(Fault::Stopped),
            Op::Crash { batch, from_start } => self.crash(*batch, *from_start),
            Op::Get { store, key: number } => {
                let key = key(*number);
                let expected = self.visible[*store].get(&key).map(Vec::as_slice);
                assert_eq!(self.state.store(StoreId(*store)).get(&key).unwrap(), expected);
            }
            Op::Range { store, from, to } => self.range(*store, &key(*from), to.map(key).as_deref()),
        }
        self.state.rows.assert_consistent();
    }

    fn record(&mut self, writes: &[(usize, u8, Option<u8>)], fails: bool) {
        let before = self.visible.clone();
        self.state.begin_record(Timestamp(1));
        for &(store, number, written) in writes {
            let (key, value) = (key(number), written.map(value));
            let target = self.state.store(StoreId(store));
            match &value {
                Some(value) => target.put(&key, value).unwrap(),
                None => target.delete(&key).unwrap(),
            }
            apply(&mut self.visible[store], &key, value.as_deref());
        }
        if fails {
            self.state.undo_record();
            self.visible = before;
        }
    }

    /// Drains into the changelogs as the log would keep it, and ends the transaction there.
    fn drain(&mut self, kept: bool) -> [bool; STORES] {
        let mut touched = [false; STORES];
        let changelogs = &mut self.changelogs;
        self.state
            .drain(&mut |store, key, value, _| {
                touched[store.0] = true;
                let changelog = &mut changelogs[store.0];
                if kept {
                    changelog.records.push((changelog.end, key.to_vec(), value.map(<[u8]>::to_vec)));
                }
                changelog.end += 1;
                Ok(())
            })
            .unwrap();
        for (changelog, _) in changelogs.iter_mut().zip(touched).filter(|(_, touched)| *touched) {
            changelog.end += 1;
        }
        touched
    }

    fn commit(&mut self, all_offsets_known: bool) {
        let touched = self.drain(true);
        let mut offsets = Vec::new();
        for (store, _) in touched.into_iter().enumerate().filter(|(_, touched)| *touched) {
            let known = all_offsets_known || store == 0;
            self.unsure[store] = !known;
            if known {
                offsets.push((StoreId(store), Offset(self.changelogs[store].end)));
            }
        }
        self.state.committed(&offsets).unwrap();
        self.committed = self.visible.clone();
    }

    fn unknown(&mut self, committed: bool, from_disk: bool) {
        self.drain(committed);
        self.state.discard();
        if committed {
            self.committed = self.visible.clone();
        } else {
            self.visible = self.committed.clone();
        }
        // A disk that takes no writes cannot be restored either: that process is lost.
        if *self.kv.fault.lock() == Fault::Stopped {
            return self.crash(3, false);
        }
        for store in 0..STORES {
            let id = StoreId(store);
            let from = if from_disk { self.state.checkpoint(id) } else { self.state.complete_up_to(id) };
            self.restore(store, from, 4);
        }
    }

    fn flushed(&mut self) {
        self.unsure_on_disk = self.unsure;
    }

    fn crash(&mut self, batch: usize, from_start: bool) {
        self.kv.set(Fault::Nothing);
        self.state = Self::open(&self.kv, self.options);
        self.visible = self.committed.clone();
        self.unsure = self.unsure_on_disk;
        for store in 0..STORES {
            let checkpoint = self.state.checkpoint(StoreId(store));
            if !self.unsure_on_disk[store] {
                assert_eq!(self.contents(store), self.changelogs[store].up_to(checkpoint), "on disk at {checkpoint:?}");
            }
            self.restore(store, checkpoint.filter(|_| !from_start), batch);
        }
    }

    fn restore(&mut self, store: usize, from: Option<Offset>, size: usize) {
        let id = StoreId(store);
        let end = Offset(self.changelogs[store].end);
        let records: Vec<_> = self.changelogs[store].records.iter().filter(|(offset, ..)| Some(Offset(*offset)) >= from).collect();
        for part in records.chunks(size) {
            let part: Vec<_> = part.iter().map(|(offset, key, value)| (*offset, key.as_slice(), value.as_deref())).collect();
            let last = Offset(part.last().unwrap().0);
            self.state.restore(id, &batch(&part), last.next()).unwrap();
        }
        self.state.restore_done(id, end).unwrap();
        self.unsure[store] = false;
        // A restore flushes first.
        self.flushed();
        assert_eq!(self.state.checkpoint(id), Some(end));
        assert_eq!(self.contents(store), self.committed[store], "after the restore");
    }

    fn contents(&mut self, store: usize) -> Table {
        let mut table = Table::new();
        let target = self.state.store(StoreId(store));
        target
            .all(&mut |key, value| {
                assert!(table.last_key_value().is_none_or(|(last, _)| last.as_slice() < key), "out of order");
                table.insert(key.to_vec(), value.to_vec());
                ControlFlow::Continue(())
            })
            .unwrap();
        table
    }

    fn range(&mut self, store: usize, from: &[u8], to: Option<&[u8]>) {
        let mut seen = Vec::new();
        let target = self.state.store(StoreId(store));
        target
            .range(from, to, &mut |key, value| {
                seen.push((key.to_vec(), value.to_vec()));
                ControlFlow::Continue(())
            })
            .unwrap();
        let within = |key: &[u8]| key >= from && to.is_none_or(|to| key < to);
        let expected: Vec<_> = self.visible[store].clone().into_iter().filter(|(key, _)| within(key)).collect();
        assert_eq!(seen, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_state_is_what_the_changelog_says(ops in ops(), cache_bytes in prop_oneof![Just(0), 300..6000_usize]) {
        let mut run = Run::new(Options { cache_bytes, write_back_bytes: 500 });
        for op in &ops {
            run.step(op);
        }
        for store in 0..STORES {
            prop_assert_eq!(run.contents(store), run.visible[store].clone());
        }
        run.crash(2, false);
    }
}
