//! Templates: each message with its place, nulls, escaping, and both ways of rendering alike.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::avro::{Field, NameSet, Type};

fn shape() -> Shape {
    let names: Arc<[Arc<str>]> = ["title", "likes"].map(Arc::from).into();
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
            field("current.observed_at", Type::Timestamp, true),
            field("changed", Type::Names(names), false),
            field("raw", Type::Bytes, true),
        ],
    }
}

fn row() -> Row {
    let Type::Names(names) = shape().fields[8].ty.clone() else { panic!("changed holds names") };
    Row {
        values: vec![
            Value::String("abc".to_owned()),
            Value::Long(412),
            Value::Long(-415),
            Value::String("<b>Tom & \"Jerry's\"</b> 🎬 שלום".to_owned()),
            Value::Double(3.0),
            Value::Boolean(true),
            Value::Strings(vec!["a<".to_owned(), "b".to_owned()]),
            Value::Long(1_762_217_777_823),
            Value::Names(NameSet { names, bits: 0b11 }),
            Value::Bytes(b"by<".to_vec()),
        ],
    }
}

fn compile(text: &str, escape: Escape) -> Template {
    Template::compile(text, &shape(), escape).unwrap_or_else(|faults| panic!("{text}: {faults:?}"))
}

fn render(text: &str, escape: Escape, row: &Row) -> String {
    let mut out = String::new();
    compile(text, escape).render(row, &mut out).unwrap();
    out
}

#[test]
fn prints_values() {
    for (text, plain, html) in [
        ("Likes changed: {{ previous.likes }} => {{ current.likes }}.", "Likes changed: 412 => -415.", "Likes changed: 412 => -415."),
        ("{{current.title}}", "<b>Tom & \"Jerry's\"</b> 🎬 שלום", "&lt;b&gt;Tom &amp; &quot;Jerry&#39;s&quot;&lt;/b&gt; 🎬 שלום"),
        ("<i>{{ current.score }}</i>", "<i>3.0</i>", "<i>3.0</i>"),
        ("{{ current.live }}", "true", "true"),
        ("{{ current.tags }}", "a<, b", "a&lt;, b"),
        ("{{ current.observed_at }}", "2025-11-04T00:56:17.823Z", "2025-11-04T00:56:17.823Z"),
        ("{{ changed }} in {{ key }}", "title, likes in abc", "title, likes in abc"),
        ("{{ raw }}", "by<", "by&lt;"),
        ("{% if current.likes < previous.likes %}fell{% else %}rose{% endif %}", "fell", "fell"),
        ("{% for name in changed %}[{{ name }}]{% endfor %}", "[title][likes]", "[title][likes]"),
        ("{{ current.title | upper | length }}", "29", "29"),
        ("{{ current.tags | join('-') }}", "a<-b", "a&lt;-b"),
        ("{{ current.likes - previous.likes }}", "-827", "-827"),
        ("{{ (current.likes / previous.likes) | round(2) }}", "-1.01", "-1.01"),
        (
            "{{ current.title | e }}",
            "&lt;b&gt;Tom &amp; &quot;Jerry&#39;s&quot;&lt;/b&gt; 🎬 שלום",
            "&lt;b&gt;Tom &amp; &quot;Jerry&#39;s&quot;&lt;/b&gt; 🎬 שלום",
        ),
        ("{{ current.title | safe }}", "<b>Tom & \"Jerry's\"</b> 🎬 שלום", "<b>Tom & \"Jerry's\"</b> 🎬 שלום"),
        ("{# note #}{% set x = current.likes %}{{ x }}", "-415", "-415"),
        ("{{ 'likes' in changed }} {{ current.live and 1 }}", "true 1", "true 1"),
        ("two\n{{- ' lines' }}\n", "two lines", "two lines"),
        ("end\n", "end", "end"),
        ("", "", ""),
    ] {
        assert_eq!(render(text, Escape::None, &row()), plain, "{text} plain");
        assert_eq!(render(text, Escape::Html, &row()), html, "{text} html");
    }
}

#[test]
fn null_prints_as_nothing() {
    let nulls = Row::of(&shape());
    let all = shape().fields.iter().map(|field| format!("[{{{{ {} }}}}]", field.path)).collect::<Vec<_>>().concat();
    assert_eq!(render(&all, Escape::None, &nulls), "[]".repeat(10));
    assert_eq!(render(&format!("{{# #}}{all}"), Escape::Html, &nulls), "[]".repeat(10));
    assert_eq!(render("{{ current.likes | default('?') }}", Escape::None, &nulls), "?");
    assert_eq!(render("{% if current.likes is none %}hidden{% endif %}", Escape::None, &nulls), "hidden");
    assert_eq!(render("{{ current.likes if current.likes is not none else '-' }}", Escape::None, &nulls), "-");
}

#[test]
fn only_text_and_fields_need_no_engine() {
    for (text, fast) in [
        ("a {{ current.likes }} b", true),
        ("{{ current . likes }}", false),
        ("{{ current.likes | abs }}", false),
        ("{{- current.likes }}", false),
        ("{# x #}", false),
        ("{{ true }}", false),
        ("100 % {done}", true),
    ] {
        assert_eq!(matches!(compile(text, Escape::None).body, Body::Segments(_)), fast, "{text}");
    }
}

#[test]
fn knows_the_fields_it_uses() {
    assert_eq!(compile("{{ current.likes }} {{ key }} {{ key }}", Escape::None).fields(), [0, 2]);
    assert_eq!(compile("{% if key %}{{ current.likes }}{% endif %}", Escape::None).fields(), [0, 2]);
}

#[test]
fn reads_values_behind_the_row() {
    let mut shape = shape();
    shape.fields.push(Field::new("boundary", Type::Long, false));
    for text in ["{{ boundary }}", "{{ boundary + 0 }}"] {
        let mut out = String::new();
        Template::compile(text, &shape, Escape::None).unwrap().render_with(&row(), &[Value::Long(2000)], &mut out).unwrap();
        assert_eq!(out, "2000");
    }
}

fn faults(text: &str) -> Vec<String> {
    let faults = Template::compile(text, &shape(), Escape::None).expect_err(text);
    faults.into_iter().map(|fault| format!("{} | {} | {}", &text[fault.span], fault.message, fault.hint.unwrap_or_default())).collect()
}

#[test]
fn says_what_is_wrong_and_where() {
    for (text, expected) in [
        ("é {{ current.lieks }}", "current.lieks | unknown field `current.lieks` | did you mean `current.likes`?"),
        ("{{ likes }}", "likes | unknown field `likes` | did you mean `current.likes`?"),
        ("{{ current }}", "current | `current` is a group of fields | name one of them, such as `current.likes`"),
        ("{{ current.title.text }}", "current.title.text | `current.title` has no parts | `current.title` is a string"),
        ("{{ current[key] }}", "current | `current` is a group of fields | name one of them, such as `current.likes`"),
        (
            "{% if foo %}x{% endif %}",
            "foo | unknown field `foo` | there are `key` (string), `previous.likes` (long), `current.likes` (long), `current.title` (string), `current.score` (double), `current.live` (boolean), ...",
        ),
        ("{{ key | uper }}", "uper | unknown filter `uper` | did you mean `upper`?"),
        ("{% if key is sting %}x{% endif %}", "sting | unknown test `sting` | "),
        (
            "{{ now() }}",
            "now | unknown field `now` | there are `key` (string), `previous.likes` (long), `current.likes` (long), `current.title` (string), `current.score` (double), `current.live` (boolean), ...",
        ),
    ] {
        assert_eq!(faults(text), [expected], "{text}");
    }
}

#[test]
fn points_at_the_tag_that_cannot_be_read() {
    for (text, place) in [
        ("fine {{ key }} bad {{ key + }} rest", "{{ key + }}"),
        ("open {{ key", "{{ key"),
        ("{{ key }}\n{% if key %}", "{% if key %}"),
        ("{{ key }} {% include 'x' %}", "{% include 'x' %}"),
        ("{% nonsense %}", "{% nonsense %}"),
    ] {
        let found = faults(text);
        assert_eq!(found.len(), 1, "{text}");
        assert_eq!(found[0].split(" | ").next(), Some(place), "{found:?}");
    }
}

#[test]
fn reports_all_faults_at_once() {
    let found = faults("{{ current.lieks }} {{ key | uper }} {{ current.lieks }} {% for x in tags %}{{ x }}{% endfor %}");
    let spans: Vec<_> = found.iter().map(|fault| fault.split(" | ").next().unwrap()).collect();
    assert_eq!(spans, ["current.lieks", "uper", "current.lieks", "tags"]);
}

#[test]
fn output_and_work_are_bounded() {
    // A list that is only ever made as it is printed.
    let used = allocation_counter::measure(|| {
        let error = compile("{{ [1] * 100000000 }}", Escape::None).render(&row(), &mut String::new()).unwrap_err();
        assert!(matches!(error, RenderError::Failed(_)), "{error}");
    });
    assert!(used.bytes_max < 4 << 20, "{} bytes", used.bytes_max);
    for (text, fault) in [
        (format!("{{{{ key{} }}}}", "~key".repeat(1000)), "a tag is longer than 2048 bytes"),
        ("{{ key }}".repeat(501), "the template has more than 500 tags"),
    ] {
        assert_eq!(Template::compile(&text, &shape(), Escape::None).unwrap_err()[0].message, fault);
    }
    let long = Row { values: vec![Value::String("x".repeat(40_000))] };
    for text in ["{{ key }}{{ key }}", "{% for i in range(3) %}{{ key }}{% endfor %}", "{{ key ~ key }}"] {
        let error = compile(text, Escape::None).render(&long, &mut String::new()).unwrap_err();
        assert!(matches!(error, RenderError::TooLong | RenderError::Failed(_)), "{text}");
    }
    let loops =
        compile("{% for i in range(1000) %}{% for j in range(1000) %}{% if false %}x{% endif %}{% endfor %}{% endfor %}", Escape::None);
    assert!(matches!(loops.render(&row(), &mut String::new()), Err(RenderError::Failed(_))));
}

#[test]
fn failing_on_the_values_of_a_row_is_an_error_of_that_row() {
    let template = compile("{{ current.likes - previous.likes }}", Escape::None);
    assert!(matches!(template.render(&Row::of(&shape()), &mut String::new()), Err(RenderError::Failed(_))));
    template.render(&row(), &mut String::new()).unwrap();
}

/// Values that fit the fields of the shape.
fn any_row() -> impl Strategy<Value = Row> {
    fn or_null(value: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
        prop_oneof![1 => Just(Value::Null), 4 => value].boxed()
    }
    let Type::Names(names) = shape().fields[8].ty.clone() else { panic!("changed holds names") };
    let text = "[a<>&\"' é🎬\n]{0,12}";
    (
        text.prop_map(Value::String),
        or_null(any::<i64>().prop_map(Value::Long)),
        or_null(any::<i64>().prop_map(Value::Long)),
        or_null(text.prop_map(Value::String)),
        or_null(any::<f64>().prop_map(Value::Double)),
        or_null(any::<bool>().prop_map(Value::Boolean)),
        or_null(proptest::collection::vec(text, 0..3).prop_map(Value::Strings)),
        or_null(any::<i64>().prop_map(Value::Long)),
        (0..4_u64).prop_map(move |bits| Value::Names(NameSet { names: Arc::clone(&names), bits })),
        or_null(proptest::collection::vec(any::<u8>(), 0..4).prop_map(Value::Bytes)),
    )
        .prop_map(|(a, b, c, d, e, f, g, h, i, j)| Row { values: vec![a, b, c, d, e, f, g, h, i, j] })
}

fn any_template() -> impl Strategy<Value = String> {
    let field = (0..10_usize).prop_map(|index| format!("{{{{ {} }}}}", shape().fields[index].path));
    proptest::collection::vec(prop_oneof!["[a <>&}%é\n\r]{0,4}", field], 0..6).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn both_ways_of_rendering_print_alike(text in any_template(), row in any_row(), html: bool) {
        let escape = if html { Escape::Html } else { Escape::None };
        let fast = Template::compile(&text, &shape(), escape).unwrap();
        prop_assert!(matches!(fast.body, Body::Segments(_)), "{:?}", text);
        let slow = Template::compile(&format!("{{# slow #}}{text}"), &shape(), escape).unwrap();
        prop_assert!(matches!(slow.body, Body::Engine(_)));
        let (mut a, mut b) = (String::new(), String::new());
        fast.render(&row, &mut a).unwrap();
        slow.render(&row, &mut b).unwrap();
        prop_assert_eq!(a, b, "{:?}", text);
    }

    #[test]
    fn any_text_gives_a_template_or_faults_within_the_text(text in "([a-z.]{0,6}|current\\.likes|\\{\\{|\\}\\}|\\{%|%\\}|\\{#|#\\}|[ |'\"(){}\\[\\]é\n-]|if |endif|is |for ){0,14}") {
        if let Err(faults) = Template::compile(&text, &shape(), Escape::None) {
            prop_assert!(!faults.is_empty());
            for fault in faults {
                prop_assert!(text.get(fault.span.clone()).is_some(), "{:?} in {:?}", fault, text);
            }
        }
    }
}
