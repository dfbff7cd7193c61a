//! The job as tidewatch does it: changes for all observations, a message where comments differ, which is so for two of five. And what all that do
//! the job need: a broker, a registry, the input.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use tidewatch::avro::{SchemaId, shipped};

use crate::real::broker::{Broker, Settings};
use crate::real::registry::Registry;
use crate::real::{block_on, unique};

/// A broker, a registry, and a folder.
#[derive(Debug)]
pub(crate) struct Application {
    broker: Broker,
    registry: Registry,
    pub(crate) id: String,
    pub(crate) partitions: i32,
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
topic = "INPUT"
value = "youtube_video"
start = "earliest"
"#;

impl Application {
    /// Starts broker and registry, and makes the input `videos`.
    pub(crate) fn set_up(partitions: i32) -> Self {
        let settings = Settings { measured: true, ..Settings::default() };
        let broker = Broker::start(&settings).expect("a broker can be started here");
        let registry = Registry::start().expect("a registry can be started here");
        let folder = tempfile::Builder::new().prefix("tidewatch-peers-").tempdir().unwrap();
        let application = Self { broker, registry, id: unique("bench"), partitions, folder };
        application.create_topic(&application.topic("videos"));
        application
    }

    pub(crate) fn client(&self) -> ClientConfig {
        self.broker.client()
    }

    pub(crate) fn servers(&self) -> &str {
        self.broker.bootstrap_servers()
    }

    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}-{name}", self.id)
    }

    /// A topic with as many partitions as the input has, which keeps what is in it.
    pub(crate) fn create_topic(&self, name: &str) {
        self.broker.create_topic(name, self.partitions, &[("retention.ms", "-1")]);
    }

    /// Removes topics, so that the disk does not fill with what nobody reads any more.
    pub(crate) fn delete_topics(&self, names: &[String]) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        drop(block_on(admin.delete_topics(&names, &AdminOptions::new())).unwrap());
    }

    /// The id of the schema of the input.
    pub(crate) fn schema(&self) -> SchemaId {
        self.schema_of("videos", "youtube_video")
    }

    /// The id of a shipped schema, registered for a topic.
    pub(crate) fn schema_of(&self, topic: &str, name: &str) -> SchemaId {
        SchemaId(self.registry.register(&format!("{}-value", self.topic(topic)), shipped(name).unwrap()))
    }

    /// A folder inside that of the application, made where it is not there.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Sets tidewatch up under an id, with output topics of that name; its topology file.
    pub(crate) fn topology(&self, id: &str, input: &str, engine: &str) -> PathBuf {
        let text = format!(
            "application_id = \"{id}\"\n\n[kafka]\nbootstrap_servers = [\"{}\"]\nregistry = {{ url = \"{}\" }}\n{}\n[engine]\n{engine}\n",
            self.servers(),
            self.registry.url(),
            TOPOLOGY.replace("APPLICATION", id).replace("INPUT", input)
        );
        let file = self.folder(id).join("topology.toml");
        std::fs::write(&file, text).unwrap();
        let partitions = self.partitions.to_string();
        let setup = tidewatch(&["setup", "--partitions", &partitions], &file).stdin(Stdio::null()).output().unwrap();
        assert!(setup.status.success(), "setup: {}: {}", setup.status, String::from_utf8_lossy(&setup.stderr));
        file
    }
}

/// A command of tidewatch with a topology file.
pub(crate) fn tidewatch(arguments: &[&str], file: &Path) -> Command {
    let mut command = Command::new(BINARY);
    command.args(arguments).arg("--config").arg(file);
    command
}

/// The same as a list.
pub(crate) fn tidewatch_run(file: &Path, state: &Path) -> Vec<OsString> {
    let mut command: Vec<OsString> = [BINARY, "run", "--only", "topology", "--config"].map(OsString::from).into();
    command.extend([file.into(), "--state-dir".into(), state.into()]);
    command
}

const BINARY: &str = env!("CARGO_BIN_EXE_tidewatch");
