//! Conditions: CEL, checked against the shape of a row and compiled to a tree that tests a row without allocating.
//!
//! The text is parsed by the `cel` crate; the types and what may be null are checked here.
//!
//! - Fields are paths: `current.likes`.
//! - `x == null`, `x != null` and `has(x)` test for null. Any other comparison with a null is false, `!=` too, as in SQL; so are
//!   `contains`, `startsWith`, `endsWith`, `matches` and `in` on a null. Logic has two values: `!(x > 5)` is true where `x` is null.
//! - Computing with a value that may be null (`+ - * / %`, `size`, `int`, `double`, a boolean field used as it is) is refused unless something
//!   beside it rules null out: `x != null && ...`, `x == null || ...`, `x != null ? ... : ...`, or a comparison, which is only true of known values.
//! - Longs and doubles compare by value, exactly. Arithmetic on one of each is done in doubles.
//! - Whole numbers divide towards zero. Overflow and division by zero are an [`EvalError`], unless the other side of `&&` or `||` decides.
//! - `timestamp("2026-08-06T10:11:55Z")` and `duration("1h30m")` make times and spans of time, down to milliseconds.
//! - `size` of a text counts characters. `matches` finds the pattern anywhere in the text; its classes (`\w`, `\d`) are ASCII.
//! - `"likes" in changed` tests a set of names.

use std::collections::BTreeSet;
use std::ops::Range;

use cel::parser::{ParseError, Parser};

use crate::avro::{Row, Shape, Value};

use super::fault::Fault;
use super::view::View;

mod calls;
mod check;
mod eval;
mod literal;
mod spans;
#[cfg(test)]
mod tests;

pub(super) use check::fields_hint;
pub use eval::EvalError;

/// Longest text of a condition, in bytes: more is a mistake, and the parser's memory and stack grow with it.
const TEXT_BYTES_MAX: usize = 8 * 1024;

/// What to do about a condition that is nested deeper than the parser or the check goes.
const TOO_DEEP: &str = "it is nested too deeply: simplify it";

/// A condition, ready to test rows of one shape.
#[derive(Debug)]
pub struct Condition {
    root: eval::Bool,
    fields: Vec<usize>,
}

impl Condition {
    /// Parses, checks and compiles a condition on rows of this shape; reports everything that is wrong at once.
    pub fn compile(text: &str, shape: &Shape) -> Result<Self, Vec<Fault>> {
        if text.trim().is_empty() {
            return Err(vec![Fault::new(0..text.len(), "the condition is empty").hint("leave it out to let every record through")]);
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(vec![Fault::new(0..text.len(), format!("the condition is longer than {TEXT_BYTES_MAX} bytes"))]);
        }
        let parser = Parser::new().enable_ident_escape_syntax(true);
        let (expr, source) = parser.parse_with_source_info(text).map_err(|errors| syntax_faults(text, &errors.errors))?;
        let mut checker = check::Checker { text, shape, source: &source, faults: Vec::new(), fields: BTreeSet::new(), depth: 0 };
        let root = checker.condition(&expr, &BTreeSet::new());
        match root {
            Some(root) if checker.faults.is_empty() => Ok(Self { root: root.bool, fields: checker.fields.into_iter().collect() }),
            _ => {
                checker.faults.sort_by_key(|fault| (fault.span.start, fault.span.end));
                checker.faults.dedup();
                Err(checker.faults)
            }
        }
    }

    /// Whether the row meets the condition.
    pub fn test(&self, row: &Row) -> Result<bool, EvalError> {
        self.test_with(row, &[])
    }

    /// The same for a row with further values behind its last.
    pub fn test_with(&self, row: &Row, extra: &[Value]) -> Result<bool, EvalError> {
        self.root.test(View::of(row, extra))
    }

    /// The places of the fields that it reads, ascending.
    pub fn fields(&self) -> &[usize] {
        &self.fields
    }
}

/// The parser's errors in our words. One slip makes it report several syntax errors, of which the first is the slip.
fn syntax_faults(text: &str, errors: &[ParseError]) -> Vec<Fault> {
    if let Some(error) = errors.iter().find(|error| error.msg.starts_with("Syntax error: ")) {
        return vec![syntax_fault(text, word_at(text, position(text, error.pos, true)))];
    }
    let mut faults: Vec<_> =
        errors.iter().map(|error| Fault::new(word_at(text, position(text, error.pos, false)), error.msg.clone())).collect();
    if faults.is_empty() {
        faults.push(Fault::new(0..text.len(), "the condition cannot be read"));
    }
    faults
}

fn syntax_fault(text: &str, span: Range<usize>) -> Fault {
    let word = text.get(span.clone()).unwrap_or_default();
    if span.start >= text.trim_end().len() {
        return Fault::new(span, "the condition ends too early");
    }
    let hint = match word {
        "and" | "AND" | "&" => Some("write `&&`"),
        "or" | "OR" | "|" => Some("write `||`"),
        "not" | "NOT" => Some("write `!`"),
        "is" | "IS" => Some("write `== null` or `!= null`"),
        "=" => Some("write `==`"),
        "<>" | "<" => Some("write `!=`"),
        _ if word.starts_with(['"', '\'']) => Some("close the text with the same quote; a backslash is written `\\\\`"),
        // The parser stops 96 brackets deep, without saying so.
        _ if text.get(..span.start).unwrap_or_default().matches(['(', '[']).count() > 40 => Some(TOO_DEEP),
        _ => None,
    };
    Fault::new(span, format!("syntax error: unexpected `{word}`")).maybe_hint(hint.map(str::to_owned))
}

/// The byte at a line and column (from 1), where columns count characters or bytes.
fn position(text: &str, (line, column): (isize, isize), characters: bool) -> usize {
    let (line, column) = (usize::try_from(line).unwrap_or(1).max(1), usize::try_from(column).unwrap_or(1).max(1));
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let rest = text.get(start..).unwrap_or_default();
    let within =
        if characters { rest.char_indices().nth(column - 1).map_or(rest.len(), |(byte, _)| byte) } else { (column - 1).min(rest.len()) };
    let mut at = start + within;
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The word, number, quoted text or run of signs that begins at this byte.
fn word_at(text: &str, start: usize) -> Range<usize> {
    let rest = text.get(start..).unwrap_or_default();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let length = match rest.chars().next() {
        None => 0,
        Some(quote @ ('"' | '\'')) => rest.get(1..).and_then(|tail| tail.find(quote)).map_or(rest.len(), |end| end + 2),
        Some(c) if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
        Some('<') if rest.starts_with("<>") => 2,
        Some(c) => c.len_utf8(),
    };
    start..start + length
}
