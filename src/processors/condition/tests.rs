//! Conditions: each message with its place, guards, nulls, and both ways of evaluating alike.

use proptest::prelude::*;

use super::*;
use crate::avro::{Field, NameSet, Type, Value};

fn shape() -> Shape {
    let names: std::sync::Arc<[std::sync::Arc<str>]> = ["title", "likes"].map(std::sync::Arc::from).into();
    let field = |path: &str, ty, nullable| Field::new(path, ty, nullable);
    Shape {
        fields: vec![
            field("key", Type::String, false),
            field("previous.likes", Type::Long, true),
            field("current.likes", Type::Long, true),
            field("current.title", Type::String, true),
            field("current.score", Type::Double, true),
            field("current.live", Type::Boolean, true),
            field("current.tags", Type::Strings, true),
            field("previous.observed_at", Type::Timestamp, true),
            field("current.observed_at", Type::Timestamp, false),
            field("changed", Type::Names(names), false),
            field("removed", Type::Boolean, false),
            field("raw", Type::Bytes, true),
            field("count", Type::Long, false),
        ],
    }
}

/// A row where what may be null is null.
fn nulls() -> Row {
    let shape = shape();
    let Type::Names(names) = &shape.field("changed").unwrap().ty else { panic!("changed holds names") };
    let mut row = Row::of(&shape);
    row.values[0] = Value::String("k".to_owned());
    row.values[8] = Value::Long(3_600_000);
    row.values[9] = Value::Names(NameSet { names: std::sync::Arc::clone(names), bits: 0 });
    row.values[10] = Value::Boolean(false);
    row.values[12] = Value::Long(0);
    row
}

/// A row where everything is known.
fn known() -> Row {
    let mut row = nulls();
    row.values[1] = Value::Long(412);
    row.values[2] = Value::Long(415);
    row.values[3] = Value::String("Ein Lied über Rust".to_owned());
    row.values[4] = Value::Double(1.5);
    row.values[5] = Value::Boolean(true);
    row.values[6] = Value::Strings(vec!["a".to_owned(), "b".to_owned()]);
    row.values[7] = Value::Long(0);
    if let Value::Names(set) = &mut row.values[9] {
        set.bits = 0b10;
    }
    row.values[11] = Value::Bytes(vec![1]);
    row.values[12] = Value::Long(7);
    row
}

fn compile(text: &str) -> Condition {
    Condition::compile(text, &shape()).unwrap_or_else(|faults| panic!("{text}: {faults:?}"))
}

#[test]
fn tests_rows() {
    // Condition, its result where everything is known, its result where all that may be null is null.
    for (text, with_values, with_nulls) in [
        ("true", true, true),
        ("current.likes != previous.likes", true, false),
        ("current.likes == previous.likes", false, false),
        ("current.likes > previous.likes", true, false),
        ("current.likes <= 415", true, false),
        ("current.likes == null", false, true),
        ("null == current.likes", false, true),
        ("current.likes != null", true, false),
        ("has(current.likes)", true, false),
        ("null == null", true, true),
        ("!(current.likes > 1000)", true, true),
        ("!(current.likes != 5)", false, true),
        ("current.likes != null && previous.likes != null && current.likes - previous.likes >= 3", true, false),
        ("current.likes == null || current.likes + 1 == 416", true, true),
        ("current.likes != null ? current.likes * 2 == 830 : count == 0", true, true),
        ("current.likes > 0 && -current.likes < 0", true, false),
        ("current.likes > 0 && current.likes / 100 == 4 && -7 / 2 == -3 && -7 % 2 == -1", true, false),
        ("current.score > 1", true, false),
        ("1 < current.score", true, false),
        ("current.score == 1.5", true, false),
        ("current.score != null && current.score + 1 == 2.5", true, false),
        ("current.score != null && int(current.score) == 1 && double(count) == 7.0", true, false),
        ("current.title == \"Ein Lied über Rust\"", true, false),
        ("current.title < \"F\"", true, false),
        ("current.title.contains('über') && current.title.startsWith('Ein') && current.title.endsWith('Rust')", true, false),
        ("current.title.matches('(?i)rust$')", true, false),
        ("matches(current.title, '^Lied')", false, false),
        ("current.title != null && size(current.title) == 18", true, false),
        ("current.title != null && current.title.size() == 18", true, false),
        ("current.title in ['x', 'Ein Lied über Rust']", true, false),
        ("count in [1, 7]", true, false),
        ("current.score in [1, 1.5]", true, false),
        ("!(current.likes in [415])", false, true),
        ("'likes' in changed", true, false),
        ("\"title\" in changed", false, false),
        ("size(changed) == 1", true, false),
        ("key in changed", false, false),
        ("'b' in current.tags && size(current.tags) == 2", true, false),
        ("current.live == true", true, false),
        ("current.live != null && current.live", true, false),
        ("!removed", true, true),
        ("removed == false && true != false", true, true),
        ("current.observed_at > timestamp('1970-01-01T00:59:59Z')", true, true),
        ("previous.observed_at != null && current.observed_at - previous.observed_at >= duration('1h')", true, false),
        ("previous.observed_at == null || previous.observed_at + duration('90m') > current.observed_at", true, true),
        ("duration('1h30m') - duration('30m') == duration('60m')", true, true),
        ("raw == null", false, true),
        ("(current.likes != null ? current.likes : previous.likes) == null", false, true),
        ("(count > 5 ? current.title : key) == \"k\"", false, true),
        ("(count > 5 ? 1 : 1.5) == 1.5", false, true),
        ("current.`likes` > 0", true, false),
    ] {
        let condition = compile(text);
        assert_eq!(condition.test(&known()), Ok(with_values), "{text} with values");
        assert_eq!(condition.test(&nulls()), Ok(with_nulls), "{text} with nulls");
    }
}

#[test]
fn reads_values_behind_the_row() {
    let mut shape = shape();
    shape.fields.push(Field::new("boundary", Type::Long, false));
    let condition = Condition::compile("boundary >= 1000 && current.likes > 0", &shape).unwrap();
    assert_eq!(condition.test_with(&known(), &[Value::Long(1000)]), Ok(true));
    assert_eq!(condition.test_with(&known(), &[Value::Long(999)]), Ok(false));
    assert_eq!(condition.fields(), [2, 13]);
}

#[test]
fn division_by_zero_and_overflow_have_no_answer() {
    for (text, error) in [
        ("10 / count > 1", EvalError::DivisionByZero),
        ("10 % count > 1", EvalError::DivisionByZero),
        ("9223372036854775807 + 1 > count", EvalError::Overflow),
        ("-(-9223372036854775808) > count", EvalError::Overflow),
        ("-9223372036854775808 / -1 > count", EvalError::Overflow),
        ("9223372036854775807 * 2 > count", EvalError::Overflow),
        ("int(1e300) > count", EvalError::Overflow),
        ("10 / count > 1 && true", EvalError::DivisionByZero),
        ("!(10 / count > 1)", EvalError::DivisionByZero),
    ] {
        assert_eq!(compile(text).test(&nulls()), Err(error), "{text}");
    }
}

#[test]
fn the_other_side_of_a_logical_operator_may_decide_over_an_error() {
    assert_eq!(compile("10 / count > 1 || count == 0").test(&nulls()), Ok(true));
    assert_eq!(compile("10 / count > 1 && count != 0").test(&nulls()), Ok(false));
    assert_eq!(compile("count != 0 && 10 / count > 1").test(&nulls()), Ok(false));
}

/// Each fault as `span's text | message | hint`.
fn faults(text: &str) -> Vec<String> {
    let faults = Condition::compile(text, &shape()).expect_err(text);
    faults.into_iter().map(|fault| format!("{} | {} | {}", &text[fault.span], fault.message, fault.hint.unwrap_or_default())).collect()
}

/// Conditions and what is said about them.
const WRONG: &[(&str, &str)] = &[
    ("current.lieks > 5", "current.lieks | unknown field `current.lieks` | did you mean `current.likes`?"),
    ("likes > 5", "likes | unknown field `likes` | did you mean `current.likes`?"),
    ("'é' == key && current.liks > 5", "current.liks | unknown field `current.liks` | did you mean `current.likes`?"),
    (
        "current == null",
        "current | `current` is a group of fields | name one of them: `current.likes`, `current.title`, `current.score`, `current.live`, `current.tags`, `current.observed_at`",
    ),
    ("current.likes", "current.likes | expected a boolean, found a value of type long | compare it with something"),
    ("current.likes == 'a'", "current.likes == 'a' | cannot compare long with string | a number is written without quotes"),
    (
        "current.observed_at > '2026'",
        "current.observed_at > '2026' | cannot compare timestamp with string | write the time as `timestamp(\"2026-08-06T10:11:55Z\")`",
    ),
    ("current.likes < null", "current.likes < null | null has no order | test for it with `== null` or `!= null`"),
    (
        "current.likes - 5 > 2",
        "current.likes | unhandled null: `current.likes` may be null here | put a test before it: `current.likes != null && ...`",
    ),
    (
        "current.likes > 5 || current.likes + 1 > 2",
        "current.likes | unhandled null: `current.likes` may be null here | put a test before it: `current.likes != null && ...`",
    ),
    (
        "current.likes == null && current.likes + 1 > 2",
        "current.likes | unhandled null: `current.likes` may be null here | put a test before it: `current.likes != null && ...`",
    ),
    (
        "size(current.title) > 2",
        "current.title | unhandled null: `current.title` may be null here | put a test before it: `current.title != null && ...`",
    ),
    (
        "current.live && true",
        "current.live | unhandled null: `current.live` may be null here | write `current.live == true`, which is false where it is null",
    ),
    (
        "!current.live",
        "current.live | unhandled null: `current.live` may be null here | write `current.live == true`, which is false where it is null",
    ),
    ("'views' in changed", "'views' | `views` is never in `changed` | there are `\"title\"`, `\"likes\"`"),
    ("'like' in changed", "'like' | `like` is never in `changed` | did you mean `\"likes\"`?"),
    ("changed == 'likes'", "changed == 'likes' | cannot compare names with string | an element of a list is found with `x in list`"),
    (
        "changed.contains('likes')",
        "changed.contains('likes') | cannot look for string in names | an element of a list is found with `x in list`",
    ),
    (
        "'a' in current.title",
        "current.title | `in` needs a list, found a value of type string | a part of a text is found with `text.contains(part)`",
    ),
    ("count in ['a']", "count in ['a'] | the list has elements that a long cannot be equal to | "),
    ("key + 'a' == 'ka'", "key + 'a' | cannot compute string + string | a condition only tests texts; join them in the template"),
    ("current.observed_at * 2 > count", "current.observed_at * 2 | cannot compute timestamp * long | "),
    ("1.5 % 1.0 > 1.0", "1.5 % 1.0 | cannot compute double % double | "),
    ("key.startWith('a')", "key.startWith('a') | unknown function `startWith` | did you mean `startsWith`?"),
    (
        "key.startsWith('a', 'b')",
        "key.startsWith('a', 'b') | `startsWith` does not take these operands | write `field.startsWith(\"text\")`",
    ),
    ("key.matches('(')", "'(' | not a pattern: found open group without closing ')' | "),
    ("key.matches(key)", "key | the pattern must be written out | "),
    (
        "current.observed_at > timestamp('noon')",
        "'noon' | `noon` is not a time as in RFC 3339 | as in `timestamp(\"2026-08-06T10:11:55Z\")`",
    ),
    ("duration('5') == duration('1h')", "'5' | `5` is not a duration | as in `duration(\"1h30m\")`"),
    (
        "current.tags.exists(t, t == 'a')",
        "current.tags.exists(t, t == 'a') | `all`, `exists`, `exists_one`, `map` and `filter` are not supported in conditions | test one element with `x in list`",
    ),
    ("current['likes'] > 5", "current['likes'] | `[...]` is not supported in conditions | write `current.likes`"),
    ("{'a': 1} == null", "{'a': 1} | maps and messages are not supported in conditions | "),
    ("[1] == null", "[1] | a list can only stand after `in` | "),
    ("count == 5u", "5u | unsigned numbers are not supported | write `5`"),
    ("count == 99999999999999999999", "99999999999999999999 | invalid int literal | "),
    ("key == b'a'", "b'a' | bytes can only be tested for null | "),
    ("raw == raw", "raw == raw | cannot compare bytes with bytes | bytes can only be tested for null"),
    ("count > 1 ? 1 : 'a'", "count > 1 ? 1 : 'a' | the branches of `?:` differ: long and string | "),
    ("count > 'a'.size ", "'a'.size | only fields of the record have parts | "),
    ("count > 1 and removed", "and | syntax error: unexpected `and` | write `&&`"),
    ("count = 1", "= | syntax error: unexpected `=` | write `==`"),
    ("'é' == key && count = 1", "= | syntax error: unexpected `=` | write `==`"),
    ("count >", " | the condition ends too early | "),
    ("key == 'a", "'a | syntax error: unexpected `'a` | close the text with the same quote; a backslash is written `\\\\`"),
    ("  ", "   | the condition is empty | leave it out to let every record through"),
];

#[test]
fn says_what_is_wrong_and_where() {
    for (text, expected) in WRONG {
        assert_eq!(faults(text), [*expected], "{text}");
    }
}

#[test]
fn reports_all_faults_at_once() {
    let found = faults("current.lieks > 5 && current.likes + 1 > 2 || !(count == 'a') || foo(1) || 'view' in changed");
    let spans: Vec<_> = found.iter().map(|fault| fault.split(" | ").next().unwrap()).collect();
    assert_eq!(spans, ["current.lieks", "current.likes", "count == 'a'", "foo(1)", "'view'"]);
}

#[test]
fn knows_which_guards_rule_null_out() {
    const USE: &str = "current.likes + 1 > 2";
    let guarded = |text: &str| text.replace("USE", USE);
    for good in [
        "current.likes != null && USE",
        "current.likes == null || USE",
        "!(current.likes == null) && USE",
        "!(current.likes != null) || USE",
        "current.likes != null ? USE : false",
        "current.likes == null ? false : USE",
        "has(current.likes) && USE",
        "current.likes > 5 && USE",
        "current.likes != previous.likes && USE",
        "(current.likes == null || count > 5) ? false : USE",
        "(current.likes != null && count > 5) && (removed || USE)",
        "!(current.likes == null || previous.likes == null) && USE",
        "(count > 5 ? current.likes != null : current.likes > 3) && USE",
        "current.likes in [1, 2] && USE",
        "(current.likes != null || current.likes > 1) && USE",
    ] {
        compile(&guarded(good));
    }
    for bad in [
        "USE && current.likes != null",
        "current.likes != null || USE",
        "current.likes == null && USE",
        "previous.likes != null && USE",
        "(current.likes != null || count > 5) && USE",
        "!(current.likes > 5) && USE",
        "(current.likes == null && count > 5) || USE",
        "(count > 5 ? current.likes != null : removed) && USE",
        "current.likes != null ? removed : USE",
        "(current.likes != null ? current.likes : previous.likes) + 1 > 2",
    ] {
        assert!(Condition::compile(&guarded(bad), &shape()).is_err(), "{bad}");
    }
}

#[test]
fn deep_nesting_neither_hangs_nor_overflows() {
    let ternaries = format!("{}true{}", "removed ? false : (".repeat(60), ")".repeat(60));
    drop(Condition::compile(&ternaries, &shape()));
    let brackets = format!("{}true{}", "(".repeat(4000), ")".repeat(4000));
    let faults = Condition::compile(&brackets, &shape()).unwrap_err();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0].hint.as_deref(), Some("it is nested too deeply: simplify it"));
    let chain = vec!["count > 1"; 500].join(" && ");
    assert_eq!(compile(&chain).test(&known()), Ok(true));
    // Without brackets, too, one expression lies within the other.
    let sum = format!("count{} > 0", " + 1".repeat(90));
    assert_eq!(compile(&sum).test(&known()), Ok(true));
    let longest = |first: &str, more: &str, last: &str| format!("{first}{}{last}", more.repeat((TEXT_BYTES_MAX - 20) / more.len()));
    for more in ["+1", "-1"] {
        let faults = Condition::compile(&longest("count", more, ">0"), &shape()).unwrap_err();
        assert_eq!(faults[0].hint.as_deref(), Some(TOO_DEEP), "{more}: {:?}", faults[0]);
    }
    for text in
        [longest("removed", "?true:removed", ""), longest("count", "[0]", "==1"), longest("count", ".x", ">0"), longest("", "!", "removed")]
    {
        drop(Condition::compile(&text, &shape()));
    }
}

proptest! {
    #[test]
    fn any_text_gives_a_condition_or_faults_within_the_text(text in "([a-z.]{0,8}|current\\.likes|[ =!<>&|()'\"+*/%?:,é\\[\\]{}0-9-]){0,12}") {
        match Condition::compile(&text, &shape()) {
            Ok(condition) => prop_assert!(condition.test(&known()).is_ok() || condition.test(&nulls()).is_ok() || text.contains(['/', '%', '*', '+', '-'])),
            Err(faults) => {
                prop_assert!(!faults.is_empty());
                for fault in faults {
                    prop_assert!(text.get(fault.span.clone()).is_some(), "{:?} in {:?}", fault, text);
                }
            }
        }
    }

    /// Wherever a condition compiles, arithmetic meets no null: comparing its result with itself holds.
    #[test]
    fn what_compiles_never_computes_with_null(guards in proptest::collection::vec(0..6_usize, 1..4), joins in proptest::collection::vec(any::<bool>(), 3), negate: bool) {
        let parts = ["current.likes == null", "current.likes != null", "current.likes > 5", "count > 3", "removed", "!(current.likes == null)"];
        let mut guard = parts[guards[0]].to_owned();
        for (&part, &join) in guards[1..].iter().zip(&joins) {
            guard = format!("({guard} {} {})", if join { "&&" } else { "||" }, parts[part]);
        }
        if negate {
            guard = format!("!({guard})");
        }
        let text = format!("{guard} ? current.likes + 1 == current.likes + 1 : true");
        if let Ok(condition) = Condition::compile(&text, &shape()) {
            for count in [0, 7] {
                for removed in [false, true] {
                    for likes in [Value::Null, Value::Long(1), Value::Long(9)] {
                        let mut row = nulls();
                        row.values[2] = likes;
                        row.values[10] = Value::Boolean(removed);
                        row.values[12] = Value::Long(count);
                        prop_assert_eq!(condition.test(&row), Ok(true), "{}", text);
                    }
                }
            }
        }
    }
}
