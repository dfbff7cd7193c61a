//! Any Avro record as JSON, for people to read. Not for the hot path.

use serde_json::{Map, Value as Json};

use super::cursor::Cursor;
use super::schema::{Kind, Node};
use super::{DecodeError, Reason, Row, Schema, Shape, Value};

/// Values that take no bytes (nulls in an array): the body does not bound them.
const EMPTY_MAX: u64 = 10_000;

/// Records within records: bounds the stack that a malformed body can take.
const DEPTH_MAX: usize = 200;

/// Decodes a body into JSON: unions without their type, times as the number that was written, bytes as a string of code points below 256, as Avro's
/// own JSON has them; numbers that JSON lacks (infinities, not-a-number) as strings.
pub fn to_json(schema: &Schema, body: &[u8]) -> Result<Json, DecodeError> {
    let mut reader = Reader::new(schema, body);
    let value = reader.value(schema.root()).and_then(|value| match reader.cursor.left() {
        0 => Ok(value),
        left => {
            reader.path.clear();
            Err(Reason::Trailing(left))
        }
    });
    value.map_err(|reason| DecodeError { path: reader.path.join(".").into(), at: body.len() - reader.cursor.left(), reason })
}

/// For the fuzz targets: whether a body has blocks that say their size, which readers may believe or not.
#[cfg(any(test, fuzzing))]
pub(super) fn has_sized_blocks(schema: &Schema, body: &[u8]) -> bool {
    let mut reader = Reader::new(schema, body);
    reader.value(schema.root()).is_ok_and(|_| reader.sized) || reader.sized
}

/// A row as JSON: an object by dotted path.
pub fn row_to_json(shape: &Shape, row: &Row) -> Json {
    let fields = shape.fields.iter().enumerate().map(|(index, field)| (field.path.to_string(), value_to_json(row.get(index))));
    Json::Object(fields.collect())
}

fn value_to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Boolean(value) => Json::from(*value),
        Value::Long(value) => Json::from(*value),
        Value::Double(value) => double(*value),
        Value::String(value) => Json::from(value.as_str()),
        Value::Bytes(value) => latin(value),
        Value::Strings(values) => values.iter().map(String::as_str).collect(),
        Value::Names(values) => values.iter().collect(),
    }
}

fn double(value: f64) -> Json {
    serde_json::Number::from_f64(value).map_or_else(|| Json::from(value.to_string()), Json::Number)
}

fn latin(bytes: &[u8]) -> Json {
    Json::String(bytes.iter().map(|&byte| char::from(byte)).collect())
}

struct Reader<'a> {
    schema: &'a Schema,
    cursor: Cursor<'a>,
    /// The fields that are being read; left as it is by an error.
    path: Vec<&'a str>,
    empty: u64,
    /// Whether there was a block that says its size.
    sized: bool,
}

impl<'a> Reader<'a> {
    fn new(schema: &'a Schema, body: &'a [u8]) -> Self {
        Self { schema, cursor: Cursor::new(body), path: Vec::new(), empty: 0, sized: false }
    }

    fn value(&mut self, node: &'a Node) -> Result<Json, Reason> {
        let schema = self.schema;
        Ok(match schema.kind(node) {
            Kind::Null => Json::Null,
            Kind::Boolean => Json::from(self.cursor.boolean()?),
            Kind::Int => Json::from(self.cursor.int()?),
            Kind::Long => Json::from(self.cursor.long()?),
            Kind::Float => double(f64::from(self.cursor.float()?)),
            Kind::Double => double(self.cursor.double()?),
            Kind::Bytes => latin(self.cursor.bytes()?),
            Kind::String => Json::from(self.cursor.text()?),
            Kind::Fixed(size) => latin(self.cursor.fixed(size)?),
            Kind::Enum(schema) => {
                let index = self.cursor.index(schema.symbols.len())?;
                schema.symbols.get(index).map_or(Json::Null, |symbol| Json::from(symbol.as_str()))
            }
            Kind::Array(items) => {
                let mut values = Vec::new();
                self.items(items, |reader| {
                    values.push(reader.value(items)?);
                    Ok(())
                })?;
                Json::Array(values)
            }
            Kind::Map(node) => {
                let mut values = Map::new();
                self.items(node, |reader| {
                    let key = reader.cursor.text()?.to_owned();
                    values.insert(key, reader.value(node)?);
                    Ok(())
                })?;
                Json::Object(values)
            }
            Kind::Union(branches) => match branches.get(self.cursor.index(branches.len())?) {
                Some(branch) => self.value(branch)?,
                None => Json::Null,
            },
            Kind::Record(record) => {
                let mut fields = Map::new();
                // Not even one such value is bounded by the body, where its fields are such records themselves.
                self.count(schema.is_empty(node))?;
                if self.path.len() >= DEPTH_MAX {
                    return Err(Reason::Depth);
                }
                for field in &record.fields {
                    self.path.push(&field.name);
                    fields.insert(field.name.clone(), self.value(&field.schema)?);
                    self.path.pop();
                }
                Json::Object(fields)
            }
            Kind::Unknown => return Err(Reason::Unfit("unknown type".into())),
        })
    }

    /// Counts a value that takes no bytes.
    fn count(&mut self, empty: bool) -> Result<(), Reason> {
        self.empty += u64::from(empty);
        if self.empty > EMPTY_MAX { Err(Reason::Empty) } else { Ok(()) }
    }

    fn items(&mut self, node: &'a Node, mut item: impl FnMut(&mut Self) -> Result<(), Reason>) -> Result<(), Reason> {
        let empty = self.schema.is_empty(node);
        loop {
            let (count, size) = self.cursor.block()?;
            self.sized |= size.is_some();
            if count == 0 {
                return Ok(());
            }
            for _ in 0..count {
                self.count(empty)?;
                item(self)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{NameSet, Type};
    use super::*;
    use crate::avro::Field;

    fn parse(json: &str) -> Schema {
        Schema::parse(json).unwrap()
    }

    #[test]
    fn every_type_has_a_form() {
        let schema = parse(
            r#"{"type":"record","name":"r","fields":[
                {"name":"n","type":["null","long"]},{"name":"b","type":"boolean"},{"name":"d","type":"double"},{"name":"y","type":"bytes"},
                {"name":"e","type":{"type":"enum","name":"e","symbols":["A","B"]}},{"name":"m","type":{"type":"map","values":"int"}},
                {"name":"a","type":{"type":"array","items":["null","string"]}},{"name":"r","type":["null","r"]}]}"#,
        );
        let mut body = vec![2, 3, 1];
        body.extend_from_slice(&f64::NAN.to_le_bytes());
        body.extend_from_slice(&[2, 0xff, 2, 2, 2, b'k', 5, 0, 4, 0, 2, 2, b's', 0, 0]);
        let json = to_json(&schema, &body).unwrap();
        assert_eq!(json.to_string(), r#"{"a":[null,"s"],"b":true,"d":"NaN","e":"B","m":{"k":-3},"n":-2,"r":null,"y":"ÿ"}"#);
        let error = to_json(&schema, &body[..body.len() - 3]).unwrap_err();
        assert_eq!(error.to_string(), "field a, byte 22: a length is 1, with 0 bytes left");
        body.push(0);
        assert_eq!(to_json(&schema, &body).unwrap_err().to_string(), "byte 26: 1 bytes are left after the last field");
    }

    #[test]
    fn values_without_bytes_are_bounded() {
        let schema = parse(r#"{"type":"record","name":"r","fields":[{"name":"a","type":{"type":"array","items":"null"}}]}"#);
        assert_eq!(to_json(&schema, &[0xfe, 0xff, 0xff, 0xff, 0x0f, 0]).unwrap_err().reason, Reason::Empty);
        // One value of two, of two each, and so on: without a single byte.
        let schema = parse(&crate::avro::schema::tests::doubling(30, ""));
        assert_eq!(to_json(&schema, &[]).unwrap_err().reason, Reason::Empty);
        let schema = parse(&crate::avro::schema::tests::doubling(4, ""));
        assert_eq!(
            to_json(&schema, &[]).unwrap().to_string(),
            r#"{"a":{"a":{"a":{},"b":{}},"b":{"a":{},"b":{}}},"b":{"a":{"a":{},"b":{}},"b":{"a":{},"b":{}}}}"#
        );
    }

    #[test]
    fn a_record_within_itself_ends() {
        let schema = parse(r#"{"type":"record","name":"r","fields":[{"name":"r","type":["null","r"]}]}"#);
        assert_eq!(to_json(&schema, &vec![2; 100_000]).unwrap_err().reason, Reason::Depth);
        let schema = parse(r#"{"type":"record","name":"r","fields":[{"name":"a","type":{"type":"array","items":"r"}}]}"#);
        assert_eq!(to_json(&schema, &vec![2; 100_000]).unwrap_err().reason, Reason::Depth);
    }

    #[test]
    fn a_row_is_an_object_by_path() {
        let names: std::sync::Arc<[std::sync::Arc<str>]> = ["a".into(), "b".into()].into();
        let shape = Shape {
            fields: vec![
                Field::new("current.a", Type::Long, true),
                Field::new("changed", Type::Names(std::sync::Arc::clone(&names)), false),
            ],
        };
        let row = Row { values: vec![Value::Long(1), Value::Names(NameSet { names, bits: 2 })] };
        assert_eq!(row_to_json(&shape, &row).to_string(), r#"{"changed":["b"],"current.a":1}"#);
    }
}
