//! Reads `[youtube]`: what people paste becomes ids here.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::super::diagnostics::Diagnostic;
use super::super::document::{Text, YouTube};
use super::reader::{self, Reader, Value};
use super::{as_table, kafka};
use crate::youtube::ids::{self, Channel, Unfit, Uploads};

const KEY_EXAMPLE: &str = "api_key = { env = \"YOUTUBE_API_KEY\" }";
const PLAYLISTS_EXAMPLE: &str = "playlists = [\"https://www.youtube.com/playlist?list=...\"]";
const CHANNELS_EXAMPLE: &str = "channels = [\"@handle\", { channel = \"@other\", shorts = false }]";
const VIDEOS_EXAMPLE: &str = "videos = [\"https://youtu.be/...\"]";

/// More often than this no quota lasts.
const EVERY: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

const TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);

/// `[youtube]`.
pub(super) fn youtube(place: Range<usize>, value: &Value<'_>, faults: &mut Vec<Diagnostic>) -> Option<YouTube> {
    let mut table = Reader::new("[youtube]", place.clone(), as_table("youtube", value, "[youtube]", faults)?, faults);
    let api_key = table.require("api_key", KEY_EXAMPLE);
    let api_key = api_key.and_then(|value| kafka::outside("api_key", value, KEY_EXAMPLE, table.faults()));
    let lists = ["playlists", "channels", "videos"];
    let is_named = lists.iter().any(|key| table.has(key));
    let playlists = pasted(&mut table, "playlists", PLAYLISTS_EXAMPLE, ids::playlist);
    let channels = channels(&mut table);
    let videos = pasted(&mut table, "videos", VIDEOS_EXAMPLE, ids::video);
    let counts = [playlists.as_ref().map(Vec::len), channels.as_ref().map(Vec::len), videos.as_ref().map(Vec::len)];
    // What could not be read was something, and is a fault of its own.
    if counts.iter().all(|count| *count == Some(0)) {
        let what = if is_named { "names nothing to watch" } else { "does not say what to watch" };
        let fault = Diagnostic::error("nothing-to-watch", place.clone(), format!("[youtube] {what}")).labelled("in this table");
        table.faults().push(fault.hinted(format!("add `{PLAYLISTS_EXAMPLE}`, `channels` or `videos`")));
    }
    let every = table.duration("every", "10m", &EVERY);
    let quota_per_day = table.integer("quota_per_day", 1..10_000_001).map(|units| units.into_inner().unsigned_abs());
    let removed_after = table.integer("removed_after", 1..101).and_then(|polls| u32::try_from(polls.into_inner()).ok());
    let base_url = table.text("base_url", "base_url = \"https://www.googleapis.com/youtube/v3\"");
    let timeout = table.duration("timeout", "20s", &TIMEOUT);
    let source = table.text("source", "source = \"videos\"");
    table.finish();
    let (playlists, channels, videos) = (playlists.unwrap_or_default(), channels.unwrap_or_default(), videos.unwrap_or_default());
    Some(YouTube { place, api_key, playlists, channels, videos, every, quota_per_day, removed_after, base_url, timeout, source })
}

/// A list of what people paste; none where something in it cannot be read.
fn pasted(table: &mut Reader<'_, '_>, key: &'static str, example: &str, read: fn(&str) -> Result<String, Unfit>) -> Option<Vec<Text>> {
    let Some((_, value)) = table.take(key) else { return Some(Vec::new()) };
    let texts = table.texts(key, value, example)?;
    let count = texts.len();
    let ids = texts.into_iter().filter_map(|text| found(key, &text, read, table.faults()).map(|id| Spanned::new(text.span(), id)));
    let ids: Vec<Text> = ids.collect();
    (ids.len() == count).then_some(ids)
}

/// What a text names; what it does not name is a fault.
fn found<T>(key: &str, text: &Text, read: fn(&str) -> Result<T, Unfit>, faults: &mut Vec<Diagnostic>) -> Option<T> {
    match read(text.get_ref()) {
        Ok(found) => Some(found),
        Err(unfit) => {
            faults.push(Diagnostic::error("bad-id", text.span(), format!("in `{key}`: {}", unfit.message)).hinted(unfit.hint));
            None
        }
    }
}

/// `channels`: texts, and tables where not all uploads are wanted; none where something in it cannot be read.
fn channels(table: &mut Reader<'_, '_>) -> Option<Vec<Spanned<(Channel, Uploads)>>> {
    let Some((_, value)) = table.take("channels") else { return Some(Vec::new()) };
    let Some(array) = value.get_ref().as_array() else {
        reader::wrong_type("`channels`", value, "a list", CHANNELS_EXAMPLE, table.faults());
        return None;
    };
    let read = |value: &Value<'_>| Some(Spanned::new(value.span(), channel(value, table.faults())?));
    let channels: Vec<_> = array.iter().filter_map(read).collect();
    (channels.len() == array.len()).then_some(channels)
}

fn channel(value: &Value<'_>, faults: &mut Vec<Diagnostic>) -> Option<(Channel, Uploads)> {
    let inner = match value.get_ref() {
        DeValue::String(text) => {
            let text = Spanned::new(value.span(), text.clone().into_owned());
            return Some((found("channels", &text, ids::channel, faults)?, Uploads::default()));
        }
        DeValue::Table(inner) => inner,
        _ => {
            reader::wrong_type("an element of `channels`", value, "a string or a table", CHANNELS_EXAMPLE, faults);
            return None;
        }
    };
    let seen = faults.len();
    let mut table = Reader::new("a table of `channels`", value.span(), inner, faults);
    let text = table.required_text("channel", "channel = \"@handle\"");
    let channel = text.and_then(|text| found("channels", &text, ids::channel, table.faults()));
    let uploads = Uploads {
        videos: table.boolean_or("videos", true),
        shorts: table.boolean_or("shorts", true),
        live: table.boolean_or("live", true),
    };
    table.finish();
    if !uploads.videos && !uploads.shorts && !uploads.live && faults.len() == seen {
        let fault = Diagnostic::error("nothing-to-watch", value.span(), "nothing of this channel is watched");
        faults.push(fault.labelled("all three are false").hinted("one of `videos`, `shorts` and `live` must be true"));
        return None;
    }
    channel.filter(|_| faults.len() == seen).map(|channel| (channel, uploads))
}
