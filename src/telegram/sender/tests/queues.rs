//! Queues: the order of each chat, one request at a time, more chats than the memory holds, what is forgotten.

use super::*;

#[test]
fn each_chat_keeps_its_order_and_has_one_request_at_a_time() {
    let world = World::new();
    let mut bench = world.start();
    for number in 0..20 {
        for chat in 0..10 {
            bench.put(&format!("chat {chat}"), &format!("{number} of {chat}"));
        }
    }
    bench.run();
    for chat in 0..10 {
        let expected: Vec<String> = (0..20).map(|number| format!("{number} of {chat}")).collect();
        assert_eq!(world.fake.texts(&format!("chat {chat}")), expected);
    }
    assert_eq!(world.fake.most_open(), 1);
    assert_eq!(bench.rows(2) + bench.rows(3), 0);
}

#[test]
fn more_chats_than_the_memory_holds_are_served_in_rounds() {
    let world = World::new();
    let mut bench = world.start();
    let all = CHATS_MAX * 3;
    let waits = json!({"ok": false, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 100}});
    for chat in 0..all {
        let name = format!("{chat:04}");
        if chat < CHATS_MAX {
            world.fake.script(&name, [Answer::Say(429, waits.clone())]);
        }
        for number in 0..3 {
            bench.put(&name, &format!("{number} of {chat}"));
        }
    }
    bench.run();
    bench.run();
    assert_eq!(world.fake.arrived().len(), 3 * (all - CHATS_MAX), "those that wait hold up nobody");
    bench.run_after(100);
    bench.run();
    for chat in 0..all {
        let expected: Vec<String> = (0..3).map(|number| format!("{number} of {chat}")).collect();
        assert_eq!(world.fake.texts(&format!("{chat:04}")), expected);
    }
    assert_eq!(bench.rows(2), 0);
}

#[test]
fn chats_that_wait_make_room_for_one_that_does_not() {
    let world = World::new();
    let mut bench = world.start();
    // One after the other: the memory is full of chats that wait.
    for chat in 0..CHATS_MAX {
        let waits = json!({"ok": false, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 100}});
        world.fake.script(&format!("{chat}"), [Answer::Say(429, waits)]);
        bench.put(&format!("{chat}"), "late");
    }
    bench.run();
    assert_eq!((world.fake.arrived().len(), bench.rows(3)), (0, CHATS_MAX));
    bench.put("another", "soon");
    bench.run();
    assert_eq!(world.fake.texts("another"), ["soon"]);
    bench.run_after(101);
    bench.run();
    assert_eq!((world.fake.arrived().len(), bench.rows(3)), (CHATS_MAX + 1, 0));
}

#[test]
fn a_restart_with_more_chats_than_the_memory_holds_leaves_none_out() {
    let world = World::new();
    let mut bench = world.start();
    bench.desk.freeze();
    let all = CHATS_MAX * 2 + 1;
    for chat in 0..all {
        bench.put(&format!("{chat}"), &format!("to {chat}"));
    }
    bench.turn();
    let begun = bench.desk.status().waiting;
    bench.kill();
    let mut bench = world.start();
    bench.run();
    bench.run();
    assert_eq!(world.fake.arrived().len(), all);
    assert_eq!(bench.count("unknown_outcomes_total"), u64::try_from(begun).unwrap());
}

#[test]
fn events_and_edits_are_forgotten_when_they_are_old() {
    let world = World::new();
    let mut bench = world.start();
    let mut value = message("5", "one");
    value["edit_key"] = json!("k");
    bench.put_value("5", &value);
    bench.run();
    bench.run_after(20 * 86_400);
    value["event_id"] = json!("two");
    bench.put_value("5", &value);
    bench.run();
    assert_eq!((bench.rows(1), bench.rows(4), bench.rows(5)), (2, 1, 4));
    bench.run_after(11 * 86_400);
    assert_eq!((bench.rows(1), bench.rows(4), bench.rows(5)), (1, 1, 2), "the edited message was in use since");
    bench.run_after(20 * 86_400);
    assert_eq!((bench.rows(1), bench.rows(4), bench.rows(5)), (0, 0, 0));
}

#[test]
fn a_message_in_a_queue_is_never_forgotten() {
    let world = World::new();
    let month = json!({"ok": false, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 2_000_000}});
    world.fake.script("5", [Answer::Say(429, month.clone()), Answer::Say(429, month)]);
    let mut bench = world.start();
    bench.put("5", "one");
    bench.run();
    bench.run_after(2_000_000);
    bench.put("5", "one");
    bench.run_after(2_000_000);
    assert_eq!((world.fake.texts("5"), bench.count("duplicates_total")), (strings(&["one"]), 1));
}

#[test]
fn events_without_an_id_are_told_apart_by_their_place_and_long_ids_by_their_hash() {
    let world = World::new();
    let mut bench = world.start();
    for _ in 0..2 {
        bench.put_value("5", &json!({"chat_id": "5", "text": "the same"}));
        bench.put_value("5", &json!({"chat_id": "5", "text": "long", "event_id": "x".repeat(10_000)}));
    }
    bench.run();
    assert_eq!(world.fake.texts("5"), ["the same", "long", "the same"]);
    let ids: Vec<_> = bench
        .driver
        .store(sent_log::STORE)
        .into_iter()
        .filter_map(|(key, _)| sent_log::event_of_key(&key).map(|(_, event)| event.to_owned()))
        .collect();
    assert_eq!((&*ids[1], &*ids[2], ids[0].len()), ("@telegram_outbox-0-0", "@telegram_outbox-0-4", 33));
}

#[test]
fn a_tombstone_and_a_record_that_is_too_large_are_no_messages() {
    let world = World::new();
    let mut bench = world.start();
    bench.driver.append(OUTBOX, Some(b"5"), None, Timestamp(7)).unwrap();
    bench.put("5", &"x".repeat(400_000));
    bench.put(&"5".repeat(257), "no chat");
    bench.run();
    assert_eq!(world.fake.arrived(), []);
    let reasons: Vec<String> = bench.dead_letters().into_iter().map(|(_, reason, _)| reason).collect();
    assert!(reasons[0].starts_with("the record has 800049 bytes") && reasons[1].contains("257 bytes"), "{reasons:?}");
    assert_eq!(bench.count("tombstones_total"), 1);
}

#[test]
fn messages_in_avro_are_read_with_the_defaults_of_fields_that_their_writer_does_not_know() {
    use crate::avro::{EmbeddedRegistry, Encoder, Value as Field, wire};
    let mut world = World::new();
    world.settings.format = ValueFormat::Avro;
    let log: Arc<dyn Log> = Arc::<LocalLog>::clone(&world.log);
    let registry = Arc::new(EmbeddedRegistry::open(log, Arc::new(world.clock.clone())).unwrap());
    let fields = r#"[{"name": "chat_id", "type": "string"}, {"name": "text", "type": "string"}]"#;
    let schema = Schema::parse(&format!(r#"{{"type": "record", "name": "foreign", "fields": {fields}}}"#)).unwrap();
    let id = registry.register("telegram_outbox-value", &schema).unwrap();
    let row = Row { values: vec![Field::String("5".to_owned()), Field::String("from elsewhere".to_owned())] };
    let mut value = Vec::new();
    wire::prefix(id, &mut value);
    Encoder::compile(&schema, schema.shape()).unwrap().encode(&row, None, &mut value).unwrap();
    let mut bench = world.start_with("one", registry);
    bench.driver.append(OUTBOX, None, Some(&value), Timestamp(7)).unwrap();
    bench.run();
    assert_eq!(world.fake.texts("5"), ["from elsewhere"]);
    assert_eq!(bench.driver.read(DEAD_LETTERS).unwrap(), []);
}

#[test]
fn an_event_that_is_told_in_two_chats_is_sent_to_both_and_once_to_each() {
    let world = World::new();
    let mut bench = world.start();
    for _ in 0..2 {
        for chat in ["5", "-6"] {
            bench.put_value(chat, &json!({"chat_id": chat, "text": "one", "event_id": "e"}));
        }
    }
    bench.run();
    assert_eq!((world.fake.texts("5"), world.fake.texts("-6")), (strings(&["one"]), strings(&["one"])));
    assert_eq!(bench.count("duplicates_total"), 2);
}

#[test]
fn an_outcome_that_comes_when_the_memory_holds_all_chats_again_is_recorded() {
    let world = World::new();
    let mut bench = world.start();
    let chats: Vec<String> = (0..CHATS_MAX * 4).map(|chat| chat.to_string()).collect();
    for chat in &chats {
        bench.put(chat, "one");
    }
    for turn in 0.. {
        bench.turn();
        bench.desk.quiet();
        assert!(turn < 100, "{} of {} chats are not through", bench.rows(3), chats.len());
        if bench.rows(3) == 0 {
            break;
        }
    }
    assert_eq!((world.fake.arrived().len(), bench.count("sent_total")), (chats.len(), 200));
}
