//! The job as tidewatch does it: changes for all observations, a message where comments differ, which is so for two of five.

use std::path::Path;
use std::process::{Command, Stdio};

use rdkafka::ClientConfig;
use tidewatch::avro::SchemaId;

use crate::real::broker::{Broker, Settings};
use crate::real::registry::Registry;
use crate::real::unique;

/// A broker, a registry, and an application on them.
#[derive(Debug)]
pub(crate) struct Application {
    broker: Broker,
    registry: Registry,
    pub(crate) id: String,
    folder: tempfile::TempDir,
}

const TOPOLOGY: &str = r#"
[processors.changes]
type  = "latest"
input = "videos"
watch = ["title", "views", "likes", "comments"]

[sinks.changes]
input = "changes"
topic = "APPLICATION-changes"
value = "youtube_change"

[processors.comments]
type    = "notify"
input   = "changes"
when    = "current.comments != previous.comments"
chat_id = "4711"
text    = "Comments changed: {{ previous.comments }} => {{ current.comments }}. {{ current.title }}"

[sinks.outbox]
inputs = ["comments"]
topic  = "APPLICATION-outbox"
value  = "telegram_message"

[sources.videos]
topic = "APPLICATION-videos"
value = "youtube_video"
start = "earliest"
"#;

impl Application {
    /// Starts broker and registry, and sets the application up.
    pub(crate) fn set_up(partitions: i32) -> Self {
        let settings = Settings { measured: true, ..Settings::default() };
        let broker = Broker::start(&settings).expect("a broker can be started here");
        let registry = Registry::start().expect("a registry can be started here");
        let id = unique("bench");
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "application_id = \"{id}\"\n\n[kafka]\nbootstrap_servers = [\"{}\"]\nregistry = {{ url = \"{}\" }}\n{}",
            broker.bootstrap_servers(),
            registry.url(),
            TOPOLOGY.replace("APPLICATION", &id)
        );
        std::fs::write(folder.path().join("topology.toml"), text).unwrap();
        let application = Self { broker, registry, id, folder };
        let status = application.command(&["setup", "--partitions", &partitions.to_string()]).stdout(Stdio::null()).status().unwrap();
        assert!(status.success(), "setup: {status}");
        application
    }

    pub(crate) fn client(&self) -> ClientConfig {
        self.broker.client()
    }

    pub(crate) fn broker(&self) -> &Broker {
        &self.broker
    }

    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}-{name}", self.id)
    }

    /// The id of the schema of the input.
    pub(crate) fn schema(&self) -> SchemaId {
        let schema = crate::observations::schema("youtube_video");
        SchemaId(self.registry.register(&format!("{}-value", self.topic("videos")), schema.text()))
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A command of tidewatch in the application's folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidewatch"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }
}
