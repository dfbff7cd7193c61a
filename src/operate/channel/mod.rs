//! A simulated channel: what the poller would see of a small YouTube channel, from a seed.
//!
//! It behaves as real playlists do when they are polled every ten minutes: half of the time a counter stands still although people watch, a tenth
//! of the changes go down, nights are quiet, young videos grow faster. And what happens seldom happens here soon: likes are hidden and shown
//! again, a video is renamed, one takes off, one is removed, one is published.

use super::random::Random;
use crate::avro::{Field, Row, Shape, Type, Value};
use crate::streams::clock::Timestamp;

/// Simulated time between two polls.
const POLL_INTERVAL_MS: i64 = 600_000;

/// Polls that must miss a video before it counts as removed.
const MISSED_POLLS: u32 = 3;

/// The channel never has more or fewer videos than these.
const VIDEOS: std::ops::Range<usize> = 9..16;

const HOUR_MS: i64 = 3_600_000;

const CHANNEL_ID: &str = "UCsimulated0000000000000";
const CHANNEL_TITLE: &str = "Tidewatch Tidings";
const PLAYLIST: &str = "PLsimulated";

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
struct Video {
    id: String,
    title: String,
    published: Timestamp,
    duration_seconds: i64,
    /// Views per hour on its first day, at the busiest hour.
    appeal: f64,
    /// What it is multiplied with while it takes off; 1 otherwise.
    boost: f64,
    /// True and shown counts: views, likes, comments.
    counts: [i64; 3],
    shown: [i64; 3],
    likes_hidden: bool,
    /// Polls that missed it since it was removed.
    missed: Option<u32>,
}

/// What one step brings: an observation, or that a video is gone.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen<'a> {
    /// The video's id.
    pub id: &'a str,
    /// The observation, in the shape of [`shape`]; none for a video that is gone.
    pub row: Option<&'a Row>,
    /// When it was observed.
    pub at: Timestamp,
    /// Whether the channel was ever polled before.
    pub first_poll: bool,
    /// How busy it is at this hour, from 0 to 1.
    pub activity: f64,
}

/// The fields of [`Seen::row`]: what the poller knows of a video.
pub fn shape() -> Shape {
    let fields = [
        ("title", Type::String),
        ("views", Type::Long),
        ("likes", Type::Long),
        ("comments", Type::Long),
        ("channel_id", Type::String),
        ("channel_title", Type::String),
        ("playlists", Type::Strings),
        ("published_at", Type::Timestamp),
        ("duration_seconds", Type::Long),
        ("live_state", Type::String),
    ];
    Shape { fields: fields.into_iter().map(|(path, ty)| Field::new(path, ty, true)).collect() }
}

/// The channel and its poller. Endless.
#[derive(Debug)]
pub struct Channel {
    random: Random,
    now: Timestamp,
    poll: u64,
    published: usize,
    videos: Vec<Video>,
    /// The videos that the current poll has still to look at.
    next: usize,
    /// The video that was found to be gone last: its name is lent out.
    gone: Option<Video>,
    row: Row,
}

impl Channel {
    /// A channel as it is at `start`.
    pub fn new(seed: u64, start: Timestamp) -> Self {
        let mut channel = Self {
            random: Random::new(seed),
            now: start,
            poll: 1,
            published: 0,
            videos: Vec::new(),
            next: 0,
            gone: None,
            row: Row::of(&shape()),
        };
        for number in 0..12 {
            channel.publish(number * 40 * HOUR_MS + 3 * HOUR_MS);
        }
        channel
    }

    /// The next observation.
    pub fn step(&mut self) -> Seen<'_> {
        loop {
            while self.next >= self.videos.len() {
                self.begin_poll();
            }
            let place = self.next;
            self.next += 1;
            let Some(video) = self.videos.get_mut(place) else { continue };
            match &mut video.missed {
                None => return self.observe(place),
                Some(missed) => {
                    *missed += 1;
                    if *missed >= MISSED_POLLS {
                        return self.remove(place);
                    }
                }
            }
        }
    }

    fn observe(&mut self, place: usize) -> Seen<'_> {
        let (at, first_poll, activity) = (self.now, self.poll == 1, activity(self.now));
        if let Some(video) = self.videos.get(place) {
            fill(&mut self.row, video);
        }
        let id = self.videos.get(place).map_or("", |video| &video.id);
        Seen { id, row: Some(&self.row), at, first_poll, activity }
    }

    fn remove(&mut self, place: usize) -> Seen<'_> {
        let (at, activity) = (self.now, activity(self.now));
        self.next = place;
        let video = self.gone.insert(self.videos.remove(place));
        Seen { id: &video.id, row: None, at, first_poll: false, activity }
    }

    fn begin_poll(&mut self) {
        self.next = 0;
        self.poll += 1;
        self.now.0 += POLL_INTERVAL_MS;
        self.happen();
        let (now, busy) = (self.now, activity(self.now));
        for video in &mut self.videos {
            video.live(now, busy, &mut self.random);
        }
    }

    /// What happens seldom: first as a script, so that a short demonstration shows it all, then by chance.
    fn happen(&mut self) {
        match self.poll {
            4 => self.with(4, |video| video.boost = 30.0),
            6 => self.with(2, |video| video.likes_hidden = true),
            9 => self.rename(5),
            14 => self.with(7, |video| video.missed = Some(0)),
            22 => self.with(2, |video| video.likes_hidden = false),
            0..26 => {}
            _ => {
                let place = self.random.below(self.videos.len());
                let events = [self.random.chance(0.01), self.random.chance(0.02), self.random.chance(0.01), self.random.chance(0.01)];
                match events {
                    [true, ..] => self.with(place, |video| video.boost = 30.0),
                    [_, true, ..] => self.with(place, |video| video.likes_hidden = !video.likes_hidden),
                    [_, _, true, _] => self.rename(place),
                    [_, _, _, true] if self.videos.len() > VIDEOS.start => self.with(place, |video| video.missed = Some(0)),
                    [_, _, _, true] => self.publish(0),
                    _ if self.videos.len() < VIDEOS.end && self.random.chance(0.01) => self.publish(0),
                    _ => {}
                }
            }
        }
    }

    fn with(&mut self, place: usize, change: impl FnOnce(&mut Video)) {
        // A video that is being removed stays so.
        if let Some(video) = self.videos.get_mut(place).filter(|video| video.missed.is_none()) {
            change(video);
        }
    }

    fn rename(&mut self, place: usize) {
        self.with(place, |video| match video.title.strip_suffix(" (remastered)") {
            Some(title) => video.title = title.to_owned(),
            None => video.title.push_str(" (remastered)"),
        });
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
            missed: None,
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

fn fill(row: &mut Row, video: &Video) {
    let [title, views, likes, comments, channel_id, channel_title, playlists, published, duration, live] = row.values.as_mut_slice() else {
        return;
    };
    let [shown_views, shown_likes, shown_comments] = video.shown;
    title.set_str(&video.title);
    *views = Value::Long(shown_views);
    *likes = if video.likes_hidden { Value::Null } else { Value::Long(shown_likes) };
    *comments = Value::Long(shown_comments);
    channel_id.set_str(CHANNEL_ID);
    channel_title.set_str(CHANNEL_TITLE);
    if playlists.is_null() {
        *playlists = Value::Strings(vec![PLAYLIST.to_owned()]);
    }
    *published = Value::Long(video.published.0);
    *duration = Value::Long(video.duration_seconds);
    live.set_str("none");
}

#[cfg(test)]
mod tests;
