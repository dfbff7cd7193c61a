//! Comparisons, arithmetic and functions of conditions.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue};
use regex_lite::Regex;

use crate::processors::fault::{Fault, did_you_mean, meant};

use super::check::{Checked, Checker, Facts, Meaning, Typed};
use super::eval::{Arithmetic, Bool, Comparison, Double, Long, Place, Text};
use super::literal;

/// The functions that there are.
const FUNCTIONS: [&str; 10] = ["contains", "double", "duration", "endsWith", "has", "int", "matches", "size", "startsWith", "timestamp"];

impl Checker<'_> {
    pub(super) fn compare(&mut self, expr: &IdedExpr, how: Comparison, sides: (&IdedExpr, &IdedExpr), known: &Facts) -> Option<Checked> {
        let (a, b) = (self.check(sides.0, known), self.check(sides.1, known));
        let (a, b) = (a?, b?);
        if matches!(a.typed, Typed::Null) || matches!(b.typed, Typed::Null) {
            let other = if matches!(a.typed, Typed::Null) { b } else { a };
            return self.compare_with_null(expr, how, other);
        }
        let fields = [a.field, b.field];
        let bool = match (a.typed, b.typed) {
            (Typed::Long(a, meaning), Typed::Long(b, other)) if meaning == other => Bool::Longs(how, a, b),
            (Typed::Long(a, Meaning::Number), Typed::Double(b)) => Bool::Mixed(how, a, b),
            (Typed::Double(a), Typed::Long(b, Meaning::Number)) => Bool::Mixed(how.mirrored(), b, a),
            (Typed::Double(a), Typed::Double(b)) => Bool::Doubles(how, a, b),
            (Typed::Text(a), Typed::Text(b)) => Bool::Texts(how, a, b),
            (Typed::Flag(a), Typed::Flag(b)) => Bool::Flags(how, a, b),
            (a, b) => {
                let hint = comparison_hint(&a, &b);
                return self.fault(expr, format!("cannot compare {} with {}", a.name(), b.name()), hint);
            }
        };
        Some(Checked::flag_of_known(bool, fields))
    }

    fn compare_with_null(&mut self, expr: &IdedExpr, how: Comparison, other: Checked) -> Option<Checked> {
        let field = other.field;
        let is_null = match (field, other.typed) {
            (_, Typed::Null) => Bool::Const(true),
            (Some(index), _) => Bool::FieldIsNull(index),
            (_, Typed::Long(value, _)) => Bool::LongIsNull(value),
            (_, Typed::Double(value)) => Bool::DoubleIsNull(value),
            (_, Typed::Text(value)) => Bool::TextIsNull(value),
            (_, Typed::Flag(_) | Typed::Bytes | Typed::Strings(_) | Typed::Names(..)) => Bool::Const(false),
        };
        let facts: Facts = field.into_iter().collect();
        match how {
            Comparison::Equal => Some(Checked { when_false: facts, ..Checked::flag(is_null) }),
            Comparison::NotEqual => Some(Checked { when_true: facts, ..Checked::flag(Bool::Not(Box::new(is_null))) }),
            _ => self.fault(expr, "null has no order", Some("test for it with `== null` or `!= null`".to_owned())),
        }
    }

    pub(super) fn arithmetic(&mut self, expr: &IdedExpr, how: Arithmetic, sides: (&IdedExpr, &IdedExpr), known: &Facts) -> Option<Checked> {
        let (a, b) = (self.known_value(sides.0, known), self.known_value(sides.1, known));
        let (a, b) = (a?.typed, b?.typed);
        let longs = |a, b| Long::Arithmetic(how, Box::new((a, b)));
        let doubles = |a, b| Double::Arithmetic(how, Box::new((a, b)));
        let wide = |long| Double::FromLong(Box::new(long));
        let remainder = how == Arithmetic::Remainder;
        Some(Checked::value(match (a, b) {
            (Typed::Long(a, one), Typed::Long(b, other)) => match result_of(how, one, other) {
                Some(meaning) => Typed::Long(longs(a, b), meaning),
                None => return self.fault(expr, refusal(how, &Typed::Long(a, one), &Typed::Long(b, other)), None),
            },
            (Typed::Double(a), Typed::Double(b)) if !remainder => Typed::Double(doubles(a, b)),
            (Typed::Long(a, Meaning::Number), Typed::Double(b)) if !remainder => Typed::Double(doubles(wide(a), b)),
            (Typed::Double(a), Typed::Long(b, Meaning::Number)) if !remainder => Typed::Double(doubles(a, wide(b))),
            (a, b) => {
                let texts = matches!(a, Typed::Text(_)) || matches!(b, Typed::Text(_));
                let hint = texts.then(|| "a condition only tests texts; join them in the template".to_owned());
                return self.fault(expr, refusal(how, &a, &b), hint);
            }
        }))
    }

    pub(super) fn negate(&mut self, expr: &IdedExpr, inner: &IdedExpr, known: &Facts) -> Option<Checked> {
        match self.known_value(inner, known)?.typed {
            Typed::Long(_, Meaning::Timestamp) => self.fault(expr, "a timestamp has no negative", None),
            Typed::Long(value, meaning) => Some(Checked::value(Typed::Long(Long::Negate(Box::new(value)), meaning))),
            Typed::Double(value) => Some(Checked::value(Typed::Double(Double::Negate(Box::new(value))))),
            other => self.fault(expr, format!("a value of type {} has no negative", other.name()), None),
        }
    }

    /// `x in list`.
    pub(super) fn membership(&mut self, expr: &IdedExpr, element: &IdedExpr, list: &IdedExpr, known: &Facts) -> Option<Checked> {
        if let Expr::List(literal) = &list.expr {
            return self.membership_in_literals(expr, element, &literal.elements, known);
        }
        let (element_checked, list_checked) = (self.check(element, known), self.check(list, known));
        let (element_checked, list_checked) = (element_checked?, list_checked?);
        let fields = [element_checked.field, list_checked.field];
        let bool = match (element_checked.typed, list_checked.typed) {
            (Typed::Text(text), Typed::Strings(index)) => Bool::TextInStrings(text, index),
            (Typed::Text(Text::Const(name)), Typed::Names(index, names)) => {
                let Some(place) = names.iter().position(|known| **known == *name) else {
                    let written = self.written(list).to_owned();
                    let all = || format!("there are {}", names.iter().map(|name| format!("`\"{name}\"`")).collect::<Vec<_>>().join(", "));
                    let meant = did_you_mean(&name, names.iter().map(|name| &**name)).map(|name| format!("did you mean `\"{name}\"`?"));
                    return self.fault(element, format!("`{name}` is never in `{written}`"), Some(meant.unwrap_or_else(all)));
                };
                let bit = u32::try_from(place).ok().and_then(|place| 1_u64.checked_shl(place));
                Bool::NameIn(bit.unwrap_or(0), index)
            }
            (Typed::Text(text), Typed::Names(index, _)) => Bool::TextInNames(text, index),
            (element, list @ (Typed::Strings(_) | Typed::Names(..))) => {
                return self.fault(expr, format!("cannot look for {} in {}", element.name(), list.name()), None);
            }
            (_, other) => {
                let hint = matches!(other, Typed::Text(_)).then(|| "a part of a text is found with `text.contains(part)`".to_owned());
                return self.fault(list, format!("`in` needs a list, found a value of type {}", other.name()), hint);
            }
        };
        Some(Checked::flag_of_known(bool, fields))
    }

    fn membership_in_literals(&mut self, expr: &IdedExpr, element: &IdedExpr, list: &[IdedExpr], known: &Facts) -> Option<Checked> {
        let element = self.check(element, known)?;
        let literals: Vec<_> = list.iter().map(|item| self.check(item, known)).collect();
        let literals: Vec<_> = literals.into_iter().collect::<Option<_>>()?;
        let (mut longs, mut doubles, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for (item, literal) in list.iter().zip(literals) {
            match literal.typed {
                Typed::Long(Long::Const(value), meaning) => {
                    longs.push((value, meaning));
                    doubles.push(super::eval::nearest(value));
                }
                Typed::Double(Double::Const(value)) => doubles.push(value),
                Typed::Text(Text::Const(text)) => texts.push(text),
                _ => return self.fault(item, "the list after `in` takes numbers, texts, times and durations only", None),
            }
        }
        let fields = [element.field];
        let bool = match element.typed {
            Typed::Long(value, meaning) if longs.len() == list.len() && longs.iter().all(|&(_, other)| other == meaning) => {
                Bool::LongIn(value, longs.into_iter().map(|(value, _)| value).collect())
            }
            Typed::Double(value) if doubles.len() == list.len() && longs.iter().all(|&(_, other)| other == Meaning::Number) => {
                Bool::DoubleIn(value, doubles.into())
            }
            Typed::Text(text) if texts.len() == list.len() => Bool::TextIn(text, texts.into()),
            other => return self.fault(expr, format!("the list has elements that a {} cannot be equal to", other.name()), None),
        };
        Some(Checked::flag_of_known(bool, fields))
    }

    pub(super) fn function(&mut self, expr: &IdedExpr, call: &CallExpr, known: &Facts) -> Option<Checked> {
        let operands: Vec<&IdedExpr> = call.target.as_deref().into_iter().chain(&call.args).collect();
        match (call.func_name.as_str(), operands.as_slice()) {
            ("contains", [text, part]) => self.search(expr, Place::Anywhere, (text, part), known),
            ("startsWith", [text, part]) => self.search(expr, Place::Start, (text, part), known),
            ("endsWith", [text, part]) => self.search(expr, Place::End, (text, part), known),
            ("matches", [text, pattern]) => self.matches(expr, text, pattern, known),
            ("size", [of]) => self.size(expr, of, known),
            ("timestamp", [of]) if call.target.is_none() => self.time(of, Meaning::Timestamp, known),
            ("duration", [of]) if call.target.is_none() => self.time(of, Meaning::Duration, known),
            ("int", [of]) => match self.known_value(of, known)?.typed {
                Typed::Double(value) => Some(Checked::value(Typed::Long(Long::Truncate(Box::new(value)), Meaning::Number))),
                Typed::Long(value, Meaning::Number) => Some(Checked::value(Typed::Long(value, Meaning::Number))),
                other => self.fault(expr, format!("int() takes a number, found a value of type {}", other.name()), None),
            },
            ("double", [of]) => match self.known_value(of, known)?.typed {
                Typed::Double(value) => Some(Checked::value(Typed::Double(value))),
                Typed::Long(value, Meaning::Number) => Some(Checked::value(Typed::Double(Double::FromLong(Box::new(value))))),
                other => self.fault(expr, format!("double() takes a number, found a value of type {}", other.name()), None),
            },
            (name, _) if FUNCTIONS.contains(&name) => self.fault(expr, format!("`{name}` does not take these operands"), Some(usage(name))),
            (name, _) => {
                let hint = meant(name, FUNCTIONS).or_else(|| Some(format!("there are {}", FUNCTIONS.join(", "))));
                self.fault(expr, format!("unknown function `{name}`"), hint)
            }
        }
    }

    fn search(&mut self, expr: &IdedExpr, place: Place, (text, part): (&IdedExpr, &IdedExpr), known: &Facts) -> Option<Checked> {
        let (text, part) = (self.check(text, known), self.check(part, known));
        let (text, part) = (text?, part?);
        let fields = [text.field, part.field];
        match (text.typed, part.typed) {
            (Typed::Text(text), Typed::Text(part)) => Some(Checked::flag_of_known(Bool::Search(place, text, part), fields)),
            (text, part) => {
                let hint = matches!(text, Typed::Strings(_) | Typed::Names(..))
                    .then(|| "an element of a list is found with `x in list`".to_owned());
                self.fault(expr, format!("cannot look for {} in {}", part.name(), text.name()), hint)
            }
        }
    }

    fn matches(&mut self, expr: &IdedExpr, text: &IdedExpr, pattern: &IdedExpr, known: &Facts) -> Option<Checked> {
        let checked = self.check(text, known)?;
        let Typed::Text(subject) = checked.typed else {
            return self.fault(expr, format!("cannot match {} against a pattern", checked.typed.name()), None);
        };
        let Some(written) = literal_text(pattern) else {
            return self.fault(pattern, "the pattern must be written out", None);
        };
        match Regex::new(written) {
            Ok(regex) => Some(Checked::flag_of_known(Bool::Matches(subject, Box::new(regex)), [checked.field])),
            Err(error) => self.fault(pattern, format!("not a pattern: {error}"), None),
        }
    }

    fn size(&mut self, expr: &IdedExpr, of: &IdedExpr, known: &Facts) -> Option<Checked> {
        let size = match self.known_value(of, known)?.typed {
            Typed::Text(text) => Long::TextSize(Box::new(text)),
            Typed::Strings(index) | Typed::Names(index, _) => Long::ListSize(index),
            other => return self.fault(expr, format!("a value of type {} has no size", other.name()), None),
        };
        Some(Checked::value(Typed::Long(size, Meaning::Number)))
    }

    fn time(&mut self, of: &IdedExpr, meaning: Meaning, known: &Facts) -> Option<Checked> {
        let Some(written) = literal_text(of) else {
            let timestamp = self.check(of, known).is_some_and(|checked| matches!(checked.typed, Typed::Long(_, Meaning::Timestamp)));
            let hint = timestamp.then(|| "it is a timestamp already".to_owned());
            return self.fault(of, "timestamp() and duration() take a text that is written out", hint);
        };
        let (read, hint) = match meaning {
            Meaning::Duration => (literal::duration_ms(written), "as in `duration(\"1h30m\")`"),
            _ => (literal::timestamp_ms(written), "as in `timestamp(\"2026-08-06T10:11:55Z\")`"),
        };
        match read {
            Ok(value) => Some(Checked::value(Typed::Long(Long::Const(value), meaning))),
            Err(problem) => {
                let span = self.span(of);
                self.faults.push(Fault::new(span, format!("`{written}` {problem}")).hint(hint));
                None
            }
        }
    }
}

fn literal_text(expr: &IdedExpr) -> Option<&str> {
    if let Expr::Literal(LiteralValue::String(text)) = &expr.expr { Some(text.inner()) } else { None }
}

/// What whole numbers of these meanings give.
fn result_of(how: Arithmetic, a: Meaning, b: Meaning) -> Option<Meaning> {
    use Meaning::{Duration, Number, Timestamp};
    match (a, how, b) {
        (Number, _, Number) => Some(Number),
        (Timestamp, Arithmetic::Subtract, Timestamp) | (Duration, Arithmetic::Add | Arithmetic::Subtract, Duration) => Some(Duration),
        (Timestamp, Arithmetic::Add | Arithmetic::Subtract, Duration) | (Duration, Arithmetic::Add, Timestamp) => Some(Timestamp),
        _ => None,
    }
}

fn refusal(how: Arithmetic, a: &Typed, b: &Typed) -> String {
    let sign = match how {
        Arithmetic::Add => '+',
        Arithmetic::Subtract => '-',
        Arithmetic::Multiply => '*',
        Arithmetic::Divide => '/',
        Arithmetic::Remainder => '%',
    };
    format!("cannot compute {} {sign} {}", a.name(), b.name())
}

fn comparison_hint(a: &Typed, b: &Typed) -> Option<String> {
    let hint = match (a.name(), b.name()) {
        ("timestamp", "string" | "long") | ("string" | "long", "timestamp") => "write the time as `timestamp(\"2026-08-06T10:11:55Z\")`",
        ("duration", "string" | "long") | ("string" | "long", "duration") => "write the span of time as `duration(\"1h30m\")`",
        ("long" | "double", "string") | ("string", "long" | "double") => "a number is written without quotes",
        ("names" | "strings", _) | (_, "names" | "strings") => "an element of a list is found with `x in list`",
        ("bytes", _) | (_, "bytes") => "bytes can only be tested for null",
        _ => return None,
    };
    Some(hint.to_owned())
}

fn usage(name: &str) -> String {
    match name {
        "contains" | "startsWith" | "endsWith" | "matches" => format!("write `field.{name}(\"text\")`"),
        "timestamp" => "write `timestamp(\"2026-08-06T10:11:55Z\")`".to_owned(),
        "duration" => "write `duration(\"1h30m\")`".to_owned(),
        _ => format!("write `{name}(field)`"),
    }
}
