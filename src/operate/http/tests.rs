//! Real requests over loopback: how the engine is, the schemas in Confluent's form, and what is refused.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::*;
use crate::avro::{Guid, Registry as _, Schema, SchemaId};
use crate::streams::clock::ManualClock;
use crate::streams::log::local::LocalLog;
use crate::streams::runtime::{ClientState, Status};

const NARROW: &str = r#"{"type":"record","name":"r","fields":[{"type":"int","name":"a"}]}"#;
const WIDE: &str = r#"{"type":"record","name":"r","fields":[{"type":"long","name":"a"}]}"#;
const WRONG: &str = r#"{"type":"record","name":"r","fields":[{"type":"string","name":"a"}]}"#;
const JSON: &str = "content-type: application/vnd.schemaregistry.v1+json\r\n";

struct Served {
    server: Server,
    reported: Reported,
    registry: Arc<EmbeddedRegistry>,
}

struct Answer {
    status: u16,
    headers: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

fn served() -> Served {
    let registry = Arc::new(EmbeddedRegistry::open(LocalLog::in_memory(), Arc::new(ManualClock::default())).unwrap());
    let reported = Reported::default();
    let services = Services { reported: reported.clone(), registry: Some(Arc::clone(&registry)) };
    Served { server: Server::start("127.0.0.1:0".parse().unwrap(), services).unwrap(), reported, registry }
}

/// Sends these bytes and reads until the connection ends.
fn exchange(address: SocketAddr, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    // What is too long is refused before all of it was read.
    stream.write_all(bytes).unwrap_or_default();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).map(drop).unwrap_or_default();
    let text = String::from_utf8(text).unwrap();
    let (headers, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = headers.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default();
    Answer { status, headers: headers.to_ascii_lowercase(), body: body.to_owned() }
}

impl Served {
    fn ask(&self, line: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        let text = format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}");
        exchange(self.server.address(), text.as_bytes())
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), "", "")
    }

    fn post(&self, path: &str, schema: &str) -> Answer {
        self.ask(&format!("POST {path}"), JSON, &json!({ "schema": schema }).to_string())
    }

    #[track_caller]
    fn refused(answer: &Answer, status: u16, code: u32) {
        assert_eq!((answer.status, answer.json()["error_code"].as_u64()), (status, Some(code.into())), "{}", answer.body);
        assert!(answer.json()["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
}

#[test]
fn it_lives_from_the_start_and_is_ready_when_the_engine_runs() {
    let served = served();
    assert_eq!(served.get("/livez").status, 200);
    let answer = served.get("/readyz");
    assert_eq!((answer.status, &answer.json()["reasons"]), (503, &json!([{ "reason": "state", "state": "CREATED" }])));
    served.reported.set(ClientState::Running, Status::default());
    let answer = served.get("/readyz");
    assert_eq!((answer.status, &answer.json()["ready"]), (200, &json!(true)));
    served.reported.set(ClientState::Rebalancing, Status::default());
    assert_eq!(served.get("/readyz").status, 503);
    assert_eq!(served.get("/livez").status, 200);
}

#[test]
fn what_is_registered_over_http_is_in_the_log_and_the_other_way_round() {
    let served = served();
    assert_eq!(served.get("/subjects").json(), json!([]));
    let answer = served.post("/subjects/x-value/versions", NARROW);
    assert_eq!((answer.status, &answer.json()["id"]), (200, &json!(1)));
    assert!(answer.headers.contains("content-type: application/vnd.schemaregistry.v1+json"), "{}", answer.headers);
    assert_eq!(served.registry.schema(SchemaId(1)).unwrap().unwrap().text(), NARROW);
    served.registry.register("x-value", &Schema::parse(WIDE).unwrap()).unwrap();
    served.registry.register("a/b", &Schema::parse(WIDE).unwrap()).unwrap();
    assert_eq!(served.get("/subjects").json(), json!(["a/b", "x-value"]));
    assert_eq!(served.get("/subjects/a%2Fb/versions").json(), json!([1]));
    assert_eq!(served.get("/subjects/x-value/versions").json(), json!([1, 2]));
    let guid = Guid::of_text(WIDE).to_string();
    let latest = json!({ "subject": "x-value", "version": 2, "id": 2, "guid": guid, "schemaType": "AVRO", "schema": WIDE });
    for version in ["latest", "2", "-1"] {
        assert_eq!(served.get(&format!("/subjects/x-value/versions/{version}")).json(), latest);
    }
    let text: Value = serde_json::from_str(NARROW).unwrap();
    assert_eq!(served.get("/subjects/x-value/versions/1/schema").json(), text);
    assert_eq!(served.post("/subjects/x-value", WIDE).json(), latest);
    assert_eq!(served.get("/schemas/ids/2?deleted=true").json()["schema"], WIDE);
    assert_eq!(
        served.get("/schemas/ids/2/versions").json(),
        json!([{ "subject": "a/b", "version": 1 }, { "subject": "x-value", "version": 2 }])
    );
    assert_eq!(served.get(&format!("/schemas/guids/{guid}")).json()["schema"], WIDE);
    assert_eq!(served.get("/schemas/types").json(), json!(["AVRO"]));
    for path in ["/config", "/config/x-value"] {
        assert_eq!(served.get(path).json(), json!({ "compatibilityLevel": "BACKWARD" }));
    }
}

#[test]
fn what_is_not_there_has_the_codes_that_clients_know() {
    let served = served();
    served.post("/subjects/x-value/versions", NARROW);
    Served::refused(&served.get("/subjects/y/versions"), 404, 40401);
    Served::refused(&served.get("/subjects/y/versions/latest"), 404, 40401);
    Served::refused(&served.get("/subjects/x-value/versions/7"), 404, 40402);
    Served::refused(&served.get("/subjects/x-value/versions/0"), 422, 42202);
    Served::refused(&served.get("/schemas/ids/7"), 404, 40403);
    Served::refused(&served.get("/schemas/ids/7/versions"), 404, 40403);
    Served::refused(&served.get("/schemas/ids/seven"), 404, 40403);
    Served::refused(&served.get("/schemas/guids/01010101-0101-0101-0101-010101010101"), 404, 40403);
    Served::refused(&served.post("/subjects/y", NARROW), 404, 40401);
    Served::refused(&served.post("/subjects/x-value", WIDE), 404, 40403);
    Served::refused(&served.get("/nonesuch"), 404, 404);
    Served::refused(&served.ask("DELETE /subjects/x-value", "", ""), 405, 405);
}

#[test]
fn a_schema_that_does_not_fit_is_refused_with_the_reason() {
    let served = served();
    served.post("/subjects/x-value/versions", NARROW);
    let answer = served.post("/subjects/x-value/versions", WRONG);
    Served::refused(&answer, 409, 409);
    assert!(answer.body.contains("field a: int was written, string is read"), "{}", answer.body);
    let verdict = served.post("/compatibility/subjects/x-value/versions/latest", WRONG).json();
    assert_eq!(verdict, json!({ "is_compatible": false, "messages": ["field a: int was written, string is read"] }));
    let verdict = served.post("/compatibility/subjects/x-value/versions/1", WIDE).json();
    assert_eq!(verdict, json!({ "is_compatible": true, "messages": [] }));
    Served::refused(&served.post("/compatibility/subjects/y/versions/latest", WIDE), 404, 40401);
    Served::refused(&served.post("/subjects/x-value/versions", "\"nonesuch\""), 422, 42201);
    let other = json!({ "schema": "syntax", "schemaType": "PROTOBUF" }).to_string();
    Served::refused(&served.ask("POST /subjects/x/versions", JSON, &other), 422, 42201);
    let referring = json!({ "schema": WIDE, "references": [{}] }).to_string();
    Served::refused(&served.ask("POST /subjects/x/versions", JSON, &referring), 422, 42201);
    Served::refused(&served.ask("POST /subjects/x/versions", JSON, "{"), 400, 400);
    assert_eq!(served.get("/subjects").json(), json!(["x-value"]));
}

#[test]
fn a_page_in_a_browser_cannot_register_anything() {
    let served = served();
    let body = json!({ "schema": WIDE }).to_string();
    Served::refused(&served.ask("POST /subjects/x/versions", "content-type: text/plain\r\n", &body), 415, 415);
    Served::refused(&served.ask("POST /subjects/x/versions", &format!("{JSON}origin: http://elsewhere\r\n"), &body), 403, 403);
    assert_eq!(served.get("/subjects").json(), json!([]));
}

#[test]
fn what_is_too_long_is_refused_and_others_are_served() {
    let served = served();
    let long = "x".repeat(2 * HEADER_BYTES_MAX);
    assert!(matches!(served.ask("GET /livez", &format!("x: {long}\r\n"), "").status, 431 | 0));
    let many = "x: y\r\n".repeat(HEADERS_MAX + 10);
    assert_eq!(served.ask("GET /livez", &many, "").status, 431);
    let line = format!(
        "POST /subjects/x/versions HTTP/1.1\r\nhost: x\r\n{JSON}content-length: {}\r\nconnection: close\r\n\r\n",
        BODY_BYTES_MAX + 1
    );
    assert_eq!(exchange(served.server.address(), line.as_bytes()).status, 413);
    assert_eq!(served.get("/livez").status, 200);
}

#[test]
fn it_ends_with_its_owner_and_frees_the_port() {
    let served = served();
    let address = served.server.address();
    let idle = TcpStream::connect(address).unwrap();
    drop(served);
    drop(idle);
    TcpListener::bind(address).unwrap();
}

#[test]
fn an_address_that_is_taken_is_named() {
    let served = served();
    let services = Services { reported: Reported::default(), registry: None };
    let error = Server::start(served.server.address(), services.clone()).unwrap_err();
    assert_eq!(error.to_string(), format!("nothing can listen on {}", served.server.address()));
    let without = Server::start("127.0.0.1:0".parse().unwrap(), services).unwrap();
    let bytes = b"GET /subjects HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert_eq!(exchange(without.address(), bytes).status, 404, "with Kafka the schemas are elsewhere");
}
