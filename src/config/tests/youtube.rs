//! `[youtube]`: what is watched, with which key, and where it is written.

use std::time::Duration;

use super::*;
use crate::youtube::ids::{Channel, Uploads};

const KEY: &str = "AIzaSyCANARY-0123456789abcdefghijklmnop";
const GOOD: &str = "api_key = { env = \"KEY\" }\nplaylists = [\"PLabcdefghijkl\"]";

fn options(variables: &[(&str, &str)]) -> LoadOptions {
    let variables = variables.iter().copied().chain([("CHAT", "1")]);
    LoadOptions { resolve: Resolve::Values, environment: Environment::of(variables), ..LoadOptions::default() }
}

/// The base with these lines of `[youtube]` at its end: they begin in line 21.
fn load(youtube: &str) -> Result<Config, Diagnostics> {
    load_with(youtube, &options(&[("KEY", KEY)]))
}

fn load_with(youtube: &str, options: &LoadOptions) -> Result<Config, Diagnostics> {
    load_text(&SourceFile::new("t.toml", format!("{BASE}[youtube]\n{youtube}\n")), None, options)
}

/// Each fault in a line: place, message, label, hint.
fn list(loaded: Result<Config, Diagnostics>) -> Vec<String> {
    let faults = match loaded {
        Ok(config) => config.warnings().clone(),
        Err(faults) => faults,
    };
    let one = |it: &Diagnostic| {
        let (line, column) = faults.file().position(it.span.as_ref().unwrap().start);
        let parts = [it.message.as_str(), &it.label, it.hint.as_deref().unwrap_or_default()];
        format!("{line}:{column} {}", parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(" | "))
    };
    faults.iter().map(one).collect()
}

fn said(youtube: &str) -> Vec<String> {
    list(load(youtube))
}

/// What is said of these lines beside a key.
fn of_lists(lines: &str) -> Vec<String> {
    said(&format!("api_key = {{ env = \"KEY\" }}\n{lines}"))
}

#[test]
fn a_whole_table() {
    let text = r#"api_key = { env = "KEY" }
playlists = ["https://www.youtube.com/playlist?list=PLabcdefghijkl", "PLother00000000"]
channels = ["UCabcdefghijklmnopqrstuv", "https://www.youtube.com/@x/videos", { channel = "@y", shorts = false, live = true }]
videos = ["https://youtu.be/dQw4w9WgXcQ"]
every = "2m"
quota_per_day = 5000
removed_after = 5
base_url = "http://127.0.0.1:8080/youtube/v3/"
timeout = "5s"
source = "videos""#;
    let config = load(text).unwrap();
    assert!(config.warnings().is_empty(), "{:?}", config.warnings());
    let youtube = config.youtube.as_ref().unwrap();
    assert_eq!(youtube.api_key.expose(), KEY);
    assert_eq!(youtube.playlists, ["PLabcdefghijkl", "PLother00000000"]);
    let channel = |channel, uploads| WatchedChannel { channel, uploads };
    let expected = [
        channel(Channel::Id("UCabcdefghijklmnopqrstuv".to_owned()), Uploads::default()),
        channel(Channel::Handle("x".to_owned()), Uploads::default()),
        channel(Channel::Handle("y".to_owned()), Uploads { videos: true, shorts: false, live: true }),
    ];
    assert_eq!(youtube.channels, expected);
    assert_eq!(youtube.videos, ["dQw4w9WgXcQ"]);
    assert_eq!((youtube.every, youtube.timeout), (Duration::from_secs(120), Duration::from_secs(5)));
    assert_eq!((youtube.quota_per_day, youtube.removed_after), (5_000, 5));
    assert_eq!(youtube.base_url, "http://127.0.0.1:8080/youtube/v3");
    assert_eq!(&*config.youtube_source().unwrap().topic, "youtube_videos");
    let shown = format!("{config:?} {config:#?}");
    assert!(!shown.contains("CANARY"), "{shown}");
}

#[test]
fn what_need_not_be_said() {
    let config = load(GOOD).unwrap();
    let youtube = config.youtube.as_ref().unwrap();
    assert_eq!((youtube.every.as_secs(), youtube.timeout.as_secs()), (600, 20));
    assert_eq!((youtube.quota_per_day, youtube.removed_after), (10_000, 3));
    assert_eq!(youtube.base_url, "https://www.googleapis.com/youtube/v3");
    assert_eq!(&*youtube.source, "videos");
    assert!(offline(BASE).unwrap().youtube.is_none() && offline(BASE).unwrap().youtube_source().is_none());
}

#[test]
fn a_key_that_is_missing() {
    assert_eq!(
        said("playlists = [\"PLabcdefghijkl\"]"),
        ["20:2 [youtube] has no `api_key` | in this table | add `api_key = { env = \"YOUTUBE_API_KEY\" }`"]
    );
    assert_eq!(
        list(load_with(GOOD, &options(&[]))),
        [
            "21:11 the environment variable KEY is not set | comes from outside | make a key at https://console.cloud.google.com/apis/credentials; \
          set it: `export KEY=...`; `check --offline` and `demo` need none"
        ]
    );
    // Offline nothing is read, and for a connection the key is not needed.
    assert_eq!(load_with(GOOD, &LoadOptions::offline()).unwrap().youtube.unwrap().api_key.value(), None);
    let connecting = LoadOptions { environment: Environment::of([]), ..LoadOptions::connecting() };
    assert!(load_with(GOOD, &connecting).is_ok());
}

#[test]
fn a_key_of_another_shape_is_not_shown() {
    let with = |key: &str| list(load_with(GOOD, &options(&[("KEY", key)])));
    let hint = "an API key has 39 characters and begins with AIza; one is made at https://console.cloud.google.com/apis/credentials \
                (\"Create credentials\", \"API key\")";
    assert_eq!(with("CANARY"), [format!("21:11 what KEY holds does not look like an API key | {hint}")]);
    assert!(load_with(GOOD, &options(&[("KEY", "CANARY")])).is_ok(), "a warning: the next kind of keys may look otherwise");
    assert_eq!(
        with("\"AIzaCANARY\""),
        [format!("21:11 `api_key` is no API key | it holds spaces, quotes or other characters that no key has | {hint}")]
    );
    assert!(with("1-CANARY.apps.googleusercontent.com")[0].contains("it is the id of an OAuth client"));
    let literal = said("api_key = \"CANARY\"\nvideos = [\"dQw4w9WgXcQ\"]");
    assert_eq!(literal, [format!("21:11 what stands here does not look like an API key | {hint}")]);
    assert_eq!(said("api_key = \"\"\nvideos = [\"dQw4w9WgXcQ\"]"), [format!("21:11 `api_key` is empty | {hint}")]);
}

#[test]
fn nothing_to_watch() {
    let hint = "add `playlists = [\"https://www.youtube.com/playlist?list=...\"]`, `channels` or `videos`";
    assert_eq!(of_lists(""), [format!("20:2 [youtube] does not say what to watch | in this table | {hint}")]);
    assert_eq!(of_lists("videos = []"), [format!("20:2 [youtube] names nothing to watch | in this table | {hint}")]);
    assert_eq!(
        of_lists("channels = [{ channel = \"@x\", videos = false, shorts = false, live = false }]"),
        ["22:13 nothing of this channel is watched | all three are false | one of `videos`, `shorts` and `live` must be true"]
    );
}

#[test]
fn another_kind_of_id() {
    assert_eq!(
        of_lists("playlists = [\"PLabcdefghijkl\", \"UCabcdefghijklmnopqrstuv\"]\nvideos = [\"PLabcdefghijkl\"]"),
        [
            "22:32 in `playlists`: \"UCabcdefghijklmnopqrstuv\" is a channel | put it under `channels`; the playlist of all its uploads is \
             UUabcdefghijklmnopqrstuv",
            "23:11 in `videos`: \"PLabcdefghijkl\" is a playlist | put it under `playlists`",
        ]
    );
    assert!(of_lists("channels = [\"youtube.com/c/Old\"]")[0].starts_with("22:13 in `channels`: an old address of a channel"));
    assert!(of_lists("playlists = [\"WL\"]")[0].contains("only its owner can read"));
    assert!(of_lists("videos = [\"dQw4w9Wg&cQ\"]")[0].contains("cannot be an id of YouTube's"));
}

#[test]
fn other_types() {
    let example = "channels = [\"@handle\", { channel = \"@other\", shorts = false }]";
    assert_eq!(of_lists("channels = \"@x\""), [format!("22:12 `channels` must be a list, not a string | as in `{example}`")]);
    assert_eq!(
        of_lists("channels = [5]"),
        [format!("22:13 an element of `channels` must be a string or a table, not a whole number | as in `{example}`")]
    );
    assert_eq!(
        of_lists("channels = [{ chanel = \"@x\" }]"),
        ["22:15 a table of `channels` has no key `chanel` | not known here | did you mean `channel`?"]
    );
    assert_eq!(
        of_lists("channels = [{ channel = \"@x\", short = true }]"),
        ["22:31 a table of `channels` has no key `short` | not known here | did you mean `shorts`?"]
    );
    assert_eq!(
        of_lists("channels = [{ channel = \"@x\", live = 1 }]"),
        ["22:38 `live` must be true or false, not a whole number | as in `live = true`"]
    );
    assert!(of_lists("playlists = \"PL\"")[0].starts_with("22:13 `playlists` must be a list of strings"));
    assert_eq!(said(&format!("{GOOD}\nevry = \"1m\"")), ["23:1 [youtube] has no key `evry` | not known here | did you mean `every`?"]);
}

#[test]
fn numbers_and_durations_out_of_range() {
    let line = |line: &str| said(&format!("{GOOD}\n{line}"));
    assert_eq!(line("every = \"0s\""), ["23:9 `every` cannot be 0s | 1s to 1d, as in `every = \"10m\"`"]);
    assert_eq!(line("every = \"2d\""), ["23:9 `every` cannot be 2d | 1s to 1d, as in `every = \"10m\"`"]);
    assert_eq!(
        line("every = \"often\""),
        ["23:9 \"often\" is not a duration | a whole number and one of ms, s, m, h, d, as in `every = \"10m\"`"]
    );
    assert_eq!(line("timeout = \"10m\""), ["23:11 `timeout` cannot be 10m | 1s to 5m, as in `timeout = \"20s\"`"]);
    assert_eq!(line("quota_per_day = 0"), ["23:17 `quota_per_day` cannot be 0 | 1 to 10000000"]);
    assert_eq!(line("removed_after = 101"), ["23:17 `removed_after` cannot be 101 | 1 to 100"]);
}

#[test]
fn addresses() {
    let url = |url: &str| said(&format!("{GOOD}\nbase_url = \"{url}\""));
    let hint = "leave it out, or as in `base_url = \"https://www.googleapis.com/youtube/v3\"`";
    assert_eq!(
        url("googleapis.com"),
        [format!("23:12 `base_url` is no address of an API | it must begin with http:// or https:// | {hint}")]
    );
    assert!(url("https://h/?key=x")[0].contains("without ? and #"));
    assert_eq!(
        url("http://www.googleapis.com/youtube/v3"),
        [format!("23:12 the API key is sent to `base_url` unencrypted | http, and another machine | {hint}")]
    );
}

#[test]
fn what_is_named_twice_is_a_warning() {
    let lists = "playlists = [\"PLabcdefghijkl\", \"youtube.com/playlist?list=PLabcdefghijkl\", \"UULFabcdefghijklmnopqrstuv\"]\n\
                 channels = [\"@X\", { channel = \"@x\", live = false }, \"UCabcdefghijklmnopqrstuv\"]\n\
                 videos = [\"dQw4w9WgXcQ\", \"youtu.be/dQw4w9WgXcQ\"]";
    assert_eq!(
        of_lists(lists),
        [
            "22:32 \"PLabcdefghijkl\" is watched already | second time | leave it out",
            "23:19 \"@x\" is watched already | second time | leave it out",
            "23:53 \"UCabcdefghijklmnopqrstuv\" is watched already | second time | leave it out",
            "24:26 \"dQw4w9WgXcQ\" is watched already | second time | leave it out",
        ]
    );
    assert!(of_lists(lists).len() == 4 && load(&format!("api_key = {{ env = \"KEY\" }}\n{lists}")).is_ok());
    let parts = "channels = [{ channel = \"@x\", shorts = false, live = false }, { channel = \"@x\", videos = false, live = false }]";
    assert_eq!(of_lists(parts), [""; 0], "other parts of the same channel");
}

const SECOND: &str = "[sources.other]\ntopic = \"other\"\nvalue = \"youtube_video\"\nstart = \"earliest\"\n[sources.videos]";

#[test]
fn the_source_that_is_written() {
    let two = |line: &str| {
        let text = BASE.replace("[sources.videos]", SECOND);
        list(load_text(&SourceFile::new("t.toml", format!("{text}[youtube]\n{GOOD}\n{line}\n")), None, &options(&[("KEY", KEY)])))
    };
    let without: Vec<String> = two("").into_iter().filter(|said| said.contains("youtube]")).collect();
    assert_eq!(without, ["24:2 [youtube] must say which source it writes | in this table | add `source = \"other\"`: there are several"]);
    assert!(two("source = \"videos\"").iter().all(|said| !said.contains("youtube]")));
    assert_eq!(said(&format!("{GOOD}\nsource = \"video\"")), ["23:10 there is no source `video` | not declared | did you mean `videos`?"]);
}

/// What is said where the source is declared otherwise.
fn of_source(value: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let schema = |name: &str, fields: &str| {
        let text = format!("{{\"type\": \"record\", \"name\": \"v\", \"fields\": [{fields}]}}");
        std::fs::write(folder.path().join(name), text).unwrap();
    };
    let common = r#"{"name": "title", "type": ["null", "string"]}, {"name": "views", "type": ["null", "long"]},
        {"name": "likes", "type": ["null", "long"]}, {"name": "comments", "type": ["null", "long"]}"#;
    schema("more.avsc", &format!("{common}, {{\"name\": \"mood\", \"type\": \"string\"}}"));
    schema("strict.avsc", &common.replace("[\"null\", \"long\"]", "\"long\""));
    schema("text.avsc", &common.replacen("\"long\"", "\"string\"", 1));
    schema("fewer.avsc", common);
    schema("default.avsc", &format!("{common}, {{\"name\": \"mood\", \"type\": \"string\", \"default\": \"good\"}}"));
    let text = spoilt("value = \"youtube_video\"", value);
    let text = format!("{text}[youtube]\n{GOOD}\n");
    let said = list(load_text(&SourceFile::new("t.toml", text), Some(folder.path()), &options(&[("KEY", KEY)])));
    said.into_iter().filter(|said| said.contains("observations cannot")).collect()
}

#[test]
fn a_source_that_does_not_take_observations() {
    let refused = |value: &str, reason: &str, hint: &str| {
        let line = format!("observations cannot be written to the topic of `videos`: {reason} | writes `videos` | {hint}");
        let said = of_source(value);
        assert!(said.len() == 1 && said[0].ends_with(&line), "{said:?}\n{line}");
    };
    let example = "a source of the schema youtube_video takes them: `value = \"youtube_video\"`";
    let avro = |file: &str| format!("value = {{ format = \"avro\", schema = \"{file}\" }}");
    refused("value = { format = \"json\", schema = \"fewer.avsc\" }", "they are Avro, and it declares JSON", example);
    refused(
        &format!("{}\nkey = \"long\"", avro("fewer.avsc")),
        "their keys are the ids of videos, and it declares keys that are no text",
        example,
    );
    refused(
        &format!("{}\nalias = {{ views = \"VIEWS\" }}", avro("fewer.avsc")),
        "it has aliases, so its records are somebody else's",
        example,
    );
    refused(
        &avro("more.avsc"),
        "the schema more.avsc does not fit: field mood (string) cannot be filled from the row: it has no such field, and the schema has no default",
        example,
    );
    refused(
        &avro("strict.avsc"),
        "the schema strict.avsc does not let views be null, and YouTube may hide it",
        "give views the type [\"null\", ...]",
    );
    assert_eq!(of_source(&avro("text.avsc")).len(), 1);
    assert_eq!(of_source(&avro("fewer.avsc")), [""; 0]);
    assert_eq!(of_source(&avro("default.avsc")), [""; 0]);
}

#[test]
fn the_shipped_schema_takes_every_field_of_an_observation_that_it_has() {
    let schema = crate::avro::Schema::parse(crate::avro::shipped("youtube_video").unwrap()).unwrap();
    let shape = crate::youtube::observation::shape();
    for field in &schema.shape().fields {
        let ours = &shape.fields[shape.index_of(&field.path).unwrap()];
        assert_eq!((&ours.ty, ours.nullable), (&field.ty, true), "{}", field.path);
    }
}
