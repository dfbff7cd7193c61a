//! What is wrong with a topology file: every fault with its place, its source line and a hint, reported all at once.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, MietteError, MietteHandlerOpts, MietteSpanContents,
    ReportHandler, SourceCode, SourceSpan, SpanContents,
};

/// The text of a topology file under the name that reports show.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// The name: the path as it was given.
    pub name: Arc<str>,
    /// The content.
    pub text: Arc<str>,
}

impl SourceFile {
    /// A file of this name and content.
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// Line and column of a byte offset, both from 1; the column counts characters.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..self.floor(offset)).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count();
        (before.matches('\n').count() + 1, column + 1)
    }

    /// The last character boundary that is not behind `offset`.
    fn floor(&self, offset: usize) -> usize {
        let end = offset.min(self.text.len());
        (0..=end).rev().find(|&at| self.text.is_char_boundary(at)).unwrap_or(0)
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It runs, but probably not as it was meant.
    Warning,
    /// It is refused.
    Error,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable name of the kind of fault, such as `unknown-field`.
    pub code: &'static str,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// The bytes of the file that it is about; none where it is about the file as a whole.
    pub span: Option<Range<usize>>,
    /// Words to put under the marked bytes; may be empty.
    pub label: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error at `span`.
    pub fn error(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, message: message.into(), span: Some(span), label: String::new(), hint: None }
    }

    /// A warning at `span`.
    pub fn warning(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, message) }
    }

    /// The same with words under the marked bytes.
    #[must_use]
    pub fn labelled(self, label: impl Into<String>) -> Self {
        Self { label: label.into(), ..self }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hinted(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    fn to_miette(&self) -> MietteDiagnostic {
        let severity = match self.severity {
            Severity::Warning => miette::Severity::Warning,
            Severity::Error => miette::Severity::Error,
        };
        let mut report = MietteDiagnostic::new(self.message.clone()).with_severity(severity);
        if let Some(span) = &self.span {
            let label = if self.label.is_empty() { "here" } else { &self.label };
            report = report.with_label(LabeledSpan::at(span.clone(), label));
        }
        match &self.hint {
            Some(hint) => report.with_help(hint.clone()),
            None => report,
        }
    }
}

/// How a report looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// For a terminal: colours, lines and width as it can show them.
    Terminal,
    /// ASCII, no colour, a fixed width: for files, pipes and tests.
    Plain,
}

impl Style {
    /// What suits the standard error stream.
    pub fn of_stderr() -> Self {
        if std::io::IsTerminal::is_terminal(&std::io::stderr()) { Self::Terminal } else { Self::Plain }
    }
}

/// All faults of one file, in the order of their places.
#[derive(Clone, Debug)]
pub struct Diagnostics {
    file: SourceFile,
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// The faults of `file`, sorted; what is said twice is said once.
    pub fn new(file: SourceFile, mut list: Vec<Diagnostic>) -> Self {
        let end = file.text.len();
        for diagnostic in &mut list {
            if let Some(span) = &mut diagnostic.span {
                let start = file.floor(span.start);
                *span = start..file.floor(span.end.min(end)).max(start);
                // What is missing at the end of a line is marked at its last character: nothing cannot be drawn.
                let at_line_end = file.text.get(start..).is_some_and(|rest| rest.is_empty() || rest.starts_with(['\n', '\r']));
                if span.start == span.end && start > 0 && at_line_end && file.text.as_bytes().get(start - 1) != Some(&b'\n') {
                    *span = file.floor(start - 1)..start;
                }
            }
        }
        list.sort_by(|a, b| {
            let place = |it: &Diagnostic| it.span.as_ref().map(|span| (span.start, span.end));
            (place(a), b.severity, a.code, &a.message).cmp(&(place(b), a.severity, b.code, &b.message))
        });
        list.dedup();
        Self { file, list }
    }

    /// One fault that has no place in a file, such as a file that cannot be read.
    pub(crate) fn whole(name: &str, code: &'static str, message: String, hint: Option<String>) -> Self {
        let diagnostic = Diagnostic { severity: Severity::Error, code, message, span: None, label: String::new(), hint };
        Self { file: SourceFile::new(name, ""), list: vec![diagnostic] }
    }

    /// The file.
    pub fn file(&self) -> &SourceFile {
        &self.file
    }

    /// The faults.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The number of faults of one severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.list.iter().filter(|it| it.severity == severity).count()
    }

    /// Whether the file is refused.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// The whole report: each fault with file, line, column, source line and hint, and a line that counts them.
    pub fn render(&self, style: Style) -> String {
        let mut out = String::new();
        for diagnostic in &self.list {
            out.push_str(&render_one(&self.file, diagnostic, style));
            out.push('\n');
        }
        if !self.list.is_empty() {
            out.push_str(&self.summary());
            out.push('\n');
        }
        out
    }

    /// `topology.toml: 2 errors, 1 warning`.
    pub fn summary(&self) -> String {
        let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
        let counts = [(self.count(Severity::Error), "error"), (self.count(Severity::Warning), "warning")];
        let words: Vec<String> = counts.iter().filter(|(count, _)| *count > 0).map(|&(count, word)| plural(count, word)).collect();
        format!("{}: {}", self.file.name, words.join(", "))
    }

    /// The faults for programs: an array of objects with `severity`, `code`, `message`, `line`, `column`, `hint`.
    pub fn to_json(&self) -> serde_json::Value {
        self.list.iter().map(|it| self.one_to_json(it)).collect()
    }

    fn one_to_json(&self, it: &Diagnostic) -> serde_json::Value {
        let start = it.span.as_ref().map(|span| self.file.position(span.start));
        let end = it.span.as_ref().map(|span| self.file.position(span.end));
        serde_json::json!({
            "severity": match it.severity { Severity::Warning => "warning", Severity::Error => "error" },
            "code": it.code,
            "message": it.message,
            "line": start.map(|at| at.0),
            "column": start.map(|at| at.1),
            "end_line": end.map(|at| at.0),
            "end_column": end.map(|at| at.1),
            "hint": it.hint,
        })
    }
}

impl fmt::Display for Diagnostics {
    /// The first fault and how many there are; [`Diagnostics::render`] shows them all.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file.name)?;
        let Some(first) = self.list.iter().find(|it| it.severity == Severity::Error).or(self.list.first()) else {
            return f.write_str(": no faults");
        };
        if let Some(span) = &first.span {
            let (line, column) = self.file.position(span.start);
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", first.message)?;
        match self.list.len() {
            1 => Ok(()),
            count => write!(f, " (and {} more)", count - 1),
        }
    }
}

impl std::error::Error for Diagnostics {}

/// A diagnostic with its file, as miette wants to print it.
#[derive(Debug)]
struct Report {
    diagnostic: MietteDiagnostic,
    source: SourceFile,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.diagnostic.fmt(f)
    }
}

impl std::error::Error for Report {}

impl miette::Diagnostic for Report {
    fn severity(&self) -> Option<miette::Severity> {
        self.diagnostic.severity()
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.diagnostic.help()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.diagnostic.labels()
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }
}

impl SourceCode for SourceFile {
    /// With context the whole lines of the span and no others; without, the span itself, for its position.
    fn read_span<'a>(&'a self, span: &SourceSpan, before: usize, _after: usize) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let (mut start, mut end) = (span.offset(), span.offset() + span.len());
        if before > 0 {
            start = self.text.get(..start).ok_or(MietteError::OutOfBounds)?.rfind('\n').map_or(0, |at| at + 1);
            end += self.text.get(end..).ok_or(MietteError::OutOfBounds)?.find('\n').unwrap_or(self.text.len() - end);
        }
        let data = self.text.get(start..end).ok_or(MietteError::OutOfBounds)?.as_bytes();
        let (line, column) = self.position(start);
        let lines = self.text.get(start..end).unwrap_or_default().matches('\n').count() + 1;
        let span = SourceSpan::from(start..end);
        Ok(Box::new(MietteSpanContents::new_named(self.name.to_string(), data, span, line - 1, column - 1, lines)))
    }
}

/// miette's handlers write through a `Formatter`; this lends them one.
struct Printed<'a>(&'a Report, Style);

impl fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Style::Terminal => MietteHandlerOpts::new().terminal_links(false).context_lines(1).build().debug(self.0, f),
            Style::Plain => plain_handler().render_report(f, self.0),
        }
    }
}

fn plain_handler() -> GraphicalReportHandler {
    GraphicalReportHandler::new_themed(GraphicalTheme::none()).with_width(120).with_context_lines(1).with_links(false)
}

fn render_one(file: &SourceFile, diagnostic: &Diagnostic, style: Style) -> String {
    let report = Report { diagnostic: diagnostic.to_miette(), source: file.clone() };
    Printed(&report, style).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_and_survive_offsets_out_of_range() {
        let file = SourceFile::new("t", "a\nüx = 1\n");
        assert_eq!(file.position(0), (1, 1));
        assert_eq!(file.position(4), (2, 2));
        assert_eq!(file.position(3), (2, 1), "inside the two bytes of the umlaut");
        assert_eq!(file.position(999), (3, 1));
    }

    #[test]
    fn faults_are_sorted_by_place_and_said_once() {
        let file = SourceFile::new("t.toml", "a = 1\nb = 2\n");
        let later = Diagnostic::error("x", 6..7, "later");
        let list = vec![later.clone(), Diagnostic::warning("x", 0..1, "first"), later];
        let all = Diagnostics::new(file, list);
        assert_eq!(all.iter().map(|it| &*it.message).collect::<Vec<_>>(), ["first", "later"]);
        assert_eq!(all.summary(), "t.toml: 1 error, 1 warning");
        assert_eq!(all.to_string(), "t.toml:2:1: later (and 1 more)");
    }

    #[test]
    fn a_report_has_file_line_column_source_line_and_hint() {
        let file = SourceFile::new("t.toml", "a = 1\nb = 2\n");
        let all = Diagnostics::new(file, vec![Diagnostic::error("x", 6..7, "b is not known").labelled("this").hinted("leave it out")]);
        insta::assert_snapshot!(all.render(Style::Plain), @r"
      x b is not known
       ,-[t.toml:2:1]
     2 | b = 2
       : |
       : `-- this
       `----
      help: leave it out

    t.toml: 1 error
    ");
    }
}
