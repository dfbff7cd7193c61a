//! A Telegram that answers from the seed, and the ledger of the run: who asked what and when, what was taken, what was heard of it.
//!
//! Each request is judged when it comes: whether its intent was committed, whether it is the chat's turn, whether it was asked to wait.

mod judge;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tidewatch::config::{OnUnknown, Rates};
use tidewatch::streams::clock::Clock as _;
use tidewatch::telegram::{Request, Tray};

use super::answers::Kind;
use super::events::Event;
use super::sent_log::Committed;
use super::time::Time;
use crate::random::Random;

/// A request waits so long for its answer.
const TIMEOUT_MS: u64 = 10_000;

/// So long a process that ends waits for answers at least.
const PATIENCE_MS: u64 = 7_000;

/// Who stands still for longer may have lost its partitions, and begins nothing.
const ALIVE_MS: u64 = 3_000;

/// What a process knows of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// No answer was given yet.
    UnderWay,
    /// The answer is at the desk, or recorded.
    Heard,
    /// Whoever asked lost the partition before the answer was recorded, and nobody has it yet: should it be the same one, it knows.
    Moved,
    /// Whoever asked died, or another one got its partition, before the answer was recorded.
    Lost,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) session: u64,
    pub(crate) job: u64,
    /// The id that was asked for; the chat's own is that of its event.
    pub(crate) to: String,
    pub(crate) event: usize,
    request: Request,
    pub(crate) edits: bool,
    pub(crate) kind: Kind,
    pub(crate) taken_ms: Option<u64>,
    message_id: i64,
    /// When the answer comes.
    answered_ms: u64,
    pub(crate) fate: Fate,
}

impl Ask {
    /// Whether nobody can know if it was taken.
    pub(crate) fn is_unknown(&self) -> bool {
        self.kind.is_unknown() || self.fate == Fate::Lost
    }
}

#[derive(Clone, Copy, Debug)]
enum Due {
    Take(usize),
    Answer(usize),
}

/// What Telegram knows of a chat.
#[derive(Debug, Default)]
struct Chat {
    /// Its messages, by their numbers: which event each shows.
    messages: BTreeMap<i64, usize>,
    waits_until: u64,
    blocked_until: u64,
    moved_to: Option<i64>,
}

/// The ledger.
#[derive(Debug)]
pub(crate) struct Book {
    random: Random,
    pub(crate) events: Vec<Event>,
    pub(crate) asks: Vec<Ask>,
    due: BTreeMap<(u64, u64), Due>,
    number: u64,
    trays: BTreeMap<u64, Arc<Tray>>,
    chats: BTreeMap<String, Chat>,
    all_wait_until: u64,
    pub(crate) revoked_until: u64,
    /// How many of a thousand answers are no plain success.
    pub(crate) trouble: u64,
    /// Until when each chat was told to be left alone, and by which request.
    told: BTreeMap<String, (u64, usize)>,
    /// When each process last asked, in all and for each chat.
    last: BTreeMap<(u64, String), u64>,
    lately: BTreeMap<u64, Vec<u64>>,
    /// When each process had its last turn.
    at_work: BTreeMap<u64, u64>,
    /// Events whose process died with their intent committed and their request not made.
    pub(crate) unmade: BTreeMap<usize, usize>,
    pub(crate) committed: Committed,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    pub(crate) violations: Vec<String>,
    pub(crate) trace: Vec<String>,
    policies: BTreeMap<String, OnUnknown>,
    rates: Rates,
}

/// Telegram.
#[derive(Debug)]
pub(crate) struct Telegram {
    time: Time,
    pub(crate) book: Mutex<Book>,
}

impl Telegram {
    pub(crate) fn new(time: Time, random: Random, committed: Committed, policies: BTreeMap<String, OnUnknown>, rates: Rates) -> Arc<Self> {
        let book = Book {
            random,
            events: Vec::new(),
            asks: Vec::new(),
            due: BTreeMap::new(),
            number: 0,
            trays: BTreeMap::new(),
            chats: BTreeMap::new(),
            all_wait_until: 0,
            revoked_until: 0,
            trouble: 0,
            told: BTreeMap::new(),
            last: BTreeMap::new(),
            lately: BTreeMap::new(),
            at_work: BTreeMap::new(),
            unmade: BTreeMap::new(),
            committed,
            counts: BTreeMap::new(),
            violations: Vec::new(),
            trace: Vec::new(),
            policies,
            rates,
        };
        Arc::new(Self { time, book: Mutex::new(book) })
    }

    /// A process says something, for the trace; not while the ledger is written.
    pub(crate) fn told(&self, what: &str) {
        if let Some(mut book) = self.book.try_lock() {
            book.trace.push(format!("    {what}"));
        }
    }

    /// A process is at work.
    pub(crate) fn is_at_work(&self, session: u64) {
        let now = self.time.passed_ms();
        self.book.lock().at_work.insert(session, now);
    }

    /// A process begins to ask.
    pub(crate) fn open(&self, session: u64, tray: Arc<Tray>) {
        self.book.lock().trays.insert(session, tray);
    }

    /// Gives the answers that are due, and takes the requests that may be made.
    pub(crate) fn run(&self) {
        let now = self.time.passed_ms();
        let mut book = self.book.lock();
        book.deliver(now);
        for (session, tray) in book.trays.clone() {
            for (job, request) in tray.next().requests {
                book.begin(session, job, request, now, self.time.now().0);
            }
        }
    }

    /// A process waits for its requests: time passes meanwhile.
    pub(crate) fn wait(&self) {
        self.time.pass(25);
        self.run();
    }

    /// The process is dead. What it had asked for and not recorded is unknown to its successor.
    pub(crate) fn close(&self, session: u64) {
        let now = self.time.passed_ms();
        let mut book = self.book.lock();
        book.trays.remove(&session);
        let asked: Vec<usize> = (0..book.asks.len()).filter(|ask| book.asks[*ask].session == session).collect();
        for ask in asked {
            if book.asks[ask].fate == Fate::UnderWay {
                // What is on its way is with Telegram, or it is nowhere.
                if book.asks[ask].kind.takes() && book.asks[ask].taken_ms.is_none() && book.random.permille(500) {
                    book.take(ask, now);
                }
                book.due.retain(|_, due| !matches!(due, Due::Take(place) | Due::Answer(place) if *place == ask));
            }
            book.lose(ask, Fate::Lost);
        }
        book.committed.refresh();
        for (_, event) in book.unmade_of(session, |_| true) {
            book.was_not_made(event);
        }
    }

    /// The process has given up in good order the partitions in which these chats are, which it was told to do then: what was answered soon
    /// after is recorded, and of what was not asked no intent is left.
    pub(crate) fn end_in_order(&self, session: u64, told_ms: u64, is_of: impl Fn(&str) -> bool) {
        let mut book = self.book.lock();
        book.committed.refresh();
        for place in 0..book.asks.len() {
            let Ask { session: by, job, answered_ms, event, fate, .. } = book.asks[place];
            let chat = &book.events[event].chat;
            // Whoever has lost a partition records nothing there any more.
            if by == session
                && is_of(chat)
                && !matches!(fate, Fate::Lost | Fate::Moved)
                && answered_ms <= told_ms + PATIENCE_MS
                && book.committed.has_intent(chat, session, job)
            {
                book.violation(format!("#{place} was answered at {answered_ms}, and its process ended in good order without recording it"));
            }
        }
        for (job, event) in book.unmade_of(session, is_of) {
            book.violation(format!(
                "{session:x}/{job} for event {event} was not asked, and its process ended in good order without saying so"
            ));
        }
    }

    /// The process has lost partitions, in which these chats are.
    pub(crate) fn take_away(&self, session: u64, is_lost: impl Fn(&str) -> bool) {
        let mut book = self.book.lock();
        let is_of = |book: &Book, ask: usize| book.asks[ask].session == session && is_lost(&book.events[book.asks[ask].event].chat);
        let asked: Vec<usize> = (0..book.asks.len()).filter(|ask| is_of(&book, *ask)).collect();
        for ask in asked {
            book.lose(ask, Fate::Moved);
        }
    }

    /// The process has got partitions, in which these chats are.
    pub(crate) fn give(&self, session: u64, is_given: impl Fn(&str) -> bool) {
        let mut book = self.book.lock();
        book.committed.refresh();
        // Others that do not know yet that they have lost the partition, and never asked: nobody can know that.
        for other in book.trays.keys().copied().filter(|other| *other != session).collect::<Vec<_>>() {
            for (_, event) in book.unmade_of(other, &is_given) {
                book.was_not_made(event);
            }
        }
        for place in 0..book.asks.len() {
            let ask = &book.asks[place];
            let is_open = ask.session != session && matches!(ask.fate, Fate::UnderWay | Fate::Heard);
            // What its process hears now, or has heard and not recorded, its successor does not know: also for how long the chat is to wait.
            if is_open && is_given(&book.events[ask.event].chat) {
                book.lose(place, Fate::Lost);
            }
        }
        let Book { asks, events, due, .. } = &mut *book;
        for (place, ask) in asks.iter_mut().enumerate().filter(|(_, ask)| ask.fate == Fate::Moved && is_given(&events[ask.event].chat)) {
            let is_open = due.values().any(|due| matches!(due, Due::Answer(of) if *of == place));
            ask.fate = match (ask.session == session, is_open) {
                (false, _) => Fate::Lost,
                (true, true) => Fate::UnderWay,
                (true, false) => Fate::Heard,
            };
        }
    }

    /// The wall clock was set forward: waits that go by it end earlier.
    pub(crate) fn wall_was_set(&self, forward_ms: u64) {
        let mut book = self.book.lock();
        for (until, _) in book.told.values_mut() {
            *until = until.saturating_sub(forward_ms);
        }
    }

    /// When the next answer is due.
    pub(crate) fn next_due(&self) -> Option<u64> {
        self.book.lock().due.keys().next().map(|(at, _)| *at)
    }
}

impl Book {
    fn violation(&mut self, what: String) {
        self.trace.push(format!("VIOLATION {what}"));
        self.violations.push(what);
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn put(&mut self, at: u64, due: Due) {
        self.number += 1;
        self.due.insert((at, self.number), due);
    }

    /// Intents in the name of a process whose requests were not made, in these chats: number of the request, event.
    fn unmade_of(&self, session: u64, is_of: impl Fn(&str) -> bool) -> Vec<(u64, usize)> {
        let intents = self.committed.intents(session).into_iter().filter(|(chat, ..)| is_of(chat));
        let unmade = intents.filter(|(_, job, _)| !self.asks.iter().any(|ask| ask.session == session && ask.job == *job));
        let number = |chat: &str, event: &str| {
            self.events.iter().enumerate().position(|(number, said)| said.chat == chat && Event::id(number) == event).unwrap()
        };
        unmade.map(|(chat, job, event)| (job, number(&chat, &event))).collect()
    }

    /// Nobody can know that a request was not made.
    fn was_not_made(&mut self, event: usize) {
        *self.unmade.entry(event).or_default() += 1;
        self.count("S1");
    }

    /// An ask whose outcome nobody recorded is lost, as its intent tells.
    fn lose(&mut self, ask: usize, to: Fate) {
        self.committed.refresh();
        let Ask { session, job, fate, event, .. } = self.asks[ask];
        if matches!(fate, Fate::Moved | Fate::Lost) && to == Fate::Moved
            || !self.committed.has_intent(&self.events[event].chat, session, job)
        {
            return;
        }
        self.count(match (to, fate) {
            (Fate::Moved, _) => "moved away",
            (_, Fate::Heard) => "S3",
            _ => "S2",
        });
        self.trace.push(format!("{to:?} #{ask}"));
        self.asks[ask].fate = to;
        let chat = self.events[event].chat.clone();
        if self.told.get(&chat).is_some_and(|(_, by)| *by == ask) {
            self.told.remove(&chat);
        }
    }

    fn deliver(&mut self, now: u64) {
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now) {
            match entry.remove() {
                Due::Take(ask) => self.take(ask, now),
                Due::Answer(ask) => self.answer(ask, now),
            }
        }
    }

    fn take(&mut self, ask: usize, now: u64) {
        let (event, to) = (self.asks[ask].event, self.asks[ask].to.clone());
        let edited = match &self.asks[ask].request {
            Request::Edit { message_id, .. } => Some(*message_id),
            Request::Send(_) => None,
        };
        self.number += 1;
        let message_id = edited.unwrap_or_else(|| i64::try_from(self.number).unwrap());
        self.chats.entry(to).or_default().messages.insert(message_id, event);
        let taken = &mut self.asks[ask];
        (taken.taken_ms, taken.message_id) = (Some(now), message_id);
        self.trace.push(format!("{now} takes #{ask}: event {event}"));
    }

    fn answer(&mut self, ask: usize, now: u64) {
        let Ask { session, job, kind, message_id, fate, .. } = self.asks[ask];
        let Some(tray) = self.trays.get(&session).map(Arc::clone) else { return };
        if fate == Fate::UnderWay {
            self.asks[ask].fate = Fate::Heard;
        }
        self.trace.push(format!("{now} answers #{ask}: {kind:?}"));
        if let Some(seconds) = kind.seconds() {
            let chat = self.events[self.asks[ask].event].chat.clone();
            if self.asks[ask].fate == Fate::Heard {
                self.told.insert(chat, (now + seconds * 1_000, ask));
            }
        }
        let outcome = kind.outcome(&self.asks[ask].request, message_id);
        tray.done(job, outcome);
    }

    /// A request comes.
    fn begin(&mut self, session: u64, job: u64, request: Request, now: u64, wall: i64) {
        let (Request::Send(message) | Request::Edit { message, .. }) = &request;
        let (event, to) = (Event::number(&message.text), message.chat_id.clone());
        let edits = matches!(request, Request::Edit { .. });
        self.judge((session, job), event, &to, edits, now);
        let kind = self.choose(&request, event, &to, now);
        self.count(kind.name());
        let ask = self.asks.len();
        self.trace.push(format!("{now} ({wall}) #{ask} of {session:x}/{job}: event {event} to {to}, edits {edits}: {kind:?}"));
        let latency = match kind {
            Kind::TimedOut { .. } | Kind::SlowBody => TIMEOUT_MS,
            Kind::TakenSlowly => self.random.between(1_000, TIMEOUT_MS - 1),
            _ => self.random.between(5, 300),
        };
        if kind.takes() {
            let after = self.random.below(latency.min(2_000));
            self.put(now + after, Due::Take(ask));
        }
        self.put(now + latency, Due::Answer(ask));
        self.asks.push(Ask {
            session,
            job,
            to,
            event,
            request,
            edits,
            kind,
            taken_ms: None,
            message_id: 0,
            answered_ms: now + latency,
            fate: Fate::UnderWay,
        });
    }

    /// What is answered.
    fn choose(&mut self, request: &Request, event: usize, to: &str, now: u64) -> Kind {
        let (Request::Send(message) | Request::Edit { message, .. }) = request;
        if now < self.revoked_until {
            return Kind::Unauthorized;
        }
        if now < self.all_wait_until {
            return Kind::AllWait((self.all_wait_until - now).div_ceil(1_000));
        }
        let chat = self.chats.entry(to.to_owned()).or_default();
        if now < chat.waits_until {
            return Kind::ChatWaits((chat.waits_until - now).div_ceil(1_000));
        }
        if let Some(to) = chat.moved_to {
            return Kind::Migrated(to);
        }
        if now < chat.blocked_until {
            return if chat.blocked_until.is_multiple_of(2) { Kind::Forbidden } else { Kind::NoChat };
        }
        let said = &self.events[event];
        if said.has_bad_markup && !message.parse_mode.is_empty() {
            return Kind::BadMarkup;
        }
        if let Request::Edit { message_id, .. } = request {
            match chat.messages.get(message_id) {
                None => return Kind::NothingToEdit,
                Some(shown) if *shown == event => return Kind::Unmodified,
                Some(_) => {}
            }
        } else if said.has_bad_thread && message.message_thread_id != 0 {
            return Kind::BadThread;
        }
        if said.is_refused {
            return Kind::Refused;
        }
        if self.random.permille(self.trouble) { self.trouble(request, to, now) } else { Kind::Taken }
    }

    /// Something that goes wrong.
    fn trouble(&mut self, request: &Request, to: &str, now: u64) -> Kind {
        let (seconds, taken) = (self.random.between(1, 20), self.random.permille(500));
        let until = now + seconds * 1_000;
        let new_id = self.random.between(1, 1_000_000_000);
        match self.random.below(38) {
            0..=3 => Kind::TakenSlowly,
            4..=6 => {
                self.chats.entry(to.to_owned()).or_default().waits_until = until;
                Kind::ChatWaits(seconds)
            }
            7 => {
                self.all_wait_until = until;
                Kind::AllWait(seconds)
            }
            8 => Kind::HeaderWaits(seconds),
            9..=11 => Kind::Internal,
            12..=14 => Kind::BadGateway,
            15..=16 => Kind::GatewayTimedOut { taken },
            22..=24 => Kind::Unconnected,
            25..=28 => Kind::Reset { taken },
            29..=30 => Kind::SlowBody,
            31..=32 => Kind::HalfDocument,
            33 => {
                self.chats.entry(to.to_owned()).or_default().blocked_until = now + self.random.between(1_000, 120_000);
                if self.chats[to].blocked_until.is_multiple_of(2) { Kind::Forbidden } else { Kind::NoChat }
            }
            34 => {
                if let Request::Edit { message_id, .. } = request {
                    self.chats.entry(to.to_owned()).or_default().messages.remove(message_id);
                    return Kind::NothingToEdit;
                }
                Kind::Internal
            }
            35 if to.starts_with('-') && !to.starts_with("-100") => {
                let new = -1_000_000_000_000 - i64::try_from(new_id).unwrap();
                self.chats.entry(to.to_owned()).or_default().moved_to = Some(new);
                Kind::Migrated(new)
            }
            36 if self.random.permille(300) => {
                self.revoked_until = now + self.random.between(1_000, 30_000);
                Kind::Unauthorized
            }
            // 17 to 21, and what had no reason to be anything else.
            _ => Kind::TimedOut { taken },
        }
    }
}
