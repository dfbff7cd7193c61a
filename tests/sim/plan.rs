//! What is going to happen in one simulation, drawn from its seed before it begins: the shape of the world, its input, and its faults. A plan can be made
//! smaller and run again.

use std::sync::Arc;
use std::time::Duration;

use tidewatch::streams::log::Class;
use tidewatch::streams::runtime::Options;
use tidewatch::streams::topology::{ErrorPolicy, OnError};

use crate::input::{Batch, Given, batches};
use crate::random::Random;
use crate::topology::{APPLICATION, RESULT_BYTES_MAX};

/// Down for this long, an instance finds a changelog whose tombstones have gone.
pub(crate) const AGE_MS: u64 = 150_000;

/// Longer than tombstones are kept, and than anything lasts here.
const HOUR_MS: i64 = 3_600_000;

/// A call that an instance makes, as far as faults tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Site {
    Poll,
    RestorePoll,
    Committed,
    Ask,
    Init,
    Begin,
    Send,
    Flush,
    SendOffsets,
    Commit,
    Abort,
    Get,
    Open,
    Write,
    Sync,
    Other,
}

/// The numbered points at which an instance can die.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Point {
    K1AfterPoll,
    K2MidBatch,
    K3BeforeFlush,
    K4AfterFlush,
    K5AfterOffsets,
    K6AnswerLost,
    K7BeforeStoreWrite,
    K8AfterStoreWrite,
    K9DuringStoreFlush,
    K10MidRestore,
    K11InRevoke,
    K12AfterAssign,
}

pub(crate) const POINTS: [Point; 12] = [
    Point::K1AfterPoll,
    Point::K2MidBatch,
    Point::K3BeforeFlush,
    Point::K4AfterFlush,
    Point::K5AfterOffsets,
    Point::K6AnswerLost,
    Point::K7BeforeStoreWrite,
    Point::K8AfterStoreWrite,
    Point::K9DuringStoreFlush,
    Point::K10MidRestore,
    Point::K11InRevoke,
    Point::K12AfterAssign,
];

/// What can go wrong. Times are milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fault {
    /// The process dies at this point, the `after`-th time that it comes there.
    Crash(Point, u32),
    /// It dies between two turns.
    CrashNow,
    /// All processes die at once.
    CrashAll,
    /// It is told to stop, and started again after a while; with `leave` it says that it will not come back.
    Stop {
        leave: bool,
        down: u64,
    },
    /// A new instance comes.
    Join,
    /// A call fails: before it took effect, or its answer is lost.
    Fail {
        site: Site,
        class: Class,
        after: bool,
        times: u32,
    },
    /// A commit takes so long, and a second copy of the request arrives later: at this call of the next transaction.
    SlowCommit {
        ms: u64,
        resent: Site,
    },
    /// The same of an abort, which another fault makes necessary.
    SlowAbort {
        ms: u64,
        resent: Site,
    },
    /// The commit call is given up, and the request arrives at this call.
    LateCommit {
        resent: Site,
    },
    /// A request that was sent before arrives: that of another fault, not of a plan.
    Arrives {
        site: Site,
        id: Arc<str>,
        epoch: u64,
        commits: bool,
    },
    /// Each request takes so long, for a while.
    Slow {
        ms: u64,
        lasts: u64,
    },
    /// No request of one instance arrives for a while.
    Unreachable {
        lasts: u64,
    },
    /// No request of anybody arrives for a while.
    BrokersDown {
        lasts: u64,
    },
    /// The process stands still in the middle of a call, and goes on later.
    Stall {
        site: Site,
        after: bool,
        ms: u64,
    },
    /// It stands still between two turns.
    Zombie {
        ms: u64,
    },
    /// Its session is taken for over though it lives.
    Evict,
    /// The same in the middle of its transaction, at this call; it stands still while others take over, and then goes on with what it had.
    Forgotten {
        site: Site,
        ms: u64,
    },
    /// A second process takes the same ids, on a copy of the directory.
    Twin {
        lasts: u64,
    },
    DiskFull {
        lasts: u64,
    },
    /// It dies, and what it left on the disk is damaged, lost, another task's, or from a backup.
    DiskDamaged,
    DiskLost,
    DiskMistaken,
    DiskFromBackup,
    /// The disk is damaged while it is in use.
    DamagedInUse,
    /// Markers of transactions arrive late, one by one.
    MarkersHeld {
        lasts: u64,
    },
    /// Somebody else has an open transaction on a changelog.
    ForeignOpen {
        store: usize,
        lasts: u64,
    },
    RegistryDown {
        lasts: u64,
    },
    /// The instance's wall clock is this wrong from now on.
    ClockJump {
        ms: i64,
    },
    /// Somebody deletes the first records of a changelog, or the whole of it, or makes an empty one in its place.
    Truncated {
        store: usize,
    },
    Deleted {
        store: usize,
    },
    MadeAnew {
        store: usize,
    },
    /// It is down for so long that tombstones have been compacted away: killed, or stopped in order, so that it has rows to go on from.
    Age {
        killed: bool,
    },
}

impl Fault {
    /// Its name in the counts.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Crash(point, _) => format!("crash {point:?}"),
            Self::Stop { leave: true, .. } => "stop and leave".to_owned(),
            Self::Stop { .. } => "stop".to_owned(),
            Self::Age { killed: true } => "aged after a kill".to_owned(),
            Self::Age { killed: false } => "aged after a stop".to_owned(),
            Self::Fail { site, after: true, .. } => format!("answer lost {site:?}"),
            Self::Fail { site, .. } => format!("fail {site:?}"),
            Self::Stall { site, .. } => format!("stall {site:?}"),
            Self::Forgotten { site, .. } => format!("forgotten {site:?}"),
            other => {
                let text = format!("{other:?}");
                text.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
            }
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) at: u64,
    pub(crate) slot: usize,
    pub(crate) fault: Fault,
}

/// A whole simulation.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) instances: usize,
    pub(crate) partitions: i32,
    pub(crate) errors: ErrorPolicy,
    pub(crate) batches: Vec<Batch>,
    pub(crate) events: Vec<Event>,
    commit_records_max: u64,
    commit_at_end: bool,
    cache_bytes: usize,
    write_back_bytes: usize,
    write_back_ms: u64,
    guard_ms: u64,
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = Random::of(seed, 1);
        let partitions = i32::try_from(random.range(1, 5)).unwrap();
        let instances = 1 + random.index(3);
        let policy = |random: &mut Random| if random.one_in(4) { OnError::Skip } else { OnError::DeadLetter };
        let errors = ErrorPolicy { deserialization: policy(&mut random), processing: policy(&mut random), production: policy(&mut random) };
        let horizon = random.range(4_000, 16_000);
        let mut plan = Self {
            seed,
            instances,
            partitions,
            errors,
            batches: batches(&mut random, partitions, horizon),
            events: Vec::new(),
            commit_records_max: *random.pick(&[5, 20, 100, 100_000]),
            commit_at_end: !random.one_in(4),
            cache_bytes: *random.pick(&[2 << 10, 16 << 10, 1 << 20]),
            write_back_bytes: *random.pick(&[0, 500, 4_000, 1 << 20]),
            write_back_ms: *random.pick(&[200, 1_000, 5_000, 30_000]),
            guard_ms: 300,
        };
        for _ in 0..random.range(2, 7) {
            let (at, slot) = (random.range(200, horizon), random.index(instances));
            let faults = faults(&mut random);
            plan.events.extend(faults.into_iter().map(|(later, fault)| Event { at: at + later, slot, fault }));
        }
        if random.one_in(20) {
            let store = random.index(5);
            let fault = random.pick(&[Fault::Truncated { store }, Fault::Deleted { store }, Fault::MadeAnew { store }]).clone();
            let (at, slot) = (random.range(horizon / 2, horizon), random.index(instances));
            // Somebody must come to need it.
            plan.events.push(Event { at: at + 1, slot, fault: Fault::DiskLost });
            plan.events.push(Event { at, slot, fault });
        }
        if plan.events.iter().any(|event| matches!(event.fault, Fault::Age { .. })) {
            plan.instances = plan.instances.max(2);
            outdate(&mut random, &mut plan.batches);
            plan.batches.sort_by_key(|batch| batch.at);
        }
        plan.events.sort_by_key(|event| event.at);
        plan
    }

    /// The settings of an instance.
    pub(crate) fn options(&self, instance: usize, leaves: bool) -> Options {
        Options {
            commit_records_max: self.commit_records_max,
            commit_at_end_of_input: self.commit_at_end,
            cache_bytes: self.cache_bytes * usize::try_from(self.partitions).unwrap(),
            write_back_bytes: self.write_back_bytes * usize::try_from(self.partitions).unwrap(),
            write_back_interval: Duration::from_millis(self.write_back_ms),
            endtxn_guard: Duration::from_millis(self.guard_ms),
            record_bytes_max: RESULT_BYTES_MAX,
            leave_on_stop: leaves,
            ..Options::new(APPLICATION, format!("i{instance}"))
        }
    }

    /// With no guard against commits that may have been sent twice: to see that it is needed.
    pub(crate) fn without_guard(mut self) -> Self {
        self.guard_ms = 3_600_000;
        self
    }
}

/// Spreads input over the time for which an instance is down, and others have its work: keys are removed that it still has, and so early that later input
/// makes the log forget that they were. The later input is of one key, which stays, so that it does not bring back what was removed.
fn outdate(random: &mut Random, batches: &mut [Batch]) {
    let stays = |given: &Given| given.key.as_ref().is_some_and(|key| key.ends_with(b"-0"));
    for batch in batches {
        match random.range(0, 4) {
            0 => {
                batch.at += random.range(0, AGE_MS / 3);
                batch.records.iter_mut().filter(|given| !stays(given) && random.one_in(2)).for_each(|given| given.value = None);
            }
            1 => {
                batch.at += random.range(0, AGE_MS);
                batch.records.retain(stays);
            }
            _ => {}
        }
    }
}

/// The calls that fail, and how.
pub(crate) const CALLS: [(Site, &[Class]); 8] = [
    (Site::Init, &[Class::Retriable, Class::DiskFull, Class::Unknown, Class::Fenced]),
    (Site::Begin, &[Class::Abortable, Class::Fatal]),
    (Site::Send, &[Class::Retriable, Class::Abortable, Class::DiskFull, Class::Fatal]),
    (Site::Flush, &[Class::Retriable, Class::Abortable, Class::DiskFull, Class::Unknown, Class::Fenced, Class::Fatal]),
    (Site::SendOffsets, &[Class::Retriable, Class::Abortable, Class::Rebalanced, Class::Unknown, Class::Fenced, Class::Fatal]),
    (Site::Commit, &[Class::Retriable, Class::Abortable, Class::Unknown, Class::Fenced, Class::Fatal]),
    (Site::Abort, &[Class::Retriable, Class::Unknown, Class::Fenced, Class::Fatal]),
    (Site::Committed, &[Class::Retriable]),
];

/// Where a late request does the most harm: in the middle of a transaction.
const ARRIVALS: [Site; 5] = [Site::Init, Site::Send, Site::Flush, Site::SendOffsets, Site::Commit];

/// One fault, with what it needs to happen at all; each with a delay.
fn faults(random: &mut Random) -> Vec<(u64, Fault)> {
    let lasts = |random: &mut Random| random.range(500, 8_000);
    match random.range(0, 36) {
        0..=5 => crash(random),
        6 => vec![(0, Fault::CrashAll)],
        7 => vec![(0, Fault::CrashNow)],
        8 => vec![(0, Fault::Stop { leave: false, down: random.range(100, 15_000) })],
        9 => vec![(0, Fault::Stop { leave: true, down: random.range(100, 5_000) })],
        10 => vec![(0, Fault::Join)],
        11..=15 => fail(random),
        16 => vec![(0, Fault::SlowCommit { ms: random.range(400, 4_000), resent: *random.pick(&ARRIVALS) })],
        17 => {
            let class = *random.pick(&[Class::Rebalanced, Class::Abortable, Class::DiskFull]);
            let slow = Fault::SlowAbort { ms: random.range(400, 4_000), resent: *random.pick(&ARRIVALS) };
            vec![(0, slow), (0, Fault::Fail { site: Site::SendOffsets, class, after: false, times: 1 })]
        }
        18 => vec![(0, Fault::LateCommit { resent: *random.pick(&ARRIVALS) })],
        19 => vec![(0, Fault::Slow { ms: *random.pick(&[20, 100, 350, 1_500]), lasts: lasts(random) })],
        20 => vec![(0, Fault::Unreachable { lasts: random.range(500, 20_000) })],
        21 => vec![(0, Fault::BrokersDown { lasts: random.range(500, 25_000) }), (random.range(0, 500), Fault::CrashNow)],
        22 | 23 => {
            let site =
                *random.pick(&[Site::Poll, Site::Flush, Site::SendOffsets, Site::Commit, Site::Write, Site::RestorePoll, Site::Abort]);
            vec![(0, Fault::Stall { site, after: random.one_in(2), ms: *random.pick(&[500, 4_000, 12_000, 25_000]) })]
        }
        24 => vec![(0, Fault::Zombie { ms: *random.pick(&[3_000, 12_000, 25_000]) })],
        // So short that the log has no reason to abort its transaction yet.
        25 if random.one_in(2) => {
            let site = *random.pick(&[Site::Poll, Site::Flush, Site::SendOffsets]);
            vec![(0, Fault::Forgotten { site, ms: *random.pick(&[1_000, 3_000]) })]
        }
        25 => vec![(0, Fault::Evict)],
        26 => vec![(0, Fault::Twin { lasts: random.range(500, 6_000) })],
        27 => vec![(0, Fault::DiskFull { lasts: lasts(random) })],
        28 => vec![(0, random.pick(&[Fault::DiskDamaged, Fault::DiskLost]).clone())],
        29 => vec![(0, random.pick(&[Fault::DiskMistaken, Fault::DamagedInUse]).clone())],
        30 => vec![(0, Fault::DiskFromBackup)],
        31 => {
            let mut events = vec![(0, Fault::MarkersHeld { lasts: lasts(random) })];
            if random.one_in(2) {
                events.push((random.range(0, 1_000), Fault::DiskLost));
            }
            events
        }
        32 => {
            let mut events = vec![(0, Fault::ForeignOpen { store: random.index(5), lasts: lasts(random) })];
            if random.one_in(2) {
                events.push((random.range(0, 3_000), Fault::DiskLost));
            }
            events
        }
        33 => vec![(0, Fault::RegistryDown { lasts: lasts(random) })],
        34 => {
            let ms = i64::try_from(random.range(0, 10_000)).unwrap() - 5_000;
            // By seconds, or by an hour. A clock that is set back by just the time for which an instance was down tells nobody that it was.
            vec![(0, Fault::ClockJump { ms: if ms % 2 == 0 { ms } else { ms + HOUR_MS * ms.signum() } })]
        }
        _ => {
            let mut events = vec![(0, Fault::Age { killed: random.one_in(2) })];
            if random.one_in(2) {
                // By its clock its rows are of a time to come: how old they are nobody can tell.
                events.push((0, Fault::ClockJump { ms: -HOUR_MS }));
            }
            events
        }
    }
}

fn crash(random: &mut Random) -> Vec<(u64, Fault)> {
    let point = *random.pick(&POINTS);
    let crash = Fault::Crash(point, u32::try_from(random.range(0, 4)).unwrap());
    match point {
        // Something must be restored, given, or taken away.
        Point::K10MidRestore | Point::K12AfterAssign => vec![(0, Fault::DiskLost), (0, Fault::Crash(point, 0))],
        Point::K11InRevoke => vec![(0, Fault::Crash(point, 0)), (0, Fault::Join)],
        Point::K9DuringStoreFlush => vec![(0, Fault::Crash(point, 0)), (50, Fault::Stop { leave: false, down: 500 })],
        _ => vec![(0, crash)],
    }
}

fn fail(random: &mut Random) -> Vec<(u64, Fault)> {
    let (site, classes) = *random.pick(&CALLS);
    let class = *random.pick(classes);
    // An answer can be lost of a request, and whoever says that a commit failed for sure has not committed it.
    let told =
        if site == Site::Commit { matches!(class, Class::Unknown | Class::Fatal | Class::Fenced) } else { class != Class::Rebalanced };
    let is_request = !matches!(site, Site::Begin | Site::Send | Site::Committed);
    let after = told && is_request && random.one_in(2);
    if random.one_in(12) {
        // Until the instance gives up.
        return vec![(0, Fault::Fail { site: Site::Flush, class: Class::Abortable, after: false, times: 12 })];
    }
    let times = if class == Class::Retriable { u32::try_from(random.range(1, 8)).unwrap() } else { 1 };
    let fault = Fault::Fail { site, class, after, times };
    match site {
        // A producer is made anew, a transaction aborted, an offset asked for where something else failed before.
        Site::Init => vec![(0, fault), (0, Fault::CrashNow)],
        Site::Committed => vec![(0, fault), (0, Fault::DiskLost)],
        Site::Abort => vec![(0, fault), (0, Fault::Fail { site: Site::SendOffsets, class: Class::Rebalanced, after: false, times: 1 })],
        _ => vec![(0, fault)],
    }
}
