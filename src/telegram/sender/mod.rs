//! The sender: a processor on the engine that has the messages of the outbox sent, each once, those of a chat in their order.
//!
//! | step | where | a crash after it leaves |
//! |---|---|---|
//! | a record becomes a row of its chat's queue | `process`, committed with the input's offset | the queue |
//! | a chat's turn comes: the *intent* is written | `punctuate`, committed | S1: an intent without an outcome |
//! | the request is made | the [`Desk`], after that commit | S2, S3: the same |
//! | its outcome is recorded | `punctuate`, committed | S4: nothing to do |
//!
//! An intent of another process without an outcome is *unknown*: what becomes of its message is the chat's setting. Everything else is known, and a
//! commit that fails is repeated from the store and from the desk, which keeps an outcome until it is recorded.

mod book;
mod incoming;
mod letter;
mod outcome;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use letter::Letter;

use super::desk::{Desk, Known};
use super::sent_log::{self, ChatId, ChatRow, Event, Intent, Queued};
use super::{Message, Request, text};
use crate::avro::{self, Aliases, AvroDeserializer, JsonDeserializer, Registry, Row, Schema, shipped};
use crate::config::{OnUnknown, ValueFormat};
use crate::processors::message_shape;
use crate::streams::clock::Timestamp;
use crate::streams::processor::{
    BoxError, Deserializer, InitContext, Processor, ProcessorContext, Punctuation, PunctuationType, Record, StoreId,
};
use crate::streams::topology::{self, Source, Start, Topology, TopologyBuilder};
pub(super) use incoming::Incoming;
use letter::{Raw, Reading};
use view::{Extent, Turn, View};

/// How often it is looked whose turn it is.
const TURN: Duration = Duration::from_millis(20);

/// A run until the end leaves what waits longer to the next one, also for a service that is out of reach.
const END_WAIT: Duration = Duration::from_secs(60);

/// Chats that are looked at in one step when they are not all in memory.
const LOOK_MAX: usize = 1_000;

/// Messages that become dead letters in one step: each has its bytes in the transaction.
const GIVE_UP_MAX: usize = 200;

/// How often old rows are forgotten, and how many in one step.
const FORGET_INTERVAL_MS: i64 = 1_000;
const FORGET_MAX: usize = 200;

/// A clock that goes back by less is not worth a look at all chats: each waits that much longer.
const CLOCK_STEP_MS: i64 = 1_000;

/// What the sender goes by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The topic of the messages.
    pub outbox: Arc<str>,
    /// How their values are written.
    pub format: ValueFormat,
    /// The topic of those that cannot be delivered.
    pub dead_letters: Arc<str>,
    /// What becomes of a message that may have been sent.
    pub on_unknown: OnUnknown,
    /// The same for single chats, by their id.
    pub chats: BTreeMap<String, OnUnknown>,
    /// How long it is remembered what was sent.
    pub remember: Duration,
    /// Chats with a queue that a partition has in memory; the others come in turns.
    pub chats_max: usize,
}

impl Settings {
    fn on_unknown(&self, chat: &str) -> OnUnknown {
        self.chats.get(chat).copied().unwrap_or(self.on_unknown)
    }
}

/// Why the sender cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The schema of the messages, which ships with the binary.
    #[error("the schema of the messages cannot be used")]
    Schema(#[source] BoxError),
    /// The nodes do not make a topology.
    #[error("the sender's topology cannot be built")]
    Topology(#[from] topology::Error),
}

/// The sender's topology.
pub fn topology(settings: &Settings, registry: Arc<dyn Registry>, desk: Arc<Desk>) -> Result<Topology<Letter>, Error> {
    let source = source(settings, registry)?;
    let shared = Arc::new(settings.clone());
    let topology = TopologyBuilder::new()
        .source("outbox", source)
        .store(sent_log::store())
        .processor("send", &["outbox"], &[sent_log::STORE], move || Sender::new(Arc::clone(&shared), Arc::clone(&desk)))
        .sink("dead-letters", &["send"], &settings.dead_letters, || Raw)
        .build()?;
    Ok(topology)
}

/// The outbox, from its beginning: what was written before the first start waits to be sent.
fn source(settings: &Settings, registry: Arc<dyn Registry>) -> Result<Source<Letter>, Error> {
    let reading = reading(settings.format, registry)?;
    let blank = || Letter { row: Row::of(&message_shape()), raw: Vec::new() };
    Ok(Source::new(Arc::clone(&settings.outbox), Start::Earliest, move || Reading(reading()), blank))
}

/// Makes readers of the outbox's values.
pub(super) fn reading(
    format: ValueFormat,
    registry: Arc<dyn Registry>,
) -> Result<impl Fn() -> Box<dyn Deserializer<Row>> + Send + Sync + 'static, Error> {
    let text = shipped("telegram_message").unwrap_or_default();
    let schema = Schema::parse(text).map_err(|error: avro::Error| Error::Schema(error.into()))?;
    let json = JsonDeserializer::new(&schema, &message_shape(), &Aliases::default()).map_err(|error| Error::Schema(error.into()))?;
    Ok(move || -> Box<dyn Deserializer<Row>> {
        match format {
            ValueFormat::Avro => {
                Box::new(AvroDeserializer::new(Arc::clone(&registry), schema.clone(), message_shape(), Aliases::default()))
            }
            ValueFormat::Json => Box::new(json.clone()),
        }
    })
}

/// A fault of the sender's own rows.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the sender is not connected to its store")]
    NotConnected,
    #[error("message {number} of chat {chat} is missing in the sent log")]
    Missing { chat: String, number: u64 },
}

type Context<'a> = dyn ProcessorContext<Letter> + 'a;

/// The processor: one partition of the outbox.
#[derive(Debug)]
struct Sender {
    settings: Arc<Settings>,
    desk: Arc<Desk>,
    store: Option<StoreId>,
    /// What the desk calls this task.
    owner: Option<u64>,
    view: View,
    /// Requests whose intents are in the open transaction.
    pending: Vec<(u64, Request)>,
    /// Requests whose outcomes are in the open transaction.
    settled: Vec<u64>,
    forget_at: Timestamp,
    /// When it was last looked whose turn it is.
    looked_at: Timestamp,
    /// When it was last said that requests are not taken.
    said_at: Option<Timestamp>,
    ended: bool,
}

impl Sender {
    fn new(settings: Arc<Settings>, desk: Arc<Desk>) -> Self {
        Self {
            view: View::new(settings.chats_max),
            settings,
            desk,
            store: None,
            owner: None,
            pending: Vec::new(),
            settled: Vec::new(),
            forget_at: Timestamp(0),
            looked_at: Timestamp(0),
            said_at: None,
            ended: false,
        }
    }

    fn store<'c>(&self, context: &'c mut Context<'_>) -> Result<&'c mut dyn crate::streams::processor::KeyValueStore, BoxError> {
        Ok(context.store(self.store.ok_or(Fault::NotConnected)?))
    }

    fn owner(&self) -> u64 {
        self.owner.unwrap_or_default()
    }

    /// Puts a message into the queue of its chat.
    fn enqueue(&mut self, chat: &str, message: &Queued, context: &mut Context<'_>) -> Result<(), BoxError> {
        let now = context.wall_clock();
        let known = self.view.row(chat).cloned();
        let store = self.store(context)?;
        let mut row = match known {
            Some(row) => row,
            None => book::chat(store, chat)?.unwrap_or_default(),
        };
        row.obey_clock(now);
        book::put_message(store, chat, row.next, message)?;
        row.next += 1;
        book::put_chat(store, chat, &row)?;
        book::note(store, chat, &message.event_id, Event::Queued)?;
        if self.view.has(chat) {
            self.view.update(chat, row);
        } else if self.view.extent == Extent::Whole {
            if self.view.is_full() {
                // From now on it holds a part; the store is gone through for the rest.
                self.view.extent = Extent::Part { after: None, met: 0 };
                self.view.drop_waiting(now);
            } else {
                let since = row.wait_until.max(now);
                self.view.set(&chat.into(), row, Turn::Due(since));
            }
        }
        Ok(())
    }

    /// Fills the view from the store, all at once or a step further.
    fn look(&mut self, context: &mut Context<'_>) -> Result<(), BoxError> {
        let (after, met, limit) = match &self.view.extent {
            Extent::Whole => return Ok(()),
            Extent::Nothing => {
                self.take_up_requests(context)?;
                (None, 0, self.view.limit() + 1)
            }
            Extent::Part { after, met } => (after.clone(), *met, LOOK_MAX.min(self.view.limit().saturating_sub(self.view.len()))),
        };
        if limit == 0 {
            return Ok(());
        }
        let nothing = self.view.extent == Extent::Nothing;
        let found = book::chats(self.store(context)?, after.as_deref(), limit)?;
        let ended = found.len() < limit;
        let whole = nothing && ended;
        let last = found.last().map(|(chat, _)| ChatId::from(chat.as_str()));
        let met = met + found.iter().filter(|(_, row)| row.has_queue()).count();
        self.view.extent = if whole { Extent::Whole } else { Extent::Part { after: last.or(after), met } };
        for (chat, row) in found {
            if !self.view.has(&chat) && !self.view.is_full() {
                self.meet(&chat.into(), row, context)?;
            }
        }
        if ended && !whole {
            self.view.extent = Extent::Part { after: None, met: 0 };
            if met <= self.view.limit() / 2 {
                // Few enough by now to have them all. At once: what is under way must be in the view when its outcome is recorded.
                self.view.clear();
                return self.look(context);
            }
        }
        Ok(())
    }

    /// Takes up the requests that the desk has for this task already.
    fn take_up_requests(&mut self, context: &mut Context<'_>) -> Result<(), BoxError> {
        for (job, chat) in self.desk.jobs(self.owner()) {
            let row = book::chat(self.store(context)?, &chat)?;
            match row.filter(|row| self.is_own(row.intent, job)) {
                Some(row) => self.view.set(&chat, row, Turn::Flying),
                // It is recorded, but not committed yet.
                None => self.settled.push(job),
            }
        }
        Ok(())
    }

    /// Takes up the requests of this process that were not met yet, as after a restore: what came of them is known here and nowhere else.
    fn meet_own(&mut self, context: &mut Context<'_>) -> Result<(), BoxError> {
        let mut after: Option<ChatId> = None;
        while self.view.extent != Extent::Whole {
            let found = book::chats(self.store(context)?, after.as_deref(), LOOK_MAX)?;
            let ended = found.len() < LOOK_MAX;
            for (chat, row) in found {
                let chat = ChatId::from(chat);
                let own = row.intent.is_some_and(|intent| intent.session == self.desk.session());
                if own && !self.view.is_flying(&chat) {
                    self.meet(&chat, row, context)?;
                }
                after = Some(chat);
            }
            if ended {
                break;
            }
        }
        Ok(())
    }

    fn is_own(&self, intent: Option<Intent>, job: u64) -> bool {
        intent.is_some_and(|intent| intent.session == self.desk.session() && intent.job == job)
    }

    /// Takes a chat that was found in the store into the view.
    fn meet(&mut self, chat: &ChatId, mut row: ChatRow, context: &mut Context<'_>) -> Result<(), BoxError> {
        let now = context.wall_clock();
        if row.obey_clock(now) {
            book::put_chat(self.store(context)?, chat, &row)?;
        }
        if !row.has_queue() {
            return if row.is_idle(now) { book::forget_chat(self.store(context)?, chat) } else { Ok(()) };
        }
        if let Some(intent) = row.intent {
            let known = if intent.session == self.desk.session() { self.desk.adopt(self.owner(), intent.job) } else { Known::Perhaps };
            match known {
                Known::Here => self.view.set(chat, row, Turn::Flying),
                Known::Perhaps => return self.unknown(chat, row, "the process ended before the outcome was recorded", context),
                Known::Never => {
                    // Written, or whoever comes after this process cannot know it.
                    row.intent = None;
                    book::put_chat(self.store(context)?, chat, &row)?;
                    self.wait_for_turn(chat, row);
                }
            }
            return Ok(());
        }
        if self.view.extent == Extent::Whole || row.wait_until <= now || row.give_up_before > row.head {
            self.wait_for_turn(chat, row);
        }
        Ok(())
    }

    fn wait_for_turn(&mut self, chat: &ChatId, row: ChatRow) {
        let turn = if row.give_up_before > row.head { Turn::GivingUp } else { Turn::Due(row.wait_until) };
        self.view.set(chat, row, turn);
    }

    /// Writes the intents of the chats whose turn it is.
    fn start(&mut self, context: &mut Context<'_>, now: Timestamp) -> Result<(), BoxError> {
        while let Some(chat) = self.view.first_due(now) {
            let Some(mut row) = self.view.row(&chat).cloned() else { break };
            let Some(job) = self.desk.reserve(self.owner(), &chat) else { break };
            let store = self.store(context)?;
            let missing = || Fault::Missing { chat: chat.to_string(), number: row.head };
            let message = book::message(store, &chat, row.head)?.ok_or_else(missing)?;
            let editable = if message.edit_key.is_empty() || row.tried.as_new {
                None
            } else {
                let editable = book::editable(store, &chat, &message.edit_key)?;
                editable.filter(|editable| editable.moved_to == row.moved_to).map(|editable| editable.message_id)
            };
            row.intent = Some(Intent { session: self.desk.session(), job, edits: editable });
            row.end_wait();
            book::put_chat(store, &chat, &row)?;
            self.pending.push((job, request(&chat, &row, message, editable)));
            self.view.set(&chat, row, Turn::Flying);
        }
        Ok(())
    }

    fn forget_old(&mut self, context: &mut Context<'_>, now: Timestamp) -> Result<(), BoxError> {
        if now < self.forget_at {
            return Ok(());
        }
        let remember_ms = i64::try_from(self.settings.remember.as_millis()).unwrap_or(i64::MAX);
        let forgotten = book::forget_older(self.store(context)?, Timestamp(now.0.saturating_sub(remember_ms)), FORGET_MAX)?;
        // Where there is more, it goes on at once.
        self.forget_at = Timestamp(if forgotten < FORGET_MAX { now.0.saturating_add(FORGET_INTERVAL_MS) } else { now.0 });
        Ok(())
    }
}

/// What is asked of Telegram for a message.
pub(super) fn request(chat: &str, row: &ChatRow, queued: Queued, edits: Option<i64>) -> Request {
    let (text, parse_mode) = if row.tried.plain && !queued.parse_mode.is_empty() {
        let plain = text::plain(&queued.text, &queued.parse_mode);
        (text::fit(&plain, "").into_owned(), String::new())
    } else {
        (queued.text, queued.parse_mode)
    };
    let message = Message {
        chat_id: row.moved_to.map_or_else(|| chat.to_owned(), |id| id.to_string()),
        text,
        parse_mode,
        message_thread_id: if row.tried.no_thread { 0 } else { queued.message_thread_id },
        disable_notification: queued.disable_notification,
        disable_web_page_preview: queued.disable_web_page_preview,
    };
    match edits {
        Some(message_id) => Request::Edit { message_id, message },
        None => Request::Send(message),
    }
}

impl Processor<Letter> for Sender {
    fn init(&mut self, context: &mut InitContext<'_>) -> Result<(), BoxError> {
        self.store = Some(context.store(sent_log::STORE).ok_or(Fault::NotConnected)?);
        self.owner = Some(self.desk.join());
        context.schedule(PunctuationType::WallClockTime, TURN);
        Ok(())
    }

    fn process(&mut self, record: &Record<'_, Letter>, context: &mut dyn ProcessorContext<Letter>) -> Result<(), BoxError> {
        let (Some(letter), Some(source)) = (record.value, context.source()) else {
            context.count("tombstones_total", 1);
            return Ok(());
        };
        let Incoming { chat, message, replayed } = Incoming::of(&letter.row, source.source, &source.record)?;
        match book::event(self.store(context)?, &chat, &message.event_id)? {
            None => {}
            Some(Event::GivenUp { .. }) if replayed => {}
            Some(_) => {
                tracing::debug!(chat, event = message.event_id, "known already");
                context.count("duplicates_total", 1);
                return Ok(());
            }
        }
        self.enqueue(&chat, &message, context)
    }

    fn punctuate(&mut self, punctuation: &Punctuation, context: &mut dyn ProcessorContext<Letter>) -> Result<(), BoxError> {
        if self.ended {
            return Ok(());
        }
        let now = punctuation.timestamp;
        if now.0 < self.looked_at.0.saturating_sub(CLOCK_STEP_MS) {
            tracing::warn!(ms = self.looked_at.0 - now.0, "the clock was set back: what waits is looked through again");
            self.view.clear();
            (self.forget_at, self.said_at) = (now, None);
        }
        self.looked_at = now;
        self.desk.beat(self.owner());
        self.look(context)?;
        self.record_outcomes(context)?;
        self.give_up_queues(context)?;
        self.start(context, now)?;
        self.forget_old(context, now)
    }

    fn committed(&mut self) {
        self.desk.forget(&self.settled);
        self.settled.clear();
        for (job, request) in self.pending.drain(..) {
            self.desk.hand(job, request);
        }
    }

    fn rolled_back(&mut self) {
        self.pending.clear();
        self.settled.clear();
        self.desk.release(self.owner());
        self.view.clear();
    }

    fn is_unfinished(&self) -> bool {
        let wait_ms = i64::try_from(END_WAIT.as_millis()).unwrap_or(i64::MAX);
        let has_work = !self.ended && self.view.has_work_until(Timestamp(self.looked_at.0.saturating_add(wait_ms)));
        has_work && !self.desk.is_out_of_reach_for(END_WAIT)
    }

    fn suspend(&mut self, context: &mut dyn ProcessorContext<Letter>) -> Result<(), BoxError> {
        self.ended = true;
        self.meet_own(context)?;
        self.take_back(context)?;
        self.desk.settle(self.owner());
        self.record_outcomes(context)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if let Some(owner) = self.owner {
            self.desk.leave(owner);
        }
    }
}

#[cfg(test)]
mod tests;
