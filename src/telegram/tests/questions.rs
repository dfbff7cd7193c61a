//! `getMe`, `getUpdates`, `getWebhookInfo`, and why they have no answer.

use super::*;

fn me(answer: Answer) -> Result<Me, Failure> {
    let me = run(client(&Fake::always(answer).url(), PATIENT).get_me());
    if let Err(failure) = &me {
        assert_clean(&format!("{failure} {failure:?} {}", failure.hint()).replace("telegram-bot-api", ""));
    }
    me
}

#[test]
fn the_bot_knows_who_it_is() {
    let text = fixture("me.json");
    let bot = Me { id: 7_000_000_001, name: "River Watcher".to_owned(), username: Some("river_watcher_demo_bot".to_owned()) };
    let fake = Fake::always(Answer::Of(200, "", text.into()));
    assert_eq!(run(client(&fake.url(), PATIENT).get_me()), Ok(bot));
    assert_eq!(fake.seen()[0].line, format!("POST /bot{TOKEN}/getMe"));
}

#[test]
fn why_there_is_no_answer_is_said_with_what_to_do() {
    let failed = |answer| me(answer).unwrap_err();
    assert_eq!(failed(refusal(401, "Unauthorized")), Failure::Token { reason: "401: Unauthorized".to_owned() });
    assert!(matches!(failed(refusal(404, "Not Found")), Failure::Place { .. }));
    assert!(matches!(failed(Answer::Of(302, "location: http://127.0.0.1:1/\r\n", Vec::new())), Failure::Place { .. }));
    assert_eq!(failed(Answer::Of(429, "retry-after: 5\r\n", Vec::new())), Failure::Wait { seconds: 5 });
    assert!(matches!(failed(refusal(500, "Internal Server Error: restart")), Failure::Unavailable { .. }));
    assert!(matches!(failed(Answer::Of(502, "", b"<html>".to_vec())), Failure::Unavailable { .. }));
    assert!(matches!(failed(Answer::Close), Failure::Unavailable { .. }));
    assert!(matches!(failed(Answer::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_vec())), Failure::Unavailable { .. }));
    for body in ["<html>", "{\"ok\":true}", "{\"ok\":true,\"result\":{}}", "{\"ok\":false}"] {
        assert!(matches!(failed(Answer::Of(200, "", body.into())), Failure::Refused { .. }), "{body}");
    }
    assert!(failed(Answer::Close).is_temporary() && !failed(refusal(401, "Unauthorized")).is_temporary());
}

#[test]
fn updates_are_asked_for_without_confirming_them() {
    let fake = Fake::always(document(200, &json!({"ok": true, "result": [{"update_id": 1}]})));
    let client = client(&fake.url(), PATIENT);
    assert_eq!(run(client.get_updates(None, 100, Duration::ZERO)), Ok(vec![json!({"update_id": 1})]));
    assert_eq!(run(client.get_updates(Some(5), 0, Duration::from_secs(2))), Ok(vec![json!({"update_id": 1})]));
    let seen = fake.seen();
    assert_eq!(seen[0].line, format!("POST /bot{TOKEN}/getUpdates"));
    assert_eq!(seen[0].body, json!({"limit": 100, "timeout": 0}));
    assert_eq!(seen[1].body, json!({"limit": 1, "timeout": 2, "offset": 5}));
    let conflict = "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first";
    let conflicting = Fake::always(refusal(409, conflict));
    let failure = run(super::client(&conflicting.url(), PATIENT).get_updates(None, 100, Duration::ZERO)).unwrap_err();
    assert_eq!(failure, Failure::Conflict { reason: format!("409: {conflict}") });
}

#[test]
fn of_a_webhook_only_the_host_is_kept() {
    let info =
        |result: Value| run(client(&Fake::always(document(200, &json!({"ok": true, "result": result}))).url(), PATIENT).get_webhook_info());
    assert_eq!(info(json!({"url": "", "pending_update_count": 3})), Ok(Webhook { host: None, pending: 3 }));
    let set = json!({"url": "https://example.org/hook/s3cr3t", "has_custom_certificate": false, "pending_update_count": 0});
    assert_eq!(info(set), Ok(Webhook { host: Some("example.org".to_owned()), pending: 0 }));
}
