//! The client against a server that answers whatever Telegram, or something in its place, is known to answer: real HTTP.

mod answers;
mod fake;
mod questions;
mod requests;
mod transport;

use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};

use self::fake::{Answer, Fake};
use super::*;

/// The bot's token: it must be in the path of a request and nowhere else.
const TOKEN: &str = "7000000001:AAcanary-t0ken_that-nobody-may-see00";

/// Long enough for an answer on loopback, also on a busy machine.
const PATIENT: Duration = Duration::from_secs(30);

/// For what never comes.
const IMPATIENT: Duration = Duration::from_millis(300);

fn client(base_url: &str, timeout: Duration) -> Client {
    Client::new(&Options { base_url: base_url.to_owned(), token: SecretString::from(TOKEN), timeout }).unwrap()
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A message with everything that an outcome may advise to leave out.
fn message() -> Message {
    Message {
        chat_id: "-1001234567890".to_owned(),
        text: "Likes <b>412</b>".to_owned(),
        parse_mode: "HTML".to_owned(),
        message_thread_id: 17,
        ..Message::default()
    }
}

/// What becomes of a message that is answered so. Nothing that is said of it holds the token.
fn outcome(answer: Answer, timeout: Duration) -> Outcome {
    of(&Fake::always(answer).url(), &Request::Send(message()), timeout)
}

fn of(url: &str, request: &Request, timeout: Duration) -> Outcome {
    let outcome = run(client(url, timeout).send(request));
    assert_clean(&format!("{outcome:?} {}", outcome.reason()));
    outcome
}

#[track_caller]
fn assert_clean(said: &str) {
    let (number, secret) = TOKEN.split_once(':').unwrap();
    assert!(!said.contains(secret) && !said.contains(number), "{said}");
    assert!(!said.contains("http://") && !said.contains("/bot"), "{said}");
}

/// A document of the Bot API.
pub(super) fn fixture(name: &str) -> String {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/telegram");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn document(status: u16, document: &Value) -> Answer {
    Answer::Of(status, "content-type: application/json\r\n", document.to_string().into_bytes())
}

/// A refusal as Telegram writes it.
fn refusal(status: u16, description: &str) -> Answer {
    document(status, &json!({"ok": false, "error_code": status, "description": description}))
}
