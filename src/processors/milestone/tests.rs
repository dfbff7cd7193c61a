//! The milestone node: its mark, its boundaries, and what it keeps.

use super::*;
use crate::processors::testing::{TestContext, connect};

fn change_shape() -> Shape {
    let field = |path: &str, ty, nullable| Field::new(path, ty, nullable);
    Shape {
        fields: vec![
            field("key", Type::String, false),
            field("previous.views", Type::Long, true),
            field("current.views", Type::Long, true),
            field("current.title", Type::String, true),
            field("removed", Type::Boolean, false),
        ],
    }
}

fn change(previous: Option<i64>, current: Option<i64>) -> Row {
    let number = |value: Option<i64>| value.map_or(Value::Null, Value::Long);
    let title = Value::String("T".to_owned());
    Row { values: vec![Value::String("k".to_owned()), number(previous), number(current), title, Value::Boolean(false)] }
}

fn options(boundaries: Boundaries) -> Options {
    let message = MessageOptions { chat_id: "7".to_owned(), text: "{{ boundary }}".to_owned(), ..MessageOptions::default() };
    Options { name: "views".to_owned(), store: "marks".to_owned(), field: "views".to_owned(), boundaries, message }
}

struct Bench {
    context: TestContext,
    node: Milestone,
}

impl Bench {
    fn new(options: &Options, shape: &Shape) -> Self {
        Self::over(TestContext::new(), options, shape)
    }

    fn over(mut context: TestContext, options: &Options, shape: &Shape) -> Self {
        context.forwarded.clear();
        let mut node = Plan::new(options, shape).unwrap().processor();
        connect(&mut node, &options.store).unwrap();
        Self { context, node }
    }

    /// The text of the message that this row makes.
    fn see(&mut self, row: &Row) -> Option<String> {
        let before = self.context.forwarded.len();
        self.context.process(&mut self.node, Some(b"k"), Some(row)).unwrap();
        assert!(self.context.forwarded.len() <= before + 1, "one message at most");
        let message = self.context.forwarded.get(before)?;
        assert_eq!(message.key.as_deref(), Some(&b"7"[..]));
        let Value::String(text) = message.value.as_ref()?.get(1) else { panic!("the text is a text") };
        Some(text.clone())
    }

    /// Rows with a plain field, one after another.
    fn plain(&mut self, values: &[Option<i64>]) -> Vec<Option<String>> {
        values.iter().map(|value| self.see(&Row { values: vec![value.map_or(Value::Null, Value::Long)] })).collect()
    }
}

fn plain_shape() -> Shape {
    Shape { fields: vec![Field::new("views", Type::Long, true)] }
}

#[expect(clippy::unnecessary_wraps, reason = "it stands beside none in what the steps say")]
fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn fires_once_for_the_highest_boundary_newly_reached() {
    let mut bench = Bench::new(&options(Boundaries::Every(200)), &plain_shape());
    let said = bench.plain(&[Some(150), Some(199), Some(200), Some(399), Some(1001), Some(1199)]);
    assert_eq!(said, [None, None, text("200"), None, text("1000"), None]);
}

#[test]
fn never_repeats_a_boundary_though_the_number_falls_and_rises() {
    let mut bench = Bench::new(&options(Boundaries::Every(200)), &plain_shape());
    let said = bench.plain(&[Some(390), Some(401), Some(399), Some(402), Some(100), Some(599), Some(600)]);
    assert_eq!(said, [None, text("400"), None, None, None, None, text("600")]);
}

#[test]
fn the_first_sight_sets_the_mark_in_silence() {
    let mut bench = Bench::new(&options(Boundaries::Every(200)), &plain_shape());
    assert_eq!(
        bench.plain(&[None, Some(1000), Some(1100), Some(900), Some(1000), Some(1200)]),
        [None, None, None, None, None, text("1200")]
    );
}

#[test]
fn a_list_of_boundaries_in_any_order() {
    let mut bench = Bench::new(&options(Boundaries::At(vec![1000, 10, 100])), &plain_shape());
    assert_eq!(bench.plain(&[Some(5), Some(9), Some(10), Some(2000), Some(5000)]), [None, None, text("10"), text("1000"), None]);
}

#[test]
fn negative_numbers_have_boundaries_too() {
    let mut bench = Bench::new(&options(Boundaries::Every(10)), &plain_shape());
    assert_eq!(bench.plain(&[Some(-25), Some(-20), Some(-19), Some(3)]), [None, text("-20"), None, text("0")]);
    assert_eq!(Boundaries::Every(3).reached(i64::MIN), None);
}

#[test]
fn a_new_rule_judges_against_the_previous_value() {
    let mut bench = Bench::new(&options(Boundaries::Every(200)), &change_shape());
    assert_eq!(bench.see(&change(Some(390), Some(410))), text("400"));
    assert_eq!(bench.see(&change(Some(410), Some(390))), None);
    assert_eq!(bench.see(&change(Some(390), Some(410))), None);
    let mut bench = Bench::new(&options(Boundaries::Every(200)), &change_shape());
    assert_eq!(bench.see(&change(None, Some(410))), None);
    assert_eq!(bench.see(&change(Some(410), Some(600))), text("600"));
    let mut bench = Bench::new(&options(Boundaries::Every(200)), &change_shape());
    assert_eq!(bench.see(&change(Some(410), Some(390))), None, "it fell: the mark is the higher one");
    assert_eq!(bench.see(&change(Some(390), Some(410))), None);
}

#[test]
fn a_null_says_nothing_and_a_removed_key_keeps_its_mark() {
    let mut bench = Bench::new(&options(Boundaries::Every(200)), &change_shape());
    assert_eq!(bench.see(&change(Some(390), Some(410))), text("400"));
    assert_eq!(bench.see(&change(Some(410), None)), None);
    let mut removed = change(Some(800), Some(800));
    removed.values[4] = Value::Boolean(true);
    assert_eq!(bench.see(&removed), None);
    bench.context.process(&mut bench.node, Some(b"k"), None).unwrap();
    assert_eq!(bench.see(&change(Some(390), Some(410))), None);
    assert_eq!(bench.see(&change(Some(410), Some(800))), text("800"));
}

#[test]
fn a_boundary_reached_while_the_condition_is_false_is_passed_in_silence() {
    let mut options = options(Boundaries::Every(200));
    options.message.when = Some("current.title == 'T' && boundary >= 600".to_owned());
    let mut bench = Bench::new(&options, &change_shape());
    assert_eq!(bench.see(&change(Some(390), Some(410))), None);
    assert_eq!(bench.see(&change(Some(410), Some(450))), None);
    assert_eq!(bench.see(&change(Some(450), Some(650))), text("600"));
}

#[test]
fn a_message_that_cannot_be_made_leaves_the_mark() {
    let mut options = options(Boundaries::Every(200));
    options.message.text = "{{ current.title }}".to_owned();
    let mut bench = Bench::new(&options, &change_shape());
    bench.see(&change(Some(390), Some(391)));
    let mut untitled = change(Some(391), Some(410));
    untitled.values[3] = Value::Null;
    let error = bench.context.process(&mut bench.node, Some(b"k"), Some(&untitled)).unwrap_err();
    assert_eq!(error.to_string(), "the text of views is empty for this record");
    assert_eq!(bench.see(&change(Some(391), Some(410))), text("T"));
}

#[test]
fn other_boundaries_and_other_fields_need_no_migration() {
    let mut bench = Bench::new(&options(Boundaries::Every(200)), &plain_shape());
    bench.plain(&[Some(390), Some(450)]);
    let mut bench = Bench::over(bench.context, &options(Boundaries::Every(50)), &plain_shape());
    assert_eq!(bench.plain(&[Some(460), Some(500)]), [None, text("500")]);
    let likes = Options { field: "likes".to_owned(), ..options(Boundaries::Every(10)) };
    let shape = Shape { fields: vec![Field::new("likes", Type::Long, true)] };
    let mut bench = Bench::over(bench.context, &likes, &shape);
    assert_eq!(bench.plain(&[Some(5), Some(10)]), [None, text("10")]);
}

#[test]
fn the_stored_mark_never_changes_its_form_and_a_damaged_one_is_an_error_of_the_store() {
    let mut bench = Bench::new(&options(Boundaries::Every(200)), &plain_shape());
    bench.plain(&[Some(390)]);
    let expected = [&[1][..], &path_hash("views").to_le_bytes(), &[2, 0x8c, 0x06]].concat();
    assert_eq!(bench.context.store.rows[&b"k"[..]], expected);
    for bad in [vec![], vec![2, 0, 0, 0, 0, 2, 0], expected[..expected.len() - 1].to_vec()] {
        bench.context.store.rows.insert(b"k".to_vec(), bad);
        let row = Row { values: vec![Value::Long(1)] };
        let error = bench.context.process(&mut bench.node, Some(b"k"), Some(&row)).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(kv::Error::Corrupt { store, .. }) if store == "marks"));
    }
    let error = bench.context.process(&mut bench.node, None, Some(&Row { values: vec![Value::Long(1)] })).unwrap_err();
    assert_eq!(error.to_string(), "a record without a key cannot have a mark in marks");
}

#[test]
fn says_what_is_wrong_with_the_options() {
    let faults = |options: &Options, shape: &Shape| {
        let faults = Plan::new(options, shape).unwrap_err();
        faults
            .into_iter()
            .map(|fault| format!("{}: {} | {}", fault.option, fault.fault.message, fault.fault.hint.unwrap_or_default()))
            .collect::<Vec<_>>()
    };
    let good = options(Boundaries::Every(200));
    let field = |field: &str| Options { field: field.to_owned(), ..good.clone() };
    assert_eq!(faults(&field("vews"), &change_shape()), ["field: unknown field `vews` | did you mean `views`?"]);
    assert_eq!(faults(&field("likes"), &change_shape()), ["field: unknown field `likes` | the numbers are views"]);
    assert_eq!(faults(&field("title"), &change_shape()), ["field: `title` is a string, a milestone needs a long | "]);
    assert_eq!(faults(&options(Boundaries::Every(0)), &change_shape()), ["every: `every` must be above 0 | "]);
    let mut all = options(Boundaries::At(vec![]));
    all.message = MessageOptions {
        when: Some("bondary > 1".to_owned()),
        text: " ".to_owned(),
        parse_mode: "html".to_owned(),
        ..MessageOptions::default()
    };
    assert_eq!(
        faults(&all, &change_shape()),
        [
            "at: `at` has no boundaries | ",
            "when: unknown field `bondary` | did you mean `boundary`?",
            "parse_mode: unknown parse_mode `html` | did you mean `HTML`?",
            "text: the text is empty | ",
            "chat_id: the chat id is empty | ",
        ]
    );
    let mut taken = change_shape();
    taken.fields.push(Field::new("boundary", Type::Long, false));
    assert_eq!(faults(&good, &taken), ["field: the input has a field `boundary`, which a milestone adds itself | "]);
    let plan = Plan::new(&field("current.views"), &change_shape()).unwrap();
    assert_eq!(plan.layout().fields.get("views").map(String::as_str), Some("long"));
}
