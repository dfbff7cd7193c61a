//! What is watched on YouTube, and how: what `[youtube]` says.

use std::sync::Arc;
use std::time::Duration;

use super::document;
use super::external::External;
use super::kafka;
use crate::youtube::ids::{Channel, Uploads};

/// Where the API is.
const BASE_URL: &str = "https://www.googleapis.com/youtube/v3";

/// What a project may spend in a day unless Google grants it more.
const QUOTA_PER_DAY: u64 = 10_000;

const EVERY: Duration = Duration::from_secs(600);

const REMOVED_AFTER: u32 = 3;

const TIMEOUT: Duration = Duration::from_secs(20);

/// What the poller watches.
#[derive(Clone, Debug)]
pub struct YouTube {
    /// The key of the API.
    pub api_key: External,
    /// The ids of playlists.
    pub playlists: Vec<String>,
    /// Channels whose uploads are watched.
    pub channels: Vec<WatchedChannel>,
    /// The ids of single videos.
    pub videos: Vec<String>,
    /// The time from the start of a poll to the start of the next, where the quota allows it.
    pub every: Duration,
    /// The units that may be spent from midnight to midnight Pacific time.
    pub quota_per_day: u64,
    /// A video counts as removed when so many polls in a row missed it.
    pub removed_after: u32,
    /// Where the API is, without a slash at the end.
    pub base_url: String,
    /// How long a request may take.
    pub timeout: Duration,
    /// The source whose topic gets the observations ([`super::Config::youtube_source`]).
    pub source: Arc<str>,
}

/// A channel, and which of its uploads are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedChannel {
    /// The channel. The id behind a handle must be asked for, which costs a unit.
    pub channel: Channel,
    /// Which of its uploads.
    pub uploads: Uploads,
}

impl YouTube {
    /// What the table says, of which nothing is missing that must be there.
    pub(super) fn assemble(table: document::YouTube, source: Arc<str>) -> Option<Self> {
        let texts = |list: Vec<document::Text>| list.into_iter().map(toml::Spanned::into_inner).collect();
        let channel = |it: toml::Spanned<(Channel, Uploads)>| {
            let (channel, uploads) = it.into_inner();
            WatchedChannel { channel, uploads }
        };
        Some(Self {
            api_key: table.api_key?.into_inner(),
            playlists: texts(table.playlists),
            channels: table.channels.into_iter().map(channel).collect(),
            videos: texts(table.videos),
            every: table.every.unwrap_or(EVERY),
            quota_per_day: table.quota_per_day.unwrap_or(QUOTA_PER_DAY),
            removed_after: table.removed_after.unwrap_or(REMOVED_AFTER),
            base_url: table.base_url.as_ref().map_or(BASE_URL, |url| url.get_ref()).trim_end_matches('/').to_owned(),
            timeout: table.timeout.unwrap_or(TIMEOUT),
            source,
        })
    }
}

/// Whether `text` is an address under which the API may be; if not, why.
pub(super) fn check_base_url(text: &str) -> Result<(), &'static str> {
    if text.contains(['?', '#']) {
        return Err("it must end with the path, without ? and #");
    }
    if text.contains('@') {
        return Err("it cannot hold a user");
    }
    kafka::check_url(text)
}

/// Whether what is sent to an address can be read on the way.
pub(super) fn is_in_clear(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("http://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None => authority.split(':').next().unwrap_or_default(),
    };
    host != "localhost" && !host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// Whether `text` can be a key at all; if not, what it is instead. No part of it is repeated.
pub(super) fn check_key(text: &str) -> Result<(), &'static str> {
    if text.contains(|c: char| !c.is_ascii_graphic() || matches!(c, '"' | '\'' | '{' | '}')) {
        return Err("it holds spaces, quotes or other characters that no key has");
    }
    if text.ends_with(".apps.googleusercontent.com") {
        return Err("it is the id of an OAuth client");
    }
    if text.starts_with("GOCSPX-") {
        return Err("it is the secret of an OAuth client");
    }
    if text.starts_with("ya29.") {
        return Err("it is an OAuth token, which ends within the hour");
    }
    Ok(())
}

/// Whether `text` looks as keys of Google's do today.
pub(super) fn looks_like_a_key(text: &str) -> bool {
    text.len() == 39 && text.starts_with("AIza")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_none_of_the_other_things_that_google_hands_out() {
        for good in ["AIzaSyA-0123456789abcdefghijklmnopqrst_", "AQ.Ab8RN6", "x"] {
            assert_eq!(check_key(good), Ok(()), "{good}");
        }
        for bad in ["AIza Sy", "\"AIzaSy\"", "{\"type\":1}", "1-a.apps.googleusercontent.com", "GOCSPX-x", "ya29.x", "AIzaSyé", "a\nb"] {
            assert!(check_key(bad).is_err(), "{bad}");
        }
        assert!(looks_like_a_key("AIzaSyA-0123456789abcdefghijklmnopqrst_"));
        assert!(!looks_like_a_key("AIzaSyA-0123456789abcdefghijklmnopqrst"));
    }

    #[test]
    fn the_address_is_http_and_encrypted_unless_it_stays_here() {
        for good in [BASE_URL, "https://youtube.googleapis.com/youtube/v3/", "http://127.0.0.1:8080", "http://[::1]:1/x"] {
            assert_eq!(check_base_url(good), Ok(()), "{good}");
            assert!(!is_in_clear(good), "{good}");
        }
        assert!(!is_in_clear("http://localhost:80/youtube"));
        for bad in ["", "www.googleapis.com", "ftp://h", "https://", "https://me:x@h", "https://h/?key=x", "https://h/#x"] {
            assert!(check_base_url(bad).is_err(), "{bad}");
        }
        for clear in ["http://www.googleapis.com/youtube/v3", "http://10.0.0.1:80", "http://localhost.example.org"] {
            assert!(is_in_clear(clear), "{clear}");
        }
    }
}
