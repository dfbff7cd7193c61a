//! Observations at a steady rate, and when their changes became readable: for what is killed meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::group::Group;
use crate::load::{key, producer, send};
use crate::observations::Writer;
use crate::peer::Job;
use crate::real::process::Process;

/// Observations a second while processes are killed.
pub(crate) const RATE: u32 = 2_000;

/// No part of this may take longer.
const PATIENCE: Duration = Duration::from_secs(300);

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
    pub(crate) fn start(job: &Job<'_>, keys: u64, from: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (client, input, schema) = (job.application.client(), job.input.clone(), job.application.schema());
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
                send(&producer, &input, &key(index % keys), &value, index);
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
    pub(crate) fn watch(job: &Job<'_>) -> Self {
        let partitions = job.application.partitions;
        let seen = Self(Arc::new(Mutex::new(vec![Vec::new(); usize::try_from(partitions).unwrap()])));
        let (mut client, topic) = (job.application.client(), job.changes());
        client.set("group.id", "bench-reader").set("isolation.level", "read_committed").set("enable.auto.commit", "false");
        let consumer: BaseConsumer = client.create().unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(&topic, partition, Offset::End).unwrap();
        }
        consumer.assign(&list).unwrap();
        let arrivals = Arc::downgrade(&seen.0);
        // It ends with the last that looks.
        std::thread::spawn(move || {
            while let Some(arrivals) = arrivals.upgrade() {
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
        let partitions = self.0.lock().len();
        let mut found = Vec::new();
        wait_until("changes in all partitions", || {
            found = self.0.lock().iter().filter_map(first).collect();
            found.len() == partitions
        });
        found.into_iter().map(|at| at.duration_since(since)).collect()
    }

    /// The longest time without a change since `since`, of the `count` partitions where it is shortest.
    pub(crate) fn longest_gap(&self, since: Instant, count: usize) -> Duration {
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

/// Whether the changes of a partition have records beyond the last stable offset.
pub(crate) fn open_transactions(job: &Job<'_>) -> impl Fn(i32) -> bool {
    let (topic, client) = (job.changes(), job.application.client());
    let consumer = |level: &str| -> BaseConsumer { client.clone().set("isolation.level", level).create().unwrap() };
    let (stable, all) = (consumer("read_committed"), consumer("read_uncommitted"));
    move |partition| {
        let end = |consumer: &BaseConsumer| consumer.fetch_watermarks(&topic, partition, Duration::from_secs(5)).unwrap().1;
        end(&all) > end(&stable)
    }
}

/// Waits until `process` has done what was there before, `keys` observations; from then on there are new ones, and it is seen what comes out of them.
pub(crate) fn feed_on(job: &Job<'_>, process: &mut Process, keys: u64) -> (Outputs, Feeder) {
    Group::of(job).wait_for(process, keys, PATIENCE, |_| {});
    let outputs = Outputs::watch(job);
    let feeder = Feeder::start(job, keys, 0);
    outputs.wait_for_all(Instant::now());
    (outputs, feeder)
}
