//! What comes of a request: all kinds of answers, and of having none.

use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tidewatch::telegram::{Outcome, Request};

/// What comes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Taken,
    /// Taken, and the answer is slow.
    TakenSlowly,
    /// 429 for this chat, with the seconds.
    ChatWaits(u64),
    /// 429 for all chats.
    AllWait(u64),
    /// 429 without a document; the header has the seconds.
    HeaderWaits(u64),
    Internal,
    BadGateway,
    /// 504: the gateway handed the request on, and it was taken or not.
    GatewayTimedOut {
        taken: bool,
    },
    /// No answer in time; the request was taken or not.
    TimedOut {
        taken: bool,
    },
    /// No connection.
    Unconnected,
    /// The connection broke after the request was written; it was taken or not.
    Reset {
        taken: bool,
    },
    /// Taken; the body of the answer does not come in time.
    SlowBody,
    /// Taken; the answer is half a document.
    HalfDocument,
    Refused,
    BadMarkup,
    BadThread,
    Unmodified,
    NothingToEdit,
    Forbidden,
    NoChat,
    Migrated(i64),
    /// 401: the token is not known.
    Unauthorized,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Taken => "200",
            Self::TakenSlowly => "200 slowly",
            Self::ChatWaits(_) => "429 chat",
            Self::AllWait(_) => "429 all",
            Self::HeaderWaits(_) => "429 header",
            Self::Internal => "500",
            Self::BadGateway => "502",
            Self::GatewayTimedOut { taken: true } => "504 taken",
            Self::GatewayTimedOut { taken: false } => "504 untaken",
            Self::TimedOut { taken: true } => "time-out taken",
            Self::TimedOut { taken: false } => "time-out untaken",
            Self::Unconnected => "no connection",
            Self::Reset { taken: true } => "reset taken",
            Self::Reset { taken: false } => "reset untaken",
            Self::SlowBody => "slow body",
            Self::HalfDocument => "half a document",
            Self::Refused => "400 empty",
            Self::BadMarkup => "400 markup",
            Self::BadThread => "400 thread",
            Self::Unmodified => "400 unmodified",
            Self::NothingToEdit => "400 edit",
            Self::Forbidden => "403",
            Self::NoChat => "400 chat",
            Self::Migrated(_) => "400 migrated",
            Self::Unauthorized => "401",
        }
    }

    /// Whether the message is taken.
    pub(crate) fn takes(self) -> bool {
        match self {
            Self::Taken | Self::TakenSlowly | Self::SlowBody | Self::HalfDocument => true,
            Self::GatewayTimedOut { taken } | Self::TimedOut { taken } | Self::Reset { taken } => taken,
            _ => false,
        }
    }

    /// Whether nobody who hears the answer can know if it was taken.
    pub(crate) fn is_unknown(self) -> bool {
        matches!(self, Self::SlowBody | Self::HalfDocument | Self::GatewayTimedOut { .. } | Self::TimedOut { .. } | Self::Reset { .. })
    }

    /// For how many seconds the chat is to be left alone.
    pub(crate) fn seconds(self) -> Option<u64> {
        match self {
            Self::ChatWaits(seconds) | Self::AllWait(seconds) | Self::HeaderWaits(seconds) => Some(seconds),
            _ => None,
        }
    }

    /// What the sender hears.
    pub(crate) fn outcome(self, request: &Request, message_id: i64) -> Outcome {
        let of = |status: u16, headers: &HeaderMap, body: &str| Outcome::of_response(status, headers, Ok(body.as_bytes()), request);
        let plain = |status: u16, body: &str| of(status, &HeaderMap::new(), body);
        let refusal = |code: u16, description: &str, parameters: Value| {
            let document = json!({"ok": false, "error_code": code, "description": description, "parameters": parameters});
            plain(code, &document.to_string())
        };
        let bad = |description: &str| refusal(400, &format!("Bad Request: {description}"), Value::Null);
        let taken = json!({"ok": true, "result": {"message_id": message_id, "date": 1, "text": "t"}}).to_string();
        match self {
            Self::Taken | Self::TakenSlowly => plain(200, &taken),
            Self::ChatWaits(seconds) | Self::AllWait(seconds) => {
                refusal(429, &format!("Too Many Requests: retry after {seconds}"), json!({"retry_after": seconds}))
            }
            Self::HeaderWaits(seconds) => {
                let mut headers = HeaderMap::new();
                headers.insert("retry-after", seconds.into());
                of(429, &headers, "<html>slow down</html>")
            }
            Self::Internal => refusal(500, "Internal Server Error: restart", Value::Null),
            Self::BadGateway => plain(502, "<html>502 Bad Gateway</html>"),
            Self::GatewayTimedOut { .. } => plain(504, "<html>504 Gateway Time-out</html>"),
            Self::SlowBody => Outcome::of_response(200, &HeaderMap::new(), Err("its body did not come in time".to_owned()), request),
            Self::HalfDocument => plain(200, &taken[..taken.len() / 2]),
            // What the client makes of the errors of a connection: its own tests see to that.
            Self::Unconnected => Outcome::Retry { reason: "no connection".to_owned() },
            Self::TimedOut { .. } => Outcome::Unknown { reason: "no answer came in time".to_owned() },
            Self::Reset { .. } => Outcome::Unknown { reason: "the connection broke before there was an answer".to_owned() },
            Self::Refused => bad("message text is empty"),
            Self::BadMarkup => bad("can't parse entities: Unsupported start tag \"b\" at byte offset 0"),
            Self::BadThread => bad("message thread not found"),
            Self::Unmodified => bad("message is not modified"),
            Self::NothingToEdit => bad("message to edit not found"),
            Self::Forbidden => refusal(403, "Forbidden: bot was blocked by the user", Value::Null),
            Self::NoChat => bad("chat not found"),
            Self::Migrated(to) => {
                refusal(400, "Bad Request: group chat was upgraded to a supergroup chat", json!({"migrate_to_chat_id": to}))
            }
            Self::Unauthorized => refusal(401, "Unauthorized", Value::Null),
        }
    }
}
