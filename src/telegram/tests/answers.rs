//! What each answer means: the table of the Bot API's errors, row by row, and what stands before the Bot API.

use super::*;

/// The class of what a refusal means, with its reason.
fn refused(status: u16, description: &str) -> (&'static str, String) {
    let outcome = outcome(refusal(status, description), PATIENT);
    (outcome.class(), outcome.reason().to_owned())
}

fn edited(answer: Answer) -> Outcome {
    of(&Fake::always(answer).url(), &Request::Edit { message_id: 4242, message: message() }, PATIENT)
}

#[test]
fn a_message_that_was_taken_has_an_id() {
    let answers = [(101, fixture("sent_private.json")), (4242, fixture("sent_topic.json")), (55, fixture("sent_channel.json"))];
    for (message_id, text) in answers {
        let answer = Answer::Of(200, "content-type: application/json\r\n", text.into());
        assert_eq!(outcome(answer, PATIENT), Outcome::Sent { message_id });
    }
    let text = fixture("edited.json");
    assert_eq!(edited(Answer::Of(200, "", text.into())), Outcome::Sent { message_id: 4242 });
}

#[test]
fn an_answer_may_be_compressed() {
    use std::io::Write as _;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(fixture("sent_private.json").as_bytes()).unwrap();
    let answer = Answer::Of(200, "content-encoding: gzip\r\n", packed.finish().unwrap());
    assert_eq!(outcome(answer, PATIENT), Outcome::Sent { message_id: 101 });
}

#[test]
fn a_chat_that_takes_nothing_is_parked() {
    let rows = [
        (400, "Bad Request: chat not found"),
        (400, "Bad Request: chat_id is empty"),
        (400, "Bad Request: not enough rights to send text messages to the chat"),
        (400, "Bad Request: need administrator rights in the channel chat"),
        (400, "Bad Request: CHAT_WRITE_FORBIDDEN"),
        (400, "Bad Request: PEER_ID_INVALID"),
        (400, "Bad Request: group chat was upgraded to a supergroup chat"),
        (403, "Forbidden: bot was blocked by the user"),
        (403, "Forbidden: user is deactivated"),
        (403, "Forbidden: bot was kicked from the group chat"),
        (403, "Forbidden: bot was kicked from the supergroup chat"),
        (403, "Forbidden: bot was kicked from the channel chat"),
        (403, "Forbidden: bot is not a member of the channel chat"),
        (403, "Forbidden: the group chat was deleted"),
        (403, "Forbidden: bot can't initiate conversation with a user"),
    ];
    for (status, description) in rows {
        assert_eq!(refused(status, description), ("Parked", format!("{status}: {description}")));
    }
}

#[test]
fn a_message_that_is_never_taken_is_refused() {
    let rows = ["message text is empty", "message is too long", "text is too long", "BUTTON_URL_INVALID", "something new"];
    for row in rows {
        assert_eq!(refused(400, &format!("Bad Request: {row}")).0, "Refused", "{row}");
    }
    assert_eq!(refused(413, "Request Entity Too Large").0, "Refused");
    assert_eq!(refused(400, ""), ("Refused", "400, without a description".to_owned()));
}

#[test]
fn markup_that_cannot_be_read_is_sent_as_plain_text() {
    let rows = [
        "can't parse entities: Character '.' is reserved and must be escaped with the preceding '\\'",
        "can't parse entities: Can't find end of Bold entity at byte offset 0",
        "can't parse entities: Unsupported start tag \"5\" at byte offset 21",
    ];
    for row in rows {
        assert_eq!(refused(400, &format!("Bad Request: {row}")), ("PlainText", format!("400: Bad Request: {row}")));
    }
    // A piece of the text stands in it, and the text is not ours.
    let echo = "Bad Request: can't parse entities: Unsupported start tag \"message is not modified\" at byte offset 0";
    assert_eq!(refused(400, echo).0, "PlainText");
    assert_eq!(refused(400, "Bad Request: message is not modified").0, "Refused", "only an edit can be as good as done");
    // A text that is plain already cannot be made plainer.
    let request = Request::Send(Message { parse_mode: String::new(), ..message() });
    let fake = Fake::always(refusal(400, "Bad Request: can't parse entities: x"));
    assert_eq!(of(&fake.url(), &request, PATIENT).class(), "Refused");
}

#[test]
fn without_the_topic_a_message_goes_to_the_group() {
    for row in ["message thread not found", "TOPIC_CLOSED", "TOPIC_DELETED"] {
        assert_eq!(refused(400, &format!("Bad Request: {row}")).0, "NoThread", "{row}");
    }
    let request = Request::Send(Message { message_thread_id: 0, ..message() });
    let fake = Fake::always(refusal(400, "Bad Request: message thread not found"));
    assert_eq!(of(&fake.url(), &request, PATIENT).class(), "Refused");
}

#[test]
fn a_group_that_became_a_supergroup_has_another_id() {
    let text = fixture("migrated.json");
    assert_eq!(outcome(Answer::Of(400, "", text.into()), PATIENT), Outcome::Migrated { chat_id: -1_001_557_912_345 });
}

#[test]
fn an_edit_may_change_nothing_or_come_too_late() {
    let same = "Bad Request: message is not modified: specified new message content and reply markup are exactly the same as a current content \
                and reply markup of the message";
    assert_eq!(edited(refusal(400, same)), Outcome::Unchanged);
    for row in ["message to edit not found", "message can't be edited", "MESSAGE_ID_INVALID", "MESSAGE_EDIT_TIME_EXPIRED"] {
        assert_eq!(edited(refusal(400, &format!("Bad Request: {row}"))).class(), "Gone", "{row}");
    }
    assert_eq!(refused(400, "Bad Request: message to edit not found").0, "Refused", "of a new message it makes no sense");
}

#[test]
fn too_many_requests_wait_as_they_are_told() {
    let waits = |headers: &'static str, parameters: Value| {
        let body = json!({"ok": false, "error_code": 429, "description": "Too Many Requests: retry after 5", "parameters": parameters});
        match outcome(Answer::Of(429, headers, body.to_string().into_bytes()), PATIENT) {
            Outcome::Wait { seconds, reason } if reason == "429: Too Many Requests: retry after 5" => seconds,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(waits("retry-after: 7\r\n", json!({"retry_after": 5})), 5);
    assert_eq!(waits("", json!({"retry_after": 10_072})), 10_072);
    assert_eq!(waits("retry-after: 7\r\n", json!({})), 7);
    assert_eq!(waits("retry-after: Wed, 21 Oct 2026 07:28:00 GMT\r\n", Value::Null), 1);
    assert_eq!(waits("", json!({"retry_after": 0})), 1);
    assert_eq!(waits("", json!({"retry_after": -3})), 1);
    assert_eq!(waits("", json!({"retry_after": u64::MAX})), 2_592_000, "a number that only an error can be");
    let strange = outcome(Answer::Of(429, "retry-after: 30\r\n", b"<html>slow down</html>".to_vec()), PATIENT);
    assert!(matches!(strange, Outcome::Wait { seconds: 30, .. }), "{strange:?}");
}

#[test]
fn a_wrong_token_or_address_stops_everything() {
    for (status, description) in [
        (401, "Unauthorized"),
        (401, "Unauthorized: invalid token specified"),
        (404, "Not Found"),
        (404, "Not Found: method not found"),
        (421, "Misdirected Request"),
    ] {
        assert_eq!(refused(status, description), ("Stop", format!("{status}: {description}")));
    }
    let page = Answer::Of(404, "content-type: text/html\r\n", b"<html>no such page</html>".to_vec());
    assert_eq!(outcome(page, PATIENT), Outcome::Stop { reason: "status 404 with a body that is not the Bot API's".to_owned() });
}

#[test]
fn a_redirection_is_not_followed() {
    let elsewhere = Fake::always(refusal(400, "Bad Request: chat not found"));
    let location: &'static str = format!("location: {}/bot\r\n", elsewhere.url()).leak();
    for status in [301, 302, 307, 308] {
        let outcome = outcome(Answer::Of(status, location, Vec::new()), PATIENT);
        assert_eq!(outcome.class(), "Stop", "{outcome:?}");
        assert!(outcome.reason().contains("redirections are not followed"), "{outcome:?}");
    }
    assert!(elsewhere.seen().is_empty());
}

#[test]
fn an_error_of_the_server_is_no_error_of_the_message() {
    assert_eq!(refused(500, "Internal Server Error: restart"), ("Retry", "500: Internal Server Error: restart".to_owned()));
    assert_eq!(refused(409, "Conflict").0, "Retry");
    let nginx = fixture("nginx.html");
    for status in [400, 403, 408, 500, 502, 503, 521] {
        let outcome = outcome(Answer::Of(status, "content-type: text/html\r\n", nginx.clone().into()), PATIENT);
        assert_eq!(outcome, Outcome::Retry { reason: format!("status {status} with a body that is not the Bot API's") });
    }
    // Here a gateway handed the request on.
    for status in [504, 520, 524] {
        assert_eq!(outcome(Answer::Of(status, "", nginx.clone().into()), PATIENT).class(), "Unknown");
    }
}

#[test]
fn an_answer_that_says_nothing_of_the_message_leaves_it_unknown() {
    for body in ["", "null", "[]", "{\"ok\": tr", "<html>", "{}", "{\"ok\": 1}", "{\"ok\": true}", "{\"ok\": true, \"result\": true}"] {
        assert_eq!(outcome(Answer::Of(200, "", body.into()), PATIENT).class(), "Unknown", "{body}");
    }
    assert_eq!(outcome(document(200, &json!({"ok": false})), PATIENT).class(), "Unknown");
    assert_eq!(outcome(document(500, &json!({"ok": true, "result": {"message_id": 1}})), PATIENT).class(), "Unknown");
    // The document's own code counts where the status says nothing.
    let inside = json!({"ok": false, "error_code": 403, "description": "Forbidden: bot was blocked by the user"});
    assert_eq!(outcome(document(200, &inside), PATIENT).class(), "Parked");
}

#[test]
fn what_is_said_is_short_on_one_line_and_without_the_token() {
    let secret = TOKEN.split_once(':').unwrap().1;
    let said = format!("Bad Request: a\nb\u{1b}[31m\u{202E} {TOKEN} and {secret} {}", "x".repeat(1000));
    let (class, reason) = refused(400, &said);
    assert_eq!(class, "Refused");
    assert!(reason.starts_with("400: Bad Request: a b [31m  *** and *** xxx"), "{reason}");
    assert!(reason.chars().count() < 220, "{reason}");
}
