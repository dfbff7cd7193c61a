//! Encodes what a row does not have: the schema's default, or null.

use apache_avro::schema::RecordField;
use serde_json::Value as Json;

use crate::avro::Schema;
use crate::avro::cursor::{put_bytes, put_long};
use crate::avro::decoder::json_bytes;
use crate::avro::schema::{Kind, Node};

/// The bytes of a field's default, else of null; none where it has neither.
pub(super) fn encode(schema: &Schema, field: &RecordField) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    put(schema, &field.schema, field.default.as_ref().unwrap_or(&Json::Null), &mut out)?;
    Some(out)
}

#[expect(clippy::cast_possible_truncation, reason = "a float's default is a float")]
fn put(schema: &Schema, node: &Node, json: &Json, out: &mut Vec<u8>) -> Option<()> {
    match schema.kind(node) {
        Kind::Null => json.as_null()?,
        Kind::Boolean => out.push(u8::from(json.as_bool()?)),
        Kind::Int => put_long(i32::try_from(json.as_i64()?).ok()?.into(), out),
        Kind::Long => put_long(json.as_i64()?, out),
        Kind::Float => out.extend_from_slice(&(json.as_f64()? as f32).to_le_bytes()),
        Kind::Double => out.extend_from_slice(&json.as_f64()?.to_le_bytes()),
        Kind::Bytes => put_bytes(&json_bytes(json)?, out),
        Kind::String => put_bytes(json.as_str()?.as_bytes(), out),
        Kind::Fixed(size) => out.extend_from_slice(&json_bytes(json).filter(|bytes| bytes.len() == size)?),
        Kind::Enum(schema) => {
            let symbol = json.as_str()?;
            put_long(i64::try_from(schema.symbols.iter().position(|known| known == symbol)?).ok()?, out);
        }
        Kind::Array(items) => {
            let values = json.as_array()?;
            block(values.len(), out)?;
            for value in values {
                put(schema, items, value, out)?;
            }
            put_long(0, out);
        }
        Kind::Map(node) => {
            let values = json.as_object()?;
            block(values.len(), out)?;
            for (key, value) in values {
                put_bytes(key.as_bytes(), out);
                put(schema, node, value, out)?;
            }
            put_long(0, out);
        }
        Kind::Union(branches) => {
            let start = out.len();
            for (index, branch) in branches.iter().enumerate() {
                put_long(i64::try_from(index).ok()?, out);
                if put(schema, branch, json, out).is_some() {
                    return Some(());
                }
                out.truncate(start);
            }
            return None;
        }
        Kind::Record(record) => {
            let fields = json.as_object()?;
            for field in &record.fields {
                put(schema, &field.schema, fields.get(&field.name).or(field.default.as_ref())?, out)?;
            }
        }
        Kind::Unknown => return None,
    }
    Some(())
}

fn block(count: usize, out: &mut Vec<u8>) -> Option<()> {
    if count > 0 {
        put_long(i64::try_from(count).ok()?, out);
    }
    Some(())
}
