//! Two processes of one group: what one has begun the other does not repeat.

use super::*;

const PARTITIONS: i32 = 4;

fn chats() -> Vec<String> {
    (0..12).map(|number| format!("chat {number}")).collect()
}

/// Steps of all processes, until nothing happens.
fn run_all(benches: &mut [&mut Bench]) {
    let mut quiet = 0;
    while quiet < 5 {
        let mut done = 0;
        for bench in &mut *benches {
            bench.turn();
            done += bench.desk.quiet();
        }
        quiet = if done == 0 { quiet + 1 } else { 0 };
    }
}

#[test]
fn a_process_that_joins_and_one_that_leaves_repeat_nothing() {
    let world = World::partitioned(PARTITIONS);
    let mut one = world.start_as("one");
    let mut expected = Vec::new();
    let mut say = |bench: &mut Bench, text: &str| {
        for chat in chats() {
            bench.put_value(&chat, &message(&chat, &format!("{text} to {chat}")));
        }
        expected.push(text.to_owned());
    };
    say(&mut one, "one");
    one.run();
    say(&mut one, "two");
    one.turn();
    // In the middle of it another process comes; it writes the next messages.
    let mut two = world.start_as("two");
    say(&mut two, "three");
    run_all(&mut [&mut one, &mut two]);
    let shares = (one.desk.status().partitions, two.desk.status().partitions);
    assert_eq!(shares.0 + shares.1, 4, "{shares:?}");
    assert!(shares.1 > 0, "the second process got nothing to do");
    say(&mut two, "four");
    two.turn();
    one.turn();
    one.driver.close().unwrap();
    run_all(&mut [&mut two]);
    assert_eq!(two.desk.status().partitions, 4);
    for chat in chats() {
        let texts: Vec<String> = expected.iter().map(|text| format!("{text} to {chat}")).collect();
        assert_eq!(world.fake.texts(&chat), texts);
    }
    assert_eq!((one.desk.status().in_flight, two.count("unknown_outcomes_total")), (0, 0));
}

#[test]
fn a_process_that_died_leaves_its_partitions_to_the_other_and_only_what_is_unknown_comes_twice() {
    let world = World::partitioned(PARTITIONS);
    let mut one = world.start_as("one");
    for chat in chats() {
        world.fake.script(&chat, [Answer::TakeAndHold]);
        one.put(&chat, &format!("to {chat}"));
    }
    // The partitions are read one after the other.
    (0..PARTITIONS).for_each(|_| one.turn());
    world.fake.wait_for(12);
    one.kill();
    world.fake.open();
    world.fake.drain();
    let mut two = world.start_as("two");
    run_all(&mut [&mut two]);
    let unknown = usize::try_from(two.count("unknown_outcomes_total")).unwrap();
    assert_eq!(unknown, 12, "no outcome was recorded");
    for chat in chats() {
        let texts = world.fake.texts(&chat);
        assert_eq!(texts.len(), 2, "{chat}: {texts:?}");
    }
}
