//! The sent log: what the sender has to send, is sending and has sent, as rows of one store.
//!
//! Numbers are big endian, so that rows lie in the order of their numbers. A tag is never used again for something else.
//!
//! | key | | value |
//! |---|---|---|
//! | `1` event | length of the chat's id (u16), the chat's id, the event's id | [`Event`]: queued, sent (message id, time) or given up (time) |
//! | `2` message | length of the chat's id (u16), the chat's id, number (u64) | [`Queued`]: a message that is not through yet |
//! | `3` chat | the chat's id | [`ChatRow`]: its queue, what it waits for, the intent of the request under way |
//! | `4` edit | length of the chat's id (u16), the chat's id, edit key | [`Editable`]: the message that is edited in place |
//! | `5` age | milliseconds since the Unix epoch (u64), the key of an event or an edit | nothing: it is forgotten when it is old enough |
//!
//! Each value begins with the version of its encoding, so that a later one can be told apart. Texts and bytes have their length (u32) before
//! them. A chat is called what the record calls it, also when it has become a supergroup with another id: that id is in its row.

use std::sync::Arc;

use crate::streams::clock::Timestamp;
use crate::streams::kv;
use crate::streams::state::{StoreLayout, StoreSpec};

/// The name of the store.
pub const STORE: &str = "sent-log";

/// The version of the encodings.
const VERSION: u8 = 1;

const EVENT: u8 = 1;
const MESSAGE: u8 = 2;
const CHAT: u8 = 3;
const EDIT: u8 = 4;
const AGE: u8 = 5;

/// The store, as a topology declares it.
pub fn store() -> StoreSpec {
    StoreSpec { name: STORE.into(), layout: StoreLayout { kind: STORE.to_owned(), ..StoreLayout::default() } }
}

/// A row that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("a row of the sent log ({kind}, {length_bytes} bytes) cannot be read; a later version of tidewatch may have written it")]
pub struct Malformed {
    kind: &'static str,
    length_bytes: usize,
}

/// What is known of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its message waits for its turn.
    Queued,
    /// Its message was sent.
    Sent {
        /// Telegram's id of the message.
        message_id: i64,
        /// When it was recorded.
        at: Timestamp,
    },
    /// Its message went to the dead letters.
    GivenUp {
        /// When.
        at: Timestamp,
    },
}

/// A message in the queue of its chat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queued {
    /// The time of its record.
    pub timestamp: Timestamp,
    /// The partition of the outbox that it came from.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// The event that it tells of.
    pub event_id: String,
    /// Its text, not longer than Telegram takes it.
    pub text: String,
    /// How Telegram reads the text; empty for plain text.
    pub parse_mode: String,
    /// The topic of a forum; 0 for none.
    pub message_thread_id: i64,
    /// Whether it is delivered without a sound.
    pub disable_notification: bool,
    /// Whether links have no preview.
    pub disable_web_page_preview: bool,
    /// Which message of the chat it replaces; empty for none.
    pub edit_key: String,
    /// The key of its record.
    pub key: Option<Vec<u8>>,
    /// The value of its record, as it came.
    pub value: Vec<u8>,
    /// The headers of its record, as [`Headers`](crate::streams::log::Headers) encode them.
    pub headers: Vec<u8>,
}

/// That a request is about to be made. It is committed before: what has no outcome afterwards may have been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The process that makes it.
    pub session: u64,
    /// The request, unique in that process.
    pub job: u64,
    /// The message that it edits; none: it sends a new one.
    pub edits: Option<i64>,
}

/// What was tried already with the message at the head of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Tried {
    /// Its entities could not be parsed: it goes as plain text.
    pub plain: bool,
    /// Its topic was not found: it goes without.
    pub no_thread: bool,
    /// The message to edit is gone: it goes as a new one.
    pub as_new: bool,
    /// The chat has moved since its turn began.
    pub moved: bool,
}

/// The row of a chat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChatRow {
    /// The number of the message whose turn it is.
    pub head: u64,
    /// The number of the next message to come; the queue is `head..next`.
    pub next: u64,
    /// Nothing is sent to it before this time.
    pub wait_until: Timestamp,
    /// When that wait began: a clock that shows an earlier time was set back.
    pub wait_since: Timestamp,
    /// Requests in a row that the service did not take.
    pub failures: u32,
    /// What was tried with the message at the head.
    pub tried: Tried,
    /// The request under way for the message at the head.
    pub intent: Option<Intent>,
    /// Messages before this number go to the dead letters, for [`reason`](Self::reason).
    pub give_up_before: u64,
    /// Why.
    pub reason: String,
    /// The id that the chat has now, where it was given another one.
    pub moved_to: Option<i64>,
}

impl ChatRow {
    /// Whether messages wait in its queue.
    pub fn has_queue(&self) -> bool {
        self.head < self.next
    }

    /// Nothing is sent to it for this long.
    pub fn wait(&mut self, now: Timestamp, by_ms: u64) {
        self.wait_since = now;
        self.wait_until = Timestamp(now.0.saturating_add(i64::try_from(by_ms).unwrap_or(i64::MAX)));
    }

    /// Its wait is over: a clock that is set back from now on does not bring it back.
    pub fn end_wait(&mut self) {
        (self.wait_until, self.wait_since) = (Timestamp(0), Timestamp(0));
    }

    /// Begins a wait anew that began at a time that is still to come; whether it did.
    pub fn obey_clock(&mut self, now: Timestamp) -> bool {
        let set_back = now < self.wait_since;
        if set_back {
            let by_ms = u64::try_from(self.wait_until.0.saturating_sub(self.wait_since.0)).unwrap_or_default();
            self.wait(now, by_ms);
        }
        set_back
    }

    /// Whether nothing would be lost with the row.
    pub fn is_idle(&self, now: Timestamp) -> bool {
        !self.has_queue() && self.wait_until <= now && self.moved_to.is_none()
    }
}

/// A message that later ones of its edit key replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Editable {
    /// Telegram's id of the message.
    pub message_id: i64,
    /// When it was last sent or edited.
    pub at: Timestamp,
    /// The id that its chat had been given by then: a group that becomes a supergroup counts its messages anew.
    pub moved_to: Option<i64>,
}

/// The key of an event, as far as it is told in one chat: another chat may be told of it, too.
pub fn event_key(chat: &str, event_id: &str) -> Vec<u8> {
    let mut key = of_chat(EVENT, chat);
    key.extend_from_slice(event_id.as_bytes());
    key
}

/// The key of a message.
pub fn message_key(chat: &str, number: u64) -> Vec<u8> {
    let mut key = of_chat(MESSAGE, chat);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The key of a chat.
pub fn chat_key(chat: &str) -> Vec<u8> {
    [&[CHAT], chat.as_bytes()].concat()
}

/// The keys of all chats after this one; without one of all.
pub fn chats_after(chat: Option<&str>) -> (Vec<u8>, Option<Vec<u8>>) {
    let from = chat.map_or_else(|| vec![CHAT], |chat| [&chat_key(chat), &[0][..]].concat());
    (from, kv::prefix_end(&[CHAT]))
}

/// The chat that a key of [`chats_after`] belongs to.
pub fn chat_of_key(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.strip_prefix(&[CHAT])?).ok()
}

/// The chat and the number that the key of a message belongs to; none for another key.
pub fn message_of_key(key: &[u8]) -> Option<(&str, u64)> {
    let rest = key.strip_prefix(&[MESSAGE])?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (chat, number) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    Some((std::str::from_utf8(chat).ok()?, u64::from_be_bytes(number.try_into().ok()?)))
}

/// The chat and the event that a key belongs to; none for another key.
pub fn event_of_key(key: &[u8]) -> Option<(&str, &str)> {
    let (length, rest) = key.strip_prefix(&[EVENT])?.split_first_chunk::<2>()?;
    let (chat, event) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    Some((std::str::from_utf8(chat).ok()?, std::str::from_utf8(event).ok()?))
}

/// The key of a message that is edited in place.
pub fn edit_key(chat: &str, edit_key: &str) -> Vec<u8> {
    let mut key = of_chat(EDIT, chat);
    key.extend_from_slice(edit_key.as_bytes());
    key
}

/// The key under which it is noted how old the row of another key is.
pub fn age_key(at: Timestamp, of: &[u8]) -> Vec<u8> {
    [&[AGE], &millis(at).to_be_bytes()[..], of].concat()
}

/// The keys of all that is older than a time.
pub fn ages_before(time: Timestamp) -> (Vec<u8>, Vec<u8>) {
    (vec![AGE], age_key(time, &[]))
}

/// The key whose age a key of [`ages_before`] notes, and its time.
pub fn aged(key: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (at, of) = key.strip_prefix(&[AGE])?.split_first_chunk::<8>()?;
    Some((Timestamp(i64::try_from(u64::from_be_bytes(*at)).unwrap_or(i64::MAX)), of))
}

/// When the row of an event or an edit was written, of which an [`age_key`] says that it is old; none for one that must stay.
pub fn written_at(key: &[u8], value: &[u8]) -> Result<Option<Timestamp>, Malformed> {
    match key.first() {
        Some(&EVENT) => Ok(match Event::decode(value)? {
            Event::Queued => None,
            Event::Sent { at, .. } | Event::GivenUp { at } => Some(at),
        }),
        Some(&EDIT) => Ok(Some(Editable::decode(value)?.at)),
        _ => Err(Malformed { kind: "age", length_bytes: key.len() }),
    }
}

fn of_chat(tag: u8, chat: &str) -> Vec<u8> {
    let length = u16::try_from(chat.len()).unwrap_or(u16::MAX);
    [&[tag], &length.to_be_bytes()[..], chat.as_bytes()].concat()
}

/// Times before 1970 are not told apart.
fn millis(at: Timestamp) -> u64 {
    u64::try_from(at.0).unwrap_or(0)
}

impl Event {
    /// The row.
    pub fn encode(self) -> Vec<u8> {
        let mut row = Writer::new();
        match self {
            Self::Queued => row.byte(0),
            Self::Sent { message_id, at } => row.byte(1).long(message_id).long(at.0),
            Self::GivenUp { at } => row.byte(2).long(at.0),
        };
        row.0
    }

    /// What a row says.
    pub fn decode(row: &[u8]) -> Result<Self, Malformed> {
        read(row, "event", |row| match row.byte()? {
            0 => Some(Self::Queued),
            1 => Some(Self::Sent { message_id: row.long()?, at: Timestamp(row.long()?) }),
            2 => Some(Self::GivenUp { at: Timestamp(row.long()?) }),
            _ => None,
        })
    }
}

impl Editable {
    /// The row.
    pub fn encode(self) -> Vec<u8> {
        let mut row = Writer::new();
        row.bits(&[self.moved_to.is_some()]).long(self.message_id).long(self.at.0).long(self.moved_to.unwrap_or_default());
        row.0
    }

    /// What a row says.
    pub fn decode(row: &[u8]) -> Result<Self, Malformed> {
        read(row, "edit", |row| {
            let [moved] = row.bits()?;
            let (message_id, at, moved_to) = (row.long()?, Timestamp(row.long()?), row.long()?);
            Some(Self { message_id, at, moved_to: moved.then_some(moved_to) })
        })
    }
}

impl Queued {
    /// The row.
    pub fn encode(&self) -> Vec<u8> {
        let mut row = Writer::new();
        row.long(self.timestamp.0).long(self.partition.into()).long(self.offset).long(self.message_thread_id);
        row.bits(&[self.disable_notification, self.disable_web_page_preview, self.key.is_some()]);
        for text in [&self.event_id, &self.text, &self.parse_mode, &self.edit_key] {
            row.bytes(text.as_bytes());
        }
        row.bytes(self.key.as_deref().unwrap_or_default()).bytes(&self.value).bytes(&self.headers);
        row.0
    }

    /// What a row says.
    pub fn decode(row: &[u8]) -> Result<Self, Malformed> {
        read(row, "message", |row| {
            let mut queued = Self {
                timestamp: Timestamp(row.long()?),
                partition: i32::try_from(row.long()?).ok()?,
                offset: row.long()?,
                message_thread_id: row.long()?,
                ..Self::default()
            };
            let [silent, bare, keyed] = row.bits()?;
            (queued.disable_notification, queued.disable_web_page_preview) = (silent, bare);
            for text in [&mut queued.event_id, &mut queued.text, &mut queued.parse_mode, &mut queued.edit_key] {
                *text = row.text()?;
            }
            let key = row.bytes()?.to_vec();
            queued.key = keyed.then_some(key);
            queued.value = row.bytes()?.to_vec();
            queued.headers = row.bytes()?.to_vec();
            Some(queued)
        })
    }
}

impl ChatRow {
    /// The row.
    pub fn encode(&self) -> Vec<u8> {
        let mut row = Writer::new();
        let Tried { plain, no_thread, as_new, moved } = self.tried;
        let edits = self.intent.and_then(|intent| intent.edits);
        row.bits(&[plain, no_thread, as_new, moved, self.intent.is_some(), edits.is_some(), self.moved_to.is_some()]);
        row.number(self.head).number(self.next).long(self.wait_until.0).long(self.wait_since.0).number(self.failures.into());
        if let Some(Intent { session, job, edits }) = self.intent {
            row.number(session).number(job).long(edits.unwrap_or_default());
        }
        row.number(self.give_up_before).bytes(self.reason.as_bytes()).long(self.moved_to.unwrap_or_default());
        row.0
    }

    /// What a row says.
    pub fn decode(row: &[u8]) -> Result<Self, Malformed> {
        read(row, "chat", |row| {
            let [plain, no_thread, as_new, moved, under_way, edits, elsewhere] = row.bits()?;
            let mut chat = Self {
                tried: Tried { plain, no_thread, as_new, moved },
                head: row.number()?,
                next: row.number()?,
                wait_until: Timestamp(row.long()?),
                wait_since: Timestamp(row.long()?),
                failures: u32::try_from(row.number()?).ok()?,
                ..Self::default()
            };
            if under_way {
                let (session, job, message) = (row.number()?, row.number()?, row.long()?);
                chat.intent = Some(Intent { session, job, edits: edits.then_some(message) });
            }
            chat.give_up_before = row.number()?;
            chat.reason = row.text()?;
            let moved_to = row.long()?;
            chat.moved_to = elsewhere.then_some(moved_to);
            Some(chat)
        })
    }
}

/// A row being written.
struct Writer(Vec<u8>);

impl Writer {
    fn new() -> Self {
        Self(vec![VERSION])
    }

    fn byte(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    fn bits(&mut self, bits: &[bool]) -> &mut Self {
        let byte = bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
        self.byte(byte)
    }

    fn number(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn long(&mut self, value: i64) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }
}

/// A row being read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take().map(u8::from_be_bytes)
    }

    fn bits<const N: usize>(&mut self) -> Option<[bool; N]> {
        let byte = self.byte()?;
        Some(std::array::from_fn(|place| byte >> place & 1 == 1))
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn long(&mut self) -> Option<i64> {
        self.take().map(i64::from_be_bytes)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(u32::from_be_bytes(self.take()?)).ok()?;
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }
}

fn read<T>(row: &[u8], kind: &'static str, read: impl FnOnce(&mut Reader<'_>) -> Option<T>) -> Result<T, Malformed> {
    let malformed = || Malformed { kind, length_bytes: row.len() };
    let mut reader = Reader(row);
    let value = (reader.byte() == Some(VERSION)).then(|| read(&mut reader)).flatten();
    value.filter(|_| reader.0.is_empty()).ok_or_else(malformed)
}

/// A chat's id, shared by those who hold it.
pub(super) type ChatId = Arc<str>;

#[cfg(test)]
mod tests;
