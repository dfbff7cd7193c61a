//! The client against a real schema registry.

use serde_json::json;
use tidewatch::avro::{ConfluentOptions, ConfluentRegistry, Guid, Registry as _, RegistryError, Schema, SchemaId, SchemaKey};

use crate::real::registry::Registry;
use crate::real::unique;

/// Lets the subject take only schemas that read what was written: not every registry does so unasked.
fn be_backward(url: &str, subject: &str) {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap_or((url.trim_start_matches("http://"), ""));
    let request = format!("PUT /{path}{}config/{subject}", if path.is_empty() { "" } else { "/" });
    let (status, body) = crate::http::ask(&format!("http://{host}"), &request, &json!({ "compatibility": "BACKWARD" }).to_string());
    assert_eq!(status, 200, "{body}");
}

fn record(kind: &str) -> Schema {
    Schema::parse(&format!(r#"{{"type":"record","name":"r","doc":"A record.","fields":[{{"name":"a","type":{kind}}}]}}"#)).unwrap()
}

#[test]
fn a_real_registry_takes_gives_and_refuses() {
    let Some(real) = Registry::shared() else { return };
    let (url, subject) = (real.url(), format!("{}-value", unique("client")));
    let connect = || ConfluentRegistry::new(&ConfluentOptions::new(&url)).unwrap();
    let registry = connect();

    assert_eq!(registry.latest(&subject).unwrap(), None);
    assert!(matches!(registry.versions(&subject), Err(RegistryError::NotFound(_))));
    registry.compatible(&subject, &record("\"int\"")).unwrap();
    let id = registry.register(&subject, &record("\"int\"")).unwrap();
    assert_eq!(connect().register(&subject, &record("\"int\"")).unwrap(), id, "registering is idempotent");
    assert_eq!(connect().schema(id).unwrap().as_deref(), Some(&record("\"int\"")));
    assert!(connect().resolve(SchemaKey::Id(id)).is_ok_and(|found| found.is_some()));
    let latest = connect().latest(&subject).unwrap().unwrap();
    assert_eq!((latest.id, latest.version, &*latest.schema), (id, 1, &record("\"int\"")));

    assert_eq!(connect().schema(SchemaId(2_000_000_000)).unwrap(), None);
    assert!(matches!(connect().schema_by_guid(Guid([7; 16])), Ok(None) | Err(RegistryError::NoGuids { .. })));
    be_backward(&url, &subject);
    let invalid =
        Schema::parse(r#"{"type":"record","name":"r","fields":[{"name":"a","type":"string"},{"name":"b","type":"int"}]}"#).unwrap();
    let error = registry.compatible(&subject, &invalid).unwrap_err();
    assert!(matches!(&error, RegistryError::Conflict { .. }), "{error:?}");
    let error = registry.register(&subject, &invalid).unwrap_err();
    assert!(matches!(&error, RegistryError::Conflict { .. }) && error.to_string().contains(&subject), "{error:?}");
    registry.compatible(&subject, &record("\"long\"")).unwrap();
    registry.register(&subject, &record("\"long\"")).unwrap();
    assert_eq!(registry.versions(&subject).unwrap(), [1, 2]);
}
