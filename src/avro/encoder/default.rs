//! Encodes what a row does not have: the schema's default, or null.

use apache_avro::schema::RecordField;
use serde_json::Value as Json;

use crate::avro::Schema;
use crate::avro::cursor::{put_bytes, put_long};
use crate::avro::decoder::json_bytes;
use crate::avro::schema::{Kind, Node};

/// Values that a default is made of: the fields of a record may have defaults of their own, and be records themselves, even the same one.
const VALUES_MAX: usize = 10_000;

/// Values within values: bounds the stack.
const DEPTH_MAX: usize = 100;

/// The bytes of a field's default, else of null; none where it has neither.
pub(super) fn encode(schema: &Schema, field: &RecordField) -> Option<Vec<u8>> {
    let mut written = Written { schema, bytes: Vec::new(), values: 0, depth: 0 };
    written.put(&field.schema, field.default.as_ref().unwrap_or(&Json::Null))?;
    Some(written.bytes)
}

/// A default being written.
struct Written<'a> {
    schema: &'a Schema,
    bytes: Vec<u8>,
    values: usize,
    depth: usize,
}

impl Written<'_> {
    fn put(&mut self, node: &Node, json: &Json) -> Option<()> {
        self.values += 1;
        if self.values > VALUES_MAX || self.depth >= DEPTH_MAX {
            return None;
        }
        self.depth += 1;
        let done = self.put_here(node, json);
        self.depth -= 1;
        done
    }

    #[expect(clippy::cast_possible_truncation, reason = "a float's default is a float")]
    fn put_here(&mut self, node: &Node, json: &Json) -> Option<()> {
        let (schema, out) = (self.schema, &mut self.bytes);
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
                values.iter().try_for_each(|value| self.put(items, value))?;
                put_long(0, &mut self.bytes);
            }
            Kind::Map(node) => {
                let values = json.as_object()?;
                block(values.len(), out)?;
                for (key, value) in values {
                    put_bytes(key.as_bytes(), &mut self.bytes);
                    self.put(node, value)?;
                }
                put_long(0, &mut self.bytes);
            }
            Kind::Union(branches) => return self.put_branch(branches, json),
            Kind::Record(record) => {
                let fields = json.as_object()?;
                for field in &record.fields {
                    self.put(&field.schema, fields.get(&field.name).or(field.default.as_ref())?)?;
                }
            }
            Kind::Unknown => return None,
        }
        Some(())
    }

    /// The first branch that takes the value.
    fn put_branch(&mut self, branches: &[Node], json: &Json) -> Option<()> {
        let start = self.bytes.len();
        for (index, branch) in branches.iter().enumerate() {
            put_long(i64::try_from(index).ok()?, &mut self.bytes);
            if self.put(branch, json).is_some() {
                return Some(());
            }
            self.bytes.truncate(start);
        }
        None
    }
}

fn block(count: usize, out: &mut Vec<u8>) -> Option<()> {
    if count > 0 {
        put_long(i64::try_from(count).ok()?, out);
    }
    Some(())
}
