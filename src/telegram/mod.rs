//! Telegram: the client of the Bot API, what its answers mean, what fits into a message, how often one may be sent; and the sender, which has
//! the messages of the outbox sent.
//!
//! [`Client`] makes one request and says what became of it as an [`Outcome`]: each asks for another action of whoever sends. The facts are those
//! of the Bot API 10.1 and of the source of its server (`tdlib/telegram-bot-api`).
//!
//! The sender is an application of its own on the engine ([`topology`], [`runtime_options`]); its requests are made by the [`Desk`]; what it
//! remembers lies in the [`sent_log`].

mod answer;
mod application;
mod chats;
mod client;
mod desk;
pub mod dry_run;
mod failure;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod limits;
mod outcome;
mod sender;
pub mod sent_log;
#[cfg(test)]
mod tests;
mod text;

pub use application::{DEAD_LETTERS, DeskError, application_id, outboxes, runtime_options};
pub use chats::{Chat, chats};
pub use client::{BuildError, Client, Me, Message, Options, Request, Webhook};
pub use desk::{Courier, Desk, Next, Service, Status, Tray};
pub use failure::Failure;
pub use limits::Limits;
pub use outcome::Outcome;
pub use sender::{Error, Letter, Settings, topology};
pub use text::{fit, plain};

/// Whether a character turns the direction of the text around it: in a title it would reach into the words of the message.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}
