//! Three brokers, each its own controller too: copies on all of them, two of which must have a record before it counts.
//!
//! Each has two listeners. The one that it names to clients leads through a [`Proxy`] that can delay, cut and hold what passes; the other is straight,
//! for those who look on.

use std::ffi::OsString;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::proxy::Proxy;
use crate::real::broker::{java_command, write_logging};
use crate::real::packages::{Package, java};
use crate::real::process::{Process, free_port};
use crate::time::{Deadline, nap};

/// How many brokers.
pub(crate) const NODES: usize = 3;

const CLUSTER_ID: &str = "tidewatch-fire-cluster";

/// Each broker's memory: little, for there are three and they have little to do.
const HEAP: &str = "-Xmx400m";

/// So long brokers that all go at once have for their good order.
const LAST_ORDERS: Duration = Duration::from_secs(8);

/// A cluster that goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    pub(crate) proxy: Arc<Proxy>,
}

/// Fields are dropped in order: the process before its folder.
#[derive(Debug)]
struct Node {
    process: Option<Process>,
    number: usize,
    direct: u16,
    lib: PathBuf,
    folder: tempfile::TempDir,
}

#[derive(Clone, Copy)]
struct Ports {
    controller: u16,
    direct: u16,
    front: u16,
    proxied: u16,
}

impl Cluster {
    /// Starts the brokers and waits until each of them knows all three.
    pub(crate) fn start() -> Result<Self, String> {
        java()?;
        let lib = Package::Kafka.folder()?.join("lib");
        let proxy = Arc::new(Proxy::default());
        let ports: Vec<Ports> = (0..NODES)
            .map(|_| {
                let front = free_port();
                Ports { controller: free_port(), direct: free_port(), front, proxied: proxy.before(front) }
            })
            .collect();
        let mut nodes: Vec<Node> = (0..NODES).map(|number| Node::prepare(number, &ports, &lib)).collect();
        nodes.iter_mut().for_each(Node::launch);
        let mut cluster = Self { nodes, proxy };
        cluster.wait_until_whole()?;
        Ok(cluster)
    }

    /// `host:port,...` of the straight listeners.
    pub(crate) fn direct(&self) -> String {
        let addresses: Vec<String> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.direct)).collect();
        addresses.join(",")
    }

    /// `host:port,...` of the listeners behind the proxy.
    pub(crate) fn through_proxy(&self) -> String {
        let addresses: Vec<String> = self.proxy.ports().iter().map(|port| format!("127.0.0.1:{port}")).collect();
        addresses.join(",")
    }

    /// The settings of a client that looks on.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.direct()).set("reconnect.backoff.max.ms", "500");
        config
    }

    /// Ends a broker: in good order or, with `KILL`, with no time to write anything.
    pub(crate) fn stop(&mut self, number: usize, signal: &str) {
        if let Some(process) = self.nodes[number].process.take() {
            process.stop(signal);
        }
    }

    /// Ends all brokers at once: in good order as far as they get, for the last of them wait for each other. Killed all in one moment they now and then leave a
    /// transaction behind that nobody ends, whoever the clients are.
    pub(crate) fn stop_all(&mut self) {
        for node in &mut self.nodes {
            if let Some(process) = &mut node.process {
                process.signal("TERM");
            }
        }
        let deadline = Deadline::after(LAST_ORDERS);
        while !deadline.passed() && self.nodes.iter_mut().any(|node| node.process.as_mut().is_some_and(|process| process.ended().is_none()))
        {
            nap(Duration::from_millis(50));
        }
        for node in &mut self.nodes {
            drop(node.process.take());
        }
    }

    /// Starts those that do not run, and waits until all know each other.
    pub(crate) fn start_again(&mut self) -> Result<(), String> {
        self.nodes.iter_mut().filter(|node| node.process.is_none()).for_each(Node::launch);
        self.wait_until_whole()
    }

    fn wait_until_whole(&mut self) -> Result<(), String> {
        for node in &mut self.nodes {
            let address = format!("127.0.0.1:{}", node.direct);
            let process = node.process.as_mut().ok_or("a broker is stopped")?;
            process.wait_for("listening", |_| TcpStream::connect(&address).ok())?;
            let mut config = ClientConfig::new();
            config.set("bootstrap.servers", &address).set("reconnect.backoff.max.ms", "200");
            let probe: BaseConsumer = config.create().map_err(|error| error.to_string())?;
            process.wait_for("part of the cluster", |_| {
                let metadata = probe.fetch_metadata(None, Duration::from_secs(2)).ok()?;
                (metadata.brokers().len() == NODES).then_some(())
            })?;
        }
        Ok(())
    }

    /// Waits until all copies of a topic are in step, so that the next broker may go.
    pub(crate) fn wait_until_in_step(&self, topics: &[&str]) -> Result<(), String> {
        let probe: BaseConsumer = self.client().create().map_err(|error| error.to_string())?;
        let deadline = Deadline::after(Duration::from_secs(60));
        loop {
            let in_step = |topic: &str| {
                let Ok(metadata) = probe.fetch_metadata(Some(topic), Duration::from_secs(5)) else { return false };
                metadata.topics().iter().all(|topic| topic.partitions().iter().all(|partition| partition.isr().len() == NODES))
            };
            if topics.iter().copied().all(in_step) {
                return Ok(());
            }
            if deadline.passed() {
                return Err("the copies do not come into step".to_owned());
            }
            nap(Duration::from_millis(200));
        }
    }
}

impl Node {
    fn prepare(number: usize, ports: &[Ports], lib: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("tidewatch-fire-broker-").tempdir().unwrap();
        fs::write(folder.path().join("server.properties"), properties(number, ports, folder.path())).unwrap();
        write_logging(folder.path());
        let node = Self { process: None, number, direct: ports[number].direct, lib: lib.to_owned(), folder };
        let mut command = node.command("kafka.tools.StorageTool");
        command.extend(["format", "-t", CLUSTER_ID, "-c"].map(OsString::from));
        command.push(node.folder.path().join("server.properties").into());
        let mut formatting = Process::start("kafka-storage format", node.folder.path(), &command);
        let status = formatting.end();
        assert!(status.success(), "{status}: {}", formatting.said());
        node
    }

    fn command(&self, class: &str) -> Vec<OsString> {
        let mut command = java_command(&self.lib, self.folder.path(), class);
        for heap in command.iter_mut().filter(|argument| argument.to_string_lossy().starts_with("-Xmx")) {
            *heap = HEAP.into();
        }
        command
    }

    fn launch(&mut self) {
        let mut command = self.command("kafka.Kafka");
        command.push(self.folder.path().join("server.properties").into());
        self.process = Some(Process::start(&format!("broker {}", self.number + 1), self.folder.path(), &command));
    }
}

fn properties(number: usize, ports: &[Ports], folder: &Path) -> String {
    let own = &ports[number];
    let voters: Vec<String> = ports.iter().zip(1..).map(|(ports, id)| format!("{id}@127.0.0.1:{}", ports.controller)).collect();
    format!(
        "process.roles=broker,controller\n\
         node.id={id}\n\
         controller.quorum.voters={voters}\n\
         controller.listener.names=CONTROLLER\n\
         listeners=DIRECT://127.0.0.1:{direct},FRONT://127.0.0.1:{front},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=DIRECT://127.0.0.1:{direct},FRONT://127.0.0.1:{proxied}\n\
         listener.security.protocol.map=DIRECT:PLAINTEXT,FRONT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         inter.broker.listener.name=DIRECT\n\
         log.dirs={data}\n\
         num.network.threads=2\n\
         num.io.threads=4\n\
         default.replication.factor=3\n\
         min.insync.replicas=2\n\
         offsets.topic.replication.factor=3\n\
         offsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor=3\n\
         transaction.state.log.min.isr=2\n\
         transaction.state.log.num.partitions=4\n\
         group.initial.rebalance.delay.ms=0\n\
         replica.lag.time.max.ms=10000\n\
         broker.session.timeout.ms=6000\n\
         auto.create.topics.enable=false\n",
        id = number + 1,
        voters = voters.join(","),
        direct = own.direct,
        front = own.front,
        proxied = own.proxied,
        controller = own.controller,
        data = folder.join("data").display(),
    )
}
