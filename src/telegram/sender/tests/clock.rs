//! A wall clock that is set back, as happens where a machine starts with a wrong time: nobody waits until it is where it was.

use super::*;
use crate::streams::clock::Clock as _;

const DAY_MS: i64 = 86_400_000;

fn too_many(seconds: u64) -> Answer {
    Answer::Say(429, json!({"ok": false, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": seconds}}))
}

#[test]
fn chats_go_on_when_the_clock_is_set_back() {
    let world = World::new();
    world.fake.script("slow", [Answer::TakeAndHold]);
    world.fake.script("busy", [too_many(100)]);
    let mut bench = world.start();
    bench.put("busy", "one");
    bench.run();
    bench.put("slow", "two");
    bench.turn();
    world.fake.wait_for(1);
    world.clock.set(Timestamp(world.clock.now().0 - DAY_MS));
    bench.put("new", "three");
    bench.turn();
    bench.turn();
    world.fake.open();
    bench.put("slow", "four");
    bench.run();
    assert_eq!((world.fake.texts("new"), world.fake.texts("slow")), (strings(&["three"]), strings(&["two", "four"])));
    assert_eq!(world.fake.texts("busy"), [""; 0], "how long it waits is still what Telegram said");
    bench.run_after(101);
    assert_eq!(world.fake.texts("busy"), ["one"]);
    assert_eq!((bench.count("unknown_outcomes_total"), world.fake.most_open()), (0, 1));
}

#[test]
fn a_wait_that_was_written_under_a_clock_that_was_ahead_is_no_longer_after_a_restart() {
    let world = World::new();
    world.fake.script("busy", [too_many(100)]);
    let mut bench = world.start();
    bench.put("busy", "one");
    bench.run();
    bench.kill();
    world.clock.set(Timestamp(world.clock.now().0 - DAY_MS));
    let mut bench = world.start();
    bench.run();
    bench.run_after(99);
    assert_eq!(world.fake.texts("busy"), [""; 0]);
    bench.kill();
    let mut bench = world.start();
    bench.run_after(2);
    assert_eq!(world.fake.texts("busy"), ["one"], "it does not begin anew with each start");
}

#[test]
fn a_wait_that_was_over_does_not_come_back_when_the_clock_is_set_back_while_a_request_is_under_way() {
    let world = World::new();
    world.fake.script("busy", [too_many(100), refusal(400, "Bad Request: can't parse entities: Unsupported start tag")]);
    let mut bench = world.start();
    bench.put_value("busy", &json!({"chat_id": "busy", "text": "<b>one</b>", "parse_mode": "HTML"}));
    bench.run();
    bench.driver.advance(Duration::from_secs(101)).unwrap();
    assert_eq!(bench.desk.quiet(), 1, "its answer is not recorded yet");
    world.clock.set(Timestamp(world.clock.now().0 - DAY_MS));
    bench.run();
    assert_eq!(world.fake.texts("busy"), ["one"], "as plain text, at once");
}
