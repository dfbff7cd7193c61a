//! `setup`, and what the command line says of a cluster: read as a user would read it. Nothing here needs a broker.

use std::fs;

use serde_json::json;

use crate::installation::{Installation, Output};

/// The error that `arguments` end with, and what was on stdout before.
#[track_caller]
fn refused(installation: &Installation, arguments: &[&str]) -> (String, String) {
    let Output { code, stdout, stderr } = installation.output(arguments);
    assert_eq!(code, Some(2), "{stdout}{stderr}");
    (stderr.replace(&installation.state_dir().display().to_string(), "DIR"), stdout)
}

fn append(installation: &Installation, text: &str) {
    let path = installation.state_dir().with_file_name("topology.toml");
    let shipped = fs::read_to_string(&path).unwrap();
    fs::write(path, shipped + text).unwrap();
}

/// What is said of the shipped topology on an empty log.
fn expected(topics: &str, schemas: [&str; 3]) -> String {
    let [first, second, third] = schemas;
    format!(
        "\
topic youtube_videos: {topics} (input, 3 partitions)
topic youtube_changes: {topics} (output, 3 partitions)
topic telegram_outbox: {topics} (output, 3 partitions)
topic youtube-changes-changes-changelog: {topics} (changelog, 3 partitions)
topic youtube-changes-views-changelog: {topics} (changelog, 3 partitions)
topic youtube-changes-dead-letters: {topics} (dead letters, 3 partitions)
schema youtube_change of youtube_changes-value: {first}
schema telegram_message of telegram_outbox-value: {second}
schema youtube_video of youtube_videos-value: {third}
"
    )
}

#[test]
fn setup_creates_what_is_missing_once_and_run_works_on_it() {
    let installation = Installation::new();
    let looked = installation.succeed(&["setup", "--dry-run", "--partitions", "3"]).stdout;
    assert_eq!(looked, expected("missing", ["missing"; 3]));
    assert!(!installation.state_dir().exists(), "looking must leave nothing behind");
    let created = installation.succeed(&["setup", "--partitions", "3"]).stdout;
    assert_eq!(created, expected("created", ["registered (id 1)", "registered (id 2)", "registered (id 3)"]));
    let again = installation.succeed(&["setup"]).stdout;
    assert!(again.lines().all(|line| line.contains(": there")), "{again}");
    installation.write("a.csv", "observed_at,video_id,likes\n1,a,1\n2,b,1\n3,a,2\n4,b,3\n");
    installation.succeed(&["import", "a.csv"]);
    installation.succeed(&["run", "--until-end", "--only", "topology", "--leave-on-stop"]);
    assert_eq!(installation.tap("telegram_outbox").len(), 2);
}

#[test]
fn setup_is_there_for_programs_too() {
    let installation = Installation::new();
    let report = installation.succeed(&["setup", "--json"]).json();
    assert_eq!((&report["created"], &report["refusals"], &report["acls"]), (&json!(true), &json!([]), &json!([])));
    let topic = json!({
        "topic": "youtube-changes-views-changelog", "role": "changelog", "state": "created", "partitions": 1, "replication": null, "differences": [],
    });
    assert_eq!(report["topics"][4], topic);
    let schema = json!({ "subject": "telegram_outbox-value", "schema": "telegram_message", "state": "registered", "id": 2 });
    assert_eq!(report["schemas"][1], schema);
    let report = installation.succeed(&["setup", "--json", "--dry-run"]).json();
    assert_eq!(
        (&report["created"], &report["topics"][0]["state"], &report["schemas"][0]["id"]),
        (&json!(false), &json!("there"), &json!(1))
    );
}

#[test]
fn setup_refuses_an_incompatible_schema_before_it_creates_anything() {
    let installation = Installation::new();
    let folder = installation.state_dir().with_file_name("schemas");
    fs::create_dir(&folder).unwrap();
    let message = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/telegram_message.avsc")).unwrap();
    let wider = message.replace("\"type\": \"int\"", "\"type\": \"long\"");
    assert_ne!(wider, message);
    fs::write(folder.join("telegram_message.avsc"), wider).unwrap();
    installation.succeed(&["setup"]);
    // Back to the shipped one, which cannot read a long; and a topic that is not there.
    fs::remove_file(folder.join("telegram_message.avsc")).unwrap();
    append(&installation, "\n[sinks.more]\ninput = \"changes\"\ntopic = \"more\"\nvalue = \"youtube_change\"\n");
    let (said, shown) = refused(&installation, &["setup"]);
    assert!(shown.contains("topic more: missing (output, 1 partition)\n"), "{shown}\n{said}");
    let begin = "error: nothing was created: the schema telegram_message cannot read what was written with version 1 of telegram_outbox-value: field ";
    assert!(said.starts_with(begin) && said.contains("\nhint: Mend that first"), "{said}");
    let (said, _) = refused(&installation, &["tap", "more"]);
    assert!(said.starts_with("error: there is no topic more\n"), "{said}");
}

#[test]
fn a_cluster_from_the_command_line_is_checked_before_it_is_looked_for() {
    let installation = Installation::new();
    let said = |arguments: &[&str]| refused(&installation, arguments).0;
    let text = said(&["run", "--bootstrap-servers", "broker"]);
    assert!(text.starts_with("error: invalid value 'broker' for '--bootstrap-servers <HOST:PORT[,..]>': the port is missing"), "{text}");
    let text = said(&["run", "--bootstrap-servers", "b:9092"]);
    assert!(text.contains("--bootstrap-servers is given, but no registry, and Avro values need one"), "{text}");
    let text = said(&["import", "x.csv", "--registry", "http://r"]);
    assert!(text.contains("--registry is given, but no broker"), "{text}");
    let text = said(&["setup", "--bootstrap-servers", "b:9092", "--registry", "https://me:sup3rs3cr3t@r"]);
    assert!(text.contains("the address after --registry is none of a schema registry") && !text.contains("sup3rs3cr3t"), "{text}");
    for command in [&["demo"][..], &["demo", "--from", "x.csv"]] {
        let text = said(&[command, &["--bootstrap-servers", "b:9092"]].concat());
        assert!(text.starts_with("error: this command works on the embedded log only, not on Kafka\nhint: "), "{text}");
    }
    for wrong in [&["setup", "--partitions", "0"][..], &["setup", "now"], &["run", "--leave"]] {
        said(wrong);
    }
    assert!(!installation.state_dir().exists());
}

#[test]
fn check_knows_what_a_cluster_needs_and_shows_no_secret() {
    let installation = Installation::new();
    append(
        &installation,
        "\n[kafka]\nbootstrap_servers = [\"b:9092\"]\nregistry = { url = \"http://r\" }\n[kafka.properties]\nsecurity.protocol = \"SASL_SSL\"\n\
         sasl.mechanism = \"PLAIN\"\nsasl.username = \"me\"\nsasl.password = { env = \"KAFKA_PASSWORD\" }\n",
    );
    installation.succeed(&["check", "--offline"]);
    let (said, _) = refused(&installation, &["check"]);
    assert!(said.contains("the environment variable KAFKA_PASSWORD is not set"), "{said}");
    // `tap` needs the brokers' password, and nothing else of the file.
    let (said, _) = refused(&installation, &["tap", "youtube_videos"]);
    assert!(said.contains("the environment variable KAFKA_PASSWORD is not set") && !said.contains("TELEGRAM"), "{said}");
    append(&installation, "group.id = { env = \"KAFKA_PASSWORD\" }\n");
    let output = installation.command(&["check", "--json"]).env("KAFKA_PASSWORD", "sup3rs3cr3t").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let shown = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(shown.contains("`group.id` cannot be set") && !shown.contains("sup3rs3cr3t"), "{shown}");
    // The demo never looks for a cluster.
    installation.write("a.csv", "observed_at,video_id,likes\n1,a,1\n2,a,2\n");
    let (said, _) = refused(&installation, &["demo", "--from", "a.csv"]);
    assert!(said.contains("group.id"), "a file with faults is refused all the same: {said}");
}

#[test]
fn the_demo_runs_without_the_cluster_of_the_file() {
    let installation = Installation::new();
    append(&installation, "\n[kafka]\nbootstrap_servers = [\"127.0.0.1:1\"]\nregistry = { url = { env = \"REGISTRY_URL\" } }\n");
    installation.write("a.csv", "observed_at,video_id,likes\n1,a,1\n2,a,2\n");
    let tally = installation.succeed(&["demo", "--from", "a.csv", "--json"]).json();
    assert_eq!((&tally["observations"], &tally["changes"]), (&json!(2), &json!(1)));
}
