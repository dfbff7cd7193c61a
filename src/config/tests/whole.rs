//! The shipped file at work, from bytes to bytes: the production runtime on the in-memory log.

use std::sync::Arc;

use super::*;
use crate::avro::{EmbeddedRegistry, Encoder, Registry, Row, Schema, Value, shipped as schema_text, to_json, wire};
use crate::streams::clock::{ManualClock, Timestamp};
use crate::streams::log::local::LocalLog;
use crate::streams::log::{Headers, HeadersBuf, Log};
use crate::streams::runtime::MemoryBackend;
use crate::streams::testing::{TestRecord, TopologyTestDriver};

struct Whole {
    driver: TopologyTestDriver,
    registry: Arc<dyn Registry>,
    schema: Schema,
    minute: i64,
}

impl Whole {
    fn start() -> Self {
        Self::of(SHIPPED)
    }

    fn of(text: &str) -> Self {
        let log: Arc<dyn Log> = LocalLog::in_memory();
        let registry: Arc<dyn Registry> = Arc::new(EmbeddedRegistry::open(Arc::clone(&log), Arc::new(ManualClock::default())).unwrap());
        let loaded = load_text(&SourceFile::new("t.toml", text), None, &LoadOptions::offline());
        let config = loaded.unwrap_or_else(|faults| panic!("{}", faults.render(Style::Plain)));
        assert_eq!(config.warnings().render(Style::Plain), "");
        let topology = build(&config, Arc::clone(&registry)).unwrap();
        let options = config.runtime_options("test");
        let driver = TopologyTestDriver::with(Arc::new(topology), log, Arc::new(MemoryBackend::default()), options).unwrap();
        Self { driver, registry, schema: Schema::parse(schema_text("youtube_video").unwrap()).unwrap(), minute: 0 }
    }

    fn observe(&mut self, title: &str, views: i64, likes: Option<i64>, comments: i64) {
        let likes = likes.map_or(Value::Null, Value::Long);
        self.observe_as(
            "video",
            &[
                ("title", Value::String(title.to_owned())),
                ("views", Value::Long(views)),
                ("likes", likes),
                ("comments", Value::Long(comments)),
            ],
        );
    }

    fn observe_as(&mut self, video: &str, values: &[(&str, Value)]) {
        let shape = self.schema.shape();
        let mut row = Row::of(shape);
        for (path, value) in values.iter().cloned() {
            row.values[shape.index_of(path).unwrap()] = value;
        }
        let id = self.registry.register("youtube_videos-value", &self.schema).unwrap();
        let mut bytes = Vec::new();
        wire::prefix(id, &mut bytes);
        Encoder::compile(&self.schema, shape).unwrap().encode(&row, Some(video.as_bytes()), &mut bytes).unwrap();
        self.minute += 1;
        self.driver.pipe("youtube_videos", Some(video.as_bytes()), Some(&bytes), Timestamp(self.minute * 60_000)).unwrap();
    }

    fn remove(&mut self, video: &str, reason: Option<&str>) {
        let mut headers = HeadersBuf::default();
        if let Some(reason) = reason {
            headers.push("reason", Some(reason.as_bytes()));
        }
        self.minute += 1;
        let (key, at) = (Some(video.as_bytes()), Timestamp(self.minute * 60_000));
        self.driver.pipe_with("youtube_videos", key, None, headers.as_headers(), at).unwrap();
    }

    fn texts(&mut self) -> Vec<String> {
        self.read("telegram_outbox").into_iter().map(|(_, value)| value["text"].as_str().unwrap().to_owned()).collect()
    }

    fn read(&mut self, topic: &str) -> Vec<(Vec<u8>, serde_json::Value)> {
        let decode = |record: TestRecord| {
            let value = record.value.unwrap();
            let (key, body) = wire::split(&value, Headers::EMPTY).unwrap();
            let schema = self.registry.lookup(key).unwrap().unwrap();
            (record.key.unwrap(), to_json(&schema, body).unwrap())
        };
        self.driver.read(topic).unwrap().into_iter().map(decode).collect()
    }
}

#[test]
fn observations_become_changes_and_messages() {
    let mut whole = Whole::start();
    whole.observe("A & <B> \"\u{1f600}\"", 190, Some(412), 7);
    assert!(whole.read("youtube_changes").is_empty(), "the first sight is no change");
    whole.observe("A & <B> \"\u{1f600}\"", 650, Some(415), 7);
    whole.observe("A & <B> \"\u{1f600}\"", 640, None, 8);
    whole.observe("A & <B> \"\u{1f600}\"", 640, Some(415), 8);
    let changes = whole.read("youtube_changes");
    assert_eq!(changes.len(), 2, "likes that are hidden and come back as they were are no change");
    assert_eq!(changes[0].0, b"video");
    insta::assert_snapshot!(serde_json::to_string_pretty(&changes[0].1).unwrap(), @r#"
    {
      "changed": [
        "views",
        "likes"
      ],
      "comments_current": 7,
      "comments_previous": 7,
      "likes_current": 415,
      "likes_previous": 412,
      "observed_at_current": 120000,
      "observed_at_previous": 60000,
      "removed": false,
      "removed_reason": null,
      "title": "A & <B> \"😀\"",
      "title_current": "A & <B> \"😀\"",
      "title_previous": "A & <B> \"😀\"",
      "video_id": "video",
      "views_current": 650,
      "views_previous": 190
    }
    "#);
    let messages = whole.read("telegram_outbox");
    assert!(messages.iter().all(|(key, value)| key == b"TELEGRAM_CHAT_ID" && value["chat_id"] == "TELEGRAM_CHAT_ID"));
    let texts: Vec<&str> = messages.iter().map(|(_, value)| value["text"].as_str().unwrap()).collect();
    assert_eq!(
        texts,
        [
            "Likes changed: 412 => 415. A & <B> \"\u{1f600}\"",
            "Views changed: 190 => 650. A & <B> \"\u{1f600}\"",
            "Comments changed: 7 => 8. A & <B> \"\u{1f600}\"",
        ]
    );
    assert_eq!(whole.driver.store("changes").len(), 1);
}

#[test]
fn bytes_that_are_no_value_become_a_dead_letter_and_the_rest_goes_on() {
    let mut whole = Whole::start();
    whole.observe("A", 1, Some(1), 1);
    whole.driver.pipe("youtube_videos", Some(b"video"), Some(b"\x07nonsense"), Timestamp(1)).unwrap();
    whole.observe("A", 1, Some(2), 1);
    assert_eq!(whole.read("youtube_changes").len(), 1);
    let dead = whole.driver.read("youtube-changes-dead-letters").unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].value.as_deref(), Some(&b"\x07nonsense"[..]));
}

/// A file with what is commented out in it in force: tables, keys and items of lists, but no prose.
fn uncommented(text: &str) -> String {
    let is_toml = |line: &str| {
        let is_key = |(key, _): (&str, &str)| !key.trim().is_empty() && !key.trim().contains(' ');
        line.starts_with(['[', '"']) || line.split_once('=').is_some_and(is_key)
    };
    let line = |line: &str| match line.trim_start().strip_prefix("# ") {
        Some(rest) if is_toml(rest) => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn what_is_commented_out_works_without_its_marks() {
    let (rules, rest) = SHIPPED.split_once("# --- the ends").unwrap();
    let mut whole = Whole::of(&(uncommented(rules) + "#" + rest));
    let text = |text: &str| Value::String(text.to_owned());
    whole.observe_as("a1", &[("title", text("One"))]);
    whole.observe_as("b2", &[("title", text("Two")), ("appeared", text("new"))]);
    assert_eq!(whole.texts(), ["New: Two https://youtu.be/b2"], "what was there at first is not new");
    whole.observe_as("a1", &[("title", text("One & <only>"))]);
    assert_eq!(whole.texts(), ["<s>One</s> is now <a href=\"https://youtu.be/a1\">One &amp; &lt;only&gt;</a>"]);
    whole.remove("a1", Some("private"));
    whole.remove("b2", None);
    assert_eq!(whole.texts(), ["Removed (private): One & <only>", "Removed (no reason given): Two"]);
    whole.observe_as("a1", &[("title", text("One")), ("appeared", text("restored"))]);
    assert_eq!(whole.texts(), ["Back again: One https://youtu.be/a1"]);
    let reasons: Vec<_> = whole.read("youtube_changes").into_iter().map(|(_, change)| change["removed_reason"].clone()).collect();
    assert_eq!(reasons, [serde_json::Value::Null, "private".into(), serde_json::Value::Null]);
}

#[test]
fn the_ends_and_all_settings_are_read_without_their_marks_too() {
    let loaded = load_text(&SourceFile::new("t.toml", uncommented(SHIPPED)), None, &LoadOptions::offline());
    let config = loaded.unwrap_or_else(|faults| panic!("{}", faults.render(Style::Plain)));
    let (youtube, telegram) = (config.youtube.as_ref().unwrap(), config.telegram.as_ref().unwrap());
    assert_eq!((youtube.playlists.len(), youtube.channels.len(), youtube.videos.len()), (1, 2, 1));
    assert_eq!((&*telegram.outbox, telegram.chats.len()), ("telegram_outbox", 1));
    assert!(config.kafka.is_some());
    // What is shown with its default is its default.
    let mut plain = SHIPPED.to_owned();
    plain += "[youtube]\napi_key = { env = \"K\" }\nplaylists = [\"PL0\"]\n[telegram]\ntoken = { env = \"T\" }\n";
    let plain = load_text(&SourceFile::new("t.toml", plain), None, &LoadOptions::offline()).unwrap();
    let settings = |config: &Config| {
        let (youtube, telegram) = (config.youtube.as_ref().unwrap(), config.telegram.as_ref().unwrap());
        let of_youtube = (youtube.every, youtube.quota_per_day, youtube.removed_after, youtube.timeout, youtube.source.to_string());
        (of_youtube, (telegram.on_unknown, telegram.remember, telegram.timeout, telegram.limits), config.engine.clone())
    };
    assert_eq!(settings(&config), settings(&plain));
}
