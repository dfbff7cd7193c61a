//! A state directory that is lost: how fast each has it again, beside a bare consumer that only reads the same changelog.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::application::Application;
use crate::compare::each;
use crate::group::Group;
use crate::instance::value;
use crate::keys::Keys;
use crate::load::load;
use crate::peer::{Job, Options, Peer};
use crate::report::{Report, median, number, whole};

const PARTITIONS: i32 = 4;

/// No part takes longer.
const LIMIT: Duration = Duration::from_secs(300);

/// How often the changelog is read by the bare consumer.
const READS: usize = 3;

/// What a log tells about a restore.
#[derive(Clone, Copy, Debug)]
struct Told {
    records: u64,
    seconds: f64,
}

pub(crate) fn measure(report: &mut Report, peers: &[Peer], keys: u64, runs: u64, options: Options) {
    report.say(&format!(
        "### A lost state directory\n\n{} keys in {PARTITIONS} partitions, {runs} runs, medians. From the moment the first partition's restore began to \
         the end of the last's, as each tells in its log; *raw* is a bare librdkafka consumer that reads the same changelog.",
        whole(number(keys))
    ));
    let mut rows = Vec::new();
    for peer in peers.iter().filter(|peer| peer.does_the_job()) {
        let application = Application::set_up(PARTITIONS);
        let job = Job::new(&application, peer.argument(), options);
        load(&application.client(), &job.input, application.schema(), (Keys::InTurn, keys, keys));
        let (rates, raw): (Vec<f64>, Vec<f64>) = (0..runs).map(|run| one(*peer, &job, keys, run == 0)).unzip();
        println!("{}: {rates:?} raw {raw:?}", peer.name());
        let ratio = median(rates.iter().zip(&raw).map(|(rate, raw)| rate / raw));
        rows.push(vec![peer.name().to_owned(), whole(median(rates)), whole(median(raw)), format!("{ratio:.2}")]);
    }
    report.table(&["", "restored, records/s", "raw, records/s", "ratio"], &rows);
}

/// Records a second of a restore, and of a bare consumer.
fn one(peer: Peer, job: &Job<'_>, keys: u64, is_first: bool) -> (f64, f64) {
    if is_first {
        peer.set_up(job);
        let mut process = peer.start(job);
        Group::of(job).wait_for(&mut process, keys, LIMIT, |_| {});
        process.stop("TERM");
    }
    std::fs::remove_dir_all(job.state()).unwrap();
    let said = std::fs::read_to_string(job.folder().join("log")).unwrap().len();
    let changelog = peer.changelog(job);
    let raw = median((0..READS).map(|_| raw(job, &changelog)));
    let mut process = peer.start(job);
    let told = process.wait_for("restored", |process| told(peer, job, &process.said()[said..])).unwrap_or_else(|said| panic!("{said}"));
    process.stop("TERM");
    (number(told.records) / told.seconds, raw)
}

/// What a log tells, when all partitions are through.
fn told(peer: Peer, job: &Job<'_>, said: &str) -> Option<Told> {
    let lines = |mark: &'static str| said.lines().filter(move |line| line.contains(mark));
    let (mut records, mut first, mut last, mut partitions) = (0, f64::INFINITY, 0.0_f64, 0);
    match peer {
        Peer::Tidewatch => {
            for line in lines("store restored") {
                let end = seconds_of(line);
                records += value(line, "records=").parse::<u64>().unwrap();
                (first, last, partitions) = (first.min(end - duration(value(line, "took="))), last.max(end), partitions + 1);
            }
        }
        Peer::KafkaStreams => {
            let at = |line: &str| line.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e3;
            first = lines("restore began").map(at).fold(first, f64::min);
            for line in lines("restore ended") {
                records += line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
                (last, partitions) = (last.max(at(line)), partitions + 1);
            }
        }
        Peer::Quix => {
            lines("Recovery process complete").next()?;
            first = lines("Beginning recovery check").map(seconds_of).fold(first, f64::min);
            last = lines("Recovery process complete").map(seconds_of).fold(last, f64::max);
            records = each(&job.application.client(), &peer.changelog(job), |_| {}).records;
            partitions = PARTITIONS;
        }
        Peer::PassThrough => {}
    }
    (partitions == PARTITIONS).then_some(Told { records, seconds: last - first })
}

/// The time at the beginning of a line, in seconds: `2026-01-31T12:00:00.5Z` or `[2026-01-31 12:00:00,500]`.
fn seconds_of(line: &str) -> f64 {
    let text = match line.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap().replace(' ', "T").replace(',', ".") + "Z",
        None => line.split_whitespace().next().unwrap().to_owned(),
    };
    let time: Timestamp = text.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
    time.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64()
}

/// A duration as Rust prints it: `1.5s`, `812.25ms`.
fn duration(text: &str) -> f64 {
    let (number, unit) = text.split_at(text.find(|it: char| it != '.' && !it.is_ascii_digit()).unwrap_or(text.len()));
    let scale = match unit {
        "s" => 1.0,
        "ms" => 1e-3,
        "µs" => 1e-6,
        other => panic!("{text}: the unit {other}"),
    };
    number.parse::<f64>().unwrap() * scale
}

/// Records a second from the first on.
fn raw(job: &Job<'_>, changelog: &str) -> f64 {
    let mut began = None;
    let volume = each(&job.application.client(), changelog, |_| {
        began.get_or_insert_with(Instant::now);
    });
    number(volume.records) / began.expect("something is there").elapsed().as_secs_f64()
}
