//! YouTube's Data API v3 as the poller uses it: requests with a key, answers that may lack anything, problems sorted by what to do about them.
//!
//! A [`Client`] asks; a [`Problem`] says by its [`Action`] how to go on; a [`Budget`] keeps the units of a [`PacificDay`] below what the key may spend.
//! What people paste for a playlist, a channel or a video is read by [`ids`]. The [`poller`] puts them to work.

mod answer;
mod client;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod ids;
pub mod observation;
pub mod poller;
mod problem;
mod quota;
#[cfg(test)]
mod tests;

pub use answer::{ChannelInfo, Item, Page, Video};
pub use client::{Client, IDS_MAX, Options};
pub use problem::{Action, Problem};
pub use quota::{Budget, Ledger, PacificDay, interval};
