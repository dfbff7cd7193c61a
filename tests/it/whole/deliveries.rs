//! What arrived at the simulated Telegram, held against what had to.

use std::collections::BTreeMap;
use std::time::Duration;

use tidewatch::operate::simulated::Fault;
use tidewatch::operate::simulated::telegram::{Effect, Request, Telegram};

/// The texts of each chat, in their order.
pub(crate) type Texts = BTreeMap<String, Vec<String>>;

/// Whoever gives up on an answer or is killed closes the connection, which the other end sees a little later.
const SEEN_LATER: Duration = Duration::from_millis(200);

/// The answer to this request never came: nobody knows whether it was taken.
pub(crate) fn is_unanswered(request: &Request) -> bool {
    matches!(request.fault, Some(Fault::HangBefore | Fault::HangAfter | Fault::ResetBefore | Fault::ResetAfter | Fault::CutBody))
}

/// The same as [`judge`], which must find nothing.
#[track_caller]
pub(crate) fn assert_delivered(telegram: &Telegram, expected: &Texts, kills: &[Duration]) -> usize {
    judge(telegram, expected, kills).unwrap_or_else(|fault| panic!("{fault}"))
}

/// Whether every message arrived, in the order of its chat; whether none came twice but for a kill (at these times of the service's clock) or a
/// request without an answer, once for each; whether a chat had one request at a time, and none before it was allowed, unless who was told was
/// killed then. The number of those that came twice.
pub(crate) fn judge(telegram: &Telegram, expected: &Texts, kills: &[Duration]) -> Result<usize, String> {
    let requests = telegram.requests();
    let mut chats: BTreeMap<&str, Vec<&Request>> = BTreeMap::new();
    for request in &requests {
        chats.entry(request.chat()).or_default().push(request);
    }
    let mut twice = 0;
    for (chat, texts) in expected {
        let requests = chats.remove(chat.as_str()).unwrap_or_default();
        let of_chat = |fault| format!("chat {chat}: {fault}");
        twice += surplus(&requests, texts, kills).map_err(of_chat)?;
        one_at_a_time(&requests).map_err(of_chat)?;
        waits(&requests, kills).map_err(of_chat)?;
    }
    match chats.keys().next() {
        None => Ok(twice),
        Some(stranger) => Err(format!("messages to {stranger}, which was not to get any")),
    }
}

/// The kills between two requests, as far as the sender of the first may have been at it.
fn kills_between<'a>(kills: &'a [Duration], first: &Request, second: &Request) -> impl Iterator<Item = &'a Duration> {
    let span = first.arrived.saturating_sub(SEEN_LATER)..second.arrived;
    kills.iter().filter(move |kill| span.contains(kill))
}

/// Walks through what a chat got: the next message, or once more the one before, for which each unknown outcome is an excuse once.
fn surplus(requests: &[&Request], expected: &[String], kills: &[Duration]) -> Result<usize, String> {
    let mut excuses: Vec<Duration> = kills.to_vec();
    let (mut next, mut twice) = (0, 0);
    let mut before: Option<&Request> = None;
    for &request in requests.iter().filter(|request| matches!(request.effect, Effect::Taken(_))) {
        let text = request.parameter("text");
        let again = before.filter(|_| next > 0 && expected[next - 1] == text);
        if expected.get(next).is_some_and(|wanted| wanted == text) {
            next += 1;
        } else if let Some(first) = again {
            let kill = kills_between(&excuses, first, request).next().copied();
            if !is_unanswered(first) {
                let kill = kill.ok_or_else(|| format!("message {} came twice for no reason: {first:#?} {request:#?}", next - 1))?;
                excuses.retain(|excuse| *excuse != kill);
            }
            twice += 1;
        } else {
            let came = before.map(|before| before.parameter("text"));
            return Err(format!("message {next} is {text:?} instead of {:?} ({came:?} came before)", expected.get(next)));
        }
        before = Some(request);
    }
    match expected.get(next) {
        None => Ok(twice),
        Some(first) => Err(format!("{} messages are lost, the first is {first:?}", expected.len() - next)),
    }
}

fn one_at_a_time(requests: &[&Request]) -> Result<(), String> {
    for pair in requests.windows(2) {
        if pair[0].ended.is_none_or(|ended| pair[1].arrived + SEEN_LATER < ended) {
            return Err(format!("two requests at once: {pair:#?}"));
        }
    }
    Ok(())
}

/// What Telegram asks for is kept, also over a restart. Only who is killed before it has written it down does not know.
fn waits(requests: &[&Request], kills: &[Duration]) -> Result<(), String> {
    for pair in requests.windows(2) {
        let (Some(Fault::TooMany { retry_after }), Some(ended)) = (pair[0].fault, pair[0].ended) else { continue };
        let is_early = pair[1].arrived < ended + Duration::from_secs(retry_after);
        if is_early && kills_between(kills, pair[0], pair[1]).next().is_none() {
            return Err(format!("a request before the time that Telegram had asked for: {pair:#?}"));
        }
    }
    Ok(())
}
