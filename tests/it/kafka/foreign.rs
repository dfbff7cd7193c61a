//! Topics of somebody else's on a real broker: written by Confluent's own producer and serializers, read as they are.

use std::path::Path;

use serde_json::{Value, json};

use super::{Application, file};
use crate::real::broker::Broker;
use crate::real::python::python;
use crate::real::records;
use crate::real::registry::Registry;

/// What only the registry knows: a nested field, and one that nobody here can use.
const ACCOUNT: &str = r#"{"type":"record","name":"account","namespace":"bank","fields":[
    {"name":"owner","type":"string"},{"name":"tags","type":{"type":"map","values":"int"}},
    {"name":"balance","type":["null",{"type":"record","name":"money","fields":[{"name":"amount","type":"int"},{"name":"currency","type":"string"}]}]}]}"#;

/// What ksqlDB registers for `CREATE STREAM youtube_videos (..., title VARCHAR, views INTEGER, ...) WITH (VALUE_FORMAT = 'avro')`.
const KSQLDB: &str = r#"{"type":"record","name":"KsqlDataSourceSchema","namespace":"io.confluent.ksql.avro_schemas","fields":[
    {"name":"TITLE","type":["null","string"],"default":null},{"name":"VIEWS","type":["null","int"],"default":null},
    {"name":"COMMENTS","type":["null","int"],"default":null},{"name":"LIKES","type":["null","int"],"default":null}],
    "connect.name":"io.confluent.ksql.avro_schemas.KsqlDataSourceSchema"}"#;

/// Times of records: brokers that are not ours may refuse the beginning of time.
const THEN: i64 = 1_750_000_000_000;

impl Application {
    /// Writes values with Confluent's producer: with its Avro serializer where there is a schema, else as JSON. None where there is none.
    fn write(&self, name: &str, key: (&str, &Value), schema: Option<&str>, values: &[Value]) -> Option<()> {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let (kind, key) = key;
        let lines = values
            .iter()
            .zip(0..)
            .map(|(value, minute)| json!({ "key": key, "value": value, "timestamp": THEN + minute * 60_000 }).to_string() + "\n");
        let servers = format!("bootstrap.servers={}", self.client.get("bootstrap.servers").unwrap());
        let (topic, written) = (self.topic(name), put("records", &lines.collect::<String>()));
        let mut arguments = vec!["write", "--config", &servers, "--topic", &topic, "--key", kind, "--records", &written];
        let path = schema.map(|schema| put("schema.avsc", schema));
        arguments.extend(path.iter().flat_map(|path| ["--registry", &self.registry, "--schema", path]));
        python("confluent.py", &arguments).map(drop)
    }

    /// What people are told, in the order of the outbox.
    fn texts(&self) -> Option<Vec<String>> {
        let messages = self.read("telegram_outbox")?;
        Some(messages.iter().map(|message| message.value["text"].as_str().unwrap().to_owned()).collect())
    }

    #[track_caller]
    fn assert_no_dead_letters(&self) {
        assert_eq!(records::read(&self.client, &format!("{}-dead-letters", self.id)), []);
    }
}

#[test]
fn the_example_works_on_topics_that_were_there_before() {
    let (Some(broker), Some(registry)) = (Broker::shared(), Registry::shared()) else { return };
    let application = Application::on(broker, registry, &file("examples/orders.toml"), &[("orders.avsc", &file("examples/orders.avsc"))]);
    // Their topics, of their making: `setup` finds them, and the schema with them.
    for topic in ["orders", "accounts"] {
        broker.create_topic(&application.topic(topic), 2, &[("retention.ms", "-1")]);
    }
    let order = |status, amount, by: Option<&str>| json!({ "status": status, "total": { "amount": amount }, "shippedBy": by, "lines": [{ "sku": "x" }] });
    let orders = [order("paid", 12.5, None), order("shipped", 12.5, Some("Bo")), order("shipped", 12.5, Some("Bo"))];
    let account = |amount| json!({ "owner": "Ada", "tags": { "vip": 1 }, "balance": { "amount": amount, "currency": "EUR" } });
    let accounts = [30, 5, -7, -8].map(account);
    let Some(()) = application.write("orders", ("string", &json!("A-1")), None, &orders) else { return };
    let Some(()) = application.write("accounts", ("long", &json!(42)), Some(ACCOUNT), &accounts) else { return };

    application.home.succeed(&["setup"]);
    application.instance().succeed(&["run", "--only", "topology", "--until-end"]);
    let mut texts = application.texts().unwrap();
    texts.sort_unstable();
    assert_eq!(texts, ["Account 42 of Ada is overdrawn: -7", "Order A-1: paid => shipped, 12.5 EUR Bo"]);
    let changes = application.read_keyed("account_changes", "long").unwrap();
    let amounts: Vec<_> =
        changes.iter().map(|change| (&change["value"]["balance_amount_previous"], &change["value"]["balance_amount_current"])).collect();
    assert_eq!(amounts, [(&json!(30), &json!(5)), (&json!(5), &json!(-7)), (&json!(-7), &json!(-8))]);
    assert!(changes.iter().all(|change| change["key"] == 42 && change["value"]["key"] == 42), "{changes:#?}");
    assert!(changes.iter().all(|change| change["value"]["owner_current"] == "Ada"), "{changes:#?}");
    application.assert_no_dead_letters();
    // Nothing was added for it.
    assert!(!Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/account.avsc").exists());
}

#[test]
fn the_originals_records_become_changes_and_messages() {
    let (Some(broker), Some(registry)) = (Broker::shared(), Registry::shared()) else { return };
    let alias = "alias = { title = \"TITLE\", views = \"VIEWS\", likes = \"LIKES\", comments = \"COMMENTS\" }\nstart = \"earliest\"";
    let topology = file("topology.toml").replace("start = \"earliest\"", alias);
    let application = Application::on(broker, registry, &topology, &[]);
    broker.create_topic(&application.topic("youtube_videos"), 1, &[("retention.ms", "-1")]);
    let seen = |views: i32, likes: Option<i32>| json!({ "TITLE": "Tides", "VIEWS": views, "LIKES": likes, "COMMENTS": 7 });
    let values = [seen(190, Some(412)), seen(190, None), seen(i32::MAX, Some(415))];
    let Some(()) = application.write("youtube_videos", ("string", &json!("a")), Some(KSQLDB), &values) else { return };

    application.home.succeed(&["setup"]);
    application.instance().succeed(&["run", "--only", "topology", "--until-end"]);
    assert_eq!(application.texts().unwrap(), ["Likes changed: 412 => 415. Tides", "Views changed: 190 => 2147483647. Tides"]);
    let changes = application.read("youtube_changes").unwrap();
    let change = &changes[0].value;
    assert_eq!((changes.len(), changes[0].timestamp, &change["changed"]), (1, THEN + 120_000, &json!(["views", "likes"])));
    assert_eq!((&change["views_previous"], &change["views_current"]), (&json!(190), &json!(i32::MAX)));
    assert_eq!((&change["title"], &change["comments_current"]), (&json!("Tides"), &json!(7)));
    application.assert_no_dead_letters();
}
