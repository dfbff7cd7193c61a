//! What is polled, and under which names.

use std::sync::Arc;
use std::time::Duration;

use super::memory::Memory;
use crate::avro::Schema;
use crate::config::{Config, WatchedChannel};
use crate::youtube::ids::Channel;

/// The compacted topic in which the poller keeps its state; one partition.
pub fn state_topic(application_id: &str) -> String {
    format!("{application_id}-poller-state")
}

/// The group of the pollers, and the transactional id of the active one.
pub fn group(application_id: &str) -> String {
    format!("{application_id}-poller")
}

/// What is polled, and where it goes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The application.
    pub application_id: Arc<str>,
    /// The topic that observations are written to.
    pub topic: Arc<str>,
    /// The schema of its values.
    pub schema: Schema,
    /// The ids of playlists.
    pub playlists: Vec<String>,
    /// Channels, and which of their uploads.
    pub channels: Vec<WatchedChannel>,
    /// The ids of videos that are watched by themselves.
    pub videos: Vec<String>,
    /// The time from one poll to the next, where the quota allows it.
    pub every: Duration,
    /// Units that may be spent in a day.
    pub quota_per_day: u64,
    /// Polls that must miss a video before it counts as removed.
    pub removed_after: u32,
}

impl Settings {
    /// What `[youtube]` says; none where a configuration has none.
    pub fn of(config: &Config) -> Option<Self> {
        let (youtube, source) = (config.youtube.as_ref()?, config.youtube_source()?);
        Some(Self {
            application_id: Arc::clone(&config.application_id),
            topic: Arc::clone(&source.topic),
            schema: source.schema.clone(),
            playlists: youtube.playlists.clone(),
            channels: youtube.channels.clone(),
            videos: youtube.videos.clone(),
            every: youtube.every,
            quota_per_day: youtube.quota_per_day,
            removed_after: youtube.removed_after,
        })
    }

    /// Whether a list, or a handle with its `@`, is watched.
    pub(super) fn watches(&self, id: &str, memory: &Memory) -> bool {
        let is_of = |watched: &WatchedChannel| {
            let channel = match &watched.channel {
                Channel::Id(id) => Some(id.as_str()),
                Channel::Handle(handle) => memory.channel_of(handle),
            };
            channel.is_some_and(|channel| watched.uploads.lists(channel).iter().any(|list| list == id))
        };
        self.playlists.iter().any(|list| list == id)
            || self.handles().any(|handle| id.strip_prefix('@') == Some(handle))
            || self.channels.iter().any(is_of)
    }

    pub(super) fn handles(&self) -> impl Iterator<Item = &str> {
        self.channels.iter().filter_map(|watched| match &watched.channel {
            Channel::Handle(handle) => Some(handle.as_str()),
            Channel::Id(_) => None,
        })
    }
}
