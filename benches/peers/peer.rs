//! Who is compared, and how each of them is started. Each runs as a process of its own; that it has done what there is, is told by the offsets that
//! its group committed ([`crate::group`]), for all in the same way.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use crate::application::{Application, tidewatch_run};
use crate::java::{self, Java};
use crate::passthrough::{Output, Plan};
use crate::real::packages::from_pypi;
use crate::real::process::Process;

/// One of those that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// This program.
    Tidewatch,
    /// The limit: a bare librdkafka client that reads the same and writes as many bytes.
    PassThrough,
    /// Kafka Streams, `kafka_streams/`.
    KafkaStreams,
    /// Quix Streams, `quix.py`.
    Quix,
}

/// What is to be run.
#[derive(Clone, Debug)]
pub(crate) struct Job<'a> {
    pub(crate) application: &'a Application,
    /// Application id, group, and the beginning of the names of its topics.
    pub(crate) id: String,
    pub(crate) input: String,
    pub(crate) options: Options,
    /// Lines for the section `[engine]` of tidewatch.
    pub(crate) engine: String,
    /// What the pass-through writes.
    pub(crate) outputs: Vec<Output>,
    /// Under load a transaction of the pass-through takes this long; 0 commits whenever nothing more is there.
    pub(crate) commit_ms: u64,
}

/// How all jobs run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Stream threads, of tidewatch and Kafka Streams.
    pub(crate) threads: u64,
    /// The largest heap of a Java process.
    pub(crate) heap_mib: u64,
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|peer| peer.argument() == text);
        found.ok_or_else(|| format!("no peer {text}: {}", Self::ALL.map(Self::argument).join(", ")))
    }
}

impl Peer {
    /// In the order in which they are told.
    pub(crate) const ALL: [Self; 4] = [Self::Tidewatch, Self::PassThrough, Self::KafkaStreams, Self::Quix];

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tidewatch => "tidewatch",
            Self::PassThrough => "pass-through",
            Self::KafkaStreams => "Kafka Streams",
            Self::Quix => "Quix Streams",
        }
    }

    /// As `--peers` has it.
    pub(crate) fn argument(self) -> &'static str {
        match self {
            Self::Tidewatch => "tidewatch",
            Self::PassThrough => "pass-through",
            Self::KafkaStreams => "kafka-streams",
            Self::Quix => "quix",
        }
    }

    /// What is missing on this machine to run it.
    pub(crate) fn missing(self) -> Result<(), String> {
        match self {
            Self::Tidewatch | Self::PassThrough => Ok(()),
            Self::KafkaStreams => Java::get().map(drop),
            Self::Quix => quix().map(drop),
        }
    }

    /// Whether it does the job, so that its output can be looked at.
    pub(crate) fn does_the_job(self) -> bool {
        self != Self::PassThrough
    }

    /// Makes what has to be there before it runs.
    pub(crate) fn set_up(self, job: &Job<'_>) {
        match self {
            // Creates its topics itself.
            Self::Tidewatch => drop(job.application.topology(&job.id, &job.input, &job.engine_section())),
            Self::PassThrough => job.outputs.iter().for_each(|output| job.application.create_topic(&output.topic)),
            Self::KafkaStreams | Self::Quix => {
                job.application.create_topic(&job.changes());
                job.application.create_topic(&job.outbox());
            }
        }
    }

    /// Starts it, for the first time or again.
    pub(crate) fn start(self, job: &Job<'_>) -> Process {
        let folder = job.folder();
        let environment: &[(&str, &str)] = if self == Self::Tidewatch { &[("RUST_LOG", "info")] } else { &[] };
        Process::start_with(self.name(), &folder, &self.command(job), environment)
    }

    fn command(self, job: &Job<'_>) -> Vec<OsString> {
        match self {
            Self::Tidewatch => tidewatch_run(&job.folder().join("topology.toml"), &job.state()),
            Self::PassThrough => {
                let servers = job.application.servers().to_owned();
                let (group, input) = (job.id.clone(), job.input.clone());
                Plan { servers, group, input, commit_ms: job.commit_ms, outputs: job.outputs.clone() }.command()
            }
            Self::KafkaStreams => Java::get().expect("it was looked for").command(job),
            Self::Quix => {
                let mut command: Vec<OsString> = vec![quix().expect("it was looked for").join("bin/python").into(), "-B".into()];
                command.push(java::source("quix.py").into());
                command.extend(job.arguments());
                command
            }
        }
    }

    /// The topic that has what is kept of each video.
    pub(crate) fn changelog(self, job: &Job<'_>) -> String {
        match self {
            Self::Tidewatch => format!("{}-changes-changelog", job.id),
            Self::PassThrough => format!("{}-changelog", job.id),
            Self::KafkaStreams => format!("{}-latest-changelog", job.id),
            Self::Quix => format!("changelog__{}--{}--default", job.id, job.input),
        }
    }
}

fn quix() -> Result<PathBuf, String> {
    from_pypi("quix", "quix.txt")
}

impl<'a> Job<'a> {
    /// A job on the input `videos`.
    pub(crate) fn new(application: &'a Application, name: &str, options: Options) -> Self {
        let (id, input) = (application.topic(name), application.topic("videos"));
        Self { application, id, input, options, engine: String::new(), outputs: Vec::new(), commit_ms: 100 }
    }

    fn engine_section(&self) -> String {
        format!("threads = {}\n{}", self.options.threads, self.engine)
    }

    pub(crate) fn changes(&self) -> String {
        format!("{}-changes", self.id)
    }

    pub(crate) fn outbox(&self) -> String {
        format!("{}-outbox", self.id)
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.application.folder(&self.id)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder().join("state")
    }

    /// What those that are not tidewatch are told, as name=value.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let application = self.application;
        let schema = |topic: &str, name: &str| application.schema_of(topic, name).to_string();
        let given = [
            ("servers", application.servers().to_owned()),
            ("id", self.id.clone()),
            ("input", self.input.clone()),
            ("changes", self.changes()),
            ("outbox", self.outbox()),
            ("state", self.state().display().to_string()),
            ("threads", self.options.threads.to_string()),
            ("schemas", format!("{}/schemas", env!("CARGO_MANIFEST_DIR"))),
            ("video_schema", schema("videos", "youtube_video")),
            ("change_schema", schema("changes", "youtube_change")),
            ("message_schema", schema("outbox", "telegram_message")),
        ];
        given.map(|(name, value)| format!("{name}={value}").into()).into()
    }
}
