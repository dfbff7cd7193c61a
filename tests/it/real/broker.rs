//! A Kafka broker: one process that is its own controller. One is shared by all tests of the process; those that stop it, or that want
//! other settings, start their own.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::packages::{Package, java};
use super::process::{Process, free_port, port_was_taken};
use super::security::{Certificates, Listener, scram_arguments};
use super::{PATIENCE, block_on, or_skip};

/// How often ports are chosen before giving up: somebody else may take one between the choice and the start.
const ATTEMPTS: usize = 3;

/// Any base64url of 16 bytes.
const CLUSTER_ID: &str = "tidewatch-test-cluster";

const LOG4J: &str = "status=error\nrootLogger.level=warn\nrootLogger.appenderRef.out.ref=out\nappender.out.type=Console\nappender.out.name=out\n\
                     appender.out.layout.type=PatternLayout\nappender.out.layout.pattern=%d %p %c{1}: %m%n\n";

/// The simple compiler alone: a start takes half the processor time.
pub(crate) const QUICK_JAVA: &str = "-XX:TieredStopAtLevel=1";

/// Records of tests bear times of years ago, so a broker that looked would find them too old, and remove them under a test's feet.
const NEVER_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// How a broker differs from the shared one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// More lines for its `server.properties`; they win over the harness's own.
    pub(crate) properties: Vec<(String, String)>,
    /// Whether it has the listeners [`Listener::SECURED`].
    pub(crate) secured: bool,
    /// Whether its speed is of interest: Java then takes the time to compile well, which costs as much processor as the whole start does.
    pub(crate) measured: bool,
}

/// A broker, ours or the one that `KAFKA_BOOTSTRAP_SERVERS` names.
#[derive(Debug)]
pub(crate) struct Broker {
    bootstrap_servers: String,
    own: Option<Own>,
}

/// What is only known of a broker of ours. Fields are dropped in order: the process before its folder.
#[derive(Debug)]
struct Own {
    process: Option<Process>,
    ports: Ports,
    certificates: Option<Certificates>,
    lib: PathBuf,
    measured: bool,
    folder: tempfile::TempDir,
}

#[derive(Clone, Debug)]
struct Ports {
    controller: u16,
    listeners: Vec<(Listener, u16)>,
}

impl Broker {
    /// The one of all tests: that of `KAFKA_BOOTSTRAP_SERVERS` if set. Topics and groups on it need a name from [`super::unique`].
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Result<Broker, String>> = OnceLock::new();
        let given = || std::env::var("KAFKA_BOOTSTRAP_SERVERS").ok().filter(|servers| !servers.is_empty());
        let find = || match given() {
            Some(bootstrap_servers) => Ok(Self { bootstrap_servers, own: None }),
            None => Self::try_start(&Settings::default()),
        };
        or_skip(SHARED.get_or_init(find).as_ref().map_err(Clone::clone))
    }

    /// One with all listeners, shared by the tests that want to be let in.
    pub(crate) fn secured() -> Option<&'static Self> {
        static SECURED: OnceLock<Result<Broker, String>> = OnceLock::new();
        let start = || Self::try_start(&Settings { secured: true, ..Settings::default() });
        or_skip(SECURED.get_or_init(start).as_ref().map_err(Clone::clone))
    }

    /// One of the caller's own, which it may stop; gone when dropped.
    pub(crate) fn start(settings: &Settings) -> Option<Self> {
        or_skip(Self::try_start(settings))
    }

    /// An error says what is missing on this machine; a broker that does not start although all is there is a panic.
    fn try_start(settings: &Settings) -> Result<Self, String> {
        java()?;
        let lib = Package::Kafka.folder()?.join("lib");
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let mut own = Own::prepare(settings, lib.clone())?;
            match own.run() {
                Ok(()) => return Ok(Self { bootstrap_servers: own.address(Listener::Plaintext), own: Some(own) }),
                Err(said) if port_was_taken(&said) => last = said,
                Err(said) => panic!("{said}"),
            }
        }
        panic!("{ATTEMPTS} times somebody else took a port that was free: {last}");
    }

    /// `host:port` of the listener without security.
    pub(crate) fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// `host:port` of a listener; panics where this broker does not have it.
    pub(crate) fn address(&self, listener: Listener) -> String {
        self.own.as_ref().expect("a broker that is not ours has one address").address(listener)
    }

    /// The certificates of a secured broker.
    pub(crate) fn certificates(&self) -> &Certificates {
        self.own.as_ref().and_then(|own| own.certificates.as_ref()).expect("the broker is secured")
    }

    /// The settings with which a client of rdkafka finds the broker.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap_servers);
        config
    }

    /// Creates a topic with settings such as `("cleanup.policy", "compact")`, and waits until its leaders are known.
    pub(crate) fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        topic.config = settings.to_vec();
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
        for result in block_on(admin.create_topics([&topic], &options)).unwrap() {
            result.unwrap_or_else(|(name, error)| panic!("topic {name}: {error}"));
        }
    }

    /// The process id of the broker.
    pub(crate) fn process_id(&self) -> u32 {
        self.own.as_ref().and_then(|own| own.process.as_ref()).expect("the broker is ours and runs").id()
    }

    /// Asks the broker to stop, and waits until it is gone.
    pub(crate) fn stop(&mut self) {
        self.own_mut().process.take().expect("the broker runs").stop("TERM");
    }

    /// Kills the broker with no time to write anything.
    pub(crate) fn kill(&mut self) {
        self.own_mut().process.take().expect("the broker runs").stop("KILL");
    }

    /// Stands the broker still, connections open, until [`Self::thaw`].
    pub(crate) fn freeze(&mut self) {
        self.own_mut().process.as_mut().expect("the broker runs").signal("STOP");
    }

    /// Ends what [`Self::freeze`] began.
    pub(crate) fn thaw(&mut self) {
        self.own_mut().process.as_mut().expect("the broker runs").signal("CONT");
    }

    /// Starts a stopped broker again, with its data and its ports.
    pub(crate) fn start_again(&mut self) {
        self.own_mut().run().unwrap_or_else(|said| panic!("{said}"));
    }

    fn own_mut(&mut self) -> &mut Own {
        self.own.as_mut().expect("a broker that is not ours stays as it is")
    }
}

impl Own {
    /// A folder with settings and formatted storage.
    fn prepare(settings: &Settings, lib: PathBuf) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("tidewatch-broker-").tempdir().unwrap();
        let mut listeners = vec![(Listener::Plaintext, free_port())];
        let certificates = if settings.secured {
            listeners.extend(Listener::SECURED.map(|listener| (listener, free_port())));
            Some(Certificates::make(folder.path())?)
        } else {
            None
        };
        let ports = Ports { controller: free_port(), listeners };
        let mut properties = server_properties(&ports, folder.path());
        properties.push_str(&certificates.as_ref().map(Certificates::broker_properties).unwrap_or_default());
        for (name, value) in &settings.properties {
            writeln!(properties, "{name}={value}").unwrap();
        }
        fs::write(folder.path().join("server.properties"), properties).unwrap();
        fs::write(folder.path().join("log4j2.properties"), LOG4J).unwrap();
        let own = Self { process: None, ports, certificates, lib, measured: settings.measured, folder };
        let mut format = java_command(&own.lib, own.folder.path(), "kafka.tools.StorageTool");
        format.extend(["format", "--standalone", "-t", CLUSTER_ID, "-c"].map(OsString::from));
        format.push(own.folder.path().join("server.properties").into());
        if settings.secured {
            format.extend(scram_arguments().into_iter().map(OsString::from));
        }
        // As a process that goes with the tests, so that its folder does too.
        let mut formatting = Process::start("kafka-storage format", own.folder.path(), &format);
        let status = formatting.end();
        assert!(status.success(), "{status}: {}", formatting.said());
        Ok(own)
    }

    /// Starts the broker and waits until it answers.
    fn run(&mut self) -> Result<(), String> {
        assert!(self.process.is_none(), "the broker runs already");
        let mut command = java_command(&self.lib, self.folder.path(), "kafka.Kafka");
        if self.measured {
            command.retain(|argument| argument != QUICK_JAVA);
        }
        command.push(self.folder.path().join("server.properties").into());
        let mut process = Process::start("the broker", self.folder.path(), &command);
        let address = self.address(Listener::Plaintext);
        // First a bare connection: librdkafka would wait longer and longer between its attempts.
        process.wait_for("listening", |_| TcpStream::connect(&address).ok())?;
        let probe: BaseConsumer = ClientConfig::new().set("bootstrap.servers", &address).create().unwrap();
        process.wait_for("answering", |_| {
            let metadata = probe.fetch_metadata(None, Duration::from_secs(1)).ok()?;
            (!metadata.brokers().is_empty()).then_some(())
        })?;
        self.process = Some(process);
        Ok(())
    }

    fn address(&self, listener: Listener) -> String {
        let port = self.ports.listeners.iter().find(|(name, _)| *name == listener).map(|(_, port)| port);
        format!("127.0.0.1:{}", port.expect("the broker has this listener"))
    }
}

/// The command that runs a class out of a folder of jars; `folder` holds `log4j2.properties`.
pub(crate) fn java_command(lib: &Path, folder: &Path, class: &str) -> Vec<OsString> {
    let mut logging = OsString::from("-Dlog4j2.configurationFile=file:");
    logging.push(folder.join("log4j2.properties"));
    vec!["java".into(), QUICK_JAVA.into(), "-Xmx512m".into(), "-cp".into(), lib.join("*").into(), logging, class.into()]
}

/// Writes the logging settings that [`java_command`] names.
pub(crate) fn write_logging(folder: &Path) {
    fs::write(folder.join("log4j2.properties"), LOG4J).unwrap();
}

fn server_properties(ports: &Ports, folder: &Path) -> String {
    let mut listeners = String::new();
    let mut protocols = "CONTROLLER:PLAINTEXT".to_owned();
    for (listener, port) in &ports.listeners {
        let (name, protocol) = listener.name_and_protocol();
        write!(listeners, "{}{name}://127.0.0.1:{port}", if listeners.is_empty() { "" } else { "," }).unwrap();
        write!(protocols, ",{name}:{protocol}").unwrap();
    }
    let controller = ports.controller;
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
         controller.listener.names=CONTROLLER\n\
         listeners={listeners},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners={listeners}\n\
         listener.security.protocol.map={protocols}\n\
         inter.broker.listener.name=PLAINTEXT\n\
         log.dirs={}\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=4\n\
         group.initial.rebalance.delay.ms=0\n\
         log.retention.check.interval.ms={NEVER_MS}\n\
         auto.create.topics.enable=false\n",
        folder.join("data").display()
    )
}
