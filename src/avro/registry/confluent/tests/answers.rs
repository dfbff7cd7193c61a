//! Every answer that is not the wished one: what is an outage, what is a refusal, what is simply not there.

use super::*;
use crate::avro::{Aliases, AvroDeserializer, Row};
use crate::streams::clock::Timestamp;
use crate::streams::log::{Headers, HeadersBuf, Offset, RecordRef};
use crate::streams::processor::{Deserializer as _, SerdeError};

/// Asks for a schema; the cause of the outage that it must be.
#[track_caller]
fn outage(registry: &ConfluentRegistry) -> String {
    let error = registry.schema(SchemaId(1)).unwrap_err();
    assert!(matches!(error, RegistryError::Unavailable { .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("the schema registry is unavailable: looking up schema 1 at {}", registry.client.place()));
    std::error::Error::source(&error).unwrap().to_string()
}

#[test]
fn an_outage_of_any_kind_is_one_and_ends() {
    let html = "<html>oops</html>".to_owned();
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"schema\": \"{\\\"ty";
    let answers = [
        (fake::error(500, 50001), "it answers with status 500: so says the registry with 50001"),
        (Answer::Of(500, html.clone()), "it answers with status 500"),
        (Answer::Of(503, html.clone()), "it answers with status 503"),
        (Answer::Of(429, String::new()), "it is asked too often (429)"),
        (fake::error(401, 40101), "it refuses the credentials (401): check its user and password and what they may do"),
        (Answer::Of(403, html.clone()), "it refuses the credentials (403): check its user and password and what they may do"),
        (Answer::Of(302, String::new()), "it answers with a redirection (302), which is not followed: name the final URL"),
        (Answer::Of(404, html.clone()), "there is no schema registry (404): is the path of its URL right?"),
        (fake::error(404, 404), "there is no schema registry (404): is the path of its URL right?"),
        (fake::error(422, 42202), "it refuses the look-up: so says the registry with 42202"),
        (fake::error(409, 409), "it refuses the look-up: so says the registry with 409"),
        (Answer::Of(400, html.clone()), "it answers with status 400"),
        (Answer::Of(200, html), "its answer is not what a schema registry answers"),
        (Answer::Of(200, "{}".to_owned()), "its answer is not what a schema registry answers"),
        (Answer::Raw(half.to_owned()), "its answer is not what a schema registry answers"),
        (Answer::Raw(String::new()), "the request failed"),
    ];
    let fake = Fake::start(found);
    let registry = client(&fake);
    for (answer, expected) in answers {
        let what = format!("{answer:?}");
        fake.answer(move |_| answer.clone());
        let cause = outage(&registry);
        assert!(cause.starts_with(expected), "{what}: {cause}");
        assert!(!cause.contains("127.0.0.1"), "{what}: {cause}");
    }
    fake.answer(found);
    assert!(registry.schema(SchemaId(1)).unwrap().is_some());
}

#[test]
fn nobody_there_is_an_outage() {
    let fake = Fake::start(found);
    let registry = client(&fake);
    drop(fake);
    let cause = outage(&registry);
    assert!(cause.starts_with("no connection: ") && cause.contains("refused"), "{cause}");
}

#[test]
fn silence_ends_with_the_time_limit() {
    let fake = Fake::start(|_| Answer::Silence);
    let registry = hasty(&fake, Duration::from_millis(50));
    assert!(outage(&registry).starts_with("no answer came in time"));
    let error = registry.register("x", &schema()).unwrap_err();
    assert!(said(&error).contains("registering a schema for x at http://127.0.0.1"), "{}", said(&error));
    let error = registry.compatible("x", &schema()).unwrap_err();
    assert!(matches!(error, RegistryError::Unavailable { .. }));
}

#[test]
fn what_is_not_there_is_asked_for_again_each_time() {
    let fake = Fake::start(|_| fake::error(404, 40403));
    let registry = client(&fake);
    for _ in 0..3 {
        assert_eq!(registry.resolve(SchemaKey::Id(SchemaId(5))).unwrap(), None);
    }
    assert_eq!(fake.lines().len(), 3);
    fake.answer(found);
    assert!(registry.resolve(SchemaKey::Id(SchemaId(5))).unwrap().is_some());
}

#[test]
fn a_refused_schema_is_told_with_its_subject_and_the_reason() {
    let fake = Fake::start(|request| match request.line.as_str() {
        "POST /subjects/old/versions" => fake::json(409, &json!({ "error_code": 409, "message": "a is\nnew" })),
        "POST /subjects/odd/versions" => fake::json(422, &json!({ "error_code": 42201, "message": "no type" })),
        _ => fake::json(422, &json!({ "error_code": 42205, "message": "read only" })),
    });
    let registry = client(&fake);
    let refused = |subject| registry.register(subject, &schema()).unwrap_err();
    let error = refused("old");
    assert!(matches!(error, RegistryError::Conflict { .. }));
    assert_eq!(said(&error), "the schema registry refuses the schema for old as incompatible: a is new");
    let error = refused("odd");
    assert!(matches!(error, RegistryError::Invalid { .. }));
    assert_eq!(said(&error), "the schema for odd is not a valid schema: no type");
    let expected = format!("the schema registry refuses registering a schema for other at {}: read only", fake.url());
    assert_eq!(said(&refused("other")), expected);
    registry.register("old", &schema()).unwrap_err();
    assert_eq!(fake.lines().len(), 4, "a refusal is not remembered");
}

#[test]
fn schemas_that_cannot_be_used_are_known_for_ever_as_well() {
    let answers = [
        (json!({ "schema": "syntax", "schemaType": "PROTOBUF" }), "schema 1 cannot be used: it is Protobuf, not Avro"),
        (
            json!({ "schema": TEXT, "references": [{ "name": "other", "subject": "o", "version": 1 }] }),
            "schema 1 cannot be used: it refers to another schema (other): register it with all its types in one text",
        ),
        (json!({ "schema": "\"nonesuch\"" }), "schema 1 is not a valid schema: the schema is not valid Avro"),
    ];
    for (answer, expected) in answers {
        let fake = Fake::start(move |_| fake::json(200, &answer));
        let registry = client(&fake);
        for _ in 0..2 {
            let error = registry.schema(SchemaId(1)).unwrap_err();
            assert!(said(&error).starts_with(expected), "{}", said(&error));
        }
        assert_eq!(fake.lines().len(), 1);
    }
}

#[test]
fn a_registry_without_guids_is_told_from_a_guid_that_is_not_there() {
    let fake = Fake::start(|_| fake::error(404, 40403));
    let registry = client(&fake);
    assert_eq!(registry.schema_by_guid(Guid([1; 16])).unwrap(), None);
    fake.answer(|request| match request.line.as_str() {
        "GET /schemas/types" => fake::json(200, &json!(["AVRO"])),
        _ => Answer::Of(404, "<html>".to_owned()),
    });
    let error = registry.schema_by_guid(Guid([1; 16])).unwrap_err();
    let expected = format!("the schema registry at {} finds no schema by a GUID: that of Confluent Platform 8 and later does", fake.url());
    assert_eq!(error.to_string(), expected);
    fake.answer(|_| Answer::Of(404, "<html>".to_owned()));
    assert!(matches!(registry.schema_by_guid(Guid([1; 16])), Err(RegistryError::Unavailable { .. })));
    fake.answer(found);
    assert!(registry.schema_by_guid(Guid([1; 16])).unwrap().is_some());
}

/// What becomes of a record whose schema is named like this, at each try.
fn tries(registry: ConfluentRegistry, value: &[u8], headers: Headers<'_>, count: usize) -> Vec<&'static str> {
    let wanted = schema().shape().clone();
    let mut reader = AvroDeserializer::new(Arc::new(registry), schema(), wanted, Aliases::new());
    let record = RecordRef { offset: Offset(0), timestamp: Timestamp(0), key: None, value: None, headers };
    let mut one = || match reader.deserialize(value, &record, &mut Row::default()) {
        Ok(()) => "good",
        Err(SerdeError::Unavailable(_)) => "unavailable",
        Err(SerdeError::Record(_)) => "bad",
    };
    (0..count).map(|_| one()).collect()
}

#[test]
fn a_record_of_an_unknown_schema_is_bad_after_three_requests() {
    let fake = Fake::start(|_| fake::error(404, 40403));
    assert_eq!(tries(client(&fake), &[0, 0, 0, 0, 9, 2], Headers::EMPTY, 3), ["unavailable", "unavailable", "bad"]);
    assert_eq!(fake.lines(), ["GET /schemas/ids/9?deleted=true"; 3]);
}

#[test]
fn an_outage_never_makes_a_record_bad() {
    for answer in [fake::error(500, 50001), fake::error(401, 40101), Answer::Of(404, String::new()), Answer::Of(429, String::new())] {
        let fake = Fake::start(move |_| answer.clone());
        assert_eq!(tries(client(&fake), &[0, 0, 0, 0, 9, 2], Headers::EMPTY, 10), ["unavailable"; 10]);
    }
}

#[test]
fn a_guid_in_a_header_names_the_schema() {
    let mut headers = HeadersBuf::default();
    let guid: Vec<u8> = [1].into_iter().chain(0..16).collect();
    headers.push("__value_schema_id", Some(&guid));
    let fake = Fake::start(found);
    assert_eq!(tries(client(&fake), &[2], headers.as_headers(), 2), ["good"; 2]);
    assert_eq!(fake.lines(), ["GET /schemas/guids/00010203-0405-0607-0809-0a0b0c0d0e0f?deleted=true"]);
    fake.answer(|_| fake::error(404, 40403));
    assert_eq!(tries(client(&fake), &[2], headers.as_headers(), 3), ["unavailable", "unavailable", "bad"]);
    fake.answer(|request| if request.line.ends_with("/types") { fake::json(200, &json!([])) } else { Answer::Of(404, String::new()) });
    assert_eq!(tries(client(&fake), &[2], headers.as_headers(), 3), ["unavailable", "unavailable", "bad"]);
}
