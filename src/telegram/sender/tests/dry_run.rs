//! The dry run: what would be sent, and nothing else happens.

use std::ops::ControlFlow;

use super::*;
use crate::telegram::dry_run::{Preview, Summary, dry_run};

fn look(world: &World) -> (Vec<(String, String, bool)>, Summary) {
    let mut seen = Vec::new();
    let mut emit = |preview: Preview| {
        seen.push((preview.message.chat_id, preview.message.text, preview.queued));
        ControlFlow::Continue(())
    };
    let summary = dry_run(&*world.log, Arc::new(NoRegistry), &world.settings, "app-sender", &mut emit).unwrap();
    (seen, summary)
}

#[test]
fn it_shows_what_waits_and_what_is_new_and_touches_nothing() {
    let world = World::partitioned(2);
    let wait = json!({"ok": false, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 1_000}});
    let moved = json!({"ok": false, "error_code": 400, "description": "moved", "parameters": {"migrate_to_chat_id": -2}});
    world.fake.script("-1", [Answer::Say(400, moved)]);
    world.fake.script("-2", [Answer::Say(429, wait)]);
    let mut bench = world.start();
    bench.put("-1", "waits");
    bench.put("5", "sent");
    bench.run();
    bench.driver.append(OUTBOX, Some(b"5"), Some(b"no JSON"), Timestamp(7)).unwrap();
    for text in ["sent", "new", "new"] {
        bench.put("5", text);
    }
    let topics = world.log.admin().topics().unwrap();
    let asked = world.fake.asked().len();
    let row = |chat: &str, text: &str, queued| (chat.to_owned(), text.to_owned(), queued);
    let expected = (vec![row("-2", "waits", true), row("5", "new", false)], Summary { messages: 2, known: 2, dead_letters: 1 });
    assert_eq!(look(&world), expected);
    assert_eq!(look(&world), expected, "it changes nothing");
    assert_eq!((world.log.admin().topics().unwrap(), world.fake.asked().len(), asked), (topics, 0, 3));
    bench.run();
    assert_eq!(world.fake.texts("5"), ["sent", "new"]);
    let (seen, summary) = look(&world);
    assert_eq!((seen.len(), summary.known), (1, 0));
}

#[test]
fn before_the_first_start_it_shows_the_whole_outbox_and_stops_when_told() {
    let world = World::new();
    let mut bench = world.start();
    bench.put("5", "one");
    bench.put("5", "two");
    let mut seen = 0;
    let mut emit = |_| {
        seen += 1;
        ControlFlow::Break(())
    };
    let summary = dry_run(&*world.log, Arc::new(NoRegistry), &world.settings, "never-started", &mut emit).unwrap();
    assert_eq!((seen, summary.messages), (1, 1));
}
