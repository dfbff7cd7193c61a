//! The world of a run: an outbox that is written, processes that send and die, clocks that are set, until all is quiet.

mod letters;
mod partition;
mod trouble;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tidewatch::config::{OnUnknown, Rates, ValueFormat};
use tidewatch::streams::clock::{Clock as _, Timestamp};
use tidewatch::streams::log::local::LocalLog;
use tidewatch::streams::log::{Headers, Isolation, Log, Offset, Producer, ProducerOptions, ProducerRecord, TopicConfig, TopicPartition};
use tidewatch::streams::runtime::MemoryBackend;
use tidewatch::telegram::Settings;

use super::events::Event;
use super::process::{Common, Hand, Life, Point};
use super::sent_log::Committed;
use super::telegram::{Fate, Telegram};
use super::time::Time;
use super::{APPLICATION, DEAD_LETTERS, OUTBOX};
use crate::random::Random;
use partition::partition_of;

/// Whom its group does not hear of for so long is no member any more.
const SESSION_MS: u64 = 10_000;

/// Bytes that are no message.
pub(crate) const POISON: &[u8] = b"no JSON";

/// A process, through all its lives.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) name: &'static str,
    backend: Arc<MemoryBackend>,
    pub(crate) life: Option<Life>,
    begins_at: u64,
    /// It dies when this is so.
    dies: Option<Moment>,
    /// It is not given a turn before this time, though its requests go on.
    stalls_until: u64,
    /// When its group heard of it last.
    heard_at: u64,
}

/// Where on a message's way a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// S1: an intent is committed, and the request is not made.
    Intent,
    /// S2: a request is made, and there is no answer.
    Request,
    /// S3: an answer came, and it is not recorded.
    Answer,
    /// S4: an outcome is recorded.
    Record,
}

/// The world.
pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) log: Arc<LocalLog>,
    pub(crate) common: Common,
    producer: Box<dyn Producer>,
    pub(crate) processes: Vec<Process>,
    pub(crate) chats: Vec<String>,
    left: u64,
    sessions: u64,
    pub(crate) poison: u64,
    /// What the sender counted in lives that are over.
    pub(crate) counted: BTreeMap<&'static str, u64>,
    /// Deaths and losses at which what was counted last may not have been told.
    pub(crate) untold: u64,
    letters_read: Vec<Offset>,
}

fn of(count: u64) -> NonZeroU32 {
    NonZeroU32::new(u32::try_from(count).unwrap()).unwrap()
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::of(seed, 1);
        let partitions = i32::try_from(random.between(1, 3)).unwrap();
        let log = LocalLog::as_broker();
        for topic in [OUTBOX, DEAD_LETTERS] {
            log.admin().create_topic(topic, &TopicConfig::keep(partitions)).unwrap();
        }
        let all = ["5", "-7", "@channel", "-8", "11", "12"];
        let chats: Vec<String> = all.iter().take(usize::try_from(random.between(2, 6)).unwrap()).map(|&chat| chat.to_owned()).collect();
        let policies: BTreeMap<String, OnUnknown> =
            chats.iter().filter(|_| random.permille(300)).map(|chat| (chat.clone(), OnUnknown::DeadLetter)).collect();
        let settings = Settings {
            outbox: OUTBOX.into(),
            format: ValueFormat::Json,
            dead_letters: DEAD_LETTERS.into(),
            on_unknown: OnUnknown::SendAgain,
            chats: policies.clone(),
            remember: Duration::from_secs(30 * 86_400),
            // Sometimes fewer than there are.
            chats_max: if random.permille(200) { 2 } else { 100 },
        };
        let rates = Rates {
            chat_per_second: of(random.between(1, 8)),
            group_per_minute: of(random.between(20, 240)),
            bot_per_second: of(random.between(4, 30)),
        };
        let time = Time::at(Timestamp(1_762_217_777_000));
        let committed = Committed::new(Arc::clone(&log), APPLICATION, partitions);
        let telegram = Telegram::new(time.clone(), Random::of(seed, 2), committed, policies, rates);
        telegram.book.lock().trouble = random.between(100, 500);
        let options = ProducerOptions {
            transactional_id: "writer".into(),
            topics: vec![OUTBOX.into()],
            transaction_timeout: Duration::from_secs(60),
        };
        let mut producer = log.producer(options).unwrap();
        producer.init_transactions(Duration::ZERO).unwrap();
        let count = usize::try_from(random.between(1, 3)).unwrap();
        let processes = ["one", "two", "three"].into_iter().take(count).map(|name| Process {
            name,
            backend: Arc::default(),
            life: None,
            begins_at: 0,
            dies: None,
            stalls_until: 0,
            heard_at: 0,
        });
        let processes = processes.collect();
        let shared: Arc<dyn Log> = Arc::<LocalLog>::clone(&log);
        let common = Common { log: shared, time, telegram, settings, rates, partitions };
        let left = random.between(8, 40);
        Self {
            letters_read: vec![Offset(0); usize::try_from(partitions).unwrap()],
            random,
            log,
            common,
            producer,
            processes,
            chats,
            left,
            sessions: seed,
            poison: 0,
            counted: BTreeMap::new(),
            untold: 0,
        }
    }

    pub(crate) fn now(&self) -> u64 {
        self.common.time.passed_ms()
    }

    pub(crate) fn tell(&self, what: &str) {
        self.common.telegram.book.lock().trace.push(format!("{} {what}", self.now()));
    }

    pub(crate) fn count(&self, what: &'static str) {
        self.common.telegram.book.lock().count(what);
    }

    /// What is to be written is written.
    pub(crate) fn has_written_all(&self) -> bool {
        self.left == 0
    }

    fn put(&mut self, chat: &str, value: &[u8], headers: Headers<'_>) {
        let timestamp = self.common.time.now();
        self.producer
            .send(&ProducerRecord { topic: 0, partition: None, key: Some(chat.as_bytes()), value: Some(value), headers, timestamp })
            .unwrap();
    }

    /// Writes some messages in a transaction.
    pub(crate) fn write(&mut self) {
        let is_aborted = self.random.permille(80);
        self.producer.begin().unwrap();
        for _ in 0..self.random.between(1, 5).min(self.left.max(1)) {
            let chat = self.random.pick(&self.chats).clone();
            if self.random.permille(30) && !is_aborted {
                self.poison += 1;
                self.put(&chat, POISON, Headers::EMPTY);
                continue;
            }
            let count = self.common.telegram.book.lock().events.len();
            if self.random.permille(80) && count > 0 {
                // Written again: the same event, perhaps long known.
                let number = usize::try_from(self.random.below(count as u64)).unwrap();
                let known = self.common.telegram.book.lock().events[number].clone();
                if !known.is_aborted {
                    self.count("written again");
                    self.put(&known.chat, known.value(number).to_string().as_bytes(), Headers::EMPTY);
                }
                continue;
            }
            let edit_key = self.random.permille(250).then(|| format!("key {}", self.random.below(2)));
            let event = Event {
                chat: chat.clone(),
                edit_key,
                has_bad_markup: self.random.permille(60),
                has_bad_thread: self.random.permille(60),
                is_refused: self.random.permille(40),
                is_aborted,
                replays: 0,
            };
            let value = event.value(count).to_string();
            self.common.telegram.book.lock().events.push(event);
            self.put(&chat, value.as_bytes(), Headers::EMPTY);
            self.left = self.left.saturating_sub(1);
        }
        self.producer.flush(Duration::ZERO).unwrap();
        if is_aborted { self.producer.abort(Duration::ZERO) } else { self.producer.commit(Duration::ZERO) }.unwrap();
    }

    /// Starts the processes whose time it is.
    pub(crate) fn start(&mut self) {
        for place in 0..self.processes.len() {
            let now = self.now();
            let process = &self.processes[place];
            if process.life.is_some() || now < process.begins_at {
                continue;
            }
            self.sessions = self.sessions.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            let (name, hand) = (process.name, Arc::new(Hand::default()));
            if self.random.permille(60) && self.common.telegram.book.lock().trouble > 0 {
                hand.arm(Point::DiesInRestore, u32::try_from(self.random.between(1, 3)).unwrap());
            }
            match Life::begin(&self.common, name, &process.backend, self.sessions, hand) {
                Ok(life) => {
                    self.tell(&format!("{name} begins as {:x}", self.sessions));
                    self.processes[place].life = Some(life);
                }
                Err(error) => {
                    self.tell(&format!("{name} does not begin: {error}"));
                    self.processes[place].begins_at = now + 500;
                }
            }
        }
    }

    /// A turn of a process; one that cannot go on is dead.
    pub(crate) fn step(&mut self, place: usize) -> bool {
        let process = &mut self.processes[place];
        if process.stalls_until > self.common.time.passed_ms() {
            return false;
        }
        let Some(life) = &mut process.life else { return false };
        self.common.telegram.is_at_work(life.session);
        let (before, sent) = (life.partitions.clone(), life.counted.get("sent_total").copied().unwrap_or(0));
        let (running, told, knows) = (life.running(), life.told_at(self.common.time.passed_ms()), !life.hand.is_fenced());
        let ended = life.step();
        let (session, fired) = (life.session, life.hand.fired());
        let lost: Vec<i32> = before.difference(&life.partitions).copied().collect();
        let got: Vec<i32> = life.partitions.difference(&before).copied().collect();
        let (status, is_stopped) = (life.desk.status(), life.desk.stopped().is_some());
        let recorded = life.counted.get("sent_total").copied().unwrap_or(0) > sent;
        let (is_dead, was_revoked) = (life.hand.is_dead(), life.hand.was_revoked());
        if was_revoked {
            life.has_given_up(told, self.common.time.passed_ms());
        }
        let in_order = was_revoked && knows && fired.is_empty();
        self.common.telegram.is_at_work(session);
        if !lost.is_empty() && !is_dead {
            self.untold += 1;
            if in_order {
                let is_lost = |partition| lost.contains(&partition) && running.contains(&partition);
                self.common.telegram.end_in_order(session, told, |chat| is_lost(partition_of(chat, self.common.partitions)));
                self.count("given up in order");
            }
            self.common.telegram.take_away(session, |chat| lost.contains(&partition_of(chat, self.common.partitions)));
            self.count("partition moved");
        }
        if !got.is_empty() && !is_dead {
            self.common.telegram.give(session, |chat| got.contains(&partition_of(chat, self.common.partitions)));
        }
        for point in fired {
            self.count(match point {
                Point::DiesBeforeCommit => "dies before a commit",
                Point::DiesAfterCommit => "dies after a commit",
                Point::DiesAfterFlush => "dies after a flush",
                Point::DiesAfterOffsets => "dies with offsets sent",
                Point::DiesInRestore => "dies in a restore",
                Point::CommitAnswerLost => "commit, answer lost",
                Point::CommitLost => "commit lost",
            });
        }
        let busy = match &ended {
            _ if is_dead => {
                self.kill(place, "between two calls");
                return true;
            }
            Err(error) => {
                let why = format!("{error}");
                self.kill(place, &why);
                self.count("ended by itself");
                return true;
            }
            Ok(busy) => *busy,
        };
        if is_stopped {
            // Somebody sees that nothing is sent and starts it again.
            self.close(place);
            return true;
        }
        match self.processes[place].dies {
            Some(Moment::Intent) if status.waiting > 0 => self.kill(place, "S1"),
            Some(Moment::Record) if recorded => {
                self.count("S4");
                self.kill(place, "S4");
            }
            _ => {}
        }
        busy
    }

    /// The group gives the partitions of those that it has not heard of to others.
    pub(crate) fn evict_the_silent(&mut self) {
        let now = self.now();
        for process in &mut self.processes {
            // Whoever lives and is not stalled is heard of, be there something to do or not.
            if process.life.is_some() && now >= process.stalls_until {
                process.heard_at = now;
            }
            if now < process.heard_at + SESSION_MS {
                continue;
            }
            process.heard_at = now;
            let instance = format!("{}-0", process.name);
            let member = self.log.members(APPLICATION).into_iter().find(|(_, id)| id.as_deref() == Some(instance.as_str()));
            if let Some((member, _)) = member
                && self.log.evict(APPLICATION, &member)
            {
                let mut book = self.common.telegram.book.lock();
                book.trace.push(format!("{now} the session of {} is over", process.name));
                book.count(if process.life.is_some() { "zombie" } else { "session over" });
            }
        }
    }

    /// Those die that wait for a moment of their requests.
    pub(crate) fn look_for_moments(&mut self) {
        for place in 0..self.processes.len() {
            let Some(life) = &self.processes[place].life else { continue };
            let session = life.session;
            let has = |fate: Fate| self.common.telegram.book.lock().asks.iter().any(|ask| ask.session == session && ask.fate == fate);
            match self.processes[place].dies {
                Some(Moment::Request) if life.desk.status().in_flight > 0 => self.kill(place, "S2"),
                Some(Moment::Answer) if has(Fate::Heard) && life.desk.status().in_flight == 0 => self.kill(place, "S3"),
                _ => {}
            }
        }
    }

    fn take_down_counters(&mut self, life: &Life) {
        for (name, count) in &life.counted {
            *self.counted.entry(name).or_default() += count;
        }
    }

    /// A process dies; some lose their disks with it.
    pub(crate) fn kill(&mut self, place: usize, why: &str) {
        let Some(life) = self.processes[place].life.take() else { return };
        life.hand.kill();
        self.untold += 1;
        self.take_down_counters(&life);
        let session = life.session;
        drop(life);
        self.common.telegram.close(session);
        let (now, pause) = (self.now(), self.random.between(20, 4_000));
        let process = &mut self.processes[place];
        (process.dies, process.begins_at, process.stalls_until) = (None, now + pause, 0);
        let loses_disk = self.random.permille(150);
        if loses_disk {
            self.processes[place].backend = Arc::default();
            self.count("disk lost");
        }
        let name = self.processes[place].name;
        self.tell(&format!("{name} dies ({why}), disk lost: {loses_disk}"));
    }

    /// A process ends in good order.
    pub(crate) fn close(&mut self, place: usize) {
        let Some(mut life) = self.processes[place].life.take() else { return };
        let name = self.processes[place].name;
        self.tell(&format!("{name} is stopped"));
        self.untold += 1;
        self.take_down_counters(&life);
        let (session, told) = (life.session, life.told_at(self.now()));
        // What it may leave unknown, as a death would: where the group took its partitions from it without its knowledge; where its last commit
        // is refused or its answer lost; and in partitions whose stores are being restored, since an end does not wait for that.
        let instance = format!("{name}-0");
        let is_member = self.log.members(APPLICATION).iter().any(|(_, id)| id.as_deref() == Some(instance.as_str()));
        let knows = is_member && !life.hand.is_fenced();
        let running = life.running();
        match life.instance.close() {
            Ok(()) if knows && life.hand.fired().is_empty() => {
                let is_of = |chat: &str| running.contains(&partition_of(chat, self.common.partitions));
                self.common.telegram.end_in_order(session, told, is_of);
                self.count("ended in order");
            }
            Ok(()) => {}
            Err(error) => self.tell(&format!("{name} does not end well: {error}")),
        }
        self.common.telegram.close(session);
        self.count("stopped in order");
        let (now, pause) = (self.now(), self.random.between(20, 2_000));
        let process = &mut self.processes[place];
        (process.dies, process.begins_at, process.stalls_until) = (None, now + pause, 0);
    }

    /// Records of the outbox that the group has not committed.
    pub(crate) fn lag(&self) -> i64 {
        let admin = self.log.admin();
        let committed = admin.group_offsets(APPLICATION).unwrap();
        let behind = (0..self.common.partitions).map(|partition| {
            let place = TopicPartition::new(OUTBOX, partition);
            let (_, end) = admin.watermarks(&place, Isolation::ReadCommitted).unwrap();
            let offset = committed.iter().find(|(known, _)| *known == place).map_or(0, |(_, known)| known.offset.0);
            end.0 - offset
        });
        behind.sum()
    }
}
