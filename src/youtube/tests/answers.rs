//! What is read of answers of success, in the shapes that the API documents and in those that it was seen to send.

use super::*;

/// The highest count of an observation.
const MAX: u64 = i64::MAX.unsigned_abs();

async fn videos(items: &str) -> Vec<Video> {
    let fake = Fake::saying(json(&format!(r#"{{"kind": "youtube#videoListResponse", "items": [{items}]}}"#)));
    client(&fake).videos(&["a"]).await.unwrap()
}

async fn only(item: &str) -> Video {
    videos(&format!(r#"{{"id": "a", {item}}}"#)).await.remove(0)
}

#[tokio::test]
async fn a_whole_video() {
    let item = r#"{
      "kind": "youtube#video", "etag": "Zx40", "id": "kafkaDemo00",
      "snippet": {"publishedAt": "2026-04-30T17:00:05Z", "channelId": "UCkafkaDemoChannel00000A",
        "title": "Streams & Tables: a 5 < 6 story (*part_1*)", "channelTitle": "Kafka Demo", "liveBroadcastContent": "none"},
      "statistics": {"viewCount": "18342", "likeCount": "412", "favoriteCount": "0", "commentCount": "37"},
      "contentDetails": {"duration": "PT12M34S", "contentRating": {}},
      "status": {"uploadStatus": "processed", "privacyStatus": "public"}
    }"#;
    let expected = Video {
        id: "kafkaDemo00".to_owned(),
        title: Some("Streams & Tables: a 5 < 6 story (*part_1*)".to_owned()),
        views: Some(18_342),
        likes: Some(412),
        comments: Some(37),
        channel_id: Some("UCkafkaDemoChannel00000A".to_owned()),
        channel_title: Some("Kafka Demo".to_owned()),
        published_at: Some(Timestamp(1_777_568_405_000)),
        duration_seconds: Some(754),
        live_state: Some("none".to_owned()),
        privacy: Some("public".to_owned()),
    };
    assert_eq!(videos(item).await, [expected]);
}

#[tokio::test]
async fn what_is_missing_is_unknown_and_never_zero() {
    let bare = Video { id: "a".to_owned(), ..Video::default() };
    assert_eq!(videos(r#"{"id": "a"}"#).await, std::slice::from_ref(&bare));
    // Of other types, null, or without what should be in them.
    assert_eq!(only(r#""snippet": null, "statistics": "none", "contentDetails": [], "status": {}"#).await, bare);
    let hidden = only(r#""statistics": {"viewCount": "7", "favoriteCount": "0"}"#).await;
    assert_eq!((hidden.views, hidden.likes, hidden.comments), (Some(7), None, None));
    assert_eq!(only(r#""statistics": {"viewCount": null, "likeCount": "0"}"#).await.likes, Some(0));
    assert_eq!(only(r#""statistics": {"viewCount": null, "likeCount": "0"}"#).await.views, None);
}

#[tokio::test]
async fn counters_are_texts_or_numbers_and_up_to_64_bits() {
    let views = async |value: &str| only(&format!(r#""statistics": {{"viewCount": {value}}}"#)).await.views;
    assert_eq!(views("\"9223372036854775806\"").await, Some(MAX - 1));
    assert_eq!(views("9223372036854775807").await, Some(MAX));
    assert_eq!(views("17").await, Some(17));
    // What observations cannot hold is the highest that they can.
    assert_eq!(views("\"9223372036854775808\"").await, Some(MAX));
    assert_eq!(views("\"18446744073709551615\"").await, Some(MAX));
    for unreadable in ["\"18446744073709551616\"", "\"-1\"", "\"+1\"", "\"\"", "\"many\"", "\"1.5\"", "1.5", "-1", "{}", "true"] {
        assert_eq!(views(unreadable).await, None, "{unreadable}");
    }
}

#[tokio::test]
async fn durations() {
    let duration = async |text: &str| only(&format!(r#""contentDetails": {{"duration": {text}}}"#)).await.duration_seconds;
    let known = [("PT12M34S", 754), ("P0D", 0), ("PT0S", 0), ("P1DT2H", 93_600), ("PT11H55M1S", 42_901), ("P1W", 604_800), ("PT61S", 61)];
    for (text, seconds) in known {
        assert_eq!(duration(&format!("\"{text}\"")).await, Some(seconds), "{text}");
    }
    for bad in ["\"\"", "\"P\"", "\"12:34\"", "\"P1Y\"", "754", "null", "\"-PT5S\"", "\"PT99999999999999999999S\""] {
        assert_eq!(duration(bad).await, None, "{bad}");
    }
}

#[tokio::test]
async fn pages() {
    let fake = Fake::start(|request| {
        json(if request.line.contains("pageToken=CDIQAA") {
            r#"{"kind": "youtube#playlistItemListResponse", "items": [{"contentDetails": {"videoId": "b"}, "status": {"privacyStatus": "private"}},
               {"contentDetails": {"videoId": "a"}}, {"contentDetails": {}}, {}, {"contentDetails": {"videoId": "a/../b"}}], "nextPageToken": ""}"#
        } else {
            r#"{"nextPageToken": "CDIQAA", "items": [{"contentDetails": {"videoId": "a"}, "status": {"privacyStatus": "public"}}]}"#
        })
    });
    let client = client(&fake);
    let item = |id: &str, privacy: Option<&str>| Item { video_id: id.to_owned(), privacy: privacy.map(str::to_owned) };
    let first = client.playlist_items("PL", None).await.unwrap();
    assert_eq!(first, Page { items: vec![item("a", Some("public"))], next: Some("CDIQAA".to_owned()) });
    let last = client.playlist_items("PL", first.next.as_deref()).await.unwrap();
    assert_eq!(last, Page { items: vec![item("b", Some("private")), item("a", None)], next: None });
}

#[tokio::test]
async fn a_list_without_items_is_empty_but_no_other_document_is() {
    let page = async |body: &str| {
        let fake = Fake::saying(json(body));
        client(&fake).playlist_items("PL", None).await
    };
    for empty in [r#"{"items": []}"#, r#"{"kind": "youtube#playlistItemListResponse", "pageInfo": {"totalResults": 0}}"#] {
        assert_eq!(page(empty).await, Ok(Page::default()), "{empty}");
    }
    for other in ["{}", "[]", "null", "\"\"", r#"{"items": 5}"#, r#"{"kind": "youtube#videoListResponse", "items": []}"#] {
        let problem = page(other).await.unwrap_err();
        assert!(matches!(problem, Problem::Garbled { .. }), "{other}: {problem}");
    }
    let fake = Fake::saying(json(r#"{"kind": "youtube#channelListResponse"}"#));
    assert_eq!(client(&fake).channel_by_handle("nobody").await, Ok(None));
}
