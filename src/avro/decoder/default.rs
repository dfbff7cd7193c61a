//! The reader's defaults, for fields that the writer does not have.

use serde_json::Value as Json;

use super::resolve::units_per_millisecond;
use crate::avro::schema::{Kind, Level, Node};
use crate::avro::{Schema, Value};

/// The value at the end of `levels` when the writer lacks the first of them; none where there is no default. An error is a default of another type.
pub(crate) fn at(reader: &Schema, levels: &[Level<'_>]) -> Option<Result<Value, ()>> {
    let (first, rest) = levels.split_first()?;
    let mut json = first.field.default.as_ref()?;
    let mut level = first;
    for next in rest {
        if json.is_null() && level.nullable {
            return Some(Ok(Value::Null));
        }
        let Json::Object(fields) = json else { return Some(Err(())) };
        json = fields.get(&next.field.name).or(next.field.default.as_ref())?;
        level = next;
    }
    if json.is_null() {
        return Some(if level.nullable { Ok(Value::Null) } else { Err(()) });
    }
    Some(value(reader, level.node, json).ok_or(()))
}

#[expect(clippy::cast_possible_truncation, reason = "a float's default is rounded to a float, as its values are")]
fn value(reader: &Schema, node: &Node, json: &Json) -> Option<Value> {
    Some(match reader.kind(node) {
        Kind::Boolean => Value::Boolean(json.as_bool()?),
        Kind::Int | Kind::Long => Value::Long(json.as_i64()?.div_euclid(units_per_millisecond(node).unwrap_or(1).into())),
        Kind::Float => Value::Double(f64::from(json.as_f64()? as f32)),
        Kind::Double => Value::Double(json.as_f64()?),
        Kind::String => Value::String(json.as_str()?.to_owned()),
        Kind::Enum(schema) => {
            let symbol = json.as_str()?;
            let known = schema.symbols.iter().any(|known| known == symbol);
            known.then(|| Value::String(symbol.to_owned()))?
        }
        Kind::Bytes => Value::Bytes(bytes(json)?),
        Kind::Fixed(size) => bytes(json).filter(|bytes| bytes.len() == size).map(Value::Bytes)?,
        Kind::Array(_) => Value::Strings(json.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<_>>()?),
        _ => return None,
    })
}

/// Bytes in JSON are a string of code points below 256.
pub(crate) fn bytes(json: &Json) -> Option<Vec<u8>> {
    bytes_of(json.as_str()?)
}

/// The same for the text itself.
pub(crate) fn bytes_of(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|char| u8::try_from(u32::from(char)).ok()).collect()
}
