//! Topics against what must be in them, with a first difference that can be read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use serde_json::Value;

use crate::installation::{Installation, Tapped};
use crate::oracle::Expected;

/// Compares two lists, and shows the first difference only: the lists are long.
#[track_caller]
pub(crate) fn assert_same<T: PartialEq + Debug>(what: &str, found: &[T], expected: &[T]) {
    let first = found.iter().zip(expected).position(|(found, expected)| found != expected);
    if let Some(at) = first {
        panic!("{what}: record {at} of {} is\n{:#?}\ninstead of\n{:#?}", expected.len(), found[at], expected[at]);
    }
    let next = found.get(expected.len()).or(expected.get(found.len()));
    assert_eq!(found.len(), expected.len(), "{what}: number of records; the first that one side lacks: {next:#?}");
}

/// The records of each key, in their order.
pub(crate) fn by_key(records: &[Tapped]) -> BTreeMap<String, Vec<Tapped>> {
    let mut keys: BTreeMap<String, Vec<Tapped>> = BTreeMap::new();
    for record in records {
        keys.entry(record.key.clone().unwrap_or_default()).or_default().push(record.clone());
    }
    keys
}

/// Takes the event ids out of messages and asserts that each is one and no two are the same.
#[track_caller]
pub(crate) fn without_event_ids(messages: &[Tapped]) -> Vec<Tapped> {
    let mut ids = BTreeSet::new();
    let stripped = messages.iter().map(|message| {
        let mut message = message.clone();
        let id = message.value.as_object_mut().and_then(|fields| fields.remove("event_id"));
        let id = id.and_then(|id| id.as_str().map(str::to_owned)).unwrap_or_default();
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "event_id {id:?} of {message:?}");
        assert!(ids.insert(id), "an event_id occurs twice: {message:?}");
        message
    });
    stripped.collect()
}

/// Asserts that the topics of an installation hold what the oracle expects, and nothing else. With one partition everything is in
/// the order of the input; with several, each key's changes are, and the messages are compared as a set.
#[track_caller]
pub(crate) fn assert_topics(installation: &Installation, expected: &Expected, partitions: i64) {
    let changes = installation.tap("youtube_changes");
    let found: Vec<(String, i64, Value)> =
        ordered(&changes, partitions, |record| (record.key.clone().unwrap_or_default(), record.timestamp, record.value.clone()));
    let mut wanted: Vec<_> = expected.changes.iter().map(|change| (change.key.clone(), change.timestamp, change.value.clone())).collect();
    if partitions > 1 {
        wanted.sort_by(|a, b| a.0.cmp(&b.0));
    }
    assert_same("youtube_changes", &found, &wanted);

    assert_messages(&installation.tap("telegram_outbox"), expected, partitions);
}

/// Asserts that these are the messages that the oracle expects, in its order where they come of one partition.
#[track_caller]
pub(crate) fn assert_messages(messages: &[Tapped], expected: &Expected, partitions: i64) {
    let messages = without_event_ids(messages);
    for message in &messages {
        assert_eq!(message.key.as_deref(), message.value["chat_id"].as_str(), "the key is the chat: {message:?}");
    }
    let mut found: Vec<(i64, String)> =
        messages.iter().map(|message| (message.timestamp, message.value["text"].as_str().unwrap().to_owned())).collect();
    let mut wanted = expected.messages.clone();
    if partitions > 1 {
        found.sort();
        wanted.sort();
    }
    assert_same("telegram_outbox", &found, &wanted);
}

fn ordered<T>(records: &[Tapped], partitions: i64, view: fn(&Tapped) -> T) -> Vec<T> {
    if partitions > 1 { by_key(records).values().flatten().map(view).collect() } else { records.iter().map(view).collect() }
}
