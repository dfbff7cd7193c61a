//! What the sender would send now: its dry run in a form for people and for the socket.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::avro::Registry;
use crate::config::Config;
use crate::streams::log::Log;
use crate::telegram::dry_run::{Error, Preview, Summary, dry_run};
use crate::telegram::{Message, Settings, application_id};

/// The sender of an application, as far as its outbox and what it remembers can be found.
#[derive(Clone, Debug)]
pub struct Outgoing {
    settings: Settings,
    application_id: String,
}

/// A message that would be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The chat: its number, or the name of a public one.
    pub chat_id: String,
    /// The topic of a group; 0 for none.
    pub message_thread_id: i64,
    /// What it says, as it would be sent.
    pub text: String,
    /// `HTML`, `MarkdownV2`, or empty for plain text.
    pub parse_mode: String,
    /// Without a sound.
    pub disable_notification: bool,
    /// Without a preview of links.
    pub disable_web_page_preview: bool,
    /// The event that it tells of.
    pub event_id: String,
    /// Where its record lies in the outbox.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Whether the sender has taken it over already.
    pub queued: bool,
}

impl From<Preview> for Pending {
    fn from(preview: Preview) -> Self {
        let Preview { partition, offset, event_id, queued, message } = preview;
        let Message { chat_id, text, parse_mode, message_thread_id, disable_notification, disable_web_page_preview } = message;
        Self {
            chat_id,
            message_thread_id,
            text,
            parse_mode,
            disable_notification,
            disable_web_page_preview,
            event_id,
            partition,
            offset,
            queued,
        }
    }
}

/// One line: chat, topic, text.
impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chat_id)?;
        if self.message_thread_id != 0 {
            write!(f, ", topic {}", self.message_thread_id)?;
        }
        write!(f, "  {}", self.text.replace(|c: char| c.is_control(), " "))
    }
}

impl Outgoing {
    /// The sender that `[telegram]` asks for; none without it.
    pub fn of(config: &Config) -> Option<Self> {
        let telegram = config.telegram.as_ref()?;
        Some(Self { settings: Settings::of(config, telegram), application_id: application_id(config) })
    }

    /// Hands each message that would be sent to `emit`, until that breaks off. Nothing is sent and nothing is written.
    pub fn preview(
        &self,
        log: &dyn Log,
        registry: Arc<dyn Registry>,
        emit: &mut dyn FnMut(Pending) -> ControlFlow<()>,
    ) -> Result<Summary, Error> {
        dry_run(log, registry, &self.settings, &self.application_id, &mut |preview| emit(preview.into()))
    }
}
