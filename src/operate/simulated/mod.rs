//! The services outside, simulated: a YouTube channel and Telegram, over real HTTP on loopback, in their own shapes and with their own faults.
//!
//! The demonstration runs on them, and the tests of everything that speaks with the real ones. What they answer follows the references of the
//! YouTube Data API v3 and of the Telegram Bot API; what they get wrong is a plan ([`Faults`]) that a seed or a script fixes.

pub mod channel;
mod faults;
mod random;
mod server;
pub mod telegram;
pub mod youtube;

pub use channel::Channel;
pub use faults::{Fault, Faults};
pub use server::Error;
pub use telegram::Telegram;
pub use youtube::YouTube;

/// Sets a member of a document.
fn set(document: &mut serde_json::Value, name: &str, value: impl Into<serde_json::Value>) {
    if let serde_json::Value::Object(members) = document {
        members.insert(name.to_owned(), value.into());
    }
}
