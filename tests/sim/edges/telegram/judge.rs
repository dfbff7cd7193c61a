//! Whether a request may be made, and whether it comes in its order and not too soon.

use tidewatch::config::OnUnknown;
use tidewatch::telegram::sent_log::Event as Noted;

use super::{ALIVE_MS, Book, Fate};
use crate::edges::events::Event;

impl Book {
    /// Whether a request may be made.
    pub(super) fn judge(&mut self, (session, job): (u64, u64), event: usize, to: &str, edits: bool, now: u64) {
        self.committed.refresh();
        let said = self.events[event].clone();
        let (chat, id) = (said.chat.clone(), Event::id(event));
        if said.is_aborted {
            self.violation(format!("event {event} is sent although its transaction was aborted"));
        }
        if !self.committed.has_intent(&chat, session, job) {
            self.violation(format!("a request for event {event} without a committed intent"));
        }
        if matches!(self.committed.event(&chat, &id), Some(Noted::Sent { .. })) {
            self.violation(format!("event {event} is sent again although it is noted as sent"));
        }
        if let Some((until, by)) = self.told.get(&chat).copied().filter(|(until, _)| now < *until) {
            self.violation(format!("chat {chat} is asked {} ms before the time that #{by} told", until - now));
        }
        self.judge_order(event, &chat);
        let policy = self.policies.get(&chat).copied().unwrap_or_default();
        for place in 0..self.asks.len() {
            let ask = &self.asks[place];
            if self.events[ask.event].chat == chat && ask.fate == Fate::UnderWay {
                self.violation(format!("two requests to chat {chat} at once: #{place} and one for event {event}"));
            }
            let ask = &self.asks[place];
            if ask.event != event {
                continue;
            }
            let is_unknown = ask.is_unknown();
            if ask.taken_ms.is_some() && !is_unknown {
                self.violation(format!("event {event} is sent again although #{place} had sent it and that was known"));
            } else if is_unknown && !ask.edits && !edits && policy == OnUnknown::DeadLetter && said.replays == 0 {
                self.violation(format!("event {event} is sent again although #{place} may have sent it and the chat wants nothing twice"));
            }
        }
        self.judge_rate(session, to, now);
        let still = now - self.at_work.get(&session).copied().unwrap_or(now);
        if still > ALIVE_MS {
            self.violation(format!("a request for event {event}, whose process has stood still for {still} ms"));
        }
    }

    /// What came before it in its chat is through.
    fn judge_order(&mut self, event: usize, chat: &str) {
        if self.events[event].replays > 0 {
            return;
        }
        let counts = |said: &Event| said.chat == chat && said.replays == 0 && !said.is_aborted;
        for before in (0..event).filter(|before| counts(&self.events[*before])).collect::<Vec<_>>() {
            if self.committed.event(chat, &Event::id(before)).is_none_or(|noted| noted == Noted::Queued) {
                self.violation(format!("event {event} overtakes event {before} in chat {chat}"));
            }
        }
    }

    /// The limits, as each process keeps them for itself.
    fn judge_rate(&mut self, session: u64, to: &str, now: u64) {
        let pause = 1_000 / u64::from(self.rates.chat_per_second.get());
        let group = if to.starts_with(['-', '@']) { 60_000 / u64::from(self.rates.group_per_minute.get()) } else { 0 };
        if let Some(last) = self.last.insert((session, to.to_owned()), now)
            && now - last < pause.max(group)
        {
            self.violation(format!("two requests to {to} within {} ms", now - last));
        }
        let lately = self.lately.entry(session).or_default();
        lately.retain(|at| now - at < 1_000);
        lately.push(now);
        let count = lately.len();
        if count > usize::try_from(self.rates.bot_per_second.get()).unwrap() {
            self.violation(format!("{count} requests of one process within a second"));
        }
    }
}
