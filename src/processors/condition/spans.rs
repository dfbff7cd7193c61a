//! Which bytes of the text an expression covers. The parser only knows where an operator, a dot or an opening bracket stands.

use std::ops::Range;

use cel::common::ast::{Expr, IdedExpr, SourceInfo};

/// The bytes that this expression covers, its operands included.
pub(super) fn span(expr: &IdedExpr, source: &SourceInfo, text: &str) -> Range<usize> {
    let own = own(expr, source, text);
    let inner = |expr: &IdedExpr| span(expr, source, text);
    let found = match &expr.expr {
        Expr::Select(select) if select.test => name_before("has", own.start, text)..closing(own.start, text),
        Expr::Select(select) => inner(&select.operand).start..field_end(&select.field, own.end, text),
        Expr::Call(call) if text.get(own.clone()) == Some("(") => {
            let start = call.target.as_ref().map_or_else(|| name_before(&call.func_name, own.start, text), |target| inner(target).start);
            start..closing(own.start, text)
        }
        Expr::Call(call) if text.get(own.clone()) == Some("[") => {
            call.args.first().map_or(own.start, |list| inner(list).start)..closing(own.start, text)
        }
        Expr::Call(call) => call.args.iter().map(inner).fold(own, |all, arg| all.start.min(arg.start)..all.end.max(arg.end)),
        Expr::List(_) | Expr::Map(_) => own.start..closing(own.start, text),
        Expr::Comprehension(inside) if text.get(own.clone()) == Some("(") => inner(&inside.iter_range).start..closing(own.start, text),
        _ => own,
    };
    if text.get(found.clone()).is_some() { found } else { 0..text.len() }
}

/// The sign or the word itself, without what stands around it.
pub(super) fn own(expr: &IdedExpr, source: &SourceInfo, text: &str) -> Range<usize> {
    let Some((start, last)) = source.offset_for(expr.id) else { return 0..text.len() };
    let (start, last) = (usize::try_from(start).unwrap_or(0), usize::try_from(last).unwrap_or(0));
    let end = (last + 1).min(text.len());
    start.min(end)..end
}

/// Where a name begins that ends before `at`, blanks between them left out.
fn name_before(name: &str, at: usize, text: &str) -> usize {
    let before = text.get(..at).unwrap_or_default().trim_end();
    before.strip_suffix(name).map_or(at, str::len)
}

/// Where a field's name ends that begins after `at`.
fn field_end(field: &str, at: usize, text: &str) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    let blanks = rest.len() - rest.trim_start().len();
    let quotes = if rest.trim_start().starts_with('`') { 2 } else { 0 };
    (at + blanks + quotes + field.len()).min(text.len())
}

/// The end of what the bracket at `open` opens.
fn closing(open: usize, text: &str) -> usize {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices().skip_while(|&(at, _)| at < open) {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + c.len_utf8();
                }
            }
            _ => {}
        }
    }
    text.len()
}
