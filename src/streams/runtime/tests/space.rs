//! A disk without space: what is committed waits in memory, and no more than has room there.

use std::sync::atomic::{AtomicBool, Ordering};

use super::faulty::Failing;
use super::*;

const PARTITIONS: i32 = 2;
const CACHE_BYTES: usize = 256 << 10;
const RECORDS: i64 = 600;

/// A key of a kilobyte: rows of this topology have little else.
fn key(number: i64) -> Vec<u8> {
    format!("{number:01024}").into_bytes()
}

fn pipe(driver: &mut TopologyTestDriver, number: i64) {
    driver.pipe("input", Some(&key(number)), Some(b"1"), Timestamp(number)).unwrap();
    // Longer than a pause.
    driver.advance(Duration::from_secs(2)).unwrap();
}

#[test]
fn who_has_no_room_in_memory_takes_nothing_more_until_there_is_space() {
    let world = World::new(PARTITIONS);
    let fails = Arc::<AtomicBool>::default();
    let backend = Failing { fails: Arc::clone(&fails), ..Failing::default() };
    let options = Options { cache_bytes: CACHE_BYTES, write_back_bytes: CACHE_BYTES / 8, ..Options::new("app", "instance") };
    let log: Arc<dyn Log> = Arc::<LocalLog>::clone(&world.log);
    let mut driver = TopologyTestDriver::with(counting(ErrorPolicy::default()), log, Arc::new(backend), options).unwrap();
    pipe(&mut driver, 0);
    fails.store(true, Ordering::SeqCst);
    for number in 1..RECORDS {
        pipe(&mut driver, number);
    }
    let taken = driver.read("output").unwrap().len();
    let (keys_in_memory, quarter) = (CACHE_BYTES >> 10, CACHE_BYTES >> 12);
    assert!(taken > quarter && taken < keys_in_memory, "{taken} records were taken, {keys_in_memory} have room");
    // However long it lasts.
    for _ in 0..100 {
        driver.advance(Duration::from_secs(2)).unwrap();
    }
    assert_eq!(driver.read("output").unwrap().len(), 0);
    fails.store(false, Ordering::SeqCst);
    driver.advance(Duration::from_secs(2)).unwrap();
    assert_eq!(taken + driver.read("output").unwrap().len(), usize::try_from(RECORDS).unwrap(), "each once, with nothing lost");
    assert_eq!(driver.store("counts").len(), usize::try_from(RECORDS).unwrap());
}
