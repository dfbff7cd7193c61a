//! Fuzz targets: schemas, Avro bodies held against Apache Avro's own reader, the wire format and keys, JSON values.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use apache_avro::schema::Name;
use apache_avro::types::Value as Avro;
use serde_json::Value as Json;

use super::schema::{Kind, Node};
use super::{
    Aliases, AvroDeserializer, AvroKey, DecodeError, Decoder, Encoder, Guid, JsonDeserializer, KeyChecker, KeyFormat, Reason, Registered,
    Registry, RegistryError, Row, Schema, SchemaId, Value, check_readable, row_to_json, to_json, wire,
};
use crate::fuzzing::input::{part, run};
use crate::streams::clock::Timestamp;
use crate::streams::log::{Headers, HeadersBuf, Offset, RecordRef};
use crate::streams::processor::{Deserializer as _, KeyCheck as _};

/// The text of a schema.
pub(crate) fn schema(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let schema = match Schema::parse(text) {
        Ok(schema) => schema,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let again = Schema::parse(schema.text());
    assert!(again.as_ref().is_ok_and(|again| again == &schema && again.shape() == schema.shape()), "{}: {again:?}", schema.text());
    let decoder = Decoder::compile(&schema, &schema, schema.shape());
    if schema.record().is_some() {
        assert!(decoder.is_ok(), "a schema that cannot read itself: {decoder:?}");
    }
    assert!(check_readable(&schema, &schema).is_ok() || has_unknown(&schema), "a schema that cannot read itself");
    if let Ok(decoder) = decoder {
        drop(decoder.decode(&[0; 64], &mut Row::default()));
    }
    drop(Encoder::compile(&schema, schema.shape()));
    drop(Encoder::compile(&schema, &super::Shape::default()));
    drop(JsonDeserializer::new(&schema, schema.shape(), &Aliases::new()));
    drop(AvroKey::of(&schema));
    drop(to_json(&schema, &[0; 64]));
}

/// Two schemas and a body, each up to a zero byte but the last; an empty second schema is the first.
pub(crate) fn avro(mut input: &[u8]) {
    let (writer, reader) = (part(&mut input), part(&mut input));
    let parse = |text: &[u8]| Schema::parse(std::str::from_utf8(text).ok()?).ok();
    let Some(writer) = parse(writer) else { return };
    let reader = if reader.is_empty() {
        writer.clone()
    } else if let Some(reader) = parse(reader) {
        reader
    } else {
        return;
    };
    let ours = to_json(&writer, input);
    let mut row = Row::default();
    let decoded = Decoder::compile(&writer, &reader, reader.shape()).map(|decoder| decoder.decode(input, &mut row));
    if is_readable(&writer) && is_readable(&reader) && !super::json::has_sized_blocks(&writer, input) {
        oracle(&writer, &reader, input, (&ours, decoded.ok().map(|done| done.map(|()| &row))));
    }
}

/// Holds what was read against what Apache Avro reads.
///
/// What is passed over is not looked at closely, and the names of types need not agree: so the decoder may read what Apache Avro refuses, but not the
/// other way round, and never another value.
fn oracle(writer: &Schema, reader: &Schema, body: &[u8], (json, row): (&Result<Json, DecodeError>, Option<Result<&Row, DecodeError>>)) {
    static LIMIT: OnceLock<usize> = OnceLock::new();
    LIMIT.get_or_init(|| apache_avro::util::max_allocation_bytes(1 << 16));
    let read = |reader: Option<&Schema>| {
        let mut rest = body;
        let builder = apache_avro::reader::datum::GenericDatumReader::builder(writer.root());
        let reader = match reader {
            Some(reader) => builder.reader_schema(reader.root()).build(),
            None => builder.build(),
        };
        let value = reader.ok()?.read_value(&mut rest).ok()?;
        rest.is_empty().then_some(value)
    };
    // Where a body ends too early, the library takes some values for null; of a varint that nobody writes it drops the bits beyond the 64th.
    let is_stricter = |error: &DecodeError| match error.reason {
        Reason::End | Reason::Length { .. } => true,
        Reason::Varint => has_overlong_varint(body),
        _ => false,
    };
    if json.as_ref().is_err_and(is_stricter) || row.as_ref().is_some_and(|row| row.as_ref().is_err_and(is_stricter)) {
        return;
    }
    if let Some(theirs) = read(None) {
        let theirs = json_of(&theirs);
        assert!(json.as_ref().is_ok_and(|ours| *ours == theirs), "as JSON: {json:?}, but Apache Avro reads {theirs}");
    } else {
        assert!(json.is_err(), "as JSON: {json:?}, but Apache Avro refuses it");
    }
    if let (Some(theirs), Some(row)) = (read(Some(reader)), row) {
        let row = row.unwrap_or_else(|error| panic!("{error}, but Apache Avro reads {theirs:?}"));
        for (index, field) in reader.shape().fields.iter().enumerate() {
            let theirs = at(&theirs, &field.path);
            let ours = row_to_json(&super::Shape { fields: vec![field.clone()] }, &Row { values: vec![row.get(index).clone()] });
            assert_eq!(ours.get(&*field.path), Some(&theirs), "{}", field.path);
        }
    }
}

/// Ten bytes that could be a varint with more than 64 bits.
fn has_overlong_varint(body: &[u8]) -> bool {
    body.windows(10).any(|bytes| bytes.iter().position(|&byte| byte < 0x80) == Some(9) && bytes.last() > Some(&1))
}

/// The value at a path, as JSON; times in milliseconds, as rows have them.
fn at(value: &Avro, path: &str) -> Json {
    let step = |value: Option<Avro>, name: &str| match value? {
        Avro::Record(fields) => fields.into_iter().find(|(known, _)| known == name).map(|(_, value)| inner(value)),
        _ => None,
    };
    match path.split('.').fold(Some(inner(value.clone())), step) {
        Some(Avro::TimestampMicros(at)) => Json::from(at.div_euclid(1_000)),
        Some(Avro::TimestampNanos(at)) => Json::from(at.div_euclid(1_000_000)),
        Some(value) => json_of(&value),
        None => Json::Null,
    }
}

fn inner(value: Avro) -> Avro {
    if let Avro::Union(_, value) = value { inner(*value) } else { value }
}

fn json_of(value: &Avro) -> Json {
    let latin = |bytes: &[u8]| Json::String(bytes.iter().map(|&byte| char::from(byte)).collect());
    let double = |value: f64| serde_json::Number::from_f64(value).map_or_else(|| Json::from(value.to_string()), Json::Number);
    match value {
        Avro::Null => Json::Null,
        Avro::Boolean(value) => Json::from(*value),
        Avro::Int(value) | Avro::Date(value) | Avro::TimeMillis(value) => Json::from(*value),
        Avro::Long(value)
        | Avro::TimeMicros(value)
        | Avro::TimestampMillis(value)
        | Avro::TimestampMicros(value)
        | Avro::TimestampNanos(value)
        | Avro::LocalTimestampMillis(value)
        | Avro::LocalTimestampMicros(value)
        | Avro::LocalTimestampNanos(value) => Json::from(*value),
        Avro::Float(value) => double(f64::from(*value)),
        Avro::Double(value) => double(*value),
        Avro::Bytes(value) | Avro::Fixed(_, value) => latin(value),
        Avro::String(value) | Avro::Enum(_, value) => Json::from(value.as_str()),
        Avro::Union(_, value) => json_of(value),
        Avro::Array(values) => values.iter().map(json_of).collect(),
        Avro::Map(values) => Json::Object(values.iter().map(|(name, value)| (name.clone(), json_of(value))).collect()),
        Avro::Record(fields) => Json::Object(fields.iter().map(|(name, value)| (name.clone(), json_of(value))).collect()),
        other => panic!("{other:?}"),
    }
}

/// Whether Apache Avro's reader can be asked: its stack and its memory are bounded for these schemas, and it reads them as plain values.
fn is_readable(schema: &Schema) -> bool {
    let mut open = HashSet::new();
    walk(schema, schema.root(), &mut open, &mut |node| {
        let is_plain = !matches!(node, Node::Decimal(_) | Node::BigDecimal | Node::Uuid(_) | Node::Duration(_));
        is_plain
            && match schema.kind(node) {
                Kind::Unknown => false,
                // A reference to what is being read: a record within itself.
                Kind::Record(_) => !matches!(node, Node::Ref { .. }),
                Kind::Array(items) | Kind::Map(items) => !schema.is_empty(items),
                _ => true,
            }
    })
}

fn has_unknown(schema: &Schema) -> bool {
    !walk(schema, schema.root(), &mut HashSet::new(), &mut |node| !matches!(schema.kind(node), Kind::Unknown))
}

/// Whether something holds for all nodes; each named record is entered once.
fn walk<'a>(schema: &'a Schema, node: &'a Node, seen: &mut HashSet<&'a Name>, holds: &mut dyn FnMut(&'a Node) -> bool) -> bool {
    holds(node)
        && match schema.kind(node) {
            Kind::Array(inside) | Kind::Map(inside) => walk(schema, inside, seen, holds),
            Kind::Union(branches) => branches.iter().all(|branch| walk(schema, branch, seen, holds)),
            Kind::Record(record) if seen.insert(&record.name) => record.fields.iter().all(|field| walk(schema, &field.schema, seen, holds)),
            _ => true,
        }
}

/// A record with a field of each kind.
const WIDE: &str = r#"{"type":"record","name":"wide","fields":[
    {"name":"flag","type":"boolean"},{"name":"count","type":["null","long"],"default":null},{"name":"small","type":"int","default":7},
    {"name":"single","type":["null","float"]},{"name":"double","type":"double","default":0.5},{"name":"text","type":"string"},
    {"name":"raw","type":["null","bytes"],"default":null},{"name":"four","type":["null",{"type":"fixed","name":"f","size":4}],"default":null},
    {"name":"kind","type":{"type":"enum","name":"e","symbols":["A","B"]},"default":"A"},
    {"name":"tags","type":{"type":"array","items":"string"},"default":[]},
    {"name":"at","type":["null",{"type":"long","logicalType":"timestamp-millis"}],"default":null},
    {"name":"micros","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null},
    {"name":"order","type":["null",{"type":"record","name":"o","fields":[{"name":"price","type":"double"},{"name":"note","type":["null","string"]}]}],"default":null}]}"#;

/// The schemas that the registry of the targets knows, by their ids from 1.
const KNOWN: [&str; 5] = [WIDE, "\"string\"", "\"int\"", "\"long\"", r#"{"type":"record","name":"other","fields":[]}"#];

#[derive(Debug)]
struct Known(Vec<Arc<Schema>>);

impl Registry for Known {
    fn register(&self, _: &str, _: &Schema) -> Result<SchemaId, RegistryError> {
        Ok(SchemaId(1))
    }

    fn schema(&self, id: SchemaId) -> Result<Option<Arc<Schema>>, RegistryError> {
        Ok(usize::try_from(id.0).ok().and_then(|id| self.0.get(id.checked_sub(1)?).cloned()))
    }

    fn schema_by_guid(&self, guid: Guid) -> Result<Option<Arc<Schema>>, RegistryError> {
        self.schema(SchemaId(guid.0.map(u32::from).iter().sum()))
    }

    fn latest(&self, _: &str) -> Result<Option<Registered>, RegistryError> {
        Ok(None)
    }

    fn versions(&self, subject: &str) -> Result<Vec<u32>, RegistryError> {
        Err(RegistryError::NotFound(subject.to_owned()))
    }

    fn compatible(&self, _: &str, _: &Schema) -> Result<(), RegistryError> {
        Ok(())
    }
}

/// A registry that knows a few schemas under the ids from 1.
pub(crate) fn registry() -> Arc<dyn Registry> {
    static REGISTRY: OnceLock<Arc<Known>> = OnceLock::new();
    let known = || Arc::new(Known(KNOWN.into_iter().filter_map(|text| Schema::parse(text).ok()).map(Arc::new).collect()));
    Arc::clone(REGISTRY.get_or_init(known)) as Arc<dyn Registry>
}

/// The schema of [`json`] and of id 1.
fn wide() -> Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| Schema::parse(WIDE).unwrap_or_else(|error| panic!("{error}"))).clone()
}

/// Headers with their length before them, and a value (or a key) in the wire format.
pub(crate) fn wire(mut input: &[u8]) {
    let headers = Headers::from_bytes(run(&mut input).unwrap_or_default());
    let mut rebuilt = HeadersBuf::default();
    headers.iter().for_each(|(name, value)| rebuilt.push(name, value));
    assert!(headers.iter().eq(rebuilt.as_headers().iter()), "headers");
    if let Ok((key, body)) = wire::split(input, headers) {
        assert!(!key.to_string().is_empty());
        if let (Some(id), None) = (key.id(), headers.last(wire::VALUE_SCHEMA_ID)) {
            let mut written = Vec::new();
            wire::prefix(id, &mut written);
            written.extend_from_slice(body);
            assert_eq!(written, input);
        }
    }
    let record = RecordRef { offset: Offset(0), timestamp: Timestamp(0), key: Some(input), value: Some(input), headers };
    let mut row = Row::default();
    let mut deserializer = AvroDeserializer::new(registry(), wide(), wide().shape().clone(), Aliases::new());
    for _ in 0..4 {
        drop(deserializer.deserialize(input, &record, &mut row));
    }
    let avro = [AvroKey::String, AvroKey::Int, AvroKey::Long].map(KeyFormat::Avro);
    for format in [KeyFormat::String, KeyFormat::Bytes, KeyFormat::Long, KeyFormat::Int].into_iter().chain(avro) {
        let read = format.read(input).map(|key| key.copy_to(&mut Value::Null));
        let checked = KeyChecker::new(format, registry()).check(input, &record);
        assert!(checked.is_err() || read.is_ok(), "a key that was checked cannot be read");
    }
    if let Ok(guid) = std::str::from_utf8(input).unwrap_or_default().parse::<Guid>() {
        assert_eq!(guid.to_string().parse(), Ok(guid));
    }
}

/// A value in JSON: what is read of it is written as Avro and as JSON, and read again.
pub(crate) fn json(input: &[u8]) {
    let schema = wide();
    let read = |bytes: &[u8]| {
        let mut row = Row::default();
        let mut reader = JsonDeserializer::new(&schema, schema.shape(), &Aliases::new()).unwrap_or_else(|error| panic!("{error}"));
        reader.read(bytes, &mut row).map(|()| row)
    };
    let row = match read(input) {
        Ok(row) => row,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let encoder = Encoder::compile(&schema, schema.shape()).unwrap_or_else(|misfits| panic!("{misfits:?}"));
    let mut body = Vec::new();
    // A time in milliseconds may have no place in a schema of microseconds.
    if encoder.encode(&row, None, &mut body).is_err() {
        return;
    }
    let mut decoded = Row::default();
    let decoder = Decoder::compile(&schema, &schema, schema.shape()).unwrap_or_else(|error| panic!("{error}"));
    decoder.decode(&body, &mut decoded).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(decoded, row);
    let text = to_json(&schema, &body).unwrap_or_else(|error| panic!("{error}")).to_string();
    assert_eq!(read(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}")), row, "{text}");
}
