//! Fuzz targets: what YouTube answers, what people paste, what the poller remembers.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::Response;
use secrecy::SecretString;

use super::problem::{Problem, Subject};
use super::{Client, Options, answer, ids};
use crate::fuzzing::input::part;

/// The key of the targets' client: no problem may repeat it.
const KEY: &str = "AIzaSyA-secret-of-the-fuzzer";

/// The longest text of a problem, in bytes: so much of what YouTube says is repeated, and words of our own.
const PROBLEM_BYTES_MAX: usize = 4096;

fn client() -> &'static Client {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    CLIENT.get_or_init(|| {
        let options = Options {
            base_url: "https://example.org/youtube/v3".to_owned(),
            api_key: SecretString::from(KEY),
            timeout: Duration::from_secs(10),
            user_agent: String::new(),
        };
        Client::new(&options).unwrap_or_else(|problem| panic!("{problem}"))
    })
}

/// An answer to each kind of request: status, `Retry-After`, body.
pub(crate) fn answers(mut input: &[u8]) {
    let Some((&status, rest)) = input.split_first() else { return };
    input = rest;
    // Often enough the one that brings a document.
    let status = if status < 128 { 200 } else { 100 + u16::from(status) * 4 % 500 };
    let retry_after = part(&mut input);
    let text = String::from_utf8_lossy(input);
    let pasted = [ids::playlist(&text).is_ok_and(|id| !ids::is_id(&id)), ids::video(&text).is_ok_and(|id| !ids::is_id(&id))];
    assert_eq!(pasted, [false; 2], "an id with characters that no id has");
    drop(ids::channel(&text));
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else { return };
    for subject in [Subject::Other, Subject::List("PLx")] {
        let mut answer = hyper::Response::builder().status(status);
        if let Ok(value) = reqwest::header::HeaderValue::from_bytes(retry_after) {
            answer = answer.header(reqwest::header::RETRY_AFTER, value);
        }
        let Ok(answer) = answer.body(input.to_vec()) else { return };
        let document = match runtime.block_on(client().document("videos", subject, Response::from(answer))) {
            Ok(document) => document,
            Err(problem) => return check(&problem),
        };
        read(&document);
    }
}

fn read(document: &serde_json::Value) {
    let client = client();
    match client.read(document, answer::videos) {
        Ok(videos) => {
            for video in videos {
                assert!(ids::is_id(&video.id));
                assert!([video.views, video.likes, video.comments].into_iter().flatten().all(|count| i64::try_from(count).is_ok()));
            }
        }
        Err(problem) => check(&problem),
    }
    match client.read(document, answer::page) {
        Ok(page) => assert!(page.items.iter().all(|item| ids::is_id(&item.video_id))),
        Err(problem) => check(&problem),
    }
    match client.read(document, answer::channel) {
        Ok(channel) => assert!(channel.is_none_or(|channel| ids::is_id(&channel.id))),
        Err(problem) => check(&problem),
    }
}

fn check(problem: &Problem) {
    let text = problem.to_string();
    assert!(!text.is_empty() && text.len() <= PROBLEM_BYTES_MAX, "{} bytes", text.len());
    assert!(!text.contains(|c: char| c.is_control()), "{text:?}");
    if let super::Action::BackOff { at_least } = problem.action() {
        assert!(at_least <= Duration::from_secs(86_400), "{at_least:?}");
    }
    drop(problem.clone().without(KEY));
}

/// Records of the poller's state topic: keys and values by turns. What is remembered of them comes back as it was written.
pub(crate) fn memory(input: &[u8]) {
    super::poller::fuzz(input);
}
