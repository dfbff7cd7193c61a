//! Attributes of a schema that are whole numbers: the Avro library takes for granted that they are when it writes a schema's normal form, and panics.

use serde_json::Value as Json;

/// Attributes that have to be whole numbers, as such or as a text, wherever they stand.
const INTEGERS: [&str; 3] = ["size", "precision", "scale"];

/// Attributes that hold further schemas.
const NESTED: [&str; 4] = ["type", "items", "values", "fields"];

/// The first attribute that is none, and what it is.
pub(super) fn unfit(schema: &Json) -> Option<(&str, &Json)> {
    match schema {
        Json::Array(schemas) => schemas.iter().find_map(unfit),
        Json::Object(attributes) => attributes.iter().find_map(|(name, value)| {
            if INTEGERS.contains(&&**name) {
                let fits = value.as_i64().is_some() || value.as_str().is_some_and(|text| text.parse::<i64>().is_ok());
                return (!fits).then_some((&**name, value));
            }
            if NESTED.contains(&&**name) { unfit(value) } else { None }
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::avro::Schema;

    fn refused(fixed: &str) -> Option<String> {
        let text = format!(r#"{{"type":"record","name":"r","fields":[{{"name":"a","type":["null",{fixed}],"default":null}}]}}"#);
        Schema::parse(&text).err().map(|error| error.to_string())
    }

    #[test]
    fn what_is_no_whole_number_is_refused() {
        let no = |what: &str| Some(format!("the schema's {what}, no whole number"));
        assert_eq!(refused(r#"{"type":"fixed","name":"f","size":8,"precision":1.5}"#), no("precision is 1.5"));
        assert!(refused(r#"{"type":"fixed","name":"f","size":8,"precision":74418446073709551615}"#).is_some());
        assert_eq!(refused(r#"{"type":"fixed","name":"f","size":8,"scale":"big"}"#), no(r#"scale is "big""#));
        assert_eq!(refused(r#"{"type":"array","items":{"type":"fixed","name":"f","size":null}}"#), no("size is null"));
        assert_eq!(refused(r#"{"type":"fixed","name":"f","size":8,"doc":"x"}"#), None);
    }

    #[test]
    fn a_field_may_be_called_so_and_a_default_may_hold_it() {
        let field = r#"{"name":"size","type":{"type":"map","values":"string"},"default":{"size":"big"}}"#;
        Schema::parse(&format!(r#"{{"type":"record","name":"r","fields":[{field}]}}"#)).unwrap();
    }
}
