//! The node against a model that keeps every observation and computes each event from all of them.

use proptest::prelude::*;

use super::ksqldb::stored;
use super::*;

#[derive(Debug, Clone)]
struct Step {
    key: u8,
    /// Time relative to the step's place, so that some are late.
    shift: i64,
    /// None is a tombstone.
    row: Option<[Option<i64>; 2]>,
}

fn any_step() -> impl Strategy<Value = Step> {
    let field = prop_oneof![1 => Just(None), 3 => (0..3_i64).prop_map(Some)];
    let row = prop_oneof![1 => Just(None), 8 => [field.clone(), field].prop_map(Some)];
    (0..2_u8, -3..3_i64, row).prop_map(|(key, shift, row)| Step { key, shift, row })
}

fn any_options() -> impl Strategy<Value = Options> {
    any::<(bool, bool, bool, bool)>().prop_map(|(nulls, on_first, emit, order)| Options {
        nulls: if nulls { Nulls::Value } else { Nulls::Ignore },
        on_first: if on_first { OnFirst::Emit } else { OnFirst::Silent },
        emit: if emit { Emit::Every } else { Emit::Changes },
        order: if order { Order::Timestamp } else { Order::Offset },
        ..options(&["likes", "at"])
    })
}

/// What an event says: previous and current of both fields, both times, the bits of `changed`, and `removed`.
#[derive(Debug, PartialEq)]
struct Said {
    previous: [Option<i64>; 2],
    current: [Option<i64>; 2],
    previous_at: Option<i64>,
    current_at: i64,
    changed: u64,
    removed: bool,
}

/// All observations of a key that counted, oldest first, with their times.
type History = Vec<(i64, [Option<i64>; 2])>;

fn expected(history: &mut History, step: &Step, at: i64, options: &Options) -> Option<Said> {
    let last_at = history.last().map(|&(at, _)| at);
    if options.order == Order::Timestamp && last_at.is_some_and(|last| at < last) {
        return None;
    }
    let known = |history: &History, field: usize| -> Option<Option<i64>> {
        history.iter().rev().map(|(_, row)| row[field]).find(|value| value.is_some() || options.nulls == Nulls::Value)
    };
    let before = [0, 1].map(|field| known(history, field));
    let previous = before.map(Option::flatten);
    let Some(row) = step.row else {
        history.clear();
        return last_at.map(|_| Said { previous, current: previous, previous_at: last_at, current_at: at, changed: 0, removed: true });
    };
    history.push((at, row));
    let mut changed = 0;
    for field in [0, 1] {
        let counts = row[field].is_some() || options.nulls == Nulls::Value;
        let differs = match before[field] {
            Some(known) => known != row[field],
            None => options.on_first == OnFirst::Emit,
        };
        changed |= u64::from(counts && differs) << field;
    }
    let current = [0, 1].map(|field| known(history, field).flatten());
    let first = last_at.is_none() && options.on_first == OnFirst::Emit;
    let said = Said { previous, current, previous_at: last_at, current_at: at, changed, removed: false };
    (changed != 0 || first || options.emit == Emit::Every).then_some(said)
}

fn said(bench: &Bench, event: &Row) -> Said {
    let number = |path: &str| match bench.value(event, path) {
        Value::Long(value) => Some(*value),
        _ => None,
    };
    let Value::Names(set) = bench.value(event, "changed") else { panic!("changed holds names") };
    Said {
        previous: [number("previous.likes"), number("previous.at")],
        current: [number("current.likes"), number("current.at")],
        previous_at: number("previous.observed_at"),
        current_at: number("current.observed_at").unwrap(),
        changed: set.bits,
        removed: *bench.value(event, "removed") == Value::Boolean(true),
    }
}

proptest! {
    #[test]
    fn says_what_the_whole_history_says(options in any_options(), steps in proptest::collection::vec(any_step(), 1..40), reopen in 0..40_usize) {
        let mut bench = Bench::new(&options);
        let mut histories: [History; 2] = Default::default();
        for (place, step) in steps.iter().enumerate() {
            if place == reopen {
                bench = Bench::over(bench.context, &options);
            }
            let at = i64::try_from(place).unwrap() + step.shift;
            bench.context.timestamp = Timestamp(at);
            let row = step.row.map(|[likes, at]| {
                let mut row = Row::of(&input());
                row.values[1] = likes.map_or(Value::Null, Value::Long);
                row.values[5] = at.map_or(Value::Null, Value::Long);
                row
            });
            let before = bench.context.forwarded.len();
            bench.context.process(&mut bench.node, Some(&[step.key]), row.as_ref()).unwrap();
            let event = bench.context.forwarded.get(before).and_then(|forwarded| forwarded.value.clone());
            let history = &mut histories[usize::from(step.key)];
            prop_assert_eq!(event.map(|event| said(&bench, &event)), expected(history, step, at, &options), "step {}", place);
            for (field, known) in stored(&bench, &[step.key], 2).into_iter().enumerate() {
                let counted = history.iter().map(|(_, row)| row[field]).filter(|value| value.is_some() || options.nulls == Nulls::Value);
                let all: Vec<_> = counted.map(|value| value.map_or(Value::Null, Value::Long)).collect();
                prop_assert_eq!(&known, &all[all.len().saturating_sub(2)..]);
            }
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60), valid_start: bool) {
        let mut row = bytes;
        if valid_start && row.len() > 1 {
            row[0] = 1;
            row[1] &= 1;
        }
        let mut slots = vec![state::Slot::default(); 1];
        let fields = |place: usize| [(path_hash("likes"), TAG_LONG)].get(place).copied();
        match state::decode(&row, fields, &mut slots) {
            Ok(head) => prop_assert!(row[0] == 1 && (row[1] == 1) == head.before.is_some()),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
