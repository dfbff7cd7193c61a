//! Fuzz targets: what the Bot API answers, texts that are cut, rows of the sent log.

use std::hint::black_box;

use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use serde_json::Value;

use super::answer::Answer;
use super::failure::Failure;
use super::sent_log::{ChatRow, Editable, Event, Queued};
use super::{Message, Outcome, Request, chats, sent_log, text};
use crate::fuzzing::input::part;

/// The longest reason, in bytes: so much of what Telegram says is repeated.
const REASON_BYTES_MAX: usize = 2048;

/// What Telegram may ask for at most, in seconds.
const WAIT_SECONDS_MAX: u64 = 30 * 24 * 3600;

/// An answer: status, `Retry-After`, body.
pub(crate) fn answers(mut input: &[u8]) {
    let Some((&status, rest)) = input.split_first() else { return };
    input = rest;
    let usual = [200, 400, 429, 403, 401, 404, 500, 502, 301];
    let status = usual.get(usize::from(status) % 10).copied().unwrap_or(100 + u16::from(status) * 2);
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(part(&mut input)) {
        headers.insert(RETRY_AFTER, value);
    }
    let plain = Message { chat_id: "1".to_owned(), text: "text".to_owned(), ..Message::default() };
    let rich = Message { parse_mode: "HTML".to_owned(), message_thread_id: 7, ..plain.clone() };
    for request in [Request::Send(plain.clone()), Request::Send(rich.clone()), Request::Edit { message_id: 3, message: rich }] {
        let answer = Answer::new(status, &headers, Ok(input));
        let outcome = Outcome::of_answer(&answer, &request);
        check_reason(outcome.reason());
        match outcome {
            Outcome::Wait { seconds, .. } => assert!((1..=WAIT_SECONDS_MAX).contains(&seconds), "{seconds}"),
            // An advice must be one that can be followed.
            Outcome::PlainText { .. } => {
                assert!(matches!(&request, Request::Send(m) | Request::Edit { message: m, .. } if !m.parse_mode.is_empty()));
            }
            Outcome::NoThread { .. } => assert!(matches!(&request, Request::Send(message) if message.message_thread_id != 0)),
            Outcome::Gone { .. } | Outcome::Unchanged => assert!(matches!(&request, Request::Edit { .. })),
            _ => {}
        }
    }
    let failure = Failure::of_answer(&Answer::new(status, &headers, Ok(input)));
    assert!(failure.to_string().len() <= REASON_BYTES_MAX && !failure.hint().is_empty());
    drop(Outcome::of_answer(&Answer::new(status, &headers, Err("it broke off".to_owned())), &Request::Send(plain)));
    updates(input);
}

fn check_reason(reason: &str) {
    assert!(reason.len() <= REASON_BYTES_MAX, "{} bytes", reason.len());
    assert!(!reason.contains(|c: char| c.is_control() || super::is_bidi_control(c)), "{reason:?}");
}

fn updates(input: &[u8]) {
    let Ok(document) = serde_json::from_slice::<Value>(input) else { return };
    let found = document.get("result").unwrap_or(&document).as_array().map(|updates| chats(updates)).unwrap_or_default();
    for (place, chat) in found.iter().enumerate() {
        check_reason(&chat.name);
        assert!(found.iter().skip(place + 1).all(|other| other.id != chat.id), "the chat {} twice", chat.id);
    }
}

/// How much room there is, how the text is read, the text.
pub(crate) fn texts(input: &[u8]) {
    text::fuzz(input);
}

/// A row of the sent log, and a key.
pub(crate) fn sent_log(mut input: &[u8]) {
    let key = crate::fuzzing::input::run(&mut input).unwrap_or_default();
    if let Ok(row) = Event::decode(input) {
        assert_eq!(Event::decode(&row.encode()).ok(), Some(row));
    }
    if let Ok(row) = Editable::decode(input) {
        let again = Editable::decode(&row.encode()).ok();
        // Where the chat had not moved, what stands in the place of its id says nothing.
        assert_eq!(again, Some(row));
    }
    if let Ok(row) = Queued::decode(input) {
        let again = Queued::decode(&row.encode()).ok();
        assert_eq!(again.as_ref(), Some(&row));
    }
    if let Ok(row) = ChatRow::decode(input) {
        let again = ChatRow::decode(&row.encode()).ok();
        assert_eq!(again.as_ref(), Some(&row));
    }
    if let Some((chat, number)) = sent_log::message_of_key(key) {
        assert_eq!(sent_log::message_key(chat, number), key);
    }
    if let Some((chat, event)) = sent_log::event_of_key(key) {
        assert_eq!(sent_log::event_key(chat, event), key);
    }
    if let Some(chat) = sent_log::chat_of_key(key) {
        assert_eq!(sent_log::chat_key(chat), key);
    }
    black_box(sent_log::aged(key));
    drop(sent_log::written_at(key, input));
}
