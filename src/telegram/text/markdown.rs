//! Telegram's `MarkdownV2`, as far as it must be known what a text says without its markup.

/// What must be escaped outside of code and links.
const RESERVED: &str = "_*[]()~`>#+-=|{}.!\\";

/// A text that says the same in `MarkdownV2` as `text` does plainly.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    for c in text.chars() {
        if RESERVED.contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// What a text says: marks of style are gone, of links the text stays, escapes are resolved. A text that Telegram would not take is read as far as that goes.
pub(super) fn said(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        rest = match c {
            '\\' => escape(after, &mut out),
            '`' => code(rest, &mut out),
            '*' | '_' | '~' | '|' | '[' => after,
            '!' if after.starts_with('[') => after,
            '>' if out.is_empty() || out.ends_with('\n') => after,
            ']' => after.strip_prefix('(').map_or(after, after_address),
            other => {
                out.push(other);
                after
            }
        };
    }
    out
}

/// A backslash makes the ASCII character after it stand for itself.
fn escape<'a>(after: &'a str, out: &mut String) -> &'a str {
    match after.chars().next() {
        Some(c) if c.is_ascii() && c != '\0' => {
            out.push(c);
            after.get(1..).unwrap_or_default()
        }
        _ => {
            out.push('\\');
            after
        }
    }
}

/// Code: nothing in it is markup but the backslash.
fn code<'a>(rest: &'a str, out: &mut String) -> &'a str {
    let fence = if rest.starts_with("```") { "```" } else { "`" };
    let mut rest = rest.get(fence.len()..).unwrap_or_default();
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix(fence) {
            return after;
        }
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        rest = if c == '\\' {
            escape(after, out)
        } else {
            out.push(c);
            after
        };
    }
    rest
}

/// What follows the address of a link, which is not seen.
fn after_address(address: &str) -> &str {
    let mut escaped = false;
    for (at, c) in address.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ')' => return address.get(at + 1..).unwrap_or_default(),
            _ => {}
        }
    }
    ""
}
