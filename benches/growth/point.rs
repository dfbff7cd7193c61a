//! The places at which the cost is measured: each differs from the base in one respect.

use std::fmt;

/// What is measured at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// Videos that the state knows.
    pub(crate) keys: u64,
    pub(crate) partitions: i32,
    pub(crate) threads: usize,
    /// Bytes of an observation's value, about: its title is made so long.
    pub(crate) value_bytes: usize,
    /// Observations of one measured run.
    pub(crate) records: u64,
}

/// Places that differ in one respect, in their order.
#[derive(Debug)]
pub(crate) struct Sweep {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(String, Point)>,
}

/// The most input of one run, in bytes: longer values, fewer of them.
const INPUT_BYTES_MAX: u64 = 300_000_000;

/// Random numbers of a number.
pub(crate) fn mixed(number: u64) -> u64 {
    let mixed = (number ^ number >> 31).wrapping_mul(0x7fb5_d329_728e_a185);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x81da_def4_bc2d_d44d);
    mixed ^ mixed >> 33
}

fn sized(value_bytes: usize, records: u64) -> u64 {
    records.min(INPUT_BYTES_MAX / value_bytes as u64)
}

impl Point {
    const fn base(records: u64) -> Self {
        Self { keys: 100_000, partitions: 1, threads: 1, value_bytes: 100, records }
    }

    /// As the arguments of the process that measures it.
    pub(crate) fn arguments(&self) -> [String; 5] {
        let Self { keys, partitions, threads, value_bytes, records } = self;
        [keys.to_string(), partitions.to_string(), threads.to_string(), value_bytes.to_string(), records.to_string()]
    }

    pub(crate) fn parse(arguments: &[String]) -> Self {
        let number = |place: usize| arguments[place].parse::<u64>().unwrap();
        let small = |place| usize::try_from(number(place)).unwrap();
        let partitions = i32::try_from(number(1)).unwrap();
        Self { keys: number(0), partitions, threads: small(2), value_bytes: small(3), records: number(4) }
    }
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Observations of a run.
    pub(crate) records: u64,
    /// Places with more keys are left out.
    pub(crate) keys_max: u64,
}

impl Size {
    pub(crate) const FULL: Self = Self { records: 1_000_000, keys_max: 10_000_000 };
    /// For a look at the command itself.
    pub(crate) const QUICK: Self = Self { records: 50_000, keys_max: 100_000 };
}

/// All places.
pub(crate) fn sweeps(size: Size) -> Vec<Sweep> {
    let base = Point::base(size.records);
    let keys = [10_000, 100_000, 1_000_000, 10_000_000].into_iter().filter(|&keys| keys <= size.keys_max);
    let keys = keys.map(|keys| Point { keys, ..base });
    let partitions = [1, 4, 16, 64].map(|partitions| Point { partitions, ..base });
    let threads = [1, 2].map(|threads| Point { partitions: 4, threads, ..base });
    let values =
        [100, 1_000, 10_000].map(|value_bytes| Point { keys: 10_000, value_bytes, records: sized(value_bytes, base.records), ..base });
    vec![
        Sweep { name: "keys", points: keys.map(|point| (short(point.keys), point)).collect() },
        Sweep { name: "partitions", points: partitions.map(|point| (point.partitions.to_string(), point)).to_vec() },
        Sweep { name: "threads (4 partitions)", points: threads.map(|point| (point.threads.to_string(), point)).to_vec() },
        Sweep { name: "bytes of a value (10,000 keys)", points: values.map(|point| (short(point.value_bytes as u64), point)).to_vec() },
    ]
}

/// `10k`, `1M`.
fn short(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        1_000..1_000_000 => format!("{}k", number / 1_000),
        _ => format!("{}M", number / 1_000_000),
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keys, partitions, threads, value_bytes, records } = self;
        write!(f, "{keys} keys, {partitions} partitions, {threads} threads, values of {value_bytes} B, {records} records")
    }
}
