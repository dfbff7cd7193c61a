//! Fuzz targets: conditions, templates, stored rows of nodes.

use std::hint::black_box;

use std::sync::Arc;

use super::testing::{TestContext, connect};
use super::{Condition, Escape, Fault, Template, latest};
use crate::avro::{Field, NameSet, Row, Shape, Type, Value};
use crate::fuzzing::input::run;

/// A field of each type, some of which may be null.
fn shape() -> (Shape, Arc<[Arc<str>]>) {
    let names: Arc<[Arc<str>]> = ["likes".into(), "views".into()].into();
    let field = |path: &str, ty: Type, nullable: bool| Field::new(path, ty, nullable);
    let fields = vec![
        field("a", Type::Long, false),
        field("b", Type::Long, true),
        field("x.d", Type::Double, true),
        field("x.t", Type::String, true),
        field("x.s", Type::String, false),
        field("f", Type::Boolean, true),
        field("at", Type::Timestamp, false),
        field("raw", Type::Bytes, true),
        field("tags", Type::Strings, true),
        field("changed", Type::Names(Arc::clone(&names)), false),
    ];
    (Shape { fields }, names)
}

/// Rows with everything, with nothing that may be missing, and with what is at the ends of what there is.
fn rows(names: &Arc<[Arc<str>]>) -> [Row; 3] {
    let set = |bits| Value::Names(NameSet { names: Arc::clone(names), bits });
    let text = |text: &str| Value::String(text.to_owned());
    let (full, bare, extreme) = (
        vec![
            Value::Long(3),
            Value::Long(7),
            Value::Double(0.5),
            text("<a> & \"b\""),
            text("s"),
            Value::Boolean(true),
            Value::Long(1_785_000_000_000),
            Value::Bytes(vec![0, 255]),
            Value::Strings(vec!["a".to_owned(), "<b>".to_owned()]),
            set(1),
        ],
        vec![
            Value::Long(0),
            Value::Null,
            Value::Null,
            Value::Null,
            text(""),
            Value::Null,
            Value::Long(0),
            Value::Null,
            Value::Null,
            set(0),
        ],
        vec![
            Value::Long(i64::MIN),
            Value::Long(i64::MAX),
            Value::Double(f64::NAN),
            text(&"ß".repeat(40)),
            text("\u{0}"),
            Value::Boolean(false),
            Value::Long(i64::MAX),
            Value::Bytes(Vec::new()),
            Value::Strings(Vec::new()),
            set(3),
        ],
    );
    [full, bare, extreme].map(|values| Row { values })
}

fn check(text: &str, faults: &[Fault]) {
    assert!(!faults.is_empty());
    for fault in faults {
        assert!(text.get(fault.span.clone()).is_some(), "{:?} of {} bytes: {}", fault.span, text.len(), fault.message);
        assert!(!fault.message.is_empty());
    }
}

/// The text of a condition.
pub(crate) fn condition(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (shape, names) = shape();
    match Condition::compile(text, &shape) {
        Ok(condition) => {
            for row in rows(&names) {
                black_box(condition.test(&row).is_ok());
            }
        }
        Err(faults) => check(text, &faults),
    }
}

/// The text of a template.
pub(crate) fn template(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (shape, names) = shape();
    for escape in [Escape::None, Escape::Html] {
        match Template::compile(text, &shape, escape) {
            Ok(template) => {
                for row in rows(&names) {
                    let mut out = String::new();
                    if template.render(&row, &mut out).is_ok() {
                        assert!(out.len() <= super::template::OUTPUT_BYTES_MAX, "{} bytes", out.len());
                    }
                }
            }
            Err(faults) => check(text, &faults),
        }
    }
}

/// Stored rows of a `latest` node, which it then compares with observations; their lengths stand before them.
pub(crate) fn stored(mut input: &[u8]) {
    let (shape, names) = shape();
    let watch = ["a", "b", "x.d", "x.t", "f", "at", "raw", "tags"].map(str::to_owned).to_vec();
    let options = latest::Options { store: "s".to_owned(), watch, ..latest::Options::default() };
    let plan = latest::Plan::new(&options, &shape).unwrap_or_else(|faults| panic!("{faults:?}"));
    let mut node = plan.processor();
    let mut context = TestContext::new();
    connect(&mut node, "s").unwrap_or_else(|error| panic!("{error}"));
    while let Some(row) = run(&mut input) {
        context.store.rows.insert(b"k".to_vec(), row.to_vec());
        for observed in rows(&names) {
            // A row that cannot be read stays as it is; one that can be is written anew, and read by the next turn.
            if context.process(&mut node, Some(b"k"), Some(&observed)).is_err() {
                assert_eq!(context.store.rows.get(&b"k"[..]).map(Vec::as_slice), Some(row));
                break;
            }
        }
        drop(context.process(&mut node, Some(b"k"), None));
    }
    assert!(context.forwarded.iter().filter_map(|record| record.value.as_ref()).all(|row| row.values.len() == plan.shape().fields.len()));
}
