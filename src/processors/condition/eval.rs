//! What a checked condition is compiled to: a tree with a type per branch, evaluated without allocating anything.
//!
//! A number or text that is null evaluates to `None` and makes the comparison around it false.

use std::cmp::Ordering;

use regex_lite::Regex;

use crate::avro::Value;
use crate::processors::view::View;

/// Why a condition has no answer for this row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// A whole number was divided by zero.
    #[error("division by zero in a condition")]
    DivisionByZero,
    /// A result does not fit into 64 bits.
    #[error("overflow in a condition")]
    Overflow,
}

type Eval<T> = Result<T, EvalError>;

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// Whether it holds; values without an order (NaN) are only unequal.
    fn holds(self, order: Option<Ordering>) -> bool {
        match self {
            Self::Equal => order == Some(Ordering::Equal),
            Self::NotEqual => order != Some(Ordering::Equal),
            Self::Less => order == Some(Ordering::Less),
            Self::LessOrEqual => order.is_some_and(Ordering::is_le),
            Self::Greater => order == Some(Ordering::Greater),
            Self::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
        }
    }

    /// The same comparison with its sides changed.
    pub(super) fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }
}

/// The four operations and the remainder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// Where a text is looked for in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Anywhere,
    Start,
    End,
}

/// True or false.
#[derive(Debug)]
pub(super) enum Bool {
    Const(bool),
    /// A boolean field that was found not to be null.
    Field(usize),
    Not(Box<Bool>),
    And(Box<(Bool, Bool)>),
    Or(Box<(Bool, Bool)>),
    If(Box<(Bool, Bool, Bool)>),
    FieldIsNull(usize),
    LongIsNull(Long),
    DoubleIsNull(Double),
    TextIsNull(Text),
    Longs(Comparison, Long, Long),
    Doubles(Comparison, Double, Double),
    Mixed(Comparison, Long, Double),
    Texts(Comparison, Text, Text),
    Flags(Comparison, Flag, Flag),
    Search(Place, Text, Text),
    Matches(Text, Box<Regex>),
    LongIn(Long, Box<[i64]>),
    DoubleIn(Double, Box<[f64]>),
    TextIn(Text, Box<[Box<str>]>),
    TextInStrings(Text, usize),
    TextInNames(Text, usize),
    /// Whether the name with this bit is in the field.
    NameIn(u64, usize),
}

/// True, false or null.
#[derive(Debug)]
pub(super) enum Flag {
    Field(usize),
    Is(Box<Bool>),
}

/// A whole number, a time or a duration (both in milliseconds), or null.
#[derive(Debug)]
pub(super) enum Long {
    Const(i64),
    Field(usize),
    Negate(Box<Long>),
    Arithmetic(Arithmetic, Box<(Long, Long)>),
    If(Box<(Bool, Long, Long)>),
    Truncate(Box<Double>),
    TextSize(Box<Text>),
    /// Elements of a list or of a set of names.
    ListSize(usize),
}

/// A floating-point number or null.
#[derive(Debug)]
pub(super) enum Double {
    Const(f64),
    Field(usize),
    FromLong(Box<Long>),
    Negate(Box<Double>),
    Arithmetic(Arithmetic, Box<(Double, Double)>),
    If(Box<(Bool, Double, Double)>),
}

/// A text or null.
#[derive(Debug)]
pub(super) enum Text {
    Const(Box<str>),
    Field(usize),
    If(Box<(Bool, Text, Text)>),
}

impl Bool {
    pub(super) fn test(&self, row: View<'_>) -> Eval<bool> {
        Ok(match self {
            Self::Const(value) => *value,
            Self::Field(index) => matches!(row.get(*index), Value::Boolean(true)),
            Self::Not(inner) => !inner.test(row)?,
            Self::And(sides) => return either(&sides.0, &sides.1, row, false),
            Self::Or(sides) => return either(&sides.0, &sides.1, row, true),
            Self::If(parts) => return if parts.0.test(row)? { parts.1.test(row) } else { parts.2.test(row) },
            Self::FieldIsNull(index) => row.get(*index).is_null(),
            Self::LongIsNull(inner) => inner.value(row)?.is_none(),
            Self::DoubleIsNull(inner) => inner.value(row)?.is_none(),
            Self::TextIsNull(inner) => inner.value(row)?.is_none(),
            Self::Longs(how, a, b) => both(a.value(row)?, b.value(row)?).is_some_and(|(a, b)| how.holds(Some(a.cmp(&b)))),
            Self::Doubles(how, a, b) => both(a.value(row)?, b.value(row)?).is_some_and(|(a, b)| how.holds(a.partial_cmp(&b))),
            Self::Mixed(how, a, b) => both(a.value(row)?, b.value(row)?).is_some_and(|(a, b)| how.holds(compare_exactly(a, b))),
            Self::Texts(how, a, b) => both(a.value(row)?, b.value(row)?).is_some_and(|(a, b)| how.holds(Some(a.cmp(b)))),
            Self::Flags(how, a, b) => both(a.value(row)?, b.value(row)?).is_some_and(|(a, b)| how.holds(Some(a.cmp(&b)))),
            Self::Search(place, a, b) => both(a.value(row)?, b.value(row)?).is_some_and(|(text, part)| match place {
                Place::Anywhere => text.contains(part),
                Place::Start => text.starts_with(part),
                Place::End => text.ends_with(part),
            }),
            Self::Matches(text, regex) => text.value(row)?.is_some_and(|text| regex.is_match(text)),
            Self::LongIn(number, list) => number.value(row)?.is_some_and(|number| list.contains(&number)),
            Self::DoubleIn(number, list) => number.value(row)?.is_some_and(|number| list.contains(&number)),
            Self::TextIn(text, list) => text.value(row)?.is_some_and(|text| list.iter().any(|known| **known == *text)),
            Self::TextInStrings(text, list) => match (text.value(row)?, row.get(*list)) {
                (Some(text), Value::Strings(held)) => held.iter().any(|held| held == text),
                _ => false,
            },
            Self::TextInNames(text, set) => match (text.value(row)?, row.get(*set)) {
                (Some(text), Value::Names(held)) => held.iter().any(|held| held == text),
                _ => false,
            },
            Self::NameIn(bit, set) => matches!(row.get(*set), Value::Names(held) if held.bits & bit != 0),
        })
    }
}

/// `&&` and `||` as CEL has them: an error on one side does not matter where the other side decides.
fn either(a: &Bool, b: &Bool, row: View<'_>, decides: bool) -> Eval<bool> {
    match a.test(row) {
        Ok(value) if value == decides => Ok(decides),
        Ok(_) => b.test(row),
        Err(error) => match b.test(row) {
            Ok(value) if value == decides => Ok(decides),
            _ => Err(error),
        },
    }
}

fn both<A, B>(a: Option<A>, b: Option<B>) -> Option<(A, B)> {
    Some((a?, b?))
}

impl Flag {
    fn value(&self, row: View<'_>) -> Eval<Option<bool>> {
        match self {
            Self::Field(index) => Ok(if let Value::Boolean(value) = row.get(*index) { Some(*value) } else { None }),
            Self::Is(inner) => inner.test(row).map(Some),
        }
    }
}

impl Long {
    fn value(&self, row: View<'_>) -> Eval<Option<i64>> {
        match self {
            Self::Const(value) => Ok(Some(*value)),
            Self::Field(index) => Ok(if let Value::Long(value) = row.get(*index) { Some(*value) } else { None }),
            Self::Negate(inner) => inner.value(row)?.map(|value| value.checked_neg().ok_or(EvalError::Overflow)).transpose(),
            Self::Arithmetic(how, sides) => {
                let sides = both(sides.0.value(row)?, sides.1.value(row)?);
                sides.map(|(a, b)| how.of_longs(a, b)).transpose()
            }
            Self::If(parts) => {
                if parts.0.test(row)? {
                    parts.1.value(row)
                } else {
                    parts.2.value(row)
                }
            }
            Self::Truncate(inner) => inner.value(row)?.map(truncate).transpose(),
            Self::TextSize(text) => Ok(text.value(row)?.map(|text| length(text.chars().count()))),
            Self::ListSize(index) => Ok(match row.get(*index) {
                Value::Strings(list) => Some(length(list.len())),
                Value::Names(set) => Some(i64::from(set.bits.count_ones())),
                _ => None,
            }),
        }
    }
}

fn length(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

impl Double {
    fn value(&self, row: View<'_>) -> Eval<Option<f64>> {
        match self {
            Self::Const(value) => Ok(Some(*value)),
            Self::Field(index) => Ok(if let Value::Double(value) = row.get(*index) { Some(*value) } else { None }),
            Self::FromLong(inner) => Ok(inner.value(row)?.map(nearest)),
            Self::Negate(inner) => Ok(inner.value(row)?.map(|value| -value)),
            Self::Arithmetic(how, sides) => Ok(both(sides.0.value(row)?, sides.1.value(row)?).map(|(a, b)| how.of_doubles(a, b))),
            Self::If(parts) => {
                if parts.0.test(row)? {
                    parts.1.value(row)
                } else {
                    parts.2.value(row)
                }
            }
        }
    }
}

impl Text {
    fn value<'a>(&'a self, row: View<'a>) -> Eval<Option<&'a str>> {
        match self {
            Self::Const(text) => Ok(Some(text)),
            Self::Field(index) => Ok(if let Value::String(text) = row.get(*index) { Some(text) } else { None }),
            Self::If(parts) => {
                if parts.0.test(row)? {
                    parts.1.value(row)
                } else {
                    parts.2.value(row)
                }
            }
        }
    }
}

impl Arithmetic {
    fn of_longs(self, a: i64, b: i64) -> Eval<i64> {
        match self {
            Self::Add => a.checked_add(b),
            Self::Subtract => a.checked_sub(b),
            Self::Multiply => a.checked_mul(b),
            Self::Divide | Self::Remainder if b == 0 => return Err(EvalError::DivisionByZero),
            Self::Divide => a.checked_div(b),
            Self::Remainder => a.checked_rem(b),
        }
        .ok_or(EvalError::Overflow)
    }

    fn of_doubles(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Add => a + b,
            Self::Subtract => a - b,
            Self::Multiply => a * b,
            Self::Divide => a / b,
            Self::Remainder => a % b,
        }
    }
}

/// The double nearest to a whole number.
#[expect(clippy::cast_precision_loss, reason = "the nearest double is what is asked for")]
pub(super) fn nearest(value: i64) -> f64 {
    value as f64
}

/// 2^63: the first double above all 64-bit whole numbers.
const BEYOND: f64 = 9_223_372_036_854_775_808.0;

#[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
fn truncate(value: f64) -> Eval<i64> {
    if (-BEYOND..BEYOND).contains(&value) { Ok(value.trunc() as i64) } else { Err(EvalError::Overflow) }
}

/// Compares by value, without rounding the whole number to a double first.
fn compare_exactly(a: i64, b: f64) -> Option<Ordering> {
    if b.is_nan() {
        return None;
    }
    match truncate(b) {
        Ok(whole) => a.cmp(&whole).then(0.0.partial_cmp(&b.fract())?).into(),
        Err(_) if b > 0.0 => Some(Ordering::Less),
        Err(_) => Some(Ordering::Greater),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_whole_numbers_with_doubles_exactly() {
        use Ordering::{Equal, Greater, Less};
        for (a, b, expected) in [
            (1, 1.0, Some(Equal)),
            (1, 1.5, Some(Less)),
            (-1, -1.5, Some(Greater)),
            (i64::MAX, BEYOND, Some(Less)),
            (i64::MIN, -BEYOND, Some(Equal)),
            ((1 << 53) + 1, 9_007_199_254_740_992.0, Some(Greater)),
            (0, f64::NAN, None),
            (0, f64::NEG_INFINITY, Some(Greater)),
        ] {
            assert_eq!(compare_exactly(a, b), expected, "{a} {b}");
        }
    }
}
