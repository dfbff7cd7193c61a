//! The judgement of deliveries, on made-up requests: each fault is found, and what is allowed is not.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use tidewatch::operate::simulated::Fault;
use tidewatch::operate::simulated::telegram::{Effect, Request};

use super::deliveries::{Deliveries, Pair, Texts, is_excused, is_unanswered, unreported};

fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A message to the chat that was taken.
fn taken(text: &str, arrived: f64, ended: f64) -> Request {
    let parameters = [("chat_id", "1"), ("text", text)].map(|(name, value)| (name.to_owned(), value.to_owned()));
    Request {
        number: 0,
        edit: false,
        parameters: BTreeMap::from(parameters),
        arrived: at(arrived),
        ended: Some(at(ended)),
        fault: None,
        effect: Effect::Taken(1),
    }
}

fn met(fault: Fault, request: Request) -> Request {
    let effect = if fault.takes() { request.effect } else { Effect::None };
    Request { fault: Some(fault), effect, ..request }
}

fn expected(texts: &[&str]) -> Texts {
    BTreeMap::from([("1".to_owned(), texts.iter().map(|text| (*text).to_owned()).collect())])
}

fn judged(requests: &[Request]) -> Deliveries {
    Deliveries::of(requests, &expected(&["a", "b"]))
}

#[test]
fn each_once_and_in_turn_is_right() {
    assert_eq!(judged(&[taken("a", 1.0, 1.1), taken("b", 2.0, 2.1)]), Deliveries::default());
    let twice_wanted = Deliveries::of(&[taken("a", 1.0, 1.1), taken("a", 2.0, 2.1)], &expected(&["a", "a"]));
    assert_eq!(twice_wanted, Deliveries::default(), "two messages with the same text");
}

#[test]
fn what_is_lost_or_out_of_turn_is_found() {
    assert_eq!(judged(&[taken("a", 1.0, 1.1)]).lost, ["b"]);
    assert_eq!(judged(&[]).lost, ["a", "b"]);
    assert_eq!(judged(&[met(Fault::ResetBefore, taken("a", 1.0, 1.1)), taken("b", 2.0, 2.1)]).lost, ["a"]);
    let swapped = judged(&[taken("b", 1.0, 1.1), taken("a", 2.0, 2.1)]);
    assert_eq!((swapped.out_of_order.as_slice(), swapped.lost.len()), (["b".to_owned()].as_slice(), 0));
    assert_eq!(judged(&[taken("a", 1.0, 1.1), taken("b", 2.0, 2.1), taken("a", 3.0, 3.1)]).out_of_order, ["a"]);
}

#[test]
fn only_what_was_taken_makes_a_stranger() {
    let mut other = taken("a", 1.0, 1.1);
    other.parameters.insert("chat_id".into(), "2".into());
    assert_eq!(judged(std::slice::from_ref(&other)).strangers, ["2"]);
    other.effect = Effect::Refused { status: 400, description: "chat not found".to_owned() };
    assert!(judged(&[other]).strangers.is_empty());
}

#[test]
fn two_at_once_and_one_too_early_are_found() {
    assert_eq!(judged(&[taken("a", 1.0, 9.0), taken("b", 2.0, 2.1)]).at_once.len(), 1);
    assert_eq!(judged(&[Request { ended: None, ..taken("a", 1.0, 1.1) }, taken("b", 2.0, 2.1)]).at_once.len(), 1);
    let told = met(Fault::TooMany { retry_after: 5 }, taken("a", 1.0, 1.1));
    assert_eq!(judged(&[told.clone(), taken("a", 3.0, 3.1), taken("b", 4.0, 4.1)]).early.len(), 1);
    assert!(judged(&[told, taken("a", 6.2, 6.3), taken("b", 7.0, 7.1)]).early.is_empty());
}

/// A message that was answered at once and sent again 20 s later.
fn repeat() -> Pair {
    let found = judged(&[taken("a", 1.0, 1.1), taken("a", 21.0, 21.1), taken("b", 22.0, 22.1)]);
    assert_eq!((found.lost.len(), found.out_of_order.len(), found.repeats.len()), (0, 0, 1));
    found.repeats[0].clone()
}

#[test]
fn a_kill_excuses_what_was_not_recorded_yet_and_nothing_else() {
    let kill = |from: f64, to: f64| -> [Range<Duration>; 1] { [at(from)..at(to)] };
    assert!(is_excused(&repeat(), &kill(1.05, 1.2)));
    assert!(is_excused(&repeat(), &kill(0.9, 1.0)), "the request was seen a little after its sender was gone");
    assert!(!is_excused(&repeat(), &kill(15.0, 15.1)), "it was recorded long before");
    assert!(!is_excused(&repeat(), &[]));
}

#[test]
fn an_answer_that_nobody_waited_for_is_none() {
    assert!(!is_unanswered(&taken("a", 1.0, 1.1)));
    assert!(is_unanswered(&taken("a", 1.0, 2.0)));
    assert!(is_unanswered(&met(Fault::ResetAfter, taken("a", 1.0, 1.1))));
}

#[test]
fn each_repeat_has_to_be_reported() {
    let repeats = [repeat(), repeat()];
    assert!(unreported(&repeats, &["a".to_owned(), "a".to_owned()]).is_empty());
    assert_eq!(unreported(&repeats, &["a".to_owned()]).len(), 1);
    assert_eq!(unreported(&repeats, &["b".to_owned()]).len(), 1);
}

#[test]
#[should_panic(expected = "repeats: [Pair")]
fn a_repeat_without_an_excuse_is_asserted() {
    judged(&[taken("a", 1.0, 1.1), taken("a", 21.0, 21.1), taken("b", 22.0, 22.1)]).assert_right(&[]);
}
