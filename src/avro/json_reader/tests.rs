//! JSON against the types of a schema, and against what `serde_json` makes of it.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::avro::row_to_json;

const ORDER: &str = r#"{"type":"record","name":"r","fields":[
    {"name":"n","type":"long"},{"name":"i","type":["null","int"],"default":null},{"name":"s","type":"string","default":"none"},
    {"name":"o","type":["null",{"type":"record","name":"o","fields":[{"name":"price","type":"double"},{"name":"count","type":"int","default":1},
        {"name":"in","type":{"type":"record","name":"in","fields":[{"name":"b","type":"boolean"}]},"default":{"b":true}}]}],"default":null},
    {"name":"at","type":{"type":"long","logicalType":"timestamp-micros"},"default":0},{"name":"f","type":"float","default":0.5},
    {"name":"e","type":{"type":"enum","name":"e","symbols":["A","B"],"default":"A"},"default":"B"},
    {"name":"strict","type":{"type":"enum","name":"e2","symbols":["A"]},"default":"A"},
    {"name":"tags","type":{"type":"array","items":"string"},"default":[]},{"name":"raw","type":"bytes","default":""},
    {"name":"four","type":{"type":"fixed","name":"f4","size":4},"default":"abcd"},{"name":"any","type":{"type":"map","values":"int"},"default":{}}]}"#;

fn reader(aliases: &[(&str, &str)]) -> (JsonDeserializer, Shape) {
    let schema = Schema::parse(ORDER).unwrap();
    let aliases = aliases.iter().map(|(name, other)| ((*name).to_owned(), (*other).to_owned())).collect();
    (JsonDeserializer::new(&schema, schema.shape(), &aliases).unwrap(), schema.shape().clone())
}

fn read_with(aliases: &[(&str, &str)], json: &str) -> Result<serde_json::Value, String> {
    let (mut reader, shape) = reader(aliases);
    let mut row = Row::default();
    match reader.read(json.as_bytes(), &mut row) {
        Ok(()) => Ok(row_to_json(&shape, &row)),
        Err(error) => Err(error.to_string()),
    }
}

/// One field of the row that `{"n": 1, FIELDS}` becomes, or what is said of it.
#[track_caller]
fn field(path: &str, fields: &str) -> Result<serde_json::Value, String> {
    read_with(&[], &format!("{{\"n\": 1, {fields}}}")).map(|row| row[path].clone())
}

#[test]
fn what_is_missing_has_its_default() {
    let row = read_with(&[], "{\"n\": 7}").unwrap();
    let expected = json!({ "n": 7, "i": null, "s": "none", "o.price": null, "o.count": null, "o.in.b": null, "at": 0, "f": 0.5, "e": "B",
        "strict": "A", "tags": [], "raw": "", "four": "abcd" });
    assert_eq!(row, expected);
    assert_eq!(read_with(&[], "{}").unwrap_err(), "field n is missing, and the schema has no default for it");
    assert_eq!(field("o.price", "\"o\": {}").unwrap_err(), "field o.price is missing, and the schema has no default for it");
    assert_eq!(field("o.count", "\"o\": {\"price\": 1}"), Ok(json!(1)));
    assert_eq!(field("o.in.b", "\"o\": {\"price\": 1}"), Ok(json!(true)));
    assert_eq!(
        field("o.in.b", "\"o\": {\"price\": 1, \"in\": {}}").unwrap_err(),
        "field o.in.b is missing, and the schema has no default for it"
    );
}

#[test]
fn nulls_stand_where_the_schema_has_them() {
    assert_eq!(field("o.count", "\"o\": null"), Ok(json!(null)));
    assert_eq!(field("i", "\"i\": null"), Ok(json!(null)));
    assert_eq!(field("s", "\"s\": null").unwrap_err(), "field s is null, where the schema allows none");
    assert_eq!(field("o.in.b", "\"o\": {\"price\": 1, \"in\": null}").unwrap_err(), "field o.in is null, where the schema allows none");
}

#[test]
fn numbers_are_checked() {
    assert_eq!(field("i", "\"i\": 2147483647"), Ok(json!(i32::MAX)));
    assert_eq!(field("i", "\"i\": 2147483648").unwrap_err(), "field i is 2147483648, out of range for int");
    assert_eq!(field("i", "\"i\": -2147483649").unwrap_err(), "field i is -2147483649, out of range for int");
    assert_eq!(field("i", "\"i\": 3.0"), Ok(json!(3)));
    assert_eq!(field("i", "\"i\": 1e3"), Ok(json!(1000)));
    assert_eq!(field("i", "\"i\": 3.5").unwrap_err(), "field i is 3.5, where the schema says int");
    let long = |n: &str| read_with(&[], &format!("{{\"n\": {n}}}")).map(|row| row["n"].clone());
    assert_eq!(long("9223372036854775807"), Ok(json!(i64::MAX)));
    assert_eq!(long("-9223372036854775808"), Ok(json!(i64::MIN)));
    assert_eq!(long("9223372036854775808").unwrap_err(), "field n is 9223372036854775808, out of range for long");
    assert_eq!(long("18446744073709551616").unwrap_err(), "field n is 1.8446744073709552e19, out of range for long");
    assert_eq!(long("9007199254740994.0").unwrap_err(), "field n is 9007199254740994.0, out of range for long");
    assert_eq!(field("f", "\"f\": 1e39").unwrap_err(), "field f is 1e39, out of range for float");
    assert_eq!(field("o.price", "\"o\": {\"price\": 18446744073709551615}"), Ok(json!(18_446_744_073_709_551_615.0)));
}

#[test]
fn other_types_take_what_fits_them() {
    assert_eq!(field("at", "\"at\": 1234567"), Ok(json!(1234)));
    assert_eq!(field("at", "\"at\": \"2026-08-06T10:11:55.123Z\""), Ok(json!(1_786_011_115_123_i64)));
    assert_eq!(field("at", "\"at\": \"yesterday\"").unwrap_err(), "field at is a string, where the schema says timestamp");
    assert_eq!(field("e", "\"e\": \"C\""), Ok(json!("A")), "the enum's default");
    assert_eq!(field("strict", "\"strict\": \"C\"").unwrap_err(), "field strict is a text that is no symbol of enum e2");
    assert_eq!(field("tags", "\"tags\": [\"a\", \"é\"]"), Ok(json!(["a", "é"])));
    assert_eq!(field("tags", "\"tags\": [\"a\", 1]").unwrap_err(), "field tags is an array, where the schema says array of string");
    assert_eq!(field("raw", "\"raw\": \"\\u00ff\""), Ok(json!("ÿ")));
    assert_eq!(field("raw", "\"raw\": \"\\u0100\"").unwrap_err(), "field raw is a string, where the schema says bytes");
    assert_eq!(field("four", "\"four\": \"abc\"").unwrap_err(), "field four is a string, where the schema says fixed of 4 bytes");
    assert_eq!(field("s", "\"s\": true").unwrap_err(), "field s is true or false, where the schema says string");
    assert_eq!(field("s", "\"s\": {}").unwrap_err(), "field s is an object, where the schema says string");
    assert_eq!(field("o.price", "\"o\": 5").unwrap_err(), "field o is 5, where the schema says an object");
}

#[test]
fn what_nobody_wants_is_passed_over() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(field("n", &format!("\"any\": {{\"a\": \"b\"}}, \"x\": {deep}, \"\": null")), Ok(json!(1)));
    assert_eq!(read_with(&[], "{\"n\": 1, \"n\": 2}").unwrap()["n"], 2, "of a name that stands twice the last counts");
    assert_eq!(read_with(&[], "{\"\\u006e\": 3}").unwrap()["n"], 3, "names may be written with escapes");
}

#[test]
fn what_is_no_json_or_no_object() {
    assert!(read_with(&[], "{\"n\": 1} x").unwrap_err() == "the value is not JSON");
    assert!(read_with(&[], "{\"n\": 1, \"s\": \"\\ud800\"}").unwrap_err() == "the value is not JSON");
    for (json, found) in [("\"a\"", "a string"), ("true", "true or false"), ("-1", "-1"), ("[]", "an array"), ("null", "null")] {
        assert_eq!(read_with(&[], json).unwrap_err(), format!("the value is {found}, not a JSON object"));
    }
}

#[test]
fn aliases_are_the_topics_names() {
    let aliases = [("n", "ID"), ("o.price", "o.PRICE"), ("s", "deep.down")];
    let row = read_with(&aliases, r#"{"ID": 5, "n": 9, "o": {"PRICE": 2}, "deep": {"down": "x"}}"#).unwrap();
    assert_eq!((&row["n"], &row["o.price"], &row["s"]), (&json!(5), &json!(2.0), &json!("x")));
    assert_eq!(read_with(&aliases, r#"{"ID": 5, "deep": 1}"#).unwrap_err(), "field deep is 1, where the schema says an object");
    assert_eq!(read_with(&aliases, r#"{"ID": 5}"#).unwrap()["s"], "none");
    let schema = Schema::parse(ORDER).unwrap();
    let twice = Aliases::from([("s".to_owned(), "n".to_owned())]);
    let error = JsonDeserializer::new(&schema, schema.shape(), &twice).unwrap_err();
    assert_eq!(error.to_string(), "fields s and n are read from the same field of the writer's schema");
}

#[test]
fn a_row_is_filled_anew_each_time() {
    let (mut reader, shape) = reader(&[]);
    let mut row = Row::default();
    reader.read(br#"{"n": 1, "s": "x", "o": {"price": 1, "in": {"b": false}}, "tags": ["a"]}"#, &mut row).unwrap();
    reader.read(br#"{"n": 2}"#, &mut row).unwrap();
    assert_eq!(row_to_json(&shape, &row), read_with(&[], "{\"n\": 2}").unwrap());
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "[a-zé\"\\\\]{0,4}".prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let name = prop_oneof!["[a-z]{1,2}", Just("n".to_owned()), Just("o".to_owned()), Just("price".to_owned()), Just("tags".to_owned())];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map(name, inner, 0..6).prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_is_what_the_tree_says(mut value in any_json(), n in any::<i64>()) {
        if let Some(object) = value.as_object_mut() {
            object.insert("n".to_owned(), n.into());
        }
        let text = value.to_string();
        // The tree that serde_json builds of the text is the oracle.
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        if let Ok(row) = read_with(&[], &text) {
            prop_assert_eq!(&row["n"], &json!(n));
            if let Some(price) = value.pointer("/o/price") {
                prop_assert_eq!(row["o.price"].as_f64(), price.as_f64());
            }
            if let Some(tags) = value.get("tags") {
                prop_assert_eq!(&row["tags"], tags);
            }
            for text in ["s", "e"] {
                prop_assert!(row[text].is_string());
            }
        }
    }
}
