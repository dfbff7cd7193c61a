//! What became of a request, sorted by what must be done about it: a pure function of the answer, or of the error of the connection.

use reqwest::header::HeaderMap;

use super::answer::{Answer, Body, Document};
use super::client::Request;
use super::failure;

/// A longer wait than this is no wait that Telegram means; hours have been seen.
const WAIT_SECONDS_MAX: u64 = 30 * 24 * 3600;

/// A wait without a number.
const WAIT_SECONDS_DEFAULT: u64 = 1;

/// What became of a message.
///
/// Reasons are short, on one line, and hold neither the token nor a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the chat, under this id.
    Sent {
        /// Its number in the chat, by which it can be edited.
        message_id: i64,
    },
    /// An edit that changes nothing: as good as sent.
    Unchanged,
    /// Too many messages; this chat waits.
    Wait {
        /// How long, at least 1.
        seconds: u64,
        /// What Telegram says.
        reason: String,
    },
    /// The group became a supergroup: it has another id from now on, for good.
    Migrated {
        /// That id.
        chat_id: i64,
    },
    /// The markup of the text is wrong: again without `parse_mode`.
    PlainText {
        /// What Telegram says.
        reason: String,
    },
    /// The topic of the group is not there or closed: again without `message_thread_id`.
    NoThread {
        /// What Telegram says.
        reason: String,
    },
    /// The message to edit is not there any more, or cannot be edited: a new one.
    Gone {
        /// What Telegram says.
        reason: String,
    },
    /// This message is never taken.
    Refused {
        /// What Telegram says.
        reason: String,
    },
    /// This chat takes nothing from the bot.
    Parked {
        /// What Telegram says.
        reason: String,
    },
    /// Surely not taken, and not for the message's sake: again later.
    Retry {
        /// What happened.
        reason: String,
    },
    /// It may have been taken or not: the request was written, and no answer says what became of it. Telegram knows no idempotency key.
    Unknown {
        /// What happened.
        reason: String,
    },
    /// The token or the address is wrong: no request can succeed.
    Stop {
        /// What Telegram says.
        reason: String,
    },
}

/// What Telegram says of a chat that takes nothing, as its server and the servers behind it have it (those in capitals), in lower case.
const CHAT_TAKES_NOTHING: [&str; 25] = [
    "chat not found",
    "chat_id is empty",
    "user not found",
    "peer_id_invalid",
    "chat_id_invalid",
    "channel_private",
    "channel_invalid",
    "chat_write_forbidden",
    "chat_admin_required",
    "chat_restricted",
    "chat_send_plain_forbidden",
    "chat_forbidden",
    "user_is_blocked",
    "user_is_bot",
    "input_user_deactivated",
    "user_banned_in_channel",
    "not enough rights",
    "have no rights",
    "need administrator rights",
    "was upgraded to a supergroup",
    "chat was deactivated",
    "chat was deleted",
    "is not a member of the",
    "bot was kicked",
    "blocked by the user",
];

/// What it says of a message that cannot be edited.
const CANNOT_BE_EDITED: [&str; 7] = [
    "message to edit not found",
    "message can't be edited",
    "no text in the message to edit",
    "message identifier is not specified",
    "message_id_invalid",
    "message_author_required",
    "message_edit_time_expired",
];

/// What it says of a topic that takes nothing.
const THREAD_TAKES_NOTHING: [&str; 4] = ["message thread not found", "topic_deleted", "topic_closed", "topic_id_invalid"];

/// What it says of markup.
const MARKUP_IS_WRONG: [&str; 4] = ["can't parse entities", "can't parse message text", "unsupported parse_mode", "entity_bounds_invalid"];

impl Outcome {
    /// What an answer of these parts means, for a courier that has no [`Client`](super::Client); a `body` that did not come whole is an error that says why.
    pub fn of_response(status: u16, headers: &HeaderMap, body: Result<&[u8], String>, request: &Request) -> Self {
        Self::of_answer(&Answer::new(status, headers, body), request)
    }

    /// What an answer means for the message that was sent.
    pub(super) fn of_answer(answer: &Answer, request: &Request) -> Self {
        let outcome = match &answer.body {
            Body::Document(document) => of_document(answer, document),
            Body::Strange | Body::Cut(_) => of_status(answer),
        };
        outcome.fitting(request)
    }

    /// What it means that there is no answer.
    ///
    /// `is_connect` is an error of name, TCP or TLS: nothing was written. The same holds for a request that hyper calls cancelled: it was never taken
    /// from the queue of a connection that was just closed. After anything else the request may be in Telegram's hands.
    pub(super) fn of_transport(error: &reqwest::Error) -> Self {
        let reason = failure::transport(error);
        if error.is_builder() {
            return Self::Stop { reason };
        }
        if error.is_connect() || failure::was_never_written(error) { Self::Retry { reason } } else { Self::Unknown { reason } }
    }

    /// An advice that cannot be followed is none: what the request does not have cannot be left out.
    fn fitting(self, request: &Request) -> Self {
        let (message, edits) = match request {
            Request::Send(message) => (message, false),
            Request::Edit { message, .. } => (message, true),
        };
        match self {
            Self::PlainText { reason } if message.parse_mode.is_empty() => Self::Refused { reason },
            Self::NoThread { reason } if edits || message.message_thread_id == 0 => Self::Refused { reason },
            Self::Gone { reason } if !edits => Self::Refused { reason },
            Self::Unchanged if !edits => Self::Refused { reason: "a new message, and Telegram says that it is not modified".to_owned() },
            other => other,
        }
    }

    /// The name of its class, for headers, counters and logs.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Sent { .. } => "Sent",
            Self::Unchanged => "Unchanged",
            Self::Wait { .. } => "Wait",
            Self::Migrated { .. } => "Migrated",
            Self::PlainText { .. } => "PlainText",
            Self::NoThread { .. } => "NoThread",
            Self::Gone { .. } => "Gone",
            Self::Refused { .. } => "Refused",
            Self::Parked { .. } => "Parked",
            Self::Retry { .. } => "Retry",
            Self::Unknown { .. } => "Unknown",
            Self::Stop { .. } => "Stop",
        }
    }

    /// Why; empty where there is nothing to say.
    pub fn reason(&self) -> &str {
        match self {
            Self::Sent { .. } | Self::Unchanged | Self::Migrated { .. } => "",
            Self::Wait { reason, .. }
            | Self::PlainText { reason }
            | Self::NoThread { reason }
            | Self::Gone { reason }
            | Self::Refused { reason }
            | Self::Parked { reason }
            | Self::Retry { reason }
            | Self::Unknown { reason }
            | Self::Stop { reason } => reason,
        }
    }

    /// The reason, to be changed.
    pub(super) fn reason_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Sent { .. } | Self::Unchanged | Self::Migrated { .. } => None,
            Self::Wait { reason, .. }
            | Self::PlainText { reason }
            | Self::NoThread { reason }
            | Self::Gone { reason }
            | Self::Refused { reason }
            | Self::Parked { reason }
            | Self::Retry { reason }
            | Self::Unknown { reason }
            | Self::Stop { reason } => Some(reason),
        }
    }
}

/// A document of the Bot API.
fn of_document(answer: &Answer, document: &Document) -> Outcome {
    let reason = answer.reason();
    if document.ok {
        let message_id = document.result.get("message_id").and_then(serde_json::Value::as_i64);
        return match message_id {
            Some(message_id) if (200..300).contains(&answer.status) => Outcome::Sent { message_id },
            _ => Outcome::Unknown { reason: format!("status {} and \"ok\", but no message", answer.status) },
        };
    }
    let code = answer.code();
    match (code, document.migrate_to_chat_id) {
        (400 | 403, Some(chat_id)) => Outcome::Migrated { chat_id },
        (400, None) => of_bad_request(&document.description, reason),
        (401 | 404 | 421, _) => Outcome::Stop { reason },
        (403, None) => Outcome::Parked { reason },
        (408 | 409 | 500.., _) => Outcome::Retry { reason },
        (429, _) => wait(answer, reason),
        (402..500, _) => Outcome::Refused { reason },
        // "not ok" without a code that says what it is.
        _ => Outcome::Unknown { reason },
    }
}

/// 400: the description alone tells the cases apart.
fn of_bad_request(description: &str, reason: String) -> Outcome {
    let said = description.to_ascii_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| said.contains(phrase));
    // First of all: this one repeats a piece of the text, which may say anything.
    if says(&MARKUP_IS_WRONG) {
        Outcome::PlainText { reason }
    } else if says(&["message is not modified", "message_not_modified"]) {
        Outcome::Unchanged
    } else if says(&THREAD_TAKES_NOTHING) {
        Outcome::NoThread { reason }
    } else if says(&CANNOT_BE_EDITED) {
        Outcome::Gone { reason }
    } else if says(&CHAT_TAKES_NOTHING) {
        Outcome::Parked { reason }
    } else {
        Outcome::Refused { reason }
    }
}

/// An answer without a document: of something that stands before the Bot API, or in its place. It knows nothing of messages and chats.
fn of_status(answer: &Answer) -> Outcome {
    let reason = answer.reason();
    match answer.status {
        300..=399 => Outcome::Stop { reason: format!("{reason}: redirections are not followed, `base_url` is not that of a Bot API") },
        401 | 404 | 421 => Outcome::Stop { reason },
        413 => Outcome::Refused { reason },
        429 => wait(answer, reason),
        // A gateway handed the request on and got no answer.
        200..300 | 504 | 520 | 524 => Outcome::Unknown { reason },
        _ => Outcome::Retry { reason },
    }
}

fn wait(answer: &Answer, reason: String) -> Outcome {
    Outcome::Wait { seconds: answer.wait().unwrap_or(WAIT_SECONDS_DEFAULT).clamp(1, WAIT_SECONDS_MAX), reason }
}
