//! Keys as Java's, ksqlDB's and Confluent's serializers write them: state is kept by their bytes, people see what they mean.

use super::*;
use crate::avro::SchemaId;

const COUNTS: &str = r#"application_id = "app"
[sources.counts]
topic = "counts"
key = "KEY"
value = { format = "json", schema = "counts.avsc" }
start = "earliest"
[processors.changes]
type = "latest"
input = "counts"
watch = ["n"]
[processors.steps]
type = "milestone"
input = "counts"
field = "n"
every = 10
chat_id = "1"
text = "{{ boundary }}"
[processors.tell]
type = "notify"
input = "changes"
when = "WHEN"
chat_id = "1"
text = "{{ key }}: {{ current.n }}"
[sinks.changes]
input = "changes"
topic = "changes"
[sinks.outbox]
inputs = ["tell", "steps"]
topic = "telegram_outbox"
value = "telegram_message"
"#;

const SCHEMA: &str = r#"{"type":"record","name":"count","fields":[{"name":"n","type":"long"}]}"#;

fn counts(ground: Ground, key: &str, when: &str) -> Foreign {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("counts.avsc"), SCHEMA).unwrap();
    let text = COUNTS.replace("\"KEY\"", &format!("\"{key}\"")).replace("\"WHEN\"", &format!("\"{when}\""));
    let config = ground.load(&text, Some(folder.path()));
    ground.start(&config)
}

fn count(whole: &mut Foreign, key: &[u8], n: i64) {
    whole.pipe("counts", Some(key), Some(json!({ "n": n }).to_string().as_bytes()));
}

/// Two counts under a good key with one under a bad one in between; what is said of that.
#[track_caller]
fn refused(whole: &mut Foreign, good: &[u8], bad: &[u8]) -> String {
    count(whole, good, 1);
    count(whole, bad, 5);
    count(whole, good, 2);
    assert_eq!(whole.read("changes").len(), 1, "the neighbours pass");
    let dead = whole.dead();
    assert_eq!(dead.len(), 1, "it is kept once");
    assert_eq!(dead[0].key.as_deref(), Some(bad), "as it was");
    dead[0].reason.clone()
}

#[test]
fn a_long_is_a_number_everywhere_but_in_the_state() {
    let mut whole = counts(Ground::new(), "long", "key > 4 && current.n > 0");
    for n in [1, 12] {
        count(&mut whole, &7_i64.to_be_bytes(), n);
        count(&mut whole, &(-3_i64).to_be_bytes(), n);
    }
    let changes = whole.read("changes");
    assert_eq!(changes.iter().map(|(_, value)| value["key"].clone()).collect::<Vec<_>>(), [json!(7), json!(-3)]);
    assert_eq!(changes[0].0, 7_i64.to_be_bytes(), "the records keep the bytes of the key");
    let mut texts = whole.texts();
    texts.sort();
    assert_eq!(texts, ["10", "10", "7: 12"]);
    let stored: Vec<Vec<u8>> = whole.driver.store("changes").into_iter().map(|(key, _)| key).collect();
    assert_eq!(stored, [7_i64.to_be_bytes(), (-3_i64).to_be_bytes()]);
}

#[test]
fn a_tombstone_is_looked_at_too() {
    let mut whole = counts(Ground::new(), "int", "removed");
    count(&mut whole, &7_i32.to_be_bytes(), 1);
    whole.pipe("counts", Some(b"7"), None);
    whole.pipe("counts", Some(&7_i32.to_be_bytes()), None);
    assert_eq!(whole.texts(), ["7: 1"]);
    assert_eq!(whole.dead()[0].reason, "node counts failed: the key has 1 bytes; an int has 4");
}

#[test]
fn a_key_that_is_no_long_or_int() {
    let text = refused(&mut counts(Ground::new(), "long", "removed"), &[0; 8], b"text");
    assert_eq!(text, "node counts failed: the key has 4 bytes; a long has 8");
    let text = refused(&mut counts(Ground::new(), "int", "removed"), &[0; 4], &[0; 8]);
    assert_eq!(text, "node counts failed: the key has 8 bytes; an int has 4");
}

#[test]
fn a_key_that_is_no_text() {
    let text = refused(&mut counts(Ground::new(), "string", "removed"), b"a", b"\xff");
    let expected = "node changes failed: the key of a record for changes cannot be read: the key is not UTF-8: invalid utf-8 sequence of 1 bytes from index 0";
    assert_eq!(text, expected);
}

#[test]
fn any_bytes_are_bytes() {
    let mut whole = counts(Ground::new(), "bytes", "current.n > 0");
    for n in [1, 2] {
        count(&mut whole, b"\xff\x00a", n);
    }
    assert_eq!(whole.read("changes")[0].1["key"], "\u{ff}\u{0}a", "bytes in Avro, which its JSON writes as code points");
    assert!(whole.dead().is_empty());
}

#[test]
fn no_key_where_state_needs_one() {
    let mut whole = counts(Ground::new(), "long", "removed");
    whole.pipe("counts", None, Some(br#"{"n": 1}"#));
    assert_eq!(whole.dead()[0].reason, "node changes failed: a record without a key has no previous observation in changes");
}

fn avro_key(id: SchemaId, body: &[u8]) -> Vec<u8> {
    let mut key = Vec::new();
    wire::prefix(id, &mut key);
    key.extend_from_slice(body);
    key
}

fn avro(schema: &str, when: &str) -> (Foreign, SchemaId) {
    let ground = Ground::new();
    let id = ground.registry.register("counts-key", &Schema::parse(schema).unwrap()).unwrap();
    (counts(ground, "avro", when), id)
}

#[test]
fn an_avro_key_is_what_its_schema_says() {
    let (mut whole, id) = avro("\"string\"", "key == 'ab'");
    for n in [1, 2] {
        count(&mut whole, &avro_key(id, b"\x04ab"), n);
    }
    assert_eq!(whole.read("changes")[0].1["key"], "ab");
    assert_eq!(whole.texts(), ["ab: 2"]);
    let (mut whole, id) = avro("\"long\"", "key == -2");
    for n in [1, 2] {
        count(&mut whole, &avro_key(id, b"\x03"), n);
    }
    assert_eq!(whole.read("changes")[0].1["key"], -2);
    assert_eq!(whole.texts(), ["-2: 2"]);
}

#[test]
fn an_avro_key_that_is_none() {
    let (mut whole, id) = avro("\"int\"", "removed");
    let good = avro_key(id, b"\x02");
    let text = refused(&mut whole, &good, b"\x00\x00");
    assert_eq!(text, "node counts failed: the key has 2 bytes, too few for a schema id");
    let (mut whole, _) = avro("\"int\"", "removed");
    assert_eq!(refused(&mut whole, &good, b"abcdef"), "node counts failed: the key begins with byte 0x61, not with the magic byte 0");
    let (mut whole, id) = avro("\"int\"", "removed");
    let text = refused(&mut whole, &good, &avro_key(id, b"\xff\xff\xff\xff\xff\x01"));
    assert_eq!(text, "node counts failed: the key is no Avro int: an int has more than 32 bits");
    let (mut whole, _) = avro("\"int\"", "removed");
    let other = whole.registry.register("other", &Schema::parse("\"string\"").unwrap()).unwrap();
    let text = refused(&mut whole, &good, &avro_key(other, b"\x02a"));
    assert_eq!(text, format!("node counts failed: the key was written with schema {other}, which is string; the source's keys are int"));
}

#[test]
fn a_schema_id_that_nobody_knows_is_asked_for_a_few_times() {
    let (mut whole, id) = avro("\"int\"", "removed");
    count(&mut whole, &avro_key(id, b"\x02"), 1);
    count(&mut whole, &avro_key(SchemaId(999), b"\x02"), 1);
    let mut dead = whole.dead();
    for _ in 0..10 {
        if dead.is_empty() {
            whole.driver.advance(std::time::Duration::from_secs(1)).unwrap();
            dead = whole.dead();
        }
    }
    assert_eq!(dead[0].reason, "node counts failed: the schema registry knows no schema 999, which the key names");
}

/// Without state: the key is read from the record, where somebody asks for it.
const DIRECT: &str = r#"application_id = "app"
[sources.counts]
topic = "counts"
key = "long"
value = { format = "json", schema = "counts.avsc" }
start = "earliest"
[processors.odd]
type = "filter"
input = "counts"
when = "key != 4"
[processors.tell]
type = "notify"
input = "odd"
chat_id = "1"
text = "{{ key }}: {{ n }}"
[sinks.outbox]
input = "tell"
topic = "telegram_outbox"
value = "telegram_message"
[sinks.copies]
input = "odd"
topic = "copies"
value = { format = "json", schema = "copy.avsc" }
"#;

#[test]
fn nodes_right_behind_a_source_see_the_key() {
    let ground = Ground::new();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("counts.avsc"), SCHEMA).unwrap();
    let copy =
        SCHEMA.replace("[{", r#"[{"name":"id","type":"int","tidewatch":"key"},{"name":"key","type":["null","long"],"default":null},{"#);
    std::fs::write(folder.path().join("copy.avsc"), copy).unwrap();
    let config = ground.load(DIRECT, Some(folder.path()));
    assert!(config.sources[0].reads_key);
    let mut whole = ground.start(&config);
    for key in [3, 4, 5_i64] {
        count(&mut whole, &key.to_be_bytes(), key * 10);
    }
    assert_eq!(whole.texts(), ["3: 30", "5: 50"]);
    let copies = whole.driver.read("copies").unwrap();
    assert_eq!(copies[1].value.as_deref().unwrap(), br#"{"id":5,"key":null,"n":50}"#, "a sink takes the key only by its attribute");
    whole.pipe("counts", None, Some(br#"{"n": 1}"#));
    assert!(whole.texts().is_empty() && whole.dead().is_empty(), "no key is a null: no comparison with it is true");
    let unread = DIRECT.replace("key != 4", "n > 0").replace("{{ key }}", "");
    let config = Ground::new().load(&unread, Some(folder.path()));
    assert!(!config.sources[0].reads_key, "nobody asks for it");
}
