//! Faults on order: a process that ends, stands still or stalls itself at a chosen moment. Only in a build with the feature `faults`.
//!
//! The variable `TIDEWATCH_FAULTS` says what is to happen and when; nothing happens where it is not set. The engine knows nothing of it: its log and
//! its stores are wrapped where they are opened, and the moments are calls to them. What happens is written down first and made durable, as a line
//! such as `fault kill K4 17 transaction=open`, so that who ordered a fault can tell it from an accident. A stall has a second line at its end, such as
//! `ended stall K2 5 ms=66000`: one that somebody cut short must not pass for one that lasted.

mod plan;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Write;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Signal, getpid, kill_process};

use crate::streams::clock::{Clock, SystemClock};
use crate::streams::log::{Log, Polled};
use crate::streams::runtime::StateBackend;
use crate::streams::task::ERROR_HEADERS;
use crate::streams::testing::interposed::{Call, Client, Fault, InterposedBackend, InterposedLog, Interposer};
use plan::{Deed, Plan, Point, Step};

/// The log, wrapped where faults are on order.
pub(super) fn log(log: Arc<dyn Log>) -> Result<Arc<dyn Log>, String> {
    Ok(match ordered()? {
        Some(faults) => Arc::new(InterposedLog::new(log, faults)),
        None => log,
    })
}

/// Stores, wrapped where faults are on order.
pub(super) fn stores(stores: Arc<dyn StateBackend>) -> Result<Arc<dyn StateBackend>, String> {
    Ok(match ordered()? {
        Some(faults) => Arc::new(InterposedBackend::new(stores, faults)),
        None => stores,
    })
}

/// The one plan of this process: log and stores count together.
fn ordered() -> Result<Option<Arc<dyn Interposer>>, String> {
    static FAULTS: OnceLock<Result<Option<Arc<Faults>>, String>> = OnceLock::new();
    let read = || match Plan::of_environment()? {
        None => Ok(None),
        Some(plan) => Faults::new(plan).map(|faults| Some(Arc::new(faults))),
    };
    let faults = FAULTS.get_or_init(read).clone()?;
    Ok(faults.map(|faults| faults as Arc<dyn Interposer>))
}

#[derive(Debug, Default)]
struct Counts {
    reached: HashMap<Point, u64>,
    /// The transactional ids with an open transaction.
    open: HashSet<Arc<str>>,
    /// Whether a dead letter was sent since offsets were.
    letter: bool,
}

/// Counts what happens, and does what is planned.
#[derive(Debug)]
struct Faults {
    plan: Plan,
    diary: Option<Mutex<File>>,
    counts: Mutex<Counts>,
}

impl Faults {
    fn new(plan: Plan) -> Result<Self, String> {
        let open = |path: &String| {
            let opened = File::options().create(true).append(true).open(path);
            opened.map(Mutex::new).map_err(|error| format!("{path}: {error}"))
        };
        let diary = plan.diary.as_ref().map(open).transpose()?;
        Ok(Self { plan, diary, counts: Mutex::default() })
    }

    /// A point is reached: what is planned for it, with the line about it.
    fn due(&self, point: Point) -> Option<(Step, String)> {
        let mut counts = self.counts.lock();
        let reached = counts.reached.entry(point).or_default();
        *reached += 1;
        let count = *reached;
        let step = self.plan.steps.iter().find(|step| step.point == point && step.count == count)?;
        let deed = match step.deed {
            Deed::Kill(_) => "kill",
            Deed::Stop => "stop",
            Deed::Stall(_) => "stall",
        };
        let transaction = if counts.open.is_empty() { "none" } else { "open" };
        Some((*step, format!("fault {deed} {} {count} transaction={transaction}\n", point.name())))
    }

    fn reach(&self, point: Point) {
        let Some((Step { deed, count, .. }, line)) = self.due(point) else { return };
        self.write_down(&line);
        match deed {
            Deed::Kill(Duration::ZERO) => die(),
            Deed::Kill(delay) => {
                let later = move || {
                    rest(delay);
                    die();
                };
                if std::thread::Builder::new().name("fault".to_owned()).spawn(later).is_err() {
                    die();
                }
            }
            Deed::Stop => signal(Signal::STOP),
            Deed::Stall(time) => {
                let lasted = rest(time).as_millis();
                self.write_down(&format!("ended stall {} {count} ms={lasted}\n", point.name()));
            }
        }
    }

    /// Makes a line durable: of a fault before it happens, of a stall's end after it. What cannot be written down does not count, and whoever waits for it will
    /// say so.
    fn write_down(&self, line: &str) {
        match &self.diary {
            Some(file) => {
                let mut file = file.lock();
                file.write_all(line.as_bytes()).and_then(|()| file.sync_data()).unwrap_or_default();
            }
            None => std::io::stderr().write_all(line.as_bytes()).unwrap_or_default(),
        }
    }

    /// Begins or ends a transaction, as far as this process knows.
    fn follow(&self, client: &Client, call: &Call<'_>) {
        let Client::Producer(id) = client else { return };
        match call {
            Call::Begin => drop(self.counts.lock().open.insert(Arc::clone(id))),
            Call::Commit | Call::Abort | Call::Init => drop(self.counts.lock().open.remove(id)),
            _ => {}
        }
    }
}

impl Interposer for Faults {
    fn before(&self, client: &Client, call: &Call<'_>) -> Result<(), Fault> {
        self.reach(Point::Any);
        match call {
            Call::Flush => self.reach(Point::Produced),
            Call::Commit => self.reach(Point::Committing),
            Call::Sync => self.reach(Point::Syncing),
            Call::Get(row) if self.plan.panics.iter().any(|key| row.ends_with(key)) => {
                self.write_down(&format!("fault panic {client:?}\n"));
                panic!("a panic on order");
            }
            _ => {}
        }
        Ok(())
    }

    fn after(&self, client: &Client, call: &Call<'_>) -> Result<(), Fault> {
        self.follow(client, call);
        let point = match (client, call) {
            (Client::Member, Call::Poll(Some((Polled::Records, _)))) => Point::Polled,
            (Client::Reader, Call::Poll(Some((Polled::Records, _)))) => Point::Restoring,
            (_, Call::Poll(Some((Polled::Revoked(_), _)))) => Point::Revoked,
            (_, Call::Poll(Some((Polled::Assigned(partitions), _)))) if !partitions.is_empty() => Point::Assigned,
            (_, Call::Send(record)) => {
                if record.headers.iter().any(|(name, _)| name.starts_with(ERROR_HEADERS)) {
                    self.counts.lock().letter = true;
                }
                Point::Sent
            }
            (_, Call::Flush) => Point::Flushed,
            (_, Call::SendOffsets) => Point::OffsetsSent,
            (_, Call::Commit) => Point::Committed,
            (_, Call::Write(..)) => Point::Written,
            _ => return Ok(()),
        };
        self.reach(point);
        if point == Point::OffsetsSent && std::mem::take(&mut self.counts.lock().letter) {
            self.reach(Point::LetterAndOffsetsSent);
        }
        Ok(())
    }
}

/// Rests for all of the time; how long it was. A single rest ends at once where somebody has woken this thread before, as channels do.
fn rest(time: Duration) -> Duration {
    let clock = SystemClock::new();
    loop {
        let rested = clock.monotonic();
        let left = time.saturating_sub(rested);
        if left.is_zero() {
            return rested;
        }
        clock.rest(left);
    }
}

fn signal(signal: Signal) {
    kill_process(getpid(), signal).unwrap_or_default();
}

/// Ends this process; the calling thread does nothing any more.
fn die() {
    signal(Signal::KILL);
    loop {
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::log::local::LocalLog;
    use crate::streams::log::{ProducerOptions, TopicConfig};

    const TIMEOUT: Duration = Duration::from_secs(1);

    #[test]
    fn a_step_happens_once_at_its_count_and_is_written_down_before_and_a_stall_after() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("diary");
        let plan = Plan { diary: Some(path.display().to_string()), ..("stall=K7@2:1ms,stall=K6@1:1ms,stall=ANY@1:1ms".parse().unwrap()) };
        let faults: Arc<Faults> = Arc::new(Faults::new(plan).unwrap());
        let log = InterposedLog::new(LocalLog::in_memory(), faults);
        log.admin().create_topic("t", &TopicConfig::keep(1)).unwrap();
        let options = ProducerOptions { transactional_id: "p".into(), topics: vec!["t".into()], transaction_timeout: TIMEOUT };
        let mut producer = log.producer(options).unwrap();
        producer.init_transactions(TIMEOUT).unwrap();
        for _ in 0..3 {
            producer.begin().unwrap();
            producer.commit(TIMEOUT).unwrap();
        }
        let diary = std::fs::read_to_string(path).unwrap();
        let expected = [
            "fault stall ANY 1 transaction=none",
            "ended stall ANY 1",
            "fault stall K6 1 transaction=open",
            "ended stall K6 1",
            "fault stall K7 2 transaction=none",
            "ended stall K7 2",
        ];
        assert_eq!(diary.lines().map(|line| line.split(" ms=").next().unwrap()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_stall_lasts_although_somebody_has_woken_the_thread_before() {
        let (clock, time) = (SystemClock::new(), Duration::from_millis(50));
        std::thread::current().unpark();
        let told = rest(time);
        assert!(told >= time && clock.monotonic() >= told);
    }
}
