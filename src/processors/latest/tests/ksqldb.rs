//! ksqlDB's documented cases of `LATEST_BY_OFFSET`, its output beside what we store and emit.
//!
//! From ksqlDB's `latest-offset-udaf.json`, the unwindowed cases of scalar columns (numbers as in the file's order; 1 to 3 are structs and maps,
//! 15 to 23 session windows: neither exists here). What we store is what ksqlDB's `LATEST_BY_OFFSET(col, 2)` returns. What we emit differs by choice:
//! ksqlDB writes a row per input, we write one per change.

use super::*;

struct Case {
    name: &'static str,
    nulls: Nulls,
    /// Keys and values as they come.
    inputs: Vec<(u8, Value)>,
    /// ksqlDB's array after each input; none: not in its file, by the source's rule.
    ksqldb: Vec<Vec<Value>>,
    /// Our event for each input, previous and current.
    ours: Vec<Option<[Value; 2]>>,
}

fn n(value: i64) -> Value {
    Value::Long(value)
}

const NULL: Value = Value::Null;

fn one_key(values: &[Value]) -> Vec<(u8, Value)> {
    values.iter().map(|value| (0, value.clone())).collect()
}

fn cases() -> Vec<Case> {
    let change = |previous: i64, current: i64| Some([n(previous), n(current)]);
    vec![
        Case {
            name: "7 and 8: nulls ignored; where ksqlDB writes [12] again for the null, we write nothing",
            nulls: Nulls::Ignore,
            inputs: one_key(&[n(12), NULL, n(13)]),
            ksqldb: vec![vec![n(12)], vec![n(12)], vec![n(12), n(13)]],
            ours: vec![None, None, change(12, 13)],
        },
        Case {
            name: "9 and 10: nulls kept",
            nulls: Nulls::Value,
            inputs: one_key(&[n(12), NULL, n(13)]),
            ksqldb: vec![vec![n(12)], vec![n(12), NULL], vec![NULL, n(13)]],
            ours: vec![None, Some([n(12), NULL]), Some([NULL, n(13)])],
        },
        Case {
            name: "11 and 14: all nulls",
            nulls: Nulls::Ignore,
            inputs: one_key(&[NULL, NULL]),
            ksqldb: vec![vec![], vec![]],
            ours: vec![None, None],
        },
        Case {
            name: "13: n, with nulls",
            nulls: Nulls::Ignore,
            inputs: one_key(&[n(12), NULL]),
            ksqldb: vec![vec![n(12)], vec![n(12)]],
            ours: vec![None, None],
        },
        Case {
            name: "12: two keys",
            nulls: Nulls::Ignore,
            inputs: vec![(0, n(12)), (1, n(12)), (0, n(21)), (1, n(21))],
            ksqldb: vec![vec![n(12)], vec![n(12)], vec![n(12), n(21)], vec![n(12), n(21)]],
            ours: vec![None, None, change(12, 21), change(12, 21)],
        },
        Case {
            name: "not in ksqlDB's file: N reached and exceeded",
            nulls: Nulls::Ignore,
            inputs: one_key(&[n(1), n(2), n(3), n(4)]),
            ksqldb: vec![vec![n(1)], vec![n(1), n(2)], vec![n(2), n(3)], vec![n(3), n(4)]],
            ours: vec![None, change(1, 2), change(2, 3), change(3, 4)],
        },
        Case {
            name: "not in ksqlDB's file: a change, then null: ksqlDB writes [1,2] again and its alert fires again, we write nothing",
            nulls: Nulls::Ignore,
            inputs: one_key(&[n(1), n(2), NULL, NULL, n(2)]),
            ksqldb: vec![vec![n(1)], vec![n(1), n(2)], vec![n(1), n(2)], vec![n(1), n(2)], vec![n(2), n(2)]],
            ours: vec![None, change(1, 2), None, None, None],
        },
    ]
}

/// The known values of each watched field of a key: the one before and the last.
pub(super) fn stored(bench: &Bench, key: &[u8], fields: usize) -> Vec<Vec<Value>> {
    let mut slots = vec![state::Slot::default(); fields];
    let Some(row) = bench.context.store.rows.get(key) else { return vec![Vec::new(); fields] };
    let watched = &bench.plan.shared.fields;
    state::decode(row, |place| watched.get(place).map(|field| (field.hash, field.tag)), &mut slots).unwrap();
    let known = slots.iter().zip(watched).map(|(slot, field)| {
        let value = |known: state::Known<'_>| {
            let mut value = Value::Null;
            known.value.copy_to(field.tag, &mut value);
            value
        };
        let pair = slot.pair(row);
        pair.and_then(|pair| pair.before).into_iter().chain(pair.map(|pair| pair.last)).map(value).collect()
    });
    known.collect()
}

#[test]
fn stores_what_ksqldb_returns_and_emits_what_changed() {
    for case in cases() {
        let mut bench = Bench::new(&Options { nulls: case.nulls, ..options(&["likes"]) });
        for (step, (key, value)) in case.inputs.iter().enumerate() {
            let mut row = Row::of(&input());
            row.values[1] = value.clone();
            let before = bench.context.forwarded.len();
            bench.context.process(&mut bench.node, Some(&[*key]), Some(&row)).unwrap();
            assert_eq!(stored(&bench, &[*key], 1)[0], case.ksqldb[step], "{} step {step}", case.name);
            let event = bench.context.forwarded.get(before).and_then(|forwarded| forwarded.value.as_ref());
            assert_eq!(event.map(|event| bench.likes(event)), case.ours[step], "{} step {step}", case.name);
        }
    }
}

/// Cases 4, 5 and 12: all primitive types, two keys, each value after another.
#[test]
fn all_types_give_the_latest_two() {
    let text = |text: &str| Value::String(text.to_owned());
    let columns = [
        ("title", text("foo"), text("bar")),
        ("likes", n(1000), n(2000)),
        ("score", Value::Double(1.23), Value::Double(2.23)),
        ("tags", Value::Strings(vec!["0".to_owned()]), Value::Strings(vec!["1".to_owned(), "2".to_owned()])),
        ("live", Value::Boolean(true), Value::Boolean(false)),
        ("at", n(1234), n(2345)),
        ("raw", Value::Bytes(b"a".to_vec()), Value::Bytes(b"b".to_vec())),
    ];
    let watch = columns.each_ref().map(|(path, ..)| *path);
    let mut bench = Bench::new(&options(&watch));
    let first = Row { values: columns.iter().map(|(_, first, _)| first.clone()).collect() };
    let second = Row { values: columns.iter().map(|(.., second)| second.clone()).collect() };
    for (key, row) in [(0, &first), (1, &first), (0, &second), (1, &second)] {
        bench.context.process(&mut bench.node, Some(&[key]), Some(row)).unwrap();
    }
    for key in [0, 1] {
        let expected: Vec<_> = columns.iter().map(|(_, first, second)| vec![first.clone(), second.clone()]).collect();
        assert_eq!(stored(&bench, &[key], columns.len()), expected);
    }
    assert_eq!(bench.context.forwarded.len(), 2);
}

/// Not in ksqlDB's file: a null in one column while another changes. ksqlDB's row carries the first column's old pair again, so `cur <> prev`
/// holds again; ours has the last known value on both sides.
#[test]
fn a_null_in_one_column_does_not_skew_the_other() {
    let mut bench = Bench::new(&options(&["likes", "score"]));
    let row = |likes: Value, score: f64| Row { values: vec![NULL, likes, Value::Double(score)] };
    bench.see(&row(n(1), 1.0));
    bench.see(&row(n(2), 1.0));
    let event = bench.see(&row(NULL, 2.0)).unwrap();
    assert_eq!(stored(&bench, b"k", 2)[0], [n(1), n(2)], "what ksqlDB's row would carry");
    assert_eq!(bench.likes(&event), [n(2), n(2)]);
    assert_eq!(bench.changed(&event), ["score"]);
}
