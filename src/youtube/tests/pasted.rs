//! What people paste, and what becomes of it.

use proptest::prelude::*;

use super::super::ids::{self, Channel, Uploads};

const VIDEO: &str = "dQw4w9WgXcQ";
const LIST: &str = "PLkafkaDemo0000000000000000000000A";
const CHANNEL: &str = "UCkafkaDemoChannel00000A";

fn said<T: std::fmt::Debug>(result: Result<T, ids::Unfit>) -> String {
    let unfit = result.unwrap_err();
    format!("{} | {}", unfit.message, unfit.hint)
}

#[test]
fn a_video_in_all_its_forms() {
    for text in [
        "dQw4w9WgXcQ",
        "  dQw4w9WgXcQ\n",
        "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
        "http://youtube.com/watch?list=PLx&v=dQw4w9WgXcQ&t=42s",
        "youtube.com/watch?v=dQw4w9WgXcQ",
        "https://m.youtube.com/watch?v=dQw4w9WgXcQ#x",
        "https://music.youtube.com/watch?v=dQw4w9WgXcQ&list=RDdQw4w9WgXcQ",
        "https://youtu.be/dQw4w9WgXcQ?si=abc",
        "youtu.be/dQw4w9WgXcQ",
        "https://www.youtube.com/shorts/dQw4w9WgXcQ",
        "https://www.youtube.com/live/dQw4w9WgXcQ?feature=share",
        "https://www.youtube-nocookie.com/embed/dQw4w9WgXcQ",
        "HTTPS://WWW.YouTube.com/watch?v=dQw4w9WgXcQ",
    ] {
        assert_eq!(ids::video(text).as_deref(), Ok(VIDEO), "{text}");
    }
    // Another length than today's is taken as it is.
    assert_eq!(ids::video("abc-DEF_123456").as_deref(), Ok("abc-DEF_123456"));
}

#[test]
fn a_playlist_in_all_its_forms() {
    for text in [
        LIST.to_owned(),
        format!("https://www.youtube.com/playlist?list={LIST}"),
        format!("https://www.youtube.com/watch?v={VIDEO}&list={LIST}&index=2"),
        format!("youtu.be/{VIDEO}?list={LIST}"),
        format!("https://www.youtube.com/embed/videoseries?list={LIST}"),
        format!("music.youtube.com/playlist?list={LIST}&si=x"),
    ] {
        assert_eq!(ids::playlist(&text).as_deref(), Ok(LIST), "{text}");
    }
    for id in ["UUabc", "UULFabcdefghijklmnopqrstuv", "FLabc", "OLAK5uy_abc", "RDCLAK5uy_abc", "PLsimulated", "unknown-kind"] {
        assert_eq!(ids::playlist(id).as_deref(), Ok(id));
    }
}

#[test]
fn a_channel_in_all_its_forms() {
    for text in
        [CHANNEL.to_owned(), format!("https://www.youtube.com/channel/{CHANNEL}"), format!("youtube.com/channel/{CHANNEL}/videos?view=0")]
    {
        assert_eq!(ids::channel(&text), Ok(Channel::Id(CHANNEL.to_owned())), "{text}");
    }
    for (text, name) in [
        ("@kafka.demo", "kafka.demo"),
        ("https://www.youtube.com/@Kafka-Demo_1/shorts", "Kafka-Demo_1"),
        ("youtube.com/@x?si=y", "x"),
        ("https://www.youtube.com/@%E6%97%A5%E6%9C%AC", "日本"),
        ("https://www.youtube.com/@日本", "日本"),
    ] {
        assert_eq!(ids::channel(text), Ok(Channel::Handle(name.to_owned())), "{text}");
    }
    assert_eq!(Channel::Handle("x".to_owned()).to_string(), "@x");
    assert_eq!(Channel::Id("UCx".to_owned()).to_string(), "UCx");
}

#[test]
fn another_kind_is_told_its_place() {
    assert_eq!(
        said(ids::playlist(CHANNEL)),
        "\"UCkafkaDemoChannel00000A\" is a channel | put it under `channels`; the playlist of all its uploads is UUkafkaDemoChannel00000A"
    );
    assert_eq!(said(ids::playlist("@kafka")), "\"@kafka\" is a channel | put it under `channels`");
    assert_eq!(said(ids::playlist(VIDEO)), "\"dQw4w9WgXcQ\" is a video | put it under `videos`");
    assert_eq!(said(ids::playlist("https://youtu.be/dQw4w9WgXcQ")), "\"dQw4w9WgXcQ\" is a video | put it under `videos`");
    assert_eq!(said(ids::video(LIST)), format!("\"{LIST}\" is a playlist | put it under `playlists`"));
    assert_eq!(said(ids::video("youtube.com/playlist?list=PLx")), "\"PLx\" is a playlist | put it under `playlists`");
    assert_eq!(said(ids::video(CHANNEL)), format!("\"{CHANNEL}\" is a channel | put it under `channels`"));
    assert_eq!(said(ids::video("@kafka")), "\"@kafka\" is a channel | put it under `channels`");
    assert_eq!(said(ids::channel(LIST)), format!("\"{LIST}\" is a playlist | put it under `playlists`"));
    assert_eq!(said(ids::channel("youtu.be/dQw4w9WgXcQ")), "\"dQw4w9WgXcQ\" is a video | put it under `videos`");
    assert_eq!(
        said(ids::channel("kafka")),
        "\"kafka\" is no id of a channel | a channel is its id (UC...) or its handle with the @: did you mean \"@kafka\"?"
    );
}

#[test]
fn what_no_key_can_read() {
    for own in ["WL", "https://www.youtube.com/playlist?list=LL", "youtube.com/watch?v=dQw4w9WgXcQ&list=WL"] {
        assert!(said(ids::playlist(own)).contains("is a playlist that only its owner can read"), "{own}");
    }
    assert!(said(ids::playlist("youtube.com/watch?v=a&list=RDdQw4w9WgXcQ&start_radio=1")).contains("is a mix, which no key can read"));
}

#[test]
fn old_addresses_of_channels() {
    for old in ["https://www.youtube.com/c/KafkaDemo", "youtube.com/user/KafkaDemo/videos"] {
        let said = said(ids::channel(old));
        assert!(said.starts_with("an old address of a channel (/c/, /user/) cannot be looked up | open it in a browser"), "{said}");
        assert!(said.contains("@KafkaDemo"), "{said}");
    }
}

#[test]
fn what_names_nothing() {
    assert!(said(ids::video(" ")).starts_with("an empty text names nothing"));
    assert!(said(ids::video("dQw4w9Wg cQ")).starts_with("\"dQw4w9Wg cQ\" cannot be an id of YouTube's"));
    assert!(said(ids::video("https://vimeo.com/watch?v=dQw4w9WgXcQ")).contains("is not an address of YouTube's"));
    assert!(said(ids::video("https://youtube.com.example.org/watch?v=a")).contains("is not an address of YouTube's"));
    assert!(said(ids::video("ftp://youtube.com/watch?v=a")).contains("is neither an id nor an address"));
    assert!(said(ids::video("https://www.youtube.com/watch?v=a%2Fb")).starts_with("\"a/b\" cannot be an id"));
    for nothing in
        ["https://www.youtube.com/", "youtube.com/feed/subscriptions", "youtube.com/results?search_query=x", "youtube.com/KafkaDemo"]
    {
        for said in [said(ids::video(nothing)), said(ids::playlist(nothing)), said(ids::channel(nothing))] {
            assert!(said.contains("names no video, playlist or channel"), "{said}");
        }
    }
    assert!(said(ids::channel("youtube.com/channel/PLx")).starts_with("\"PLx\" is no id of a channel"));
    assert!(said(ids::channel("@a b")).starts_with("\"@a b\" is no handle of a channel"));
}

#[test]
fn the_playlists_of_a_channel() {
    let lists = |videos, shorts, live| Uploads { videos, shorts, live }.lists("UCabc");
    assert_eq!(Uploads::default().lists("UCabc"), ["UUabc"]);
    assert_eq!(lists(true, false, true), ["UULFabc", "UULVabc"]);
    assert_eq!(lists(true, false, false), ["UULFabc"]);
    assert_eq!(lists(false, true, false), ["UUSHabc"]);
    assert_eq!(lists(false, false, true), ["UULVabc"]);
    assert_eq!(Uploads::default().lists("abc"), [""; 0]);
}

proptest! {
    /// Whatever the id, each of its addresses names it.
    #[test]
    fn addresses_name_their_ids(video in "[A-Za-z0-9_-]{11}", list in "PL[A-Za-z0-9_-]{11,40}", rest in "[A-Za-z0-9_-]{18,30}") {
        let hosts = ["https://www.youtube.com", "http://m.youtube.com", "youtube.com", "music.youtube.com"];
        for host in hosts {
            for path in ["watch?v=", "shorts/", "live/", "embed/"] {
                prop_assert_eq!(ids::video(&format!("{host}/{path}{video}")), Ok(video.clone()));
            }
            prop_assert_eq!(ids::playlist(&format!("{host}/watch?v={video}&list={list}")), Ok(list.clone()));
            prop_assert_eq!(ids::playlist(&format!("{host}/playlist?list={list}")), Ok(list.clone()));
            let channel = Channel::Id(format!("UC{rest}"));
            prop_assert_eq!(ids::channel(&format!("{host}/channel/UC{rest}")), Ok(channel.clone()));
            prop_assert_eq!(ids::channel(&format!("UC{rest}")), Ok(channel));
        }
        prop_assert_eq!(ids::playlist(&list), Ok(list.clone()));
        let misplaced = ids::playlist(&format!("UC{rest}"));
        prop_assert!(ids::video(&list).is_err() && ids::channel(&list).is_err() && misplaced.is_err());
    }

    /// Whatever is pasted, what comes out can go into a URL, and what is said about the rest is one line.
    #[test]
    fn nothing_else_gets_through(text in prop_oneof![".*", "(https?://)?(www\\.)?youtu(be\\.com|\\.be)/[ -~é\n]{0,40}", "@.{0,8}"]) {
        let one_line = |unfit: &ids::Unfit| !unfit.to_string().contains(char::is_control) && !unfit.hint.contains(char::is_control);
        for found in [ids::video(&text), ids::playlist(&text)] {
            prop_assert!(found.as_ref().map_or_else(one_line, |id| ids::is_id(id)), "{found:?}");
        }
        let fits = |channel: &Channel| match channel {
            Channel::Id(id) => ids::is_id(id) && id.starts_with("UC"),
            Channel::Handle(name) => ids::is_handle(name),
        };
        let found = ids::channel(&text);
        prop_assert!(found.as_ref().map_or_else(one_line, fits), "{found:?}");
    }
}
