//! What is kept: compaction, retention, tombstones.

use super::super::fetch;
use super::super::keys::Place;
use super::*;
use crate::streams::kv::Direction;

/// Runs housekeeping until nothing is left to do.
fn maintain(admin: &dyn Admin, now: i64) {
    for _ in 0..200 {
        admin.maintain(Timestamp(now)).unwrap();
    }
}

/// Many small transactions, so that a pass is due.
fn churn(log: &LocalLog, producer: &mut dyn Producer, rounds: usize) {
    eager(log);
    for round in 0..rounds {
        commit(producer, &[(&format!("k{}", round % 10), &round.to_string())]);
    }
}

/// Records of each chunk of partition 0 of the first topic.
fn chunks(log: &LocalLog) -> Vec<u32> {
    let place = Place { topic: 0, partition: Partition(0) };
    let mut records = Vec::new();
    fetch::chunks(&*log.shared.kv, place, Offset(0)..Offset(i64::MAX), Direction::Forward, &mut |found, _| {
        records.push(found.head.records);
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    records
}

#[test]
fn compaction_keeps_the_last_record_of_each_key_at_its_offset() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::compact(1));
        let mut producer = producer(&log, "p", &["t"]);
        producer.begin().unwrap();
        producer.send(&record("aborted", Some("x"), 0)).unwrap();
        producer.flush(ZERO).unwrap();
        producer.abort(ZERO).unwrap();
        churn(&log, &mut *producer, 2_100);
        let before = read(&log, "t", Isolation::ReadCommitted);
        maintain(&*log.admin(), 1_000);
        let after = read(&log, "t", Isolation::ReadCommitted);
        let expected: Vec<_> = before.0[2_090..].to_vec();
        assert_eq!(after.0, expected);
        assert_eq!(after.1, before.1, "the end does not move");
        commit(&mut *producer, &[("k0", "new")]);
        assert_eq!(read(&log, "t", Isolation::ReadCommitted).0.last().unwrap(), &format!("{}:k0=new", before.1));
        // From the middle of a gap the next record is found.
        let mut consumer = reader(&log, Isolation::ReadCommitted);
        consumer.assign(&at("t"), Offset(100)).unwrap();
        assert_eq!(drain(&mut *consumer, "t").0.len(), 11);
    });
}

#[test]
fn a_tombstone_stays_for_the_delete_retention_whatever_its_own_time_is() {
    on_each(|log| {
        let config = TopicConfig { delete_retention: Duration::from_secs(100), ..TopicConfig::compact(1) };
        topic(&log, "t", &config);
        let mut producer = producer(&log, "p", &["t"]);
        commit(&mut *producer, &[("gone", "1")]);
        producer.begin().unwrap();
        producer.send(&record("gone", None, 1)).unwrap();
        producer.commit(ZERO).unwrap();
        churn(&log, &mut *producer, 2_100);
        maintain(&*log.admin(), 1_000_000);
        assert!(read(&log, "t", Isolation::ReadCommitted).0.contains(&"2:gone=null".to_owned()));
        churn(&log, &mut *producer, 2_100);
        maintain(&*log.admin(), 1_050_000);
        assert!(read(&log, "t", Isolation::ReadCommitted).0.contains(&"2:gone=null".to_owned()));
        churn(&log, &mut *producer, 2_100);
        maintain(&*log.admin(), 1_200_000);
        assert!(!read(&log, "t", Isolation::ReadCommitted).0.iter().any(|text| text.contains("gone")));
    });
}

#[test]
fn compaction_leaves_what_is_above_the_last_stable_offset() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::compact(1));
        let (mut producer, mut open) = (producer(&log, "p", &["t"]), producer(&log, "q", &["t"]));
        churn(&log, &mut *producer, 150);
        open.begin().unwrap();
        open.send(&record("k1", Some("open"), 0)).unwrap();
        open.flush(ZERO).unwrap();
        churn(&log, &mut *producer, 60);
        maintain(&*log.admin(), 1_000);
        assert_eq!(read(&log, "t", Isolation::ReadCommitted).0.len(), 10);
        open.commit(ZERO).unwrap();
        let seen = read(&log, "t", Isolation::ReadCommitted).0;
        assert_eq!(seen.len(), 10 + 1 + 60);
        assert!(seen.contains(&"300:k1=open".to_owned()));
    });
}

#[test]
fn small_chunks_of_a_kept_topic_become_large_and_lose_nothing() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::keep(1));
        let mut producer = producer(&log, "p", &["t"]);
        churn(&log, &mut *producer, 2_100);
        let before = read(&log, "t", Isolation::ReadCommitted);
        maintain(&*log.admin(), 1_000);
        assert_eq!(read(&log, "t", Isolation::ReadCommitted), before);
        let merged = chunks(&log);
        assert!(merged.len() < 2_100 / 20, "{merged:?}");
        // Quiet days: each merge takes in the small ones before it.
        for _ in 0..20 {
            churn(&log, &mut *producer, 110);
            maintain(&*log.admin(), 1_000);
        }
        let merged = chunks(&log);
        assert!(merged.len() < 4_300 / 20, "{merged:?}");
        assert_eq!(merged.iter().sum::<u32>(), 4_300);
    });
}

#[test]
fn retention_leaves_an_open_transaction_alone() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig { retention: Some(Duration::from_secs(10)), ..TopicConfig::keep(1) });
        let mut producer = producer(&log, "p", &["t"]);
        producer.begin().unwrap();
        producer.send(&record("k", Some("v"), 1_000)).unwrap();
        producer.flush(ZERO).unwrap();
        maintain(&*log.admin(), 15_000);
        assert_eq!(log.admin().watermarks(&at("t"), Isolation::ReadUncommitted).unwrap(), (Offset(0), Offset(1)));
        producer.commit(ZERO).unwrap();
        maintain(&*log.admin(), 15_001);
        assert_eq!(log.admin().watermarks(&at("t"), Isolation::ReadUncommitted).unwrap(), (Offset(2), Offset(2)));
    });
}

#[test]
fn tombstones_of_a_topic_that_is_often_compacted_go_too() {
    on_each(|log| {
        let config = TopicConfig { delete_retention: Duration::from_secs(100), ..TopicConfig::compact(1) };
        topic(&log, "t", &config);
        let mut producer = producer(&log, "p", &["t"]);
        commit(&mut *producer, &[("gone", "1")]);
        producer.begin().unwrap();
        producer.send(&record("gone", None, 1)).unwrap();
        producer.commit(ZERO).unwrap();
        let has_gone = |log: &LocalLog| read(log, "t", Isolation::ReadCommitted).0.iter().any(|text| text.contains("gone"));
        // A pass every 20 s, each with a tombstone of its own, in a topic that fits into one chunk.
        for pass in 0..9 {
            churn(&log, &mut *producer, 200);
            producer.begin().unwrap();
            producer.send(&record(&format!("other{pass}"), None, 1)).unwrap();
            producer.commit(ZERO).unwrap();
            log.shared.compactor.lock().settings.chunk_bytes = 1 << 20;
            maintain(&*log.admin(), 1_000_000 + pass * 20_000);
            assert!(has_gone(&log) || pass > 5, "gone too early, at pass {pass}");
        }
        assert!(!has_gone(&log));
        let chunks = chunks(&log);
        assert!(chunks.len() < 20, "{chunks:?}");
    });
}

#[test]
fn a_pass_that_cannot_remember_all_keys_takes_several() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::compact(1));
        let mut producer = producer(&log, "p", &["t"]);
        eager(&log);
        log.shared.compactor.lock().settings.keys_max = 20;
        for round in 0..3 {
            for key in 0..100 {
                commit(&mut *producer, &[(&format!("{key:02}"), &format!("{round}"))]);
            }
        }
        log.shared.compactor.lock().settings.dirty_bytes_min = 1;
        maintain(&*log.admin(), 1_000);
        let seen = read(&log, "t", Isolation::ReadCommitted).0;
        let expected: Vec<_> = (0..100).map(|key| format!("{}:{key:02}=2", 400 + 2 * key)).collect();
        assert_eq!(seen[seen.len() - 100..], expected);
        assert!(seen.len() < 180, "{}", seen.len());
    });
}

#[test]
fn retention_deletes_by_record_time_and_moves_the_start() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig { retention: Some(Duration::from_secs(10)), ..TopicConfig::keep(1) });
        let mut producer = producer(&log, "p", &["t"]);
        for (key, time) in [("a", 1_000), ("b", 9_000), ("c", 20_000)] {
            producer.begin().unwrap();
            producer.send(&record(key, Some("v"), time)).unwrap();
            producer.commit(ZERO).unwrap();
        }
        maintain(&*log.admin(), 15_000);
        assert_eq!(log.admin().watermarks(&at("t"), Isolation::ReadCommitted).unwrap(), (Offset(2), Offset(6)));
        let mut consumer = reader(&log, Isolation::ReadCommitted);
        consumer.assign(&at("t"), Offset(0)).unwrap();
        let error = consumer.poll(ZERO, &mut RecordBatch::default()).unwrap_err();
        assert_eq!(error.class, Class::OutOfRange);
        assert!(error.to_string().contains("offset 0 of t-0 is outside its log (2 to 6)"), "{error}");
    });
}

#[test]
fn a_time_finds_the_first_record_that_is_not_older() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::keep(1));
        let mut producer = producer(&log, "p", &["t"]);
        for time in [10, 50, 30, 70] {
            producer.begin().unwrap();
            producer.send(&record("k", Some("v"), time)).unwrap();
            producer.commit(ZERO).unwrap();
        }
        let find = |time| log.admin().offset_for_time(&at("t"), Timestamp(time)).unwrap().map(|offset| offset.0);
        assert_eq!([find(0), find(11), find(50), find(51), find(71)], [Some(0), Some(2), Some(2), Some(6), None]);
    });
}

#[test]
fn topics_are_made_described_and_deleted_with_what_belongs_to_them() {
    on_each(|log| {
        let admin = log.admin();
        topic(&log, "t", &TopicConfig::compact(2));
        assert_eq!(admin.create_topic("t", &TopicConfig::keep(1)).unwrap_err().class, Class::Exists);
        assert!(admin.create_topic("no/slash", &TopicConfig::keep(1)).is_err());
        assert_eq!(admin.describe("t").unwrap().unwrap().config, TopicConfig::compact(2));
        assert_eq!(admin.describe("other").unwrap(), None);
        commit(&mut *producer(&log, "p", &["t"]), &[("a", "1")]);
        admin.alter_group_offsets("g", &[(at("t"), Some(offset(1)))]).unwrap();
        admin.delete_topic("t").unwrap();
        assert_eq!(admin.watermarks(&at("t"), Isolation::ReadCommitted).unwrap_err().class, Class::UnknownTopic);
        assert_eq!(admin.group_offsets("g").unwrap(), []);
        topic(&log, "t", &TopicConfig::keep(1));
        assert_eq!(read(&log, "t", Isolation::ReadUncommitted), (vec![], 0));
    });
}
