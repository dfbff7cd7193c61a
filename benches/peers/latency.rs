//! From the append of an observation to its change being readable, each beside a pass-through that commits at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::producer::Producer as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::application::Application;
use crate::group::Group;
use crate::keys::Keys;
use crate::load::{key, load, producer, send, time};
use crate::observations::Writer;
use crate::passthrough::{MILLION, Output};
use crate::peer::{Job, Options, Peer};
use crate::report::{Report, median, number, whole};

/// How much is measured.
#[derive(Clone, Debug)]
pub(crate) struct Size {
    /// Observations a second.
    pub(crate) rates: Vec<u64>,
    pub(crate) seconds: u64,
    pub(crate) runs: u64,
}

const VIDEOS: u64 = 1_000;
const PARTITIONS: i32 = 4;

/// Observations that each has processed before: the first of a video makes no change, and Java compiles as it goes.
const BEFORE: u64 = 50_000;

/// Not counted: the rate is new to all.
const WARM_SECONDS: u64 = 5;

/// No peer takes longer to start and to do what was there before.
const LIMIT: Duration = Duration::from_secs(180);

/// What came out after this time did not keep up.
const LATE: Duration = Duration::from_secs(3);

pub(crate) fn measure(report: &mut Report, peers: &[Peer], size: &Size, options: Options) {
    let (seconds, runs) = (size.seconds, size.runs);
    report.say(&format!(
        "### From append to readable change\n\nA steady rate for {seconds} s, {PARTITIONS} partitions, {VIDEOS} videos, {runs} runs each in turn, \
         milliseconds. Medians, of max the largest; `x` is the ratio to the pass-through, which here commits whenever nothing more is there, in the \
         same turn."
    ));
    let mut order: Vec<Peer> = vec![Peer::PassThrough];
    order.extend(peers.iter().filter(|peer| **peer != Peer::PassThrough));
    let mut rows = Vec::new();
    for &rate in &size.rates {
        let application = Application::set_up(PARTITIONS);
        // Before it counts: the broker is compiling too.
        side(&application, Peer::PassThrough, "warm", (rate, WARM_SECONDS), options);
        let mut all: Vec<Vec<Option<[f64; 3]>>> = vec![Vec::new(); order.len()];
        for run in 0..runs {
            for (peer, times) in order.iter().zip(&mut all) {
                // Who does not keep up once is not asked again.
                let keeps_up = times.iter().all(Option::is_some);
                let name = format!("{}-{run}", peer.argument());
                times.push(keeps_up.then(|| side(&application, *peer, &name, (rate, seconds), options)).flatten());
                println!("{rate} a second, run {run}: {:<14} {:.1?}", peer.name(), times.last().unwrap().unwrap_or_default());
            }
        }
        rows.extend(order.iter().zip(&all).map(|(peer, times)| row(rate, *peer, times, &all[0])));
    }
    report.table(&["records/s", "", "p50", "x", "p99", "x", "max"], &rows);
}

fn row(rate: u64, peer: Peer, times: &[Option<[f64; 3]>], limit: &[Option<[f64; 3]>]) -> Vec<String> {
    let mut row = vec![whole(number(rate)), peer.name().to_owned()];
    let pairs: Option<Vec<_>> = times.iter().zip(limit).map(|(times, limit)| Some(((*times)?, (*limit)?))).collect();
    let Some(pairs) = pairs else {
        row.extend(["does not keep up", "", "", "", ""].map(str::to_owned));
        return row;
    };
    for quantile in [0, 1] {
        row.push(format!("{:.1}", median(pairs.iter().map(|(times, _)| times[quantile]))));
        row.push(format!("{:.2}", median(pairs.iter().map(|(times, limit)| times[quantile] / limit[quantile]))));
    }
    row.push(format!("{:.0}", pairs.iter().map(|(times, _)| times[2]).fold(0.0, f64::max)));
    row
}

/// p50, p99 and max of one peer; none where it does not keep up.
fn side(application: &Application, peer: Peer, name: &str, (rate, seconds): (u64, u64), options: Options) -> Option<[f64; 3]> {
    let mut job = Job::new(application, name, options);
    job.input = format!("{}-videos", job.id);
    application.create_topic(&job.input);
    load(&application.client(), &job.input, application.schema(), (Keys::InTurn, VIDEOS, BEFORE));
    job.commit_ms = 0;
    let output = |topic: String, bytes| Output { topic, bytes, per_million: MILLION };
    job.outputs = vec![output(peer.changelog(&job), 100), output(job.changes(), 160)];
    peer.set_up(&job);
    let mut process = peer.start(&job);
    Group::of(&job).wait_for(&mut process, BEFORE, LIMIT, |_| {});
    let times = feed(application, &job, rate, seconds);
    assert!(process.ended().is_none(), "{} ended:\n{}", peer.name(), process.said());
    let wanted = usize::try_from(rate * seconds).unwrap();
    let Some(times) = times.filter(|times| times.len() >= wanted * 99 / 100) else {
        assert!(peer == Peer::Quix, "{} does not keep up with {rate} a second:\n{}", peer.name(), process.said());
        return None;
    };
    Some([0.5, 0.99, 1.0].map(|share| at(&times, share)))
}

/// Milliseconds, sorted, at a share of all.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a small number")]
fn at(times: &[f64], share: f64) -> f64 {
    times[((times.len() as f64 * share) as usize).min(times.len() - 1)]
}

/// Appends at a steady rate and reads the changes; the times between, sorted, in milliseconds. None where nothing came out.
fn feed(application: &Application, job: &Job<'_>, rate: u64, seconds: u64) -> Option<Vec<f64>> {
    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let (client, topic, done) = (application.client(), job.changes(), Arc::clone(&done));
        std::thread::spawn(move || read(client, &topic, &done))
    };
    let producer = producer(application.client().set("linger.ms", "0"));
    let mut writer = Writer::new(application.schema());
    let (mut value, mut sent) = (Vec::new(), HashMap::new());
    let began = Instant::now();
    for number in 0..rate * (seconds + WARM_SECONDS) {
        let due = began + Duration::from_nanos(1_000_000_000 * number / rate);
        while Instant::now() < due {
            producer.poll(Duration::ZERO);
            std::thread::park_timeout(Duration::from_micros(100));
        }
        let index = BEFORE + number;
        writer.write(index, VIDEOS, &mut value);
        send(&producer, &job.input, &key(index % VIDEOS), &value, index);
        sent.insert(time(index), (number, Instant::now()));
    }
    producer.flush(Duration::from_secs(10)).unwrap();
    std::thread::park_timeout(LATE);
    done.store(true, Ordering::Release);
    let seen = reader.join().unwrap();
    let counted = |(time, arrived): &(i64, Instant)| {
        let (number, sent) = sent.get(time)?;
        (*number >= rate * WARM_SECONDS).then(|| arrived.duration_since(*sent).as_secs_f64() * 1e3)
    };
    let mut times: Vec<f64> = seen.iter().filter_map(counted).collect();
    times.sort_by(f64::total_cmp);
    (!times.is_empty()).then_some(times)
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
