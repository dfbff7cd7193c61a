//! Fuzz target: what does not fit is cut, and what is left is still what it was.

use super::{ELLIPSIS, Mode, ROOM, Room, fit, fit_into, html, is_bidi_control, markdown, plain};

/// Two bytes: characters and bytes that there is room for. One: how the text is read. Then the text.
pub(crate) fn target(input: &[u8]) {
    let Some(([chars, bytes, mode], rest)) = input.split_first_chunk::<3>() else { return };
    let text = &*String::from_utf8_lossy(rest);
    let (mode, name) = match mode % 3 {
        0 => (Mode::Plain, ""),
        1 => (Mode::Html, "HTML"),
        _ => (Mode::MarkdownV2, "MarkdownV2"),
    };
    let small = Room { chars: 1 + usize::from(*chars), bytes: 40 + 4 * usize::from(*bytes) };
    for room in [small, ROOM] {
        let cut = fit_into(text, mode, room).into_owned();
        assert!(said(&cut, mode).chars().count() <= room.chars && cut.len() <= room.bytes, "{mode:?} {} bytes: {cut}", cut.len());
        assert!(!cut.contains(is_bidi_control));
        assert_eq!(fit_into(&cut, mode, room), cut, "what was cut is cut again");
        if mode == Mode::Html {
            check_html(&text.replace(is_bidi_control, ""), &cut);
        }
    }
    assert_eq!(fit(text, name), fit_into(text, mode, ROOM));
    let bare = plain(text, name);
    assert!(bare.chars().count() <= ROOM.chars && bare.len() <= ROOM.bytes);
    assert_eq!(markdown::said(&markdown::escaped(text)), text);
}

fn said(text: &str, mode: Mode) -> String {
    match mode {
        Mode::Plain => text.to_owned(),
        Mode::Html => html::said(text),
        Mode::MarkdownV2 => markdown::said(text),
    }
}

/// What was HTML is HTML; and it says the beginning of what the whole says.
fn check_html(text: &str, cut: &str) {
    if text == cut {
        return;
    }
    let (said, whole) = (html::said(cut), html::said(text));
    let begins = said.strip_suffix(ELLIPSIS).is_some_and(|said| whole.starts_with(said));
    assert!(begins, "{said:?} is not the beginning of {whole:?}");
    if well_formed(text) {
        assert!(well_formed(cut), "no HTML any more: {cut}");
    }
}

/// Reads HTML strictly, with code of its own: every tag closed in its place, every entity known and ended.
fn well_formed(mut text: &str) -> bool {
    let mut open = Vec::new();
    while let Some(at) = text.find(['<', '&', '>']) {
        text = text.get(at..).unwrap_or_default();
        let end = match text.as_bytes().first() {
            Some(b'<') => {
                let Some(end) = text.find('>') else { return false };
                let tag = text.get(1..end).unwrap_or_default();
                let is_name = |name: &str| {
                    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
                };
                // Quotes and brackets within a tag are left to the other reader.
                let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
                if attributes.contains(['<', '\'', '"', '&']) {
                    return false;
                }
                match name.strip_prefix('/') {
                    Some(name) if attributes.is_empty() && open.pop() == Some(name) => {}
                    None if is_name(name) => open.push(name),
                    _ => return false,
                }
                end
            }
            Some(b'&') => {
                let Some(end) = text.find(';') else { return false };
                if !["&lt", "&gt", "&amp", "&quot", "&#39", "&#128640"].contains(&text.get(..end).unwrap_or_default()) {
                    return false;
                }
                end
            }
            _ => return false,
        };
        text = text.get(end + 1..).unwrap_or_default();
    }
    open.is_empty()
}
