//! One test per class of outcome: what is sent again and how, what waits, what becomes a dead letter.

use super::*;
use crate::streams::task::REPLAY_HEADER;

#[test]
fn a_message_is_sent_once_and_a_replay_of_its_topic_sends_nothing() {
    let world = World::new();
    let mut bench = world.start();
    for text in ["one", "two"] {
        bench.put("5", text);
    }
    bench.run();
    for text in ["two", "one"] {
        bench.put("5", text);
    }
    bench.run();
    assert_eq!(world.fake.texts("5"), ["one", "two"]);
    assert_eq!((bench.count("sent_total"), bench.count("duplicates_total")), (2, 2));
    assert_eq!(bench.desk.status().sent_total, 2);
    assert_eq!((bench.rows(1), bench.rows(2), bench.rows(3)), (2, 0, 0), "events stay, queues and idle chats do not");
}

#[test]
fn a_429_stops_its_chat_alone_for_as_long_as_it_says_also_over_a_restart() {
    let world = World::new();
    let too_many = json!({"ok": false, "error_code": 429, "description": "Too Many Requests: retry after 10072",
                          "parameters": {"retry_after": 10_072}});
    world.fake.script("busy", [Answer::Say(429, too_many)]);
    let mut bench = world.start();
    bench.put("busy", "one");
    bench.put("busy", "two");
    bench.put("other", "three");
    bench.run();
    assert_eq!((world.fake.texts("busy").len(), world.fake.texts("other").len()), (0, 1));
    bench.run_after(10_000);
    assert_eq!(world.fake.asked().len(), 2, "nothing is asked before the time");
    bench.kill();
    let mut bench = world.start();
    bench.run();
    assert_eq!(world.fake.asked().len(), 0, "a restart does not ask before the time");
    bench.run_after(72);
    assert_eq!(world.fake.texts("busy"), ["one", "two"]);
    assert_eq!(bench.dead_letters(), []);
}

#[test]
fn a_supergroup_is_remembered_over_a_restart_and_the_loss_of_the_disk() {
    let mut world = World::new();
    let moved = json!({"ok": false, "error_code": 400, "description": "Bad Request: group chat was upgraded to a supergroup chat",
                       "parameters": {"migrate_to_chat_id": -1_001_557_912_345_i64}});
    world.fake.script("-15", [Answer::Say(400, moved)]);
    let mut bench = world.start();
    bench.put("-15", "one");
    bench.run();
    bench.kill();
    world.backend = Arc::default();
    let mut bench = world.start();
    bench.put("-15", "two");
    bench.run();
    assert_eq!(world.fake.texts("-1001557912345"), ["one", "two"]);
    assert_eq!(world.fake.asked().len(), 3, "the old id is asked once");
}

#[test]
fn a_chat_that_moves_twice_in_one_turn_is_no_place_to_send_to() {
    let world = World::new();
    let moved = |to: i64| {
        let parameters = json!({"migrate_to_chat_id": to});
        Answer::Say(400, json!({"ok": false, "error_code": 400, "description": "moved", "parameters": parameters}))
    };
    world.fake.script("-1", [moved(-2)]);
    world.fake.script("-2", [moved(-1)]);
    let mut bench = world.start();
    bench.put("-1", "one");
    bench.run();
    assert_eq!(bench.dead_letters(), [("Migrated".to_owned(), "the chat has moved again, to -1".to_owned(), "one".to_owned())]);
}

#[test]
fn wrong_markup_goes_as_plain_text_and_a_missing_topic_is_left_out() {
    let world = World::new();
    let thread = refusal(400, "Bad Request: message thread not found");
    world.fake.script("5", [refusal(400, "Bad Request: can't parse entities: Unsupported start tag \"5\" at byte offset 21"), thread]);
    let mut bench = world.start();
    let mut value = message("5", "<b>a &lt; b</b>");
    (value["parse_mode"], value["message_thread_id"]) = (json!("HTML"), json!(17));
    bench.put_value("5", &value);
    bench.put("5", "next");
    bench.run();
    let asked = world.fake.asked();
    assert_eq!(asked[0].1["parse_mode"], "HTML");
    assert_eq!((asked[1].1["parse_mode"].clone(), asked[1].1["message_thread_id"].clone()), (Value::Null, json!(17)));
    assert_eq!(asked[2].1["message_thread_id"], Value::Null);
    assert_eq!(world.fake.texts("5"), ["a < b", "next"]);
}

#[test]
fn a_refused_message_is_a_dead_letter_as_it_came_and_the_next_one_goes() {
    let world = World::new();
    world.fake.script("5", [refusal(400, "Bad Request: message is too long")]);
    let mut bench = world.start();
    bench.put("5", "one");
    bench.put("5", "two");
    bench.run();
    let records = bench.driver.read(DEAD_LETTERS).unwrap();
    let [letter] = &records[..] else { panic!("{records:?}") };
    assert_eq!(letter.key.as_deref(), Some(&b"5"[..]));
    assert_eq!(letter.value.as_deref().unwrap(), message("5", "one").to_string().as_bytes(), "byte for byte");
    assert_eq!(letter.timestamp, Timestamp(7));
    let said: Vec<_> = letter.headers.iter().map(|(name, _)| header(letter, name).unwrap()).collect();
    assert_eq!(said[0], "Refused");
    assert!(said[1].contains("message is too long"), "{said:?}");
    assert_eq!(said[2..], [OUTBOX, "0", "0"]);
    assert_eq!(world.fake.texts("5"), ["two"]);
}

#[test]
fn a_chat_that_takes_nothing_is_left_alone_for_an_hour_also_over_a_restart() {
    let world = World::new();
    world.fake.script("5", [refusal(403, "Forbidden: bot was blocked by the user")]);
    let mut bench = world.start();
    for text in ["one", "two", "three"] {
        bench.put("5", text);
    }
    bench.put("6", "other");
    bench.run();
    let letters = bench.dead_letters();
    assert_eq!(
        letters.iter().map(|(class, _, text)| (class.as_str(), text.as_str())).collect::<Vec<_>>(),
        [("Parked", "one"), ("Parked", "two"), ("Parked", "three")]
    );
    assert!(letters[2].1.contains("bot was blocked by the user"), "{letters:?}");
    bench.put("5", "four");
    bench.run_after(3_500);
    bench.kill();
    let mut bench = world.start();
    bench.run();
    assert_eq!(world.fake.texts("5"), [""; 0]);
    assert_eq!(world.fake.texts("6"), ["other"]);
    bench.run_after(101);
    assert_eq!(world.fake.texts("5"), ["four"], "after the hour it is tried again");
}

#[test]
fn a_long_queue_becomes_dead_letters_in_steps_that_a_kill_does_not_break() {
    let world = World::new();
    world.fake.script("5", [refusal(403, "Forbidden: bot was kicked from the group chat")]);
    let mut bench = world.start();
    let all = GIVE_UP_MAX * 2 + 3;
    for number in 0..all {
        bench.put("5", &format!("{number}"));
    }
    bench.turn();
    bench.desk.quiet();
    bench.turn();
    let first = bench.dead_letters().len();
    assert!((1..all).contains(&first), "{first}");
    bench.kill();
    let mut bench = world.start();
    bench.run();
    let texts: Vec<String> = bench.dead_letters().into_iter().map(|(_, _, text)| text).collect();
    assert_eq!(texts, (0..all).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!(bench.rows(2), 0);
}

#[test]
fn an_outage_is_waited_for_without_end_and_costs_no_message() {
    let world = World::new();
    let down = Answer::Raw("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>");
    let internal = refusal(500, "Internal Server Error: restart");
    world.fake.script("5", std::iter::repeat_n(down, 10).chain(std::iter::repeat_n(internal, 10)));
    let mut bench = world.start();
    bench.put("5", "one");
    bench.put("5", "two");
    bench.run();
    assert_eq!(world.fake.asked().len(), 1, "not again at once");
    // Never longer than that: it goes on soon after the outage.
    for _ in 0..20 {
        bench.run_after(31);
    }
    assert_eq!(world.fake.texts("5"), ["one", "two"]);
    assert_eq!((bench.count("retries_total"), bench.dead_letters().len()), (20, 0));
}

#[test]
fn an_unknown_outcome_is_counted_and_the_chat_decides() {
    let world = World::new();
    world.fake.script("often", [Answer::TakeAndCut]);
    world.fake.script("once", [Answer::TakeAndCut]);
    let mut bench = world.start();
    for chat in ["often", "once"] {
        bench.put(chat, &format!("to {chat}"));
        bench.put(chat, &format!("then to {chat}"));
    }
    bench.run();
    bench.run_after(2);
    assert_eq!(world.fake.texts("often"), ["to often", "to often", "then to often"]);
    assert_eq!(world.fake.texts("once"), ["to once", "then to once"]);
    assert_eq!(bench.count("unknown_outcomes_total"), 2);
    let letters = bench.dead_letters();
    assert_eq!((letters.len(), letters[0].0.as_str(), letters[0].2.as_str()), (1, "Unknown", "to once"));
}

#[test]
fn a_wrong_token_stops_everything_and_the_queue_stays() {
    let world = World::new();
    world.fake.script("5", [refusal(401, "Unauthorized")]);
    let mut bench = world.start();
    bench.put("5", "one");
    bench.run();
    bench.put("6", "two");
    bench.run_after(100_000);
    assert_eq!(world.fake.asked().len(), 1);
    assert!(bench.desk.stopped().is_some_and(|reason| reason.contains("Unauthorized")));
    assert_eq!((bench.rows(2), bench.dead_letters().len()), (2, 0));
    bench.kill();
    let mut bench = world.start();
    bench.run();
    assert_eq!(world.fake.arrived().len(), 2);
    assert_eq!(bench.count("unknown_outcomes_total"), 0);
}

#[test]
fn a_message_is_edited_in_place_and_a_new_one_is_sent_where_it_is_gone() {
    let world = World::new();
    let edited = |text: &str| {
        let mut value = message("5", text);
        value["edit_key"] = json!("likes of a");
        value
    };
    let mut bench = world.start();
    bench.put_value("5", &edited("1 like"));
    bench.put_value("5", &edited("2 likes"));
    bench.run();
    let asked = world.fake.asked();
    assert_eq!((asked[0].0.as_str(), asked[1].0.as_str()), ("sendMessage", "editMessageText"));
    assert_eq!(asked[1].1["message_id"], 1);
    let same = "Bad Request: message is not modified: specified new message content and reply markup are exactly the same";
    world.fake.script("5", [refusal(400, same), refusal(400, "Bad Request: message to edit not found")]);
    bench.put_value("5", &edited("2 likes again"));
    bench.put_value("5", &edited("3 likes"));
    bench.put_value("5", &edited("4 likes"));
    bench.run();
    let methods: Vec<String> = world.fake.asked().into_iter().map(|(method, _)| method).collect();
    assert_eq!(methods, ["editMessageText", "editMessageText", "sendMessage", "editMessageText"]);
    assert_eq!(world.fake.texts("5"), ["1 like", "2 likes", "3 likes", "4 likes"]);
    assert_eq!((bench.count("sent_total"), bench.dead_letters().len()), (5, 0));
    world.fake.script("once", [Answer::Take, Answer::TakeAndCut]);
    for text in ["a", "b"] {
        let mut value = edited(text);
        value["chat_id"] = json!("once");
        bench.put_value("once", &value);
    }
    bench.run();
    bench.run_after(2);
    assert_eq!(world.fake.texts("once"), ["a", "b", "b"], "an edit may be repeated");
    assert_eq!(bench.dead_letters(), []);
}

#[test]
fn a_message_of_a_group_that_moved_is_not_edited_under_the_new_id() {
    let world = World::new();
    let edited = |key: &str, text: &str| {
        let mut value = message("-15", text);
        value["edit_key"] = json!(key);
        value
    };
    let mut bench = world.start();
    bench.put_value("-15", &edited("a", "a1"));
    bench.run();
    let moved = json!({"ok": false, "error_code": 400, "description": "moved", "parameters": {"migrate_to_chat_id": -10_015}});
    world.fake.script("-15", [Answer::Say(400, moved)]);
    // The supergroup counts its messages anew: number 1 may be another message of the bot there.
    bench.put_value("-15", &edited("b", "b1"));
    bench.put_value("-15", &edited("a", "a2"));
    bench.put_value("-15", &edited("a", "a3"));
    bench.run();
    let arrived: Vec<_> = world.fake.arrived().into_iter().map(|arrived| (arrived.chat, arrived.text, arrived.edited)).collect();
    let new = |text: &str, edited| ("-10015".to_owned(), text.to_owned(), edited);
    assert_eq!(arrived[1..], [new("b1", false), new("a2", false), new("a3", true)]);
}

#[test]
fn a_dead_letter_that_is_sent_on_is_tried_again_and_nothing_else_is() {
    let world = World::new();
    world.fake.script("5", [refusal(400, "Bad Request: message is too long")]);
    let mut bench = world.start();
    bench.put("5", "one");
    bench.run();
    bench.put("5", "one");
    bench.run();
    assert_eq!(world.fake.texts("5"), [""; 0], "given up is given up");
    let replay = |bench: &mut Bench, text: &str| {
        let mut headers = crate::streams::log::HeadersBuf::default();
        headers.push(REPLAY_HEADER, Some(b"1"));
        headers.push("mine", Some(b"2"));
        let value = message("5", text).to_string();
        append(&world.log, b"5", value.as_bytes(), headers.as_headers());
        bench.run();
    };
    world.fake.script("5", [refusal(400, "Bad Request: message is too long")]);
    replay(&mut bench, "one");
    let records = bench.driver.read(DEAD_LETTERS).unwrap();
    let names: Vec<_> = records[1].headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[0], "mine");
    assert!(!names.contains(&REPLAY_HEADER), "{names:?}");
    for _ in 0..2 {
        replay(&mut bench, "one");
    }
    assert_eq!(world.fake.texts("5"), ["one"], "sent is sent");
}

/// Appends to the outbox what the driver cannot: a record with headers.
fn append(log: &LocalLog, key: &[u8], value: &[u8], headers: crate::streams::log::Headers<'_>) {
    use crate::streams::log::{ProducerOptions, ProducerRecord};
    let (transaction_timeout, topics) = (Duration::from_secs(1), vec![OUTBOX.into()]);
    let mut producer = log.producer(ProducerOptions { transactional_id: "replay".into(), topics, transaction_timeout }).unwrap();
    producer.init_transactions(transaction_timeout).unwrap();
    producer.begin().unwrap();
    let record = ProducerRecord { topic: 0, partition: None, key: Some(key), value: Some(value), headers, timestamp: Timestamp(8) };
    producer.send(&record).unwrap();
    producer.commit(transaction_timeout).unwrap();
}
