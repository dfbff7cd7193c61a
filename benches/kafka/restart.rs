//! From `kill -9`, inside an open transaction, to the next committed output: of the same instance started again, and of a survivor that takes over.

use std::fs::File;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::application::Application;
use crate::load::{key, load, producer, send};
use crate::observations::Writer;

pub(crate) const PARTITIONS: i32 = 4;

/// Observations a second while processes are killed.
pub(crate) const RATE: u32 = 2_000;

/// No part of this may take longer.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn measure(keys: u64) {
    let application = Application::set_up(PARTITIONS);
    // A transaction is open for most of the time, so that a kill leaves one behind.
    let file = application.folder().join("topology.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text + "\n[engine]\ncommit_at_end_of_input = false\ncommit_interval_ms = 200\n").unwrap();
    load(&application.client(), &application.topic("videos"), application.schema(), keys, 0..keys);
    let status = application.command(&["run", "--until-end", "--state-dir", "one"]).stderr(log(&application, "first")).status().unwrap();
    assert!(status.success());
    println!("{keys} keys in {PARTITIONS} partitions, {RATE} observations a second");

    let outputs = Outputs::watch(&application);
    let feeder = Feeder::start(&application, keys, 0);
    let one = start(&application, "one");
    outputs.wait_for_all(Instant::now());
    let killed = kill_in_a_transaction(&application, one);
    let one = start(&application, "one");
    let back = outputs.wait_for_all(killed);
    println!("the same instance again: all partitions back after {:.1} s", back.iter().max().unwrap().as_secs_f64());
    println!("  restored: {}", restored(&application, "one"));

    let two = start(&application, "two");
    wait_until("the second instance has taken over some", || {
        restored(&application, "two") != "nothing" && said(&application, "two", "running task")
    });
    outputs.wait_for_all(Instant::now());
    let killed = kill_in_a_transaction(&application, one);
    let back = outputs.wait_for_all(killed);
    let (mut own, mut taken): (Vec<_>, Vec<_>) = back.iter().partition(|back| **back < Duration::from_secs(6));
    own.sort();
    taken.sort();
    let seconds = |times: &[&Duration]| times.iter().map(|time| format!("{:.1} s", time.as_secs_f64())).collect::<Vec<_>>().join(", ");
    println!("a survivor: its own partitions go on after {}; those of the dead after {}", seconds(&own), seconds(&taken));
    println!("  longest silence of a partition that it kept: {:.1} s", outputs.longest_gap(killed, own.len()).as_secs_f64());
    drop((feeder, two));
}

pub(crate) fn log(application: &Application, name: &str) -> File {
    File::options().create(true).append(true).open(application.folder().join(format!("{name}.log"))).unwrap()
}

pub(crate) fn start(application: &Application, state: &str) -> Running {
    let mut command = application.command(&["run", "--only", "topology", "--state-dir", state]);
    Running(command.env("RUST_LOG", "info").stderr(log(application, state)).spawn().unwrap())
}

/// A process that ends with the measurement.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Whether the changes of a partition have records beyond the last stable offset.
pub(crate) fn open_transactions(application: &Application) -> impl Fn(i32) -> bool {
    let topic = application.topic("changes");
    let consumer = |level: &str| -> BaseConsumer { application.client().set("isolation.level", level).create().unwrap() };
    let (stable, all) = (consumer("read_committed"), consumer("read_uncommitted"));
    move |partition| {
        let end = |consumer: &BaseConsumer| consumer.fetch_watermarks(&topic, partition, Duration::from_secs(5)).unwrap().1;
        end(&all) > end(&stable)
    }
}

/// Kills when a transaction is open: records beyond the last stable offset of the changes.
fn kill_in_a_transaction(application: &Application, running: Running) -> Instant {
    let open = open_transactions(application);
    wait_until("a transaction is open", || (0..PARTITIONS).any(&open));
    let killed = Instant::now();
    drop(running);
    assert!((0..PARTITIONS).any(&open), "the transaction was committed before the kill");
    killed
}

fn said(application: &Application, name: &str, what: &str) -> bool {
    std::fs::read_to_string(application.folder().join(format!("{name}.log"))).is_ok_and(|text| text.contains(what))
}

/// What an instance says that it restored since its last start.
pub(crate) fn restored(application: &Application, name: &str) -> String {
    let text = std::fs::read_to_string(application.folder().join(format!("{name}.log"))).unwrap_or_default();
    let since = text.rfind("starting").unwrap_or(0);
    restored_in(&text[since..])
}

/// What a part of a log says that was restored.
pub(crate) fn restored_in(text: &str) -> String {
    let value = |line: &str, key: &str| line.split_once(key).and_then(|(_, rest)| rest.split_whitespace().next()).unwrap_or("?").to_owned();
    let lines = text.lines().filter(|line| line.contains("store restored"));
    let lines: Vec<_> = lines.map(|line| format!("{} records in {}", value(line, "records="), value(line, "took="))).collect();
    if lines.is_empty() { "nothing".to_owned() } else { lines.join(", ") }
}

pub(crate) fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Appends observations until it is dropped.
pub(crate) struct Feeder {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Feeder {
    /// The observations after the first `keys` and `from` more.
    pub(crate) fn start(application: &Application, keys: u64, from: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (client, input, schema) = (application.client(), application.topic("videos"), application.schema());
        let stopped = Arc::clone(&stop);
        let feed = move || {
            let producer = producer(&client);
            let mut writer = Writer::new(schema);
            let mut value = Vec::new();
            let began = Instant::now();
            for number in 0..u64::MAX {
                if stopped.load(Ordering::Acquire) {
                    break;
                }
                let due = began + Duration::from_secs(1) * u32::try_from(number).unwrap() / RATE;
                while Instant::now() < due {
                    producer.poll(Duration::ZERO);
                    std::thread::park_timeout(Duration::from_millis(1));
                }
                let index = keys + from + number;
                writer.write(index, keys, &mut value);
                send(&producer, &input, &key(index, keys), &value, index);
            }
        };
        Self { stop, thread: Some(std::thread::spawn(feed)) }
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// When committed changes became readable, by partition.
#[derive(Clone)]
pub(crate) struct Outputs(Arc<Mutex<Vec<Vec<Instant>>>>);

impl Outputs {
    pub(crate) fn watch(application: &Application) -> Self {
        let seen = Self(Arc::new(Mutex::new(vec![Vec::new(); usize::try_from(PARTITIONS).unwrap()])));
        let (mut client, topic) = (application.client(), application.topic("changes"));
        client.set("group.id", "bench-reader").set("isolation.level", "read_committed").set("enable.auto.commit", "false");
        let consumer: BaseConsumer = client.create().unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            list.add_partition_offset(&topic, partition, Offset::End).unwrap();
        }
        consumer.assign(&list).unwrap();
        let arrivals = Arc::clone(&seen.0);
        std::thread::spawn(move || {
            loop {
                // Errors come when the broker ends before this thread does.
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                    let partition = usize::try_from(message.partition()).unwrap();
                    arrivals.lock()[partition].push(Instant::now());
                }
            }
        });
        seen
    }

    /// Waits until each partition had a change after `since`, and how long that took; what was on its way at that moment does not count.
    pub(crate) fn wait_for_all(&self, since: Instant) -> Vec<Duration> {
        let first = |arrivals: &Vec<Instant>| arrivals.iter().find(|at| **at > since + Duration::from_millis(300)).copied();
        let mut found = Vec::new();
        wait_until("changes in all partitions", || {
            found = self.0.lock().iter().filter_map(first).collect();
            found.len() == usize::try_from(PARTITIONS).unwrap()
        });
        found.into_iter().map(|at| at.duration_since(since)).collect()
    }

    /// The longest time without a change since `since`, of the `count` partitions where it is shortest.
    fn longest_gap(&self, since: Instant, count: usize) -> Duration {
        let gap = |arrivals: &Vec<Instant>| {
            let mut times = vec![since];
            times.extend(arrivals.iter().filter(|at| **at > since));
            times.windows(2).map(|pair| pair[1].duration_since(pair[0])).max().unwrap_or_default()
        };
        let mut gaps: Vec<Duration> = self.0.lock().iter().map(gap).collect();
        gaps.sort();
        gaps.into_iter().take(count).max().unwrap_or_default()
    }
}
