//! JSON topics: what is wrong with a value is said, the value is kept once, and its neighbours pass.

use super::*;

const ORDERS: &str = r#"application_id = "app"
[sources.orders]
topic = "orders"
value = { format = "json", schema = "orders.avsc" }
start = "earliest"
[processors.changes]
type = "latest"
input = "orders"
watch = ["n", "items", "total.amount", "note", "paid"]
[sinks.changes]
input = "changes"
topic = "order_changes"
"#;

const SCHEMA: &str = r#"{"type":"record","name":"order","fields":[
    {"name":"n","type":"long"},{"name":"items","type":"int"},{"name":"note","type":["null","string"],"default":null},
    {"name":"paid","type":"boolean","default":false},
    {"name":"total","type":{"type":"record","name":"money","fields":[{"name":"amount","type":"double"}]}}]}"#;

/// The topology on orders, its schema beside it.
fn orders(text: &str) -> Foreign {
    let ground = Ground::new();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("orders.avsc"), SCHEMA).unwrap();
    let config = ground.load(text, Some(folder.path()));
    ground.start(&config)
}

/// What is said of one value between two good ones.
#[track_caller]
fn refused(key: Option<&[u8]>, value: &[u8]) -> String {
    let mut whole = orders(ORDERS);
    let good = |n: i64| json!({ "n": n, "items": 1, "total": { "amount": 1.5 } }).to_string();
    whole.pipe("orders", Some(b"a"), Some(good(1).as_bytes()));
    whole.pipe("orders", key, Some(value));
    whole.pipe("orders", Some(b"a"), Some(good(2).as_bytes()));
    let changes = whole.read("order_changes");
    assert_eq!(changes.len(), 1, "the neighbours pass");
    assert_eq!((&changes[0].1["n_previous"], &changes[0].1["n_current"]), (&json!(1), &json!(2)));
    let dead = whole.dead();
    assert_eq!(dead.len(), 1, "it is kept once");
    assert_eq!((dead[0].key.as_deref(), dead[0].value.as_deref()), (key, Some(value)), "as it was");
    dead[0].reason.clone()
}

#[test]
fn json_that_is_no_object() {
    assert_eq!(refused(Some(b"a"), b"[1, 2]"), "node orders failed: the value is an array, not a JSON object");
    assert_eq!(refused(Some(b"a"), b"null"), "node orders failed: the value is null, not a JSON object");
    assert_eq!(refused(Some(b"a"), b"17"), "node orders failed: the value is 17, not a JSON object");
}

#[test]
fn what_is_no_json() {
    let text = "node orders failed: the value is not JSON: EOF while parsing a value at line 1 column 6";
    assert_eq!(refused(Some(b"a"), b"{\"n\": "), text);
    assert_eq!(refused(Some(b"a"), b""), "node orders failed: the value is not JSON: EOF while parsing a value at line 1 column 0");
    let text = "node orders failed: the value is not JSON: trailing characters at line 1 column 46";
    assert_eq!(refused(Some(b"a"), br#"{"n": 1, "items": 2, "total": {"amount": 1}} {}"#), text);
}

#[test]
fn a_missing_field() {
    let text = "node orders failed: field total.amount is missing, and the schema has no default for it";
    assert_eq!(refused(Some(b"a"), br#"{"n": 1, "items": 1, "total": {}}"#), text);
    let text = "node orders failed: field total is missing, and the schema has no default for it";
    assert_eq!(refused(Some(b"a"), br#"{"n": 1, "items": 1}"#), text);
}

#[test]
fn a_number_out_of_range() {
    let beyond = |n: &str, items: &str| format!(r#"{{"n": {n}, "items": {items}, "total": {{"amount": 1}}}}"#);
    let text = "node orders failed: field n is 9223372036854775808, out of range for long";
    assert_eq!(refused(Some(b"a"), beyond("9223372036854775808", "1").as_bytes()), text);
    let text = "node orders failed: field n is 1e19, out of range for long";
    assert_eq!(refused(Some(b"a"), beyond("10000000000000000000.0", "1").as_bytes()), text);
    let text = "node orders failed: field items is 2147483648, out of range for int";
    assert_eq!(refused(Some(b"a"), beyond("1", "2147483648").as_bytes()), text);
}

#[test]
fn a_null_or_another_type() {
    let text = "node orders failed: field n is null, where the schema allows none";
    assert_eq!(refused(Some(b"a"), br#"{"n": null, "items": 1, "total": {"amount": 1}}"#), text);
    let text = "node orders failed: field n is a string, where the schema says long";
    assert_eq!(refused(Some(b"a"), br#"{"n": "1", "items": 1, "total": {"amount": 1}}"#), text);
    let text = "node orders failed: field n is 1.5, where the schema says long";
    assert_eq!(refused(Some(b"a"), br#"{"n": 1.5, "items": 1, "total": {"amount": 1}}"#), text);
    let text = "node orders failed: field total is an array, where the schema says an object";
    assert_eq!(refused(Some(b"a"), br#"{"n": 1, "items": 1, "total": [1]}"#), text);
}

#[test]
fn a_null_key() {
    let value = br#"{"n": 1, "items": 1, "total": {"amount": 1}}"#;
    assert_eq!(refused(None, value), "node changes failed: a record without a key has no previous observation in changes");
}

#[test]
fn a_sink_may_write_json() {
    let mut whole = orders(&ORDERS.replace("topic = \"order_changes\"", "topic = \"order_changes\"\nvalue = { format = \"json\" }"));
    for n in [1, 2] {
        whole.pipe("orders", Some(b"a"), Some(json!({ "n": n, "items": 1, "total": { "amount": 1.5 }, "x": [{}] }).to_string().as_bytes()));
    }
    let written = whole.driver.read("order_changes").unwrap();
    assert_eq!(written.len(), 1);
    let value: Json = serde_json::from_slice(written[0].value.as_deref().unwrap()).unwrap();
    assert_eq!((&value["key"], &value["n_previous"], &value["n_current"]), (&json!("a"), &json!(1), &json!(2)));
    assert_eq!((&value["total_amount_current"], &value["note_current"], &value["changed"]), (&json!(1.5), &Json::Null, &json!(["n"])));
    assert!(whole.registry.latest("order_changes-value").unwrap().is_none(), "JSON needs no schema in the registry");
}
