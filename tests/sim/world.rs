//! The world of one simulation: instances, their disks, the log and time; one thread, and every choice from the seed.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tidewatch::streams::log::local::LocalLog;
use tidewatch::streams::log::{Headers, Log, Partition, Producer, ProducerOptions, ProducerRecord, TopicConfig};
use tidewatch::streams::runtime::changelog_topic;
use tidewatch::streams::testing::Instance;
use tidewatch::streams::testing::interposed::{Call, Client};
use tidewatch::streams::topology::Blueprint;

use crate::clock::{InstanceClock, Time};
use crate::disk::Disk;
use crate::input::Batch;
use crate::nemesis::Armed;
use crate::plan::{Fault, Plan};
use crate::random::Random;
use crate::readers::Readers;
use crate::topology::{APPLICATION, DEAD_LETTERS, OUTPUTS, Registry, STORES, build};
use crate::trace::{Counts, Trace, Violation};

/// A member whose process is dead or stands still is thrown out after this time.
const SESSION_MS: u64 = 10_000;
/// How long changelogs keep tombstones.
const DELETE_RETENTION_MS: u64 = 60_000;
pub(crate) const SPARES: usize = 2;

/// One place where a process of the application can run.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Whose ids it has.
    pub(crate) instance: usize,
    pub(crate) disk: Mutex<Arc<Disk>>,
    pub(crate) backup: Mutex<Option<Disk>>,
    pub(crate) clock: Arc<InstanceClock>,
    pub(crate) running: Mutex<Option<(u64, Instance)>>,
    /// Which process lives here; 0: none.
    pub(crate) life: AtomicU64,
    pub(crate) wanted: AtomicBool,
    pub(crate) leaves: AtomicBool,
    pub(crate) start_at: AtomicU64,
    /// It does nothing before.
    pub(crate) frozen_until: AtomicU64,
    pub(crate) unreachable_until: AtomicU64,
    pub(crate) slow: Mutex<(u64, u64)>,
    pub(crate) armed: Mutex<Vec<Armed>>,
    /// Whether it has given its transaction something.
    pub(crate) in_transaction: AtomicBool,
    /// Whether something that the log refuses lies in the open transaction, and whether the producer is spoilt by it.
    pub(crate) refusal: Mutex<(bool, bool)>,
    pub(crate) exits: Mutex<Vec<String>>,
}

/// Somebody else's open transaction.
#[derive(Debug)]
pub(crate) struct Foreign {
    pub(crate) until: u64,
    pub(crate) producer: Box<dyn Producer>,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) me: Weak<World>,
    pub(crate) plan: Plan,
    pub(crate) log: Arc<LocalLog>,
    pub(crate) time: Arc<Time>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) registry: Registry,
    pub(crate) topology: Arc<dyn Blueprint>,
    input: Mutex<Box<dyn Producer>>,
    pub(crate) random: Mutex<Random>,
    pub(crate) trace: Mutex<Trace>,
    pub(crate) counts: Mutex<Counts>,
    pub(crate) readers: Mutex<Readers>,
    pub(crate) violation: Mutex<Option<Violation>>,
    pub(crate) foreign: Mutex<Vec<Foreign>>,
    /// When each thing ends that lasts: brokers down, registry down, markers held; full disks by slot.
    pub(crate) brokers_down_until: AtomicU64,
    pub(crate) registry_down_until: AtomicU64,
    pub(crate) markers_held_until: AtomicU64,
    pub(crate) disk_full_until: Vec<AtomicU64>,
    next_batch: AtomicUsize,
    next_event: AtomicUsize,
    pub(crate) lives: AtomicU64,
    last_maintenance: AtomicU64,
    absent: Mutex<Vec<u64>>,
    pub(crate) nested: AtomicBool,
    pub(crate) idle: AtomicU32,
    pub(crate) peace: AtomicBool,
    /// A changelog was destroyed: from now on an instance may stop because of that, and stay so.
    pub(crate) is_destroyed: AtomicBool,
    /// Stores whose changelogs are not the topics that they were.
    pub(crate) made_anew: Mutex<Vec<usize>>,
    pub(crate) is_stopped: AtomicBool,
    pub(crate) checks: AtomicU32,
}

fn create_topics(log: &LocalLog, partitions: i32) {
    let admin = log.admin();
    for topic in OUTPUTS.iter().copied().chain(["input", DEAD_LETTERS]) {
        admin.create_topic(topic, &TopicConfig::keep(partitions)).unwrap();
    }
    let delete_retention = Duration::from_millis(DELETE_RETENTION_MS);
    for (_, store) in STORES {
        let config = TopicConfig { delete_retention, ..TopicConfig::compact(partitions) };
        admin.create_topic(&changelog_topic(APPLICATION, store), &config).unwrap();
    }
}

fn producer(log: &LocalLog, id: &str, topics: Vec<Arc<str>>) -> Box<dyn Producer> {
    let transaction_timeout = Duration::from_secs(24 * 60 * 60);
    let mut producer = log.producer(ProducerOptions { transactional_id: id.into(), topics, transaction_timeout }).unwrap();
    producer.init_transactions(Duration::ZERO).unwrap();
    producer
}

impl Slot {
    fn new(instance: usize, time: &Arc<Time>, wanted: bool) -> Self {
        Self {
            instance,
            disk: Mutex::default(),
            backup: Mutex::default(),
            clock: Arc::new(InstanceClock { time: Arc::clone(time), skew_ms: AtomicI64::new(0) }),
            running: Mutex::default(),
            life: AtomicU64::new(0),
            wanted: AtomicBool::new(wanted),
            leaves: AtomicBool::new(false),
            start_at: AtomicU64::new(0),
            frozen_until: AtomicU64::new(0),
            unreachable_until: AtomicU64::new(0),
            slow: Mutex::default(),
            armed: Mutex::default(),
            in_transaction: AtomicBool::new(false),
            refusal: Mutex::default(),
            exits: Mutex::default(),
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.life.load(Ordering::Relaxed) != 0
    }
}

impl World {
    pub(crate) fn new(plan: Plan, readable: bool) -> Arc<Self> {
        let (log, time, registry) = (LocalLog::as_broker(), Arc::new(Time::default()), Registry::new(AtomicBool::new(true)));
        create_topics(&log, plan.partitions);
        // The last places are for a second process with the ids of the first, and for who joins later.
        let mut slots: Vec<Slot> = (0..plan.instances).map(|index| Slot::new(index, &time, true)).collect();
        slots.push(Slot::new(plan.instances, &time, false));
        slots.push(Slot::new(0, &time, false));
        let (topology, input) = (build(&registry, plan.errors), Mutex::new(producer(&log, "input", vec!["input".into()])));
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            input,
            random: Mutex::new(Random::of(plan.seed, 2)),
            trace: Mutex::new(Trace::new(readable)),
            counts: Mutex::default(),
            readers: Mutex::new(Readers::new(&log, &plan)),
            violation: Mutex::default(),
            foreign: Mutex::default(),
            brokers_down_until: AtomicU64::new(0),
            registry_down_until: AtomicU64::new(0),
            markers_held_until: AtomicU64::new(0),
            disk_full_until: slots.iter().map(|_| AtomicU64::new(0)).collect(),
            next_batch: AtomicUsize::new(0),
            next_event: AtomicUsize::new(0),
            lives: AtomicU64::new(1),
            last_maintenance: AtomicU64::new(0),
            absent: Mutex::new(vec![0; slots.len()]),
            nested: AtomicBool::new(false),
            idle: AtomicU32::new(0),
            peace: AtomicBool::new(false),
            is_destroyed: AtomicBool::new(false),
            made_anew: Mutex::default(),
            is_stopped: AtomicBool::new(false),
            checks: AtomicU32::new(0),
            plan,
            log,
            time,
            slots,
            registry,
            topology,
        })
    }

    pub(crate) fn is_nested(&self) -> bool {
        self.nested.load(Ordering::Relaxed)
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.violation.lock().is_some()
    }

    pub(crate) fn violated(&self, invariant: &'static str, text: String) {
        self.say(|| format!("VIOLATION of {invariant}: {text}"));
        self.violation.lock().get_or_insert(Violation { invariant, text });
    }

    pub(crate) fn say(&self, text: impl FnOnce() -> String) {
        self.trace.lock().note(self.time.now(), &[], text);
    }

    /// Writes down a call.
    pub(crate) fn note(&self, slot: usize, what: u64, text: impl FnOnce() -> String, client: &Client, call: &Call<'_>) {
        let place = match call {
            Call::Assign(_, offset) | Call::Seek(_, offset) => u64::try_from(offset.0).unwrap_or(u64::MAX),
            Call::Send(record) => record.value.map_or(7, |value| value.len() as u64),
            Call::Write(batch, _) => batch.size_bytes() as u64,
            _ => 0,
        };
        // What happens at each turn would hide the rest.
        if matches!(call, Call::Poll(None) | Call::Get(_)) {
            return;
        }
        self.trace.lock().note(self.time.now(), &[slot as u64, what, place], || {
            let who = match client {
                Client::Producer(_) => "producer".to_owned(),
                Client::Stores(task) => format!("stores of {task}"),
                other => format!("{other:?}").to_lowercase(),
            };
            format!("  [{slot}] {who}: {}", text())
        });
    }

    /// A planned fault has happened.
    pub(crate) fn fired(&self, fault: &Fault, slot: usize) {
        self.say(|| format!("[{slot}] FAULT {fault:?}"));
        self.counts.lock().add(fault.name());
        if let Fault::Fail { site, class, .. } = fault {
            self.counts.lock().add(format!("class {site:?} {class:?}"));
        }
    }

    /// Whether requests of a process arrive.
    pub(crate) fn reaches(&self, slot: usize) -> bool {
        let now = self.time.now();
        now >= self.brokers_down_until.load(Ordering::Relaxed) && now >= self.slots[slot].unreachable_until.load(Ordering::Relaxed)
    }

    /// A process dies, wherever it is.
    pub(crate) fn kill(&self, index: usize) {
        let slot = &self.slots[index];
        if slot.life.swap(0, Ordering::Relaxed) == 0 {
            return;
        }
        self.say(|| format!("[{index}] DEAD"));
        let disk = Arc::clone(&slot.disk.lock());
        let snapshots = disk.crash(&mut self.random.lock(), &mut self.counts.lock());
        self.readers.lock().left_behind(snapshots, &*self.log.admin());
        let down = { self.random.lock().range(50, 3_000) };
        slot.start_at.store(self.time.now() + down, Ordering::Relaxed);
        slot.in_transaction.store(false, Ordering::Relaxed);
        *slot.refusal.lock() = (false, false);
    }

    /// A process stands still while the others go on.
    pub(crate) fn stall(&self, slot: usize, ms: u64) {
        let until = self.time.now() + ms;
        self.nested.store(true, Ordering::Relaxed);
        self.slots[slot].frozen_until.store(until, Ordering::Relaxed);
        while self.time.now() < until && !self.has_failed() {
            self.tick();
        }
        self.nested.store(false, Ordering::Relaxed);
        self.say(|| format!("[{slot}] goes on"));
    }

    /// A little time passes: what is due happens, and one process takes a turn.
    pub(crate) fn tick(&self) {
        let (ms, slot) = {
            let mut random = self.random.lock();
            (random.range(0, 6), random.index(self.slots.len()))
        };
        self.time.pass(ms);
        self.give_input();
        self.happen();
        self.be_broker();
        self.step(slot);
        self.check(false);
    }

    /// What the log is told to take in by others.
    fn give_input(&self) {
        let place = self.next_batch.load(Ordering::Relaxed);
        let Some(batch) = self.plan.batches.get(place).filter(|batch| batch.at <= self.time.now()) else { return };
        self.next_batch.fetch_add(1, Ordering::Relaxed);
        self.append(batch);
        self.idle.store(0, Ordering::Relaxed);
    }

    pub(crate) fn append(&self, batch: &Batch) {
        let mut producer = self.input.lock();
        producer.begin().unwrap();
        for given in &batch.records {
            let record = ProducerRecord {
                topic: 0,
                partition: Some(Partition(given.partition)),
                key: given.key.as_deref(),
                value: given.value.as_deref(),
                headers: Headers::EMPTY,
                timestamp: tidewatch::streams::clock::Timestamp(given.timestamp),
            };
            producer.send(&record).unwrap();
        }
        producer.flush(Duration::ZERO).unwrap();
        if batch.aborts { producer.abort(Duration::ZERO).unwrap() } else { producer.commit(Duration::ZERO).unwrap() }
    }

    fn happen(&self) {
        if self.peace.load(Ordering::Relaxed) {
            return;
        }
        let place = self.next_event.load(Ordering::Relaxed);
        let Some(event) = self.plan.events.get(place).filter(|event| event.at <= self.time.now()) else { return };
        self.next_event.fetch_add(1, Ordering::Relaxed);
        self.begin(event.slot, &event.fault);
    }

    /// Whether everything that was planned has begun.
    pub(crate) fn is_over(&self) -> bool {
        self.next_event.load(Ordering::Relaxed) >= self.plan.events.len()
            && self.next_batch.load(Ordering::Relaxed) >= self.plan.batches.len()
    }

    /// What brokers do by themselves.
    fn be_broker(&self) {
        let now = self.time.now();
        self.registry.store(now >= self.registry_down_until.load(Ordering::Relaxed), Ordering::Relaxed);
        for (slot, until) in self.slots.iter().zip(&self.disk_full_until) {
            slot.disk.lock().set_full(now < until.load(Ordering::Relaxed));
        }
        let holds = now < self.markers_held_until.load(Ordering::Relaxed);
        self.log.hold_markers(holds);
        let held = self.log.held_markers();
        if held > 0 && (!holds || self.random.lock().one_in(4)) {
            let place = self.random.lock().index(held);
            self.log.release_marker(place);
        }
        self.foreign.lock().retain_mut(|foreign| {
            let over = foreign.until <= now;
            if over {
                foreign.producer.abort(Duration::ZERO).unwrap();
            }
            !over
        });
        self.evict_the_absent(now);
        if now >= self.last_maintenance.load(Ordering::Relaxed) + 1_000 {
            self.last_maintenance.store(now, Ordering::Relaxed);
            self.read();
            self.log.admin().maintain(self.time.wall()).unwrap();
        }
    }

    fn evict_the_absent(&self, now: u64) {
        let mut absent = self.absent.lock();
        for (index, since) in absent.iter_mut().enumerate() {
            let is_here = |(place, slot): (usize, &Slot)| {
                slot.instance == index && slot.is_alive() && now >= slot.frozen_until.load(Ordering::Relaxed) && self.reaches(place)
            };
            if self.slots.iter().enumerate().any(is_here) {
                *since = now;
            } else if now >= *since + SESSION_MS {
                *since = now;
                self.evict(index);
            }
        }
    }

    pub(crate) fn evict(&self, instance: usize) -> bool {
        let name = format!("i{instance}-0");
        let member = self.log.members(APPLICATION).into_iter().find(|(_, id)| id.as_deref() == Some(name.as_str()));
        let Some((member, _)) = member else { return false };
        self.trace.lock().note(self.time.now(), &[instance as u64], || format!("the session of instance {instance} is over"));
        self.log.evict(APPLICATION, &member)
    }

    /// Reads everything that is new in the topics, and compares it with what must be there.
    pub(crate) fn read(&self) {
        let found = self.readers.lock().read(&self.log);
        if let Err(violation) = found {
            self.violated(violation.invariant, violation.text);
        }
    }
}
