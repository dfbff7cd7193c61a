//! An answer of the Bot API as it came: status, `Retry-After`, and the document, where it is one of the Bot API's.

use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;

/// Of what others say so many characters are repeated.
const WORDS_CHARS_MAX: usize = 200;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The header, in seconds.
    pub(super) retry_after: Option<u64>,
    pub(super) body: Body,
}

/// The body of an answer.
#[derive(Debug)]
pub(super) enum Body {
    /// A document of the Bot API.
    Document(Document),
    /// Complete, but of somebody else: HTML of a proxy, another service, half a document.
    Strange,
    /// It did not come whole; why.
    Cut(String),
}

/// `{"ok": true, "result": …}` or `{"ok": false, "error_code": …, "description": …, "parameters": …}`.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) ok: bool,
    pub(super) result: Value,
    pub(super) error_code: Option<u16>,
    /// On one line and not too long.
    pub(super) description: String,
    /// In seconds.
    pub(super) retry_after: Option<u64>,
    pub(super) migrate_to_chat_id: Option<i64>,
}

impl Answer {
    /// An answer of these parts; `body` is none where it did not come whole, with the reason.
    pub(super) fn new(status: u16, headers: &HeaderMap, body: Result<&[u8], String>) -> Self {
        let retry_after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let body = match body {
            Ok(bytes) => Document::read(bytes).map_or(Body::Strange, Body::Document),
            Err(reason) => Body::Cut(reason),
        };
        Self { status, retry_after, body }
    }

    /// The status, with what the document says of it.
    pub(super) fn reason(&self) -> String {
        let status = self.status;
        match &self.body {
            Body::Document(document) if !document.description.is_empty() => format!("{}: {}", self.code(), document.description),
            Body::Document(_) => format!("{}, without a description", self.code()),
            Body::Strange => format!("status {status} with a body that is not the Bot API's"),
            Body::Cut(reason) => format!("status {status}, but {reason}"),
        }
    }

    /// The code of the error: that of the document, else the status.
    pub(super) fn code(&self) -> u16 {
        match &self.body {
            Body::Document(Document { ok: false, error_code: Some(code), .. }) => *code,
            _ => self.status,
        }
    }

    /// How long to wait: as the document says, else the header.
    pub(super) fn wait(&self) -> Option<u64> {
        match &self.body {
            Body::Document(document) => document.retry_after.or(self.retry_after),
            _ => self.retry_after,
        }
    }
}

impl Document {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut document: Value = serde_json::from_slice(bytes).ok()?;
        let ok = document.get("ok")?.as_bool()?;
        let parameters = document.get("parameters");
        let parameter = |name: &str| parameters.and_then(|parameters| parameters.get(name));
        Some(Self {
            ok,
            error_code: document.get("error_code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok()),
            description: words(document.get("description").and_then(Value::as_str).unwrap_or_default()),
            retry_after: parameter("retry_after").and_then(Value::as_u64),
            migrate_to_chat_id: parameter("migrate_to_chat_id").and_then(Value::as_i64),
            result: document.get_mut("result").map(Value::take).unwrap_or_default(),
        })
    }
}

/// What somebody else says, on one line and not too long, without characters that would command a terminal or turn text around.
pub(super) fn words(text: &str) -> String {
    let line = text.chars().take(WORDS_CHARS_MAX).map(|c| if c.is_control() || super::is_bidi_control(c) { ' ' } else { c });
    line.collect::<String>().trim().to_owned()
}
