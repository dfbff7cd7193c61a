//! That what would be deleted at once is not written.

use super::*;
use crate::config::{self, LoadOptions};
use crate::streams::clock::ManualClock;
use crate::streams::log::local::LocalLog;
use crate::streams::log::{Committed, Headers, ProducerOptions, ProducerRecord};

const DAY: Duration = Duration::from_secs(86_400);
const NOW: Timestamp = Timestamp(20_000 * 86_400_000);

fn days_ago(days: i64) -> Timestamp {
    Timestamp(NOW.0 - days * 86_400_000)
}

fn topic(log: &LocalLog, name: &str, retention: Option<Duration>) {
    log.admin().create_topic(name, &TopicConfig { retention, ..TopicConfig::keep(2) }).unwrap();
}

/// The shipped topology's topics, the changes with this retention.
fn world(changes: Option<Duration>) -> (Arc<LocalLog>, Config) {
    let log = LocalLog::in_memory();
    topic(&log, "youtube_videos", None);
    topic(&log, "youtube_changes", changes);
    topic(&log, "telegram_outbox", None);
    topic(&log, "youtube-changes-dead-letters", Some(1_000 * DAY));
    (log, config::shipped(&LoadOptions::offline()).unwrap())
}

fn append(log: &LocalLog, partition: i32, at: Timestamp) {
    let options = ProducerOptions { transactional_id: "p".into(), topics: vec!["youtube_videos".into()], transaction_timeout: DAY };
    let mut producer = log.producer(options).unwrap();
    producer.init_transactions(Duration::ZERO).unwrap();
    producer.begin().unwrap();
    let partition = Some(log::Partition(partition));
    let record = ProducerRecord { topic: 0, partition, key: Some(b"k"), value: None, headers: Headers::EMPTY, timestamp: at };
    producer.send(&record).unwrap();
    producer.flush(Duration::ZERO).unwrap();
    producer.commit(Duration::ZERO).unwrap();
}

fn checked(log: &LocalLog, config: &Config) -> Result<(), Error> {
    check(log, config, &ManualClock::at(NOW))
}

#[test]
fn an_output_that_keeps_less_than_the_age_of_its_input_is_refused() {
    let (log, config) = world(Some(7 * DAY));
    append(&log, 0, days_ago(3));
    checked(&log, &config).unwrap();
    append(&log, 1, days_ago(365));
    let error = checked(&log, &config).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the topic youtube_changes keeps records for 7 days, but what is read next from youtube_videos-1 is 365 days old: \
         results carry its time and would be deleted"
    );
    let hint = error.hint().unwrap();
    assert!(hint.contains("--entity-name youtube_changes --add-config retention.ms=-1`; `tidewatch setup`"), "{hint}");
}

#[test]
fn what_was_read_before_does_not_count() {
    let (log, config) = world(Some(7 * DAY));
    append(&log, 0, days_ago(365));
    append(&log, 0, days_ago(1));
    checked(&log, &config).unwrap_err();
    let place = TopicPartition::new("youtube_videos", 0);
    let committed = |offset| [(place.clone(), Some(Committed { offset: Offset(offset), metadata: "".into() }))];
    // After the first record and its marker.
    log.admin().alter_group_offsets("youtube-changes", &committed(2)).unwrap();
    checked(&log, &config).unwrap();
    // At the end there is nothing to read; outside the log the engine says so itself.
    for offset in [4, 99] {
        log.admin().alter_group_offsets("youtube-changes", &committed(offset)).unwrap();
        checked(&log, &config).unwrap();
    }
}

#[test]
fn topics_that_keep_everything_are_not_looked_into() {
    let (log, config) = world(None);
    append(&log, 0, days_ago(900));
    checked(&log, &config).unwrap();
    // The dead letters are an output too.
    append(&log, 1, days_ago(1_000));
    checked(&log, &config).unwrap();
    let (log, config) = world(None);
    append(&log, 1, days_ago(1_001));
    let error = checked(&log, &config).unwrap_err().to_string();
    assert!(error.starts_with("the topic youtube-changes-dead-letters keeps records for 1000 days"), "{error}");
}

#[test]
fn a_group_that_begins_at_the_end_has_no_old_records() {
    let (log, _) = world(Some(7 * DAY));
    append(&log, 0, days_ago(365));
    let text = config::SHIPPED.replace("start = \"earliest\"", "start = \"latest\"");
    let config = config::load_text(&config::SourceFile::new("t.toml", text), None, &LoadOptions::offline()).unwrap();
    checked(&log, &config).unwrap();
}

#[test]
fn durations_are_told_in_their_largest_unit() {
    let words = |seconds| in_words(Duration::from_secs(seconds));
    assert_eq!([words(0), words(1), words(119), words(7_200), words(86_400)], ["0 seconds", "1 second", "1 minute", "2 hours", "1 day"]);
}
