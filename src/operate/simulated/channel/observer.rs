//! The channel as the demonstration without a poller observes it: one video after the other, poll after poll.

use super::{CHANNEL_ID, CHANNEL_TITLE, Channel, PLAYLIST, Video, activity};
use crate::avro::{Field, Row, Shape, Type, Value};
use crate::streams::clock::Timestamp;

/// Polls that must miss a video before it counts as removed.
const MISSED_POLLS: u32 = 3;

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

/// The channel and who looks at it.
#[derive(Debug)]
pub struct Observer {
    channel: Channel,
    first_poll: bool,
    /// The video that the current poll has still to look at.
    next: usize,
    row: Row,
}

impl Observer {
    /// Looks at the channel as it is, then every ten minutes.
    pub fn new(channel: Channel) -> Self {
        Self { channel, first_poll: true, next: 0, row: Row::of(&shape()) }
    }

    /// The next observation.
    pub fn step(&mut self) -> Seen<'_> {
        let place = loop {
            while self.next >= self.channel.videos.len() {
                self.channel.pass();
                (self.next, self.first_poll) = (0, false);
            }
            let place = self.next;
            self.next += 1;
            if self.channel.videos.get(place).is_some_and(|video| video.gone.is_none_or(|(_, polls)| polls + 1 == MISSED_POLLS)) {
                break place;
            }
        };
        let at = self.channel.now;
        let mut seen = Seen { id: "", row: None, at, first_poll: self.first_poll, activity: activity(at) };
        if let Some(video) = self.channel.videos.get(place) {
            seen.id = &video.id;
            if video.gone.is_none() {
                fill(&mut self.row, video);
                seen.row = Some(&self.row);
            }
        }
        seen
    }
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
