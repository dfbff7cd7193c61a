//! What the outbox tells of: the events of a run, and what is the matter with each.

use serde_json::{Value, json};

/// A message of the outbox.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a matter of its own")]
pub(crate) struct Event {
    pub(crate) chat: String,
    pub(crate) edit_key: Option<String>,
    /// Telegram cannot read its markup.
    pub(crate) has_bad_markup: bool,
    /// Its topic of the chat is not there.
    pub(crate) has_bad_thread: bool,
    /// Telegram never takes it.
    pub(crate) is_refused: bool,
    /// Its transaction was aborted: nobody may hear of it.
    pub(crate) is_aborted: bool,
    /// How often it was put back by hand after it had become a dead letter.
    pub(crate) replays: u32,
}

impl Event {
    pub(crate) fn id(number: usize) -> String {
        format!("event-{number}")
    }

    /// The number of the event that a text tells of.
    pub(crate) fn number(text: &str) -> usize {
        let digits = text.split("no. ").nth(1).unwrap_or_default();
        digits.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    }

    pub(crate) fn value(&self, number: usize) -> Value {
        let (text, mode) = if self.has_bad_markup { (format!("<b>no. {number}</b>"), "HTML") } else { (format!("no. {number}"), "") };
        json!({
            "chat_id": self.chat, "text": text, "parse_mode": mode, "event_id": Self::id(number),
            "message_thread_id": if self.has_bad_thread { 7 } else { 0 },
            "edit_key": self.edit_key.clone().unwrap_or_default(),
        })
    }
}
