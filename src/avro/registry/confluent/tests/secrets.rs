//! The password is where it must be, and nowhere else.

use super::*;

const CANARY: &str = "canary-4711";

/// Basic authentication for `me` and the canary.
const HEADER: &str = "authorization: Basic bWU6Y2FuYXJ5LTQ3MTE=";

fn settings(fake: &Fake) -> [ConfluentOptions; 2] {
    let beside = ConfluentOptions { username: Some("me".to_owned()), password: Some(CANARY.into()), ..ConfluentOptions::new(fake.url()) };
    let within = ConfluentOptions::new(format!("http://me:canary%2D4711@{}", fake.listener.address()));
    [beside, within]
}

#[test]
fn each_request_carries_the_credentials() {
    let fake = Fake::start(|request| match request.line.as_str() {
        line if line.starts_with("POST /compatibility") => fake::json(200, &json!({ "is_compatible": true })),
        line if line.ends_with("versions") && line.starts_with("GET") => fake::json(200, &json!([1])),
        _ => fake::json(200, &json!({ "id": 1, "version": 1, "schema": TEXT })),
    });
    for options in settings(&fake) {
        let registry = ConfluentRegistry::new(&options).unwrap();
        registry.compatible("x", &schema()).unwrap();
        registry.latest("x").unwrap();
        registry.versions("x").unwrap();
        registry.schema(SchemaId(2)).unwrap();
        registry.register("x", &schema()).unwrap();
        let seen = fake.seen();
        assert_eq!(seen.len(), 5);
        assert!(seen.iter().all(|request| request.headers.contains(HEADER)), "{seen:?}");
    }
}

#[test]
fn no_error_and_no_debug_text_holds_the_password() {
    // The worst registry: it repeats what it was sent.
    let echo =
        |status: u16| move |_: &Request| fake::json(status, &json!({ "error_code": 42201, "message": format!("you said {CANARY}") }));
    let fake = Fake::start(echo(500));
    for options in settings(&fake) {
        let registry = ConfluentRegistry::new(&options).unwrap();
        let mut texts = vec![format!("{options:?} {registry:?} {:?} {:?}", registry.client, registry.lookups)];
        let mut note = |error: RegistryError| texts.push(format!("{} {error:?}", said(&error)));
        for status in [500, 401, 409, 422, 302, 404] {
            fake.answer(echo(status));
            note(registry.schema(SchemaId(1)).unwrap_err());
            note(registry.register("x", &schema()).unwrap_err());
            note(registry.compatible("x", &schema()).unwrap_err());
            note(registry.latest("x").unwrap_err());
        }
        fake.answer(|_| Answer::Raw("nonsense".to_owned()));
        note(registry.versions("x").unwrap_err());
        note(registry.compatible("x", &schema()).unwrap_err());
        for text in texts {
            assert!(!text.contains(CANARY) && !text.contains("canary%2D") && !text.contains("me:canary"), "{text}");
        }
    }
    for url in ["http://me:canary-4711@registry:99999", "http://me:canary-4711@", "me:canary-4711", "http://me:canary-4711@r/?x"] {
        let error = ConfluentRegistry::new(&ConfluentOptions::new(url)).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(CANARY), "{error}");
    }
}

#[test]
fn a_redirection_is_not_followed() {
    let other = Fake::start(found);
    let target = format!("HTTP/1.1 307 Fake\r\nlocation: {}/elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", other.url());
    let fake = Fake::start(move |_| Answer::Raw(target.clone()));
    let registry = client(&fake);
    registry.schema(SchemaId(1)).unwrap_err();
    registry.compatible("x", &schema()).unwrap_err();
    assert_eq!(other.lines(), [""; 0]);
}
