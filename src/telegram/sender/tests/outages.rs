//! A service that is out of reach: it is left in peace, nothing is given up for it, and what waited goes soon after it is back.

use super::*;

fn down() -> Answer {
    Answer::Raw("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>")
}

/// What is held up is not waited for.
fn pass_a_second(bench: &mut Bench) {
    bench.driver.advance(Duration::from_secs(1)).unwrap();
    bench.desk.idle();
}

#[test]
fn a_service_that_is_out_of_reach_is_not_stormed_and_soon_has_everything_when_it_is_back() {
    let world = World::new();
    let chats: Vec<String> = (0..40).map(|chat| chat.to_string()).collect();
    for chat in &chats {
        world.fake.script(chat, std::iter::repeat_n(down(), 100));
    }
    let mut bench = world.start();
    for chat in &chats {
        bench.put(chat, "one");
    }
    // Ten minutes, a second at a time.
    let mut asked = 0;
    for second in 0..600 {
        pass_a_second(&mut bench);
        let now = world.fake.asked().len();
        asked += now;
        assert!(second < 60 || now <= 2, "{now} requests in second {second}");
    }
    assert!((40..=140).contains(&asked), "{asked} requests");
    for chat in &chats {
        world.fake.forget(chat);
    }
    (0..60).for_each(|_| pass_a_second(&mut bench));
    bench.run();
    assert_eq!(world.fake.arrived().len(), 40, "a minute after the last fault");
    assert_eq!(bench.dead_letters(), []);
}

#[test]
fn one_chat_that_always_fails_is_no_outage_for_the_others() {
    let world = World::new();
    world.fake.script("5", std::iter::repeat_n(down(), 40));
    let mut bench = world.start();
    bench.put("5", "one");
    for round in 0..15 {
        bench.put("6", &format!("{round}"));
        bench.run_after(31);
    }
    assert_eq!(world.fake.texts("6").len(), 15);
}

#[test]
fn a_chat_that_wants_nothing_twice_does_not_lose_its_queue_to_an_outage() {
    let world = World::new();
    world.fake.script("once", std::iter::repeat_n(Answer::TakeAndCut, 50));
    let mut bench = world.start();
    for number in 0..20 {
        bench.put("once", &format!("{number}"));
    }
    bench.run();
    assert_eq!(bench.dead_letters().len(), 1);
    for _ in 0..60 {
        bench.run_after(1);
    }
    let lost = bench.dead_letters().len();
    assert!(lost <= 9, "{lost} more in a minute");
}

#[test]
fn a_run_until_the_end_waits_for_what_comes_soon_and_not_for_an_outage_to_end() {
    let world = World::new();
    let too_many = |seconds: u64| Answer::Say(429, json!({"ok": false, "error_code": 429, "parameters": {"retry_after": seconds}}));
    world.fake.script("5", [too_many(30), too_many(90)]);
    let mut bench = world.start();
    bench.put("5", "one");
    bench.turn();
    assert!(bench.is_unfinished(), "a request is under way");
    bench.run();
    assert!(bench.is_unfinished(), "half a minute");
    bench.run_after(31);
    assert!(!bench.is_unfinished(), "a minute and a half");
    bench.run_after(91);
    assert_eq!(world.fake.texts("5"), ["one"]);
    assert!(!bench.is_unfinished());
    world.fake.script("6", std::iter::repeat_n(down(), 100));
    bench.put("6", "two");
    let mut seconds = 0;
    bench.turn();
    while bench.is_unfinished() {
        pass_a_second(&mut bench);
        seconds += 1;
        assert!(seconds < 600, "it does not end");
    }
    assert!(seconds > 60, "{seconds} s");
    world.fake.forget("6");
    // What its last request came to may only be known in the next second, and it is waited from then on.
    (0..60).for_each(|_| pass_a_second(&mut bench));
    bench.run();
    assert_eq!(world.fake.texts("6"), ["two"]);
}

#[test]
fn a_chat_that_was_taken_from_or_refused_begins_with_short_waits_again() {
    let refused = refusal(400, "Bad Request: message text is empty");
    let parked = refusal(403, "Forbidden: bot was blocked by the user");
    for (ends, then, dead) in [(Answer::Take, 0, 0), (refused, 0, 1), (parked, 3_601, 3)] {
        let world = World::new();
        world.fake.script("5", std::iter::repeat_n(down(), 8).chain([ends.clone(), down()]));
        let mut bench = world.start();
        (0..3).for_each(|number| bench.put("5", &format!("{number}")));
        // The pauses grow to half a minute.
        for _ in 0..8 {
            bench.run();
            bench.run_after(31);
        }
        if then > 0 {
            bench.run_after(then);
            bench.put("5", "after the hour");
            bench.run();
        }
        // The next fault is the first one: after a second it is tried again.
        let before = world.fake.arrived().len();
        assert_eq!(bench.dead_letters().len(), dead, "{ends:?}");
        bench.run_after(1);
        assert!(world.fake.arrived().len() > before, "{ends:?}");
    }
}
