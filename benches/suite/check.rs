//! Whether something has become slower: each step beside its peer, in turn, in one process.
//!
//! Only ratios are judged, of processor time, and each by the median of many short rounds in which both sides take their turn: what disturbs one of them
//! disturbs the other too, or one round of many. A ratio above its bound is measured again, in another process, before it counts.

use std::fs::File;
use std::io::Write as _;
use std::process::{Command, ExitCode};
use std::time::Duration;

use super::ground::{CHANGELOGS, Ground, OUTPUTS};
use super::pair::{Pair, Step};
use super::raw::Raw;
use super::{avro, cpu, latest, rules, store};

/// The first argument of a check, and of one that is made because the first one failed.
const FLAG: &str = "--check";
const AGAIN_FLAG: &str = "--check-again";

/// Whether these are arguments of a check.
pub(crate) fn is_flag(argument: &str) -> bool {
    [FLAG, AGAIN_FLAG].contains(&argument)
}

/// What a step may cost, as a multiple of what its peer costs.
struct Bound {
    name: &'static str,
    /// The ratio when it was set.
    seen: f64,
    /// The most that passes.
    most: f64,
}

const fn bound(name: &'static str, seen: f64, most: f64) -> Bound {
    Bound { name, seen, most }
}

/// About 1.3 times what was seen: other work on the machine moves most ratios by less than a tenth, what costs half as much again is found. The
/// smallest differ more between two runs, by where their few instructions happen to lie.
const BOUNDS: [Bound; 16] = [
    bound("decode youtube_video, 4 fields", 0.184, 0.24),
    bound("decode youtube_video, whole", 0.217, 0.285),
    bound("decode youtube_change", 0.226, 0.295),
    bound("decode telegram_message", 0.281, 0.37),
    bound("encode youtube_video", 0.097, 0.127),
    bound("encode youtube_change", 0.08, 0.105),
    bound("encode telegram_message", 0.078, 0.105),
    bound("latest", 2.25, 2.95),
    bound("condition, shipped", 0.0078, 0.0115),
    bound("condition, longer", 0.0185, 0.0242),
    bound("template, shipped", 0.081, 0.106),
    bound("template, with logic", 1.74, 2.25),
    bound("store get, cold, 100,000 keys", 1.44, 1.9),
    bound("store put and commit, 100,000 keys", 0.54, 0.75),
    bound("topology, durable", 4.6, 6.1),
    bound("restore", 1.87, 2.45),
];

/// The least that one side's turn takes: much more than it costs to read the clock.
const TURN: Duration = Duration::from_millis(2);

/// Rounds of a step that is over in no time, and of one that is not.
const ROUNDS: usize = 61;
const ROUNDS_WHOLE: usize = 11;

/// Observations of a run of the whole topology, and the videos that they are of.
const RECORDS: u64 = 40_000;
const VIDEOS: u64 = 10_000;
const VIDEOS_RESTORED: u64 = 100_000;

/// So often the peer of a whole run does its work in one turn: it is short.
const AGAIN: u64 = 4;

/// One side's turn; what it took of the processor, per record.
type Turn = Box<dyn FnMut() -> f64>;

/// Two sides, ready to take turns.
struct Contest {
    name: &'static str,
    peer: &'static str,
    ours: Turn,
    theirs: Turn,
    rounds: usize,
}

/// What came of it: nanoseconds per record of both sides, and the ratio; medians.
struct Outcome {
    ours: f64,
    theirs: f64,
    ratio: f64,
}

impl Contest {
    fn hold(&mut self) -> Outcome {
        // Memory is fetched, caches are filled.
        (self.ours)();
        (self.theirs)();
        let rounds: Vec<(f64, f64)> = (0..self.rounds).map(|_| ((self.ours)(), (self.theirs)())).collect();
        let of = |figure: fn(&(f64, f64)) -> f64| median(rounds.iter().map(figure).collect());
        Outcome { ours: of(|round| round.0), theirs: of(|round| round.1), ratio: of(|round| round.0 / round.1) }
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn nanoseconds(cpu: Duration, records: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "there are not so many records")]
    let records = records as f64;
    cpu.as_secs_f64() * 1e9 / records
}

/// As many steps as make a turn.
fn turn(mut step: Step, records: u64) -> Turn {
    Box::new(move || {
        let (started, mut steps, mut took) = (cpu::thread(), 0, Duration::ZERO);
        while took < TURN {
            step();
            steps += 1;
            took = cpu::thread().saturating_sub(started);
        }
        nanoseconds(took, steps * records)
    })
}

fn steps() -> impl Iterator<Item = Contest> {
    let kinds: [fn() -> Vec<Pair>; 6] = [avro::decode, avro::encode, latest::steps, rules::conditions, rules::templates, store::pairs];
    kinds.into_iter().flat_map(|pairs| pairs()).map(|Pair { name, records, ours, peer, theirs }| Contest {
        name,
        peer,
        ours: turn(ours, records),
        theirs: turn(theirs, records),
        rounds: ROUNDS,
    })
}

/// The whole topology on the durable log, beside as many rows in batches of RocksDB and as many bytes appended to a file.
fn topology() -> Contest {
    let (mut rows, mut appended) = (Vec::new(), 0);
    let run = || {
        let directory = tempfile::tempdir().unwrap();
        let ground = Ground::durable(directory.path(), 1);
        ground.fill(RECORDS, VIDEOS);
        (ground.run(ground.on_disk(directory.path()), 1), ground, directory)
    };
    {
        let (_, ground, _directory) = run();
        rows.extend(ground.rows());
        OUTPUTS.iter().chain(&CHANGELOGS).for_each(|topic| ground.read(topic, &mut |key, value| appended += key.len() + value.len()));
    }
    let ours = Box::new(move || nanoseconds(run().0.cpu, RECORDS));
    let write = move || {
        let directory = tempfile::tempdir().unwrap();
        let started = cpu::process();
        let raw = Raw::open(&directory.path().join("state"));
        let mut file = File::create(directory.path().join("log")).unwrap();
        // A thousand observations write their rows and their share of the file.
        let shares = RECORDS / 1_000;
        let bytes = vec![b'-'; appended / usize::try_from(shares).unwrap()];
        let mut any = rows.iter().cycle();
        for _ in 0..shares {
            raw.write(any.by_ref().take(1_000).map(|(key, value)| (key, value)));
            file.write_all(&bytes).unwrap();
        }
        raw.flush();
        file.sync_data().unwrap();
        cpu::process().saturating_sub(started)
    };
    let theirs = Box::new(move || nanoseconds((0..AGAIN).map(|_| write()).sum(), AGAIN * RECORDS));
    Contest { name: "topology, durable", peer: "RocksDB and a file", ours, theirs, rounds: ROUNDS_WHOLE }
}

/// The state of all videos into an empty directory, beside the same rows in batches of RocksDB.
fn restore() -> Contest {
    let directory = tempfile::tempdir().unwrap();
    let ground = Ground::durable(directory.path(), 1);
    ground.fill(VIDEOS_RESTORED, VIDEOS_RESTORED);
    ground.run(ground.on_disk(directory.path()), 1);
    let rows: Vec<(Vec<u8>, Vec<u8>)> = ground.rows().into_iter().collect();
    let ours = Box::new(move || {
        let empty = tempfile::tempdir_in(directory.path()).unwrap();
        nanoseconds(ground.run(ground.on_disk(empty.path()), 1).cpu, VIDEOS_RESTORED)
    });
    let write = move || {
        let empty = tempfile::tempdir().unwrap();
        let started = cpu::process();
        let raw = Raw::open(empty.path());
        rows.chunks(1_000).for_each(|rows| raw.write(rows.iter().map(|(key, value)| (key, value))));
        raw.flush();
        cpu::process().saturating_sub(started)
    };
    let theirs = Box::new(move || nanoseconds((0..AGAIN).map(|_| write()).sum(), AGAIN * VIDEOS_RESTORED));
    Contest { name: "restore", peer: "RocksDB", ours, theirs, rounds: ROUNDS_WHOLE }
}

/// Whether its ratio is in its bound.
fn passes(contest: &mut Contest) -> bool {
    let Some(bound) = BOUNDS.iter().find(|bound| bound.name == contest.name) else { panic!("{} has no bound", contest.name) };
    let Outcome { ours, theirs, ratio } = contest.hold();
    let is_good = ratio <= bound.most;
    let Contest { name, peer, .. } = contest;
    let verdict = if is_good { "" } else { "  too slow" };
    println!("{name:36} {ours:9.1} {theirs:9.1} {ratio:8.4} {:8.4} {:8.4}  {peer}{verdict}", bound.seen, bound.most);
    is_good
}

/// Measures one again, in a process of its own: how memory happens to be laid out can cost a whole process more.
fn passes_again(name: &str) -> bool {
    let program = std::env::current_exe().unwrap();
    Command::new(program).args([AGAIN_FLAG, name]).status().unwrap().success()
}

/// Compares what has `wanted` in its name. Exit code 1 where something is slower than it may be.
pub(crate) fn run(flag: &str, wanted: &str) -> ExitCode {
    let is_again = flag == AGAIN_FLAG;
    if !is_again {
        println!(
            "{:36} {:>9} {:>9} {:>8} {:>8} {:>8}  beside",
            "processor time per record", "ours, ns", "peer, ns", "ratio", "seen", "most"
        );
    }
    let contests = steps().chain(std::iter::once_with(topology)).chain(std::iter::once_with(restore));
    let (mut slow, mut known) = (Vec::new(), 0);
    for mut contest in contests {
        known += 1;
        if contest.name.contains(wanted) && !passes(&mut contest) && (is_again || !passes_again(contest.name)) {
            slow.push(contest.name);
        }
    }
    assert_eq!(known, BOUNDS.len(), "there are bounds for nothing");
    if slow.is_empty() {
        return ExitCode::SUCCESS;
    }
    if !is_again {
        println!("\nslower than they may be: {}", slow.join(", "));
    }
    ExitCode::FAILURE
}
