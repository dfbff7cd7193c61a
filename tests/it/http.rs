//! The HTTP server and the command `status`, from outside: a real process, a real client.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::installation::{Installation, Live, PATIENCE};
use crate::real::or_skip;
use crate::real::packages::Package;

/// Status and body of an answer; `address` is `http://host:port`.
pub(crate) fn ask(address: &str, request: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address.strip_prefix("http://").unwrap()).unwrap();
    let kind = "content-type: application/vnd.schemaregistry.v1+json\r\nconnection: close";
    write!(stream, "{request} HTTP/1.1\r\nhost: x\r\n{kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Starts a command with a server and waits until it is ready.
fn start(installation: &Installation, arguments: &[&str]) -> (Live, String) {
    let live = installation.start(arguments);
    let line = live.wait_for_said("HTTP on ");
    let address = line[line.find("http://").unwrap()..].trim().to_owned();
    let deadline = Instant::now() + PATIENCE;
    while ask(&address, "GET /readyz", "").0 != 200 {
        assert!(Instant::now() < deadline, "not ready: {}", ask(&address, "GET /readyz", "").1);
        std::thread::sleep(Duration::from_millis(1));
    }
    (live, address)
}

#[track_caller]
fn end(live: Live) {
    live.signal(Signal::TERM);
    let (code, said) = live.join(Duration::from_secs(10));
    assert_eq!(code, Some(0), "{said:#?}");
}

#[test]
fn a_run_answers_over_http_and_to_status() {
    let installation = Installation::new();
    let (live, address) = start(&installation, &["run", "--http", "127.0.0.1:0"]);
    assert_eq!(ask(&address, "GET /livez", "").0, 200);
    let health: Value = serde_json::from_str(&ask(&address, "GET /readyz", "").1).unwrap();
    assert_eq!((&health["ready"], &health["pid"]), (&json!(true), &json!(live.id())));
    let said = installation.succeed(&["status"]).stdout;
    assert_eq!(said, format!("ready: RUNNING, 1 task, process {}\n", live.id()));
    let same = installation.succeed(&["status", "--json"]).json();
    assert_eq!(same["tasks"][0]["input"], "youtube_videos-0");
    let subjects: Value = serde_json::from_str(&ask(&address, "GET /subjects", "").1).unwrap();
    assert_eq!(subjects, json!(["telegram_outbox-value", "youtube_changes-value"]));
    let schema = json!({ "schema": "{\"type\":\"record\",\"name\":\"r\",\"fields\":[]}" }).to_string();
    assert_eq!(ask(&address, "POST /subjects/mine-value/versions", &schema).0, 200);
    let shown = installation.succeed(&["tap", "_schemas", "--until-end"]).stdout;
    assert!(shown.contains("mine-value"), "{shown}");
    end(live);
    let output = installation.output(&["status"]);
    assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "{}", output.stderr);
    assert!(
        output.stderr.contains("does not answer") && output.stderr.contains("\nhint: Nothing runs on this directory"),
        "{}",
        output.stderr
    );
}

#[test]
fn a_demo_serves_its_schemas() {
    let installation = Installation::new();
    let (live, address) = start(&installation, &["demo", "--http", "0"]);
    let latest = ask(&address, "GET /subjects/youtube_videos-value/versions/latest", "").1;
    let latest: Value = serde_json::from_str(&latest).unwrap();
    assert!(latest["schema"].as_str().unwrap().contains("\"youtube_video\""));
    end(live);
}

#[test]
fn status_fails_with_the_reasons_while_the_owner_is_not_ready() {
    let installation = Installation::new();
    std::fs::create_dir(installation.state_dir()).unwrap();
    let listener = UnixListener::bind(installation.state_dir().join("socket")).unwrap();
    let reasons = json!([
        { "reason": "state", "state": "REBALANCING" },
        { "reason": "restoring", "task": "0_0", "changelog": "log-0", "remaining": 10, "rate": 5.0, "eta_seconds": 2.0 },
        { "reason": "paused", "task": "0_1", "input": "in-1", "cause": "no registry" },
    ]);
    let health = json!({ "ready": false, "state": "REBALANCING", "pid": 7, "commits": 0, "reasons": reasons, "tasks": [] });
    let answer = format!("{}\n\"done\"\n", json!({ "status": health }));
    let owner = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            BufReader::new(&stream).read_line(&mut String::new()).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let output = installation.output(&["status"]);
    let expected = "not ready: REBALANCING, 0 tasks, process 7\nthe engine is REBALANCING\n\
                    task 0_0 is being restored from log-0: 10 left, 5 per second, 2 s to go\ntask 0_1 has paused in-1: no registry\n";
    assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (Some(1), expected, "error: not ready\n"));
    let output = installation.output(&["status", "--json"]);
    assert_eq!((output.code, output.json()), (Some(1), health));
    owner.join().unwrap();
}

const CLIENT: &str = r#"
import json, sys
from confluent_kafka.schema_registry import SchemaRegistryClient, Schema
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext

client = SchemaRegistryClient({"url": sys.argv[1]})
text = lambda kind: json.dumps({"type": "record", "name": "r", "fields": [{"name": "a", "type": kind}]})
found = {"subjects": client.get_subjects()}
latest = client.get_latest_version("youtube_changes-value")
found["latest"] = [latest.subject, latest.version, json.loads(latest.schema.schema_str)["name"]]
found["by_id"] = json.loads(client.get_schema(latest.schema_id).schema_str)["name"]
one = client.register_schema("python-value", Schema(text("int"), "AVRO"))
found["again"] = client.register_schema("python-value", Schema(text("int"), "AVRO")) == one
found["looked_up"] = client.lookup_schema("python-value", Schema(text("int"), "AVRO")).schema_id == one
found["compatible"] = [client.test_compatibility("python-value", Schema(text(kind), "AVRO")) for kind in ("long", "string")]
found["level"] = client.get_compatibility("python-value")
found["versions"] = client.get_versions("python-value")
codes = []
for call in (
    lambda: client.register_schema("python-value", Schema(text("string"), "AVRO")),
    lambda: client.register_schema("python-value", Schema("\"nonesuch\"", "AVRO")),
    lambda: client.get_versions("nonesuch"),
    lambda: client.get_version("python-value", 9),
    lambda: client.get_schema(4711),
):
    try:
        codes.append(call() and None)
    except SchemaRegistryError as error:
        codes.append([error.http_status_code, error.error_code])
found["codes"] = codes
context = SerializationContext("python", MessageField.VALUE)
value = AvroSerializer(client, text("long"))({"a": 7}, context)
found["bytes"] = value.hex()
found["back"] = AvroDeserializer(client)(value, context)
print(json.dumps(found))
"#;

#[test]
fn confluents_python_client_reads_and_registers() {
    let Some(folder) = or_skip(Package::Python.folder()) else { return };
    let installation = Installation::new();
    let (live, address) = start(&installation, &["run", "--http", "0"]);
    let output = Command::new(folder.join("bin/python")).args(["-c", CLIENT, &address]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = json!({
        "subjects": ["telegram_outbox-value", "youtube_changes-value"],
        "latest": ["youtube_changes-value", 1, "youtube_change"],
        "by_id": "youtube_change",
        "again": true,
        "looked_up": true,
        "compatible": [true, false],
        "level": "BACKWARD",
        "versions": [1],
        "codes": [[409, 409], [422, 42201], [404, 40401], [404, 40402], [404, 40403]],
        "bytes": "00000000040e",
        "back": { "a": 7 },
    });
    assert_eq!(found, expected);
    end(live);
}
