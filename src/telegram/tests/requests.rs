//! What is asked for: where, with which parameters, and who is told nothing of the token.

use super::*;
use crate::config::DEFAULT_BOT_API;

/// What arrives for a request.
fn arrived(request: &Request) -> fake::Asked {
    let fake = Fake::always(document(200, &json!({"ok": true, "result": {"message_id": 1}})));
    assert_eq!(of(&fake.url(), request, PATIENT), Outcome::Sent { message_id: 1 });
    let mut seen = fake.seen();
    assert_eq!(seen.len(), 1);
    seen.remove(0)
}

#[test]
fn only_what_is_set_is_sent() {
    let plain =
        Message { chat_id: "123456789".to_owned(), text: "Likes changed: 412 => 415. Streams & Tables".to_owned(), ..Message::default() };
    let asked = arrived(&Request::Send(plain));
    assert_eq!(asked.line, format!("POST /bot{TOKEN}/sendMessage"));
    assert_eq!(asked.body, json!({"chat_id": "123456789", "text": "Likes changed: 412 => 415. Streams & Tables"}));
    assert!(asked.headers.contains("content-type: application/json"), "{}", asked.headers);
    assert!(asked.headers.contains("accept-encoding: gzip"), "{}", asked.headers);
    assert!(asked.headers.contains(concat!("user-agent: tidewatch/", env!("CARGO_PKG_VERSION"))), "{}", asked.headers);
}

#[test]
fn what_is_set_is_sent_as_telegram_names_it() {
    let all = Message { disable_notification: true, disable_web_page_preview: true, ..message() };
    assert_eq!(
        arrived(&Request::Send(all.clone())).body,
        json!({
            "chat_id": "-1001234567890", "message_thread_id": 17, "text": "Likes <b>412</b>", "parse_mode": "HTML", "disable_notification": true,
            "link_preview_options": {"is_disabled": true}
        })
    );
    let asked = arrived(&Request::Edit { message_id: 4242, message: all });
    assert_eq!(asked.line, format!("POST /bot{TOKEN}/editMessageText"));
    assert_eq!(
        asked.body,
        json!({
            "chat_id": "-1001234567890", "message_id": 4242, "text": "Likes <b>412</b>", "parse_mode": "HTML",
            "link_preview_options": {"is_disabled": true}
        })
    );
}

#[test]
fn an_address_may_have_a_path() {
    let fake = Fake::always(document(200, &json!({"ok": true, "result": {"message_id": 1}})));
    of(&format!("{}/telegram/", fake.url()), &Request::Send(message()), PATIENT);
    assert_eq!(fake.seen()[0].line, format!("POST /telegram/bot{TOKEN}/sendMessage"));
}

#[test]
fn a_client_is_not_made_of_what_is_no_token_and_no_address() {
    let build = |base_url: &str, token: &str| {
        let options = Options { base_url: base_url.to_owned(), token: SecretString::from(token), timeout: PATIENT };
        assert_clean(&format!("{options:?}"));
        let error = Client::new(&options).unwrap_err();
        assert_clean(&format!("{error:?}"));
        error
    };
    let split = TOKEN.replace(':', "/");
    assert_eq!(build(DEFAULT_BOT_API, &split), BuildError::Token("it has no colon"));
    assert!(build(DEFAULT_BOT_API, &split).to_string().starts_with("the bot's token is none: it has no colon; it looks like"));
    assert!(matches!(build(&format!("https://{TOKEN}@h"), TOKEN), BuildError::BaseUrl(_)));
    assert!(matches!(build("https://[::1", TOKEN), BuildError::BaseUrl("it cannot be read")));
}

#[test]
fn the_token_is_shown_by_nothing() {
    assert_clean(&format!("{:?}", client(DEFAULT_BOT_API, PATIENT)));
}
