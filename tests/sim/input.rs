//! The input of a simulation: who fills the topic writes transactions, some of which it aborts, of records that may be anything.

use std::collections::BTreeMap;

use crate::clock::START;
use crate::random::Random;
use crate::trace::Counts;

#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) partition: i32,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) timestamp: i64,
}

/// A transaction of whoever fills the input.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) at: u64,
    pub(crate) records: Vec<Given>,
    pub(crate) aborts: bool,
}

/// Some transactions in the order of their times.
pub(crate) fn batches(random: &mut Random, partitions: i32, horizon: u64) -> Vec<Batch> {
    let keys = random.range(1, 5);
    let count = random.range(20, 90);
    let mut batches: Vec<Batch> = (0..count)
        .map(|_| Batch {
            at: random.range(0, horizon),
            records: (0..random.range(1, 6)).map(|_| given(random, partitions, keys)).collect(),
            aborts: random.one_in(8),
        })
        .collect();
    batches.sort_by_key(|batch| batch.at);
    batches
}

fn given(random: &mut Random, partitions: i32, keys: u64) -> Given {
    let partition = i32::try_from(random.range(0, u64::try_from(partitions).unwrap())).unwrap();
    let key = format!("k{partition}-{}", random.range(0, keys)).into_bytes();
    let timestamp = START + i64::try_from(random.range(0, 20_000)).unwrap();
    let number = |random: &mut Random, below: u64| if random.one_in(5) { String::new() } else { random.range(0, below).to_string() };
    let value = match random.range(0, 40) {
        0 | 1 => None,
        2 => Some("garbage".to_owned()),
        3 => Some("unknown;;1;1;".to_owned()),
        draw => {
            let schema = if random.one_in(3) { "asked" } else { "known" };
            let title = if random.one_in(3) { String::new() } else { format!("T{}", random.range(0, 3)) };
            let (views, likes) = (number(random, 1000), number(random, 4));
            let command = match draw {
                4 => "fail",
                5 => "panic",
                6 => "big",
                7 if random.one_in(2) => "refused",
                _ => "",
            };
            Some(format!("{schema};{title};{views};{likes};{command}"))
        }
    };
    let key = if random.one_in(60) { None } else { Some(key) };
    Given { partition, key, value: value.map(String::into_bytes), timestamp }
}

/// Counts what is in it that an engine can stumble over; of what was committed.
pub(crate) fn count(batches: &[Batch], counts: &mut Counts) {
    let mut last: BTreeMap<&[u8], &Given> = BTreeMap::new();
    for given in batches.iter().filter(|batch| !batch.aborts).flat_map(|batch| &batch.records) {
        match given.value.as_deref() {
            None => counts.add("input: a tombstone"),
            Some(b"garbage") => counts.add("input: bytes that are no value"),
            Some(value) if value.starts_with(b"unknown;") => counts.add("input: an unknown schema"),
            Some(value) if value.ends_with(b";fail") => counts.add("input: its processing fails"),
            Some(value) if value.ends_with(b";panic") => counts.add("input: its processing panics"),
            Some(value) if value.ends_with(b";big") => counts.add("input: a result too large"),
            Some(value) if value.ends_with(b";refused") => counts.add("input: a result that the log refuses"),
            Some(_) => {}
        }
        let Some(key) = given.key.as_deref() else {
            counts.add("input: no key");
            continue;
        };
        if let Some(former) = last.insert(key, given) {
            if former.timestamp > given.timestamp {
                counts.add("input: out of order");
            }
            if former.value == given.value {
                counts.add("input: twice");
            }
        }
    }
}
