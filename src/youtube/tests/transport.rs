//! What goes wrong on the way: no connection, no answer in time, half an answer, another answer; and that nothing of it shows the key.

use std::io::Write;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing_subscriber::fmt::MakeWriter;

use super::*;

/// Waits for an answer that will not come; long enough for one that will.
const SHORT: Duration = Duration::from_millis(300);

async fn asked(answer: Answer, timeout: Duration) -> Problem {
    let fake = Fake::saying(answer);
    let client = Client::new(&Options { timeout, ..options(fake.url()) }).unwrap();
    client.videos(&["a"]).await.unwrap_err()
}

fn head(length: usize) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn no_answer_in_time() {
    let problem = asked(Answer::Slow(Vec::new()), SHORT).await;
    assert_eq!(problem, Problem::TimedOut { after: SHORT });
    assert_eq!(problem.to_string(), "YouTube did not answer within 0.3 s");
    // The head came in time, the body does not end.
    let mut slow = head(100);
    slow.extend_from_slice(b"{\"items\": [");
    assert_eq!(asked(Answer::Slow(slow), SHORT).await, Problem::TimedOut { after: SHORT });
    assert_eq!(problem.action(), Action::Retry);
}

#[tokio::test]
async fn half_an_answer() {
    let mut cut = head(100);
    cut.extend_from_slice(b"{\"items\": [");
    let problem = asked(Answer::Cut(cut), Duration::from_secs(30)).await;
    assert_eq!(problem.action(), Action::Retry, "{problem}");
    // Half a document whose length is right.
    let problem = asked(json("{\"items\": [{\"id\": \"a\"}, {\"id\""), Duration::from_secs(30)).await;
    assert_eq!(problem, Problem::Garbled { what: "29 bytes that are no JSON (line 1, column 29)".to_owned() });
    assert_eq!(problem.action(), Action::Retry);
    let problem = asked(json("<html><body>Sign in to the network</body></html>"), Duration::from_secs(30)).await;
    assert!(matches!(problem, Problem::Garbled { .. }), "{problem}");
    // It says that it is packed, and is not.
    let answer = Answer::Of(200, "content-encoding: gzip\r\n".to_owned(), b"{\"items\": []}".to_vec());
    let problem = asked(answer, Duration::from_secs(30)).await;
    assert_eq!(problem.action(), Action::Retry, "{problem}");
}

#[tokio::test]
async fn nobody_there() {
    let fake = Fake::saying(json("{}"));
    let client = client(&fake);
    drop(fake);
    let problem = client.videos(&["a"]).await.unwrap_err();
    assert!(matches!(problem, Problem::Unreachable { .. }), "{problem}");
    assert!(problem.to_string().contains("refused"), "{problem}");
    assert_eq!(problem.action(), Action::Retry);
}

#[tokio::test]
async fn an_answer_without_end() {
    let fake = Fake::start(|_| {
        let mut bytes = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
        bytes.resize(9 << 20, b' ');
        Answer::Cut(bytes)
    });
    let problem = client(&fake).videos(&["a"]).await.unwrap_err();
    assert_eq!(problem, Problem::Garbled { what: "it is longer than 8 MiB".to_owned() });
    // Of an error only the beginning is read.
    let body = format!("<html>{}</html>", "x".repeat(1 << 20)).into_bytes();
    let fake = Fake::saying(Answer::Of(502, String::new(), body));
    assert_eq!(client(&fake).videos(&["a"]).await.unwrap_err().action(), Action::Retry);
}

#[tokio::test]
async fn a_redirection_is_not_followed() {
    let other = Fake::saying(json(r#"{"items": []}"#));
    for (status, action) in [
        (301, Action::Fatal),
        (308, Action::Fatal),
        (302, Action::BackOff { at_least: Duration::from_secs(600) }),
        (307, Action::BackOff { at_least: Duration::from_secs(600) }),
    ] {
        let location = format!("location: {}/elsewhere?key={CANARY}\r\n", other.url());
        let fake = Fake::saying(Answer::Of(status, location, Vec::new()));
        let problem = client(&fake).videos(&["a"]).await.unwrap_err();
        let expected = format!("YouTube's address answers with a redirection ({status}), which is not followed");
        assert_eq!((problem.to_string(), problem.action()), (expected, action));
        assert!(problem.hint().unwrap().contains("base_url"));
    }
    assert_eq!(other.seen().len(), 0);
}

/// What is logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_error_no_debug_text_and_no_log_line_holds_the_key() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(lines.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    // Tests beside this one, where nobody listens, may have been asked first.
    tracing::callsite::rebuild_interest_cache();
    // The worst of all servers: it repeats what it was sent, wherever it can.
    let error = |reason: &str| {
        let said = format!(r#"{{"message": "you said {CANARY}", "domain": "{CANARY}", "reason": "{reason}"}}"#);
        format!(r#"{{"error": {{"message": "you said {CANARY}", "errors": [{said}], "details": [{said}]}}}}"#)
    };
    let mut answers = vec![
        json(&format!(r#"{{"items": [{{"id": "{CANARY}", "statistics": {{"viewCount": "{CANARY}"}}}}]}}"#)),
        json(CANARY),
        Answer::Cut(format!("HTTP/1.1 200 {CANARY}\r\ncontent-length: 99\r\n\r\n{CANARY}").into_bytes()),
        Answer::Cut(CANARY.as_bytes().to_vec()),
        Answer::Of(302, format!("location: https://{CANARY}/\r\n"), Vec::new()),
        Answer::Slow(Vec::new()),
    ];
    for status in [400, 401, 403, 404, 418, 429, 500, 503] {
        for reason in [CANARY, "API_KEY_INVALID", "quotaExceeded", "rateLimitExceeded", "playlistNotFound", "backendError", "x"] {
            answers.push(Answer::Of(status, format!("retry-after: {CANARY}\r\n"), error(reason).into_bytes()));
        }
    }
    for answer in answers {
        // Tests beside this one may have found a moment ago that nobody listens.
        tracing::callsite::rebuild_interest_cache();
        let fake = Fake::saying(answer);
        let options = Options { timeout: SHORT, ..options(fake.url()) };
        let client = Client::new(&options).unwrap();
        let mut texts = vec![format!("{options:?} {client:?}")];
        let mut note = |problem: Problem| texts.push(format!("{problem} {problem:?} {:?}", problem.hint()));
        client.playlist_items("PL", None).await.map(drop).map_err(&mut note).unwrap_or_default();
        client.channel_by_handle("x").await.map(drop).map_err(&mut note).unwrap_or_default();
        assert!(texts.iter().all(|text| !text.contains(CANARY)), "{texts:?}");
    }
    let logged = String::from_utf8(lines.0.lock().clone()).unwrap();
    assert!(logged.contains("YouTube answered") && logged.contains("gave no answer"), "{logged}");
    assert!(!logged.contains(CANARY), "{}", logged.lines().find(|line| line.contains(CANARY)).unwrap());
}
