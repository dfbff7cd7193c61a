//! A simulated channel: what there is to see of a small YouTube channel, from a seed.
//!
//! It behaves as real playlists do when they are polled every ten minutes: half of the time a counter stands still although people watch, a tenth
//! of the changes go down, nights are quiet, young videos grow faster. And what happens seldom happens here soon: likes are hidden and shown
//! again, a video is renamed, one takes off, one is made private and public again, one is published.

use std::fmt;

use super::random::Random;
use crate::streams::clock::Timestamp;

/// Simulated time between two polls.
const POLL_INTERVAL_MS: i64 = 600_000;

/// Polls after which a private video is public again, and any other that is gone is forgotten.
const GONE_POLLS: u32 = 15;

/// The channel never has more videos, nor fewer that can be seen.
const VIDEOS: std::ops::Range<usize> = 9..16;

const HOUR_MS: i64 = 3_600_000;

/// The channel's id.
pub const CHANNEL_ID: &str = "UCtidewatchTidings00000A";

/// The channel's title.
pub const CHANNEL_TITLE: &str = "Tidewatch Tidings";

/// The channel's handle.
pub const HANDLE: &str = "@tidewatchtidings";

/// The id of the playlist that holds its videos.
pub const PLAYLIST: &str = "PLtidewatchTidings000000000000000A";

/// Where the videos get their titles from, again from the top when all were used.
const TITLES: [&str; 16] = [
    "Watching the river flow",
    "Rust > C++? <Benchmarks> & \"opinions\"",
    "🚀 Launch day! 🎉",
    "مرحبا بالعالم – first steps",
    "Exactly once, explained in 12 minutes",
    "Q&A: you asked, we answered",
    "שלום עולם | Hello, world",
    "Why is my <div> crying? 😭",
    "Tea & state stores",
    "A tour of the log",
    "日本の潮汐 (Tides of Japan)",
    "Don't panic: \"commit outcome unknown\"",
    "5 < 10 & other truths",
    "Live coding: a change detector",
    "👩‍🔬 Measuring p99 honestly",
    "The one about tombstones",
];

/// A video of the channel.
#[derive(Clone, Debug)]
pub(super) struct Video {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) published: Timestamp,
    pub(super) duration_seconds: i64,
    /// Views per hour on its first day, at the busiest hour.
    appeal: f64,
    /// What it is multiplied with while it takes off; 1 otherwise.
    boost: f64,
    /// True counts: views, likes, comments.
    counts: [i64; 3],
    /// The same as the service shows them.
    pub(super) shown: [i64; 3],
    pub(super) likes_hidden: bool,
    /// How it went, and the polls since then.
    pub(super) gone: Option<(Gone, u32)>,
}

/// How a video goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It stays in the playlist, as a private video.
    Private,
    /// It is taken off the playlist, and from the channel.
    Removed,
    /// It stays in the playlist, as a deleted video.
    Deleted,
}

/// Something that happens seldom, to the video with this title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It takes off.
    TakesOff(String),
    /// Its likes are hidden.
    LikesHidden(String),
    /// They are shown again.
    LikesShown(String),
    /// It is renamed.
    Renamed {
        /// The old title.
        from: String,
        /// The new one.
        to: String,
    },
    /// It is gone.
    Removed(String, Gone),
    /// It is public again.
    Restored(String),
    /// It is new.
    Published(String),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TakesOff(title) => write!(f, "takes off: {title}"),
            Self::LikesHidden(title) => write!(f, "likes are hidden now: {title}"),
            Self::LikesShown(title) => write!(f, "likes are shown again: {title}"),
            Self::Renamed { from, to } => write!(f, "renamed: {from} => {to}"),
            Self::Removed(title, Gone::Private) => write!(f, "removed: {title} (made private)"),
            Self::Removed(title, Gone::Removed) => write!(f, "removed: {title} (taken off the playlist)"),
            Self::Removed(title, Gone::Deleted) => write!(f, "removed: {title} (deleted)"),
            Self::Restored(title) => write!(f, "public again: {title}"),
            Self::Published(title) => write!(f, "published: {title}"),
        }
    }
}

/// The channel. Endless.
#[derive(Debug)]
pub struct Channel {
    random: Random,
    now: Timestamp,
    poll: u64,
    published: usize,
    videos: Vec<Video>,
    /// What happened in the last ten minutes.
    events: Vec<Event>,
}

impl Channel {
    /// A channel as it is at `start`.
    pub fn new(seed: u64, start: Timestamp) -> Self {
        let mut channel = Self { random: Random::new(seed), now: start, poll: 1, published: 0, videos: Vec::new(), events: Vec::new() };
        for number in 0..12 {
            channel.publish(number * 40 * HOUR_MS + 3 * HOUR_MS);
        }
        channel
    }

    /// The time on the channel.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Ten minutes pass, the time between two polls.
    pub fn pass(&mut self) {
        self.poll += 1;
        self.now.0 += POLL_INTERVAL_MS;
        self.events.clear();
        self.come_and_go();
        self.happen();
        let (now, busy) = (self.now, activity(self.now));
        for video in &mut self.videos {
            video.live(now, busy, &mut self.random);
        }
    }

    /// Lets time pass until `at` is reached.
    pub fn pass_until(&mut self, at: Timestamp) {
        while self.now < at {
            self.pass();
        }
    }

    /// What happened in the last ten minutes.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The videos that stand in the playlist, in the order in which they were added: also those of which only the place is left.
    pub(super) fn listed(&self) -> impl Iterator<Item = &Video> {
        self.videos.iter().filter(|video| !matches!(video.gone, Some((Gone::Removed, _))))
    }

    /// The videos that can be seen, in the order in which they were added.
    pub(super) fn public(&self) -> impl DoubleEndedIterator<Item = &Video> {
        self.videos.iter().filter(|video| video.gone.is_none())
    }

    /// Those that are gone come back or are forgotten.
    fn come_and_go(&mut self) {
        for video in &mut self.videos {
            if let Some((how, polls)) = &mut video.gone {
                *polls += 1;
                if *polls >= GONE_POLLS && *how == Gone::Private {
                    video.gone = None;
                    self.events.push(Event::Restored(video.title.clone()));
                }
            }
        }
        self.videos.retain(|video| video.gone.is_none_or(|(_, polls)| polls < GONE_POLLS));
    }

    /// What happens seldom: first as a script, so that a short demonstration shows it all, then by chance.
    fn happen(&mut self) {
        match self.poll {
            4 => self.take_off(4),
            6 | 20 => self.hide_or_show_likes(2),
            9 => self.rename(5),
            12 => self.remove(7, Gone::Private),
            16 => self.announce(),
            0..28 => {}
            _ => {
                let place = self.random.below(self.videos.len());
                let events = [self.random.chance(0.01), self.random.chance(0.02), self.random.chance(0.01), self.random.chance(0.01)];
                match events {
                    [true, ..] => self.take_off(place),
                    [_, true, ..] => self.hide_or_show_likes(place),
                    [_, _, true, _] => self.rename(place),
                    [_, _, _, true] if self.public().count() > VIDEOS.start => {
                        let ways = [Gone::Private, Gone::Removed, Gone::Deleted];
                        let way = ways.get(self.random.below(ways.len())).copied().unwrap_or(Gone::Removed);
                        self.remove(place, way);
                    }
                    _ if self.videos.len() < VIDEOS.end && self.random.chance(0.01) => self.announce(),
                    _ => {}
                }
            }
        }
    }

    fn with(&mut self, place: usize, change: impl FnOnce(&mut Video) -> Event) {
        // A video that is gone stays as it is.
        if let Some(video) = self.videos.get_mut(place).filter(|video| video.gone.is_none()) {
            self.events.push(change(video));
        }
    }

    fn take_off(&mut self, place: usize) {
        self.with(place, |video| {
            video.boost = 30.0;
            Event::TakesOff(video.title.clone())
        });
    }

    fn hide_or_show_likes(&mut self, place: usize) {
        self.with(place, |video| {
            video.likes_hidden = !video.likes_hidden;
            if video.likes_hidden { Event::LikesHidden(video.title.clone()) } else { Event::LikesShown(video.title.clone()) }
        });
    }

    fn rename(&mut self, place: usize) {
        self.with(place, |video| {
            let from = video.title.clone();
            match from.strip_suffix(" (remastered)") {
                Some(title) => title.clone_into(&mut video.title),
                None => video.title.push_str(" (remastered)"),
            }
            Event::Renamed { from, to: video.title.clone() }
        });
    }

    fn remove(&mut self, place: usize, how: Gone) {
        self.with(place, |video| {
            video.gone = Some((how, 0));
            Event::Removed(video.title.clone(), how)
        });
    }

    fn announce(&mut self) {
        self.publish(0);
        let title = self.videos.last().map(|video| video.title.clone());
        self.events.extend(title.map(Event::Published));
    }

    /// Publishes a video as if it had happened some time ago.
    fn publish(&mut self, age_ms: i64) {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let bits = self.random.next();
        let letter = |index: u32| usize::try_from(bits >> (6 * index) & 63).ok().and_then(|place| ALPHABET.get(place)).copied();
        let title = TITLES.get(self.published % TITLES.len()).copied().unwrap_or_default().to_owned();
        let appeal = 20.0 + 60.0 * self.random.unit();
        // Growth slows down with age; see `live`.
        let hours = whole_hours(age_ms);
        let views = self.random.poisson(appeal * 0.5 * hours.min(24.0) + appeal * 12.0 * (hours / 24.0).max(1.0).ln());
        let counts = [views, views / 25, views / 300];
        self.published += 1;
        self.videos.push(Video {
            // The last letter of an id carries four bits only.
            id: (0..10).filter_map(letter).map(char::from).chain(std::iter::once('A')).collect(),
            title,
            published: Timestamp(self.now.0 - age_ms),
            duration_seconds: 60 + i64::try_from(self.random.below(1_800)).unwrap_or_default(),
            appeal,
            boost: 1.0,
            counts,
            shown: counts,
            likes_hidden: false,
            gone: None,
        });
    }
}

impl Video {
    /// Ten minutes pass.
    fn live(&mut self, now: Timestamp, activity: f64, random: &mut Random) {
        let days = whole_hours(now.0 - self.published.0) / 24.0;
        let per_poll = self.appeal / days.max(1.0).sqrt() * activity / 6.0 * self.boost;
        self.boost = (self.boost * 0.93).max(1.0);
        let views = random.poisson(per_poll);
        let grown = [views, random.poisson(per_poll * 0.03), random.poisson(per_poll * 0.004)];
        let refreshed = random.chance(0.55);
        for ((count, shown), grown) in self.counts.iter_mut().zip(&mut self.shown).zip(grown) {
            *count += grown;
            if refreshed {
                // YouTube's servers do not agree at every moment: what is shown is a little off, and falls back with the next answer.
                let off = if random.chance(0.15) && *count > 20 { random.poisson(1.0 + per_poll / 20.0) } else { 0 };
                *shown = if random.chance(0.3) { *count + off } else { *count - off };
            }
        }
    }
}

/// How many people are awake, from 0 to 1, by the hour of the day in UTC.
fn activity(at: Timestamp) -> f64 {
    match at.0.rem_euclid(24 * HOUR_MS) / HOUR_MS {
        1..6 => 0.04,
        0 | 6 | 7 => 0.3,
        17..22 => 1.0,
        _ => 0.7,
    }
}

#[expect(clippy::cast_precision_loss, reason = "hours since a publication are few")]
fn whole_hours(ms: i64) -> f64 {
    (ms.max(0) / HOUR_MS) as f64
}

#[cfg(test)]
mod tests;
