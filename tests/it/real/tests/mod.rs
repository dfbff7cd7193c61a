//! That each real part is there and does what it is for.

mod sink;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use serde_json::{Value, json};

use super::broker::{Broker, Settings};
use super::front::{Fault, Gate, Tls};
use super::http::{Client, get};
use super::python::{python, python_json};
use super::registry::{Registry, confluent_url};
use super::security::{Listener, PASSWORD, USER};
use super::{PATIENCE, records, unique};

const VIDEO: &str =
    r#"{"type": "record", "name": "video", "fields": [{"name": "TITLE", "type": "string"}, {"name": "VIEWS", "type": "int"}]}"#;

fn values(client: &ClientConfig, topic: &str) -> Vec<String> {
    records::read(client, topic).into_iter().map(|record| String::from_utf8(record.value.unwrap()).unwrap()).collect()
}

#[test]
fn the_broker_takes_and_gives_records() {
    let Some(broker) = Broker::shared() else { return };
    let topic = unique("plain");
    broker.create_topic(&topic, 4, &[("cleanup.policy", "compact"), ("retention.ms", "-1")]);
    let numbers: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let written: Vec<(&str, &[u8])> = numbers.iter().map(|number| (number.as_str(), number.as_bytes())).collect();
    records::write(&broker.client(), &topic, &written);
    let read = records::read(&broker.client(), &topic);
    let pairs: BTreeMap<_, _> = read.iter().map(|record| (record.key.clone().unwrap(), record.value.clone().unwrap())).collect();
    assert_eq!(pairs, numbers.iter().map(|number| (number.clone().into_bytes(), number.clone().into_bytes())).collect());
    assert_eq!(read.len(), 100);
    assert!((0..4).all(|partition| read.iter().any(|record| record.partition == partition)));
}

#[test]
fn a_broker_of_ones_own_keeps_its_records_when_it_is_stopped_killed_or_frozen() {
    let properties = vec![("auto.create.topics.enable".into(), "true".into())];
    let Some(mut broker) = Broker::start(&Settings { properties, measured: true, ..Settings::default() }) else { return };
    // Nobody creates the topic: that is what the setting is for.
    records::write(&broker.client(), "kept", &[("a", b"1")]);
    broker.stop();
    broker.start_again();
    assert_eq!(values(&broker.client(), "kept"), ["1"]);
    records::write(&broker.client(), "kept", &[("a", b"2")]);
    broker.kill();
    broker.start_again();
    assert_eq!(values(&broker.client(), "kept"), ["1", "2"]);
    broker.freeze();
    let consumer: BaseConsumer = broker.client().create().unwrap();
    assert!(consumer.fetch_metadata(None, Duration::from_millis(300)).is_err());
    broker.thaw();
    assert!(consumer.fetch_metadata(None, PATIENCE).is_ok());
    let process = PathBuf::from(format!("/proc/{}", broker.process_id()));
    assert!(process.exists());
    drop(broker);
    assert!(!process.exists());
}

/// The settings of a client for a listener of the secured broker.
fn client_of(broker: &Broker, listener: Listener, more: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    let authority = broker.certificates().authority().display().to_string();
    config.set("bootstrap.servers", broker.address(listener)).set("security.protocol", listener.name_and_protocol().1);
    if listener != Listener::SaslPlaintext {
        config.set("ssl.ca.location", authority);
    }
    for (name, value) in more {
        config.set(*name, *value);
    }
    config
}

/// Waits until a client is told this instead of being let in.
#[track_caller]
fn assert_refused(config: &ClientConfig, expected: RDKafkaErrorCode) {
    let consumer: BaseConsumer = config.clone().set("group.id", "unused").create().unwrap();
    consumer.subscribe(&["any"]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut told = Vec::new();
    while !told.contains(&expected) {
        assert!(Instant::now() < deadline, "{config:?} was told {told:?}");
        if let Some(Err(KafkaError::MessageConsumption(code) | KafkaError::Global(code))) = consumer.poll(Duration::from_millis(100)) {
            told.push(code);
        }
    }
}

#[test]
fn a_secured_broker_lets_in_whom_it_knows() {
    let Some(broker) = Broker::secured() else { return };
    let topic = unique("secret");
    broker.create_topic(&topic, 1, &[]);
    let (certificate, key) = broker.certificates().client();
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    let sasl = |mechanism| vec![("sasl.mechanism", mechanism), ("sasl.username", USER), ("sasl.password", PASSWORD)];
    let known = [
        (Listener::Ssl, vec![]),
        (Listener::MutualSsl, vec![("ssl.certificate.location", &*certificate), ("ssl.key.location", &*key)]),
        (Listener::SaslPlaintext, sasl("SCRAM-SHA-256")),
        (Listener::SaslPlaintext, sasl("SCRAM-SHA-512")),
        (Listener::SaslSsl, sasl("PLAIN")),
    ];
    let mut expected = Vec::new();
    for (number, (listener, more)) in known.iter().enumerate() {
        let client = client_of(broker, *listener, more);
        records::write(&client, &topic, &[("a", number.to_string().as_bytes())]);
        expected.push(number.to_string());
        assert_eq!(values(&client, &topic), expected, "{listener:?}");
    }
}

#[test]
fn a_secured_broker_lets_in_nobody_else() {
    let Some(broker) = Broker::secured() else { return };
    let wrong = |mechanism| vec![("sasl.mechanism", mechanism), ("sasl.username", USER), ("sasl.password", "guessed")];
    let authentication = [wrong("SCRAM-SHA-256"), wrong("SCRAM-SHA-512")].map(|more| (Listener::SaslPlaintext, more));
    for (listener, more) in authentication.into_iter().chain([(Listener::SaslSsl, wrong("PLAIN"))]) {
        assert_refused(&client_of(broker, listener, &more), RDKafkaErrorCode::Authentication);
    }
    // In TLS 1.3 the client hears of the certificate that it lacks after its handshake is through: librdkafka knows only of a lost connection.
    assert_refused(&client_of(broker, Listener::MutualSsl, &[]), RDKafkaErrorCode::AllBrokersDown);
    // A client that does not know the authority refuses the broker.
    let mut stranger = client_of(broker, Listener::Ssl, &[]);
    stranger.set("ssl.ca.location", broker.certificates().client().0.display().to_string());
    assert_refused(&stranger, RDKafkaErrorCode::SSL);
}

#[test]
fn the_registry_takes_and_gives_schemas() {
    let Some(registry) = Registry::shared() else { return };
    let subject = unique("registered-value");
    let id = registry.register(&subject, VIDEO);
    assert_eq!(registry.register(&subject, VIDEO), id, "the same schema got another id");
    let there = get(&format!("{}/schemas/ids/{id}", registry.url())).unwrap();
    let schema: Value = serde_json::from_str(there["schema"].as_str().unwrap()).unwrap();
    assert_eq!(schema, serde_json::from_str::<Value>(VIDEO).unwrap());
    let unknown = Client::default().send("GET", &format!("{}/schemas/ids/999999", registry.url()), None).unwrap();
    assert_eq!((unknown.0, &unknown.1["error_code"]), (404, &json!(40403)));
}

#[test]
fn a_registry_keeps_its_schemas_when_it_is_stopped() {
    let Some(mut registry) = Registry::start() else { return };
    let id = registry.register("kept-value", VIDEO);
    registry.stop();
    assert_eq!(get(&registry.url()), None);
    registry.start_again();
    let there = get(&format!("{}/schemas/ids/{id}", registry.url())).unwrap();
    assert!(there["schema"].as_str().unwrap().contains("VIEWS"));
}

#[test]
fn a_gate_asks_for_the_password_and_goes_wrong_when_told() {
    let Some(registry) = Registry::shared() else { return };
    let gate = Gate::before(registry.port(), Some((USER, PASSWORD)));
    let Some(tls) = Tls::before(gate.port()) else { return };
    let subjects = |scheme, port| format!("{}/subjects", confluent_url(scheme, port));
    let authority = std::fs::read(tls.certificates().authority()).unwrap();
    let known = Client { basic: Some((USER.into(), PASSWORD.into())), authority: Some(authority.clone()) };
    let unknown = Client { basic: None, authority: Some(authority) };
    let status = |client: &Client, url: &str| client.send("GET", url, None).map(|(status, _)| status);

    let url = subjects("https", tls.port());
    assert_eq!(status(&known, &url), Ok(200));
    assert_eq!(status(&unknown, &url), Ok(401));
    assert!(status(&Client { authority: None, ..known.clone() }, &url).is_err(), "an unknown authority was trusted");
    let url = subjects("http", gate.port());
    assert_eq!(status(&known, &url), Ok(200));
    let delay = Duration::from_millis(300);
    for fault in [Fault::Status(500), Fault::Delay(delay), Fault::Close] {
        gate.next(fault);
    }
    assert_eq!(status(&known, &url), Ok(500));
    let start = Instant::now();
    assert_eq!(status(&known, &url), Ok(200));
    assert!(start.elapsed() >= delay);
    gate.always(Some(Fault::Status(503)));
    assert!(status(&known, &url).is_err());
    assert_eq!([status(&known, &url), status(&known, &url)], [Ok(503), Ok(503)]);
    gate.always(None);
    assert_eq!(status(&known, &url), Ok(200));
    assert_eq!(gate.seen().len(), 9);
}

#[test]
fn confluents_client_writes_what_we_read_and_reads_it_again() {
    let (Some(broker), Some(registry)) = (Broker::shared(), Registry::shared()) else { return };
    let topic = unique("videos");
    broker.create_topic(&topic, 2, &[]);
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let lines =
        "{\"key\": \"a\", \"value\": {\"TITLE\": \"Tea & <state>\", \"VIEWS\": 7}, \"timestamp\": 1700000000000}\n{\"key\": \"a\"}\n";
    let (config, url) = (format!("bootstrap.servers={}", broker.bootstrap_servers()), registry.url());
    let common = ["--config", &config, "--registry", &url, "--topic", &topic];
    let own = ["--schema", &file("video.avsc", VIDEO), "--records", &file("records", lines)];
    let Some(_) = python("confluent.py", &[&["write"], &common[..], &own].concat()) else { return };

    let stored = records::read(&broker.client(), &topic);
    assert_eq!((stored.len(), stored[0].timestamp, &stored[1].value), (2, Some(1_700_000_000_000), &None));
    let value = stored[0].value.as_deref().unwrap();
    let latest = get(&format!("{url}/subjects/{topic}-value/versions/latest")).unwrap();
    assert_eq!(value[0], 0);
    assert_eq!(json!(u32::from_be_bytes(value[1..5].try_into().unwrap())), latest["id"]);

    let read = python_json("confluent.py", &[&["read"], &common[..]].concat()).unwrap();
    assert_eq!(read[0]["value"], json!({"TITLE": "Tea & <state>", "VIEWS": 7}));
    assert_eq!((&read[0]["key"], &read[0]["timestamp"]), (&json!("a"), &json!(1_700_000_000_000_i64)));
    assert_eq!((read.len(), &read[1]["value"]), (2, &Value::Null));
}
