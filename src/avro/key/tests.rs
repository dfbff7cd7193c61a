//! Keys as Java's serializers write them, and what is none.

use std::sync::Arc;

use parking_lot::Mutex;

use super::*;
use crate::avro::{Guid, Registered, Registry, RegistryError, SchemaId};
use crate::streams::clock::Timestamp;
use crate::streams::log::{Headers, HeadersBuf, Offset, RecordRef};
use crate::streams::processor::{KeyCheck, SerdeError};

fn read(format: KeyFormat, key: &[u8]) -> Result<Key<'_>, String> {
    let chain = |error: KeyError| match std::error::Error::source(&error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    format.read(key).map_err(chain)
}

#[test]
fn numbers_are_big_endian() {
    // new LongSerializer().serialize(null, 258L), (-2L); new IntegerSerializer().serialize(null, 258)
    assert_eq!(read(KeyFormat::Long, &[0, 0, 0, 0, 0, 0, 1, 2]), Ok(Key::Long(258)));
    assert_eq!(read(KeyFormat::Long, &[255, 255, 255, 255, 255, 255, 255, 254]), Ok(Key::Long(-2)));
    assert_eq!(read(KeyFormat::Int, &[0, 0, 1, 2]), Ok(Key::Long(258)));
    assert_eq!(read(KeyFormat::Int, &[128, 0, 0, 0]), Ok(Key::Long(i64::from(i32::MIN))));
    assert_eq!(read(KeyFormat::Long, &[0, 0, 1, 2]).unwrap_err(), "the key has 4 bytes; a long has 8");
    assert_eq!(read(KeyFormat::Int, &[]).unwrap_err(), "the key has 0 bytes; an int has 4");
}

#[test]
fn text_is_utf8_and_bytes_are_anything() {
    assert_eq!(read(KeyFormat::String, "é".as_bytes()), Ok(Key::Text("é")));
    assert!(read(KeyFormat::String, &[0xff]).unwrap_err().starts_with("the key is not UTF-8: "));
    assert_eq!(read(KeyFormat::Bytes, &[0xff]), Ok(Key::Bytes(&[0xff])));
}

#[test]
fn avro_keys_are_single_values_behind_a_schema_id() {
    let key = |body: &[u8]| [&[0, 0, 0, 0, 9], body].concat();
    assert_eq!(read(KeyFormat::Avro(AvroKey::String), &key(b"\x06abc")), Ok(Key::Text("abc")));
    assert_eq!(read(KeyFormat::Avro(AvroKey::Long), &key(&[0x8f, 0x03])), Ok(Key::Long(-200)));
    assert_eq!(read(KeyFormat::Avro(AvroKey::Int), &key(&[2])), Ok(Key::Long(1)));
    let bad = |schema, key: &[u8]| read(KeyFormat::Avro(schema), key).unwrap_err();
    assert_eq!(bad(AvroKey::Long, &[0, 0, 0, 0]), "the key has 4 bytes, too few for a schema id");
    assert_eq!(bad(AvroKey::Long, b"abcdef"), "the key begins with byte 0x61, not with the magic byte 0");
    assert_eq!(bad(AvroKey::Long, &key(&[])), "the key is no Avro long: the body ends too early");
    assert_eq!(bad(AvroKey::Long, &key(&[2, 2])), "the key is no Avro long: 1 bytes are left after the last field");
    assert_eq!(bad(AvroKey::String, &key(b"\x02\xff")), "the key is no Avro string: a string is not UTF-8");
    assert_eq!(bad(AvroKey::Int, &key(&[0xff, 0xff, 0xff, 0xff, 0x7f])), "the key is no Avro int: an int has more than 32 bits");
}

#[test]
fn a_schema_that_is_no_single_value_is_no_keys() {
    let of = |json: &str| AvroKey::of(&Schema::parse(json).unwrap());
    assert_eq!(of("\"long\""), Ok(AvroKey::Long));
    assert_eq!(of(r#"{"type":"string","avro.java.string":"String"}"#), Ok(AvroKey::String));
    let error = of(r#"{"type":"record","name":"k","fields":[]}"#).unwrap_err();
    assert_eq!(error.to_string(), "the schema is record k; a key is a string, an int or a long");
    assert_eq!(of(r#"["null","long"]"#).unwrap_err().found, "union of null, long");
}

/// A registry that is down until it is told otherwise, with one schema: 7, a long. Counts what it is asked.
#[derive(Debug, Default)]
struct Flaky {
    up: Mutex<bool>,
    asked: Mutex<u32>,
}

impl Registry for Flaky {
    fn register(&self, _: &str, _: &Schema) -> Result<SchemaId, RegistryError> {
        unreachable!()
    }
    fn schema(&self, id: SchemaId) -> Result<Option<Arc<Schema>>, RegistryError> {
        *self.asked.lock() += 1;
        if !*self.up.lock() {
            return Err(RegistryError::Unavailable { what: "asking".to_owned(), source: None });
        }
        Ok((id == SchemaId(7)).then(|| Arc::new(Schema::parse("\"long\"").unwrap())))
    }
    fn schema_by_guid(&self, _: Guid) -> Result<Option<Arc<Schema>>, RegistryError> {
        unreachable!()
    }
    fn latest(&self, _: &str) -> Result<Option<Registered>, RegistryError> {
        unreachable!()
    }
    fn versions(&self, _: &str) -> Result<Vec<u32>, RegistryError> {
        unreachable!()
    }
    fn compatible(&self, _: &str, _: &Schema) -> Result<(), RegistryError> {
        unreachable!()
    }
}

fn check(checker: &mut KeyChecker, key: &[u8], headers: Headers<'_>) -> Result<(), SerdeError> {
    let record = RecordRef { offset: Offset(0), timestamp: Timestamp(0), key: Some(key), value: None, headers };
    checker.check(key, &record)
}

#[test]
fn a_registry_that_is_down_is_no_fault_of_the_record() {
    let registry = Arc::new(Flaky::default());
    let mut checker = KeyChecker::new(KeyFormat::Avro(AvroKey::Long), Arc::clone(&registry) as Arc<dyn Registry>);
    let key = [0, 0, 0, 0, 7, 2];
    for _ in 0..10 {
        assert!(matches!(check(&mut checker, &key, Headers::EMPTY), Err(SerdeError::Unavailable(_))));
    }
    *registry.up.lock() = true;
    for _ in 0..10 {
        check(&mut checker, &key, Headers::EMPTY).unwrap();
    }
    assert_eq!(*registry.asked.lock(), 11, "what is known is not asked again");
}

#[test]
fn an_unknown_id_is_a_bad_record_after_some_look_ups_and_may_become_known() {
    let registry = Arc::new(Flaky { up: Mutex::new(true), ..Flaky::default() });
    let mut checker = KeyChecker::new(KeyFormat::Avro(AvroKey::Long), Arc::clone(&registry) as Arc<dyn Registry>);
    let mut unknown = |id: u8| check(&mut checker, &[0, 0, 0, 0, id, 2], Headers::EMPTY);
    for id in [8, 9] {
        assert!(matches!(unknown(id), Err(SerdeError::Unavailable(_))));
        assert!(matches!(unknown(id), Err(SerdeError::Unavailable(_))));
        assert!(matches!(unknown(id), Err(SerdeError::Record(_))));
    }
    // Many others in between: what is kept of them is bounded.
    for id in 20..120 {
        assert!(unknown(id).is_err());
    }
    unknown(7).unwrap();
}

#[test]
fn the_schema_of_a_key_in_a_header_is_refused_in_words() {
    let mut checker = KeyChecker::new(KeyFormat::Avro(AvroKey::Long), Arc::new(Flaky::default()));
    let mut headers = HeadersBuf::default();
    headers.push("__key_schema_id", Some(&[0, 0, 0, 0, 7]));
    let Err(SerdeError::Record(error)) = check(&mut checker, &[2], headers.as_headers()) else { panic!("taken") };
    assert!(error.to_string().starts_with("the header __key_schema_id names the key's schema, which is not supported"), "{error}");
}
