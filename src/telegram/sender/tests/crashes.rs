//! Kills at each point of a message's way, and orderly ends: nothing is lost, and what comes twice had an unknown outcome.

use super::*;
use crate::telegram::Status;

/// What arrived of two messages to a chat when the process was killed at a point of the first one's way.
fn killed(chat: &str, until: impl Fn(&World, &mut Bench)) -> (Vec<String>, usize, u64) {
    let world = World::new();
    let mut bench = world.start();
    bench.put(chat, "one");
    bench.put(chat, "two");
    until(&world, &mut bench);
    bench.kill();
    world.fake.open();
    world.fake.drain();
    let mut bench = world.start();
    bench.run();
    assert_eq!(world.fake.most_open(), 1);
    (world.fake.texts(chat), bench.dead_letters().len(), bench.count("unknown_outcomes_total"))
}

fn intent_is_committed(_: &World, bench: &mut Bench) {
    bench.desk.freeze();
    bench.turn();
    assert_eq!(bench.desk.status().waiting, 1);
}

fn request_is_sent(world: &World, bench: &mut Bench) {
    world.fake.script("often", [Answer::TakeAndHold]);
    world.fake.script("once", [Answer::TakeAndHold]);
    bench.turn();
    world.fake.wait_for(1);
}

fn answer_is_read(_: &World, bench: &mut Bench) {
    bench.turn();
    assert_eq!(bench.desk.quiet(), 1);
}

fn outcome_is_recorded(_: &World, bench: &mut Bench) {
    bench.run();
}

#[test]
fn s1_to_s4_lose_nothing_and_repeat_at_most_what_is_unknown() {
    let twice = (strings(&["one", "one", "two"]), 0, 1);
    let each_once = |unknown| (strings(&["one", "two"]), 0, unknown);
    assert_eq!(killed("often", intent_is_committed), each_once(1));
    assert_eq!(killed("often", request_is_sent), twice);
    assert_eq!(killed("often", answer_is_read), twice);
    assert_eq!(killed("often", outcome_is_recorded), each_once(0));
}

#[test]
fn a_chat_that_wants_nothing_twice_gets_nothing_twice() {
    assert_eq!(killed("once", intent_is_committed), (strings(&["two"]), 1, 1), "in the dead letters, not lost");
    for point in [request_is_sent, answer_is_read] {
        assert_eq!(killed("once", point), (strings(&["one", "two"]), 1, 1));
    }
    assert_eq!(killed("once", outcome_is_recorded), (strings(&["one", "two"]), 0, 0));
}

#[test]
fn an_orderly_end_waits_for_the_answer_and_takes_back_what_is_not_begun() {
    let world = World::new();
    world.fake.script("slow", [Answer::TakeAndHold]);
    let mut bench = world.start();
    bench.put("slow", "one");
    bench.put("slow", "two");
    bench.turn();
    world.fake.wait_for(1);
    bench.desk.freeze();
    bench.put("waits", "three");
    bench.turn();
    assert_eq!(bench.desk.status(), Status { waiting: 1, in_flight: 1, partitions: 1, ..Status::default() });
    std::thread::scope(|scope| {
        let (desk, fake) = (Arc::clone(&bench.desk), &world.fake);
        // The answer comes when the end has begun: the request that had not begun is given up.
        scope.spawn(move || {
            desk.wait_until(|status| status.waiting == 0);
            fake.open();
        });
        bench.driver.close().unwrap();
    });
    assert_eq!(world.fake.arrived().len(), 1);
    let mut bench = world.start();
    bench.run();
    assert_eq!(world.fake.texts("slow"), ["one", "two"]);
    assert_eq!(world.fake.texts("waits"), ["three"]);
    assert_eq!(bench.count("unknown_outcomes_total"), 0);
}

#[test]
fn the_end_does_not_wait_longer_than_a_request_may_take() {
    let world = World { timeout: Duration::from_millis(300), ..World::new() };
    world.fake.script("often", [Answer::TakeAndHold]);
    let mut bench = world.start();
    bench.put("often", "one");
    bench.turn();
    world.fake.wait_for(1);
    bench.driver.close().unwrap();
    let mut bench = world.start();
    bench.run_after(2);
    assert_eq!(world.fake.texts("often"), ["one", "one"]);
    assert_eq!(bench.count("duplicates_total"), 0);
}

#[test]
fn what_is_remembered_outlives_the_disk() {
    let mut world = World::new();
    let mut bench = world.start();
    bench.put("5", "one");
    bench.run();
    bench.driver.close().unwrap();
    world.backend = Arc::default();
    let mut bench = world.start();
    bench.put("5", "one");
    bench.put("5", "two");
    bench.run();
    assert_eq!(world.fake.texts("5"), ["one", "two"]);
    assert_eq!(bench.count("duplicates_total"), 1);
}

#[test]
fn a_bad_record_between_messages_takes_nothing_back_but_itself() {
    let world = World::new();
    let mut bench = world.start();
    bench.put("5", "one");
    bench.put_value("5", &json!({"chat_id": " ", "text": "nowhere"}));
    bench.driver.append(OUTBOX, Some(b"5"), Some(b"no JSON"), Timestamp(7)).unwrap();
    bench.put("5", "two");
    bench.turn();
    // In the middle of a request, and with an outcome that is not recorded yet.
    bench.put_value("5", &json!({"chat_id": "", "text": "nowhere again"}));
    bench.run();
    assert_eq!(world.fake.texts("5"), ["one", "two"]);
    let classes: Vec<String> = bench.dead_letters().into_iter().map(|(class, ..)| class).collect();
    assert_eq!(classes, ["ProcessingError", "DeserializationError", "ProcessingError"]);
    assert_eq!(bench.count("unknown_outcomes_total"), 0);
}

/// Another producer takes the transactions of the process: its next commit fails, and its tasks are made anew.
fn fence(world: &World) {
    use crate::streams::log::ProducerOptions;
    let transaction_timeout = Duration::from_secs(1);
    let options = ProducerOptions { transactional_id: "app-sender-one-0".into(), topics: Vec::new(), transaction_timeout };
    world.log.producer(options).unwrap().init_transactions(transaction_timeout).unwrap();
}

#[test]
fn nothing_is_sent_whose_intent_could_not_be_committed() {
    let world = World::new();
    let mut bench = world.start();
    // So many that the first would be on their way before the commit fails.
    let chats: Vec<String> = (0..200).map(|chat| chat.to_string()).collect();
    for chat in &chats {
        bench.put(chat, chat);
    }
    fence(&world);
    bench.turn();
    bench.desk.quiet();
    assert_eq!(world.fake.asked().len(), 0);
    bench.run();
    assert_eq!((world.fake.arrived().len(), bench.count("unknown_outcomes_total")), (200, 0));
}

#[test]
fn an_outcome_whose_commit_failed_is_recorded_again() {
    let world = World::new();
    let mut bench = world.start();
    bench.put("once", "one");
    bench.put("once", "two");
    bench.turn();
    assert_eq!(bench.desk.quiet(), 1);
    fence(&world);
    bench.turn();
    bench.run();
    assert_eq!(world.fake.texts("once"), ["one", "two"]);
    assert_eq!((bench.count("unknown_outcomes_total"), bench.dead_letters().len()), (0, 0));
}

#[test]
fn a_request_under_way_is_taken_up_by_the_task_that_follows() {
    let world = World::new();
    world.fake.script("once", [Answer::TakeAndHold]);
    let mut bench = world.start();
    bench.put("once", "one");
    bench.turn();
    world.fake.wait_for(1);
    fence(&world);
    bench.put("5", "makes it commit");
    bench.turn();
    world.fake.open();
    bench.run();
    assert_eq!(world.fake.arrived().len(), 2);
    assert_eq!((bench.count("unknown_outcomes_total"), bench.dead_letters().len()), (0, 0));
}

#[test]
fn what_is_not_begun_when_a_task_is_lost_is_never_made_for_it() {
    let world = World::new();
    let mut bench = world.start();
    bench.desk.freeze();
    bench.put("5", "one");
    bench.turn();
    let desk = Arc::clone(&bench.desk);
    assert_eq!(desk.status().waiting, 1);
    bench.kill();
    assert_eq!((desk.status().waiting, desk.status().partitions), (0, 0), "another process may have the partition by now");
}
