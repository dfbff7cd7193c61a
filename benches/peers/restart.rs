//! From `kill -9`, inside an open transaction, to the next committed output: of the same instance started again, and of a survivor that takes over.

use std::time::{Duration, Instant};

use crate::application::Application;
use crate::feeder::{RATE, feed_on, open_transactions, wait_until};
use crate::instance::{restored, start};
use crate::keys::Keys;
use crate::load::load;
use crate::peer::{Job, Options, Peer};
use crate::real::process::Process;
use crate::report::{Report, number, whole};

pub(crate) const PARTITIONS: i32 = 4;

/// A transaction is open for most of the time, so that a kill leaves one behind.
const OPEN: &str = "commit_at_end_of_input = false\ncommit_interval_ms = 200";

/// A kill that met no open transaction is done again so many times.
const ATTEMPTS: u32 = 5;

pub(crate) fn measure(report: &mut Report, peers: &[Peer], keys: u64, options: Options) {
    report.say(&format!(
        "### `kill -9` to the next committed output\n\n{} keys in {PARTITIONS} partitions, {RATE} observations a second, killed inside an open \
         transaction and started again at once, with its state directory; until all partitions have committed output again.",
        whole(number(keys))
    ));
    let mut rows = Vec::new();
    for peer in peers.iter().filter(|peer| peer.does_the_job()) {
        let (back, records) = again(*peer, keys, options);
        println!("{}: {:.2} s", peer.name(), back.as_secs_f64());
        rows.push(vec![peer.name().to_owned(), format!("{:.1}", back.as_secs_f64()), records]);
    }
    report.table(&["", "seconds", "changelog records restored"], &rows);
    if peers.contains(&Peer::Tidewatch) {
        survivor(report, keys, options);
    }
}

/// A job whose state has `keys` keys, and nothing left to do.
fn filled(application: &Application, peer: Peer, keys: u64, options: Options) -> Job<'_> {
    let job = Job { engine: OPEN.to_owned(), ..Job::new(application, peer.argument(), options) };
    load(&application.client(), &job.input, application.schema(), (Keys::InTurn, keys, keys));
    peer.set_up(&job);
    job
}

/// The same instance again.
fn again(peer: Peer, keys: u64, options: Options) -> (Duration, String) {
    let application = Application::set_up(PARTITIONS);
    let job = filled(&application, peer, keys, options);
    let mut process = peer.start(&job);
    let (outputs, feeder) = feed_on(&job, &mut process, keys);
    for _ in 0..ATTEMPTS {
        let (killed, was_open) = kill_in_a_transaction(&job, process);
        let told = std::fs::read_to_string(job.folder().join("log")).unwrap().len();
        process = peer.start(&job);
        let back = outputs.wait_for_all(killed).into_iter().max().unwrap();
        if was_open {
            drop(feeder);
            return (back, records(peer, &process.said()[told..]));
        }
    }
    panic!("{}: {ATTEMPTS} times no transaction was open at the kill", peer.name());
}

/// How many records of the changelogs were restored, as the log tells.
fn records(peer: Peer, said: &str) -> String {
    let of = |mark: &'static str, count: fn(&str) -> Option<u64>| {
        let counts: Vec<u64> = said.lines().filter(|line| line.contains(mark)).filter_map(count).collect();
        whole(number(counts.iter().sum()))
    };
    match peer {
        Peer::Tidewatch => of("store restored", |line| crate::instance::value(line, "records=").parse().ok()),
        Peer::KafkaStreams => of("restore ended", |line| line.rsplit(' ').next()?.parse().ok()),
        Peer::Quix | Peer::PassThrough => "not told".to_owned(),
    }
}

/// Kills when a transaction is open: records beyond the last stable offset of the changes. Whether it still was then.
fn kill_in_a_transaction(job: &Job<'_>, process: Process) -> (Instant, bool) {
    let open = open_transactions(job);
    wait_until("a transaction is open", || (0..PARTITIONS).any(&open));
    let killed = Instant::now();
    process.stop("KILL");
    (killed, (0..PARTITIONS).any(&open))
}

/// Two instances of tidewatch, one of which is killed and does not come back.
fn survivor(report: &mut Report, keys: u64, options: Options) {
    let application = Application::set_up(PARTITIONS);
    let job = filled(&application, Peer::Tidewatch, keys, options);
    let mut one = start(&job, "one");
    let (outputs, feeder) = feed_on(&job, &mut one, keys);
    let two = start(&job, "two");
    wait_until("the second instance has taken over some", || restored(&two) != "nothing" && two.said().contains("running task"));
    outputs.wait_for_all(Instant::now());
    let (killed, _) = kill_in_a_transaction(&job, one);
    let back = outputs.wait_for_all(killed);
    let (mut own, mut taken): (Vec<_>, Vec<_>) = back.iter().partition(|back| **back < Duration::from_secs(6));
    own.sort();
    taken.sort();
    let seconds = |times: &[&Duration]| times.iter().map(|time| format!("{:.1} s", time.as_secs_f64())).collect::<Vec<_>>().join(", ");
    report.say(&format!(
        "Two instances of tidewatch, of which one is killed and never comes back: the survivor's own partitions go on after {}, silent for {:.1} s at \
         most; those of the dead after {}.",
        seconds(&own),
        outputs.longest_gap(killed, own.len()).as_secs_f64(),
        seconds(&taken)
    ));
    drop((feeder, two));
}
