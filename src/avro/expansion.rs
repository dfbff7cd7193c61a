//! How much the defaults of a schema expand to: looked at before Apache Avro's library sees the schema.
//!
//! The library checks each default by making the value of it. A record whose default leaves its fields out takes theirs, which may be records
//! themselves: two such fields of a record, each of the record before, thirty times, are a thousand million values; and a record whose default holds
//! itself has no end. Both fit into a schema of a few kilobytes.

use std::collections::HashMap;

use serde_json::Value as Json;

/// Values that all defaults of a schema may expand to.
pub(super) const VALUES_MAX: usize = 100_000;

/// Values within values: bounds the stack.
const DEPTH_MAX: usize = 64;

/// Whether the defaults of a schema expand to no more than there is room for.
pub(super) fn is_bounded(schema: &Json) -> bool {
    let mut defaults = Defaults::default();
    defaults.collect(schema);
    let mut left = VALUES_MAX;
    let fields = defaults.fields.iter();
    let with_default = fields.filter_map(|field| Some((field.get("type")?, field.get("default")?)));
    with_default.into_iter().all(|(ty, default)| defaults.expand(ty, default, 0, &mut left).is_some())
}

#[derive(Default)]
struct Defaults<'a> {
    /// The fields of records, by the records' names and aliases without namespaces: those of one name are all meant.
    records: HashMap<&'a str, Vec<&'a [Json]>>,
    fields: Vec<&'a Json>,
}

impl<'a> Defaults<'a> {
    fn collect(&mut self, schema: &'a Json) {
        match schema {
            Json::Array(branches) => branches.iter().for_each(|branch| self.collect(branch)),
            Json::Object(object) => {
                if let Some(fields) = object.get("fields").and_then(Json::as_array) {
                    let aliases = object.get("aliases").and_then(Json::as_array).into_iter().flatten();
                    for name in object.get("name").into_iter().chain(aliases).filter_map(Json::as_str) {
                        self.records.entry(simple(name)).or_default().push(fields);
                    }
                    self.fields.extend(fields);
                    fields.iter().filter_map(|field| field.get("type")).for_each(|ty| self.collect(ty));
                }
                ["type", "items", "values"].iter().filter_map(|key| object.get(*key)).for_each(|inner| self.collect(inner));
            }
            _ => {}
        }
    }

    /// Counts the values of a default; none where there are too many.
    fn expand(&self, ty: &Json, default: &Json, depth: usize, left: &mut usize) -> Option<()> {
        *left = left.checked_sub(1)?;
        if !matches!(default, Json::Object(_) | Json::Array(_)) {
            return Some(());
        }
        if depth >= DEPTH_MAX {
            return None;
        }
        match ty {
            Json::String(name) => {
                let mut all = self.records.get(simple(name)).into_iter().flatten();
                all.try_for_each(|fields| self.expand_record(fields, default, depth, left))
            }
            Json::Array(branches) => branches.iter().try_for_each(|branch| self.expand(branch, default, depth + 1, left)),
            Json::Object(object) => {
                if let Some(fields) = object.get("fields").and_then(Json::as_array) {
                    return self.expand_record(fields, default, depth, left);
                }
                let inner = ["items", "values"].iter().find_map(|key| object.get(*key));
                match (inner, object.get("type")) {
                    (Some(inner), _) => {
                        let list = default.as_array().into_iter().flatten();
                        let mut values = list.chain(default.as_object().into_iter().flat_map(serde_json::Map::values));
                        values.try_for_each(|value| self.expand(inner, value, depth + 1, left))
                    }
                    (None, Some(ty)) => self.expand(ty, default, depth + 1, left),
                    (None, None) => Some(()),
                }
            }
            _ => Some(()),
        }
    }

    fn expand_record(&self, fields: &[Json], default: &Json, depth: usize, left: &mut usize) -> Option<()> {
        let Some(given) = default.as_object() else { return Some(()) };
        for field in fields {
            let name = field.get("name").and_then(Json::as_str).unwrap_or_default();
            if let (Some(ty), Some(value)) = (field.get("type"), given.get(name).or_else(|| field.get("default"))) {
                self.expand(ty, value, depth + 1, left)?;
            }
        }
        Some(())
    }
}

/// A name without its namespace.
fn simple(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounded(schema: &str) -> bool {
        is_bounded(&serde_json::from_str(schema).unwrap())
    }

    /// Records with two fields each, whose defaults are records of the one before.
    fn doubling(levels: usize) -> String {
        let record = |name: String, fields: String| format!(r#"{{"type":"record","name":"{name}","namespace":"n","fields":[{fields}]}}"#);
        let field = |name: &str, ty: &str| format!(r#"{{"name":"{name}","type":{ty},"default":{{}}}}"#);
        let mut fields = vec![field("r0", &record("R0".to_owned(), r#"{"name":"x","type":"long","default":1}"#.to_owned()))];
        for level in 1..levels {
            let before = format!("\"n.R{}\"", level - 1);
            let inside = format!("{},{}", field("a", &before), field("b", &before));
            fields.push(field(&format!("r{level}"), &record(format!("R{level}"), inside)));
        }
        record("top".to_owned(), fields.join(","))
    }

    #[test]
    fn ordinary_defaults_are_bounded() {
        for (_, text) in crate::avro::SHIPPED {
            assert!(bounded(text));
        }
        assert!(bounded(&doubling(8)));
        assert!(bounded(
            r#"{"type":"record","name":"r","fields":[{"name":"l","type":{"type":"array","items":"r"},"default":[{"l":[]}]}]}"#
        ));
        assert!(bounded("\"long\""));
    }

    #[test]
    fn defaults_that_double_or_hold_themselves_are_not() {
        assert!(!bounded(&doubling(40)));
        let itself = |ty: &str| format!(r#"{{"type":"record","name":"n.r","fields":[{{"name":"f","type":{ty},"default":{{}}}}]}}"#);
        assert!(!bounded(&itself("\"r\"")));
        assert!(!bounded(&itself(r#"["n.r","null"]"#)));
        assert!(!bounded(r#"{"type":"record","name":"r","fields":[{"name":"m","type":{"type":"map","values":"r"},"default":{"a":{}}}]}"#));
    }

    #[test]
    fn a_schema_whose_defaults_are_not_bounded_is_refused() {
        let error = crate::avro::Schema::parse(&doubling(40)).unwrap_err();
        assert_eq!(error.to_string(), "the defaults of the schema expand to more than 100000 values, or hold themselves");
        assert!(crate::avro::Schema::parse(&doubling(8)).is_ok());
    }
}
