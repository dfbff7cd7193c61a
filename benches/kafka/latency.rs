//! From the append of an observation to its change being readable, of tidewatch with its defaults and of a pass-through that commits at once.

use std::collections::HashMap;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::producer::Producer as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::application::Application;
use crate::load::{FIRST_MS, key, load, producer, send};
use crate::observations::Writer;
use crate::passthrough::{Output, Plan};

const VIDEOS: u64 = 1_000;
const PARTITIONS: i32 = 4;

pub(crate) fn measure(rate: u64, seconds: u64) {
    let application = Application::set_up(PARTITIONS);
    let input = application.topic("videos");
    // The first observation of a video changes nothing.
    load(&application.client(), &input, application.schema(), VIDEOS, 0..VIDEOS);
    let changes = application.topic("changes");
    let ours = application.command(&["run", "--only", "topology", "--state-dir", "state"]).spawn().unwrap();
    let ours = side(&application, Killed(ours), &changes, rate, seconds, VIDEOS);
    let topic = application.topic("passed");
    application.broker().create_topic(&topic, PARTITIONS, &[]);
    let changelog = application.topic("passed-changelog");
    application.broker().create_topic(&changelog, PARTITIONS, &[]);
    let outputs = vec![Output { topic: changelog, bytes: 100, every: 1 }, Output { topic: topic.clone(), bytes: 160, every: 1 }];
    let servers = application.broker().bootstrap_servers().to_owned();
    let plan = Plan { servers, group: topic.clone(), input, commit_ms: 0, records: 0, outputs };
    let limit = plan.command().spawn().unwrap();
    let limit = side(&application, Killed(limit), &topic, rate, seconds, VIDEOS + rate * (seconds + WARM_SECONDS));
    println!("{rate} records a second for {seconds} s, append to readable change:");
    for (who, times) in [("tidewatch", &ours), ("pass-through that commits at once", &limit)] {
        println!("  {who}: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms", at(times, 0.5), at(times, 0.99), at(times, 1.0));
    }
    println!("  ratios: p50 {:.2}, p99 {:.2}", at(&ours, 0.5) / at(&limit, 0.5), at(&ours, 0.99) / at(&limit, 0.99));
}

/// Not counted: both sides are given time to get going.
const WARM_SECONDS: u64 = 5;

/// A process that ends with its measurement.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Milliseconds, sorted, at a share of all.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a small number")]
fn at(times: &[f64], share: f64) -> f64 {
    times[((times.len() as f64 * share) as usize).min(times.len() - 1)]
}

/// Appends at a steady rate and reads what comes out of `topic`; the times between, sorted, in milliseconds.
fn side(application: &Application, _running: Killed, topic: &str, rate: u64, seconds: u64, first: u64) -> Vec<f64> {
    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let (client, topic, done) = (application.client(), topic.to_owned(), Arc::clone(&done));
        std::thread::spawn(move || read(client, &topic, &done))
    };
    let producer = producer(application.client().set("linger.ms", "0"));
    let mut writer = Writer::new(application.schema());
    let (mut value, mut sent) = (Vec::new(), HashMap::new());
    let input = application.topic("videos");
    let began = Instant::now();
    for number in 0..rate * (seconds + WARM_SECONDS) {
        let due = began + Duration::from_secs(1) * u32::try_from(number).unwrap() / u32::try_from(rate).unwrap();
        while Instant::now() < due {
            producer.poll(Duration::ZERO);
            std::thread::park_timeout(Duration::from_micros(100));
        }
        let index = first + number;
        writer.write(index, VIDEOS, &mut value);
        send(&producer, &input, &key(index, VIDEOS), &value, index);
        sent.insert(FIRST_MS + i64::try_from(index).unwrap(), (number, Instant::now()));
    }
    producer.flush(Duration::from_secs(10)).unwrap();
    // What was appended last comes out within this time, or is missed below.
    std::thread::park_timeout(Duration::from_secs(3));
    done.store(true, Ordering::Release);
    let seen = reader.join().unwrap();
    let counted = |(time, arrived): &(i64, Instant)| {
        let (number, sent) = sent.get(time)?;
        (*number >= rate * WARM_SECONDS).then(|| arrived.duration_since(*sent).as_secs_f64() * 1e3)
    };
    let mut times: Vec<f64> = seen.iter().filter_map(counted).collect();
    let wanted = usize::try_from(rate * seconds).unwrap();
    assert!(times.len() >= wanted * 99 / 100, "{} of {wanted} changes came out", times.len());
    times.sort_by(f64::total_cmp);
    times
}

/// The times of records and when they were read, until told to end.
fn read(mut client: rdkafka::ClientConfig, topic: &str, done: &AtomicBool) -> Vec<(i64, Instant)> {
    client.set("group.id", "bench-reader").set("isolation.level", "read_committed").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = client.set("fetch.wait.max.ms", "100").create().unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut seen = Vec::new();
    while !done.load(Ordering::Acquire) {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            let message = message.unwrap();
            seen.push((message.timestamp().to_millis().unwrap(), Instant::now()));
        }
    }
    seen
}
