//! The embedded registry, and the serializers on top of it.

use super::fake::FakeLog;
use super::*;
use crate::avro::{Aliases, AvroDeserializer, AvroSerializer, Encoder, Field, Row, Shape, Type, Value, shipped};
use crate::streams::clock::{ManualClock, Timestamp};
use crate::streams::log::local::LocalLog;
use crate::streams::log::{Headers, HeadersBuf, Log, Offset, RecordRef, TopicConfig};
use crate::streams::processor::{Deserializer, Record, SerdeError, Serializer};
use crate::streams::rocks::{Budget, Options, Profile, Rocks};

fn open(log: &FakeLog) -> EmbeddedRegistry {
    EmbeddedRegistry::open(Arc::new(log.clone()), Arc::new(ManualClock::at(Timestamp(5)))).unwrap()
}

/// A record with these fields, each with a type and the rest of its attributes.
fn of(fields: &[(&str, &str)]) -> Schema {
    let fields: Vec<_> = fields.iter().map(|(name, ty)| format!(r#"{{"name":"{name}","type":{ty}}}"#)).collect();
    Schema::parse(&format!(r#"{{"type":"record","name":"r","fields":[{}]}}"#, fields.join(","))).unwrap()
}

fn a() -> Schema {
    of(&[("a", "\"int\"")])
}

fn wider() -> Schema {
    of(&[("a", "\"long\"")])
}

#[test]
fn a_schema_keeps_its_id_and_ids_are_global() {
    let log = FakeLog::default();
    let registry = open(&log);
    assert_eq!(registry.register("x-value", &a()).unwrap(), SchemaId(1));
    assert_eq!(registry.register("x-value", &a()).unwrap(), SchemaId(1));
    assert_eq!(registry.register("y-value", &wider()).unwrap(), SchemaId(2));
    assert_eq!(registry.register("x-value", &wider()).unwrap(), SchemaId(2));
    assert_eq!(registry.versions("x-value").unwrap(), [1, 2]);
    assert_eq!(registry.latest("x-value").unwrap().unwrap(), Registered { id: SchemaId(2), version: 2, schema: Arc::new(wider()) });
    assert_eq!(registry.latest("z-value").unwrap(), None);
    assert_eq!(registry.schema(SchemaId(1)).unwrap().as_deref(), Some(&a()));
    assert_eq!(registry.schema(SchemaId(3)).unwrap(), None);
    assert_eq!(registry.versions("z-value").unwrap_err().to_string(), "the schema registry knows no subject z-value");
    assert_eq!(log.texts().len(), 3);
}

#[test]
fn a_schema_has_a_guid_that_follows_from_its_text() {
    let log = FakeLog::default();
    let registry = open(&log);
    let guid = Guid::of_text(a().text());
    assert_eq!(registry.schema_by_guid(guid).unwrap(), None);
    open(&log).register("x-value", &a()).unwrap();
    assert_eq!(registry.schema_by_guid(guid).unwrap().as_deref(), Some(&a()));
    assert_eq!(registry.lookup(SchemaKey::Guid(guid)).unwrap().as_deref(), Some(&a()));
    assert_eq!(registry.schema_by_guid(Guid([1; 16])).unwrap(), None);
}

#[test]
fn the_topic_is_in_confluents_form_and_is_all_there_is() {
    let log = FakeLog::default();
    open(&log).register("x-value", &a()).unwrap();
    let (key, value) = log.texts().remove(0);
    assert_eq!(key, r#"{"keytype":"SCHEMA","subject":"x-value","version":1,"magic":1}"#);
    assert_eq!(
        value,
        r#"{"subject":"x-value","version":1,"id":1,"schema":"{\"type\":\"record\",\"name\":\"r\",\"fields\":[{\"type\":\"int\",\"name\":\"a\"}]}","deleted":false}"#
    );
    let again = open(&log);
    assert_eq!(again.register("x-value", &a()).unwrap(), SchemaId(1));
    assert_eq!(again.register("x-value", &wider()).unwrap(), SchemaId(2));
    assert_eq!(log.texts().len(), 2);
}

#[test]
fn deleted_versions_and_other_records_of_confluents_are_understood() {
    let log = FakeLog::default();
    let registry = open(&log);
    registry.register("x-value", &a()).unwrap();
    registry.register("x-value", &wider()).unwrap();
    log.push(r#"{"keytype":"NOOP","magic":0}"#, None);
    log.push(r#"{"keytype":"CONFIG","subject":null,"magic":0}"#, Some(r#"{"compatibilityLevel":"BACKWARD"}"#));
    log.push(r#"{"keytype":"SCHEMA","subject":"x-value","version":2,"magic":1}"#, None);
    assert_eq!(registry.versions("x-value").unwrap(), [1]);
    assert_eq!(registry.schema(SchemaId(2)).unwrap().as_deref(), Some(&wider()));
    assert_eq!(registry.register("x-value", &of(&[("a", "\"double\"")])).unwrap(), SchemaId(3));
    assert_eq!(registry.versions("x-value").unwrap(), [1, 3]);
}

#[test]
fn what_cannot_read_the_latest_version_is_refused() {
    let registry = open(&FakeLog::default());
    registry.register("x-value", &wider()).unwrap();
    let error = registry.register("x-value", &a()).unwrap_err();
    assert!(matches!(error, RegistryError::Incompatible { version: 1, .. }));
    assert_eq!(error.to_string(), "the schema cannot read version 1 of x-value");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "field a: long was written, int is read");
    assert!(matches!(registry.compatible("x-value", &a()), Err(RegistryError::Incompatible { .. })));
    assert!(registry.compatible("x-value", &wider()).is_ok());
    assert!(registry.compatible("y-value", &a()).is_ok());
}

#[test]
fn two_registries_of_one_log_never_give_one_id_twice() {
    let log = FakeLog::default();
    let (one, other) = (open(&log), open(&log));
    assert_eq!(one.register("x-value", &a()).unwrap(), SchemaId(1));
    assert_eq!(other.register("y-value", &wider()).unwrap(), SchemaId(2));
    assert_eq!(one.schema(SchemaId(2)).unwrap().as_deref(), Some(&wider()));
}

#[test]
fn a_log_out_of_reach_is_unavailable_and_a_failed_registration_leaves_nothing() {
    let log = FakeLog::default();
    let registry = open(&log);
    for call in ["init", "watermarks", "flush", "commit"] {
        *log.0.fail.lock() = Some(call);
        let error = registry.register("x-value", &a()).unwrap_err();
        assert!(matches!(error, RegistryError::Unavailable { source: Some(_), .. }), "{call}: {error}");
        assert!(log.texts().is_empty());
    }
    assert_eq!(registry.register("x-value", &a()).unwrap(), SchemaId(1));
    *log.0.fail.lock() = Some("describe");
    let error = EmbeddedRegistry::open(Arc::new(log.clone()), Arc::new(ManualClock::default())).unwrap_err();
    assert_eq!(error.to_string(), "the schema registry is unavailable: opening the topic _schemas");
}

#[test]
fn a_broken_topic_is_told_by_offset() {
    let log = FakeLog::default();
    open(&log);
    log.push(
        r#"{"keytype":"SCHEMA","subject":"x","version":1,"magic":1}"#,
        Some(r#"{"subject":"x","version":1,"id":1,"schema":"nonesuch"}"#),
    );
    let error = EmbeddedRegistry::open(Arc::new(log.clone()), Arc::new(ManualClock::default())).unwrap_err();
    assert_eq!(error.to_string(), "the record at offset 0 of _schemas is not a valid schema");
}

fn input(headers: Headers<'_>) -> RecordRef<'_> {
    RecordRef { offset: Offset(0), timestamp: Timestamp(0), key: None, value: None, headers }
}

fn cause(error: &SerdeError) -> String {
    std::error::Error::source(error).unwrap().to_string()
}

fn reader(registry: &Arc<EmbeddedRegistry>) -> AvroDeserializer {
    let wanted = wider().shape().clone();
    AvroDeserializer::new(Arc::clone(registry) as Arc<dyn Registry>, wider(), wanted, Aliases::new())
}

#[test]
fn rows_go_through_the_wire_and_back() {
    let log = FakeLog::default();
    let registry = Arc::new(open(&log));
    let schema = Schema::parse(shipped("youtube_video").unwrap()).unwrap();
    let shape = Shape { fields: vec![Field::new("title", Type::String, true), Field::new("views", Type::Long, true)] };
    let id = registry.register("youtube_videos-value", &schema).unwrap();
    let mut writer = AvroSerializer::new(id, Encoder::compile(&schema, &shape).unwrap());
    let row = Row { values: vec![Value::String("Tide".into()), Value::Long(7)] };
    let mut bytes = Vec::new();
    let record = Record { key: None, value: Some(&row), timestamp: Timestamp(0), headers: Headers::EMPTY };
    writer.serialize(&row, &record, &mut bytes).unwrap();
    assert_eq!(bytes, b"\0\0\0\0\x01\x02\x08Tide\x02\x0e\0\0\0\0\0\0\0\0\0");
    let mut reader = AvroDeserializer::new(registry, schema, shape, Aliases::new());
    let mut back = Row::default();
    reader.deserialize(&bytes, &input(Headers::EMPTY), &mut back).unwrap();
    assert_eq!(back, row);
    let mut headers = HeadersBuf::default();
    headers.push("__value_schema_id", Some(&[0, 0, 0, 0, 1]));
    reader.deserialize(&bytes[5..], &input(headers.as_headers()), &mut back).unwrap();
    assert_eq!(back, row);
}

#[test]
fn writers_may_alternate() {
    let registry = Arc::new(open(&FakeLog::default()));
    for index in 0..40 {
        let schema = of(&[("a", "\"int\""), (&format!("f{index}"), "\"int\"")]);
        registry.register(&format!("s{index}"), &schema).unwrap();
    }
    let mut reader = reader(&registry);
    let mut row = Row::default();
    for round in 0..3_u8 {
        for id in 1..=40_u8 {
            reader.deserialize(&[0, 0, 0, 0, id, 2 * (id % 60), 2], &input(Headers::EMPTY), &mut row).unwrap();
            assert_eq!(row.values, [Value::Long(i64::from(id % 60))], "{round}");
        }
    }
}

#[test]
fn bad_records_are_told_from_outages() {
    let log = FakeLog::default();
    let registry = Arc::new(open(&log));
    registry.register("x", &a()).unwrap();
    registry.register("y", &of(&[("a", "\"string\"")])).unwrap();
    let mut reader = reader(&registry);
    let mut read = |bytes: &[u8]| reader.deserialize(bytes, &input(Headers::EMPTY), &mut Row::default());
    assert!(read(&[0, 0, 0, 0, 1, 2]).is_ok());
    let error = read(b"{}").unwrap_err();
    assert!(matches!(error, SerdeError::Record(_)), "{}", cause(&error));
    let error = read(&[0, 0, 0, 0, 1, 0x80]).unwrap_err();
    assert!(matches!(error, SerdeError::Record(_)));
    assert_eq!(cause(&error), "a value of schema 1 cannot be decoded");
    for _ in 0..2 {
        let error = read(&[0, 0, 0, 0, 2, 2]).unwrap_err();
        assert!(matches!(error, SerdeError::Record(_)));
        assert_eq!(cause(&error), "schema 2 cannot be read with the source's schema");
    }
    *log.0.fail.lock() = Some("watermarks");
    let error = read(&[0, 0, 0, 0, 3, 2]).unwrap_err();
    assert!(matches!(error, SerdeError::Unavailable(_)));
    for _ in 0..2 {
        let error = read(&[0, 0, 0, 0, 3, 2]).unwrap_err();
        assert!(matches!(error, SerdeError::Unavailable(_)));
        assert_eq!(cause(&error), "the schema registry knows no schema 3");
    }
    assert!(matches!(read(&[0, 0, 0, 0, 3, 2]).unwrap_err(), SerdeError::Record(_)));
    registry.register("z", &wider()).unwrap();
    assert!(read(&[0, 0, 0, 0, 3, 2]).is_ok());
    assert!(read(&[0, 0, 0, 0, 1, 2]).is_ok());
}

fn on(log: &Arc<LocalLog>) -> EmbeddedRegistry {
    EmbeddedRegistry::open(Arc::clone(log) as Arc<dyn Log>, Arc::new(ManualClock::at(Timestamp(5)))).unwrap()
}

#[test]
fn two_registries_of_the_embedded_log_follow_each_other() {
    let log = LocalLog::in_memory();
    let (one, other) = (on(&log), on(&log));
    assert_eq!(one.register("x-value", &a()).unwrap(), SchemaId(1));
    assert_eq!(other.register("x-value", &a()).unwrap(), SchemaId(1));
    assert_eq!(other.register("x-value", &wider()).unwrap(), SchemaId(2));
    assert_eq!(one.register("y-value", &a()).unwrap(), SchemaId(1));
    assert_eq!(one.versions("x-value").unwrap(), [1, 2]);
    assert_eq!(other.latest("y-value").unwrap().unwrap().version, 1);
    let description = log.admin().describe("_schemas").unwrap().unwrap();
    assert_eq!(description.config, TopicConfig::compact(1));
    log.admin().maintain(Timestamp(i64::MAX / 2)).unwrap();
    assert_eq!(on(&log).versions("x-value").unwrap(), [1, 2]);
}

#[test]
fn schemas_outlive_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let log = || {
        let options = Options::new(Profile::Log, Budget::new(1 << 20, 1 << 20));
        LocalLog::open(Arc::new(Rocks::open(&directory.path().join("log"), &options).unwrap())).unwrap()
    };
    assert_eq!(on(&log()).register("x-value", &a()).unwrap(), SchemaId(1));
    assert_eq!(on(&log()).register("y-value", &wider()).unwrap(), SchemaId(2));
    let registry = on(&log());
    assert_eq!(registry.schema(SchemaId(1)).unwrap().as_deref(), Some(&a()));
    assert_eq!(registry.register("x-value", &wider()).unwrap(), SchemaId(2));
    assert_eq!(registry.versions("x-value").unwrap(), [1, 2]);
}
