//! What is said in the end: nothing grew, everything that was written is right, every message arrived.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::Arguments;
use crate::deliveries::{self, Deliveries, Texts};
use crate::instance::Instance;
use crate::real::python::python_json;
use crate::real::verifier;
use crate::scene::{ID, KEY, Scene, TOKEN};
use crate::secrets;
use crate::trouble::Trouble;

/// Judges a scene that has come to rest, and writes `result.json`.
pub(crate) fn of(mut scene: Scene, arguments: &Arguments) -> Result<bool, String> {
    let exports = export(&scene)?;
    let planned = Trouble::ALL.map(Trouble::name);
    let faults = json!({"planned": planned, "log": scene.write_lines("fired.jsonl", &scene.fired)?, "open_at_kills_percent": 0});
    scene.specification["exports"] = json!(exports);
    scene.specification["faults"] = faults;
    let verdict = verifier::verify(&scene.python, &scene.folder, scene.broker.bootstrap_servers(), &scene.specification);
    println!("the verifier: {verdict}");
    let messages = messages(&scene)?;
    println!("messages: {messages}");
    let secrets = searched(&scene);
    println!("secrets: {secrets:?}");
    let report = Command::new(&scene.python)
        .arg("-B")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/soak/report.py"))
        .arg(&scene.folder)
        .output()
        .map_err(|error| error.to_string())?;
    println!("{}{}", String::from_utf8_lossy(&report.stdout), String::from_utf8_lossy(&report.stderr));
    for fault in &scene.faults {
        println!("FAULT: {fault}");
    }
    let is_right =
        verdict.code == Some(0) && messages["wrong"] == 0 && secrets.is_ok() && report.status.success() && scene.faults.is_empty();
    let result = json!({
        "ok": is_right, "minutes": arguments.time.as_secs() / 60, "seed": arguments.seed, "troubles": scene.fired.len(),
        "verifier": verdict.counts, "messages": messages, "faults": scene.faults,
    });
    fs::write(scene.folder.join("result.json"), format!("{result:#}\n")).map_err(|error| error.to_string())?;
    println!("soak: {}", if is_right { "all right" } else { "RED" });
    Ok(is_right)
}

/// The stores of the stopped instances, a file each.
fn export(scene: &Scene) -> Result<Vec<String>, String> {
    let mut paths = Vec::new();
    for instance in &scene.instances {
        let path = scene.folder.join(format!("stores-{}.jsonl", instance.name));
        fs::write(&path, instance.succeed(&["state", "export"], false)?.stdout).map_err(|error| error.to_string())?;
        paths.push(path.display().to_string());
    }
    Ok(paths)
}

/// What was in the outbox against what Telegram took: all of it, in the order of its chat, and twice only where somebody has said that the outcome is not known.
fn messages(scene: &Scene) -> Result<Value, String> {
    let servers = format!("bootstrap.servers={}", scene.broker.bootstrap_servers());
    let arguments = ["read", "--config", &servers, "--registry", &scene.registry.url(), "--topic", "telegram_outbox"];
    let outbox = python_json("confluent.py", &arguments).ok_or("there is no Python")?;
    let (mut texts, mut of_events) = (Texts::new(), BTreeMap::new());
    for record in &outbox {
        let text = |name: &str| record["value"][name].as_str().unwrap_or_default().to_owned();
        texts.entry(text("chat_id")).or_default().push(text("text"));
        of_events.insert(text("event_id"), text("text"));
    }
    let found = Deliveries::of(&scene.outside.telegram.requests(), &texts);
    let reported: Vec<String> = scene.instances.iter().flat_map(|instance| unknown_events(instance, &of_events)).collect();
    let unreported = deliveries::unreported(&found.repeats, &reported);
    let wrong = found.lost.len() + found.out_of_order.len() + found.strangers.len() + unreported.len();
    Ok(json!({
        "sent": outbox.len(), "wrong": wrong, "lost": found.lost, "out_of_order": found.out_of_order, "strangers": found.strangers,
        "twice": found.repeats.len(), "twice_and_not_reported": unreported,
    }))
}

/// The texts of those messages of which an instance has said that it does not know whether they arrived.
fn unknown_events(instance: &Instance, texts: &BTreeMap<String, String>) -> Vec<String> {
    let log = fs::read(instance.log()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines = log.lines().filter(|line| line.contains("whether the message arrived is not known"));
    let event = |line: &str| line.split_once("event=\"").and_then(|(_, rest)| rest.split('"').next().map(str::to_owned));
    lines.filter_map(event).filter_map(|event| texts.get(&event).cloned()).collect()
}

/// The search for the token and the key in everything that is left.
fn searched(scene: &Scene) -> Result<String, String> {
    let mut seen: secrets::Seen = Vec::new();
    for instance in &scene.instances {
        seen.extend(secrets::bytes_below(&instance.state_dir()));
        seen.push((instance.log().display().to_string(), fs::read(instance.log()).unwrap_or_default()));
    }
    seen.extend(secrets::bytes_of_topics(&scene.broker.client(), ID, &["telegram_outbox", "youtube_changes", "telegram_dead_letters"]));
    secrets::search(&seen, &["telegram_outbox"], &[TOKEN, KEY])
}
