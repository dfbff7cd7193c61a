//! The process dies at any write: what was acknowledged is there, what was not is whole or gone.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::streams::kv::{Batch, Direction, Durability, Error, Result, Visit};

/// A map that takes so many writes and then is dead.
#[derive(Debug)]
struct Mortal {
    inner: Arc<Memory>,
    writes_left: AtomicUsize,
}

impl Kv for Mortal {
    fn get(&self, key: &[u8], value: &mut Vec<u8>) -> Result<bool> {
        self.inner.get(key, value)
    }

    fn write(&self, batch: &Batch, durability: Durability) -> Result<()> {
        let dead = Error::Failed { store: "mortal".to_owned(), source: "dead".into() };
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
    for first in 0..60 {
        let memory = Arc::new(Memory::default());
        // Two deaths in a row, then a life to the end.
        for writes in [first, first / 2] {
            let kv = Mortal { inner: Arc::clone(&memory), writes_left: AtomicUsize::new(writes) };
            drop(work(Arc::new(kv)));
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
fn a_failed_write_leaves_the_log_as_it_was() {
    let kv = Arc::new(Mortal { inner: Arc::default(), writes_left: AtomicUsize::new(usize::MAX) });
    let log = LocalLog::open(Arc::<Mortal>::clone(&kv)).unwrap();
    topic(&log, "t", &TopicConfig::keep(1));
    let mut producer = producer(&log, "p", &["t"]);
    producer.begin().unwrap();
    producer.send(&record("a", Some("1"), 0)).unwrap();
    kv.writes_left.store(0, Ordering::SeqCst);
    assert!(producer.flush(ZERO).is_err());
    assert!(producer.commit(ZERO).is_err());
    kv.writes_left.store(usize::MAX, Ordering::SeqCst);
    // The same record again: it was not taken, and it is taken once.
    producer.commit(ZERO).unwrap();
    commit(&mut *producer, &[("b", "2")]);
    assert_eq!(read(&log, "t", Isolation::ReadCommitted).0, ["0:a=1", "2:b=2"]);
}
