//! What arrived at the simulated Telegram, held against what had to.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use tidewatch::operate::simulated::Fault;
use tidewatch::operate::simulated::telegram::{Effect, Request};

/// The texts of each chat, in their order.
pub(crate) type Texts = BTreeMap<String, Vec<String>>;

/// Whoever gives up on an answer or is killed closes the connection, which the other end sees a little later.
const SEEN_LATER: Duration = Duration::from_secs(1);

/// What was answered is recorded within this time, in two turns of the sender and a commit; only who is killed before does not know it.
const RECORDED: Duration = Duration::from_secs(3);

/// Two requests of one chat, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) first: Request,
    pub(crate) second: Request,
}

/// What did not go as it must, and what may only happen for a reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deliveries {
    /// Never taken.
    pub(crate) lost: Vec<String>,
    /// Taken before or after its turn.
    pub(crate) out_of_order: Vec<String>,
    /// For chats that were not to get any.
    pub(crate) strangers: Vec<String>,
    /// Requests to a chat that had one in flight.
    pub(crate) at_once: Vec<Pair>,
    /// Taken, and taken once more.
    pub(crate) repeats: Vec<Pair>,
    /// A 429, and a request before the time that it named.
    pub(crate) early: Vec<Pair>,
}

/// A little less than senders wait for an answer, in the test in which they wait the least.
const PATIENCE: Duration = Duration::from_millis(900);

/// The answer to this request never came, or too late: nobody knows whether it was taken.
pub(crate) fn is_unanswered(request: &Request) -> bool {
    let slow = request.ended.is_none_or(|ended| ended >= request.arrived + PATIENCE);
    slow || matches!(request.fault, Some(Fault::HangBefore | Fault::HangAfter | Fault::ResetBefore | Fault::ResetAfter | Fault::CutBody))
}

/// Whether somebody was killed before what came of the first request was recorded.
pub(crate) fn is_excused(pair: &Pair, kills: &[Range<Duration>]) -> bool {
    let begins = pair.first.arrived.saturating_sub(SEEN_LATER);
    let recorded = pair.first.ended.map_or(pair.second.arrived, |ended| (ended + RECORDED).min(pair.second.arrived));
    kills.iter().any(|kill| kill.start < recorded && begins < kill.end)
}

impl Deliveries {
    /// Walks through what each chat got: the next message, or once more the one before.
    pub(crate) fn of(requests: &[Request], expected: &Texts) -> Self {
        let mut chats: BTreeMap<&str, Vec<&Request>> = BTreeMap::new();
        for request in requests {
            chats.entry(request.chat()).or_default().push(request);
        }
        let mut found = Self::default();
        for (chat, texts) in expected {
            let requests = chats.remove(chat.as_str()).unwrap_or_default();
            found.walk(&requests, texts);
            found.look_at_times(&requests);
        }
        // What was cut off with its sender may be for no chat at all; Telegram refuses it.
        let taken = chats.into_values().flatten().filter(|request| is_taken(request));
        found.strangers = taken.map(|request| request.chat().to_owned()).collect();
        found
    }

    fn walk(&mut self, requests: &[&Request], expected: &[String]) {
        let taken: Vec<&Request> = requests.iter().copied().filter(|request| is_taken(request)).collect();
        let (mut next, mut before) = (0, None::<&Request>);
        for &request in &taken {
            let text = request.parameter("text");
            match before.filter(|before| before.parameter("text") == text) {
                Some(first) if expected.get(next).is_none_or(|wanted| wanted != text) => {
                    self.repeats.push(Pair { first: first.clone(), second: request.clone() });
                }
                _ if expected.get(next).is_some_and(|wanted| wanted == text) => next += 1,
                _ => self.out_of_order.push(text.to_owned()),
            }
            before = Some(request);
        }
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for request in taken {
            *times.entry(request.parameter("text")).or_default() += 1;
        }
        for text in expected {
            match times.get_mut(text.as_str()) {
                Some(left) if *left > 0 => *left -= 1,
                _ => self.lost.push(text.clone()),
            }
        }
    }

    fn look_at_times(&mut self, requests: &[&Request]) {
        for pair in requests.windows(2) {
            let (first, second) = (pair[0].clone(), pair[1].clone());
            let seen = second.arrived + SEEN_LATER;
            let told = match first.fault {
                Some(Fault::TooMany { retry_after }) => first.ended.map(|ended| ended + Duration::from_secs(retry_after)),
                _ => None,
            };
            if first.ended.is_none_or(|ended| seen < ended) {
                self.at_once.push(Pair { first, second });
            } else if told.is_some_and(|allowed| second.arrived < allowed) {
                self.early.push(Pair { first, second });
            }
        }
    }

    /// Asserts that nothing was lost, came out of turn or too early, and that none came twice but for a kill or a request without an answer, once for
    /// each. The number of those that came twice.
    #[track_caller]
    pub(crate) fn assert_right(&self, kills: &[Range<Duration>]) -> usize {
        let unexcused = |pairs: &[Pair]| -> Vec<Pair> { pairs.iter().filter(|pair| !is_excused(pair, kills)).cloned().collect() };
        let mut repeats = unexcused(&self.repeats);
        repeats.retain(|pair| !is_unanswered(&pair.first));
        let wrong = Self { early: unexcused(&self.early), repeats, ..self.clone() };
        assert_eq!(wrong, Self::default());
        self.repeats.len()
    }
}

pub(crate) fn is_taken(request: &Request) -> bool {
    matches!(request.effect, Effect::Taken(_))
}

/// The texts of those messages that came twice more often than somebody has said that their outcome is not known.
pub(crate) fn unreported(repeats: &[Pair], reported: &[String]) -> BTreeSet<String> {
    let times = |text: &str| reported.iter().filter(|known| *known == text).count();
    let text = |pair: &Pair| pair.first.parameter("text").to_owned();
    let more_often = |of: &String| repeats.iter().filter(|pair| text(pair) == *of).count() > times(of);
    repeats.iter().map(text).filter(more_often).collect()
}
