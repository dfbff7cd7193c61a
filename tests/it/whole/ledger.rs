//! What arrived at the simulated Telegram, held against what had to.

use std::collections::BTreeMap;
use std::time::Duration;

use tidewatch::operate::simulated::Fault;
use tidewatch::operate::simulated::telegram::{Effect, Request, Telegram};

/// The texts of each chat, in their order.
pub(crate) type Texts = BTreeMap<String, Vec<String>>;

/// The answers to these requests never came: nobody knows whether they were taken.
fn is_unanswered(request: &Request) -> bool {
    matches!(request.fault, Some(Fault::HangBefore | Fault::HangAfter | Fault::ResetBefore | Fault::ResetAfter | Fault::CutBody))
}

/// Asserts that every message arrived, in the order of its chat; that no more came twice than there were kills (at these times of the service's
/// clock) and requests without an answer; that a chat had one request at a time, and none before it was allowed, unless who was told was killed
/// then. The number of those that came twice.
#[track_caller]
pub(crate) fn assert_delivered(telegram: &Telegram, expected: &Texts, kills: &[Duration]) -> usize {
    let requests = telegram.requests();
    let mut chats: BTreeMap<&str, Vec<&Request>> = BTreeMap::new();
    for request in &requests {
        chats.entry(request.chat()).or_default().push(request);
    }
    let mut twice = 0;
    for (chat, texts) in expected {
        let requests = chats.remove(chat.as_str()).unwrap_or_default();
        twice += surplus(chat, &requests, texts);
        assert_one_at_a_time(chat, &requests);
        assert_waits(chat, &requests, kills);
    }
    let strangers: Vec<_> = chats.keys().collect();
    assert!(strangers.is_empty(), "messages to chats that were not to get any: {strangers:?}");
    let unanswered = requests.iter().filter(|request| is_unanswered(request)).count();
    let kills = kills.len();
    assert!(twice <= kills + unanswered, "{twice} messages came twice, after {kills} kills and {unanswered} requests without an answer");
    twice
}

/// Walks through what a chat got: the next message, or once more the one before.
#[track_caller]
fn surplus(chat: &str, requests: &[&Request], expected: &[String]) -> usize {
    let taken = requests.iter().filter(|request| matches!(request.effect, Effect::Taken(_)));
    let (mut next, mut twice) = (0, 0);
    for request in taken {
        let text = request.parameter("text");
        if expected.get(next).is_some_and(|wanted| wanted == text) {
            next += 1;
        } else if next > 0 && expected[next - 1] == text {
            twice += 1;
        } else {
            panic!(
                "chat {chat}: message {next} is {text:?} instead of {:?} ({:?} came before)",
                expected.get(next),
                expected.get(next.wrapping_sub(1))
            );
        }
    }
    assert_eq!(next, expected.len(), "chat {chat}: messages are lost, the first is {:?}", expected.get(next));
    twice
}

/// Whoever gives up on an answer or is killed closes the connection, which the other end sees a little later.
const SEEN_LATER: Duration = Duration::from_millis(200);

#[track_caller]
fn assert_one_at_a_time(chat: &str, requests: &[&Request]) {
    for pair in requests.windows(2) {
        let ended = pair[0].ended.unwrap_or_else(|| panic!("chat {chat}: two requests at once: {pair:#?}"));
        assert!(pair[1].arrived + SEEN_LATER >= ended, "chat {chat}: two requests at once: {pair:#?}");
    }
}

/// What Telegram asks for is kept, also over a restart. Only who is killed before it has written it down does not know.
#[track_caller]
fn assert_waits(chat: &str, requests: &[&Request], kills: &[Duration]) {
    for pair in requests.windows(2) {
        let (Some(Fault::TooMany { retry_after }), Some(ended)) = (pair[0].fault, pair[0].ended) else { continue };
        let is_early = pair[1].arrived < ended + Duration::from_secs(retry_after);
        let is_excused = kills.iter().any(|kill| (pair[0].arrived..pair[1].arrived).contains(kill));
        assert!(!is_early || is_excused, "chat {chat}: a request before the time that Telegram had asked for: {pair:#?}");
    }
}
