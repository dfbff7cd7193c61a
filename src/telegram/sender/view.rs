//! What a task remembers of its queues: which chats have one, and whose turn it is. Messages stay in the store.
//!
//! As long as there are not too many chats the view holds all that have a queue. Beyond that it holds a part: the store is gone through
//! again and again, and each chat leaves the view when it had its turn.

use std::collections::{BTreeSet, HashMap};

use crate::streams::clock::Timestamp;
use crate::telegram::sent_log::{ChatId, ChatRow};

/// How much of the store the view holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Extent {
    /// It was not looked at yet, or what was seen does not hold any more.
    #[default]
    Nothing,
    /// Every chat with a queue.
    Whole,
    /// Some of them.
    Part {
        /// Up to where the store was gone through this time.
        after: Option<ChatId>,
        /// Chats with a queue that were met this time.
        met: usize,
    },
}

#[derive(Debug)]
struct Chat {
    row: ChatRow,
    state: Turn,
}

/// What a chat waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Its turn, since or from this time on.
    Due(Timestamp),
    /// The end of its request.
    Flying,
    /// That its messages are with the dead letters.
    GivingUp,
}

/// The view.
#[derive(Debug)]
pub(super) struct View {
    pub(super) extent: Extent,
    limit: usize,
    chats: HashMap<ChatId, Chat>,
    due: BTreeSet<(Timestamp, ChatId)>,
    giving_up: BTreeSet<ChatId>,
}

impl View {
    /// An empty view of at most `limit` chats.
    pub(super) fn new(limit: usize) -> Self {
        Self { extent: Extent::Nothing, limit, chats: HashMap::new(), due: BTreeSet::new(), giving_up: BTreeSet::new() }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.limit);
    }

    /// How many chats it can hold.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// How many chats it holds.
    pub(super) fn len(&self) -> usize {
        self.chats.len()
    }

    /// Whether there is no room for another chat.
    pub(super) fn is_full(&self) -> bool {
        self.chats.len() >= self.limit
    }

    /// Whether it holds this chat.
    pub(super) fn has(&self, chat: &str) -> bool {
        self.chats.contains_key(chat)
    }

    /// The row of a chat.
    pub(super) fn row(&self, chat: &str) -> Option<&ChatRow> {
        self.chats.get(chat).map(|chat| &chat.row)
    }

    /// Whether a request to the chat is under way.
    pub(super) fn is_flying(&self, chat: &str) -> bool {
        self.chats.get(chat).is_some_and(|chat| chat.state == Turn::Flying)
    }

    /// Takes down what a chat waits for.
    pub(super) fn set(&mut self, chat: &ChatId, row: ChatRow, state: Turn) {
        self.remove(chat);
        match state {
            Turn::Due(since) => drop(self.due.insert((since, ChatId::clone(chat)))),
            Turn::GivingUp => drop(self.giving_up.insert(ChatId::clone(chat))),
            Turn::Flying => {}
        }
        self.chats.insert(ChatId::clone(chat), Chat { row, state });
    }

    /// Takes down a row that changed in what the turn does not depend on.
    pub(super) fn update(&mut self, chat: &str, row: ChatRow) {
        if let Some(known) = self.chats.get_mut(chat) {
            known.row = row;
        }
    }

    /// Forgets a chat.
    pub(super) fn remove(&mut self, chat: &str) {
        let Some((id, known)) = self.chats.remove_entry(chat) else { return };
        match known.state {
            Turn::Due(since) => drop(self.due.remove(&(since, id))),
            Turn::GivingUp => drop(self.giving_up.remove(&id)),
            Turn::Flying => {}
        }
    }

    /// Forgets the chats whose turn comes later than `now`.
    pub(super) fn drop_waiting(&mut self, now: Timestamp) {
        let waiting: Vec<ChatId> = self.due.iter().filter(|(since, _)| *since > now).map(|(_, chat)| ChatId::clone(chat)).collect();
        for chat in &waiting {
            self.remove(chat);
        }
    }

    /// The chat that waits longest, if its time has come.
    pub(super) fn first_due(&self, now: Timestamp) -> Option<ChatId> {
        self.due.first().filter(|(since, _)| *since <= now).map(|(_, chat)| ChatId::clone(chat))
    }

    /// Whether a message is under way, or may be before this time.
    pub(super) fn has_work_until(&self, until: Timestamp) -> bool {
        let all_wait = self.extent == Extent::Whole && self.due.len() == self.chats.len();
        !all_wait || self.first_due(until).is_some()
    }

    /// A chat whose messages go to the dead letters.
    pub(super) fn first_giving_up(&self) -> Option<ChatId> {
        self.giving_up.first().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(view: &mut View, chat: &str, since: i64) {
        view.set(&chat.into(), ChatRow::default(), Turn::Due(Timestamp(since)));
    }

    #[test]
    fn who_waits_longest_comes_first_and_nobody_before_the_time() {
        let mut view = View::new(10);
        due(&mut view, "late", 5);
        due(&mut view, "early", 3);
        assert_eq!(view.first_due(Timestamp(2)), None);
        assert_eq!(view.first_due(Timestamp(9)).as_deref(), Some("early"));
        view.set(&"early".into(), ChatRow::default(), Turn::Flying);
        assert!(view.is_flying("early"));
        assert_eq!(view.first_due(Timestamp(9)).as_deref(), Some("late"));
        due(&mut view, "late", 11);
        assert_eq!(view.first_due(Timestamp(9)), None, "one chat waits for one thing");
        assert_eq!(view.len(), 2);
    }

    #[test]
    fn what_is_removed_waits_for_nothing() {
        let mut view = View::new(1);
        due(&mut view, "a", 0);
        assert!(view.is_full());
        view.remove("a");
        assert_eq!((view.len(), view.first_due(Timestamp(1))), (0, None));
        view.set(&"a".into(), ChatRow::default(), Turn::GivingUp);
        assert_eq!(view.first_giving_up().as_deref(), Some("a"));
        view.clear();
        assert_eq!((view.len(), view.first_giving_up()), (0, None));
    }
}
