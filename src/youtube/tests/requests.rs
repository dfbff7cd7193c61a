//! What is sent: the three requests, the key, and what is not sent at all.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

const EMPTY: &str = r#"{"kind": "youtube#videoListResponse", "items": []}"#;

fn lines(fake: &Fake) -> Vec<String> {
    fake.seen().into_iter().map(|request| request.line).collect()
}

#[tokio::test]
async fn a_page_of_a_playlist() {
    let fake = Fake::saying(json(r#"{"items": []}"#));
    let client = client(&fake);
    client.playlist_items("PLa-b_c", None).await.unwrap();
    client.playlist_items("PLa-b_c", Some("a b&key=é")).await.unwrap();
    let first = "GET /youtube/v3/playlistItems?prettyPrint=false&part=contentDetails,status\
                 &fields=kind,nextPageToken,items(contentDetails/videoId,status/privacyStatus)&maxResults=50&playlistId=PLa-b_c";
    assert_eq!(lines(&fake), [first.to_owned(), format!("{first}&pageToken=a%20b%26key%3D%C3%A9")]);
}

#[tokio::test]
async fn videos_by_their_ids() {
    let fake = Fake::saying(json(EMPTY));
    let client = client(&fake);
    let ids: Vec<String> = (0..IDS_MAX).map(|number| format!("id-{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    client.videos(&ids).await.unwrap();
    let sent = lines(&fake);
    let fields = "kind,items(id,snippet(title,channelId,channelTitle,publishedAt,liveBroadcastContent),\
                  statistics(viewCount,likeCount,commentCount),contentDetails/duration,status/privacyStatus)";
    let part = "snippet,statistics,contentDetails,status";
    assert_eq!(sent, [format!("GET /youtube/v3/videos?prettyPrint=false&part={part}&fields={fields}&id={}", ids.join(","))]);
    // Nothing is asked where nothing is wanted, or more than may be.
    assert_eq!(client.videos(&[]).await, Ok(Vec::new()));
    let more: Vec<&str> = ids.iter().copied().chain(["one-more"]).collect();
    assert_eq!(client.videos(&more).await.unwrap_err().to_string(), "\"51 ids\" is more than videos.list takes");
    assert_eq!(lines(&fake), [""; 0]);
}

#[tokio::test]
async fn a_channel_by_its_handle() {
    let fake = Fake::saying(json(r#"{"items": [{"id": "UCabc", "snippet": {"title": "Kafka Demo"}}]}"#));
    let client = client(&fake);
    let found = client.channel_by_handle("@kafka.demo").await.unwrap();
    assert_eq!(found, Some(ChannelInfo { id: "UCabc".to_owned(), title: Some("Kafka Demo".to_owned()) }));
    client.channel_by_handle("日本").await.unwrap();
    let of = |handle: &str| {
        format!("GET /youtube/v3/channels?prettyPrint=false&part=snippet&fields=kind,items(id,snippet/title)&forHandle={handle}")
    };
    assert_eq!(lines(&fake), [of("kafka.demo"), of("%E6%97%A5%E6%9C%AC")]);
}

#[tokio::test]
async fn an_id_that_is_none_goes_nowhere() {
    let fake = Fake::saying(json(EMPTY));
    let client = client(&fake);
    for bad in ["", "a/b", "a?key=x", "a,b", "../x", "ä", &"a".repeat(200)] {
        let problem = client.playlist_items(bad, None).await.unwrap_err();
        assert_eq!(problem.action(), Action::SkipList, "{problem}");
        assert!(matches!(client.videos(&["good", bad]).await, Err(Problem::Unfit { .. })), "{bad}");
    }
    assert!(matches!(client.channel_by_handle("a b").await, Err(Problem::Unfit { .. })));
    assert_eq!(lines(&fake), [""; 0]);
}

#[tokio::test]
async fn the_key_is_in_its_header_and_nowhere_else() {
    let fake = Fake::saying(json(EMPTY));
    client(&fake).videos(&["a"]).await.unwrap();
    let [request] = fake.seen().try_into().unwrap();
    assert!(request.headers.contains(&format!("x-goog-api-key: {CANARY}\r\n")), "{}", request.headers);
    assert_eq!(request.headers.matches(CANARY).count(), 1);
    assert!(!request.line.contains(CANARY) && !request.line.contains("key="), "{}", request.line);
    assert!(!request.headers.to_ascii_lowercase().contains("if-none-match"));
}

#[tokio::test]
async fn answers_are_compressed() {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(br#"{"items": [{"id": "packed"}]}"#).unwrap();
    let packed = packed.finish().unwrap();
    let fake = Fake::saying(Answer::Of(200, "content-encoding: gzip\r\n".to_owned(), packed));
    let videos = client(&fake).videos(&["packed"]).await.unwrap();
    assert_eq!(videos[0].id, "packed");
    let headers = fake.seen().remove(0).headers;
    assert!(headers.contains("accept-encoding: gzip\r\n"), "{headers}");
    // Google asks for the word in the name too.
    assert!(headers.contains("user-agent: tidewatch/test (gzip)\r\n"), "{headers}");
}

#[test]
fn settings_that_no_client_can_be_made_of() {
    let with = |change: fn(&mut Options)| {
        let mut options = options("https://www.googleapis.com/youtube/v3".to_owned());
        change(&mut options);
        Client::new(&options).map(drop)
    };
    assert_eq!(with(|_| ()), Ok(()));
    let bad: [fn(&mut Options); 6] = [
        |options| options.base_url = "youtube".to_owned(),
        |options| options.base_url = "ftp://youtube".to_owned(),
        |options| options.base_url = format!("https://{CANARY}@host"),
        |options| options.base_url = format!("https://host/?key={CANARY}"),
        |options| options.base_url = format!("https://host/#{CANARY}"),
        |options| options.api_key = format!("{CANARY}\n").into(),
    ];
    for change in bad {
        let problem = with(change).unwrap_err();
        assert_eq!(problem.action(), Action::Fatal);
        assert!(!format!("{problem} {problem:?}").contains(CANARY), "{problem}");
    }
}
