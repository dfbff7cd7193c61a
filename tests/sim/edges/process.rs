//! A process that sends: the production sender on the production engine, whose turns the run takes, and which can die between any two calls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tidewatch::avro::NoRegistry;
use tidewatch::config::Rates;
use tidewatch::streams::clock::Clock;
use tidewatch::streams::log::{Class, Error, Log, Polled};
use tidewatch::streams::runtime::{self, MemoryBackend, Options, StateBackend};
use tidewatch::streams::testing::Instance;
use tidewatch::streams::testing::interposed::{Call, Client, Fault, InterposedBackend, InterposedLog, Interposer};
use tidewatch::telegram::{Courier, Desk, Limits, Settings, Tray, topology};

use super::APPLICATION;
use super::telegram::Telegram;
use super::time::Time;

/// Where in the calls of a process something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// It dies before it commits.
    DiesBeforeCommit,
    /// It dies when the commit has taken effect, before it hears of it.
    DiesAfterCommit,
    /// It dies with its results flushed and nothing committed.
    DiesAfterFlush,
    /// It dies when its offsets are in the transaction.
    DiesAfterOffsets,
    /// It dies while it reads a changelog.
    DiesInRestore,
    /// Its commit takes effect, and the answer is lost.
    CommitAnswerLost,
    /// Its commit comes to nothing, and the answer is lost.
    CommitLost,
}

pub(crate) const POINTS: [Point; 7] = [
    Point::DiesBeforeCommit,
    Point::DiesAfterCommit,
    Point::DiesAfterFlush,
    Point::DiesAfterOffsets,
    Point::DiesInRestore,
    Point::CommitAnswerLost,
    Point::CommitLost,
];

/// A process that is dead comes to its next call within this time.
const NOTICED_WITHIN: Duration = Duration::from_secs(5);

/// What stands between a process and its log and disk.
#[derive(Debug, Default)]
pub(crate) struct Hand {
    dead: AtomicBool,
    /// Whether the process has come to a call since it is dead, and so does nothing more.
    is_over: Mutex<bool>,
    over: Condvar,
    /// What happens at the so-manieth call of its kind from now on.
    armed: Mutex<Option<(Point, u32)>>,
    fired: Mutex<Vec<Point>>,
    /// Another holds its transactional id, and it has not taken it back.
    fenced: AtomicBool,
    /// It was told to give up partitions since it was last asked.
    revoked: AtomicBool,
}

impl Hand {
    pub(crate) fn arm(&self, point: Point, calls: u32) {
        *self.armed.lock() = Some((point, calls));
    }

    pub(crate) fn kill(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    /// Kills it from another thread, and waits until it does nothing more: how much it still does would be another each time.
    pub(crate) fn kill_and_wait(&self) {
        self.kill();
        let mut is_over = self.is_over.lock();
        while !*is_over && !self.over.wait_for(&mut is_over, NOTICED_WITHIN).timed_out() {}
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// What has happened since the last time.
    pub(crate) fn fired(&self) -> Vec<Point> {
        std::mem::take(&mut self.fired.lock())
    }

    pub(crate) fn fence(&self) {
        self.fenced.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_fenced(&self) -> bool {
        self.fenced.load(Ordering::SeqCst)
    }

    /// Whether it was told to give up partitions since the last time.
    pub(crate) fn was_revoked(&self) -> bool {
        self.revoked.swap(false, Ordering::SeqCst)
    }

    fn fires(&self, among: &[Point]) -> Option<Point> {
        let mut armed = self.armed.lock();
        let (point, calls) = armed.as_mut().filter(|(point, _)| among.contains(point))?;
        *calls -= 1;
        if *calls > 0 {
            return None;
        }
        let point = *point;
        *armed = None;
        self.fired.lock().push(point);
        Some(point)
    }

    fn die(&self) -> Result<(), Fault> {
        self.kill();
        *self.is_over.lock() = true;
        self.over.notify_all();
        Err(Fault::Log(Error::new(Class::Fatal, "living", "it was killed")))
    }
}

fn no_answer() -> Result<(), Fault> {
    Err(Fault::Log(Error::new(Class::Unknown, "committing", "no answer came")))
}

impl Interposer for Hand {
    fn before(&self, client: &Client, call: &Call<'_>) -> Result<(), Fault> {
        if self.is_dead() {
            return self.die();
        }
        let among: &[Point] = match (client, call) {
            (_, Call::Commit) => &[Point::DiesBeforeCommit, Point::CommitLost],
            (Client::Reader, Call::Poll(_)) => &[Point::DiesInRestore],
            _ => return Ok(()),
        };
        match self.fires(among) {
            None => Ok(()),
            Some(Point::CommitLost) => no_answer(),
            Some(_) => self.die(),
        }
    }

    fn after(&self, _: &Client, call: &Call<'_>) -> Result<(), Fault> {
        let among: &[Point] = match call {
            Call::Commit => &[Point::DiesAfterCommit, Point::CommitAnswerLost],
            Call::Flush => &[Point::DiesAfterFlush],
            Call::SendOffsets => &[Point::DiesAfterOffsets],
            Call::Init => {
                self.fenced.store(false, Ordering::SeqCst);
                return Ok(());
            }
            Call::Poll(Some((Polled::Revoked(_), _))) => {
                self.revoked.store(true, Ordering::SeqCst);
                return Ok(());
            }
            _ => return Ok(()),
        };
        match self.fires(among) {
            None => Ok(()),
            Some(Point::CommitAnswerLost) => no_answer(),
            Some(_) => self.die(),
        }
    }
}

/// The courier of a process in a run: requests go to the [`Telegram`] of the run.
#[derive(Debug)]
struct Runner(Arc<Telegram>);

impl Courier for Runner {
    fn call(&self) {}

    fn wait(&self, _: u64) {
        self.0.wait();
    }
}

/// What the processes of a run have in common.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) time: Time,
    pub(crate) telegram: Arc<Telegram>,
    pub(crate) settings: Settings,
    pub(crate) rates: Rates,
    pub(crate) partitions: i32,
}

/// One life of a process.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) instance: Instance,
    pub(crate) desk: Arc<Desk>,
    pub(crate) hand: Arc<Hand>,
    pub(crate) session: u64,
    /// The partitions that it had after its last turn.
    pub(crate) partitions: BTreeSet<i32>,
    /// What its tasks have counted, and what each had counted when it was last looked at.
    pub(crate) counted: BTreeMap<&'static str, u64>,
    last: BTreeMap<(i32, &'static str), u64>,
    /// When it was told to give up partitions, and when it had done so.
    gave_up: Option<(u64, u64)>,
}

/// Whoever ends so soon after it gave up partitions has begun nothing since, and waits no longer than for those.
const AT_ONCE_MS: u64 = 250;

impl Life {
    pub(crate) fn begin(common: &Common, name: &str, backend: &Arc<MemoryBackend>, session: u64, hand: Arc<Hand>) -> runtime::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(common.time.clone());
        let tray = Tray::new(Limits::new(&common.rates, Arc::clone(&clock)), Arc::clone(&clock));
        let desk = Desk::new(Arc::clone(&tray), Box::new(Runner(Arc::clone(&common.telegram))), common.partitions, session);
        let topology = topology(&common.settings, Arc::new(NoRegistry), Arc::clone(&desk)).unwrap();
        let asked: Arc<dyn Interposer> = Arc::<Hand>::clone(&hand);
        let log: Arc<dyn Log> = Arc::new(InterposedLog::new(Arc::clone(&common.log), Arc::clone(&asked)));
        let backend: Arc<dyn StateBackend> = Arc::<MemoryBackend>::clone(backend);
        let backend: Arc<dyn StateBackend> = Arc::new(InterposedBackend::new(backend, asked));
        let options = Options {
            dead_letter_topic: Arc::clone(&common.settings.dead_letters),
            leave_on_stop: true,
            write_back_interval: Duration::from_secs(1),
            ..Options::new(APPLICATION, name)
        };
        let instance = Instance::new(Arc::new(topology), log, backend, clock, options)?;
        common.telegram.open(session, tray);
        Ok(Self {
            instance,
            desk,
            hand,
            session,
            partitions: BTreeSet::new(),
            counted: BTreeMap::new(),
            last: BTreeMap::new(),
            gave_up: None,
        })
    }

    /// One turn; what the engine then says of itself is noted.
    pub(crate) fn step(&mut self) -> runtime::Result<bool> {
        let busy = self.instance.step();
        self.note();
        busy
    }

    /// Since when it waits for answers if it is told to end now.
    pub(crate) fn told_at(&self, now: u64) -> u64 {
        self.gave_up.filter(|(_, done)| now < done + AT_ONCE_MS).map_or(now, |(told, _)| told)
    }

    /// It was told to give up partitions, and has done so by now.
    pub(crate) fn has_given_up(&mut self, told: u64, now: u64) {
        self.gave_up = Some((told, now));
    }

    /// The partitions that it works on: it has their stores.
    pub(crate) fn running(&mut self) -> BTreeSet<i32> {
        self.instance.running().into_iter().map(|id| id.partition).collect()
    }

    /// Notes its partitions and counters.
    pub(crate) fn note(&mut self) {
        let status = self.instance.status();
        self.partitions = status.tasks.keys().map(|task| task.partition).collect();
        for (id, task) in &status.tasks {
            for ((_, name), count) in &task.counters.nodes {
                let last = self.last.insert((id.partition, name), *count).unwrap_or(0);
                // A task that was made anew begins with nothing.
                *self.counted.entry(name).or_default() += if *count >= last { count - last } else { *count };
            }
        }
    }
}
