//! Where in a template's text the tags, names, filters and tests stand: minijinja tells what is wrong, not where.

use std::ops::Range;

/// What a tag is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TagKind {
    /// `{{ ... }}`
    Expression,
    /// `{% ... %}`
    Statement,
    /// `{# ... #}`
    Comment,
}

/// One tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) kind: TagKind,
    /// With its brackets.
    pub(super) outer: Range<usize>,
    /// Between its brackets.
    pub(super) inner: Range<usize>,
    /// Whether it ends before the text does.
    pub(super) closed: bool,
}

/// The tags of a template, in order.
pub(super) fn tags(text: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut at = 0;
    while let Some((start, kind, close)) = next_open(text, at) {
        let inner_start = start + 2;
        let end = if kind == TagKind::Comment {
            text.get(inner_start..).and_then(|rest| rest.find(close))
        } else {
            end_of(text, inner_start, close)
        };
        let inner_end = end.map_or(text.len(), |end| inner_start + end);
        let outer_end = if end.is_some() { inner_end + 2 } else { inner_end };
        tags.push(Tag { kind, outer: start..outer_end, inner: inner_start..inner_end, closed: end.is_some() });
        at = outer_end;
    }
    tags
}

fn next_open(text: &str, from: usize) -> Option<(usize, TagKind, &'static str)> {
    let openings = [("{{", TagKind::Expression, "}}"), ("{%", TagKind::Statement, "%}"), ("{#", TagKind::Comment, "#}")];
    let rest = text.get(from..)?;
    openings.into_iter().filter_map(|(open, kind, close)| rest.find(open).map(|at| (from + at, kind, close))).min_by_key(|&(at, ..)| at)
}

/// Where `close` stands outside of quotes and brackets, counted from `from`.
fn end_of(text: &str, from: usize, close: &str) -> Option<usize> {
    let rest = text.get(from..)?;
    let mut quote = None;
    let mut escaped = false;
    let mut depth = 0_usize;
    for (at, c) in rest.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if depth == 0 && rest.get(at..).is_some_and(|rest| rest.starts_with(close)) => return Some(at),
            None => match c {
                '"' | '\'' => quote = Some(c),
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth = depth.saturating_sub(1),
                _ => {}
            },
        }
    }
    None
}

/// A dotted name inside a tag, and what stands before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) path: String,
    pub(super) span: Range<usize>,
    /// Follows a `|`.
    pub(super) filter: bool,
    /// Follows `is` or `is not`.
    pub(super) test: bool,
}

/// The dotted names in all tags, in order.
pub(super) fn names(text: &str) -> Vec<Name> {
    let mut names = Vec::new();
    for tag in tags(text).iter().filter(|tag| tag.kind != TagKind::Comment) {
        names_in(text, tag.inner.clone(), &mut names);
    }
    names
}

fn names_in(text: &str, inner: Range<usize>, names: &mut Vec<Name>) {
    let mut at = inner.start;
    let mut before = Before::Other;
    while let Some(c) = text.get(at..inner.end).and_then(|rest| rest.chars().next()) {
        match c {
            '"' | '\'' => {
                at = after_quote(text, at, inner.end, c);
                before = Before::Other;
            }
            c if c.is_alphabetic() || c == '_' => {
                let (path, end) = dotted(text, at, inner.end);
                if path == "is" || (path == "not" && before == Before::Is) {
                    before = Before::Is;
                } else {
                    names.push(Name { path, span: at..end, filter: before == Before::Pipe, test: before == Before::Is });
                    before = Before::Other;
                }
                at = end;
            }
            c if c.is_ascii_digit() => {
                at += text
                    .get(at..inner.end)
                    .and_then(|rest| rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '.'))
                    .unwrap_or(inner.end - at);
                before = Before::Other;
            }
            c => {
                at += c.len_utf8();
                match c {
                    '|' => before = Before::Pipe,
                    c if c.is_whitespace() => {}
                    _ => before = Before::Other,
                }
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Pipe,
    Is,
    Other,
}

fn after_quote(text: &str, start: usize, end: usize, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.get(start + 1..end).unwrap_or_default().char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return start + 1 + at + 1,
            _ => {}
        }
    }
    end
}

/// A name with the parts that dots add to it, blanks around the dots left out.
fn dotted(text: &str, start: usize, end: usize) -> (String, usize) {
    let mut path = String::new();
    let mut at = start;
    loop {
        let rest = text.get(at..end).unwrap_or_default();
        let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        path.push_str(rest.get(..length).unwrap_or_default());
        at += length;
        let tail = text.get(at..end).unwrap_or_default();
        let Some(after_dot) = tail.trim_start().strip_prefix('.') else { return (path, at) };
        let after_dot = after_dot.trim_start();
        if !after_dot.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            return (path, at);
        }
        path.push('.');
        at = end - after_dot.len();
    }
}
