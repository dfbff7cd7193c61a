//! A topology file as it was written: every table that could be read, with the places of its values, not yet checked.
//!
//! What is missing or unreadable is none: the fault is reported where it is found, and the checks go on with the rest.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;

use super::external::External;
use super::model::{Engine, ValueFormat};
use super::telegram::{OnUnknown, Rates};
use crate::avro::KeyFormat;
use crate::processors::latest::{Emit, Nulls, OnFirst, Order};
use crate::streams::topology::{ErrorPolicy, OnError, Start};
use crate::youtube::ids::{Channel, Uploads};

/// Text from the file.
pub(super) type Text = Spanned<String>;

/// A whole file.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) application_id: Option<Text>,
    pub(super) sources: Vec<Named<Source>>,
    pub(super) processors: Vec<Named<Processor>>,
    pub(super) sinks: Vec<Named<Sink>>,
    pub(super) errors: ErrorPolicy,
    pub(super) engine: Engine,
    /// `instance_id` of `[engine]`.
    pub(super) instance_id: Option<Spanned<External>>,
    /// Where `standby = true` is, if it is.
    pub(super) standby: Option<Range<usize>>,
    pub(super) kafka: Option<Kafka>,
    pub(super) telegram: Option<Telegram>,
    pub(super) youtube: Option<YouTube>,
}

/// `[kafka]`.
#[derive(Debug)]
pub(super) struct Kafka {
    /// The name of the table: marked when a key is missing.
    pub(super) place: Range<usize>,
    /// None where it is absent or unreadable.
    pub(super) bootstrap_servers: Option<Vec<Text>>,
    pub(super) registry: Option<RegistryTable>,
    pub(super) properties: Vec<Property>,
    pub(super) replication: Option<i32>,
    pub(super) session_timeout: Option<Duration>,
    /// The keys that are not there, of those that must be.
    pub(super) absent: Vec<&'static str>,
}

/// `registry` of `[kafka]`.
#[derive(Debug)]
pub(super) struct RegistryTable {
    pub(super) url: Option<Spanned<External>>,
    pub(super) username: Option<Spanned<External>>,
    pub(super) password: Option<Spanned<External>>,
    pub(super) ca: Option<Spanned<External>>,
}

/// A property of librdkafka.
#[derive(Debug)]
pub(super) struct Property {
    pub(super) name: Text,
    pub(super) value: Spanned<External>,
}

/// `[telegram]`.
#[derive(Debug)]
pub(super) struct Telegram {
    /// The name of the table: marked when a key is missing.
    pub(super) place: Range<usize>,
    pub(super) token: Option<Spanned<External>>,
    pub(super) base_url: Option<Text>,
    /// A topic.
    pub(super) outbox: Option<Text>,
    pub(super) on_unknown: OnUnknown,
    /// By the chat's id.
    pub(super) chats: Vec<(Text, OnUnknown)>,
    pub(super) remember: Option<Duration>,
    pub(super) timeout: Option<Duration>,
    pub(super) rates: Rates,
}

/// `[youtube]`.
#[derive(Debug)]
pub(super) struct YouTube {
    /// The name of the table: marked when something is missing.
    pub(super) place: Range<usize>,
    pub(super) api_key: Option<Spanned<External>>,
    /// Ids of playlists.
    pub(super) playlists: Vec<Text>,
    pub(super) channels: Vec<Spanned<(Channel, Uploads)>>,
    /// Ids of videos.
    pub(super) videos: Vec<Text>,
    pub(super) every: Option<Duration>,
    pub(super) quota_per_day: Option<u64>,
    pub(super) removed_after: Option<u32>,
    pub(super) base_url: Option<Text>,
    pub(super) timeout: Option<Duration>,
    /// The name of a source.
    pub(super) source: Option<Text>,
}

/// A table `[sources.NAME]`, `[processors.NAME]` or `[sinks.NAME]`.
#[derive(Debug)]
pub(super) struct Named<T> {
    pub(super) name: Text,
    pub(super) item: T,
}

/// `[sources.NAME]`.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) topic: Option<Text>,
    pub(super) value: Option<Described>,
    /// Text where the file does not say.
    pub(super) key: Option<Spanned<KeyWord>>,
    /// A field's name in the topology and its name in the topic.
    pub(super) alias: Vec<(Text, Text)>,
    pub(super) start: Option<Start>,
    pub(super) on_error: Option<OnError>,
}

/// What stands under `value`: the format of a topic's values and what describes them.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) format: ValueFormat,
    pub(super) schema: SchemaRef,
    /// What is marked where the whole of it is wrong.
    pub(super) span: Range<usize>,
}

/// Where a schema is.
#[derive(Clone, Debug)]
pub(super) enum SchemaRef {
    /// `schemas/NAME.avsc`, or a shipped one.
    Named(Text),
    /// A file, relative to the topology file.
    File(Text),
    /// The latest of the topic's subject.
    Registry,
    /// Made of what comes in: a sink that names none.
    Derived,
}

/// What stands under `key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyWord {
    Plain(KeyFormat),
    /// A single value, whose schema the registry has.
    Avro,
}

/// `[processors.NAME]`.
#[derive(Debug)]
pub(super) struct Processor {
    pub(super) input: Option<Text>,
    /// None for an unknown type.
    pub(super) kind: Option<Kind>,
}

/// What is particular to a type of processor.
#[derive(Debug)]
pub(super) enum Kind {
    Latest(Latest),
    Filter { when: Option<Text> },
    Notify { when: Option<Text>, message: Message },
    Milestone(Milestone),
}

/// `type = "latest"`.
#[derive(Debug, Default)]
pub(super) struct Latest {
    pub(super) watch: Option<Vec<Text>>,
    pub(super) nulls: Nulls,
    pub(super) on_first: OnFirst,
    pub(super) emit: Emit,
    pub(super) order: Order,
}

/// `type = "milestone"`.
#[derive(Debug)]
pub(super) struct Milestone {
    pub(super) field: Option<Text>,
    pub(super) boundaries: Option<Boundaries>,
    pub(super) when: Option<Text>,
    pub(super) message: Message,
}

/// The values at which a milestone fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Boundaries {
    Every(i64),
    At(Vec<i64>),
}

/// The message that notify and milestone send.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) chat_id: Option<Spanned<External>>,
    pub(super) text: Option<Text>,
    pub(super) parse_mode: &'static str,
    pub(super) thread_id: i64,
    pub(super) disable_notification: bool,
    pub(super) disable_web_page_preview: bool,
    pub(super) edit_in_place: bool,
}

/// `[sinks.NAME]`.
#[derive(Debug)]
pub(super) struct Sink {
    /// None where there is neither `input` nor `inputs`.
    pub(super) inputs: Option<Vec<Text>>,
    pub(super) topic: Option<Text>,
    pub(super) value: Option<Described>,
}

/// A duration of the file.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let millis = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.checked_mul(millis)?))
}

/// Where the bytes `inside` of a string's content stand in the file; the whole value where that cannot be said.
///
/// The content is what the string means: its quotes are gone and its escapes resolved, so each character is followed through the source.
pub(super) fn place_inside(file: &str, text: &Text, inside: &Range<usize>) -> Range<usize> {
    let whole = text.span();
    let Some(places) = file.get(whole.clone()).and_then(|source| places(source, text.get_ref())) else { return whole };
    let at = |offset: usize| places.get(offset).copied().map(|place| whole.start + place);
    match (at(inside.start), at(inside.end)) {
        // Nothing cannot be marked: what is missing is missing before the next character.
        (Some(start), Some(end)) if start == end => start..start + 1,
        (Some(start), Some(end)) => start..end.max(start),
        _ => whole,
    }
}

/// For each byte of the content, and for its end, the offset in the source of the string; none if it is not that string.
fn places(source: &str, content: &str) -> Option<Vec<usize>> {
    let (quotes, basic) =
        [("\"\"\"", true), ("'''", false), ("\"", true), ("'", false)].into_iter().find(|(quotes, _)| source.starts_with(quotes))?;
    let mut end = source.len().checked_sub(quotes.len())?;
    let mut at = quotes.len();
    let rest = |at: usize| source.get(at..end).unwrap_or_default();
    if quotes.len() == 3 {
        // The line's end right after the opening quotes is no part of the content.
        at += ["\r\n", "\n"].iter().find(|newline| rest(at).starts_with(**newline)).map_or(0, |newline| newline.len());
    }
    let mut places = Vec::with_capacity(content.len() + 1);
    for expected in content.chars() {
        while basic && skipped(rest(at)) > 0 {
            at += skipped(rest(at));
        }
        let taken = match rest(at).chars().next()? {
            '\\' if basic => escape(rest(at), expected)?,
            '\r' if expected == '\n' && rest(at).starts_with("\r\n") => 2,
            seen => (seen == expected).then_some(seen.len_utf8())?,
        };
        places.extend(std::iter::repeat_n(at, expected.len_utf8()));
        at += taken;
    }
    while basic && skipped(rest(at)) > 0 {
        at += skipped(rest(at));
    }
    end = end.min(at);
    places.push(end);
    Some(places)
}

/// The length of a line-ending backslash with the white space after it.
fn skipped(rest: &str) -> usize {
    let Some(after) = rest.strip_prefix('\\') else { return 0 };
    let blank = after.len() - after.trim_start_matches([' ', '\t', '\n', '\r']).len();
    if after.get(..blank).is_some_and(|blank| blank.contains('\n')) { blank + 1 } else { 0 }
}

/// The length of the escape that `rest` begins with, if it can stand for `expected`.
fn escape(rest: &str, expected: char) -> Option<usize> {
    let kind = rest.chars().nth(1)?;
    let digits = match kind {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        'b' | 't' | 'n' | 'f' | 'r' | 'e' | '"' | '\\' => return Some(2),
        _ => return None,
    };
    let code = u32::from_str_radix(rest.get(2..2 + digits)?, 16).ok()?;
    (char::from_u32(code) == Some(expected)).then_some(2 + digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The source text of what stands at `needle` in the meaning of the string after `x = `.
    fn seen<'a>(file: &'a str, needle: &str) -> &'a str {
        let table = toml::de::DeTable::parse(file).unwrap();
        let value = table.get_ref().iter().next().unwrap().1;
        let text = Spanned::new(value.span(), value.get_ref().as_str().unwrap().to_owned());
        let at = text.get_ref().find(needle).unwrap();
        &file[place_inside(file, &text, &(at..at + needle.len()))]
    }

    #[test]
    fn places_inside_strings_are_found_in_every_kind_of_string() {
        assert_eq!(seen("x = \"a likes b\"", "likes"), "likes");
        assert_eq!(seen("x = 'a \\ likes b'", "likes"), "likes");
        assert_eq!(seen("x = \"\"\"\na\n  likes b\"\"\"", "likes"), "likes");
        assert_eq!(seen("x = '''\r\na\r\n  likes b'''", "likes"), "likes");
        assert_eq!(seen("x = \"\\\"é\\\" \\u00e9 \\\\ likes\\n\"", "likes"), "likes");
        assert_eq!(seen("x = \"a\\u00e9b\"", "é"), "\\u00e9");
        assert_eq!(seen("x = \"\"\"a \\\n   \n  likes \\\n \"\"\"", "likes"), "likes");
        assert_eq!(seen("x = \"likes\"", "likes"), "likes");
    }

    #[test]
    fn durations_have_a_whole_number_and_a_unit() {
        assert_eq!(duration("300ms"), Some(Duration::from_millis(300)));
        assert_eq!(duration("10m"), Some(Duration::from_secs(600)));
        assert_eq!(duration("2 h"), Some(Duration::from_secs(7200)));
        for bad in ["", "10", "s", "1.5h", "10 minutes", "-1s", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
