//! What YouTube's answers hold, read so that nothing has to be there: any member may be missing, of another type, or hidden by its owner.
//!
//! A counter that is missing is not zero. It is a text that holds an unsigned number of 64 bits; the observations have signed ones.

use jiff::{SignedDuration, Span, SpanRelativeTo};
use serde_json::Value;

use super::ids;
use super::problem::Problem;
use crate::streams::clock::Timestamp;

/// A page of a playlist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Its items, in the order of the playlist; a video may be in it twice.
    pub items: Vec<Item>,
    /// The token of the next page; none at the end.
    pub next: Option<String>,
}

/// A video's place in a playlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The video.
    pub video_id: String,
    /// `public`, `unlisted`, `private`, or what else YouTube says.
    pub privacy: Option<String>,
}

/// A video as it is seen at one time. What YouTube is silent about, or hides, is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Video {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: Option<String>,
    /// How often it was viewed; at most [`i64::MAX`].
    pub views: Option<u64>,
    /// How often it was liked; at most [`i64::MAX`].
    pub likes: Option<u64>,
    /// The number of comments; at most [`i64::MAX`].
    pub comments: Option<u64>,
    /// The channel that published it.
    pub channel_id: Option<String>,
    /// That channel's title.
    pub channel_title: Option<String>,
    /// When it was published.
    pub published_at: Option<Timestamp>,
    /// Its length in seconds; 0 while it is live.
    pub duration_seconds: Option<i64>,
    /// `none`, `upcoming`, `live` or `completed`.
    pub live_state: Option<String>,
    /// `public`, `unlisted` or `private`.
    pub privacy: Option<String>,
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelInfo {
    /// Its id: `UC…`.
    pub id: String,
    /// Its title.
    pub title: Option<String>,
}

/// What was odd in an answer that could be read all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Oddities {
    /// A counter that is no number, with its name.
    pub(super) unreadable: Option<String>,
    /// A counter above what observations hold, with its name.
    pub(super) too_large: Option<String>,
    /// An item without a usable id.
    pub(super) without_id: bool,
}

/// The items of a list, whose `kind` must be this one where it says one.
///
/// `items` is absent from some empty lists. But a document that has neither is no list: taken for an empty one it would make all videos disappear.
fn items<'a>(document: &'a Value, kind: &str) -> Result<&'a [Value], Problem> {
    let garbled = |what: &str| Problem::Garbled { what: what.to_owned() };
    let says = document.get("kind").and_then(Value::as_str);
    if says.is_some_and(|says| says != kind) {
        return Err(garbled("it is another kind of document"));
    }
    match document.get("items") {
        Some(Value::Array(items)) => Ok(items),
        None | Some(Value::Null) if says.is_some() => Ok(&[]),
        _ => Err(garbled("it holds no list of items")),
    }
}

/// Reads an answer of `playlistItems.list`.
pub(super) fn page(document: &Value, odd: &mut Oddities) -> Result<Page, Problem> {
    let items = items(document, "youtube#playlistItemListResponse")?.iter().filter_map(|item| {
        let video_id = id(item.pointer("/contentDetails/videoId"), odd)?;
        Some(Item { video_id, privacy: text(item.pointer("/status/privacyStatus")) })
    });
    let items = items.collect();
    Ok(Page { items, next: text(document.get("nextPageToken")).filter(|token| !token.is_empty()) })
}

/// Reads an answer of `videos.list`.
pub(super) fn videos(document: &Value, odd: &mut Oddities) -> Result<Vec<Video>, Problem> {
    let items = items(document, "youtube#videoListResponse")?;
    Ok(items.iter().filter_map(|item| video(item, odd)).collect())
}

/// Reads an answer of `channels.list`: its first channel.
pub(super) fn channel(document: &Value, odd: &mut Oddities) -> Result<Option<ChannelInfo>, Problem> {
    let Some(item) = items(document, "youtube#channelListResponse")?.first() else { return Ok(None) };
    Ok(id(item.get("id"), odd).map(|id| ChannelInfo { id, title: text(item.pointer("/snippet/title")) }))
}

fn video(item: &Value, odd: &mut Oddities) -> Option<Video> {
    let id = id(item.get("id"), odd)?;
    let mut count = |name: &str| count(item.get("statistics")?.get(name)?, name, odd);
    let (views, likes, comments) = (count("viewCount"), count("likeCount"), count("commentCount"));
    Some(Video {
        id,
        title: text(item.pointer("/snippet/title")),
        views,
        likes,
        comments,
        channel_id: text(item.pointer("/snippet/channelId")),
        channel_title: text(item.pointer("/snippet/channelTitle")),
        published_at: item.pointer("/snippet/publishedAt").and_then(time),
        duration_seconds: item.pointer("/contentDetails/duration").and_then(duration),
        live_state: text(item.pointer("/snippet/liveBroadcastContent")),
        privacy: text(item.pointer("/status/privacyStatus")),
    })
}

fn text(value: Option<&Value>) -> Option<String> {
    value?.as_str().map(str::to_owned)
}

/// An id goes into keys and URLs: one with other characters is none.
fn id(value: Option<&Value>, odd: &mut Oddities) -> Option<String> {
    let id = text(value).filter(|id| ids::is_id(id));
    odd.without_id |= id.is_none();
    id
}

/// A counter: a text that holds a number, as it is documented, or the number itself.
fn count(value: &Value, name: &str, odd: &mut Oddities) -> Option<u64> {
    const MAX: u64 = i64::MAX.unsigned_abs();
    let parsed = match value {
        Value::Null => return None,
        Value::String(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse::<u64>().ok(),
        Value::Number(number) => number.as_u64(),
        _ => None,
    };
    match parsed {
        Some(count) if count > MAX => {
            odd.too_large = Some(name.to_owned());
            Some(MAX)
        }
        Some(count) => Some(count),
        None => {
            odd.unreadable = Some(name.to_owned());
            None
        }
    }
}

fn time(value: &Value) -> Option<Timestamp> {
    let at: jiff::Timestamp = value.as_str()?.parse().ok()?;
    Some(Timestamp(at.as_millisecond()))
}

/// ISO 8601, with days of 24 hours: `PT12M34S`, `P1DT2H`, `P0D`.
fn duration(value: &Value) -> Option<i64> {
    let text = value.as_str().filter(|text| text.starts_with('P'))?;
    let span: Span = text.parse().ok()?;
    let duration: SignedDuration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Some(duration.as_secs())
}
