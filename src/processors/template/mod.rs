//! Templates: minijinja, every variable checked against the shape of a row when the topology is built.
//!
//! - Null prints as nothing, whole numbers plain (`412`), times as in RFC 3339, lists and sets of names joined by `, `.
//! - With [`Escape::Html`] the values are escaped for HTML (`& < > " '`); the template's own text never is.
//! - Inside minijinja's expressions a null is `none`, a time is its text; the filter `default` also replaces null.
//! - There are no includes, no files, no macros; the output and the work for one record are bounded.
//!
//! A template of text and plain `{{ path }}` is rendered straight from the row; anything else goes through minijinja. Both
//! ways print alike.

use std::sync::Arc;

use crate::avro::{Row, Shape, Value};

use super::fault::Fault;
use super::view::View;

mod compile;
mod engine;
mod print;
mod scan;
#[cfg(test)]
mod tests;

/// Longest output for one record, in bytes.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// How values are made safe for where the text goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escape {
    /// As they are.
    #[default]
    None,
    /// For HTML: `& < > " '` become entities.
    Html,
}

/// Why a template has no output for this row.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The text grew beyond [`OUTPUT_BYTES_MAX`].
    #[error("the rendered text is longer than {OUTPUT_BYTES_MAX} bytes")]
    TooLong,
    /// minijinja failed on the values of this row.
    #[error("the template failed")]
    Failed(#[source] minijinja::Error),
}

/// A template, ready to render rows of one shape.
#[derive(Debug)]
pub struct Template {
    body: Body,
    fields: Vec<usize>,
    escape: Escape,
}

#[derive(Debug)]
enum Body {
    /// Text and plain fields.
    Segments(Vec<Segment>),
    /// Everything else.
    Engine(Box<engine::Engine>),
}

#[derive(Debug, Clone, PartialEq)]
enum Segment {
    Text(Box<str>),
    Field(usize, Kind),
}

/// How a field is printed, where its value alone does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Timestamp,
}

impl Template {
    /// Parses and checks a template on rows of this shape; reports every unknown variable, filter and test at once.
    pub fn compile(text: &str, shape: &Shape, escape: Escape) -> Result<Self, Vec<Fault>> {
        compile::compile(text, shape, escape)
    }

    /// Appends the text for this row.
    pub fn render(&self, row: &Row, into: &mut String) -> Result<(), RenderError> {
        self.render_with(row, &[], into)
    }

    /// The same for a row with further values behind its last.
    pub fn render_with(&self, row: &Row, extra: &[Value], into: &mut String) -> Result<(), RenderError> {
        let view = View::of(row, extra);
        match &self.body {
            Body::Segments(segments) => {
                let start = into.len();
                for segment in segments {
                    match segment {
                        Segment::Text(text) => into.push_str(text),
                        Segment::Field(index, kind) => print::value(into, view.get(*index), *kind, self.escape),
                    }
                    if into.len() - start > OUTPUT_BYTES_MAX {
                        return Err(RenderError::TooLong);
                    }
                }
                Ok(())
            }
            Body::Engine(engine) => engine.render(view, into),
        }
    }

    /// The places of the fields that it uses, ascending.
    pub fn fields(&self) -> &[usize] {
        &self.fields
    }
}

/// A field that a template uses.
#[derive(Debug, Clone)]
struct Used {
    path: Arc<str>,
    index: usize,
    kind: Kind,
}
