//! What is done about the outcome of a request. Everything here is in one transaction with the intent's end.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::letter::{self, Letter};
use super::view::{Extent, Turn};
use super::{Context, Fault, GIVE_UP_MAX, Sender, book};
use crate::config::OnUnknown;
use crate::streams::clock::Timestamp;
use crate::streams::processor::{BoxError, Record};
use crate::telegram::Outcome;
use crate::telegram::desk::Delivery;
use crate::telegram::sent_log::{ChatId, ChatRow, Editable, Event, Intent, Queued};

/// How long a chat that takes nothing from the bot is left alone.
const PARK: Duration = Duration::from_secs(3600);

/// The first wait after a request that was not taken, and the longest.
const BACK_OFF_FIRST_MS: u64 = 1_000;
const BACK_OFF_MAX_MS: u64 = 30_000;

/// How often it is said that requests are not taken.
const SAY_INTERVAL_MS: i64 = 60_000;

impl Sender {
    /// Records what came of this task's requests.
    pub(super) fn record_outcomes(&mut self, context: &mut Context<'_>) -> Result<(), BoxError> {
        for (job, chat, delivery) in self.desk.outcomes(self.owner()) {
            if self.settled.contains(&job) {
                continue;
            }
            let row = match self.view.row(&chat).filter(|_| self.view.is_flying(&chat)).cloned() {
                Some(row) => Some(row),
                None => book::chat(self.store(context)?, &chat)?,
            };
            // Otherwise it is recorded already, and not committed yet.
            let row = row.filter(|row| self.is_own(row.intent, job));
            match (row, delivery) {
                (None, _) => {}
                (Some(mut row), Delivery::NotMade) => {
                    row.intent = None;
                    self.go_on(&chat, row, context)?;
                }
                (Some(row), Delivery::Made(outcome)) => self.record(&chat, row, outcome, context)?,
            }
            self.settled.push(job);
        }
        Ok(())
    }

    fn record(&mut self, chat: &ChatId, mut row: ChatRow, outcome: Outcome, context: &mut Context<'_>) -> Result<(), BoxError> {
        let now = context.wall_clock();
        let intent = row.intent.take();
        let class = outcome.class();
        match outcome {
            Outcome::Sent { message_id } => return self.sent(chat, row, message_id, context),
            Outcome::Unchanged => {
                let message_id = intent.and_then(|intent| intent.edits).unwrap_or_default();
                return self.sent(chat, row, message_id, context);
            }
            Outcome::Unknown { reason } => {
                row.intent = intent;
                return self.unknown(chat, row, &reason, context);
            }
            Outcome::Refused { reason } => return self.refuse(chat, row, class, &reason, context),
            Outcome::Parked { reason } => return self.park(chat, row, reason, context),
            Outcome::Wait { seconds, reason } => {
                row.wait(now, seconds.saturating_mul(1_000));
                context.count("waits_total", 1);
                tracing::info!(chat = &**chat, seconds, reason, "the chat waits as Telegram says");
            }
            Outcome::Retry { reason } => {
                context.count("retries_total", 1);
                self.back_off(chat, &mut row, intent, &reason, now);
            }
            Outcome::Migrated { chat_id } if !row.tried.moved => {
                row.tried.moved = true;
                row.moved_to = Some(chat_id);
                context.count("migrations_total", 1);
                tracing::warn!(chat = &**chat, now = chat_id, "the group has become a supergroup: its messages go to the new id");
            }
            Outcome::Migrated { chat_id } => {
                let reason = format!("the chat has moved again, to {chat_id}");
                return self.refuse(chat, row, class, &reason, context);
            }
            Outcome::PlainText { reason } if !row.tried.plain => {
                row.tried.plain = true;
                tracing::warn!(chat = &**chat, reason, "the markup is wrong: the message goes as plain text");
            }
            Outcome::NoThread { reason } if !row.tried.no_thread => {
                row.tried.no_thread = true;
                tracing::warn!(chat = &**chat, reason, "the topic takes nothing: the message goes without it");
            }
            Outcome::Gone { reason } if !row.tried.as_new => {
                row.tried.as_new = true;
                let message = self.head(chat, &row, context)?;
                book::forget_editable(self.store(context)?, chat, &message.edit_key)?;
                tracing::info!(chat = &**chat, reason, "the message to edit is gone: a new one is sent");
            }
            Outcome::PlainText { reason } | Outcome::NoThread { reason } | Outcome::Gone { reason } => {
                return self.refuse(chat, row, class, &reason, context);
            }
            // The desk has said it, and makes no request any more.
            Outcome::Stop { .. } => {}
        }
        self.go_on(chat, row, context)
    }

    /// The message whose turn it is.
    fn head(&self, chat: &str, row: &ChatRow, context: &mut Context<'_>) -> Result<Queued, BoxError> {
        let missing = || Fault::Missing { chat: chat.to_owned(), number: row.head };
        Ok(book::message(self.store(context)?, chat, row.head)?.ok_or_else(missing)?)
    }

    fn sent(&mut self, chat: &ChatId, mut row: ChatRow, message_id: i64, context: &mut Context<'_>) -> Result<(), BoxError> {
        let (message, at) = (self.head(chat, &row, context)?, context.wall_clock());
        let store = self.store(context)?;
        book::note(store, chat, &message.event_id, Event::Sent { message_id, at })?;
        if !message.edit_key.is_empty() {
            book::put_editable(store, chat, &message.edit_key, Editable { message_id, at, moved_to: row.moved_to })?;
        }
        book::pop(store, chat, &mut row)?;
        row.failures = 0;
        context.count("sent_total", 1);
        tracing::debug!(chat = &**chat, event = message.event_id, message_id, "sent");
        self.go_on(chat, row, context)
    }

    /// A request that may have been taken or not: the chat's setting decides.
    pub(super) fn unknown(&mut self, chat: &ChatId, mut row: ChatRow, reason: &str, context: &mut Context<'_>) -> Result<(), BoxError> {
        let intent = row.intent.take();
        context.count("unknown_outcomes_total", 1);
        // An edit that is made twice changes nothing the second time.
        let edits = intent.is_some_and(|intent| intent.edits.is_some());
        let event = self.head(chat, &row, context)?.event_id;
        // The process's own end is no sign that the service is in trouble.
        let ours = intent.is_some_and(|intent| intent.session == self.desk.session());
        if ours {
            self.back_off(chat, &mut row, intent, reason, context.wall_clock());
        }
        if edits || self.settings.on_unknown(chat) == OnUnknown::SendAgain {
            tracing::warn!(chat = &**chat, event, reason, "whether the message arrived is not known: it is sent again");
            return self.go_on(chat, row, context);
        }
        tracing::warn!(chat = &**chat, event, reason, "whether the message arrived is not known: it goes to the dead letters");
        self.give_up(chat, &mut row, "Unknown", reason, context)?;
        self.go_on(chat, row, context)
    }

    /// This message is never taken.
    fn refuse(
        &mut self,
        chat: &ChatId,
        mut row: ChatRow,
        class: &'static str,
        reason: &str,
        context: &mut Context<'_>,
    ) -> Result<(), BoxError> {
        let event = self.give_up(chat, &mut row, class, reason, context)?;
        tracing::warn!(chat = &**chat, event, reason, "the message was refused: it goes to the dead letters");
        row.failures = 0;
        self.go_on(chat, row, context)
    }

    /// The chat takes nothing: what waits for it goes to the dead letters, and what comes within the next hour waits.
    fn park(&mut self, chat: &ChatId, mut row: ChatRow, reason: String, context: &mut Context<'_>) -> Result<(), BoxError> {
        context.count("parks_total", 1);
        tracing::warn!(
            chat = &**chat,
            messages = row.next - row.head,
            reason,
            "the chat takes nothing from the bot: what waits goes to the dead letters, and nothing is tried for an hour"
        );
        row.give_up_before = row.next;
        row.reason = reason;
        row.failures = 0;
        row.wait(context.wall_clock(), u64::try_from(PARK.as_millis()).unwrap_or(u64::MAX));
        self.go_on(chat, row, context)
    }

    /// The chat waits, longer each time, for what is no fault of the message.
    fn back_off(&mut self, chat: &str, row: &mut ChatRow, intent: Option<Intent>, reason: &str, now: Timestamp) {
        // Two in a row may be chance.
        let longest = BACK_OFF_FIRST_MS.saturating_mul(1 << row.failures.saturating_sub(1).min(20)).min(BACK_OFF_MAX_MS);
        row.failures = row.failures.saturating_add(1);
        let seed = intent.map(|intent| (intent.session ^ intent.job).to_be_bytes()).unwrap_or_default();
        // Between half of it and all of it: what failed together is not tried together.
        row.wait(now, longest / 2 + xxh3_64(&seed) % (longest / 2));
        if self.said_at.is_none_or(|at| now.0 >= at.0.saturating_add(SAY_INTERVAL_MS)) {
            self.said_at = Some(now);
            tracing::warn!(chat, failures = row.failures, reason, "messages are not taken; they are tried again until they are");
        }
    }

    /// Sends the dead letters of the chats that take nothing, some at a time.
    pub(super) fn give_up_queues(&mut self, context: &mut Context<'_>) -> Result<(), BoxError> {
        let mut left = GIVE_UP_MAX;
        while let Some(chat) = self.view.first_giving_up() {
            let Some(mut row) = self.view.row(&chat).cloned() else { break };
            let reason = row.reason.clone();
            while left > 0 && row.head < row.give_up_before {
                self.give_up(&chat, &mut row, "Parked", &reason, context)?;
                left -= 1;
            }
            let done = row.head >= row.give_up_before;
            if done {
                row.give_up_before = 0;
                row.reason.clear();
            }
            self.go_on(&chat, row, context)?;
            if !done || left == 0 {
                break;
            }
        }
        Ok(())
    }

    /// The message at the head becomes a dead letter; returns the id of its event.
    fn give_up(&mut self, chat: &str, row: &mut ChatRow, class: &str, reason: &str, context: &mut Context<'_>) -> Result<String, BoxError> {
        let (mut message, at) = (self.head(chat, row, context)?, context.wall_clock());
        let headers = letter::headers(&self.settings.outbox, &message, class, reason);
        let letter = Letter { raw: std::mem::take(&mut message.value), ..Letter::default() };
        let key = message.key.as_deref();
        context.forward(&Record { key, value: Some(&letter), timestamp: message.timestamp, headers: headers.as_headers() })?;
        context.count("dead_letters_total", 1);
        let store = self.store(context)?;
        book::note(store, chat, &message.event_id, Event::GivenUp { at })?;
        book::pop(store, chat, row)?;
        Ok(message.event_id)
    }

    /// Writes the row of a chat that has no request under way, and lets it wait for its turn.
    fn go_on(&mut self, chat: &ChatId, row: ChatRow, context: &mut Context<'_>) -> Result<(), BoxError> {
        let now = context.wall_clock();
        let store = self.store(context)?;
        if row.is_idle(now) {
            self.view.remove(chat);
            return book::forget_chat(store, chat);
        }
        book::put_chat(store, chat, &row)?;
        let part = matches!(self.view.extent, Extent::Part { .. });
        if row.give_up_before > row.head {
            self.view.set(chat, row, Turn::GivingUp);
        } else if row.has_queue() && !part {
            let since = row.wait_until.max(now);
            self.view.set(chat, row, Turn::Due(since));
        } else {
            self.view.remove(chat);
        }
        Ok(())
    }

    /// Takes back the intents that are not committed.
    pub(super) fn take_back(&mut self, context: &mut Context<'_>) -> Result<(), BoxError> {
        for (job, chat) in self.desk.jobs(self.owner()) {
            if !self.pending.iter().any(|(pending, _)| *pending == job) {
                continue;
            }
            if let Some(mut row) = self.view.row(&chat).filter(|row| self.is_own(row.intent, job)).cloned() {
                row.intent = None;
                book::put_chat(self.store(context)?, &chat, &row)?;
                self.view.set(&chat, row, Turn::Due(Timestamp(0)));
            }
        }
        self.pending.clear();
        self.desk.release(self.owner());
        Ok(())
    }
}
