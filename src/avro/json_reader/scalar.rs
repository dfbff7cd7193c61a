//! Single values: what each type of the schema takes of what JSON has.

use super::error::Found;
use crate::avro::decoder::{json_bytes_of, units_per_millisecond};
use crate::avro::schema::{Kind, Node};
use crate::avro::{Schema, Value};

/// The largest whole number up to which a double holds every one.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// How a value is read.
pub(super) enum Scalar {
    Boolean,
    Int,
    Long,
    /// A time in units of which this many are a millisecond.
    Time(u32),
    Float,
    Double,
    Text,
    Symbol {
        symbols: Vec<String>,
        default: Option<String>,
    },
    Bytes,
    Fixed(usize),
    Strings,
}

/// Why a value is refused.
pub(super) enum Refused {
    Type,
    Range,
    Symbol,
}

/// How to read values of this type, which is no union.
pub(super) fn compile(schema: &Schema, node: &Node) -> Option<Scalar> {
    if let Some(unit) = units_per_millisecond(schema.resolve(node)) {
        return Some(Scalar::Time(unit));
    }
    Some(match schema.kind(node) {
        Kind::Boolean => Scalar::Boolean,
        Kind::Int => Scalar::Int,
        Kind::Long => Scalar::Long,
        Kind::Float => Scalar::Float,
        Kind::Double => Scalar::Double,
        Kind::String => Scalar::Text,
        Kind::Enum(schema) => Scalar::Symbol { symbols: schema.symbols.clone(), default: schema.default.clone() },
        Kind::Bytes => Scalar::Bytes,
        Kind::Fixed(size) => Scalar::Fixed(size),
        Kind::Array(_) => Scalar::Strings,
        _ => return None,
    })
}

impl Scalar {
    pub(super) fn boolean(&self, found: bool, into: &mut Value) -> Result<(), Refused> {
        if !matches!(self, Self::Boolean) {
            return Err(Refused::Type);
        }
        *into = Value::Boolean(found);
        Ok(())
    }

    pub(super) fn number(&self, found: Found, into: &mut Value) -> Result<(), Refused> {
        *into = match self {
            Self::Int => Value::Long(whole(found).and_then(|number| i32::try_from(number).map_err(|_| Refused::Range))?.into()),
            Self::Long => Value::Long(whole(found)?),
            Self::Time(unit) => Value::Long(whole(found)?.div_euclid(i64::from(*unit))),
            Self::Double => Value::Double(double(found)?),
            Self::Float => Value::Double(float(double(found)?)?),
            _ => return Err(Refused::Type),
        };
        Ok(())
    }

    pub(super) fn text(&self, found: &str, into: &mut Value) -> Result<(), Refused> {
        match self {
            Self::Text => into.set_str(found),
            Self::Symbol { symbols, default } => {
                let known = symbols.iter().any(|symbol| symbol == found);
                into.set_str(if known { found } else { default.as_deref().ok_or(Refused::Symbol)? });
            }
            Self::Time(_) => {
                let time: jiff::Timestamp = found.parse().map_err(|_| Refused::Type)?;
                *into = Value::Long(time.as_millisecond());
            }
            Self::Bytes => *into = Value::Bytes(json_bytes_of(found).ok_or(Refused::Type)?),
            Self::Fixed(size) => *into = Value::Bytes(json_bytes_of(found).filter(|bytes| bytes.len() == *size).ok_or(Refused::Type)?),
            _ => return Err(Refused::Type),
        }
        Ok(())
    }
}

/// A whole number, also where it is written with a fraction of zero.
#[expect(clippy::cast_possible_truncation, reason = "whole and within the numbers that a double holds exactly")]
fn whole(found: Found) -> Result<i64, Refused> {
    match found {
        Found::Signed(number) => Ok(number),
        Found::Unsigned(number) => i64::try_from(number).map_err(|_| Refused::Range),
        Found::Double(number) if number.fract() != 0.0 => Err(Refused::Type),
        Found::Double(number) if number.abs() <= EXACT_MAX => Ok(number as i64),
        Found::Double(_) => Err(Refused::Range),
        _ => Err(Refused::Type),
    }
}

#[expect(clippy::cast_precision_loss, reason = "the schema asks for a double")]
fn double(found: Found) -> Result<f64, Refused> {
    match found {
        Found::Signed(number) => Ok(number as f64),
        Found::Unsigned(number) => Ok(number as f64),
        Found::Double(number) => Ok(number),
        _ => Err(Refused::Type),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the schema asks for a float")]
fn float(number: f64) -> Result<f64, Refused> {
    let float = number as f32;
    if float.is_finite() { Ok(f64::from(float)) } else { Err(Refused::Range) }
}
