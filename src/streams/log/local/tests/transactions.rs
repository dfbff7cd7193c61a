//! Transactions: markers, fencing, the last stable offset, aborted records.

use super::*;
use crate::streams::log::Delivered;

#[test]
fn markers_take_offsets_and_positions_pass_over_them() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::keep(1));
        let mut producer = producer(&log, "p", &["t"]);
        commit(&mut *producer, &[("a", "1"), ("b", "2")]);
        commit(&mut *producer, &[("c", "3")]);
        assert_eq!(read(&log, "t", Isolation::ReadCommitted), (vec!["0:a=1".into(), "1:b=2".into(), "3:c=3".into()], 5));
        assert_eq!(log.admin().watermarks(&at("t"), Isolation::ReadUncommitted).unwrap(), (Offset(0), Offset(5)));
    });
}

#[test]
fn a_topic_that_is_named_twice_keeps_the_records_of_both_names_in_their_order() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::keep(1));
        let mut producer = producer(&log, "p", &["t", "t"]);
        producer.begin().unwrap();
        for (number, topic) in [0, 1, 0].into_iter().enumerate() {
            producer.send(&ProducerRecord { topic, ..record("a", Some(&number.to_string()), 0) }).unwrap();
        }
        producer.flush(ZERO).unwrap();
        assert_eq!([0, 1].map(|topic| producer.delivered(topic, Partition(0))), [Some(Delivered { first: Offset(0), last: Offset(2) }); 2]);
        producer.commit(ZERO).unwrap();
        assert_eq!(read(&log, "t", Isolation::ReadCommitted).0, ["0:a=0", "1:a=1", "2:a=2"]);
    });
}

#[test]
fn an_open_transaction_holds_back_the_last_stable_offset() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::keep(1));
        let (mut first, mut second) = (producer(&log, "p", &["t"]), producer(&log, "q", &["t"]));
        first.begin().unwrap();
        first.send(&record("a", Some("1"), 0)).unwrap();
        first.flush(ZERO).unwrap();
        assert_eq!(first.delivered(0, Partition(0)), Some(Delivered { first: Offset(0), last: Offset(0) }));
        commit(&mut *second, &[("b", "2")]);
        assert_eq!(read(&log, "t", Isolation::ReadCommitted), (vec![], 0));
        assert_eq!(read(&log, "t", Isolation::ReadUncommitted).0, ["0:a=1", "1:b=2"]);
        assert_eq!(log.admin().watermarks(&at("t"), Isolation::ReadCommitted).unwrap().1, Offset(0));
        first.commit(ZERO).unwrap();
        assert_eq!(read(&log, "t", Isolation::ReadCommitted), (vec!["0:a=1".into(), "1:b=2".into()], 4));
    });
}

#[test]
fn aborted_records_are_left_out_and_others_between_them_are_not() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::keep(1));
        let (mut first, mut second) = (producer(&log, "p", &["t"]), producer(&log, "q", &["t"]));
        first.begin().unwrap();
        first.send(&record("a", Some("1"), 0)).unwrap();
        first.flush(ZERO).unwrap();
        commit(&mut *second, &[("b", "2")]);
        first.send(&record("a", Some("3"), 0)).unwrap();
        first.flush(ZERO).unwrap();
        first.abort(ZERO).unwrap();
        commit(&mut *first, &[("c", "4")]);
        assert_eq!(read(&log, "t", Isolation::ReadCommitted), (vec!["1:b=2".into(), "5:c=4".into()], 7));
        assert_eq!(read(&log, "t", Isolation::ReadUncommitted).0, ["0:a=1", "1:b=2", "3:a=3", "5:c=4"]);
    });
}

#[test]
fn what_was_only_queued_is_gone_after_an_abort() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::keep(1));
        let mut producer = producer(&log, "p", &["t"]);
        producer.begin().unwrap();
        producer.send(&record("a", Some("1"), 0)).unwrap();
        producer.abort(ZERO).unwrap();
        commit(&mut *producer, &[("b", "2")]);
        assert_eq!(read(&log, "t", Isolation::ReadCommitted).0, ["0:b=2"]);
    });
}

#[test]
fn the_newest_holder_of_an_id_fences_the_former_and_aborts_what_it_left() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::keep(1));
        let mut former = producer(&log, "p", &["t"]);
        former.begin().unwrap();
        former.send(&record("a", Some("1"), 0)).unwrap();
        former.flush(ZERO).unwrap();
        let mut newest = producer(&log, "p", &["t"]);
        assert_eq!(former.send(&record("b", Some("2"), 0)).unwrap_err().class, Class::Fenced);
        assert_eq!(former.flush(ZERO).unwrap_err().class, Class::Fenced);
        assert_eq!(former.send_offsets(&[(at("t"), offset(1))], &no_member("g"), ZERO).unwrap_err().class, Class::Fenced);
        assert_eq!(former.commit(ZERO).unwrap_err().class, Class::Fenced);
        assert_eq!(former.abort(ZERO).unwrap_err().class, Class::Fenced);
        commit(&mut *newest, &[("c", "3")]);
        assert_eq!(read(&log, "t", Isolation::ReadCommitted).0, ["2:c=3"]);
    });
}

#[test]
fn offsets_are_the_groups_when_the_transaction_commits_and_unstable_until_then() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::keep(1));
        let mut producer = producer(&log, "p", &["t"]);
        let mut asking = member(&log, "g", "i");
        producer.begin().unwrap();
        producer.send_offsets(&[(at("t"), offset(7))], &no_member("g"), ZERO).unwrap();
        assert_eq!(asking.committed(&[at("t")], ZERO).unwrap_err().class, Class::Retriable);
        assert_eq!(asking.committed(&[TopicPartition::new("t", 9)], ZERO).unwrap(), [None]);
        producer.commit(ZERO).unwrap();
        assert_eq!(asking.committed(&[at("t")], ZERO).unwrap(), [Some(offset(7))]);
        producer.begin().unwrap();
        producer.send_offsets(&[(at("t"), offset(9))], &no_member("g"), ZERO).unwrap();
        producer.abort(ZERO).unwrap();
        assert_eq!(asking.committed(&[at("t")], ZERO).unwrap(), [Some(offset(7))]);
        assert_eq!(log.admin().group_offsets("g").unwrap(), [(at("t"), offset(7))]);
    });
}

#[test]
fn a_transaction_that_is_open_too_long_is_aborted_and_its_owner_fenced() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::keep(1));
        let mut slow = producer(&log, "p", &["t"]);
        let admin = log.admin();
        admin.maintain(Timestamp(1_000)).unwrap();
        slow.begin().unwrap();
        slow.send(&record("a", Some("1"), 0)).unwrap();
        slow.flush(ZERO).unwrap();
        // Its age is counted from the first look at it.
        admin.maintain(Timestamp(11_000)).unwrap();
        admin.maintain(Timestamp(21_000)).unwrap();
        assert_eq!(log.admin().watermarks(&at("t"), Isolation::ReadCommitted).unwrap().1, Offset(0));
        admin.maintain(Timestamp(21_001)).unwrap();
        assert_eq!(slow.send(&record("a", Some("2"), 0)).unwrap_err().class, Class::Fenced);
        assert_eq!(slow.commit(ZERO).unwrap_err().class, Class::Fenced);
        assert_eq!(read(&log, "t", Isolation::ReadCommitted), (vec![], 2));
    });
}

#[test]
fn keys_headers_times_and_nulls_come_back() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::keep(1));
        let mut producer = producer(&log, "p", &["t"]);
        let mut headers = crate::streams::log::HeadersBuf::default();
        headers.push("h", Some(b"v"));
        headers.push("n", None);
        producer.begin().unwrap();
        let sent = ProducerRecord { headers: headers.as_headers(), key: None, ..record("", None, 42) };
        producer.send(&sent).unwrap();
        producer.commit(ZERO).unwrap();
        let mut consumer = reader(&log, Isolation::ReadCommitted);
        consumer.assign(&at("t"), Offset(0)).unwrap();
        let mut batch = RecordBatch::default();
        assert_eq!(consumer.poll(ZERO, &mut batch).unwrap(), Polled::Records);
        let seen = batch.iter().next().unwrap();
        assert_eq!((seen.key, seen.value, seen.timestamp, seen.headers), (None, None, Timestamp(42), headers.as_headers()));
    });
}

#[test]
fn keys_decide_the_partition_and_a_wrong_partition_or_topic_is_refused() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::keep(4));
        let mut producer = producer(&log, "p", &["t", "none"]);
        producer.begin().unwrap();
        for key in ["a", "b", "c", "a"] {
            producer.send(&ProducerRecord { partition: None, ..record(key, Some("v"), 0) }).unwrap();
        }
        assert_eq!(
            producer.send(&ProducerRecord { partition: Some(Partition(4)), ..record("a", None, 0) }).unwrap_err().class,
            Class::UnknownTopic
        );
        assert_eq!(producer.send(&ProducerRecord { topic: 1, ..record("a", None, 0) }).unwrap_err().class, Class::UnknownTopic);
        let huge = "x".repeat((16 << 20) + 1);
        assert_eq!(producer.send(&record("a", Some(&huge), 0)).unwrap_err().class, Class::Record);
        producer.commit(ZERO).unwrap();
        let ends: i64 =
            (0..4).map(|number| log.admin().watermarks(&TopicPartition::new("t", number), Isolation::ReadCommitted).unwrap().1.0).sum();
        let touched = (0..4)
            .filter(|&number| log.admin().watermarks(&TopicPartition::new("t", number), Isolation::ReadCommitted).unwrap().1.0 > 0)
            .count();
        assert_eq!(ends, 4 + i64::try_from(touched).unwrap());
    });
}

#[test]
fn large_transactions_are_read_in_bounded_batches() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::keep(1));
        let mut producer = producer(&log, "p", &["t"]);
        producer.begin().unwrap();
        let value = "v".repeat(300);
        for number in 0..10_000 {
            producer.send(&record(&number.to_string(), Some(&value), 0)).unwrap();
        }
        producer.commit(ZERO).unwrap();
        let (seen, position) = read(&log, "t", Isolation::ReadCommitted);
        assert_eq!((seen.len(), position), (10_000, 10_001));
        assert!(seen.iter().enumerate().all(|(number, text)| text.starts_with(&format!("{number}:{number}="))));
    });
}

#[test]
fn records_without_a_key_take_turns_and_a_compacted_topic_refuses_them() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::keep(2));
        topic(&log, "c", &TopicConfig::compact(2));
        let mut producer = producer(&log, "p", &["t", "c"]);
        let keyless = ProducerRecord { partition: None, key: None, ..record("", Some("v"), 0) };
        for _ in 0..4 {
            producer.begin().unwrap();
            producer.send(&keyless).unwrap();
            producer.send(&keyless).unwrap();
            producer.commit(ZERO).unwrap();
        }
        for number in 0..2 {
            let (_, end) = log.admin().watermarks(&TopicPartition::new("t", number), Isolation::ReadCommitted).unwrap();
            assert_eq!(end, Offset(6), "two transactions each");
        }
        producer.begin().unwrap();
        assert_eq!(producer.send(&ProducerRecord { topic: 1, ..keyless }).unwrap_err().class, Class::Record);
    });
}

#[test]
fn a_transaction_of_nothing_leaves_no_trace_and_calls_out_of_order_are_refused() {
    on_each(|log| {
        topic(&log, "t", &TopicConfig::keep(1));
        let mut producer = producer(&log, "p", &["t"]);
        assert_eq!(producer.send(&record("a", None, 0)).unwrap_err().class, Class::Fatal);
        assert_eq!(producer.commit(ZERO).unwrap_err().class, Class::Fatal);
        producer.begin().unwrap();
        assert_eq!(producer.begin().unwrap_err().class, Class::Fatal);
        producer.commit(ZERO).unwrap();
        producer.begin().unwrap();
        producer.abort(ZERO).unwrap();
        assert_eq!(log.admin().watermarks(&at("t"), Isolation::ReadUncommitted).unwrap(), (Offset(0), Offset(0)));
    });
}
