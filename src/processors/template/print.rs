//! How values look in a text; the same for both ways of rendering.

use std::fmt::Write;

use crate::avro::Value;
use crate::streams::clock::Timestamp;

use super::{Escape, Kind};

/// Appends one value.
pub(super) fn value(into: &mut String, value: &Value, kind: Kind, escape: Escape) {
    match value {
        Value::Null => {}
        Value::Boolean(value) => into.push_str(if *value { "true" } else { "false" }),
        Value::Long(ms) if kind == Kind::Timestamp => into.push_str(&timestamp(*ms)),
        Value::Long(number) => number_to(into, *number),
        Value::Double(number) => double(into, *number),
        Value::String(value) => text(into, value, escape),
        Value::Bytes(bytes) => text(into, &String::from_utf8_lossy(bytes), escape),
        Value::Strings(list) => joined(into, list.iter().map(String::as_str), escape),
        Value::Names(set) => joined(into, set.iter(), escape),
    }
}

fn number_to(into: &mut String, number: i64) {
    // Writing to a text cannot fail.
    write!(into, "{number}").unwrap_or_default();
}

/// A double as minijinja prints it: never without a decimal point, `NaN` and `inf` by name.
pub(super) fn double(into: &mut String, number: f64) {
    if number.is_nan() {
        return into.push_str("NaN");
    }
    let start = into.len();
    write!(into, "{number}").unwrap_or_default();
    if number.is_finite() && !into.get(start..).unwrap_or_default().contains('.') {
        into.push_str(".0");
    }
}

fn joined<'a>(into: &mut String, items: impl Iterator<Item = &'a str>, escape: Escape) {
    for (place, item) in items.enumerate() {
        if place > 0 {
            into.push_str(", ");
        }
        text(into, item, escape);
    }
}

/// Appends a text, escaped where asked.
pub(super) fn text(into: &mut String, value: &str, escape: Escape) {
    if escape == Escape::None {
        return into.push_str(value);
    }
    let mut rest = value;
    while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
        let (plain, tail) = rest.split_at(at);
        into.push_str(plain);
        into.push_str(match tail.as_bytes().first() {
            Some(b'&') => "&amp;",
            Some(b'<') => "&lt;",
            Some(b'>') => "&gt;",
            Some(b'"') => "&quot;",
            _ => "&#39;",
        });
        rest = tail.get(1..).unwrap_or_default();
    }
    into.push_str(rest);
}

/// A time in milliseconds since the Unix epoch as in RFC 3339; a number where it is beyond the calendar.
pub(super) fn timestamp(ms: i64) -> String {
    Timestamp(ms).to_string()
}
