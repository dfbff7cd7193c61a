//! What the simulated Telegram remembers: requests, messages, chats.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};

use super::message::{Parameters, given};
use super::{Closed, Fault, Faults};
use crate::operate::simulated::set;
use crate::streams::clock::Timestamp;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: it was not taken, or not yet.
    None,
    /// The message was taken and has this number.
    Taken(i64),
    /// It was refused.
    Refused {
        /// The status of the answer.
        status: u16,
        /// Why, in Telegram's words.
        description: String,
    },
}

/// A request to send or edit a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its number, from 1.
    pub number: u64,
    /// Whether a message was to be edited.
    pub edit: bool,
    /// All parameters as text, `chat_id` and `text` too.
    pub parameters: BTreeMap<String, String>,
    /// When it came.
    pub arrived: Duration,
    /// When it was answered, or its client went away; none while it waits.
    pub ended: Option<Duration>,
    /// What went wrong with it, as planned.
    pub fault: Option<Fault>,
    /// What became of it.
    pub effect: Effect,
}

impl Request {
    /// A parameter; empty where it is absent.
    pub fn parameter(&self, name: &str) -> &str {
        given(&self.parameters, name)
    }

    /// The chat, as the sender named it.
    pub fn chat(&self) -> &str {
        self.parameter("chat_id")
    }
}

/// How often what happened, from the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests to send or edit a message.
    pub requests: u64,
    /// Messages that were taken, the edits among them.
    pub taken: u64,
    /// Edits that were taken.
    pub edited: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Requests that met a planned fault.
    pub faults: u64,
    /// Requests to a chat that had been told to wait longer.
    pub too_early: u64,
    /// Requests that are not answered yet, and whose clients are still there.
    pub open: u64,
}

/// Why a request is refused.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) description: String,
    pub(super) retry_after: Option<u64>,
    pub(super) migrate_to: Option<i64>,
}

impl Refusal {
    pub(super) fn new(status: u16, description: &str) -> Self {
        Self { status, description: description.to_owned(), retry_after: None, migrate_to: None }
    }

    pub(super) fn bad(what: &str) -> Self {
        Self::new(400, &format!("Bad Request: {what}"))
    }

    pub(super) fn too_many(seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..Self::new(429, &format!("Too Many Requests: retry after {seconds}")) }
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) faults: Faults,
    kept: usize,
    pub(super) requests: VecDeque<Request>,
    /// Chat and text of messages, by number.
    pub(super) messages: BTreeMap<i64, (String, String)>,
    last_message: i64,
    pub(super) counts: Counts,
    pub(super) closed: BTreeMap<String, Closed>,
    /// Until when chats were told to wait.
    held: BTreeMap<String, Duration>,
    pub(super) updates: Vec<Value>,
    pub(super) webhook: String,
    pub(super) revoked: bool,
}

impl State {
    pub(super) fn new(faults: Faults, kept: usize) -> Self {
        Self {
            faults,
            kept: kept.max(1),
            requests: VecDeque::new(),
            messages: BTreeMap::new(),
            last_message: 0,
            counts: Counts::default(),
            closed: BTreeMap::new(),
            held: BTreeMap::new(),
            updates: updates(),
            webhook: String::new(),
            revoked: false,
        }
    }

    /// A request has come: its number, and the fault that it meets.
    pub(super) fn arrive(&mut self, edit: bool, parameters: Parameters, now: Duration) -> (u64, Option<Fault>) {
        let fault = self.faults.next();
        self.counts.requests += 1;
        self.counts.open += 1;
        self.counts.faults += u64::from(fault.is_some());
        self.held.retain(|_, until| now < *until);
        self.counts.too_early += u64::from(self.held.contains_key(given(&parameters, "chat_id")));
        let number = self.counts.requests;
        self.requests.push_back(Request { number, edit, parameters, arrived: now, ended: None, fault, effect: Effect::None });
        if self.requests.len() > self.kept {
            self.requests.pop_front();
        }
        (number, fault)
    }

    /// A request that is still kept.
    fn request(&mut self, number: u64) -> Option<&mut Request> {
        let first = self.requests.front()?.number;
        self.requests.get_mut(usize::try_from(number.checked_sub(first)?).ok()?)
    }

    /// Takes a message, or edits one, if the chat is open for it. The result as Telegram describes it.
    pub(super) fn take(&mut self, number: u64, chat: &str, text: &str, now: Timestamp) -> Result<Value, Refusal> {
        let (edit, parameters) = self.request(number).map(|request| (request.edit, request.parameters.clone())).unwrap_or_default();
        self.check_chat(chat, given(&parameters, "message_thread_id"))?;
        let id = if edit { self.edited(chat, given(&parameters, "message_id"), text)? } else { self.last_message + 1 };
        self.last_message = self.last_message.max(id);
        self.messages.insert(id, (chat.to_owned(), text.to_owned()));
        if self.messages.len() > self.kept {
            self.messages.pop_first();
        }
        self.counts.taken += 1;
        self.counts.edited += u64::from(edit);
        if let Some(request) = self.request(number) {
            request.effect = Effect::Taken(id);
        }
        let mut result = json!({
            "message_id": id, "from": bot(false), "chat": chat_document(chat), "date": now.0.div_euclid(1_000), "text": text,
        });
        if edit {
            set(&mut result, "edit_date", now.0.div_euclid(1_000));
        }
        if let Ok(thread @ 1..) = given(&parameters, "message_thread_id").parse::<i64>() {
            set(&mut result, "message_thread_id", thread);
            set(&mut result, "is_topic_message", true);
        }
        Ok(result)
    }

    fn check_chat(&self, chat: &str, thread: &str) -> Result<(), Refusal> {
        match self.closed.get(chat) {
            None => Ok(()),
            Some(Closed::NotFound) => Err(Refusal::bad("chat not found")),
            Some(Closed::Blocked) => Err(Refusal::new(403, "Forbidden: bot was blocked by the user")),
            Some(Closed::Kicked) => Err(Refusal::new(403, "Forbidden: bot was kicked from the supergroup chat")),
            Some(Closed::Migrated(to)) => {
                Err(Refusal { migrate_to: Some(*to), ..Refusal::bad("group chat was upgraded to a supergroup chat") })
            }
            Some(Closed::NoThread) if matches!(thread, "" | "0") => Ok(()),
            Some(Closed::NoThread) => Err(Refusal::bad("message thread not found")),
        }
    }

    /// The number of the message that is to be edited.
    fn edited(&self, chat: &str, id: &str, text: &str) -> Result<i64, Refusal> {
        let id: i64 = id.parse().map_err(|_| Refusal::bad("message identifier is not specified"))?;
        match self.messages.get(&id) {
            Some((known, _)) if known != chat => Err(Refusal::bad("message to edit not found")),
            None => Err(Refusal::bad("message to edit not found")),
            Some((_, before)) if before == text => Err(Refusal::bad(
                "message is not modified: specified new message content and reply markup are exactly the same as a current content and \
                 reply markup of the message",
            )),
            Some(_) => Ok(id),
        }
    }

    /// What became of a request that was not taken.
    pub(super) fn conclude(&mut self, number: u64, effect: Effect, now: Duration) {
        self.counts.refused += u64::from(matches!(effect, Effect::Refused { .. }));
        if let Some(request) = self.request(number) {
            (request.effect, request.ended) = (effect, Some(now));
        }
    }

    /// The chat of this request must wait.
    pub(super) fn hold(&mut self, number: u64, until: Duration) {
        if let Some(chat) = self.request(number).map(|request| request.chat().to_owned()) {
            self.held.insert(chat, until);
        }
    }

    /// A request is answered, or its client is gone.
    pub(super) fn leave(&mut self, number: u64, now: Duration) {
        self.counts.open -= 1;
        if let Some(request) = self.request(number) {
            request.ended.get_or_insert(now);
        }
    }
}

/// The bot as a user; whole where it was asked for.
pub(super) fn bot(whole: bool) -> Value {
    let mut bot = json!({"id": 7_000_000_001_i64, "is_bot": true, "first_name": "Tidewatch", "username": "tidewatch_simulated_bot"});
    if whole {
        let rights = [("can_join_groups", true), ("can_read_all_group_messages", false), ("supports_inline_queries", false)];
        for (name, value) in rights {
            set(&mut bot, name, value);
        }
    }
    bot
}

/// A chat by its id: what is below zero is a group, what has a name a channel.
fn chat_document(chat: &str) -> Value {
    match chat.parse::<i64>() {
        Ok(id @ ..=-1_000_000_000_000) => json!({"id": id, "title": "Alerts", "type": "supergroup"}),
        Ok(id @ ..0) => json!({"id": id, "title": "Alerts", "type": "group"}),
        Ok(id) => json!({"id": id, "first_name": "Ada", "type": "private"}),
        Err(_) => {
            json!({"id": -1_002_345_678_901_i64, "title": "Alerts", "username": chat.trim_start_matches('@'), "type": "channel"})
        }
    }
}

/// Somebody wrote to the bot, and it was added to a group.
fn updates() -> Vec<Value> {
    let user = json!({"id": 4711, "is_bot": false, "first_name": "Ada", "username": "ada"});
    let mut group = chat_document("-1001234567890");
    set(&mut group, "is_forum", true);
    vec![
        json!({"update_id": 880_000_001, "message": {
            "message_id": 1, "from": user, "chat": {"id": 4711, "first_name": "Ada", "username": "ada", "type": "private"},
            "date": 1_786_028_400, "text": "/start", "entities": [{"offset": 0, "length": 6, "type": "bot_command"}],
        }}),
        json!({"update_id": 880_000_002, "my_chat_member": {
            "chat": group, "from": user, "date": 1_786_028_410,
            "old_chat_member": {"user": bot(false), "status": "left"}, "new_chat_member": {"user": bot(false), "status": "member"},
        }}),
    ]
}
