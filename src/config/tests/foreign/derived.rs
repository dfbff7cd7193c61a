//! Sinks without a schema of their own.

use super::*;

const NESTED: &str = r#"{"type":"record","name":"order","fields":[
    {"name":"order","type":{"type":"record","name":"o","fields":[{"name":"price","type":"int"},{"name":"tags","type":{"type":"array","items":"string"}}]}},
    {"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"open","type":"boolean"},{"name":"order_price","type":["null","string"]},
    {"name":"raw","type":"bytes"},{"name":"rate","type":"float"}]}"#;

const ORDERS: &str = r#"application_id = "app"
[sources.orders]
topic = "orders"
value = { format = "avro", schema = "orders.avsc" }
start = "earliest"
[processors.changes]
type = "latest"
input = "orders"
watch = ["order.price", "order.tags", "at", "open", "rate"]
[processors.dear]
type = "filter"
input = "changes"
when = "current.order.price > 10"
[processors.tell]
type = "milestone"
input = "dear"
field = "order.price"
every = 5
chat_id = "1"
text = "{{ current.order.price|default(0) }} {{ key }}"
[sinks.changes]
input = "dear"
topic = "order.changes-1"
[sinks.outbox]
input = "tell"
topic = "telegram_outbox"
value = "telegram_message"
"#;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("orders.avsc"), NESTED).unwrap();
    folder
}

fn orders(text: &str) -> Result<Config, String> {
    let folder = folder();
    let loaded = load_text(&SourceFile::new("t.toml", text), Some(folder.path()), &LoadOptions::offline());
    loaded.map_err(|faults| faults.render(Style::Plain))
}

fn order(price: i32, at: i64) -> Json {
    json!({ "order": { "price": price, "tags": ["x"] }, "at": at, "open": true, "order_price": null, "raw": "", "rate": 0.5 })
}

#[test]
fn the_schema_is_flat_and_its_text_never_changes() {
    let config = orders(ORDERS).unwrap();
    let sink = &config.sinks[0];
    assert_eq!(&*sink.schema_name, "tidewatch.order_changes_1");
    let json: Json = serde_json::from_str(sink.schema.text()).unwrap();
    let fields = json["fields"].as_array().unwrap().iter().map(|field| format!("{} {} {}", field["name"], field["type"], field["default"]));
    insta::assert_snapshot!(fields.collect::<Vec<_>>().join("\n"), @r#"
    "key" "string" null
    "order_price_previous" ["null","long"] null
    "order_price_current" ["null","long"] null
    "order_tags_previous" ["null",{"items":"string","type":"array"}] null
    "order_tags_current" ["null",{"items":"string","type":"array"}] null
    "at_previous" ["null",{"logicalType":"timestamp-millis","type":"long"}] null
    "at_current" ["null",{"logicalType":"timestamp-millis","type":"long"}] null
    "open_previous" ["null","boolean"] null
    "open_current" ["null","boolean"] null
    "rate_previous" ["null","double"] null
    "rate_current" ["null","double"] null
    "observed_at_previous" ["null",{"logicalType":"timestamp-millis","type":"long"}] null
    "observed_at_current" {"logicalType":"timestamp-millis","type":"long"} null
    "changed" {"items":"string","type":"array"} []
    "removed" "boolean" false
    "removed_reason" ["null","string"] null
    "#);
    assert_eq!(orders(ORDERS).unwrap().sinks[0].schema.text(), sink.schema.text());
}

#[test]
fn changes_are_written_with_it_and_a_longer_watch_is_compatible() {
    let ground = Ground::new();
    let folder = folder();
    let config = ground.load(&ORDERS.replace("\"order.tags\", \"at\", ", ""), Some(folder.path()));
    build(&config, Arc::clone(&ground.registry)).unwrap();
    let first = ground.registry.latest("order.changes-1-value").unwrap().unwrap();
    build(&config, Arc::clone(&ground.registry)).unwrap();
    assert_eq!(ground.registry.versions("order.changes-1-value").unwrap(), [1], "the same text is the same version");
    let config = ground.load(ORDERS, Some(folder.path()));
    let mut whole = ground.start(&config);
    let latest = whole.registry.latest("order.changes-1-value").unwrap().unwrap();
    assert_eq!((first.version, latest.version), (1, 2));
    whole.avro("orders", b"k", NESTED, &order(9, 60_000_000));
    whole.avro("orders", b"k", NESTED, &order(10, 60_000_000));
    whole.avro("orders", b"k", NESTED, &order(11, 61_000_000));
    let changes = whole.read("order.changes-1");
    assert_eq!(changes.len(), 1);
    insta::assert_snapshot!(changes[0].1.to_string(), @r#"{"at_current":61000,"at_previous":60000,"changed":["order.price","at"],"key":"k","observed_at_current":180000,"observed_at_previous":120000,"open_current":true,"open_previous":true,"order_price_current":11,"order_price_previous":10,"order_tags_current":["x"],"order_tags_previous":["x"],"rate_current":0.5,"rate_previous":0.5,"removed":false,"removed_reason":null}"#);
}

#[test]
fn paths_that_would_have_one_name() {
    insta::assert_snapshot!(orders(&ORDERS.replace("\"at\", ", "\"order_price\", ")).unwrap_err(), @r"
      x no schema can be derived for `changes`: `previous.order.price` and `previous.order_price` would both be written as
      | `order_price_previous`
        ,-[t.toml:21:8]
     21 | [sinks.changes]
        :        ^^^|^^^
        :           `-- no schema of its own
        `----
      help: name a schema under `value`, or give each input a sink and a topic of its own

    t.toml: 1 error
    ");
}

#[test]
fn messages_and_raw_rows_have_no_derived_schema() {
    insta::assert_snapshot!(orders(&ORDERS.replace("value = \"telegram_message\"\n", "")).unwrap_err(), @r#"
      x [sinks.outbox] has no `value`
        ,-[t.toml:24:8]
     24 | [sinks.outbox]
        :        ^^^|^^
        :           `-- in this table
        `----
      help: add `value = "telegram_message"`: a schema is derived for what comes from a `latest` node only

    t.toml: 1 error
    "#);
    insta::assert_snapshot!(orders(&ORDERS.replace("input = \"dear\"\ntopic", "input = \"orders\"\ntopic")).unwrap_err(), @r"
      x [sinks.changes] has no `value`
        ,-[t.toml:21:8]
     21 | [sinks.changes]
        :        ^^^|^^^
        :           `-- in this table
        `----
      help: add `value` with the name of a schema: one is derived for what comes from a `latest` node only

    t.toml: 1 error
    ");
}

#[test]
fn inputs_with_different_fields() {
    let more = "[processors.more]\ntype = \"latest\"\ninput = \"orders\"\nwatch = [\"open\"]\n";
    let text = ORDERS.replace("input = \"dear\"\ntopic", "inputs = [\"dear\", \"more\"]\ntopic") + more;
    insta::assert_snapshot!(orders(&text).unwrap_err(), @r"
      x the inputs of `changes` have different fields, so that no one schema can be derived
        ,-[t.toml:21:8]
     21 | [sinks.changes]
        :        ^^^|^^^
        :           `-- no schema of its own
        `----
      help: name a schema under `value`, or give each input a sink and a topic of its own

    t.toml: 1 error
    ");
}

#[test]
fn two_sinks_of_one_node_share_a_topic_and_a_schema() {
    let more = "[sinks.again]\ninput = \"changes\"\ntopic = \"order.changes-1\"\n";
    assert!(orders(&(ORDERS.to_owned() + more)).is_ok());
}
