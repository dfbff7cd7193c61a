//! Avro's schema resolution for single values: how what the writer wrote becomes what the reader wants.

use std::sync::Arc;

use super::Reason;
use super::plan::{Plan, Read, index};
use crate::avro::Schema;
use crate::avro::schema::{Kind, Node};

/// Milliseconds in the unit of a timestamp, as a divisor; none for a node that is no timestamp.
pub(crate) fn units_per_millisecond(node: &Node) -> Option<u32> {
    match node {
        Node::TimestampMillis => Some(1),
        Node::TimestampMicros => Some(1_000),
        Node::TimestampNanos => Some(1_000_000),
        _ => None,
    }
}

/// How to read a value of the writer's `from` as the reader's `to`; none where Avro does not allow it. Neither is a union.
pub(super) fn resolve(writer: &Schema, from: &Node, reader: &Schema, to: &Node, plan: &mut Plan) -> Option<Read> {
    let (from, to) = (writer.resolve(from), reader.resolve(to));
    if let Some(unit) = units_per_millisecond(to) {
        let unit = units_per_millisecond(from).unwrap_or(unit);
        return match writer.kind(from) {
            Kind::Int | Kind::Long if unit > 1 => Some(Read::Scaled(unit)),
            Kind::Int => Some(Read::Int),
            Kind::Long => Some(Read::Long),
            _ => None,
        };
    }
    match (writer.kind(from), reader.kind(to)) {
        (Kind::Boolean, Kind::Boolean) => Some(Read::Boolean),
        (Kind::Int, Kind::Int | Kind::Long) => Some(Read::Int),
        (Kind::Long, Kind::Long) => Some(Read::Long),
        (Kind::Int | Kind::Long, Kind::Float) => Some(Read::LongAsFloat),
        (Kind::Int | Kind::Long, Kind::Double) => Some(Read::LongAsDouble),
        (Kind::Float, Kind::Float | Kind::Double) => Some(Read::Float),
        (Kind::Double, Kind::Double) => Some(Read::Double),
        (Kind::String | Kind::Bytes, Kind::String) => Some(Read::Text),
        (Kind::String | Kind::Bytes, Kind::Bytes) => Some(Read::Bytes),
        (Kind::Fixed(size), Kind::Fixed(wanted)) if size == wanted => Some(Read::Fixed(index(size))),
        (Kind::Enum(from), Kind::Enum(to)) => {
            let symbols = from.symbols.iter().map(|symbol| match &to.default {
                _ if to.symbols.contains(symbol) => Ok(symbol.as_str().into()),
                Some(default) => Ok(default.as_str().into()),
                None => Err(Arc::from(symbol.as_str())),
            });
            plan.symbols.push(symbols.collect());
            Some(Read::Symbol(index(plan.symbols.len() - 1)))
        }
        (Kind::Array(from), Kind::Array(to)) if matches!(reader.kind(to), Kind::String) => strings(writer, from, plan),
        _ => None,
    }
}

/// How to read an array of `items` as one of strings.
fn strings(writer: &Schema, items: &Node, plan: &mut Plan) -> Option<Read> {
    let fits = |node: &Node| matches!(writer.kind(node), Kind::String | Kind::Bytes);
    if fits(items) {
        return Some(Read::Strings);
    }
    let Kind::Union(branches) = writer.kind(items) else { return None };
    if !branches.iter().any(fits) {
        return None;
    }
    let branches = branches.iter().map(|branch| if fits(branch) { Ok(()) } else { Err(unfit(writer, branch)) });
    plan.texts.push(branches.collect());
    Some(Read::StringsOf(index(plan.texts.len() - 1)))
}

/// Why a branch of the writer's is refused.
pub(super) fn unfit(writer: &Schema, branch: &Node) -> Reason {
    match writer.kind(branch) {
        Kind::Null => Reason::Null,
        _ => Reason::Unfit(describe(writer, branch).into()),
    }
}

/// A type in a few words: `long`, `record order`, `union of null, long`.
pub(crate) fn describe(schema: &Schema, node: &Node) -> String {
    let node = schema.resolve(node);
    if units_per_millisecond(node).is_some() {
        return "timestamp".to_owned();
    }
    let kind = match schema.kind(node) {
        Kind::Null => "null",
        Kind::Boolean => "boolean",
        Kind::Int => "int",
        Kind::Long => "long",
        Kind::Float => "float",
        Kind::Double => "double",
        Kind::Bytes => "bytes",
        Kind::String => "string",
        Kind::Fixed(size) => return format!("fixed of {size} bytes"),
        Kind::Enum(schema) => return format!("enum {}", schema.name.name()),
        Kind::Array(items) => return format!("array of {}", describe(schema, items)),
        Kind::Map(values) => return format!("map of {}", describe(schema, values)),
        Kind::Union(branches) => {
            let names: Vec<_> = branches.iter().map(|branch| describe(schema, branch)).collect();
            return format!("union of {}", names.join(", "));
        }
        Kind::Record(record) => return format!("record {}", record.name.name()),
        Kind::Unknown => "unknown type",
    };
    kind.to_owned()
}
