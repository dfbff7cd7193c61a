//! The registry's client against a registry on loopback that answers as the tests say.

mod answers;
mod engine;
mod fake;
mod secrets;
mod tls;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::{ConfluentOptions, ConfluentRegistry};
use crate::avro::{Guid, Registry, RegistryError, Schema, SchemaId, SchemaKey};
use fake::{Answer, Fake, Request};

const TEXT: &str = r#"{"type":"record","name":"r","fields":[{"type":"long","name":"a"}]}"#;

fn schema() -> Schema {
    Schema::parse(TEXT).unwrap()
}

fn client(fake: &Fake) -> ConfluentRegistry {
    ConfluentRegistry::new(&ConfluentOptions::new(fake.url())).unwrap()
}

/// One whose requests may take so long.
fn hasty(fake: &Fake, timeout: Duration) -> ConfluentRegistry {
    ConfluentRegistry::new(&ConfluentOptions { timeout, ..ConfluentOptions::new(fake.url()) }).unwrap()
}

/// Answers every look-up with the schema.
fn found(_: &Request) -> Answer {
    fake::json(200, &json!({ "schema": TEXT }))
}

/// An error with its causes on one line.
fn said(error: &RegistryError) -> String {
    crate::streams::task::chain(error)
}

#[test]
fn a_schema_is_registered_once_and_known_from_then_on() {
    let fake = Fake::start(|_| fake::json(200, &json!({ "id": 7 })));
    let registry = client(&fake);
    assert_eq!(registry.register("x-value", &schema()).unwrap(), SchemaId(7));
    assert_eq!(registry.register("x-value", &schema()).unwrap(), SchemaId(7));
    assert_eq!(registry.schema(SchemaId(7)).unwrap().as_deref(), Some(&schema()));
    let seen = fake.seen();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].line, "POST /subjects/x-value/versions");
    let body: serde_json::Value = serde_json::from_str(&seen[0].body).unwrap();
    assert_eq!(body, json!({ "schema": TEXT, "schemaType": "AVRO" }));
    assert!(seen[0].headers.contains("application/vnd.schemaregistry.v1+json"), "{}", seen[0].headers);
    registry.register("a/b?c", &schema()).unwrap();
    assert_eq!(fake.lines(), ["POST /subjects/a%2Fb%3Fc/versions"]);
}

#[test]
fn an_id_and_a_guid_are_looked_up_once() {
    let fake = Fake::start(found);
    let registry = client(&fake);
    for _ in 0..2 {
        assert_eq!(registry.schema(SchemaId(3)).unwrap().as_deref(), Some(&schema()));
        assert_eq!(registry.resolve(SchemaKey::Id(SchemaId(3))).unwrap().as_deref(), Some(&schema()));
        assert_eq!(registry.schema_by_guid(Guid([1; 16])).unwrap().as_deref(), Some(&schema()));
    }
    assert_eq!(fake.lines(), ["GET /schemas/ids/3?deleted=true", "GET /schemas/guids/01010101-0101-0101-0101-010101010101?deleted=true"]);
}

#[test]
fn versions_of_a_subject() {
    let fake = Fake::start(|request| match request.line.as_str() {
        "GET /subjects/x-value/versions/latest" => fake::json(200, &json!({ "subject": "x-value", "version": 4, "id": 9, "schema": TEXT })),
        "GET /subjects/x-value/versions" => fake::json(200, &json!([1, 4])),
        _ => fake::error(404, 40401),
    });
    let registry = client(&fake);
    let latest = registry.latest("x-value").unwrap().unwrap();
    assert_eq!((latest.id, latest.version, &*latest.schema), (SchemaId(9), 4, &schema()));
    assert_eq!(registry.versions("x-value").unwrap(), [1, 4]);
    assert_eq!(registry.latest("y-value").unwrap(), None);
    assert!(matches!(registry.versions("y-value"), Err(RegistryError::NotFound(subject)) if subject == "y-value"));
    fake.seen();
    registry.schema(SchemaId(9)).unwrap();
    assert_eq!(fake.lines(), [""; 0], "it came with the latest version");
}

#[test]
fn compatibility_is_the_registrys_to_say() {
    let fake = Fake::start(|request| match request.line.as_str() {
        "POST /compatibility/subjects/good/versions/latest?verbose=true" => fake::json(200, &json!({ "is_compatible": true })),
        "POST /compatibility/subjects/bad/versions/latest?verbose=true" => {
            fake::json(200, &json!({ "is_compatible": false, "messages": ["field a", "is\ngone"] }))
        }
        _ => fake::error(404, 40401),
    });
    let registry = client(&fake);
    registry.compatible("good", &schema()).unwrap();
    registry.compatible("new", &schema()).unwrap();
    let error = registry.compatible("bad", &schema()).unwrap_err();
    assert_eq!(said(&error), "the schema registry refuses the schema for bad as incompatible: field a; is gone");
}

#[test]
fn settings_that_cannot_be_are_refused_before_anything_is_asked() {
    let settings = |url: &str| ConfluentOptions::new(url);
    let wrong = [
        (settings("registry:8081"), "its URL must begin with http:// or https:// and name a host"),
        (settings("not a url"), "its URL is none: relative URL without a base"),
        (settings("http://registry/?a=b"), "its URL must end with the path, without ? and #"),
        (ConfluentOptions { password: Some("x".into()), ..settings("http://registry") }, "a password needs a username"),
        (
            ConfluentOptions { username: Some("x".into()), ..settings("http://a:b@registry") },
            "user and password are in its URL and beside it: leave one out",
        ),
        (
            ConfluentOptions { ca: Some("/nonesuch.pem".into()), ..settings("https://registry") },
            "/nonesuch.pem cannot be used as `ca`: a PEM file with certificates is wanted",
        ),
    ];
    for (options, expected) in wrong {
        let error = ConfluentRegistry::new(&options).unwrap_err();
        assert_eq!(error.to_string(), format!("the settings of the schema registry are wrong: {expected}"));
    }
}

#[test]
fn it_may_be_used_and_dropped_on_a_thread_of_another_runtime() {
    let fake = Fake::start(found);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let registry: Arc<dyn Registry> = Arc::new(client(&fake));
        assert!(registry.schema(SchemaId(1)).unwrap().is_some());
    });
}
