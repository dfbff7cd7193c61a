//! What is said in the end: nothing grew, everything that was written is right, every message arrived.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tidewatch::operate::simulated::telegram::Effect;

use crate::Arguments;
use crate::real::python::python_json;
use crate::real::verifier;
use crate::scene::Scene;

/// Judges a scene that has come to rest, and writes `result.json`.
pub(crate) fn of(mut scene: Scene, arguments: &Arguments) -> Result<bool, String> {
    let exports = export(&scene)?;
    let planned: Vec<&Value> = scene.fired.iter().map(|fired| &fired["id"]).collect();
    let faults = json!({"planned": planned, "log": scene.write_lines("fired.jsonl", &scene.fired)?, "open_at_kills_percent": 0});
    scene.specification["exports"] = json!(exports);
    scene.specification["faults"] = faults;
    let verdict = verifier::verify(&scene.python, &scene.folder, scene.broker.bootstrap_servers(), &scene.specification);
    println!("the verifier: {verdict}");
    let messages = messages(&scene)?;
    println!("messages: {messages}");
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
    let is_right = verdict.code == Some(0)
        && messages["lost"] == 0
        && messages["unexpected"] == 0
        && report.status.success()
        && scene.faults.is_empty();
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

/// What was in the outbox against what Telegram took: all of it, and twice only what nobody knew the outcome of.
fn messages(scene: &Scene) -> Result<Value, String> {
    let servers = format!("bootstrap.servers={}", scene.broker.bootstrap_servers());
    let arguments = ["read", "--config", &servers, "--registry", &scene.registry.url(), "--topic", "telegram_outbox"];
    let outbox = python_json("confluent.py", &arguments).ok_or("there is no Python")?;
    let mut wanted: BTreeMap<(String, String), i64> = BTreeMap::new();
    for record in &outbox {
        let text = |name: &str| record["value"][name].as_str().unwrap_or_default().to_owned();
        *wanted.entry((text("chat_id"), text("text"))).or_default() += 1;
    }
    let sent = outbox.len();
    for request in scene.outside.telegram.requests().iter().filter(|request| matches!(request.effect, Effect::Taken(_))) {
        *wanted.entry((request.chat().to_owned(), request.parameter("text").to_owned())).or_insert(i64::MIN / 2) -= 1;
    }
    let lost: i64 = wanted.values().filter(|left| **left > 0).sum();
    let twice: i64 = wanted.values().filter(|left| (-1_000_000..0).contains(*left)).map(|left| -left).sum();
    let unexpected = wanted.values().filter(|left| **left < -1_000_000).count();
    Ok(json!({"sent": sent, "lost": lost, "twice": twice, "unexpected": unexpected}))
}
