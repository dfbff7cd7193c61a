//! A Telegram that knows one bot: getMe, getUpdates, getWebhookInfo, sendMessage and editMessageText in the shapes of the Bot API.
//!
//! It refuses what Telegram refuses, keeps the last requests with the times at which they came, and counts them all, so that whoever sends can be
//! held against what a sender has to keep: order and one at a time per chat, limits, and the waits that it is told.

mod message;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::server::{Answer, Asked, Error, Server, Service, hang};
use super::{Fault, Faults, set};
use crate::streams::clock::Clock;
use message::{Parameters, given, parameters};
pub use state::{Counts, Effect, Request};
use state::{Refusal, State};

/// Why a chat takes no messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// There is no such chat.
    NotFound,
    /// The user has blocked the bot.
    Blocked,
    /// The bot was kicked from the group.
    Kicked,
    /// The group became the supergroup with this id.
    Migrated(i64),
    /// There is no such topic in it; messages without one are taken.
    NoThread,
}

/// What happens to messages, for those who look on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message was taken; an edited one, too.
    Message {
        /// The chat, as the sender named it.
        chat: String,
        /// What people read.
        text: String,
    },
    /// The sender was told to wait so many seconds.
    Wait(u64),
}

/// How the service is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The token of the only bot.
    pub token: String,
    /// How long every message takes before it is looked at.
    pub delay: Duration,
    /// What goes wrong, by the number of the message.
    pub faults: Faults,
    /// Whether a chat may be called anything, in place of a number or the name of a channel.
    pub any_chat: bool,
    /// Requests, and messages for [`Telegram::texts`] and for edits, that are kept; older ones are forgotten.
    pub kept: usize,
    /// Who is told of events. While it has no room for another, no message is taken.
    pub events: Option<mpsc::Sender<Event>>,
}

impl Options {
    /// A service without delay and faults.
    pub fn new(token: &str) -> Self {
        Self { token: token.to_owned(), delay: Duration::ZERO, faults: Faults::none(), any_chat: false, kept: 1_000_000, events: None }
    }
}

/// The service; it answers until it is dropped.
#[derive(Debug)]
pub struct Telegram {
    server: Server,
    shared: Arc<Shared>,
    token: String,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct Answering {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    token: String,
    delay: Duration,
    any_chat: bool,
    events: Option<mpsc::Sender<Event>>,
}

impl Telegram {
    /// Serves on a free port of the loopback. Times of requests are those of the clock's monotonic side.
    pub fn start(options: Options, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let Options { token, delay, faults, any_chat, kept, events } = options;
        let shared = Arc::new(Shared { state: Mutex::new(State::new(faults, kept)), changed: Condvar::new() });
        let answering = Answering { shared: Arc::clone(&shared), clock, token: token.clone(), delay, any_chat, events };
        Ok(Self { server: Server::start("telegram", Arc::new(answering))?, shared, token })
    }

    /// What `/bot<token>/<method>` is appended to, as `https://api.telegram.org` is.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// The URL of a method, with the bot's token in it.
    pub fn method(&self, method: &str) -> String {
        format!("{}/bot{}/{method}", self.base_url(), self.token)
    }

    /// The last requests that were to send or edit a message, in the order in which they came.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state.lock().requests.iter().cloned().collect()
    }

    /// The texts of the last messages that were taken, as people read them, with their chats; edited ones as they are now.
    pub fn texts(&self) -> Vec<(String, String)> {
        self.shared.state.lock().messages.values().cloned().collect()
    }

    /// How often what happened.
    pub fn counts(&self) -> Counts {
        self.shared.state.lock().counts
    }

    /// From now on this chat takes no messages, or takes them again.
    pub fn close_chat(&self, chat: &str, why: Option<Closed>) {
        let mut state = self.shared.state.lock();
        match why {
            Some(why) => state.closed.insert(chat.to_owned(), why),
            None => state.closed.remove(chat),
        };
    }

    /// The bot is known no more, or again: its token was revoked.
    pub fn revoke(&self, revoked: bool) {
        self.shared.state.lock().revoked = revoked;
    }

    /// The next messages meet these faults.
    pub fn push_faults(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.state.lock().faults.push(faults);
    }

    /// What getUpdates answers with, in place of one `/start` in a private chat and the bot's being added to a group.
    pub fn set_updates(&self, updates: Vec<Value>) {
        self.shared.state.lock().updates = updates;
    }

    /// The webhook that keeps getUpdates from working; empty: none.
    pub fn set_webhook(&self, url: &str) {
        url.clone_into(&mut self.shared.state.lock().webhook);
    }

    /// Waits until `until` holds, at most this long; whether it came to pass. It is asked after each request.
    pub fn wait_for(&self, at_most: Duration, mut until: impl FnMut(&Counts) -> bool) -> bool {
        let mut state = self.shared.state.lock();
        !self.shared.changed.wait_while_for(&mut state, |state| !until(&state.counts), at_most).timed_out()
    }
}

impl Service for Answering {
    async fn answer(&self, asked: Asked) -> Option<Answer> {
        let Some((token, method)) = asked.path.strip_prefix("/bot").and_then(|path| path.split_once('/')) else {
            return Some(refused(&Refusal::new(404, "Not Found")));
        };
        if token != self.token || self.shared.state.lock().revoked {
            return Some(refused(&Refusal::new(401, "Unauthorized")));
        }
        let parameters = parameters(&asked);
        match method.to_ascii_lowercase().as_str() {
            "sendmessage" => self.message(false, parameters).await,
            "editmessagetext" => self.message(true, parameters).await,
            other => Some(match self.ask(other, &parameters.unwrap_or_default()) {
                Ok(result) => accepted(&result),
                Err(refusal) => refused(&refusal),
            }),
        }
    }
}

impl Answering {
    /// The methods that send nothing.
    fn ask(&self, method: &str, parameters: &Parameters) -> Result<Value, Refusal> {
        let state = self.shared.state.lock();
        match method {
            "getme" => Ok(state::bot(true)),
            "getwebhookinfo" => Ok(json!({
                "url": state.webhook, "has_custom_certificate": false, "pending_update_count": state.updates.len(),
            })),
            "getupdates" if !state.webhook.is_empty() => Err(Refusal::new(
                409,
                "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
            )),
            "getupdates" => {
                let offset: i64 = given(parameters, "offset").parse().unwrap_or_default();
                let limit: usize = given(parameters, "limit").parse().unwrap_or(100);
                let new =
                    state.updates.iter().filter(|update| update.get("update_id").and_then(Value::as_i64).is_some_and(|id| id >= offset));
                Ok(new.take(limit.clamp(1, 100)).cloned().collect())
            }
            _ => Err(Refusal::new(404, "Not Found: method not found")),
        }
    }

    /// Sends or edits a message, unless something is in the way.
    async fn message(&self, edit: bool, parameters: Result<Parameters, String>) -> Option<Answer> {
        let arrived = self.clock.monotonic();
        let (number, fault) = self.shared.state.lock().arrive(edit, parameters.clone().unwrap_or_default(), arrived);
        // However this ends, by an answer or because the client goes away.
        let open = Open { answering: self, number };
        sleep(self.delay).await;
        match fault {
            Some(Fault::HangBefore) => hang().await,
            Some(Fault::ResetBefore) => return None,
            Some(Fault::TooMany { retry_after }) => {
                self.tell(Event::Wait(retry_after)).await;
                return Some(open.refuse(&Refusal::too_many(retry_after)));
            }
            Some(Fault::Internal) => return Some(open.refuse(&Refusal::new(500, "Internal Server Error: restart"))),
            Some(Fault::BadGateway) => {
                open.end(Effect::Refused { status: 502, description: "Bad Gateway".to_owned() });
                return Some(Answer::bad_gateway());
            }
            _ => {}
        }
        let (text, chat) = match parameters.and_then(|parameters| message::check(&parameters, self.any_chat)) {
            Ok(checked) => checked,
            Err(fault) => return Some(open.refuse(&Refusal::bad(&fault))),
        };
        // Room for the event first: a message must not be taken and then wait for those who look on.
        let room = match &self.events {
            Some(events) => events.reserve().await.ok(),
            None => None,
        };
        let taken = self.shared.state.lock().take(number, &chat, &text, self.clock.now());
        self.shared.changed.notify_all();
        let result = match taken {
            Ok(result) => result,
            Err(refusal) => return Some(open.refuse(&refusal)),
        };
        if let Some(room) = room {
            room.send(Event::Message { chat, text });
        }
        accepted(&result).after(fault).await
    }

    async fn tell(&self, event: Event) {
        if let Some(events) = &self.events {
            // Nobody needs to look on.
            events.send(event).await.unwrap_or_default();
        }
    }
}

/// A message that is not answered yet.
struct Open<'a> {
    answering: &'a Answering,
    number: u64,
}

impl Open<'_> {
    fn end(&self, effect: Effect) {
        self.answering.shared.state.lock().conclude(self.number, effect, self.answering.clock.monotonic());
        self.answering.shared.changed.notify_all();
    }

    fn refuse(&self, refusal: &Refusal) -> Answer {
        self.end(Effect::Refused { status: refusal.status, description: refusal.description.clone() });
        if let Some(seconds) = refusal.retry_after {
            let until = self.answering.clock.monotonic() + Duration::from_secs(seconds);
            self.answering.shared.state.lock().hold(self.number, until);
        }
        refused(refusal)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.answering.shared.state.lock().leave(self.number, self.answering.clock.monotonic());
        self.answering.shared.changed.notify_all();
    }
}

fn accepted(result: &Value) -> Answer {
    Answer::json(200, &json!({"ok": true, "result": result}))
}

fn refused(refusal: &Refusal) -> Answer {
    let mut document = json!({"ok": false, "error_code": refusal.status, "description": refusal.description});
    if let Some(seconds) = refusal.retry_after {
        set(&mut document, "parameters", json!({"retry_after": seconds}));
    }
    if let Some(chat) = refusal.migrate_to {
        set(&mut document, "parameters", json!({"migrate_to_chat_id": chat}));
    }
    let answer = Answer::json(refusal.status, &document);
    match refusal.retry_after {
        Some(seconds) => answer.with("retry-after", seconds),
        None => answer,
    }
}
