//! Telegram's HTML, read as its server reads it: tags, entities of which it knows four by name, and characters.

/// A tag with its attributes is not longer; without a limit many `<` would each be followed to the end of the text.
const TAG_BYTES_MAX: usize = 8_192;

/// A piece of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: Kind<'a>,
}

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// `<name …>`.
    Open(&'a str),
    /// `</name>`.
    Close(&'a str),
    /// One character, also one that is written as an entity.
    Char(char),
}

/// The pieces of a text. What is no tag and no entity is text: it is Telegram that refuses it, or not.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = Token<'_>> + Clone {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..)?;
        let first = rest.chars().next()?;
        let special = match first {
            '<' => tag(rest),
            '&' => entity(rest).map(|(c, length)| (Kind::Char(c), length)),
            _ => None,
        };
        let (kind, length) = special.unwrap_or((Kind::Char(first), first.len_utf8()));
        let token = Token { start: at, end: at + length, kind };
        at = token.end;
        Some(token)
    })
}

/// The end of a text that is cut, before an `&` that would begin an entity only because of the cut: `&lt` of `&ltd`.
pub(super) fn before_half_an_entity(text: &str, end: usize) -> usize {
    let head = text.get(..end).unwrap_or_default();
    let Some(at) = head.rfind('&') else { return end };
    let length = |text: &str| entity(text.get(at..)?).map(|(_, length)| length);
    match length(head) {
        Some(half) if at + half == end && length(text) != Some(half) => at,
        _ => end,
    }
}

/// What a text says without tags and entities.
pub(super) fn said(text: &str) -> String {
    let characters = tokens(text).filter_map(|token| if let Kind::Char(c) = token.kind { Some(c) } else { None });
    characters.collect()
}

/// The tag that `rest` begins with, and its length.
fn tag(rest: &str) -> Option<(Kind<'_>, usize)> {
    let after = rest.strip_prefix('<')?;
    let (closes, after) = after.strip_prefix('/').map_or((false, after), |after| (true, after));
    let name_end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(after.len());
    let (name, attributes) = after.split_at_checked(name_end)?;
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let mut quote = None;
    for (at, byte) in attributes.bytes().take(TAG_BYTES_MAX).enumerate() {
        match (byte, quote) {
            (b'>', None) => {
                let kind = if closes { Kind::Close(name) } else { Kind::Open(name) };
                return Some((kind, rest.len() - attributes.len() + at + 1));
            }
            (b'<', None) => return None,
            (b'"' | b'\'', None) => quote = Some(byte),
            (_, Some(open)) if byte == open => quote = None,
            _ => {}
        }
    }
    None
}

/// The character of the entity that `rest` begins with, and the entity's length. The semicolon may be missing.
fn entity(rest: &str) -> Option<(char, usize)> {
    let after = rest.strip_prefix('&')?;
    let digits = |text: &str, radix: u32| text.find(|c: char| !c.is_digit(radix)).unwrap_or(text.len());
    let (c, length) = if let Some(number) = after.strip_prefix('#') {
        let (radix, number) = match number.strip_prefix(['x', 'X']) {
            Some(number) => (16, number),
            None => (10, number),
        };
        let count = digits(number, radix);
        let code = u32::from_str_radix(number.get(..count)?, radix).ok().filter(|code| *code != 0)?;
        (char::from_u32(code)?, after.len() - number.len() + count)
    } else {
        let count = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let c = match after.get(..count)? {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            _ => return None,
        };
        (c, count)
    };
    let semicolon = usize::from(after.get(length..).is_some_and(|rest| rest.starts_with(';')));
    Some((c, 1 + length + semicolon))
}
