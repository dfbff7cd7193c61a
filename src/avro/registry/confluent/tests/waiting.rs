//! Who waits for a look-up, and for how long: gates instead of clocks.

use std::sync::mpsc::{Receiver, Sender, channel};

use parking_lot::Mutex;

use super::*;

/// So long that a test would be seen to hang.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// A registry that answers nothing before it is told to; with the receiver it tells of each request.
fn gated(answer: Answer) -> (Fake, Receiver<()>, Sender<()>) {
    let (asked, wait) = channel();
    let (open, gate) = channel::<()>();
    let gate = Mutex::new(gate);
    let fake = Fake::start(move |_| {
        asked.send(()).unwrap_or_default();
        gate.lock().recv().map_or(Answer::Silence, |()| answer.clone())
    });
    (fake, wait, open)
}

fn key(id: u32) -> SchemaKey {
    SchemaKey::Id(SchemaId(id))
}

#[test]
fn a_stream_thread_does_not_wait_for_a_slow_registry_and_takes_the_answer_later() {
    let (fake, asked, open) = gated(found(&Request::default()));
    let registry = client(&fake);
    let error = registry.lookups.ask(key(1), Some(Duration::from_millis(1))).unwrap_err();
    assert!(said(&error.into()).ends_with("the answer is not there yet"));
    asked.recv().unwrap();
    // Nobody waits any more, however patient.
    for id in [1, 1, 2] {
        registry.lookups.ask(key(id), Some(FOR_EVER)).unwrap_err();
    }
    asked.recv().unwrap();
    open.send(()).unwrap();
    open.send(()).unwrap();
    // This one waits for the look-up that is under way.
    assert!(registry.schema(SchemaId(1)).unwrap().is_some());
    assert!(registry.schema(SchemaId(2)).unwrap().is_some());
    assert_eq!(fake.lines().len(), 2);
    // It answers again: waiting is worth while.
    open.send(()).unwrap();
    assert!(registry.lookups.ask(key(3), Some(FOR_EVER)).unwrap().is_some());
}

#[test]
fn an_answer_that_came_too_late_is_told_once() {
    let (fake, asked, open) = gated(fake::error(404, 40403));
    let registry = client(&fake);
    registry.lookups.ask(key(1), Some(Duration::from_millis(1))).unwrap_err();
    asked.recv().unwrap();
    open.send(()).unwrap();
    assert_eq!(registry.schema(SchemaId(1)).unwrap(), None);
    assert_eq!(fake.lines().len(), 1);
    open.send(()).unwrap();
    assert_eq!(registry.schema(SchemaId(1)).unwrap(), None);
    assert_eq!(fake.lines().len(), 1, "the second answer is of a second request");
}

#[test]
fn several_threads_that_want_one_schema_make_one_request() {
    let (fake, asked, open) = gated(fake::error(404, 40403));
    let registry = Arc::new(client(&fake));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let registry = Arc::clone(&registry);
            std::thread::spawn(move || registry.schema(SchemaId(1)).unwrap())
        })
        .collect();
    asked.recv().unwrap();
    while registry.lookups.waiting() < 4 {
        std::thread::yield_now();
    }
    open.send(()).unwrap();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), None);
    }
    assert_eq!(fake.lines().len(), 1);
    assert_eq!(registry.lookups.waiting(), 0);
}

#[test]
fn after_an_outage_the_reason_is_told_although_nobody_waits() {
    let fake = Fake::start(|_| fake::error(500, 50001));
    let registry = client(&fake);
    registry.schema(SchemaId(1)).unwrap_err();
    fake.answer(|_| Answer::Silence);
    let error = registry.lookups.ask(key(2), Some(FOR_EVER)).unwrap_err();
    let expected = "the answer is not there yet; before: it answers with status 500: so says the registry with 50001";
    assert!(said(&error.into()).ends_with(expected));
}
