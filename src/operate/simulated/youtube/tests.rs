//! That the service answers as the reference of the YouTube Data API v3 says, over real HTTP.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::streams::clock::Timestamp;

const KEY: &str = "AIzaSimulated";
const START: Timestamp = Timestamp(1_786_028_400_000);

struct Scene {
    youtube: YouTube,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Scene {
    fn new(units_per_day: u64, faults: Faults) -> Self {
        let options = Options { api_key: KEY.to_owned(), units_per_day, faults };
        let youtube = YouTube::start(Channel::new(7, START), options).unwrap();
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { youtube, client, runtime }
    }

    fn ask_with(&self, key: Option<&str>, target: &str) -> reqwest::Result<(u16, String)> {
        let mut request = self.client.get(format!("{}/{target}", self.youtube.base_url()));
        if let Some(key) = key {
            request = request.header("X-Goog-Api-Key", key);
        }
        self.runtime.block_on(async {
            let answer = request.send().await?;
            Ok((answer.status().as_u16(), answer.text().await?))
        })
    }

    /// Status and document.
    fn ask(&self, target: &str) -> (u16, Value) {
        let (status, text) = self.ask_with(Some(KEY), target).unwrap();
        (status, serde_json::from_str(&text).unwrap())
    }

    fn good(&self, target: &str) -> Value {
        let (status, document) = self.ask(target);
        assert_eq!(status, 200, "{target}: {document}");
        document
    }

    /// Status and reason of a refusal.
    fn refused(&self, target: &str) -> (u16, String) {
        let (status, document) = self.ask(target);
        (status, document["error"]["errors"][0]["reason"].as_str().unwrap_or_default().to_owned())
    }

    /// All pages of a list.
    fn pages(&self, playlist: &str, page: usize) -> Vec<Value> {
        let mut items = Vec::new();
        let mut token = String::new();
        loop {
            let list = self.good(&format!(
                "playlistItems?part=snippet,contentDetails,status&playlistId={playlist}&maxResults={page}&pageToken={token}"
            ));
            items.extend(list["items"].as_array().unwrap().iter().cloned());
            match list["nextPageToken"].as_str() {
                Some(next) => token = next.to_owned(),
                None => return items,
            }
        }
    }
}

fn calm() -> Scene {
    Scene::new(1_000_000, Faults::none())
}

fn ids(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["contentDetails"]["videoId"].as_str().unwrap()).collect()
}

#[test]
fn a_list_is_read_page_by_page_and_holds_a_video_twice() {
    let scene = calm();
    let items = scene.pages(PLAYLIST, 5);
    assert_eq!(items.len(), 13);
    assert_eq!(scene.youtube.units(), 3);
    let places: Vec<u64> = items.iter().map(|item| item["snippet"]["position"].as_u64().unwrap()).collect();
    assert_eq!(places, (0..13).collect::<Vec<_>>());
    let different: BTreeSet<_> = ids(&items).into_iter().collect();
    assert_eq!((different.len(), ids(&items)[0]), (12, ids(&items)[12]));
    assert_ne!(items[0]["id"], items[12]["id"]);
    assert_eq!(items[0]["status"], json!({"privacyStatus": "public"}));
    // Where nothing else is said a page holds five, and not what no part was asked for.
    let list = scene.good(&format!("playlistItems?part=contentDetails&playlistId={PLAYLIST}"));
    assert_eq!(list["items"].as_array().unwrap().len(), 5);
    assert_eq!(list["items"][0].as_object().unwrap().keys().collect::<Vec<_>>(), ["contentDetails", "etag", "id", "kind"]);
    let list = scene.good(&format!("playlistItems?part=contentDetails,status&playlistId={PLAYLIST}&maxResults=50&fields=nextPageToken,items(contentDetails/videoId,status/privacyStatus)"));
    assert_eq!(list["items"][3]["status"], json!({"privacyStatus": "public"}));
    assert_eq!(list.as_object().unwrap().keys().collect::<Vec<_>>(), ["items"]);
}

#[test]
fn ten_minutes_pass_with_the_first_page_of_the_list_that_was_asked_for_first() {
    let scene = calm();
    let counts = || scene.good(&format!("channels?part=statistics&id={CHANNEL_ID}"))["items"][0]["statistics"]["viewCount"].clone();
    let before = counts();
    scene.pages(PLAYLIST, 5);
    scene.pages(&format!("UU{}", &CHANNEL_ID[2..]), 50);
    assert_eq!(counts(), before);
    scene.pages(PLAYLIST, 5);
    assert_ne!(counts(), before);
    assert_eq!(scene.youtube.state.lock().channel.now(), Timestamp(START.0 + 600_000));
}

#[test]
fn videos_have_counters_as_text_and_hidden_likes_are_absent() {
    let scene = calm();
    let all = ids(&scene.pages(PLAYLIST, 50)).join(",");
    let target = format!("videos?part=snippet,statistics,contentDetails,status&id={all},gone_______A");
    let list = scene.good(&target);
    let items = list["items"].as_array().unwrap();
    assert_eq!((items.len(), scene.youtube.observations()), (12, 12));
    for video in items {
        for name in ["viewCount", "likeCount", "commentCount"] {
            video["statistics"][name].as_str().unwrap().parse::<u64>().unwrap();
        }
        assert!(video["contentDetails"]["duration"].as_str().unwrap().starts_with("PT"));
        assert_eq!((&video["snippet"]["liveBroadcastContent"], &video["status"]["privacyStatus"]), (&json!("none"), &json!("public")));
    }
    // The script hides the third's likes with the sixth poll.
    for _ in 1..6 {
        scene.good(&format!("playlistItems?part=id&playlistId={PLAYLIST}"));
    }
    let list = scene.good(&target);
    let hidden = list["items"].as_array().unwrap().iter().filter(|video| video["statistics"].get("likeCount").is_none());
    assert_eq!(hidden.map(|video| &video["snippet"]["title"]).collect::<Vec<_>>(), ["🚀 Launch day! 🎉"]);
    let events: Vec<String> = scene.youtube.take_events().iter().map(ToString::to_string).collect();
    assert_eq!(events, ["takes off: Exactly once, explained in 12 minutes", "likes are hidden now: 🚀 Launch day! 🎉"]);
    assert_eq!(scene.youtube.take_events(), []);
}

#[test]
fn a_private_video_keeps_its_place_in_the_list_and_nothing_else() {
    let scene = calm();
    let before = scene.pages(PLAYLIST, 50);
    let id = ids(&before)[7];
    for _ in 1..11 {
        scene.good(&format!("playlistItems?part=id&playlistId={PLAYLIST}"));
    }
    let after = scene.pages(PLAYLIST, 50);
    assert_eq!(ids(&after)[7], id);
    assert_eq!(after[7]["status"], json!({"privacyStatus": "private"}));
    assert_eq!(after[7]["contentDetails"], json!({"videoId": id}));
    let snippet = &after[7]["snippet"];
    assert_eq!((&snippet["title"], &snippet["thumbnails"]), (&json!("Private video"), &json!({})));
    assert_eq!(snippet.get("videoOwnerChannelId"), None);
    assert_eq!(scene.good(&format!("videos?part=snippet&id={id}"))["items"], json!([]));
    assert!(!ids(&scene.pages(&format!("UU{}", &CHANNEL_ID[2..]), 50)).contains(&id));
}

#[test]
fn a_channel_is_found_by_its_handle() {
    let scene = calm();
    for target in ["channels?part=id&forHandle=@TideWatchTidings", "channels?part=id&forHandle=tidewatchtidings"] {
        assert_eq!(scene.good(target)["items"][0]["id"], CHANNEL_ID);
    }
    assert_eq!(scene.good("channels?part=id&forHandle=@nobody").get("items"), None);
    let uploads = scene.good(&format!("channels?part=contentDetails&id={CHANNEL_ID}"));
    let uploads = uploads["items"][0]["contentDetails"]["relatedPlaylists"]["uploads"].as_str().unwrap();
    assert_eq!(scene.pages(uploads, 50).len(), 12);
}

#[test]
fn what_is_wrong_is_refused_with_its_reason() {
    let scene = calm();
    let list = format!("playlistItems?part=id&playlistId={PLAYLIST}");
    let many = ["aaaaaaaaaaA"; 51].join(",");
    let cases = [
        (format!("playlistItems?part=id&playlistId={CHANNEL_ID}"), 404, "playlistNotFound"),
        ("playlistItems?part=id".to_owned(), 400, "missingRequiredParameter"),
        (format!("playlistItems?playlistId={PLAYLIST}"), 400, "required"),
        (format!("{list}&maxResults=51"), 400, "invalidParameter"),
        (format!("{list}&pageToken=x"), 400, "invalidPageToken"),
        (format!("{list}&fields=items("), 400, "invalidParameter"),
        ("videos?part=id".to_owned(), 400, "missingRequiredParameter"),
        (format!("videos?part=id&id={many}"), 400, "invalidFilters"),
        ("channels?part=id".to_owned(), 400, "missingRequiredParameter"),
        ("search?part=id".to_owned(), 404, "notFound"),
    ];
    for (target, status, reason) in &cases {
        assert_eq!(scene.refused(target), (*status, (*reason).to_owned()), "{target}");
    }
    assert_eq!(scene.youtube.units(), cases.len() as u64, "what is refused costs a unit");
    let refused = |key| {
        let (status, text) = scene.ask_with(key, &list).unwrap();
        (status, serde_json::from_str::<Value>(&text).unwrap())
    };
    let (status, document) = refused(Some("another"));
    assert_eq!((status, &document["error"]["details"][0]["reason"]), (400, &json!("API_KEY_INVALID")));
    let (status, document) = refused(None);
    assert_eq!((status, &document["error"]["errors"][0]["reason"]), (403, &json!("forbidden")));
    scene.good(&list.replace("part=", &format!("key={KEY}&part=")));
}

#[test]
fn the_units_of_a_day_run_out() {
    let scene = Scene::new(2, Faults::none());
    let list = format!("playlistItems?part=id&playlistId={PLAYLIST}");
    scene.good(&list);
    scene.good(&list);
    assert_eq!(scene.refused(&list), (403, "quotaExceeded".to_owned()));
    scene.youtube.refill();
    scene.good(&list);
}

#[test]
fn faults_come_as_planned() {
    let list = format!("playlistItems?part=id&playlistId={PLAYLIST}&maxResults=50");
    let scene = Scene::new(1_000_000, Faults::scripted([(1, Fault::Internal), (2, Fault::TooMany { retry_after: 1 })]));
    assert_eq!(scene.refused(&list), (500, "backendError".to_owned()));
    assert_eq!(scene.refused(&list), (429, "rateLimitExceeded".to_owned()));
    scene.good(&list);
    scene.youtube.push_faults([Fault::BadGateway, Fault::ResetBefore, Fault::CutBody, Fault::SlowBody(Duration::from_millis(40))]);
    let (status, text) = scene.ask_with(Some(KEY), &list).unwrap();
    assert!(status == 502 && text.starts_with("<html>"), "{text}");
    assert!(scene.ask_with(Some(KEY), &list).unwrap_err().is_request());
    assert_eq!(scene.youtube.state.lock().channel.now(), START);
    scene.ask_with(Some(KEY), &list).unwrap_err();
    assert_eq!(scene.youtube.state.lock().channel.now(), Timestamp(START.0 + 600_000), "a cut answer belongs to a request that was taken");
    scene.good(&list);
}

#[test]
fn answers_are_compressed_for_those_who_read_that() {
    let scene = calm();
    let url = format!("{}/playlistItems?part=snippet&maxResults=50&playlistId={PLAYLIST}", scene.youtube.base_url());
    let plain = reqwest::Client::builder().no_proxy().gzip(false).build().unwrap();
    let (coding, body) = scene.runtime.block_on(async {
        let answer = plain.get(url).header("X-Goog-Api-Key", KEY).header("Accept-Encoding", "gzip").send().await.unwrap();
        (answer.headers()["content-encoding"].clone(), answer.bytes().await.unwrap())
    });
    assert_eq!((coding.to_str().unwrap(), &body[..2]), ("gzip", &[0x1f, 0x8b][..]));
}
