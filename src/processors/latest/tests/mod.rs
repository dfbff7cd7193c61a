//! The latest node: a test per clause, ksqlDB's documented cases, and a model over whole histories.

use super::node::Latest;
use super::state;
use super::*;
use crate::avro::{NameSet, Row, Value};
use crate::processors::testing::{TestContext, connect};
use crate::streams::clock::Timestamp;
use crate::streams::log::HeadersBuf;

mod ksqldb;
mod model;

fn input() -> Shape {
    let field = |path: &str, ty| Field::new(path, ty, true);
    Shape {
        fields: vec![
            field("title", Type::String),
            field("likes", Type::Long),
            field("score", Type::Double),
            field("tags", Type::Strings),
            field("live", Type::Boolean),
            field("at", Type::Timestamp),
            field("raw", Type::Bytes),
        ],
    }
}

/// An observation of title and likes.
fn seen(title: Option<&str>, likes: Option<i64>) -> Row {
    let mut row = Row::of(&input());
    row.values[0] = title.map_or(Value::Null, |title| Value::String(title.to_owned()));
    row.values[1] = likes.map_or(Value::Null, Value::Long);
    row
}

fn options(watch: &[&str]) -> Options {
    Options { store: "changes".to_owned(), watch: watch.iter().map(|&path| path.to_owned()).collect(), ..Options::default() }
}

/// A node over one store, and what it made of its input.
struct Bench {
    context: TestContext,
    plan: Plan,
    node: Latest,
}

impl Bench {
    fn new(options: &Options) -> Self {
        Self::over(TestContext::new(), options)
    }

    /// A node that starts on the rows that another one left.
    fn over(mut context: TestContext, options: &Options) -> Self {
        context.forwarded.clear();
        let plan = Plan::new(options, &input()).unwrap();
        let mut node = plan.processor();
        connect(&mut node, &options.store).unwrap();
        Self { context, plan, node }
    }

    fn see(&mut self, row: &Row) -> Option<Row> {
        self.process(Some(row))
    }

    fn process(&mut self, row: Option<&Row>) -> Option<Row> {
        let before = self.context.forwarded.len();
        self.context.process(&mut self.node, Some(b"k"), row).unwrap();
        assert!(self.context.forwarded.len() <= before + 1, "at most one event per record");
        self.context.forwarded.get(before).and_then(|forwarded| forwarded.value.clone())
    }

    fn value<'a>(&self, event: &'a Row, path: &str) -> &'a Value {
        event.get(self.plan.shape().index_of(path).unwrap())
    }

    fn changed(&self, event: &Row) -> Vec<String> {
        let Value::Names(set) = self.value(event, "changed") else { panic!("changed holds names") };
        set.iter().map(str::to_owned).collect()
    }

    fn likes(&self, event: &Row) -> [Value; 2] {
        ["previous.likes", "current.likes"].map(|path| self.value(event, path).clone())
    }
}

fn long(value: i64) -> Value {
    Value::Long(value)
}

#[test]
fn an_event_carries_every_watched_field_and_names_those_that_changed() {
    let mut bench = Bench::new(&options(&["title", "likes"]));
    assert_eq!(bench.see(&seen(Some("a"), Some(1))), None);
    let event = bench.see(&seen(Some("a"), Some(2))).unwrap();
    let expected = [
        ("key", Value::String("k".to_owned())),
        ("previous.title", Value::String("a".to_owned())),
        ("current.title", Value::String("a".to_owned())),
        ("previous.likes", long(1)),
        ("current.likes", long(2)),
        ("previous.observed_at", long(1_000)),
        ("current.observed_at", long(2_000)),
        ("changed", Value::Names(NameSet { names: ["title", "likes"].map(Arc::from).into(), bits: 0b10 })),
        ("removed", Value::Boolean(false)),
        ("reason", Value::Null),
    ];
    assert_eq!(bench.plan.shape().fields.len(), expected.len());
    for (path, value) in expected {
        assert_eq!(bench.value(&event, path), &value, "{path}");
    }
    let forwarded = &bench.context.forwarded[0];
    assert_eq!((forwarded.key.as_deref(), forwarded.timestamp), (Some(&b"k"[..]), Timestamp(2_000)));
}

#[test]
fn an_unchanged_field_has_its_last_known_value_on_both_sides() {
    let mut bench = Bench::new(&options(&["title", "likes"]));
    bench.see(&seen(Some("a"), Some(1)));
    bench.see(&seen(Some("a"), Some(2)));
    let event = bench.see(&seen(Some("b"), Some(2))).unwrap();
    assert_eq!(bench.likes(&event), [long(2), long(2)]);
    assert_eq!(bench.changed(&event), ["title"]);
}

#[test]
fn a_null_leaves_its_field_and_never_fires_an_old_pair_again() {
    let mut bench = Bench::new(&options(&["title", "likes"]));
    bench.see(&seen(Some("a"), Some(1)));
    bench.see(&seen(Some("a"), Some(2)));
    assert_eq!(bench.see(&seen(Some("a"), None)), None);
    let event = bench.see(&seen(Some("b"), None)).unwrap();
    assert_eq!(bench.likes(&event), [long(2), long(2)]);
    assert_eq!(bench.changed(&event), ["title"]);
    let event = bench.see(&seen(None, Some(5))).unwrap();
    assert_eq!(bench.likes(&event), [long(2), long(5)]);
}

#[test]
fn null_can_be_a_value_of_its_own() {
    let mut bench = Bench::new(&Options { nulls: Nulls::Value, ..options(&["likes"]) });
    bench.see(&seen(None, Some(1)));
    let hidden = bench.see(&seen(None, None)).unwrap();
    assert_eq!(bench.likes(&hidden), [long(1), Value::Null]);
    assert_eq!(bench.see(&seen(None, None)), None);
    let shown = bench.see(&seen(None, Some(1))).unwrap();
    assert_eq!(bench.likes(&shown), [Value::Null, long(1)]);
}

#[test]
fn the_first_sight_makes_an_event_only_when_asked() {
    assert_eq!(Bench::new(&options(&["likes"])).see(&seen(None, Some(1))), None);
    let mut bench = Bench::new(&Options { on_first: OnFirst::Emit, ..options(&["title", "likes"]) });
    let event = bench.see(&seen(None, Some(1))).unwrap();
    assert_eq!(bench.likes(&event), [Value::Null, long(1)]);
    assert_eq!(bench.changed(&event), ["likes"]);
    assert_eq!(bench.value(&event, "previous.observed_at"), &Value::Null);
    let event = bench.see(&seen(Some("a"), Some(1))).unwrap();
    assert_eq!(bench.changed(&event), ["title"]);
}

#[test]
fn the_first_value_of_a_field_is_no_change() {
    let mut bench = Bench::new(&options(&["title", "likes"]));
    bench.see(&seen(Some("a"), None));
    assert_eq!(bench.see(&seen(Some("a"), Some(1))), None);
    let event = bench.see(&seen(Some("a"), Some(2))).unwrap();
    assert_eq!(bench.likes(&event), [long(1), long(2)]);
    // Together with a change of another field it shows, with a null previous.
    let mut bench = Bench::new(&options(&["title", "likes"]));
    bench.see(&seen(Some("a"), None));
    let event = bench.see(&seen(Some("b"), Some(1))).unwrap();
    assert_eq!(bench.likes(&event), [Value::Null, long(1)]);
    assert_eq!(bench.changed(&event), ["title"]);
}

#[test]
fn a_repeated_observation_emits_nothing_but_counts_as_seen() {
    let mut bench = Bench::new(&options(&["likes"]));
    bench.see(&seen(None, Some(1)));
    assert_eq!(bench.see(&seen(None, Some(1))), None);
    let event = bench.see(&seen(None, Some(2))).unwrap();
    assert_eq!(bench.value(&event, "previous.observed_at"), &long(2_000));
}

#[test]
fn every_record_makes_an_event_when_asked() {
    let mut bench = Bench::new(&Options { emit: Emit::Every, ..options(&["likes"]) });
    let first = bench.see(&seen(None, Some(1))).unwrap();
    assert_eq!((bench.likes(&first), bench.changed(&first)), ([Value::Null, long(1)], vec![]));
    let same = bench.see(&seen(None, Some(1))).unwrap();
    assert_eq!((bench.likes(&same), bench.changed(&same)), ([long(1), long(1)], vec![]));
}

#[test]
fn a_tombstone_forgets_the_key_and_emits_removed() {
    let mut bench = Bench::new(&options(&["title", "likes"]));
    assert_eq!(bench.process(None), None, "an unknown key is not removed");
    bench.see(&seen(Some("a"), Some(1)));
    bench.see(&seen(Some("b"), Some(2)));
    let removed = bench.process(None).unwrap();
    assert_eq!(bench.value(&removed, "removed"), &Value::Boolean(true));
    assert_eq!(bench.likes(&removed), [long(2), long(2)]);
    assert_eq!(bench.value(&removed, "previous.title"), &Value::String("b".to_owned()));
    assert!(bench.changed(&removed).is_empty());
    assert_eq!(bench.value(&removed, "current.observed_at"), &long(4_000));
    assert!(bench.context.store.rows.is_empty());
    assert_eq!(bench.process(None), None);
    assert_eq!(bench.see(&seen(Some("a"), Some(9))), None, "back again is a first sight");
    let event = bench.see(&seen(Some("a"), Some(10))).unwrap();
    assert_eq!(bench.value(&event, "removed"), &Value::Boolean(false));
}

#[test]
fn a_removed_event_has_the_reason_that_its_tombstone_gives() {
    type Given<'a> = &'a [(&'a str, Option<&'a [u8]>)];
    let long_text = "\u{e9}".repeat(REASON_CHARS_MAX + 1);
    let cases: [(Given<'_>, Option<&str>); 6] = [
        (&[("reason", Some(b"private"))], Some("private")),
        (&[("reason", Some(b"gone")), ("Reason", Some(b"x")), ("reason", Some(b"left-playlist"))], Some("left-playlist")),
        (&[("reason", Some(long_text.as_bytes()))], long_text.strip_suffix('\u{e9}')),
        (&[("reason", Some(b"\xff"))], None),
        (&[("reason", Some(b""))], None),
        (&[("reason", None)], None),
    ];
    let mut bench = Bench::new(&options(&["likes"]));
    for (given, expected) in cases {
        bench.see(&seen(None, Some(1)));
        let seen_again = bench.see(&seen(None, Some(2))).unwrap();
        assert_eq!(bench.value(&seen_again, "reason"), &Value::Null, "that of the one before is forgotten");
        let mut headers = HeadersBuf::default();
        for (name, value) in given {
            headers.push(name, *value);
        }
        bench.context.process_with(&mut bench.node, Some(b"k"), None, headers.as_headers()).unwrap();
        let removed = bench.context.rows().pop().unwrap();
        assert_eq!(bench.value(&removed, "reason"), &expected.map_or(Value::Null, |text| Value::String(text.to_owned())));
    }
}

#[test]
fn by_timestamp_a_late_record_is_left_out_and_counted() {
    for (order, late) in [(Order::Offset, 0), (Order::Timestamp, 2)] {
        let mut bench = Bench::new(&Options { order, ..options(&["likes"]) });
        bench.context.timestamp = Timestamp(5_000);
        bench.see(&seen(None, Some(1)));
        bench.context.timestamp = Timestamp(4_999);
        assert_eq!(bench.see(&seen(None, Some(2))).is_none(), late > 0);
        bench.context.timestamp = Timestamp(1_000);
        assert_eq!(bench.process(None).is_none(), late > 0);
        assert_eq!(bench.context.counts.get("late_records_total").copied().unwrap_or(0), late);
        bench.context.timestamp = Timestamp(5_000);
        let same_time = bench.see(&seen(None, Some(3)));
        assert_eq!(same_time.is_some(), late > 0, "the same time is not late; by offset the key was forgotten before");
    }
}

#[test]
fn a_record_without_a_usable_key_is_an_error() {
    let mut bench = Bench::new(&options(&["likes"]));
    let error = bench.context.process(&mut bench.node, None, Some(&seen(None, Some(1)))).unwrap_err();
    assert_eq!(error.to_string(), "a record without a key has no previous observation in changes");
    let error = bench.context.process(&mut bench.node, Some(b"\xff"), Some(&seen(None, Some(1)))).unwrap_err();
    assert_eq!(error.to_string(), "the key of a record for changes cannot be read");
    assert_eq!(error.source().unwrap().to_string(), "the key is not UTF-8");
    assert!(bench.context.store.rows.is_empty());
}

#[test]
fn all_types_come_back() {
    let watch = ["title", "likes", "score", "tags", "live", "at", "raw"];
    let mut bench = Bench::new(&options(&watch));
    let text = |text: &str| Value::String(text.to_owned());
    let list = |list: &[&str]| Value::Strings(list.iter().map(|&item| item.to_owned()).collect());
    let a = vec![
        text("é\0🎬"),
        long(i64::MIN),
        Value::Double(f64::NAN),
        list(&["a", ""]),
        Value::Boolean(false),
        long(0),
        Value::Bytes(vec![0, 255]),
    ];
    let b = vec![text(""), long(i64::MAX), Value::Double(-0.5), list(&[]), Value::Boolean(true), long(-1), Value::Bytes(vec![])];
    bench.see(&Row { values: a.clone() });
    assert_eq!(bench.see(&Row { values: a.clone() }), None, "a NaN is the same NaN");
    let event = bench.see(&Row { values: b.clone() }).unwrap();
    for (index, path) in watch.iter().enumerate() {
        let previous = bench.value(&event, &format!("previous.{path}"));
        assert!(*previous == a[index] || *path == "score", "{path}");
        assert_eq!(bench.value(&event, &format!("current.{path}")), &b[index], "{path}");
    }
    assert_eq!(bench.changed(&event), watch);
}

#[test]
fn watching_other_fields_needs_no_migration() {
    let mut bench = Bench::new(&options(&["title", "likes"]));
    bench.see(&Row { values: vec![Value::String("a".to_owned()), long(1), Value::Double(0.5)] });
    bench.see(&Row { values: vec![Value::String("b".to_owned()), long(2), Value::Double(0.5)] });
    let mut bench = Bench::over(bench.context, &options(&["score", "likes"]));
    let row = |likes, score| Row { values: vec![Value::Null, long(likes), Value::Double(score)] };
    let event = bench.see(&row(3, 0.5)).unwrap();
    assert_eq!(bench.likes(&event), [long(2), long(3)]);
    assert_eq!(bench.value(&event, "previous.score"), &Value::Null, "null until it was seen twice");
    assert_eq!(bench.value(&event, "current.score"), &Value::Double(0.5));
    assert_eq!(bench.changed(&event), ["likes"]);
    let event = bench.see(&row(3, 1.5)).unwrap();
    assert_eq!(bench.value(&event, "previous.score"), &Value::Double(0.5));
}

#[test]
fn a_newly_watched_field_alone_makes_no_event() {
    let mut bench = Bench::new(&options(&["likes"]));
    bench.see(&seen(Some("a"), Some(1)));
    let mut bench = Bench::over(bench.context, &options(&["likes", "title"]));
    assert_eq!(bench.see(&seen(Some("a"), Some(1))), None);
    assert!(bench.see(&seen(Some("b"), Some(1))).is_some());
}

#[test]
fn stored_rows_never_change_their_form() {
    let mut bench = Bench::new(&options(&["title", "likes"]));
    bench.see(&seen(Some("a"), Some(1)));
    bench.see(&seen(None, Some(2)));
    let row = &bench.context.store.rows[&b"k"[..]];
    // version, flags, offset 1, time 2,000, deltas 1 and 1,000; title seen before only; likes 2 after 1.
    let [title, likes] = ["title", "likes"].map(|path| path_hash(path).to_le_bytes());
    let expected = [&[1, 1, 2, 0xa0, 0x1f, 2, 0xd0, 0x0f][..], &title, &[0xf5, 0b01, 2, b'a'], &likes, &[0x22, 0b0100, 4, 2]].concat();
    assert_eq!(row, &expected);
}

#[test]
fn damaged_and_foreign_rows_are_errors_of_the_store() {
    let mut bench = Bench::new(&options(&["likes"]));
    bench.see(&seen(None, Some(1)));
    let good = bench.context.store.rows[&b"k"[..]].clone();
    let mut errors = Vec::new();
    let newer = [&[9], &good[1..]].concat();
    let cut = good[..good.len() - 1].to_vec();
    let mut retyped = good.clone();
    retyped[9] = 0xf5;
    retyped[11] = 0;
    for bad in [newer, cut, vec![], retyped] {
        bench.context.store.rows.insert(b"k".to_vec(), bad);
        let error = bench.context.process(&mut bench.node, Some(b"k"), Some(&seen(None, Some(2)))).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(crate::streams::kv::Error::Corrupt { store, .. }) if store == "changes"));
        errors.push(error.source().unwrap().to_string());
    }
    let hash = path_hash("likes");
    let expected = [
        "a stored row has version 9, this program knows version 1".to_owned(),
        format!("a stored row of {} bytes ends too early or is malformed", good.len() - 1),
        "a stored row of 0 bytes ends too early or is malformed".to_owned(),
        format!("a stored field has type tag 5, the field with hash {hash:08x} has 2 now"),
    ];
    assert_eq!(errors, expected);
}

#[test]
fn says_what_is_wrong_with_the_options() {
    let mut input = input();
    input.fields.push(Field::new("observed_at", Type::Timestamp, false));
    input.fields.push(Field::new("changed", Type::Names(["x"].map(Arc::from).into()), false));
    let faults = |watch: &[&str]| {
        let faults = Plan::new(&options(watch), &input).unwrap_err();
        faults.into_iter().map(|fault| (fault.index, fault.fault.message, fault.fault.hint)).collect::<Vec<_>>()
    };
    assert_eq!(faults(&[]), [(None, "no field is watched".to_owned(), None)]);
    assert_eq!(
        faults(&["likes", "lieks", "likes", "observed_at", "changed"]),
        [
            (Some(1), "unknown field `lieks`".to_owned(), Some("did you mean `likes`?".to_owned())),
            (Some(2), "`likes` is watched twice".to_owned(), None),
            (Some(3), "`observed_at` cannot be watched: the event's own times have this name".to_owned(), None),
            (Some(4), "`changed` is a set of names, which cannot be watched".to_owned(), None),
        ]
    );
}

#[test]
fn two_fields_with_one_hash_are_refused() {
    // Found by search: the first two of the names f0, f1, ... that share a hash.
    let mut seen = std::collections::HashMap::new();
    let (a, b) = (0..400_000_u32)
        .find_map(|number| {
            let path = format!("f{number}");
            seen.insert(path_hash(&path), path.clone()).map(|other| (other, path))
        })
        .expect("300,000 names in 2^32 hashes share one with near certainty");
    let input = Shape { fields: vec![Field::new(a.as_str(), Type::Long, true), Field::new(b.as_str(), Type::Long, true)] };
    let faults = Plan::new(&options(&[&a, &b]), &input).unwrap_err();
    assert_eq!(faults[0].index, Some(1));
    assert!(faults[0].fault.message.contains("the same hash"), "{faults:?}");
}

#[test]
fn the_layout_names_fields_and_types() {
    let plan = Plan::new(&options(&["title", "likes"]), &input()).unwrap();
    assert_eq!(plan.layout().kind, "latest");
    let fields: Vec<_> = plan.layout().fields.iter().map(|(path, ty)| (path.as_str(), ty.as_str())).collect();
    assert_eq!(fields, [("likes", "long"), ("title", "string")]);
}
