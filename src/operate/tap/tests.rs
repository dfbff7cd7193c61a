//! What is shown of a topic, and how.

use std::sync::Arc;

use super::*;
use crate::avro::EmbeddedRegistry;
use crate::streams::clock::ManualClock;
use crate::streams::log::local::LocalLog;
use crate::streams::log::{Headers, HeadersBuf, Partition, ProducerOptions, ProducerRecord, TopicConfig};

type Sent<'a> = (i32, Option<&'a str>, Option<&'a [u8]>, i64);

/// A log whose topic `t` has two partitions with these records: partition, key, value, time.
fn log(records: &[Sent<'_>], headers: Headers<'_>, commit: bool) -> (Arc<LocalLog>, EmbeddedRegistry) {
    let log = LocalLog::in_memory();
    let registry = EmbeddedRegistry::open(Arc::<LocalLog>::clone(&log), Arc::new(ManualClock::default())).unwrap();
    log.admin().create_topic("t", &TopicConfig::keep(2)).unwrap();
    let transaction_timeout = Duration::from_secs(10);
    let options = ProducerOptions { transactional_id: "x".into(), topics: vec!["t".into()], transaction_timeout };
    let mut producer = log.producer(options).unwrap();
    producer.init_transactions(Duration::ZERO).unwrap();
    producer.begin().unwrap();
    for &(partition, key, value, at) in records {
        let key = key.map(str::as_bytes);
        let (partition, timestamp) = (Some(Partition(partition)), Timestamp(at));
        producer.send(&ProducerRecord { topic: 0, partition, key, value, headers, timestamp }).unwrap();
    }
    if commit {
        producer.commit(transaction_timeout).unwrap();
    } else {
        producer.flush(transaction_timeout).unwrap();
        // Its transaction stays open, as that of a busy writer.
        std::mem::forget(producer);
    }
    (log, registry)
}

fn request(from: From) -> Request {
    Request { topic: "t".to_owned(), from, key: None, follow: false }
}

fn lines(log: &LocalLog, registry: &dyn Registry, request: &Request) -> Vec<String> {
    let mut lines = Vec::new();
    tap(log, registry, request, &|| false, &mut |record| {
        lines.push(record.to_string());
        ControlFlow::Continue(())
    })
    .unwrap();
    lines
}

#[test]
fn values_are_shown_as_what_they_are() {
    let mut headers = HeadersBuf::default();
    headers.push("why", Some(b"so\nit is"));
    headers.push("none", None);
    let records: [Sent<'_>; 4] = [
        (0, Some("k"), Some(b"{\"a\": 1}"), 0),
        (0, None, Some(b"12"), 1),
        (0, Some("k"), None, 2),
        (0, Some("k"), Some(&[0, 0, 0, 0, 9, 255]), 3),
    ];
    let (log, registry) = log(&records, headers.as_headers(), true);
    let expected = [
        "t-0@0  1970-01-01T00:00:00Z  k  {\"a\":1}  [why: so it is]  [none: null]",
        "t-0@1  1970-01-01T00:00:00.001Z  (no key)  \"12\"  [why: so it is]  [none: null]",
        "t-0@2  1970-01-01T00:00:00.002Z  k  (tombstone)  [why: so it is]  [none: null]",
        "t-0@3  1970-01-01T00:00:00.003Z  k  \"0x0000000009ff\"  [why: so it is]  [none: null]",
    ];
    assert_eq!(lines(&log, &registry, &request(From::Earliest)), expected);
}

#[test]
fn begins_where_it_is_told_in_each_partition() {
    let value: Option<&[u8]> = Some(b"v");
    let records = [(0, Some("a"), value, 10), (0, Some("a"), value, 20), (1, Some("b"), value, 15), (1, Some("b"), value, 30)];
    let (log, registry) = log(&records, Headers::EMPTY, true);
    let places = |from| {
        let mut places: Vec<_> =
            lines(&log, &registry, &request(from)).iter().map(|line| line.split("  ").next().unwrap().to_owned()).collect();
        places.sort_unstable();
        places.join(" ")
    };
    assert_eq!(places(From::Earliest), "t-0@0 t-0@1 t-1@0 t-1@1");
    assert_eq!(places(From::Latest), "");
    assert_eq!(places(From::Offset(1)), "t-0@1 t-1@1");
    assert_eq!(places(From::Offset(99)), "");
    assert_eq!(places(From::Time(15)), "t-0@1 t-1@0 t-1@1");
    let of_key = Request { key: Some("b".to_owned()), ..request(From::Earliest) };
    assert_eq!(lines(&log, &registry, &of_key).len(), 2);
}

#[test]
fn what_is_not_committed_is_not_shown() {
    let (log, registry) = log(&[(0, None, Some(b"v"), 0)], Headers::EMPTY, false);
    assert_eq!(lines(&log, &registry, &request(From::Earliest)), [""; 0]);
}

#[test]
fn following_goes_on_until_it_is_stopped() {
    let (log, registry) = log(&[(0, None, Some(b"v"), 0)], Headers::EMPTY, true);
    let polls = std::cell::Cell::new(0);
    let stop = || {
        polls.set(polls.get() + 1);
        polls.get() > 3
    };
    let mut seen = 0;
    let follow = Request { follow: true, ..request(From::Earliest) };
    tap(&*log, &registry, &follow, &stop, &mut |_| {
        seen += 1;
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!((seen, polls.get()), (1, 4));
}

#[test]
fn a_topic_that_is_not_there_comes_with_what_was_meant() {
    let (log, registry) = log(&[], Headers::EMPTY, false);
    let unknown = |topic: &str| {
        let request = Request { topic: topic.to_owned(), ..request(From::Earliest) };
        tap(&*log, &registry, &request, &|| false, &mut |_| ControlFlow::Continue(())).unwrap_err()
    };
    let error = unknown("_schema");
    assert_eq!((error.to_string(), error.hint()), ("there is no topic _schema".to_owned(), Some("Did you mean _schemas?".to_owned())));
    assert_eq!(unknown("elsewhere").hint(), Some("There are: _schemas, t.".to_owned()));
}

#[test]
fn places_are_read() {
    assert_eq!("7".parse(), Ok(From::Offset(7)));
    assert_eq!("1970-01-01T00:00:01+01:00".parse(), Ok(From::Time(-3_599_000)));
    for bad in ["", "-1", "first", "2026-08-06"] {
        assert_eq!(bad.parse::<From>(), Err(NotAPlace), "{bad}");
    }
}
