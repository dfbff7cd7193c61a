//! Reads one table key by key: what is taken is checked for its type, what is left over was not known.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::closest;
use super::super::diagnostics::Diagnostic;
use super::super::document::{self, Text};
use crate::processors::did_you_mean;

/// A value of the file with its place.
pub(super) type Value<'a> = Spanned<DeValue<'a>>;

/// A table that is being read.
pub(super) struct Reader<'a, 'f> {
    /// What messages call it, such as `[processors.likes]`.
    place: String,
    /// What is marked when a key is missing.
    span: Range<usize>,
    entries: Vec<Entry<'a>>,
    known: Vec<&'static str>,
    missing: Vec<(&'static str, Diagnostic)>,
    faults: &'f mut Vec<Diagnostic>,
}

struct Entry<'a> {
    key: &'a str,
    span: Range<usize>,
    value: &'a Value<'a>,
    taken: bool,
}

impl<'a, 'f> Reader<'a, 'f> {
    /// Reads `table`, called `place` in messages; `span` is marked when a key is missing.
    pub(super) fn new(place: impl Into<String>, span: Range<usize>, table: &'a DeTable<'a>, faults: &'f mut Vec<Diagnostic>) -> Self {
        let mut entries: Vec<Entry<'a>> =
            table.iter().map(|(key, value)| Entry { key: key.get_ref(), span: key.span(), value, taken: false }).collect();
        entries.sort_by_key(|entry| entry.span.start);
        Self { place: place.into(), span, entries, known: Vec::new(), missing: Vec::new(), faults }
    }

    /// The faults found so far, to add to.
    pub(super) fn faults(&mut self) -> &mut Vec<Diagnostic> {
        self.faults
    }

    /// What is marked when a key is missing.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Whether `key` is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// The value under `key`, with the key's own place.
    pub(super) fn take(&mut self, key: &'static str) -> Option<(Range<usize>, &'a Value<'a>)> {
        self.known.push(key);
        let entry = self.entries.iter_mut().find(|entry| entry.key == key)?;
        entry.taken = true;
        Some((entry.span.clone(), entry.value))
    }

    /// The value under `key`; says what is missing where there is none.
    pub(super) fn require(&mut self, key: &'static str, example: &str) -> Option<&'a Value<'a>> {
        let found = self.take(key);
        if found.is_none() {
            self.missing(key, &format!("`{key}`"), example);
        }
        Some(found?.1)
    }

    /// Says that `key` is missing, in words of its own.
    pub(super) fn missing(&mut self, key: &'static str, what: &str, example: &str) {
        let label = if self.span.is_empty() { "" } else { "in this table" };
        let fault = Diagnostic::error("missing-key", self.span.clone(), format!("{} has no {what}", self.place));
        self.missing.push((key, fault.labelled(label).hinted(format!("add `{example}`"))));
    }

    /// Text under `key`, if it is there.
    pub(super) fn text(&mut self, key: &'static str, example: &str) -> Option<Text> {
        let (_, value) = self.take(key)?;
        as_text(&format!("`{key}`"), value, example, self.faults)
    }

    /// Text under `key`, which must be there.
    pub(super) fn required_text(&mut self, key: &'static str, example: &str) -> Option<Text> {
        let value = self.require(key, example)?;
        as_text(&format!("`{key}`"), value, example, self.faults)
    }

    /// A list of texts under `key`.
    pub(super) fn texts(&mut self, key: &'static str, value: &'a Value<'a>, example: &str) -> Option<Vec<Text>> {
        let Some(array) = value.get_ref().as_array() else {
            wrong_type(&format!("`{key}`"), value, "a list of strings", example, self.faults);
            return None;
        };
        let texts: Vec<Text> =
            array.iter().filter_map(|item| as_text(&format!("an element of `{key}`"), item, example, self.faults)).collect();
        (texts.len() == array.len()).then_some(texts)
    }

    /// `true` or `false` under `key`; false where it is absent.
    pub(super) fn boolean(&mut self, key: &'static str) -> bool {
        let Some((_, value)) = self.take(key) else { return false };
        let DeValue::Boolean(seen) = value.get_ref() else {
            wrong_type(&format!("`{key}`"), value, "true or false", &format!("{key} = true"), self.faults);
            return false;
        };
        *seen
    }

    /// Where `key` is, if it is true; as [`boolean`](Self::boolean) otherwise.
    pub(super) fn set_at(&mut self, key: &'static str) -> Option<Range<usize>> {
        let place = self.entries.iter().find(|entry| entry.key == key).map(|entry| entry.span.clone());
        place.filter(|_| self.boolean(key))
    }

    /// `true` or `false` under `key`; `default` where it is absent, and false where it is neither.
    pub(super) fn boolean_or(&mut self, key: &'static str, default: bool) -> bool {
        let is_there = self.has(key);
        // Also asked for where it is absent: known, so that it is thought of when a key is misspelt.
        self.boolean(key) || (default && !is_there)
    }

    /// A whole number under `key` within `range`, if it is there and is one.
    pub(super) fn integer(&mut self, key: &'static str, range: Range<i64>) -> Option<Spanned<i64>> {
        let (_, value) = self.take(key)?;
        as_integer(key, value, &range, self.faults)
    }

    /// A duration under `key` within `range`, if it is there and is one; `example` is a good one.
    pub(super) fn duration(&mut self, key: &'static str, example: &str, range: &RangeInclusive<Duration>) -> Option<Duration> {
        let example = format!("{key} = \"{example}\"");
        let text = self.text(key, &example)?;
        let fault = match document::duration(text.get_ref()) {
            Some(duration) if range.contains(&duration) => return Some(duration),
            Some(_) => Diagnostic::error("out-of-range", text.span(), format!("`{key}` cannot be {}", text.get_ref())).hinted(format!(
                "{} to {}, as in `{example}`",
                short(*range.start()),
                short(*range.end())
            )),
            None => Diagnostic::error("bad-duration", text.span(), format!("\"{}\" is not a duration", text.get_ref()))
                .hinted(format!("a whole number and one of ms, s, m, h, d, as in `{example}`")),
        };
        self.faults.push(fault);
        None
    }

    /// One of a few words under `key`, if it is there and is one.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&'static str, T)]) -> Option<T> {
        self.spanned_choice(key, choices).map(Spanned::into_inner)
    }

    /// The same with its place.
    pub(super) fn spanned_choice<T: Copy>(&mut self, key: &'static str, choices: &[(&'static str, T)]) -> Option<Spanned<T>> {
        let (_, value) = self.take(key)?;
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let text = as_text(&format!("`{key}`"), value, &format!("{key} = \"{}\"", words.first().unwrap_or(&"")), self.faults)?;
        let found = choices.iter().find(|(word, _)| word == text.get_ref()).map(|&(_, choice)| choice);
        if found.is_none() {
            let fault = Diagnostic::error("unknown-value", text.span(), format!("`{key}` cannot be \"{}\"", text.get_ref()));
            self.faults.push(fault.hinted(closest::hint(text.get_ref(), &words)));
        }
        found.map(|choice| Spanned::new(text.span(), choice))
    }

    /// Every entry, in the order of the file; all count as known.
    pub(super) fn all(&mut self) -> Vec<(Text, &'a Value<'a>)> {
        let entries = self.entries.iter_mut().map(|entry| {
            entry.taken = true;
            (Spanned::new(entry.span.clone(), entry.key.to_owned()), entry.value)
        });
        entries.collect()
    }

    /// Leaves what is left over without a word.
    pub(super) fn ignore_rest(&mut self) {
        self.all();
    }

    /// Reports the keys that nobody took, and those that are missing; a slip of the pen is reported once.
    pub(super) fn finish(mut self) {
        // What the table has already cannot be what was meant.
        let open: Vec<&str> = self.known.iter().copied().filter(|key| !self.entries.iter().any(|entry| entry.key == *key)).collect();
        for entry in self.entries.iter().filter(|entry| !entry.taken) {
            let meant = did_you_mean(entry.key, open.iter().copied());
            self.missing.retain(|(key, _)| Some(*key) != meant);
            let hint = match meant {
                Some(key) => format!("did you mean `{key}`?"),
                None => closest::hint(entry.key, &self.known),
            };
            let fault = Diagnostic::error("unknown-key", entry.span.clone(), format!("{} has no key `{}`", self.place, entry.key));
            self.faults.push(fault.labelled("not known here").hinted(hint));
        }
        self.faults.extend(self.missing.into_iter().map(|(_, fault)| fault));
    }
}

/// A duration as the file has it, in the largest unit that leaves nothing over.
fn short(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let (length, unit) = units.into_iter().find(|(length, _)| millis.is_multiple_of(*length)).unwrap_or((1, "ms"));
    format!("{}{unit}", millis / length)
}

/// Text, or a fault; `what` is the value's name in the message.
pub(super) fn as_text(what: &str, value: &Value<'_>, example: &str, faults: &mut Vec<Diagnostic>) -> Option<Text> {
    let DeValue::String(text) = value.get_ref() else {
        wrong_type(what, value, "a string", example, faults);
        return None;
    };
    Some(Spanned::new(value.span(), text.clone().into_owned()))
}

/// A whole number, or a fault.
pub(super) fn as_integer(key: &str, value: &Value<'_>, range: &Range<i64>, faults: &mut Vec<Diagnostic>) -> Option<Spanned<i64>> {
    let DeValue::Integer(digits) = value.get_ref() else {
        wrong_type(&format!("`{key}`"), value, "a whole number", &format!("{key} = {}", range.start.max(1)), faults);
        return None;
    };
    let number = i64::from_str_radix(digits.as_str(), digits.radix()).ok().filter(|number| range.contains(number));
    if number.is_none() {
        let fault = Diagnostic::error("out-of-range", value.span(), format!("`{key}` cannot be {digits}"));
        let hint =
            if range.end == i64::MAX { format!("at least {}", range.start) } else { format!("{} to {}", range.start, range.end - 1) };
        faults.push(fault.hinted(hint));
    }
    number.map(|number| Spanned::new(value.span(), number))
}

/// Says that a value has the wrong type.
pub(super) fn wrong_type(what: &str, value: &Value<'_>, wanted: &str, example: &str, faults: &mut Vec<Diagnostic>) {
    let seen = match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    let fault = Diagnostic::error("wrong-type", value.span(), format!("{what} must be {wanted}, not {seen}"));
    faults.push(fault.hinted(format!("as in `{example}`")));
}
