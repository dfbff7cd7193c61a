//! The documents of the YouTube Data API v3, made from the simulated channel.

use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::operate::simulated::channel::{CHANNEL_ID, CHANNEL_TITLE, Channel, Gone, HANDLE, Video};
use crate::operate::simulated::set;
use crate::streams::clock::Timestamp;

/// Thumbnails: name, file, width, height.
const THUMBNAILS: [(&str, &str, u32, u32); 3] =
    [("default", "default", 120, 90), ("medium", "mqdefault", 320, 180), ("high", "hqdefault", 480, 360)];

/// A list of the channel's videos by the id of its playlist, each with its place in the channel's order; none where there is no such list.
pub(super) fn list<'a>(channel: &'a Channel, playlist: &str) -> Option<Vec<&'a Video>> {
    // The lists of all uploads and of those that are neither Shorts nor live end as the channel's id does, and drop what cannot be seen.
    let uploads = ["UU", "UULF"].iter().any(|kind| playlist.strip_prefix(kind).is_some_and(|rest| CHANNEL_ID.get(2..) == Some(rest)));
    if uploads {
        return Some(channel.public().rev().collect());
    }
    (playlist == super::PLAYLIST).then(|| {
        let videos: Vec<_> = channel.listed().collect();
        // People add a video twice now and then.
        let twice = videos.first().copied();
        videos.into_iter().chain(twice).collect()
    })
}

/// An entry of a playlist.
pub(super) fn playlist_item(playlist: &str, position: usize, video: &Video, parts: &[&str]) -> Value {
    let (title, description) = match video.gone {
        None => (video.title.as_str(), ""),
        Some((Gone::Private, _)) => ("Private video", "This video is private."),
        Some(_) => ("Deleted video", "This video is unavailable."),
    };
    let mut snippet = json!({
        // An hour after its publication, whoever keeps the list added it.
        "publishedAt": time(Timestamp(video.published.0.saturating_add(3_600_000))),
        "channelId": CHANNEL_ID,
        "title": title,
        "description": description,
        "thumbnails": {},
        "channelTitle": CHANNEL_TITLE,
        "playlistId": playlist,
        "position": position,
        "resourceId": {"kind": "youtube#video", "videoId": video.id},
    });
    let mut details = json!({"videoId": video.id});
    let privacy = match video.gone {
        None => {
            set(&mut snippet, "thumbnails", thumbnails(&video.id));
            set(&mut snippet, "videoOwnerChannelTitle", CHANNEL_TITLE);
            set(&mut snippet, "videoOwnerChannelId", CHANNEL_ID);
            set(&mut details, "videoPublishedAt", time(video.published));
            "public"
        }
        Some((Gone::Private, _)) => "private",
        Some(_) => "privacyStatusUnspecified",
    };
    let id = format!("{:x}", xxh3_128(format!("{playlist} {position} {}", video.id).as_bytes()));
    let all = [("snippet", snippet), ("contentDetails", details), ("status", json!({"privacyStatus": privacy}))];
    resource("youtube#playlistItem", &id, all, parts)
}

/// A video.
pub(super) fn video(video: &Video, parts: &[&str]) -> Value {
    let [views, likes, comments] = video.shown.map(|count| count.to_string());
    let mut statistics = json!({"viewCount": views, "favoriteCount": "0", "commentCount": comments});
    if !video.likes_hidden {
        set(&mut statistics, "likeCount", likes);
    }
    let snippet = json!({
        "publishedAt": time(video.published),
        "channelId": CHANNEL_ID,
        "title": video.title,
        "description": "",
        "thumbnails": thumbnails(&video.id),
        "channelTitle": CHANNEL_TITLE,
        "categoryId": "28",
        "liveBroadcastContent": "none",
        "localized": {"title": video.title, "description": ""},
    });
    let details = json!({
        "duration": duration(video.duration_seconds),
        "dimension": "2d",
        "definition": "hd",
        "caption": "false",
        "licensedContent": false,
        "contentRating": {},
        "projection": "rectangular",
    });
    let status = json!({
        "uploadStatus": "processed",
        "privacyStatus": "public",
        "license": "youtube",
        "embeddable": true,
        "publicStatsViewable": true,
        "madeForKids": false,
    });
    let all = [("snippet", snippet), ("statistics", statistics), ("contentDetails", details), ("status", status)];
    resource("youtube#video", &video.id, all, parts)
}

/// The channel.
pub(super) fn channel(channel: &Channel, parts: &[&str]) -> Value {
    let snippet = json!({
        "title": CHANNEL_TITLE,
        "description": "",
        "customUrl": HANDLE,
        "publishedAt": "2026-01-01T00:00:00Z",
        "thumbnails": {},
        "localized": {"title": CHANNEL_TITLE, "description": ""},
    });
    let uploads = format!("UU{}", CHANNEL_ID.get(2..).unwrap_or_default());
    let details = json!({"relatedPlaylists": {"likes": "", "uploads": uploads}});
    let views: i64 = channel.public().map(|video| video.shown.first().copied().unwrap_or_default()).sum();
    let count = channel.public().count().to_string();
    let statistics =
        json!({"viewCount": views.to_string(), "subscriberCount": "1204", "hiddenSubscriberCount": false, "videoCount": count});
    resource("youtube#channel", CHANNEL_ID, [("snippet", snippet), ("contentDetails", details), ("statistics", statistics)], parts)
}

/// A resource with those of its parts that were asked for. Its id is always there.
fn resource<const N: usize>(kind: &str, id: &str, all: [(&str, Value); N], parts: &[&str]) -> Value {
    let wanted = all.into_iter().filter(|(name, _)| parts.contains(name)).map(|(name, value)| (name.to_owned(), value));
    let parts: Map<String, Value> = wanted.collect();
    let mut resource = json!({"kind": kind, "etag": etag(&Value::Object(parts.clone())), "id": id});
    if let Value::Object(members) = &mut resource {
        members.extend(parts);
    }
    resource
}

/// The tag of a document: it changes with what the document says.
pub(super) fn etag(document: &Value) -> String {
    format!("{:016x}", xxh3_64(document.to_string().as_bytes()))
}

fn thumbnails(id: &str) -> Value {
    let all = THUMBNAILS.map(|(name, file, width, height)| {
        (name.to_owned(), json!({"url": format!("https://i.ytimg.com/vi/{id}/{file}.jpg"), "width": width, "height": height}))
    });
    Value::Object(all.into_iter().collect())
}

/// A time as the service writes it: RFC 3339, whole seconds.
fn time(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.0.div_euclid(1_000)).map(|at| at.to_string()).unwrap_or_default()
}

/// A length as the service writes it, ISO 8601: `PT1H2M3S`.
fn duration(seconds: i64) -> String {
    let parts = [(seconds / 3_600, "H"), (seconds / 60 % 60, "M"), (seconds % 60, "S")];
    let written = parts.iter().filter(|(number, _)| *number > 0).flat_map(|(number, unit)| [number.to_string(), (*unit).to_owned()]);
    let written: String = written.collect();
    if written.is_empty() { "P0D".to_owned() } else { format!("PT{written}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_lengths_are_written_as_the_service_does() {
        assert_eq!(time(Timestamp(1_786_028_400_999)), "2026-08-06T15:00:00Z");
        let cases = [(0, "P0D"), (59, "PT59S"), (754, "PT12M34S"), (3_600, "PT1H"), (3_723, "PT1H2M3S")];
        for (seconds, text) in cases {
            assert_eq!(duration(seconds), text);
        }
    }
}
