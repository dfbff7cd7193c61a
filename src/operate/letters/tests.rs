//! That letters are listed as they are and put back once, whatever happens.

use std::sync::Arc;

use super::*;
use crate::avro::EmbeddedRegistry;
use crate::operate::tap::Tapped;
use crate::streams::clock::{ManualClock, Timestamp};
use crate::streams::log::local::LocalLog;
use crate::streams::log::{HeadersBuf, Partition, Producer, ProducerOptions, ProducerRecord, TopicConfig};

const LETTERS: &str = "app-dead-letters";

struct Fixture {
    log: Arc<LocalLog>,
    registry: EmbeddedRegistry,
    producer: Box<dyn Producer>,
    topics: Vec<Arc<str>>,
}

/// A letter to write; what is not said is as a topology would write it.
#[derive(Clone, Copy)]
struct Written<'a> {
    topic: &'a str,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    message: &'a str,
    origin: (&'a str, &'a str, &'a str),
    own: &'a [(&'a str, Option<&'a [u8]>)],
    at: i64,
}

const LETTER: Written<'static> = Written {
    topic: LETTERS,
    key: Some(b"video"),
    value: Some(b"{\"no\":\"video\"}"),
    message: "the value is not JSON",
    origin: ("videos", "1", "7"),
    own: &[],
    at: 60_000,
};

impl Fixture {
    fn new() -> Self {
        let log = LocalLog::in_memory();
        let registry = EmbeddedRegistry::open(Arc::<LocalLog>::clone(&log), Arc::new(ManualClock::default())).unwrap();
        let topics: Vec<Arc<str>> = [LETTERS, telegram::DEAD_LETTERS, "videos", "telegram_outbox", "other_outbox"].map(Arc::from).into();
        for topic in &topics {
            log.admin().create_topic(topic, &TopicConfig::keep(2)).unwrap();
        }
        let timeout = std::time::Duration::from_secs(1);
        let options = ProducerOptions { transactional_id: "writer".into(), topics: topics.clone(), transaction_timeout: timeout };
        let mut producer = log.producer(options).unwrap();
        producer.init_transactions(timeout).unwrap();
        Self { log, registry, producer, topics }
    }

    /// Appends a letter, in a transaction of its own: so there is a marker behind each.
    fn write(&mut self, letter: &Written<'_>) {
        let mut headers = HeadersBuf::default();
        letter.own.iter().for_each(|(name, value)| headers.push(name, *value));
        let (topic, partition, offset) = letter.origin;
        let trace = format!("bad record\ncaused by: {}", letter.message);
        let parts = [
            ("exception", "DeserializationError"),
            ("stacktrace", &*trace),
            ("message", letter.message),
            ("topic", topic),
            ("partition", partition),
            ("offset", offset),
        ];
        for (name, value) in parts {
            headers.push(&format!("__streams.errors.{name}"), Some(value.as_bytes()));
        }
        let topic = self.topics.iter().position(|known| **known == *letter.topic).unwrap();
        let timeout = std::time::Duration::from_secs(1);
        self.producer.begin().unwrap();
        let &Written { key, value, at, .. } = letter;
        let headers = headers.as_headers();
        let record = ProducerRecord { topic, partition: Some(Partition(1)), key, value, headers, timestamp: Timestamp(at) };
        self.producer.send(&record).unwrap();
        self.producer.flush(timeout).unwrap();
        self.producer.commit(timeout).unwrap();
    }

    fn letters(&self) -> Letters<'_> {
        Letters { log: &*self.log, registry: &self.registry, application_id: "app", outboxes: &self.topics[3..4] }
    }

    fn list(&self, filter: &Filter) -> Vec<Letter> {
        let mut letters = Vec::new();
        let mut emit = |letter| {
            letters.push(letter);
            ControlFlow::Continue(())
        };
        self.letters().list(filter, &|| false, &mut emit).unwrap();
        letters
    }

    fn plan(&self, filter: &Filter, again: bool) -> Plan {
        self.letters().plan(filter, again, &|| false).unwrap()
    }

    /// Plans and replays; how many letters were put back.
    fn replay(&self, filter: &Filter, again: bool) -> u64 {
        let plan = self.plan(filter, again);
        let outcome = self.letters().replay((filter, again), &plan, &|| false, &mut |_| ()).unwrap();
        assert_eq!((outcome.replayed, outcome.complete), (plan.letters(), true));
        outcome.replayed
    }

    fn records(&self, topic: &str) -> Vec<Tapped> {
        let request = tap::Request { topic: topic.to_owned(), from: From::Earliest, key: None, follow: false };
        let mut records = Vec::new();
        let mut emit = |record| {
            records.push(record);
            ControlFlow::Continue(())
        };
        tap::tap(&*self.log, &self.registry, &request, &|| false, &mut emit).unwrap();
        records
    }

    fn values(&self, topic: &str) -> Vec<String> {
        self.records(topic).iter().map(|record| record.value.as_str().unwrap_or_default().to_owned()).collect()
    }
}

/// Letters with these values.
fn wrote(values: &[&str]) -> Fixture {
    let mut fixture = Fixture::new();
    for value in values {
        fixture.write(&Written { value: Some(value.as_bytes()), message: value, ..LETTER });
    }
    fixture
}

fn reason(text: &str) -> Filter {
    Filter { reason: Some(text.to_owned()), ..Filter::default() }
}

#[test]
fn a_letter_says_what_it_was_and_what_was_wrong() {
    let mut fixture = Fixture::new();
    fixture.write(&Written { own: &[("trace", Some(b"1"))], message: "line one\nline two", ..LETTER });
    let listed = fixture.list(&Filter::default());
    insta::assert_snapshot!(serde_json::to_string_pretty(&listed[0]).unwrap(), @r#"
    {
      "topic": "app-dead-letters",
      "partition": 1,
      "offset": 0,
      "time": "1970-01-01T00:01:00Z",
      "timestamp_ms": 60000,
      "origin": {
        "topic": "videos",
        "partition": 1,
        "offset": 7
      },
      "key": "video",
      "exception": "DeserializationError",
      "message": "line one\nline two",
      "stacktrace": "bad record\ncaused by: line one\nline two",
      "headers": [
        [
          "trace",
          "1"
        ]
      ],
      "value": {
        "no": "video"
      },
      "replayed": false
    }
    "#);
    let line = "1970-01-01T00:01:00Z  videos-1@7  video  DeserializationError: line one line two  {\"no\":\"video\"}";
    assert_eq!(listed[0].to_string(), line);
    fixture.replay(&Filter::default(), false);
    assert_eq!(fixture.list(&Filter::default())[0].to_string(), format!("{line}  [replayed]"));
}

#[test]
fn filters_hold_together() {
    let mut fixture = Fixture::new();
    fixture.write(&LETTER);
    fixture.write(&Written { key: Some(b"\0\0\0\x07"), message: "No SUCH schema", at: 61_000, ..LETTER });
    fixture.write(&Written { topic: telegram::DEAD_LETTERS, origin: ("telegram_outbox", "0", "3"), key: None, at: 59_000, ..LETTER });
    let found = |filter: &Filter| {
        let one = |letter: &Letter| letter.origin.as_ref().map_or(0, |origin| origin.offset) * 1_000_000 + letter.timestamp_ms;
        fixture.list(filter).iter().map(one).collect::<Vec<_>>()
    };
    let (first, second, third) = (7_060_000, 7_061_000, 3_059_000);
    let all = Filter::default;
    let text = |text: &str| Some(text.to_owned());
    let cases = [
        (all(), vec![first, second, third]),
        (Filter { topic: text(LETTERS), ..all() }, vec![first, second]),
        (Filter { topic: text("videos"), ..all() }, vec![first, second]),
        (Filter { topic: text("telegram_outbox"), ..all() }, vec![third]),
        (Filter { topic: text(telegram::DEAD_LETTERS), ..all() }, vec![third]),
        (reason("such SCHEMA"), vec![second]),
        (reason("deserializationerror"), vec![first, second, third]),
        (reason("caused by: the value"), vec![first, third]),
        (Filter { since: Some(60_000), ..all() }, vec![first, second]),
        (Filter { since: Some(60_001), ..all() }, vec![second]),
        (Filter { key: text("video"), ..all() }, vec![first]),
        (Filter { key: text("0x00000007"), ..all() }, vec![second]),
        (Filter { key: text("video"), ..reason("schema") }, vec![]),
    ];
    for (filter, expected) in cases {
        assert_eq!(found(&filter), expected, "{filter:?}");
    }
    let unknown = Filter { topic: text("video"), ..all() };
    let error = fixture.letters().list(&unknown, &|| false, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert_eq!((error.to_string().as_str(), error.hint().as_deref()), ("there is no topic video", Some("Did you mean videos?")));
    assert!(error.is_by_user());
}

#[test]
fn a_letter_goes_back_as_it_came_with_the_place_of_the_letter() {
    let mut fixture = Fixture::new();
    let own: &[(&str, Option<&[u8]>)] = &[("trace", Some(b"1")), ("empty", None), ("tidewatch.replay", Some(b"app-dead-letters-0@3"))];
    fixture.write(&Written { own, ..LETTER });
    fixture.write(&Written {
        topic: telegram::DEAD_LETTERS,
        origin: ("telegram_outbox", "0", "3"),
        value: Some(b"\0\0\0\0\x09x"),
        ..LETTER
    });
    fixture.write(&Written { key: None, value: None, ..LETTER });
    // There is no such partition any more: the key decides, as it does for producers.
    fixture.write(&Written { origin: ("telegram_outbox", "9", "4"), key: Some(b"4711"), ..LETTER });
    let plan = fixture.plan(&Filter::default(), false);
    assert_eq!(plan.to_string(), "This will append 2 letters to telegram_outbox.\nThis will append 2 letters to videos.\n");
    assert_eq!(fixture.replay(&Filter::default(), false), 4);
    let back = fixture.records("videos");
    let text = |text: &str| Some(text.to_owned());
    assert_eq!((back[0].partition, back[0].timestamp_ms, back[0].key.as_deref()), (1, 60_000, Some("video")));
    assert_eq!(back[0].value, serde_json::json!({ "no": "video" }));
    let place = text("app-dead-letters-1@0");
    let expected = [("trace", text("1")), ("empty", None), ("tidewatch.replay", place)].map(|(name, value)| (name.to_owned(), value));
    assert_eq!(back[0].headers, expected);
    assert_eq!((back[1].key.as_deref(), &back[1].value), (None, &serde_json::Value::Null));
    let mut sent = fixture.records("telegram_outbox");
    sent.sort_by_key(|record| record.key.clone());
    assert_eq!((sent[1].partition, &sent[1].value), (0, &serde_json::json!("0x000000000978")));
    assert_eq!(sent[1].headers, [("tidewatch.replay".to_owned(), text("telegram_dead_letters-1@0"))]);
}

#[test]
fn each_letter_goes_back_once_by_whatever_filters() {
    let mut fixture = wrote(&["a", "b", "c", "d", "e"]);
    assert_eq!(fixture.replay(&reason("by: b"), false), 1);
    assert_eq!(fixture.replay(&reason("by: d"), false), 1);
    assert_eq!(fixture.plan(&reason("by: b"), false).before, 1);
    let replayed: Vec<bool> = fixture.list(&Filter::default()).iter().map(|letter| letter.replayed).collect();
    assert_eq!(replayed, [false, true, false, true, false]);
    assert_eq!(fixture.replay(&Filter::default(), false), 3);
    assert_eq!(fixture.values("videos"), ["b", "d", "a", "c", "e"]);
    let plan = fixture.plan(&Filter::default(), false);
    let nothing = "There is nothing to replay.\n5 letters were replayed before; --again would repeat that.\n";
    assert_eq!(plan.to_string(), nothing);
    assert_eq!(fixture.replay(&Filter::default(), false), 0);
    assert_eq!(fixture.replay(&reason("by: a"), true), 1);
    fixture.write(&Written { value: Some(b"f"), ..LETTER });
    assert_eq!(fixture.replay(&Filter::default(), false), 1);
    assert_eq!(fixture.values("videos"), ["b", "d", "a", "c", "e", "a", "f"]);
    let committed = fixture.log.admin().group_offsets(LETTERS).unwrap();
    assert!(committed.iter().all(|(_, committed)| &*committed.metadata == "1"), "no gaps are left: {committed:?}");
}

#[test]
fn letters_of_another_application_are_left_out() {
    let mut fixture = Fixture::new();
    let undelivered = Written { topic: telegram::DEAD_LETTERS, origin: ("telegram_outbox", "0", "3"), ..LETTER };
    for value in ["a", "b", "c"] {
        fixture.write(&Written { value: Some(value.as_bytes()), ..undelivered });
        fixture.write(&Written { value: Some(b"theirs"), origin: ("other_outbox", "0", "3"), ..undelivered });
    }
    let listed: Vec<serde_json::Value> = fixture.list(&Filter::default()).into_iter().map(|letter| letter.value).collect();
    assert_eq!(listed, ["a", "b", "c"]);
    let theirs = Filter { topic: Some("other_outbox".to_owned()), ..Filter::default() };
    assert_eq!((fixture.list(&theirs), fixture.replay(&theirs, true)), (Vec::new(), 0));
    assert_eq!((fixture.replay(&Filter::default(), false), fixture.replay(&Filter::default(), false)), (3, 0));
    assert_eq!((fixture.values("telegram_outbox").len(), fixture.values("other_outbox").len()), (3, 0));
    let committed = fixture.log.admin().group_offsets(LETTERS).unwrap();
    assert!(committed.iter().all(|(_, committed)| &*committed.metadata == "1"), "theirs make no gaps: {committed:?}");
}

#[test]
fn what_comes_after_the_plan_is_left() {
    let mut fixture = wrote(&["a"]);
    let filter = Filter::default();
    let plan = fixture.plan(&filter, false);
    fixture.write(&Written { value: Some(b"b"), ..LETTER });
    let outcome = fixture.letters().replay((&filter, false), &plan, &|| false, &mut |_| ()).unwrap();
    assert_eq!(outcome.replayed, 1);
    assert_eq!(fixture.replay(&filter, false), 1);
    assert_eq!(fixture.values("videos"), ["a", "b"]);
}

#[test]
fn a_plan_that_is_carried_out_twice_repeats_nothing() {
    let fixture = wrote(&["a", "b"]);
    let filter = Filter::default();
    let plan = fixture.plan(&filter, false);
    for replayed in [2, 0] {
        assert_eq!(fixture.letters().replay((&filter, false), &plan, &|| false, &mut |_| ()).unwrap().replayed, replayed);
    }
    assert_eq!(fixture.values("videos"), ["a", "b"]);
}

#[test]
fn an_interrupted_replay_goes_on_where_it_was() {
    let mut fixture = Fixture::new();
    let large = vec![b'x'; 1 << 20];
    for _ in 0..12 {
        fixture.write(&Written { value: Some(&large), ..LETTER });
    }
    let filter = Filter::default();
    let plan = fixture.plan(&filter, false);
    let told = std::cell::Cell::new(0);
    let outcome = fixture.letters().replay((&filter, false), &plan, &|| told.get() > 0, &mut |count| told.set(count)).unwrap();
    assert!(!outcome.complete && outcome.replayed >= 4, "{outcome:?}");
    assert_eq!((told.get(), fixture.records("videos").len() as u64), (outcome.replayed, outcome.replayed));
    assert_eq!(fixture.replay(&filter, false), 12 - outcome.replayed);
    assert_eq!(fixture.records("videos").len(), 12);
}

#[test]
fn what_has_no_way_back_is_listed_and_said() {
    let mut fixture = Fixture::new();
    fixture.write(&Written { origin: ("videos", "-1", "-1"), ..LETTER });
    fixture.write(&Written { origin: ("gone", "0", "1"), ..LETTER });
    fixture.write(&Written { origin: ("videos", "first", "1"), ..LETTER });
    let obstacles: Vec<_> = fixture.list(&Filter::default()).into_iter().filter_map(|letter| letter.obstacle).collect();
    let expected = [
        "it is a row of a file, which was never a record; import it again in a file that is mended",
        "the topic that it came from is not there",
        "its headers do not say where it came from",
    ];
    assert_eq!(obstacles, expected);
    insta::assert_snapshot!(fixture.plan(&Filter::default(), true), @r"
    There is nothing to replay.
    1 letter cannot be replayed: it is a row of a file, which was never a record; import it again in a file that is mended.
    1 letter cannot be replayed: its headers do not say where it came from.
    1 letter cannot be replayed: the topic that it came from is not there.
    ");
    assert_eq!(fixture.replay(&Filter::default(), true), 0);
}

#[test]
fn letters_of_a_topic_that_was_made_anew_are_new() {
    let mut fixture = wrote(&["a", "b"]);
    assert_eq!(fixture.replay(&Filter::default(), false), 2);
    fixture.log.admin().delete_topic(LETTERS).unwrap();
    fixture.log.admin().create_topic(LETTERS, &TopicConfig::keep(2)).unwrap();
    fixture.write(&Written { value: Some(b"c"), ..LETTER });
    assert_eq!(fixture.replay(&Filter::default(), false), 1);
    assert_eq!(fixture.values("videos"), ["a", "b", "c"]);
}

#[test]
fn too_many_gaps_are_refused_before_anything_is_done() {
    let mut fixture = Fixture::new();
    for letter in 0..2_400 {
        let message = if letter % 2 == 0 { "even" } else { "odd" };
        fixture.write(&Written { message, ..LETTER });
    }
    let error = fixture.letters().plan(&reason("odd"), false, &|| false).unwrap_err();
    assert_eq!(error.to_string(), "which letters of app-dead-letters-1 were replayed would take 4801 bytes to note; 4096 is the most");
    assert!(error.is_by_user() && fixture.records("videos").is_empty());
    assert_eq!(fixture.replay(&Filter::default(), false), 2_400);
}
