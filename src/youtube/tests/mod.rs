//! The client against a YouTube on loopback that answers as a test says; ids and quota by themselves.

use std::time::Duration;

use self::fake::{Answer, Fake, json};
use super::*;
use crate::streams::clock::Timestamp;

mod answers;
mod fake;
mod pasted;
mod problems;
mod requests;
mod spreading;
mod transport;
mod units;

/// In no text but the header.
const CANARY: &str = "AIzaSyCANARY-0123456789abcdefghijklmnop";

fn options(base_url: String) -> Options {
    Options { base_url, api_key: CANARY.into(), timeout: Duration::from_secs(30), user_agent: "tidewatch/test".to_owned() }
}

fn client(fake: &Fake) -> Client {
    Client::new(&options(fake.url())).unwrap()
}
