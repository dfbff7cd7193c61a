//! One place, measured: processes that fill a directory and run the topology on it, one after the other.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};
use tidewatch::avro::Row;
use tidewatch::avro::Value as Field;

use super::counted::{Counted, Counts};
use super::ground::{CHANGELOGS, Ground, OUTPUTS};
use super::point::{Point, mixed};

/// What a process of this program does: its first argument.
pub(crate) const CHILD: &str = "child";

/// Measured runs of a place; the medians count.
const RUNS: u64 = 3;

/// Bytes of an observation's value beside its title, about.
const BESIDE_TITLE_BYTES: usize = 20;

/// What came out at one place. Per record of the input, where not said otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) cpu_us: f64,
    pub(crate) records_per_second: f64,
    pub(crate) peak_mib: f64,
    /// Of the processor time what RocksDB's own threads took, which write and merge its files.
    pub(crate) background_us: f64,
    /// Rows that RocksDB was asked for.
    pub(crate) gets: f64,
    /// Bytes of rows and keys that were written to it.
    pub(crate) stored_bytes: f64,
    /// Bytes that were written to the log's files, before they are compressed: what was appended, and what compaction wrote again.
    pub(crate) logged_bytes: f64,
    /// Bytes of key and value of a record: an observation, a change, a message, a row of the first changelog and of the second.
    pub(crate) record_bytes: [f64; 5],
    /// Records of each of these.
    pub(crate) records: [f64; 5],
    /// Bytes of one key's rows.
    pub(crate) key_bytes: f64,
    /// Bytes of the directory with the stores, per key.
    pub(crate) disk_bytes: f64,
}

fn child(what: &str, directory: &Path, point: &Point, round: u64) -> Value {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([CHILD, what]).arg(directory).arg(round.to_string()).args(point.arguments());
    let output = command.stderr(std::process::Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{what} of {point}: {}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Measures a place, in a directory that is removed afterwards.
pub(crate) fn measure(point: &Point) -> Figures {
    let folder = tempfile::tempdir().unwrap();
    // The first sight of each key is no steady state.
    child("fill", folder.path(), point, 0);
    child("run", folder.path(), point, 0);
    let runs: Vec<Value> = (1..=RUNS)
        .map(|round| {
            child("fill", folder.path(), point, round);
            child("run", folder.path(), point, round)
        })
        .collect();
    let sizes = child("sizes", folder.path(), point, 0);
    let of = |name: &str| median(runs.iter().map(|run| run[name].as_f64().unwrap()).collect());
    let sized = |name: &str| std::array::from_fn(|place| sizes[name][place].as_f64().unwrap());
    Figures {
        cpu_us: of("cpu_us"),
        records_per_second: of("records_per_second"),
        peak_mib: of("peak_mib"),
        gets: of("gets"),
        background_us: of("background_us"),
        stored_bytes: of("stored_bytes"),
        logged_bytes: of("logged_bytes"),
        record_bytes: sized("record_bytes"),
        records: sized("records"),
        key_bytes: sizes["key_bytes"].as_f64().unwrap(),
        disk_bytes: sizes["disk_bytes"].as_f64().unwrap(),
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// What the processes do; it is printed as one JSON value.
pub(crate) fn work(arguments: &[String]) {
    let [what, directory, round, point @ ..] = arguments else { panic!("a child is told what to do, where, and for which place") };
    let (directory, round, point) = (Path::new(directory), round.parse().unwrap(), Point::parse(point));
    let log = Arc::<Counts>::default();
    let ground = Ground::durable_through(directory, point.partitions, |kv| log.of(kv));
    let said = match what.as_str() {
        "fill" => fill(&ground, &point, round),
        "run" => run(&ground, &log, directory, (&point, round)),
        "sizes" => sizes(&ground, directory, &point),
        _ => panic!("there is no {what}"),
    };
    println!("{said}");
}

/// In round 0 each key once, in order; then any of them, with counts that rise as if all were polled in turn.
fn fill(ground: &Ground, point: &Point, round: u64) -> Value {
    let titles = Titles::new(point.value_bytes.saturating_sub(BESIDE_TITLE_BYTES));
    let records = if round == 0 { point.keys } else { point.records };
    ground.append(records, &mut |index, row| {
        let place = round * point.records + index;
        let (video, polls) = if round == 0 { (index, 0) } else { (mixed(place) % point.keys, 1 + place / point.keys) };
        observe(row, video, 120 * polls + index % 60, &titles);
        format!("video-{video:08}")
    });
    Value::Null
}

fn observe(row: &mut Row, video: u64, later: u64, titles: &Titles) {
    let count = |per: u64| Field::Long(i64::try_from((10_000 + video * 17 % 1_000_000 + later) / per).unwrap());
    row.values[0].set_str(titles.of(video));
    row.values[1] = count(1);
    row.values[2] = count(20);
    row.values[3] = count(300);
}

/// Titles of one length that no compression makes much shorter.
struct Titles {
    text: String,
    length: usize,
}

impl Titles {
    fn new(length: usize) -> Self {
        let letter = |number| char::from(b'a' + u8::try_from(mixed(number) % 26).unwrap());
        Self { text: (0..1 << 20).map(letter).collect(), length }
    }

    fn of(&self, video: u64) -> &str {
        let places = (self.text.len() - self.length) as u64;
        let start = usize::try_from(mixed(!video) % places).unwrap();
        &self.text[start..start + self.length]
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn float(number: u64) -> f64 {
    number as f64
}

fn run(ground: &Ground, log: &Counts, directory: &Path, (point, round): (&Point, u64)) -> Value {
    let counts = Arc::<Counts>::default();
    let backend = Counted { inner: ground.on_disk(directory), counts: Arc::clone(&counts) };
    let (background, logged) = (background_seconds(), log.written_bytes());
    let spent = ground.run(Arc::new(backend), point.threads);
    let records = float(if round == 0 { point.keys } else { point.records });
    json!({
        "cpu_us": spent.cpu.as_secs_f64() * 1e6 / records,
        "records_per_second": records / spent.time.as_secs_f64(),
        "peak_mib": float(peak_kib()) / 1024.0,
        "gets": float(counts.gets()) / records,
        "background_us": (background_seconds() - background) * 1e6 / records,
        "logged_bytes": float(log.written_bytes() - logged) / records,
        "stored_bytes": float(counts.written_bytes()) / records,
    })
}

/// Processor time of RocksDB's own threads, which outlive a run.
fn background_seconds() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let read = |task: &Path, file: &str| std::fs::read_to_string(task.join(file)).unwrap_or_default();
    let theirs = tasks.filter(|task| read(task, "comm").starts_with("rocksdb:"));
    let nanoseconds = theirs.filter_map(|task| read(&task, "schedstat").split_whitespace().next()?.parse::<u64>().ok());
    float(nanoseconds.sum()) / 1e9
}

/// The most memory that this process ever had.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// What the records and rows take that the runs left behind.
fn sizes(ground: &Ground, directory: &Path, point: &Point) -> Value {
    let observed = point.keys + RUNS * point.records;
    let topics = ["youtube_videos", OUTPUTS[0], OUTPUTS[1], CHANGELOGS[0], CHANGELOGS[1]];
    let record_bytes = topics.map(|topic| {
        let (mut records, mut bytes) = (0, 0);
        ground.read(topic, &mut |key, value| {
            records += 1;
            bytes += (key.len() + value.len()) as u64;
        });
        float(bytes) / float(records.max(1))
    });
    let mut keys = 0;
    let rows: u64 = CHANGELOGS
        .iter()
        .map(|topic| {
            let mut last = std::collections::HashMap::new();
            // The keys of one in a hundred videos, or of all where there are few.
            let every = (point.keys / 10_000).max(1);
            ground.read(topic, &mut |key, value| {
                let number: u64 = std::str::from_utf8(&key[6..]).unwrap().parse().unwrap();
                if number.is_multiple_of(every) {
                    last.insert(number, key.len() + value.len());
                }
            });
            keys = keys.max(last.len());
            last.values().sum::<usize>() as u64
        })
        .sum();
    json!({
        "records": topics.map(|topic| float(ground.appended(topic)) / float(observed)),
        "record_bytes": record_bytes,
        "key_bytes": float(rows) / float(keys.max(1) as u64),
        "disk_bytes": float(size_of(&directory.join("state"))) / float(point.keys),
    })
}

/// Bytes of all files below a directory.
fn size_of(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).unwrap();
    let sizes = entries.map(|entry| {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() { size_of(&entry.path()) } else { entry.metadata().unwrap().len() }
    });
    sizes.sum()
}
