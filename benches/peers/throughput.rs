//! Processor time per record, records per second and peak memory over a topic that is full when they begin, each in turn, several times.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::application::Application;
use crate::compare::{Expected, Volume, each};
use crate::flame::Flame;
use crate::group::Group;
use crate::keys::Keys;
use crate::load::load;
use crate::passthrough::{MILLION, Output};
use crate::peer::{Job, Options, Peer};
use crate::process::{cpu, peak_kib};
use crate::report::{Report, median, number, whole};

/// No run takes longer.
const LIMIT: Duration = Duration::from_secs(900);

/// How much is processed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) records: u64,
    pub(crate) videos: u64,
    pub(crate) keys: Keys,
    pub(crate) partitions: i32,
    pub(crate) runs: u64,
    /// For Quix Streams, which is slow: it gets no more than the first so many.
    pub(crate) quix_records: u64,
}

/// What one run of one peer took.
#[derive(Clone, Copy, Debug)]
struct Took {
    /// Microseconds of processor time per record, from the start of the process.
    cpu: f64,
    /// The same without the first third of the records.
    warm: f64,
    /// From the start of the process.
    records_per_second: f64,
    peak_mb: f64,
}

/// Measures; with `flame` the first run of tidewatch is sampled and drawn there.
pub(crate) fn measure(report: &mut Report, peers: &[Peer], size: &Size, options: Options, flame: Option<&Path>) {
    let application = Application::set_up(size.partitions);
    report.say(&format!(
        "### {} observations of {} videos, keys {}\n\n{} partitions, {} stream thread{}, {} runs each in turn. Medians; `x` is the ratio to tidewatch \
         in the same turn. *warm* is without the first third of the records.",
        whole(number(size.records)),
        whole(number(size.videos)),
        size.keys.name(),
        size.partitions,
        options.threads,
        if options.threads == 1 { "" } else { "s" },
        size.runs,
    ));
    let mut inputs = Inputs { application: &application, size: *size, loaded: Vec::new() };
    let mut all: Vec<Vec<Took>> = vec![Vec::new(); peers.len()];
    let mut outputs = Vec::new();
    for run in 0..size.runs {
        for (peer, took) in peers.iter().zip(&mut all) {
            let mut job = Job::new(&application, &format!("{}-{run}", peer.argument()), options);
            let (input, records) = inputs.of(*peer);
            job.input = input;
            if *peer == Peer::PassThrough {
                job.outputs = name_outputs(&outputs, &job);
            }
            let flame = flame.filter(|_| *peer == Peer::Tidewatch && run == 0);
            took.push(one(*peer, &job, records, flame));
            println!("run {run}: {:<14} {:?}", peer.name(), took.last());
            if peer.does_the_job() && run == 0 {
                let [changes, outbox] = inputs.expected(records).check(*peer, &job);
                if *peer == Peer::Tidewatch {
                    outputs = bytes_of(&job, records, changes, outbox);
                }
            }
            application.delete_topics(&[job.changes(), job.outbox(), peer.changelog(&job)]);
            std::fs::remove_dir_all(job.folder()).unwrap();
        }
    }
    table(report, peers, &all);
    if peers.contains(&Peer::Quix) && size.quix_records < size.records {
        report.say(&format!("Quix Streams got the first {} observations only.", whole(number(size.quix_records))));
    }
    if peers.contains(&Peer::PassThrough) {
        let share = |output: &Output| number(output.per_million) / number(MILLION);
        let written = |output: &Output| format!("{:.2} of {} bytes to {}", share(output), output.bytes, output.topic);
        let limit: Vec<String> = outputs.iter().map(written).collect();
        report.say(&format!("The pass-through wrote what tidewatch had written in its first run, for each record {}.", limit.join(", ")));
    }
    report.say("The outputs of all that do the job were the same, and what the job asks for.");
}

/// The topics that are read: all observations, and the first of them.
struct Inputs<'a> {
    application: &'a Application,
    size: Size,
    /// How many are in which topic, and what is made of them.
    loaded: Vec<(u64, String, Expected)>,
}

impl Inputs<'_> {
    fn of(&mut self, peer: Peer) -> (String, u64) {
        let records = if peer == Peer::Quix { self.size.quix_records.min(self.size.records) } else { self.size.records };
        if let Some((_, topic, _)) = self.loaded.iter().find(|loaded| loaded.0 == records) {
            return (topic.clone(), records);
        }
        let topic = self.application.topic(&format!("videos-{records}"));
        self.application.create_topic(&topic);
        let run = (self.size.keys, self.size.videos, records);
        load(&self.application.client(), &topic, self.application.schema(), run);
        self.loaded.push((records, topic.clone(), Expected::of(run)));
        (topic, records)
    }

    fn expected(&self, records: u64) -> &Expected {
        &self.loaded.iter().find(|loaded| loaded.0 == records).expect("it was loaded").2
    }
}

/// A run over the whole input, with a group and a state of its own.
fn one(peer: Peer, job: &Job<'_>, records: u64, flame: Option<&Path>) -> Took {
    peer.set_up(job);
    let group = Group::of(job);
    let began = Instant::now();
    let mut process = peer.start(job);
    let id = process.id();
    let flame = flame.map(|graph| Flame::begin(id, graph));
    let mut third = None;
    let mut last = (Duration::ZERO, Duration::ZERO, 0);
    group.wait_for(&mut process, records, LIMIT, |done| {
        last = (began.elapsed(), cpu(id), peak_kib(id));
        if third.is_none() && done * 3 >= records {
            third = Some((done, last.1));
        }
    });
    let (wall, all, peak) = last;
    drop(process);
    if let Some(flame) = flame {
        flame.end();
    }
    let micros = |time: Duration, records: u64| time.as_secs_f64() * 1e6 / number(records.max(1));
    let (skipped, before) = third.expect("a third comes before the whole");
    Took {
        cpu: micros(all, records),
        warm: micros(all.saturating_sub(before), records - skipped),
        records_per_second: number(records) / wall.as_secs_f64(),
        peak_mb: number(peak) / 1024.0,
    }
}

/// What the pass-through has to write for each record, by the mean of what tidewatch wrote.
fn bytes_of(job: &Job<'_>, records: u64, changes: Volume, outbox: Volume) -> Vec<Output> {
    let changelog = each(&job.application.client(), &Peer::Tidewatch.changelog(job), |_| {});
    let output = |(name, volume): (&str, Volume)| {
        let bytes = usize::try_from(volume.bytes.checked_div(volume.records)?).unwrap();
        Some(Output { topic: name.to_owned(), bytes, per_million: volume.records * MILLION / records })
    };
    [("changelog", changelog), ("changes", changes), ("outbox", outbox)].into_iter().filter_map(output).collect()
}

fn name_outputs(outputs: &[Output], job: &Job<'_>) -> Vec<Output> {
    assert!(!outputs.is_empty(), "the pass-through writes what tidewatch wrote, which has to run before it");
    outputs.iter().map(|output| Output { topic: format!("{}-{}", job.id, output.topic), ..output.clone() }).collect()
}

/// What one column tells of a run.
type Value = fn(&Took) -> f64;

/// With whether it has decimals.
const COLUMNS: [(Value, bool); 4] =
    [(|took| took.cpu, true), (|took| took.warm, true), (|took| took.records_per_second, false), (|took| took.peak_mb, false)];

fn table(report: &mut Report, peers: &[Peer], all: &[Vec<Took>]) {
    let ours = peers.iter().position(|peer| *peer == Peer::Tidewatch);
    let rows: Vec<Vec<String>> = peers
        .iter()
        .zip(all)
        .map(|(peer, took)| {
            let mut row = vec![peer.name().to_owned()];
            for (value, is_fine) in COLUMNS {
                let middle = median(took.iter().map(value));
                row.push(if is_fine { format!("{middle:.2}") } else { whole(middle) });
                let ratio = ours.map(|ours| median(took.iter().zip(&all[ours]).map(|(theirs, ours)| value(theirs) / value(ours))));
                row.push(ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")));
            }
            row
        })
        .collect();
    let head = ["", "processor us a record", "x", "warm, us", "x", "records/s", "x", "peak MB", "x"];
    report.table(&head, &rows);
}
