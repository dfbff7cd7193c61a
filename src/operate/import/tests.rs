//! That a file arrives once, whatever happens.

use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::avro::{EmbeddedRegistry, KeyFormat, Schema, shipped};
use crate::config::ValueFormat;
use crate::operate::tap;
use crate::streams::clock::ManualClock;
use crate::streams::log::local::LocalLog;
use crate::streams::log::{Headers, Isolation, TopicConfig, TopicPartition};
use crate::streams::runtime::dead_letter_topic;

struct Fixture {
    folder: tempfile::TempDir,
    log: Arc<LocalLog>,
    registry: EmbeddedRegistry,
    target: Target,
}

/// Stops after so many commits; keeps what it was told.
#[derive(Default)]
struct Watcher {
    commits_max: Option<usize>,
    commits: Vec<u64>,
    bad: Vec<(u64, String)>,
}

impl Watch for Watcher {
    fn bad_row(&mut self, line: u64, fault: &Fault) {
        self.bad.push((line, fault.to_string()));
    }

    fn committed(&mut self, rows: u64) {
        self.commits.push(rows);
    }

    fn stop(&self) -> bool {
        self.commits_max.is_some_and(|max| self.commits.len() >= max)
    }
}

impl Fixture {
    fn new() -> Self {
        let log = LocalLog::in_memory();
        let registry = EmbeddedRegistry::open(Arc::<LocalLog>::clone(&log), Arc::new(ManualClock::default())).unwrap();
        let schema = Schema::parse(shipped("youtube_video").unwrap()).unwrap();
        let target =
            Target { application_id: "app".into(), topic: "videos".into(), schema, format: ValueFormat::Avro, key: KeyFormat::String };
        for topic in ["videos", &dead_letter_topic("app")] {
            log.admin().create_topic(topic, &TopicConfig::keep(2)).unwrap();
        }
        Self { folder: tempfile::tempdir().unwrap(), log, registry, target }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn import(&self, path: &Path, watcher: &mut Watcher) -> Result<Outcome, Error> {
        let import = Import { log: &*self.log, registry: &self.registry, target: &self.target, path };
        import.run(Box::new(|_| ()), watcher)
    }

    fn records(&self, topic: &str) -> Vec<tap::Tapped> {
        let request = tap::Request { topic: topic.to_owned(), from: tap::From::Earliest, key: None, follow: false };
        let mut records = Vec::new();
        let mut emit = |record| {
            records.push(record);
            std::ops::ControlFlow::Continue(())
        };
        tap::tap(&*self.log, &self.registry, &request, &|| false, &mut emit).unwrap();
        records
    }
}

fn rows(count: u64) -> String {
    use std::fmt::Write as _;
    (0..count).fold("observed_at,video_id,views\n".to_owned(), |mut text, row| {
        writeln!(text, "{row},v{},{row}", row % 7).unwrap();
        text
    })
}

fn counts(observations: u64, bad_rows: u64) -> Counts {
    Counts { observations, bad_rows }
}

#[test]
fn rows_become_records_under_their_video_with_their_time() {
    let fixture = Fixture::new();
    let path = fixture.file("a.csv", "observed_at,video_id,views,likes,title\n2026-08-06T10:00:00Z,v1,5,,\"a <b>\"\n");
    let outcome = fixture.import(&path, &mut Watcher::default()).unwrap();
    assert_eq!(outcome, Outcome { before: counts(0, 0), now: counts(1, 0), complete: true });
    let [record] = fixture.records("videos").try_into().unwrap();
    assert_eq!((record.key.as_deref(), record.time.as_str()), (Some("v1"), "2026-08-06T10:00:00Z"));
    assert_eq!(record.value["title"], "a <b>");
    assert_eq!(record.value["views"], 5);
    assert_eq!(record.value["likes"], serde_json::Value::Null);
}

#[test]
fn an_import_that_was_stopped_goes_on_where_it_was() {
    let fixture = Fixture::new();
    let path = fixture.file("a.csv", &rows(12_000));
    let mut stopped = Watcher { commits_max: Some(1), ..Watcher::default() };
    let outcome = fixture.import(&path, &mut stopped).unwrap();
    assert_eq!(outcome, Outcome { before: counts(0, 0), now: counts(5_000, 0), complete: false });
    let mut watcher = Watcher::default();
    let outcome = fixture.import(&path, &mut watcher).unwrap();
    assert_eq!(outcome, Outcome { before: counts(5_000, 0), now: counts(7_000, 0), complete: true });
    assert_eq!(watcher.commits, [10_000, 12_000]);
    let mut seen: Vec<i64> = fixture.records("videos").iter().map(|record| record.timestamp_ms).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..12_000).collect::<Vec<_>>());
}

#[test]
fn the_same_content_under_another_name_appends_nothing() {
    let fixture = Fixture::new();
    let text = rows(5_000);
    fixture.import(&fixture.file("a.csv", &text), &mut Watcher::default()).unwrap();
    let outcome = fixture.import(&fixture.file("b.csv", &text), &mut Watcher::default()).unwrap();
    assert_eq!(outcome, Outcome { before: counts(5_000, 0), now: counts(0, 0), complete: true });
    assert_eq!(fixture.records("videos").len(), 5_000);
}

#[test]
fn a_bad_row_goes_to_the_dead_letters_with_its_place_and_reason() {
    let fixture = Fixture::new();
    let path = fixture.file("a.csv", "observed_at,video_id,views\n1,v,1\n7,v,many\n9,v,3\n");
    let mut watcher = Watcher::default();
    let outcome = fixture.import(&path, &mut watcher).unwrap();
    assert_eq!(outcome.now, counts(2, 1));
    assert_eq!(watcher.bad, [(3, "views is not a whole number: \"many\"".to_owned())]);
    let [letter] = fixture.records(&dead_letter_topic("app")).try_into().unwrap();
    assert_eq!((letter.value, letter.timestamp_ms), ("7,v,many".into(), 1));
    let header = |name: &str| letter.headers.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.clone()).unwrap();
    assert_eq!(header("__streams.errors.exception"), "BadRow");
    assert_eq!(header("__streams.errors.message"), "views is not a whole number: \"many\"");
    assert_eq!(header("__streams.errors.stacktrace"), "a.csv:3: views is not a whole number: \"many\"");
    assert_eq!(header("__streams.errors.topic"), "videos");
    assert_eq!((header("tidewatch.import.file"), header("tidewatch.import.line")), ("a.csv".to_owned(), "3".to_owned()));
}

#[test]
fn a_file_that_cannot_be_used_leaves_nothing_behind() {
    let fixture = Fixture::new();
    let path = fixture.file("a.csv", "time,video\n1,v\n");
    let error = fixture.import(&path, &mut Watcher::default()).unwrap_err();
    assert!(error.to_string().ends_with("a.csv has no column observed_at; its columns are: time, video"), "{error}");
    assert_eq!(fixture.registry.latest("videos-value").unwrap(), None);
}

#[test]
fn an_appender_that_is_dropped_holds_up_nobody() {
    let fixture = Fixture::new();
    let (mut appender, _) = Appender::open(&*fixture.log, &fixture.registry, &fixture.target, &shape(), "x").unwrap();
    appender.append("v", Some(&Row::of(&shape())), Timestamp(1)).unwrap();
    let mut headers = HeadersBuf::default();
    headers.extend(Headers::EMPTY);
    appender.dead_letter(b"raw", &headers, Timestamp(1)).unwrap();
    drop(appender);
    assert_eq!(fixture.records("videos").len(), 0);
    let admin = fixture.log.admin();
    for partition in [0, 1] {
        let partition = TopicPartition::new("videos", partition);
        let stable = admin.watermarks(&partition, Isolation::ReadCommitted).unwrap();
        assert_eq!(stable, admin.watermarks(&partition, Isolation::ReadUncommitted).unwrap());
    }
}

#[test]
fn a_topic_of_another_format_is_left_alone() {
    let mut fixture = Fixture::new();
    let file = fixture.file("a.csv", "observed_at,video_id,views\n1,v,1\n");
    let mut refused = |format, key| {
        fixture.target.format = format;
        fixture.target.key = key;
        let import = Import { log: &*fixture.log, registry: &fixture.registry, target: &fixture.target, path: &file };
        import.run(Box::new(|_| ()), &mut Watcher::default()).unwrap_err().to_string()
    };
    let text = "observations cannot be written to videos: they are Avro under text keys, its source declares JSON";
    assert_eq!(refused(ValueFormat::Json, KeyFormat::String), text);
    let text = "observations cannot be written to videos: they are Avro under text keys, its source declares other keys";
    assert_eq!(refused(ValueFormat::Avro, KeyFormat::Long), text);
    let end = fixture.log.admin().watermarks(&TopicPartition::new("videos", 0), Isolation::ReadCommitted).unwrap().1;
    assert_eq!(end.0, 0);
}
