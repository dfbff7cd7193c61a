//! What goes wrong on the way: before anything was written, and after.

use std::net::TcpListener;

use super::*;

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 40\r\n\r\n";

/// The outcome of a request to `url`.
fn at(url: &str, timeout: Duration) -> Outcome {
    of(url, &Request::Send(message()), timeout)
}

#[test]
fn where_nobody_listens_nothing_was_sent() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let outcome = at(&format!("http://127.0.0.1:{port}"), PATIENT);
    assert_eq!(outcome.class(), "Retry");
    assert!(outcome.reason().starts_with("no connection: "), "{outcome:?}");
    assert_eq!(at("http://no-such-host.invalid", PATIENT).class(), "Retry");
}

#[test]
fn a_time_out_of_the_connection_comes_before_the_request() {
    // It is accepted by the kernel, and nobody ever answers the first message of TLS.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let outcome = at(&format!("https://127.0.0.1:{}", silent.local_addr().unwrap().port()), IMPATIENT);
    assert_eq!(outcome.class(), "Retry", "{outcome:?}");
}

#[test]
fn a_server_that_does_not_speak_tls_got_nothing() {
    let fake = Fake::always(Answer::Close);
    let outcome = at(&fake.url().replace("http://", "https://"), PATIENT);
    assert_eq!(outcome.class(), "Retry", "{outcome:?}");
}

#[test]
fn a_time_out_after_the_request_is_unknown() {
    let fake = Fake::always(Answer::Slow(Vec::new()));
    let outcome = at(&fake.url(), IMPATIENT);
    assert_eq!(outcome.class(), "Unknown");
    assert!(outcome.reason().starts_with("no answer came in time"), "{outcome:?}");
    assert_eq!(fake.seen().len(), 1, "it was read, and sent once");
}

#[test]
fn a_connection_that_is_cut_or_reset_is_unknown() {
    for answer in [Answer::Close, Answer::Reset, Answer::Raw(b"HTTP/1.1 20".to_vec()), Answer::Raw(b"SSH-2.0-x\r\n\r\n".to_vec())] {
        let outcome = outcome(answer.clone(), PATIENT);
        assert_eq!(outcome.class(), "Unknown", "{answer:?}: {outcome:?}");
        assert!(outcome.reason().starts_with("the connection broke before there was an answer"), "{outcome:?}");
    }
}

#[test]
fn half_a_body_is_unknown() {
    let cut = outcome(Answer::Raw(format!("{HEAD}{{\"ok\":true,").into_bytes()), PATIENT);
    assert_eq!(cut, Outcome::Unknown { reason: "status 200, but its body broke off".to_owned() });
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"ok\"\r\n";
    assert_eq!(outcome(Answer::Raw(chunked.into()), PATIENT).class(), "Unknown");
    // The end of the connection is the end of the body here: it is whole, but half a document.
    let until_close = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"ok\":true,\"result\":{\"message_id\":1}";
    assert_eq!(outcome(Answer::Raw(until_close.into()), PATIENT).class(), "Unknown");
}

#[test]
fn half_a_body_does_not_hide_what_the_status_says() {
    let head =
        |status: &str, header: &str| format!("HTTP/1.1 {status} X\r\n{header}content-length: 100\r\n\r\n{{\"ok\":false").into_bytes();
    assert_eq!(outcome(Answer::Raw(head("502", "")), PATIENT).class(), "Retry");
    assert_eq!(outcome(Answer::Raw(head("400", "")), PATIENT).class(), "Retry", "why it was refused is not known: it can be asked again");
    let wait = outcome(Answer::Raw(head("429", "retry-after: 9\r\n")), PATIENT);
    assert!(matches!(wait, Outcome::Wait { seconds: 9, .. }), "{wait:?}");
}

#[test]
fn a_slow_body_is_ended_by_the_time_out() {
    let slow = outcome(Answer::Slow(format!("{HEAD}{{\"ok\":true,").into_bytes()), IMPATIENT);
    assert_eq!(slow, Outcome::Unknown { reason: "status 200, but its body did not come in time".to_owned() });
}

#[test]
fn a_body_that_is_too_long_is_not_read() {
    let mut huge = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"ok\":true,\"result\":{\"message_id\":1,\"text\":\"".to_vec();
    huge.resize((1 << 20) + 1000, b'x');
    huge.extend_from_slice(b"\"}}");
    let outcome = outcome(Answer::Raw(huge), PATIENT);
    assert_eq!(outcome, Outcome::Unknown { reason: "status 200, but its body is longer than 1048576 bytes".to_owned() });
}

#[test]
fn a_small_body_that_unpacks_to_a_large_one_is_not_read() {
    use std::io::Write as _;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&vec![b' '; 4 << 20]).unwrap();
    let outcome = outcome(Answer::Of(200, "content-encoding: gzip\r\n", packed.finish().unwrap()), PATIENT);
    assert!(outcome.reason().contains("is longer than"), "{outcome:?}");
}
