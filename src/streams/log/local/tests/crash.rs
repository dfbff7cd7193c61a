//! The process dies at any write, or the disk is full: what was acknowledged is there, what was not is whole or gone.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::streams::kv::{Batch, Direction, Durability, Error, Result, Visit};

/// A map that takes so many writes and then is dead.
#[derive(Debug)]
struct Mortal {
    inner: Arc<Memory>,
    writes_left: AtomicUsize,
    /// What it dies of.
    is_full: bool,
    /// Refuses only what must be synced.
    only_synced: bool,
}

impl Mortal {
    fn new(inner: Arc<Memory>, writes: usize) -> Self {
        Self { inner, writes_left: AtomicUsize::new(writes), is_full: false, only_synced: false }
    }
}

impl Kv for Mortal {
    fn get(&self, key: &[u8], value: &mut Vec<u8>) -> Result<bool> {
        self.inner.get(key, value)
    }

    fn write(&self, batch: &Batch, durability: Durability) -> Result<()> {
        let store = "mortal".to_owned();
        let dead =
            if self.is_full { Error::DiskFull { store, source: "full".into() } } else { Error::Failed { store, source: "dead".into() } };
        if self.only_synced && durability != Durability::Synced {
            return self.inner.write(batch, durability);
        }
        let alive = self.writes_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if alive.is_err() { Err(dead) } else { self.inner.write(batch, durability) }
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, direction: Direction, visit: &mut Visit<'_>) -> Result<()> {
        self.inner.scan(from, to, direction, visit)
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }
}

/// Ten transactions with offsets; returns how many were acknowledged.
fn work(kv: Arc<dyn Kv>) -> crate::streams::log::Result<i64> {
    let log = LocalLog::open(kv)?;
    if log.admin().describe("t")?.is_none() {
        log.admin().create_topic("t", &TopicConfig::keep(1))?;
    }
    let options = ProducerOptions { transactional_id: "p".into(), topics: vec!["t".into()], transaction_timeout: Duration::from_secs(10) };
    let mut producer = log.producer(options)?;
    producer.init_transactions(ZERO)?;
    let done = log.admin().group_offsets("g")?.first().map_or(0, |(_, committed)| committed.offset.0);
    for number in done..10 {
        producer.begin()?;
        for part in ["x", "y"] {
            producer.send(&record(&number.to_string(), Some(part), 0))?;
            producer.flush(ZERO)?;
        }
        producer.send_offsets(&[(at("t"), offset(number + 1))], &no_member("g"), ZERO)?;
        producer.commit(ZERO)?;
    }
    Ok(10)
}

#[test]
fn death_at_any_write_loses_nothing_acknowledged_and_repeats_nothing() {
    for first in 0..80 {
        let memory = Arc::new(Memory::default());
        // Two deaths in a row, then a life to the end.
        for writes in [first, first / 2] {
            drop(work(Arc::new(Mortal::new(Arc::clone(&memory), writes))));
        }
        let kv: Arc<dyn Kv> = memory;
        assert_eq!(work(Arc::clone(&kv)).unwrap(), 10);
        let log = LocalLog::open(kv).unwrap();
        let (seen, position) = read(&log, "t", Isolation::ReadCommitted);
        let pairs: Vec<_> = seen.iter().filter_map(|text| text.split_once(':')).map(|(_, pair)| pair.to_owned()).collect();
        let expected: Vec<_> = (0..10).flat_map(|number| [format!("{number}=x"), format!("{number}=y")]).collect();
        assert_eq!(pairs, expected, "dead after {first} writes");
        let (_, end) = log.admin().watermarks(&at("t"), Isolation::ReadUncommitted).unwrap();
        assert_eq!(position, end.0, "no transaction may hang");
    }
}

#[test]
fn a_full_disk_leaves_the_log_as_it_was_and_passes() {
    let kv = Arc::new(Mortal { is_full: true, ..Mortal::new(Arc::default(), usize::MAX) });
    let log = LocalLog::open(Arc::<Mortal>::clone(&kv)).unwrap();
    topic(&log, "t", &TopicConfig::keep(1));
    let mut producer = producer(&log, "p", &["t"]);
    producer.begin().unwrap();
    producer.send(&record("a", Some("1"), 0)).unwrap();
    kv.writes_left.store(0, Ordering::SeqCst);
    assert_eq!(producer.flush(ZERO).unwrap_err().class, Class::DiskFull);
    assert_eq!(producer.commit(ZERO).unwrap_err().class, Class::DiskFull);
    assert_eq!(log.admin().create_topic("other", &TopicConfig::keep(1)).unwrap_err().class, Class::DiskFull);
    assert_eq!(read(&log, "t", Isolation::ReadUncommitted).0, Vec::<String>::new());
    kv.writes_left.store(1, Ordering::SeqCst);
    producer.flush(ZERO).unwrap();
    // What is there now is of an open transaction, also for the next process.
    let next = LocalLog::open(Arc::<Memory>::new(copy(&kv.inner))).unwrap();
    assert_eq!(read(&next, "t", Isolation::ReadCommitted), (vec![], 2));
    assert_eq!(producer.commit(ZERO).unwrap_err().class, Class::DiskFull);
    kv.writes_left.store(usize::MAX, Ordering::SeqCst);
    // The same record again: it was not taken, and it is taken once.
    producer.commit(ZERO).unwrap();
    commit(&mut *producer, &[("b", "2")]);
    assert_eq!(read(&log, "t", Isolation::ReadCommitted).0, ["0:a=1", "2:b=2"]);
}

fn copy(memory: &Memory) -> Memory {
    let (copy, mut batch) = (Memory::default(), Batch::default());
    memory
        .scan(&[], None, Direction::Forward, &mut |key, value| {
            batch.put(key, value);
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    copy.write(&batch, Durability::Synced).unwrap();
    copy
}

#[test]
fn a_commit_that_could_not_be_synced_is_unknown_and_completed_by_the_next_holder() {
    let kv = Arc::new(Mortal { only_synced: true, ..Mortal::new(Arc::default(), usize::MAX) });
    let log = LocalLog::open(Arc::<Mortal>::clone(&kv)).unwrap();
    topic(&log, "t", &TopicConfig::keep(1));
    let mut first = producer(&log, "p", &["t"]);
    first.begin().unwrap();
    first.send(&record("a", Some("1"), 0)).unwrap();
    first.send_offsets(&[(at("t"), offset(1))], &no_member("g"), ZERO).unwrap();
    kv.writes_left.store(0, Ordering::SeqCst);
    assert_eq!(first.commit(ZERO).unwrap_err().class, Class::Unknown);
    assert_eq!(first.abort(ZERO).unwrap_err().class, Class::Unknown, "it may be committed");
    assert_eq!(read(&log, "t", Isolation::ReadCommitted).0, Vec::<String>::new());
    assert_eq!(member(&log, "g", "i").committed(&[at("t")], ZERO).unwrap_err().class, Class::Retriable);
    kv.writes_left.store(usize::MAX, Ordering::SeqCst);
    let mut second = producer(&log, "p", &["t"]);
    assert_eq!(read(&log, "t", Isolation::ReadCommitted).0, ["0:a=1"]);
    assert_eq!(member(&log, "g", "i").committed(&[at("t")], ZERO).unwrap(), [Some(offset(1))]);
    assert_eq!(first.commit(ZERO).unwrap_err().class, Class::Fenced);
    commit(&mut *second, &[("b", "2")]);
    assert_eq!(read(&log, "t", Isolation::ReadCommitted).0, ["0:a=1", "2:b=2"]);
}

/// What a restore makes of a compacted topic.
fn table(log: &LocalLog) -> std::collections::BTreeMap<String, String> {
    let (seen, _) = read(log, "t", Isolation::ReadCommitted);
    let pairs = seen.iter().filter_map(|text| text.split_once(':')?.1.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[test]
fn death_in_the_middle_of_a_compaction_loses_nothing() {
    let memory = Arc::new(Memory::default());
    let log = LocalLog::open(Arc::<Memory>::clone(&memory)).unwrap();
    topic(&log, "t", &TopicConfig::compact(1));
    let mut producer = producer(&log, "p", &["t"]);
    for round in 0..400 {
        commit(&mut *producer, &[(&format!("k{}", round % 90), &round.to_string())]);
    }
    let expected = table(&log);
    for writes in 0..40 {
        let inner = Arc::new(copy(&memory));
        let log = LocalLog::open(Arc::new(Mortal::new(Arc::clone(&inner), writes))).unwrap();
        eager(&log);
        drop(log.admin().maintain(Timestamp(1)));
        drop(log);
        let log = LocalLog::open(inner).unwrap();
        assert_eq!(table(&log), expected, "dead after {writes} writes");
        eager(&log);
        log.admin().maintain(Timestamp(1)).unwrap();
        assert_eq!(table(&log), expected, "dead after {writes} writes, then compacted");
    }
}

#[test]
fn a_damaged_log_is_refused_and_not_read_in_part() {
    let memory = Arc::new(Memory::default());
    let log = LocalLog::open(Arc::<Memory>::clone(&memory)).unwrap();
    topic(&log, "t", &TopicConfig::keep(1));
    commit(&mut *producer(&log, "p", &["t"]), &[("a", "1")]);
    let place = super::super::keys::Place { topic: 0, partition: Partition(0) };
    let rows = [super::super::keys::topic(0), super::super::keys::meta(place), b"xp".to_vec(), b"n".to_vec(), b"v".to_vec()];
    for row in rows {
        let damaged = copy(&memory);
        let mut batch = Batch::default();
        batch.put(&row, b"?");
        damaged.write(&batch, Durability::Synced).unwrap();
        assert_eq!(LocalLog::open(Arc::new(damaged)).unwrap_err().class, Class::Fatal);
    }
    let damaged = Arc::new(copy(&memory));
    let mut batch = Batch::default();
    let mut chunk = Vec::new();
    let key = super::super::keys::chunk(place, Offset(0));
    damaged.get(&key, &mut chunk).unwrap();
    batch.put(&key, &chunk[..chunk.len() - 1]);
    damaged.write(&batch, Durability::Synced).unwrap();
    let log = LocalLog::open(damaged).unwrap();
    let mut consumer = reader(&log, Isolation::ReadCommitted);
    consumer.assign(&at("t"), Offset(0)).unwrap();
    assert_eq!(consumer.poll(ZERO, &mut RecordBatch::default()).unwrap_err().class, Class::Fatal);
}
