//! Rows and keys: there and back, and the bytes that must never change.

use proptest::prelude::*;

use super::*;
use crate::avro::Value;

fn time() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp)
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Queued),
        (any::<i64>(), time()).prop_map(|(message_id, at)| Event::Sent { message_id, at }),
        time().prop_map(|at| Event::GivenUp { at }),
    ]
}

fn queued() -> impl Strategy<Value = Queued> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..40);
    let texts = (any::<String>(), any::<String>(), any::<String>(), any::<String>());
    let numbers = (time(), any::<i32>(), any::<i64>(), any::<i64>(), any::<bool>(), any::<bool>());
    (numbers, texts, proptest::option::of(bytes()), bytes(), bytes()).prop_map(|(numbers, texts, key, value, headers)| Queued {
        timestamp: numbers.0,
        partition: numbers.1,
        offset: numbers.2,
        message_thread_id: numbers.3,
        disable_notification: numbers.4,
        disable_web_page_preview: numbers.5,
        event_id: texts.0,
        text: texts.1,
        parse_mode: texts.2,
        edit_key: texts.3,
        key,
        value,
        headers,
    })
}

fn chat() -> impl Strategy<Value = ChatRow> {
    let tried = any::<[bool; 4]>().prop_map(|[plain, no_thread, as_new, moved]| Tried { plain, no_thread, as_new, moved });
    let intent = (any::<u64>(), any::<u64>(), any::<Option<i64>>()).prop_map(|(session, job, edits)| Intent { session, job, edits });
    let numbers = (any::<u64>(), any::<u64>(), (time(), time()), any::<u32>(), any::<u64>());
    (numbers, tried, proptest::option::of(intent), any::<String>(), any::<Option<i64>>()).prop_map(
        |(numbers, tried, intent, reason, moved_to)| ChatRow {
            head: numbers.0,
            next: numbers.1,
            wait_until: numbers.2.0,
            wait_since: numbers.2.1,
            failures: numbers.3,
            give_up_before: numbers.4,
            tried,
            intent,
            reason,
            moved_to,
        },
    )
}

proptest! {
    #[test]
    fn rows_come_back_as_they_were(event in event(), queued in queued(), chat in chat(), message_id: i64, at in time(), moved_to: Option<i64>) {
        prop_assert_eq!(Event::decode(&event.encode()).unwrap(), event);
        prop_assert_eq!(Queued::decode(&queued.encode()).unwrap(), queued);
        prop_assert_eq!(ChatRow::decode(&chat.encode()).unwrap(), chat);
        let editable = Editable { message_id, at, moved_to };
        prop_assert_eq!(Editable::decode(&editable.encode()).unwrap(), editable);
    }

    #[test]
    fn what_is_cut_or_longer_or_of_another_version_is_refused(chat in chat(), cut in 0_usize..40) {
        let row = chat.encode();
        prop_assert!(ChatRow::decode(&row[..row.len() - 1 - cut.min(row.len() - 1)]).is_err());
        prop_assert!(ChatRow::decode(&[&row[..], &[0]].concat()).is_err());
        prop_assert!(ChatRow::decode(&[&[VERSION + 1], &row[1..]].concat()).is_err());
    }

    #[test]
    fn any_bytes_are_a_row_or_refused(row in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = (Event::decode(&row).is_ok(), Queued::decode(&row).is_ok(), ChatRow::decode(&row).is_ok(), Editable::decode(&row).is_ok());
        let _ = (message_of_key(&row), aged(&row), event_of_key(&row), chat_of_key(&row));
    }

    #[test]
    fn messages_of_a_chat_lie_in_the_order_of_their_numbers(chat in ".{0,20}", a: u64, b: u64) {
        prop_assert_eq!(message_key(&chat, a).cmp(&message_key(&chat, b)), a.cmp(&b));
        let key = message_key(&chat, a);
        prop_assert_eq!(message_of_key(&key), Some((&*chat, a)));
        let key = event_key(&chat, "e");
        prop_assert_eq!(event_of_key(&key), Some((&*chat, "e")));
    }

    #[test]
    fn ages_lie_in_the_order_of_time(at in 0..i64::MAX, limit in 0..i64::MAX, id in ".{0,20}") {
        let key = age_key(Timestamp(at), &event_key("5", &id));
        let (from, to) = ages_before(Timestamp(limit));
        prop_assert_eq!(from <= key && key < to, at < limit);
        let event = event_key("5", &id);
        prop_assert_eq!(aged(&key), Some((Timestamp(at), &*event)));
    }

    #[test]
    fn chats_come_after_one_another(mut names in proptest::collection::btree_set(".{1,5}", 2..5)) {
        let first = names.pop_first().unwrap();
        let (from, to) = chats_after(Some(&first));
        let inside = |chat: &str| from <= chat_key(chat) && Some(chat_key(chat)) < to;
        prop_assert!(!inside(&first));
        prop_assert!(names.iter().all(|name| inside(name) && chat_of_key(&chat_key(name)) == Some(name)));
    }
}

#[test]
fn the_bytes_never_change() {
    let hex = |bytes: &[u8]| Value::Bytes(bytes.to_vec()).to_string();
    assert_eq!(hex(&message_key("-15", 258)), "0200032d31350000000000000102");
    assert_eq!(hex(&age_key(Timestamp(1), &event_key("-15", "e"))), "0500000000000000010100032d313565");
    assert_eq!(hex(&edit_key("-15", "k")), "0400032d31356b");
    assert_eq!(hex(&Event::Sent { message_id: 7, at: Timestamp(9) }.encode()), "010100000000000000070000000000000009");
    let row = ChatRow {
        head: 1,
        next: 2,
        intent: Some(Intent { session: 3, job: 4, edits: Some(5) }),
        reason: "r".to_owned(),
        ..ChatRow::default()
    };
    let numbers = ["0000000000000001", "0000000000000002", "0000000000000000", "0000000000000000", "0000000000000000"].concat();
    let intent = ["0000000000000003", "0000000000000004", "0000000000000005"].concat();
    assert_eq!(hex(&row.encode()), format!("0130{numbers}{intent}0000000000000000{}0000000000000000", "0000000172"));
}
