//! The rows of the sent log, read and written through the store of a task.

use crate::streams::clock::Timestamp;
use crate::streams::processor::{BoxError, KeyValueStore};
use crate::telegram::sent_log::{self, ChatRow, Editable, Event, Malformed, Queued};

type Store<'a> = &'a mut dyn KeyValueStore;

fn read<T>(store: Store<'_>, key: &[u8], decode: impl FnOnce(&[u8]) -> Result<T, Malformed>) -> Result<Option<T>, BoxError> {
    Ok(store.get(key)?.map(decode).transpose()?)
}

/// What is known of an event in a chat.
pub(super) fn event(store: Store<'_>, chat: &str, event_id: &str) -> Result<Option<Event>, BoxError> {
    read(store, &sent_log::event_key(chat, event_id), Event::decode)
}

/// Notes what became of an event; what is final is forgotten when it is old.
pub(super) fn note(store: Store<'_>, chat: &str, event_id: &str, event: Event) -> Result<(), BoxError> {
    let key = sent_log::event_key(chat, event_id);
    match event {
        Event::Queued => {}
        Event::Sent { at, .. } | Event::GivenUp { at } => store.put(&sent_log::age_key(at, &key), &[])?,
    }
    store.put(&key, &event.encode())
}

/// The row of a chat.
pub(super) fn chat(store: Store<'_>, chat: &str) -> Result<Option<ChatRow>, BoxError> {
    read(store, &sent_log::chat_key(chat), ChatRow::decode)
}

/// Writes the row of a chat.
pub(super) fn put_chat(store: Store<'_>, chat: &str, row: &ChatRow) -> Result<(), BoxError> {
    store.put(&sent_log::chat_key(chat), &row.encode())
}

/// Forgets a chat.
pub(super) fn forget_chat(store: Store<'_>, chat: &str) -> Result<(), BoxError> {
    store.delete(&sent_log::chat_key(chat))
}

/// Chats in the order of their ids, after this one, at most `limit`.
pub(super) fn chats(store: Store<'_>, after: Option<&str>, limit: usize) -> Result<Vec<(String, ChatRow)>, BoxError> {
    let (from, to) = sent_log::chats_after(after);
    let mut found = Vec::new();
    let mut malformed = None;
    store.range(&from, to.as_deref(), &mut |key, value| {
        match (sent_log::chat_of_key(key), ChatRow::decode(value)) {
            (Some(chat), Ok(row)) => found.push((chat.to_owned(), row)),
            (_, Err(error)) => malformed = Some(error),
            (None, Ok(_)) => {}
        }
        if found.len() < limit && malformed.is_none() { std::ops::ControlFlow::Continue(()) } else { std::ops::ControlFlow::Break(()) }
    })?;
    malformed.map_or(Ok(found), |error| Err(error.into()))
}

/// A message in the queue of a chat.
pub(super) fn message(store: Store<'_>, chat: &str, number: u64) -> Result<Option<Queued>, BoxError> {
    read(store, &sent_log::message_key(chat, number), Queued::decode)
}

/// Puts a message into the queue of a chat.
pub(super) fn put_message(store: Store<'_>, chat: &str, number: u64, message: &Queued) -> Result<(), BoxError> {
    store.put(&sent_log::message_key(chat, number), &message.encode())
}

/// Takes the message at the head out of the queue.
pub(super) fn pop(store: Store<'_>, chat: &str, row: &mut ChatRow) -> Result<(), BoxError> {
    store.delete(&sent_log::message_key(chat, row.head))?;
    row.head += 1;
    row.tried = sent_log::Tried::default();
    row.intent = None;
    Ok(())
}

/// The message that has this edit key.
pub(super) fn editable(store: Store<'_>, chat: &str, key: &str) -> Result<Option<Editable>, BoxError> {
    read(store, &sent_log::edit_key(chat, key), Editable::decode)
}

/// Notes which message has this edit key.
pub(super) fn put_editable(store: Store<'_>, chat: &str, key: &str, message: Editable) -> Result<(), BoxError> {
    let key = sent_log::edit_key(chat, key);
    store.put(&sent_log::age_key(message.at, &key), &[])?;
    store.put(&key, &message.encode())
}

/// Forgets which message has this edit key.
pub(super) fn forget_editable(store: Store<'_>, chat: &str, key: &str) -> Result<(), BoxError> {
    store.delete(&sent_log::edit_key(chat, key))
}

/// Forgets events and edits that are older than `time`, at most `limit`; returns how many.
pub(super) fn forget_older(store: Store<'_>, time: Timestamp, limit: usize) -> Result<usize, BoxError> {
    let (from, to) = sent_log::ages_before(time);
    let mut old = Vec::new();
    store.range(&from, Some(&to), &mut |key, _| {
        old.push(key.to_vec());
        if old.len() < limit { std::ops::ControlFlow::Continue(()) } else { std::ops::ControlFlow::Break(()) }
    })?;
    for age in &old {
        if let Some((at, key)) = sent_log::aged(age) {
            let written = store.get(key)?.map(|value| sent_log::written_at(key, value)).transpose()?.flatten();
            // What was written again meanwhile has another age, or none yet.
            if written == Some(at) {
                store.delete(key)?;
            }
        }
        store.delete(age)?;
    }
    Ok(old.len())
}
