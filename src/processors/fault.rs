//! What is wrong with a text of the topology file, and where in it.

use std::ops::Range;

/// Something wrong with a condition, a template or a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The bytes at fault, counted in the text itself.
    pub span: Range<usize>,
    /// What is wrong: one line, lower case, no full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Fault {
    /// A fault without a hint.
    pub fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), hint: None }
    }

    /// The same fault with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same fault with a hint where there is one.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }
}

/// A fault in one option of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionFault {
    /// The option's name in the topology file: `watch`, `when`, `text`.
    pub option: &'static str,
    /// Which element, where the option is a list.
    pub index: Option<usize>,
    /// What is wrong; its span counts in the option's own text (for a number it is empty).
    pub fault: Fault,
}

impl OptionFault {
    /// A fault in an option that is not a list.
    pub fn new(option: &'static str, fault: Fault) -> Self {
        Self { option, index: None, fault }
    }

    /// A fault in one element of a list.
    pub fn at(option: &'static str, index: usize, fault: Fault) -> Self {
        Self { option, index: Some(index), fault }
    }
}

/// The hint for an unknown name: the candidate that was probably meant, in back-ticks.
pub fn meant<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    did_you_mean(word, candidates).map(|found| format!("did you mean `{found}`?"))
}

/// The candidate that was probably meant by `word`: the nearest by edits, or one whose last part is `word` (`likes` for `current.likes`).
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = word.to_lowercase();
    let last = last_part(&wanted);
    let mut best: Option<(usize, &'a str)> = None;
    for candidate in candidates {
        let known = candidate.to_lowercase();
        let whole = edits(&wanted, &known);
        let limit = (wanted.chars().count().max(known.chars().count()) / 3).max(1);
        let tail = last_part(&known);
        // A wrong or missing prefix is worth two edits, so that a near miss of the whole path wins.
        let by_tail = edits(last, tail);
        let by_tail = (by_tail <= last.chars().count() / 4).then_some(by_tail + 2);
        let cost = match (whole <= limit, by_tail) {
            (true, Some(tail)) => whole.min(tail),
            (true, None) => whole,
            (false, Some(tail)) => tail,
            (false, None) => continue,
        };
        // Of equals `current.x` comes before `previous.x`: it is what people mean.
        let cost = cost * 2 + usize::from(known.starts_with("previous."));
        if best.is_none_or(|(least, _)| cost < least) {
            best = Some((cost, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

fn last_part(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// The number of insertions, removals, replacements and swaps of neighbours that turn one text into the other.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    let mut previous_char = None;
    for (row, a) in from.chars().enumerate() {
        let mut line = Vec::with_capacity(to.len() + 1);
        line.push(row + 1);
        let mut left = row + 1;
        for (column, &b) in to.iter().enumerate() {
            let diagonal = last.get(column).copied().unwrap_or(0);
            let above = last.get(column + 1).copied().unwrap_or(0);
            let mut cost = (diagonal + usize::from(a != b)).min(above + 1).min(left + 1);
            let swapped = column > 0 && previous_char == Some(b) && to.get(column - 1) == Some(&a);
            if swapped && let Some(&earlier) = before_last.get(column - 1) {
                cost = cost.min(earlier + 1);
            }
            line.push(cost);
            left = cost;
        }
        before_last = std::mem::replace(&mut last, line);
        previous_char = Some(a);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: [&str; 6] = ["key", "previous.likes", "current.likes", "previous.title", "current.title", "changed"];

    #[test]
    fn finds_what_was_meant() {
        assert_eq!(did_you_mean("current.lieks", PATHS), Some("current.likes"));
        assert_eq!(did_you_mean("curent.likes", PATHS), Some("current.likes"));
        assert_eq!(did_you_mean("likes", PATHS), Some("current.likes"));
        assert_eq!(did_you_mean("previos.title", PATHS), Some("previous.title"));
        assert_eq!(did_you_mean("new.likes", PATHS), Some("current.likes"));
        assert_eq!(did_you_mean("Changed", PATHS), Some("changed"));
        assert_eq!(did_you_mean("banana", PATHS), None);
    }

    #[test]
    fn counts_edits() {
        for (a, b, expected) in [("", "abc", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("kitten", "sitting", 3), ("é", "e", 1)] {
            assert_eq!(edits(a, b), expected, "{a} {b}");
        }
    }
}
