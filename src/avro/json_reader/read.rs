//! Reads one value: serde hands out its parts, and no tree is built of them.

use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::JsonError;
use super::compile::{Field, Node, Plan};
use super::error::Found;
use super::scalar::{Refused, Scalar};
use crate::avro::Value;

/// Fills `values`; `seen` holds per field the number of the last value that had it, which is compared with that of this one.
pub(super) fn read(plan: &Plan, bytes: &[u8], values: &mut [Value], (seen, number): (&mut [u64], u64)) -> Result<(), JsonError> {
    let mut run = Run { values, seen, number, fault: None };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let done = Object { fields: &plan.root, within: None, run: &mut run }.deserialize(&mut json).and_then(|()| json.end());
    match (run.fault, done) {
        (Some(fault), _) => Err(fault),
        (None, Err(error)) => Err(JsonError::Syntax(error)),
        (None, Ok(())) => Ok(()),
    }
}

/// The state of one read.
struct Run<'v> {
    values: &'v mut [Value],
    seen: &'v mut [u64],
    number: u64,
    /// What is wrong: serde's errors are text.
    fault: Option<JsonError>,
}

impl Run<'_> {
    fn fail<T, E: serde::de::Error>(&mut self, fault: JsonError) -> Result<T, E> {
        self.fault = Some(fault);
        Err(E::custom("refused"))
    }

    fn set(&mut self, slot: usize, value: &Value) {
        if let Some(place) = self.values.get_mut(slot) {
            place.copy_from(value);
        }
    }

    /// Fills what the value does not have.
    fn finish<E: serde::de::Error>(&mut self, fields: &[Field]) -> Result<(), E> {
        for field in fields {
            if self.seen.get(field.id) == Some(&self.number) {
                continue;
            }
            for (slot, default) in &field.slots {
                match default {
                    Some(value) => self.set(*slot, value),
                    None => return self.fail(JsonError::Missing { path: Arc::clone(&field.path) }),
                }
            }
        }
        Ok(())
    }
}

/// An object: the whole value, or a field that holds wanted ones.
struct Object<'p, 'r, 'v> {
    fields: &'p [Field],
    within: Option<&'p Field>,
    run: &'r mut Run<'v>,
}

impl Object<'_, '_, '_> {
    fn refuse<E: serde::de::Error>(self, found: Found) -> Result<(), E> {
        match self.within {
            Some(field) => self.run.fail(JsonError::Type { path: Arc::clone(&field.path), found, wanted: Arc::clone(&field.wanted) }),
            None => self.run.fail(JsonError::NotAnObject { found }),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Object<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Object<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { fields, run, .. } = self;
        // Writers keep to an order: the field after the last one is tried first.
        let mut next = 0;
        while let Some(found) = map.next_key_seed(Name { fields, next })? {
            let Some((place, field)) = found.and_then(|place| Some((place, fields.get(place)?))) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            next = place + 1;
            if let Some(seen) = run.seen.get_mut(field.id) {
                *seen = run.number;
            }
            match &field.node {
                Node::Scalar(scalar) => map.next_value_seed(Leaf { field, scalar, run })?,
                Node::Object(inside) => map.next_value_seed(Object { fields: inside, within: Some(field), run })?,
            }
        }
        run.finish(fields)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        match self.within {
            Some(field) if field.nullable => {
                field.slots.iter().for_each(|(slot, _)| self.run.set(*slot, &Value::Null));
                Ok(())
            }
            Some(field) => self.run.fail(JsonError::Null { path: Arc::clone(&field.path) }),
            None => self.refuse(Found::Null),
        }
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.refuse(Found::Boolean)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        self.refuse(Found::Signed(number))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        self.refuse(Found::Unsigned(number))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        self.refuse(Found::Double(number))
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        self.refuse(Found::String)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        self.refuse(Found::Array)
    }
}

/// A key: the place of the field that it names.
struct Name<'p> {
    fields: &'p [Field],
    next: usize,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<usize>, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Option<usize>, E> {
        let is_next = self.fields.get(self.next).is_some_and(|field| *field.name == *name);
        Ok(if is_next { Some(self.next) } else { self.fields.iter().position(|field| *field.name == *name) })
    }
}

/// A wanted field.
struct Leaf<'p, 'r, 'v> {
    field: &'p Field,
    scalar: &'p Scalar,
    run: &'r mut Run<'v>,
}

impl Leaf<'_, '_, '_> {
    fn settle<E: serde::de::Error>(self, found: Found, read: impl FnOnce(&Scalar, &mut Value) -> Result<(), Refused>) -> Result<(), E> {
        let Self { field, scalar, run } = self;
        let place = field.slots.first().and_then(|(slot, _)| run.values.get_mut(*slot));
        let Some(Err(refused)) = place.map(|place| read(scalar, place)) else { return Ok(()) };
        let (path, wanted) = (Arc::clone(&field.path), Arc::clone(&field.wanted));
        run.fail(match refused {
            Refused::Type => JsonError::Type { path, found, wanted },
            Refused::Range => JsonError::Range { path, found, wanted },
            Refused::Symbol => JsonError::Symbol { path, wanted },
        })
    }
}

impl<'de> DeserializeSeed<'de> for Leaf<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Leaf<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.field.wanted)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        if !self.field.nullable {
            return self.run.fail(JsonError::Null { path: Arc::clone(&self.field.path) });
        }
        self.settle(Found::Null, |_, place| {
            *place = Value::Null;
            Ok(())
        })
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.settle(Found::Boolean, |scalar, place| scalar.boolean(value, place))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        self.settle(Found::Signed(number), |scalar, place| scalar.number(Found::Signed(number), place))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        let found = i64::try_from(number).map_or(Found::Unsigned(number), Found::Signed);
        self.settle(found, |scalar, place| scalar.number(found, place))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        self.settle(Found::Double(number), |scalar, place| scalar.number(Found::Double(number), place))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.settle(Found::String, |scalar, place| scalar.text(text, place))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if !matches!(self.scalar, Scalar::Strings) {
            return self.settle(Found::Array, |_, _| Err(Refused::Type));
        }
        let mut texts: Vec<String> = Vec::new();
        while let Some(item) = items.next_element::<serde_json::Value>()? {
            match item {
                serde_json::Value::String(text) => texts.push(text),
                _ => return self.settle(Found::Array, |_, _| Err(Refused::Type)),
            }
        }
        self.settle(Found::Array, |_, place| {
            *place = Value::Strings(texts);
            Ok(())
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        self.settle(Found::Object, |_, _| Err(Refused::Type))
    }
}
