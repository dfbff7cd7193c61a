//! What the poller remembers from one poll to the next: in memory, and as JSON values in its compacted state topic.
//!
//! | key | value |
//! |---|---|
//! | `video/<id>` | the last row that was sent, the lists it was in, polls that missed it, since when it is gone and why |
//! | `list/<id>` | whether it was ever read to its end; why it is not read, and when it is asked for again |
//! | `handle/<handle>` | the channel behind it |
//! | `quota` | the day and its units, what is reserved included |
//! | `poll` | when the last poll began, and what one costs |
//!
//! Members that a value does not have are as they are at first, members that are not known are passed over: both ways between versions work.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::streams::clock::Timestamp;
use crate::youtube::Ledger;
use crate::youtube::ids::part_of_uploads;

/// Where a value is kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Video(String),
    List(String),
    Handle(String),
    Quota,
    Poll,
}

impl Key {
    fn parse(text: &str) -> Option<Self> {
        match text.split_once('/') {
            Some(("video", id)) => Some(Self::Video(id.to_owned())),
            Some(("list", id)) => Some(Self::List(id.to_owned())),
            Some(("handle", handle)) => Some(Self::Handle(handle.to_owned())),
            None if text == "quota" => Some(Self::Quota),
            None if text == "poll" => Some(Self::Poll),
            _ => None,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Video(id) => write!(f, "video/{id}"),
            Self::List(id) => write!(f, "list/{id}"),
            Self::Handle(handle) => write!(f, "handle/{handle}"),
            Self::Quota => f.write_str("quota"),
            Self::Poll => f.write_str("poll"),
        }
    }
}

/// Why a video counts as removed: the header `reason` of its tombstone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reason {
    /// It is in none of the lists any more, and public still.
    LeftPlaylist,
    /// Its owner made it private: so says the item that is left in a list.
    Private,
    /// It is not to be had any more.
    Gone,
}

impl Reason {
    /// As it stands in the header.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::LeftPlaylist => "left-playlist",
            Self::Private => "private",
            Self::Gone => "gone",
        }
    }
}

/// What was last said of a video.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Last {
    /// When it was observed, in milliseconds since the Unix epoch.
    pub(super) at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) views: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) likes: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) comments: Option<i64>,
}

/// A removal that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Gone {
    /// When, in milliseconds since the Unix epoch.
    pub(super) since: i64,
    pub(super) reason: Reason,
}

/// A video that was observed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Video {
    pub(super) last: Last,
    /// The lists that it was in when they were last read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) lists: Vec<String>,
    /// Polls that missed it since it was last observed.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) missed: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gone: Option<Gone>,
}

/// A list that cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Refused {
    pub(super) why: String,
    /// How often it was asked for in vain.
    pub(super) times: u32,
    /// When it is asked for again, in milliseconds since the Unix epoch.
    pub(super) again: i64,
}

/// A list of videos.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct List {
    /// Whether a poll has read it to its end and observed what is in it: from then on a video in it that is not known is a new one.
    pub(super) complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<Refused>,
}

/// The channel behind a handle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Handle {
    pub(super) channel: String,
}

/// The units of a day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Quota {
    /// The day on Pacific time, as in RFC 3339.
    pub(super) day: String,
    /// Units that are spent or reserved: whoever reads this takes them for spent.
    pub(super) units: u64,
}

/// The last poll.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Poll {
    /// When it began, in milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) started: Option<i64>,
    /// Units that a poll costs, as far as is known.
    pub(super) cost: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde wants")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A key and its value; no value where it is to be forgotten.
pub(super) type Change = (String, Option<Vec<u8>>);

/// All of it, and what of it the topic does not have yet.
#[derive(Debug, Default)]
pub(super) struct Memory {
    videos: BTreeMap<String, Video>,
    lists: BTreeMap<String, List>,
    handles: BTreeMap<String, Handle>,
    quota: Quota,
    poll: Poll,
    changed: BTreeSet<Key>,
}

impl Memory {
    /// Takes in a record of the topic.
    pub(super) fn apply(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) {
        let Some(key) = key.and_then(|key| std::str::from_utf8(key).ok()).and_then(Key::parse) else {
            tracing::warn!("a record of the poller's state has a key that is not known: passed over");
            return;
        };
        match &key {
            Key::Video(id) => put(&mut self.videos, &key, id, value),
            Key::List(id) => put(&mut self.lists, &key, id, value),
            Key::Handle(handle) => put(&mut self.handles, &key, handle, value),
            Key::Quota => self.quota = value.and_then(|value| read(&key, value)).unwrap_or_default(),
            Key::Poll => self.poll = value.and_then(|value| read(&key, value)).unwrap_or_default(),
        }
    }

    /// What the topic does not have yet.
    pub(super) fn changes(&self) -> Result<Vec<Change>, serde_json::Error> {
        let change = |key: &Key| {
            let value = match key {
                Key::Video(id) => self.videos.get(id).map(serde_json::to_vec),
                Key::List(id) => self.lists.get(id).map(serde_json::to_vec),
                Key::Handle(handle) => self.handles.get(handle).map(serde_json::to_vec),
                Key::Quota => Some(serde_json::to_vec(&self.quota)),
                Key::Poll => Some(serde_json::to_vec(&self.poll)),
            };
            Ok((key.to_string(), value.transpose()?))
        };
        self.changed.iter().map(change).collect()
    }

    /// The topic has everything.
    pub(super) fn saved(&mut self) {
        self.changed.clear();
    }

    pub(super) fn videos(&self) -> &BTreeMap<String, Video> {
        &self.videos
    }

    pub(super) fn video(&self, id: &str) -> Option<&Video> {
        self.videos.get(id)
    }

    pub(super) fn set_video(&mut self, id: &str, video: Video) {
        self.changed.insert(Key::Video(id.to_owned()));
        self.videos.insert(id.to_owned(), video);
    }

    pub(super) fn forget_video(&mut self, id: &str) {
        if self.videos.remove(id).is_some() {
            self.changed.insert(Key::Video(id.to_owned()));
        }
    }

    /// A list; one that was never read where it is not known.
    pub(super) fn list(&self, id: &str) -> List {
        self.lists.get(id).cloned().unwrap_or_default()
    }

    pub(super) fn set_list(&mut self, id: &str, list: List) {
        if self.lists.get(id) != Some(&list) {
            self.changed.insert(Key::List(id.to_owned()));
            self.lists.insert(id.to_owned(), list);
        }
    }

    /// How many videos are known and not removed.
    pub(super) fn present(&self) -> usize {
        self.videos.values().filter(|video| video.gone.is_none()).count()
    }

    /// The lists, and the handles with their `@`, that cannot be read; not those of a kind of uploads of which a channel may have none yet.
    pub(super) fn refused(&self) -> impl Iterator<Item = (&str, &Refused)> {
        let lists = self.lists.iter().filter(|(id, list)| list.complete || part_of_uploads(id).is_none());
        lists.filter_map(|(id, list)| Some((id.as_str(), list.refused.as_ref()?)))
    }

    pub(super) fn channel_of(&self, handle: &str) -> Option<&str> {
        self.handles.get(handle).map(|handle| handle.channel.as_str())
    }

    pub(super) fn set_channel(&mut self, handle: &str, channel: String) {
        self.changed.insert(Key::Handle(handle.to_owned()));
        self.handles.insert(handle.to_owned(), Handle { channel });
    }

    /// Forgets the lists and handles that nobody watches any more.
    pub(super) fn keep(&mut self, list: impl Fn(&str) -> bool, handle: impl Fn(&str) -> bool) {
        let (lists, handles, changed) = (&mut self.lists, &mut self.handles, &mut self.changed);
        lists.retain(|id, _| list(id) || !changed.insert(Key::List(id.clone())));
        handles.retain(|name, _| handle(name) || !changed.insert(Key::Handle(name.clone())));
    }

    /// What was written down of the quota; none before the first request.
    pub(super) fn ledger(&self) -> Option<Ledger> {
        let day = self.quota.day.parse().ok()?;
        Some(Ledger { day, units: self.quota.units })
    }

    pub(super) fn set_ledger(&mut self, ledger: Ledger) {
        self.changed.insert(Key::Quota);
        self.quota = Quota { day: ledger.day.to_string(), units: ledger.units };
    }

    pub(super) fn poll(&self) -> &Poll {
        &self.poll
    }

    pub(super) fn poll_mut(&mut self) -> &mut Poll {
        self.changed.insert(Key::Poll);
        &mut self.poll
    }

    /// When the last poll began.
    pub(super) fn started(&self) -> Option<Timestamp> {
        self.poll.started.map(Timestamp)
    }
}

fn put<T: DeserializeOwned>(map: &mut BTreeMap<String, T>, key: &Key, name: &str, value: Option<&[u8]>) {
    match value.and_then(|value| read(key, value)) {
        Some(value) => map.insert(name.to_owned(), value),
        None => map.remove(name),
    };
}

fn read<T: DeserializeOwned>(key: &Key, value: &[u8]) -> Option<T> {
    let read = serde_json::from_slice(value);
    read.inspect_err(|error| tracing::warn!(%key, %error, "a value of the poller's state cannot be read: it counts as not known")).ok()
}
