//! What fits into a message: Telegram takes 4096 characters (Unicode code points) after the markup is read, and 32,768 bytes before it is.
//!
//! [`fit`] cuts what is longer, so that markup stays markup; [`plain`] says a text without its markup, for when Telegram does not take that.

#[cfg(any(test, fuzzing))]
mod fuzz;
mod html;
mod markdown;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

#[cfg(any(test, fuzzing))]
pub(super) use fuzz::target as fuzz;
use html::{Kind, Token};

use super::is_bidi_control;

/// What Telegram takes.
const ROOM: Room = Room { chars: 4096, bytes: 32_768 };

/// Ends a text that was cut.
const ELLIPSIS: char = '…';

/// A text is not shortened by more than this to keep together what is one sign on the screen.
const TOGETHER_CHARS_MAX: usize = 64;

/// How much may be said.
#[derive(Clone, Copy, Debug)]
struct Room {
    /// Characters that are seen.
    chars: usize,
    /// Bytes with the markup.
    bytes: usize,
}

/// The text as Telegram takes it: without characters that turn the direction of what follows (they come from titles), and cut where it is too long.
///
/// A text that was cut ends in `…`. It is cut between characters, and not inside of what is one sign on the screen (an emoji of several, a letter
/// with its accents). HTML is never cut inside a tag or an entity, and open tags are closed. `MarkdownV2` that is too long loses its markup: what it
/// says is cut as plain text and escaped, because a piece of it may mean something else than the whole.
pub fn fit<'a>(text: &'a str, parse_mode: &str) -> Cow<'a, str> {
    fit_into(text, Mode::of(parse_mode), ROOM)
}

/// What a text says, without its markup and as long as a message may be: to be sent without `parse_mode`.
pub fn plain<'a>(text: &'a str, parse_mode: &str) -> Cow<'a, str> {
    let said = match Mode::of(parse_mode) {
        Mode::Plain => Cow::Borrowed(text),
        Mode::Html => Cow::Owned(html::said(text)),
        Mode::MarkdownV2 => Cow::Owned(markdown::said(text)),
    };
    match said {
        Cow::Borrowed(said) => fit_into(said, Mode::Plain, ROOM),
        Cow::Owned(said) => Cow::Owned(fit_into(&said, Mode::Plain, ROOM).into_owned()),
    }
}

/// How a text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Plain,
    Html,
    MarkdownV2,
}

impl Mode {
    /// Telegram does not tell capital letters from others. Of a mode that is not known here the text counts as it stands.
    fn of(parse_mode: &str) -> Self {
        if parse_mode.eq_ignore_ascii_case("HTML") {
            Self::Html
        } else if parse_mode.eq_ignore_ascii_case("MarkdownV2") {
            Self::MarkdownV2
        } else {
            Self::Plain
        }
    }
}

fn fit_into(text: &str, mode: Mode, room: Room) -> Cow<'_, str> {
    let text = if text.contains(is_bidi_control) { Cow::Owned(text.replace(is_bidi_control, "")) } else { Cow::Borrowed(text) };
    // The usual case: not even its bytes are as many as the characters may be.
    if text.len() <= room.chars.min(room.bytes) {
        return text;
    }
    let shorter = match mode {
        Mode::Plain => cut(&text, characters(&text), room, |_, end| end),
        Mode::Html => cut(&text, html::tokens(&text), room, html::before_half_an_entity),
        Mode::MarkdownV2 => {
            let said = markdown::said(&text);
            let fits = text.len() <= room.bytes && said.chars().count() <= room.chars;
            // Escaped it has twice the bytes at most.
            let half = Room { bytes: room.bytes / 2, ..room };
            (!fits).then(|| markdown::escaped(&cut(&said, characters(&said), half, |_, end| end).unwrap_or(said)))
        }
    };
    shorter.map_or(text, Cow::Owned)
}

/// Plain text: nothing but characters.
fn characters(text: &str) -> impl Iterator<Item = Token<'_>> + Clone {
    text.char_indices().map(|(start, c)| Token { start, end: start + c.len_utf8(), kind: Kind::Char(c) })
}

/// The text up to where it has to end, with an ellipsis and the tags closed; none where there is room for all of it. `settle` moves the end forward where
/// what is left would say something else than it did.
fn cut<'a>(text: &str, tokens: impl Iterator<Item = Token<'a>> + Clone, room: Room, settle: fn(&str, usize) -> usize) -> Option<String> {
    let mut open = OpenTags::default();
    let mut signs = Signs::default();
    let mut seen = 0;
    // Where it may end: anywhere, and between signs; each with the characters before it.
    let (mut anywhere, mut between) = ((0, 0), (0, 0));
    let mut too_long = false;
    for token in tokens.clone() {
        let joined = matches!(token.kind, Kind::Char(c) if signs.continue_with(c));
        if seen < room.chars && token.start + ELLIPSIS.len_utf8() + open.bytes <= room.bytes {
            anywhere = (token.start, seen);
            if !joined {
                between = anywhere;
            }
        }
        open.pass(&token);
        seen += usize::from(matches!(token.kind, Kind::Char(_)));
        too_long = seen > room.chars || token.end > room.bytes;
        if too_long {
            break;
        }
    }
    if !too_long {
        return None;
    }
    let (end, _) = if anywhere.1 - between.1 <= TOGETHER_CHARS_MAX { between } else { anywhere };
    let end = settle(text, end);
    let mut open = OpenTags::default();
    tokens.take_while(|token| token.start < end).for_each(|token| open.pass(&token));
    let mut shorter = String::with_capacity(end + ELLIPSIS.len_utf8() + open.bytes);
    shorter.push_str(text.get(..end).unwrap_or_default());
    shorter.push(ELLIPSIS);
    for name in open.names.iter().rev() {
        shorter.extend(["</", name, ">"]);
    }
    Some(shorter)
}

/// The tags that are open.
#[derive(Debug, Default)]
struct OpenTags<'a> {
    names: Vec<&'a str>,
    /// What it takes to close them.
    bytes: usize,
}

impl<'a> OpenTags<'a> {
    fn pass(&mut self, token: &Token<'a>) {
        let closing = |name: &str| name.len() + "</>".len();
        match token.kind {
            Kind::Open(name) => {
                self.names.push(name);
                self.bytes += closing(name);
            }
            // One that closes nothing, or not the last, is Telegram's to refuse.
            Kind::Close(name) => {
                if let Some(last) = self.names.pop_if(|last| last.eq_ignore_ascii_case(name)) {
                    self.bytes -= closing(last);
                }
            }
            Kind::Char(_) => {}
        }
    }
}

/// Tells where one sign on the screen ends and the next begins, near enough: marks, variations, skin tones, joined emoji, flags.
#[derive(Debug, Default)]
struct Signs {
    previous: Option<char>,
    /// Regional indicators in a row: two of them are a flag.
    regional: usize,
}

impl Signs {
    /// Takes the next character; whether it belongs to the sign of the one before.
    fn continue_with(&mut self, c: char) -> bool {
        let is_regional = matches!(c, '\u{1F1E6}'..='\u{1F1FF}');
        let second_of_flag = is_regional && self.regional % 2 == 1;
        self.regional = if is_regional { self.regional + 1 } else { 0 };
        let after_joiner = self.previous == Some('\u{200D}') || (self.previous == Some('\r') && c == '\n');
        self.previous.replace(c).is_some() && (second_of_flag || after_joiner || is_mark(c))
    }
}

/// Whether a character changes the one before it.
fn is_mark(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36F}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5BD}' | '\u{610}'..='\u{61A}' | '\u{64B}'..='\u{65F}'
        | '\u{900}'..='\u{903}' | '\u{93A}'..='\u{93C}' | '\u{93E}'..='\u{94F}' | '\u{E31}' | '\u{E34}'..='\u{E3A}' | '\u{E47}'..='\u{E4E}'
        | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}' | '\u{200C}'..='\u{200D}' | '\u{20D0}'..='\u{20FF}'
        | '\u{FE00}'..='\u{FE0F}' | '\u{FE20}'..='\u{FE2F}' | '\u{1F3FB}'..='\u{1F3FF}' | '\u{E0020}'..='\u{E007F}' | '\u{E0100}'..='\u{E01EF}')
}
