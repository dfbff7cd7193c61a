//! The real binary, as processes, on a real broker and a real registry; what it leaves there is read by Confluent's own client.

mod answers;
mod ends;
mod foreign;
mod instances;
mod keeping;
mod letters;
mod outages;
mod partitioner;
mod restarts;
mod secured;
mod standby;
mod verified;
mod whole;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;

use crate::comparison::{assert_messages, assert_same};
use crate::data;
use crate::installation::{Installation, Live, Output, PATIENCE, Tapped};
use crate::oracle::csv::{self, Observation};
use crate::oracle::{Expected, generated};
use crate::real::broker::Broker;
use crate::real::python::python_json;
use crate::real::registry::Registry;
use crate::real::{records, unique};

use partitioner::partition_of;

/// A topology whose application id, and so group and changelogs, and whose topics nobody else has. Commands that need no state directory of
/// their own run at home.
#[derive(Debug)]
pub(crate) struct Application {
    id: String,
    surroundings: Surroundings,
    /// How the tests reach the broker and the registry, whatever the application has to go through.
    client: ClientConfig,
    registry: String,
    home: Instance,
}

/// What every machine of an application has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    topology: String,
    /// What every command is told after its own arguments.
    flags: Vec<String>,
    /// Further files: their names and what is in them.
    files: Vec<(String, String)>,
    environment: Vec<(String, String)>,
}

/// One machine with the topology file and a state directory of its own.
#[derive(Debug)]
pub(crate) struct Instance {
    installation: Installation,
    flags: Vec<String>,
}

impl Surroundings {
    fn instance(&self) -> Instance {
        let mut installation = Installation::with_topology(&self.topology);
        for (name, text) in &self.files {
            installation.write(name, text);
        }
        for (name, value) in &self.environment {
            installation.set_env(name, value);
        }
        Instance { installation, flags: self.flags.clone() }
    }
}

impl Application {
    /// The shipped topology with these lines under `[engine]`, on the shared broker and registry, which the command line names.
    fn shipped(engine: &str) -> Option<Self> {
        Some(Self::shipped_on(Broker::shared()?, Registry::shared()?, engine))
    }

    fn shipped_on(broker: &Broker, registry: &Registry, engine: &str) -> Self {
        Self::on(broker, registry, &format!("{}\n[engine]\n{engine}\n", file("topology.toml")), &[])
    }

    /// Another topology, with the files that it names.
    fn on(broker: &Broker, registry: &Registry, topology: &str, files: &[(&str, &str)]) -> Self {
        let flags = ["--bootstrap-servers", broker.bootstrap_servers(), "--registry", &registry.url()].map(str::to_owned).to_vec();
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let surroundings = Surroundings { topology: topology.to_owned(), flags, files, ..Surroundings::default() };
        Self::within(broker, registry, surroundings)
    }

    /// One whose topics get names of their own.
    fn within(broker: &Broker, registry: &Registry, mut surroundings: Surroundings) -> Self {
        let id = unique("e2e");
        surroundings.topology = renamed(&surroundings.topology, &id);
        let home = surroundings.instance();
        Self { id, surroundings, client: broker.client(), registry: registry.url(), home }
    }

    /// The full name of a topic.
    fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.id)
    }

    /// A machine more.
    fn instance(&self) -> Instance {
        self.surroundings.instance()
    }

    /// Creates topics and schemas, and appends the observations.
    #[track_caller]
    fn set_up(&self, partitions: i64, observations: &str) {
        self.home.succeed(&["setup", "--partitions", &partitions.to_string()]);
        self.home.installation.write("observations.csv", observations);
        self.home.succeed(&["import", "observations.csv"]);
    }

    /// All committed records of a topic as Confluent's client reads them; values through the registry, keys as `kind` says. None where there
    /// is no such client.
    fn read_keyed(&self, name: &str, kind: &str) -> Option<Vec<Value>> {
        let servers = format!("bootstrap.servers={}", self.client.get("bootstrap.servers").unwrap());
        let topic = self.topic(name);
        let arguments = ["read", "--config", &servers, "--registry", &self.registry, "--topic", &topic, "--key", kind];
        python_json("confluent.py", &arguments)
    }

    fn read(&self, name: &str) -> Option<Vec<Tapped>> {
        Some(self.read_keyed(name, "string")?.iter().map(tapped).collect())
    }

    /// Asserts that the outputs hold what the oracle expects, and nothing else; `partitions` is their number in every topic.
    #[track_caller]
    fn assert_outputs(&self, expected: &Expected, partitions: i64) {
        self.assert_changes(expected, partitions);
        let Some(messages) = self.read("telegram_outbox") else { return };
        assert_messages(&messages, expected, partitions);
        let letters = records::read(&self.client, &format!("{}-dead-letters", self.id));
        assert!(letters.is_empty(), "{} dead letters, the first: {:?}", letters.len(), letters.first());
    }

    /// The same of the changes alone.
    #[track_caller]
    fn assert_changes(&self, expected: &Expected, partitions: i64) {
        let Some(changes) = self.read("youtube_changes") else { return };
        for partition in 0..partitions {
            // A video's changes are where its observations are, and nothing else is written there: so all are in the order of the input.
            let found: Vec<_> = changes.iter().filter(|change| change.partition == partition).map(parts).collect();
            let wanted = expected.changes.iter().filter(|change| partition_of(change.key.as_bytes(), partitions) == partition);
            let wanted: Vec<_> = wanted.map(|change| (change.key.clone(), change.timestamp, change.value.clone())).collect();
            assert_same(&format!("partition {partition} of youtube_changes"), &found, &wanted);
        }
        assert_eq!(changes.len(), expected.changes.len(), "youtube_changes has more partitions than {partitions}");
    }

    /// How far the group is with a topic that nobody writes to any more.
    fn progress(&self, name: &str) -> Progress {
        Progress::of(self, &self.topic(name))
    }
}

impl Instance {
    fn arguments<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        arguments.iter().copied().chain(self.flags.iter().map(String::as_str)).collect()
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.installation.output(&self.arguments(arguments))
    }

    #[track_caller]
    fn succeed(&self, arguments: &[&str]) -> Output {
        self.installation.succeed(&self.arguments(arguments))
    }

    fn start(&self, arguments: &[&str]) -> Live {
        self.installation.start(&self.arguments(arguments))
    }
}

/// The whole, in thousandths.
const ALL: i64 = 1000;

/// What a group has committed of a topic, asked of the brokers.
struct Progress {
    consumer: BaseConsumer,
    asked: TopicPartitionList,
    /// Behind the last record of each partition. A transaction's marker may follow, which nobody has to commit.
    ends: Vec<i64>,
}

impl Progress {
    fn of(application: &Application, topic: &str) -> Self {
        let mut config = application.client.clone();
        // What is committed now, and not what an open transaction may still change.
        config.set("group.id", &application.id).set("isolation.level", "read_uncommitted");
        let consumer: BaseConsumer = config.create().unwrap();
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
        let partitions = metadata.topics().iter().map(|topic| topic.partitions().len()).sum();
        let mut ends = vec![0; partitions];
        for record in records::read(&application.client, topic) {
            ends[usize::try_from(record.partition).unwrap()] = record.offset + 1;
        }
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(topic, 0, i32::try_from(partitions).unwrap() - 1);
        Self { consumer, asked, ends }
    }

    /// How much of each partition is committed, in thousandths; [`ALL`] is said of what is complete only.
    fn shares(&self) -> Vec<i64> {
        let committed = self.consumer.committed_offsets(self.asked.clone(), PATIENCE).unwrap();
        let offset = |offset| if let Offset::Offset(offset) = offset { offset } else { 0 };
        let share = |(offset, &end): (i64, &i64)| if offset >= end { ALL } else { offset * ALL / end };
        committed.elements().iter().map(|element| offset(element.offset())).zip(&self.ends).map(share).collect()
    }

    /// How much of the whole topic.
    fn share(&self) -> i64 {
        let shares = self.shares();
        shares.iter().sum::<i64>() / i64::try_from(shares.len()).unwrap()
    }

    /// Waits until so many thousandths of the topic are committed, and says how many are; no process may end meanwhile.
    #[track_caller]
    fn wait_for(&self, share: i64, live: &mut [&mut Live]) -> i64 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let there = self.share();
            if there >= share {
                return there;
            }
            for live in live.iter_mut() {
                assert!(live.ended().is_none(), "ended at {there}: {:#?}", live.said());
            }
            assert!(Instant::now() < deadline, "{share} thousandths of the input never came, but {:?}: {:#?}", self.shares(), said(live));
            // Looking as often as possible would take the processor from what is looked at.
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn said(live: &[&mut Live]) -> Vec<Vec<String>> {
    live.iter().map(|live| live.said()).collect()
}

/// A file of the project.
fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// A topology with another id, whose topics' names begin with it.
fn renamed(topology: &str, id: &str) -> String {
    let line = |line: &str| match line.split('=').next().unwrap_or_default().trim() {
        "application_id" => format!("application_id = \"{id}\"\n"),
        "topic" => line.replacen('"', &format!("\"{id}."), 1) + "\n",
        _ => format!("{line}\n"),
    };
    topology.lines().map(line).collect()
}

/// Observations: real ones where there are some; `times` over.
fn observations(times: i64) -> Vec<Observation> {
    let real = data::trending().map(|text| csv::observations(&text));
    generated::repeated(&real.unwrap_or_else(|| generated::observations(400, 60, 1)), times)
}

/// A record that Confluent's client read.
fn tapped(record: &Value) -> Tapped {
    Tapped {
        partition: record["partition"].as_i64().unwrap(),
        timestamp: record["timestamp"].as_i64().unwrap(),
        key: record["key"].as_str().map(str::to_owned),
        headers: record["headers"].clone(),
        value: record["value"].clone(),
    }
}

fn parts(record: &Tapped) -> (String, i64, Value) {
    (record.key.clone().unwrap_or_default(), record.timestamp, record.value.clone())
}
