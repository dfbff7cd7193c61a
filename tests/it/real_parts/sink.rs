//! The connector that ships with the project, in a real worker, against a server that refuses what Telegram refuses.

use std::sync::Arc;

use tidewatch::avro::{Encoder, Field, Row, Schema, SchemaId, Shape, Type, Value, wire};
use tidewatch::operate::simulated::telegram::{Closed, Effect, Options, Request};
use tidewatch::operate::simulated::{Fault, Telegram};
use tidewatch::streams::clock::SystemClock;

use crate::real::broker::Broker;
use crate::real::connect::{Connect, with};
use crate::real::registry::Registry;
use crate::real::{PATIENCE, records, unique};

const WORKER: &str = include_str!("../../../connect/worker.properties");
const SINK: &str = include_str!("../../../connect/telegram-sink.properties");
const SCHEMA: &str = include_str!("../../../schemas/telegram_message.avsc");
const TOKEN: &str = "12345:AAsecretsecret";

/// Messages as the topology writes them: what the row does not have is the schema's default.
fn encoded(id: u32, messages: &[(&str, &str)]) -> Vec<Vec<u8>> {
    let fields = ["chat_id", "text", "event_id"].map(|name| Field::new(name, Type::String, false));
    let shape = Shape { fields: fields.to_vec() };
    let encoder = Encoder::compile(&Schema::parse(SCHEMA).unwrap(), &shape).unwrap();
    let encode = |(number, (chat, text)): (usize, &(&str, &str))| {
        let mut row = Row::of(&shape);
        for (slot, text) in row.values.iter_mut().zip([*chat, *text, &format!("event-{number}")]) {
            *slot = Value::String(text.to_owned());
        }
        let mut value = Vec::new();
        wire::prefix(SchemaId(id), &mut value);
        encoder.encode(&row, Some(chat.as_bytes()), &mut value).unwrap();
        value
    };
    messages.iter().enumerate().map(encode).collect()
}

#[derive(Debug)]
struct Outbox {
    connector: String,
    sink: String,
}

/// A topic of messages, and the shipped connector for it.
fn outbox(broker: &Broker, registry: &Registry, telegram: &Telegram, messages: &[(&str, &str)]) -> Outbox {
    let topic = unique("telegram_outbox");
    broker.create_topic(&topic, 1, &[]);
    let id = registry.register(&format!("{topic}-value"), SCHEMA);
    let values = encoded(id, messages);
    let written: Vec<(&str, &[u8])> = messages.iter().zip(&values).map(|((chat, _), value)| (*chat, value.as_slice())).collect();
    records::write(&broker.client(), &topic, &written);
    let connector = unique("telegram");
    // Only the host is another one: the token comes out of the environment, as the shipped file has it.
    let url = SINK.lines().find_map(|line| line.strip_prefix("http.url=")).unwrap();
    let url = url.replacen("https://api.telegram.org", &telegram.base_url(), 1);
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    let sink = with(SINK, &[("name", &connector), ("topics", &topic), ("http.url", &url)]);
    Outbox { connector, sink }
}

fn worker(broker: &Broker, registry: &Registry) -> String {
    let own_url = registry.own_url();
    with(WORKER, &[("bootstrap.servers", broker.bootstrap_servers()), ("value.converter.apicurio.registry.url", &own_url)])
}

/// One worker with two connectors, as its start is what takes time.
#[test]
fn the_shipped_connector_posts_what_telegram_accepts_and_stops_at_what_it_refuses() {
    let Some(_) = Connect::parts() else { return };
    let (Some(broker), Some(registry)) = (Broker::shared(), Registry::shared()) else { return };
    let telegrams = [(); 2].map(|()| Telegram::start(Options::new(TOKEN), Arc::new(SystemClock::new())).unwrap());
    let long = "é".repeat(4096);
    let messages = [("-100", "Likes changed: 0 => 1. T"), ("@channel", "5 < 10 & \"other\" truths 🚀"), ("-100", &long)];
    let [accepting, refusing] = &telegrams;
    // The first answer is a flood: a retry, much sooner than Telegram asked for, must do.
    accepting.push_faults([Fault::TooMany { retry_after: 3600 }]);
    refusing.close_chat("4711", Some(Closed::NotFound));
    let good = outbox(broker, registry, accepting, &messages);
    let bad = outbox(broker, registry, refusing, &[("4711", "to nobody"), ("-100", "never sent")]);
    let sinks = [&good, &bad].map(|outbox| with(&outbox.sink, &[("max.retries", "2"), ("retry.backoff.ms", "50")]));
    let Some(mut connect) = Connect::start(&worker(broker, registry), &sinks, &[("TELEGRAM_BOT_TOKEN", TOKEN)]) else { return };

    assert_arrives(&mut connect, accepting, &good.connector, &messages);
    assert_stops(&mut connect, refusing, &bad.connector);
}

fn taken(telegram: &Telegram) -> Vec<Request> {
    telegram.requests().into_iter().filter(|request| matches!(request.effect, Effect::Taken(_))).collect()
}

/// Status and description of each refusal.
fn refused(telegram: &Telegram) -> Vec<(u16, String)> {
    let effects = telegram.requests().into_iter().map(|request| request.effect);
    effects
        .filter_map(|effect| if let Effect::Refused { status, description } = effect { Some((status, description)) } else { None })
        .collect()
}

fn assert_arrives(connect: &mut Connect, telegram: &Telegram, connector: &str, messages: &[(&str, &str)]) {
    let arrived = telegram.wait_for(PATIENCE, |counts| counts.taken >= messages.len() as u64 && counts.refused >= 1);
    let (state, trace) = connect.wait_for_state(connector, &["RUNNING", "FAILED"]);
    assert!(arrived && state == "RUNNING", "{state} {trace}\n{:?}\n{}", refused(telegram), connect.said());
    let accepted = taken(telegram);
    let sent: Vec<(&str, &str)> = accepted.iter().map(|message| (message.parameter("chat_id"), message.parameter("text"))).collect();
    assert_eq!(sent, messages);
    let parameters: Vec<(&str, &str)> = accepted[0].parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let expected = [
        ("chat_id", "-100"),
        ("disable_notification", "false"),
        ("disable_web_page_preview", "false"),
        ("edit_key", ""),
        ("event_id", "event-0"),
        ("message_thread_id", "0"),
        ("parse_mode", ""),
        ("text", "Likes changed: 0 => 1. T"),
    ];
    assert_eq!(parameters, expected);
    assert_eq!(refused(telegram), [(429, "Too Many Requests: retry after 3600".to_owned())]);
}

/// What connect/README.md says that the connector cannot do. Should this fail, the text must change.
fn assert_stops(connect: &mut Connect, telegram: &Telegram, connector: &str) {
    let (_, trace) = connect.wait_for_state(connector, &["FAILED"]);
    assert_eq!(refused(telegram), vec![(400, "Bad Request: chat not found".to_owned()); 3], "{trace}");
    assert_eq!(taken(telegram), []);
    assert!(connect.said().contains(TOKEN), "the token is no longer logged: {}", connect.said());
}
