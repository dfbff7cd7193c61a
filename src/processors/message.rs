//! Messages: what `notify` and `milestone` have in common. A message is a row with a chat, a text and an id of its event.

use xxhash_rust::xxh3::xxh3_128;

use crate::avro::{Field, Row, Shape, Type, Value};
use crate::streams::processor::{BoxError, ProcessorContext, Record, RecordContext};

use super::condition::Condition;
use super::fault::{Fault, OptionFault, meant};
use super::template::{Escape, Template};

const CHAT_ID: usize = 0;
const TEXT: usize = 1;
const EVENT_ID: usize = 6;
const EDIT_KEY: usize = 7;

/// The shape of messages, as the schema `telegram_message` has it: no field is ever null.
pub fn message_shape() -> Shape {
    let field = |path: &str, ty| Field::new(path, ty, false);
    Shape {
        fields: vec![
            field("chat_id", Type::String),
            field("text", Type::String),
            field("parse_mode", Type::String),
            field("message_thread_id", Type::Long),
            field("disable_notification", Type::Boolean),
            field("disable_web_page_preview", Type::Boolean),
            field("event_id", Type::String),
            field("edit_key", Type::String),
        ],
    }
}

/// What the topology file says about the messages of a node.
#[derive(Clone, Debug, Default)]
pub struct MessageOptions {
    /// Only records that meet this condition make a message; none: all do.
    pub when: Option<String>,
    /// The chat; also the key of the message's record.
    pub chat_id: String,
    /// The template of the text.
    pub text: String,
    /// Empty for plain text, or `HTML`: then the values in the text are escaped.
    pub parse_mode: String,
    /// The topic of a forum; 0 for none.
    pub message_thread_id: i64,
    /// Delivers without a sound.
    pub disable_notification: bool,
    /// Shows no preview of links.
    pub disable_web_page_preview: bool,
    /// One message per rule and key, edited with each further one.
    pub edit_in_place: bool,
}

/// [`MessageOptions`], checked against the rows that the messages are made from.
#[derive(Debug)]
pub(super) struct MessagePlan {
    when: Option<Condition>,
    text: Template,
    blank: Row,
    edit_in_place: bool,
}

impl MessagePlan {
    pub(super) fn new(options: &MessageOptions, shape: &Shape) -> Result<Self, Vec<OptionFault>> {
        let mut faults = Vec::new();
        let mut keep =
            |option: &'static str, found: Vec<Fault>| faults.extend(found.into_iter().map(|fault| OptionFault::new(option, fault)));
        let when =
            options.when.as_deref().map(|when| Condition::compile(when, shape)).transpose().map_err(|found| keep("when", found)).ok();
        let escape = match options.parse_mode.as_str() {
            "" => Escape::None,
            "HTML" => Escape::Html,
            other => {
                let fault = Fault::new(0..other.len(), format!("unknown parse_mode `{other}`"));
                let hint = meant(other, ["HTML"]).unwrap_or_else(|| "leave it out for plain text, or write \"HTML\"".to_owned());
                keep("parse_mode", vec![fault.hint(hint)]);
                Escape::None
            }
        };
        let text = Template::compile(&options.text, shape, escape).map_err(|found| keep("text", found)).ok();
        if options.text.trim().is_empty() {
            keep("text", vec![Fault::new(0..options.text.len(), "the text is empty")]);
        }
        if options.chat_id.trim().is_empty() {
            keep("chat_id", vec![Fault::new(0..options.chat_id.len(), "the chat id is empty")]);
        }
        match (when, text) {
            (Some(when), Some(text)) if faults.is_empty() => {
                Ok(Self { when, text, blank: blank(options), edit_in_place: options.edit_in_place })
            }
            _ => Err(faults),
        }
    }

    /// An empty message, for a processor to fill again and again.
    pub(super) fn writer(&self) -> MessageWriter {
        MessageWriter { row: self.blank.clone(), text: String::new(), hashed: Vec::new() }
    }

    /// Whether the rule's condition holds.
    pub(super) fn holds(&self, row: &Row, extra: &[Value]) -> Result<bool, BoxError> {
        Ok(match &self.when {
            Some(when) => when.test_with(row, extra)?,
            None => true,
        })
    }
}

fn blank(options: &MessageOptions) -> Row {
    Row {
        values: vec![
            Value::String(options.chat_id.clone()),
            Value::String(String::new()),
            Value::String(options.parse_mode.clone()),
            Value::Long(options.message_thread_id),
            Value::Boolean(options.disable_notification),
            Value::Boolean(options.disable_web_page_preview),
            Value::String(String::new()),
            Value::String(String::new()),
        ],
    }
}

/// Why no message could be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the text of {rule} is empty for this record")]
    Empty { rule: String },
}

/// The message of one processor.
#[derive(Debug)]
pub(super) struct MessageWriter {
    row: Row,
    text: String,
    hashed: Vec<u8>,
}

impl MessageWriter {
    /// Writes the message for this row; [`forward`](Self::forward) then sends it.
    pub(super) fn write(
        &mut self,
        plan: &MessagePlan,
        rule: &str,
        (row, extra): (&Row, &[Value]),
        record: &Record<'_, Row>,
        context: &dyn ProcessorContext<Row>,
    ) -> Result<(), BoxError> {
        self.text.clear();
        plan.text.render_with(row, extra, &mut self.text)?;
        if self.text.trim().is_empty() {
            return Err(Error::Empty { rule: rule.to_owned() }.into());
        }
        let id = match context.source() {
            Some(source) => event_id(&source, rule, &mut self.hashed),
            None => punctuated_event_id(record, &self.text, rule, &mut self.hashed),
        };
        if let Some(field) = self.row.values.get_mut(TEXT) {
            field.set_str(&self.text);
        }
        if let Some(field) = self.row.values.get_mut(EVENT_ID) {
            let mut hex = [0; 32];
            field.set_str(hex_of(id, &mut hex));
        }
        if let (Some(field), Some(key), true) = (self.row.values.get_mut(EDIT_KEY), record.key, plan.edit_in_place) {
            let mut hex = [0; 32];
            field.set_str(hex_of(edit_key(rule, key, &mut self.hashed), &mut hex));
        }
        Ok(())
    }

    pub(super) fn forward(&self, record: &Record<'_, Row>, context: &mut dyn ProcessorContext<Row>) -> Result<(), BoxError> {
        let Value::String(chat_id) = self.row.get(CHAT_ID) else { return Ok(()) };
        context.forward(&Record {
            key: Some(chat_id.as_bytes()),
            value: Some(&self.row),
            timestamp: record.timestamp,
            headers: record.headers,
        })
    }
}

/// The id of the event that `rule` makes of an input record: the XXH3-128 of topic, partition, offset, timestamp, raw value and rule.
///
/// Each part is preceded by its length (u32, little endian; `u32::MAX` for a value that is null), numbers are little endian. It names the event
/// for ever: offsets alone repeat in a topic that was created anew. `hashed` is a buffer to reuse.
pub fn event_id(source: &RecordContext<'_>, rule: &str, hashed: &mut Vec<u8>) -> u128 {
    hashed.clear();
    part(hashed, source.source.topic.as_bytes());
    part(hashed, &source.source.partition.0.to_le_bytes());
    part(hashed, &source.record.offset.0.to_le_bytes());
    part(hashed, &source.record.timestamp.0.to_le_bytes());
    match source.record.value {
        Some(value) => part(hashed, value),
        None => hashed.extend_from_slice(&u32::MAX.to_le_bytes()),
    }
    part(hashed, rule.as_bytes());
    xxh3_128(hashed)
}

/// What the messages of a rule about one key have in common: the XXH3-128 of rule and key, each preceded by its length.
fn edit_key(rule: &str, key: &[u8], hashed: &mut Vec<u8>) -> u128 {
    hashed.clear();
    part(hashed, rule.as_bytes());
    part(hashed, key);
    xxh3_128(hashed)
}

/// The id of an event that no input record caused: the place is empty, the value is the text.
fn punctuated_event_id(record: &Record<'_, Row>, text: &str, rule: &str, hashed: &mut Vec<u8>) -> u128 {
    hashed.clear();
    part(hashed, record.key.unwrap_or_default());
    part(hashed, &record.timestamp.0.to_le_bytes());
    part(hashed, text.as_bytes());
    part(hashed, rule.as_bytes());
    xxh3_128(hashed)
}

fn part(hashed: &mut Vec<u8>, bytes: &[u8]) {
    hashed.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1).to_le_bytes());
    hashed.extend_from_slice(bytes);
}

fn hex_of(id: u128, buffer: &mut [u8; 32]) -> &str {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    for (place, digit) in buffer.iter_mut().rev().enumerate() {
        let nibble = usize::try_from(id >> (4 * place) & 0xf).unwrap_or(0);
        *digit = DIGITS.get(nibble).copied().unwrap_or(b'0');
    }
    std::str::from_utf8(buffer).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::clock::Timestamp;
    use crate::streams::log::{Headers, Offset, RecordRef, TopicPartition};

    fn id(offset: i64, value: Option<&[u8]>, rule: &str) -> String {
        let source = TopicPartition::new("youtube_videos", 3);
        let record =
            RecordRef { offset: Offset(offset), timestamp: Timestamp(1_762_217_777_823), key: Some(b"k"), value, headers: Headers::EMPTY };
        let id = event_id(&RecordContext { source: &source, record }, rule, &mut Vec::new());
        hex_of(id, &mut [0; 32]).to_owned()
    }

    #[test]
    fn event_ids_never_change() {
        assert_eq!(id(41, Some(b"value"), "likes"), "6fedcfb8536a8d9d1795e8b0d378abe2");
        assert_eq!(id(41, None, "likes"), "6a1006301abf65e6c8ef0ce77f9f0576");
    }

    #[test]
    fn event_ids_tell_events_apart() {
        let ids = [
            id(41, Some(b"value"), "likes"),
            id(42, Some(b"value"), "likes"),
            id(41, Some(b"other"), "likes"),
            id(41, Some(b"value"), "views"),
        ];
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        assert!(ids.iter().all(|id| id.len() == 32));
        assert_ne!(id(41, None, "likes"), id(41, Some(b""), "likes"));
    }

    #[test]
    fn hex_has_leading_zeros() {
        assert_eq!(hex_of(0x1f, &mut [0; 32]), format!("{:032x}", 0x1f));
    }
}
