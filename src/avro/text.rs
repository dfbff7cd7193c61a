//! The normal text of a schema: what is registered, and what tells two schemas apart.
//!
//! Unlike Avro's parsing canonical form it keeps documentation, defaults, aliases and attributes: they are part of what a reader does.

use serde_json::Value;

/// Attributes that come first, in this order; all others follow sorted by name.
const ORDER: [&str; 10] = ["type", "name", "namespace", "doc", "fields", "symbols", "items", "values", "size", "default"];

/// Writes a schema without white space, with attributes in a fixed order and `{"type":"long"}` as `"long"`.
pub(crate) fn normal(schema: &Value) -> String {
    let mut out = String::new();
    write(schema, true, &mut out);
    out
}

fn write(value: &Value, schema: bool, out: &mut String) {
    match value {
        Value::Object(object) if schema && object.len() == 1 && object.get("type").is_some_and(Value::is_string) => {
            write(object.get("type").unwrap_or(&Value::Null), false, out);
        }
        Value::Object(object) => {
            let mut keys: Vec<&String> = object.keys().collect();
            keys.sort_by_key(|key| (ORDER.iter().position(|known| known == key).unwrap_or(ORDER.len()), *key));
            out.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                let nested = matches!(key.as_str(), "type" | "items" | "values" | "fields");
                write(object.get(key).unwrap_or(&Value::Null), nested, out);
            }
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(value, schema, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_same_whatever_the_order_and_white_space() {
        let one: Value = serde_json::from_str(
            r#"{"name":"r", "type":"record","fields":[{"default":{"b":1,"a":{"type":"x"}},"doc":"d","name":"f","type":{"type":"long"}}]}"#,
        )
        .unwrap();
        let other: Value = serde_json::from_str(
            r#"{"type":"record","name":"r","fields":[{"type":"long","name":"f","doc":"d","default":{"a":{"type":"x"},"b":1}}]}"#,
        )
        .unwrap();
        assert_eq!(normal(&one), normal(&other));
        assert_eq!(
            normal(&one),
            r#"{"type":"record","name":"r","fields":[{"type":"long","name":"f","doc":"d","default":{"a":{"type":"x"},"b":1}}]}"#
        );
    }
}
