//! The log of a Kafka cluster, through librdkafka: the only place that names rdkafka.
//!
//! Everything that librdkafka does differently from what its flags say is dealt with here, so that the engine sees one log:
//! `settings` pins what the protocol rests on, `error` sorts errors, `context` turns callbacks into values.

mod admin;
mod client;
mod closing;
mod consumer;
mod context;
mod error;
mod native;
mod orphans;
mod owned;
mod producer;
mod settings;
mod successor;
mod wait;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use self::owned::{Refusal, owned, refusal};

use self::admin::KafkaAdmin;
use self::consumer::KafkaConsumer;
use self::producer::KafkaProducer;
use super::{Admin, Consumer, ConsumerOptions, Log, Producer, ProducerOptions, Result};

/// How a cluster is reached.
#[derive(Clone)]
pub struct Options {
    /// `host:port` of some brokers.
    pub bootstrap_servers: Vec<String>,
    /// Further properties of librdkafka, security above all; none of those that the engine owns.
    pub properties: BTreeMap<String, String>,
    /// What brokers' logs and quotas call this client.
    pub client_id: String,
    /// After this time without a heartbeat a member's partitions go to others.
    pub session_timeout: Duration,
    /// How many copies new topics have; none: as the brokers say.
    pub replication: Option<i32>,
}

impl Options {
    /// Just the brokers; the rest as it is best.
    pub fn new(bootstrap_servers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into_iter().map(Into::into).collect(),
            properties: BTreeMap::new(),
            client_id: "tidewatch".to_owned(),
            session_timeout: Duration::from_secs(10),
            replication: None,
        }
    }
}

impl Options {
    /// What a producer puts into one batch at most, in bytes: a topic must take as much.
    pub fn batch_bytes(&self) -> i64 {
        let given = |name: &str| self.properties.get(name).and_then(|value| value.parse().ok());
        let batch = given("batch.size").unwrap_or(settings::BATCH_BYTES);
        given("message.max.bytes").map_or(batch, |message: i64| message.min(batch))
    }
}

/// Shows the names of the properties only: their values hold passwords.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("properties", &self.properties.keys())
            .field("client_id", &self.client_id)
            .field("session_timeout", &self.session_timeout)
            .field("replication", &self.replication)
            .finish()
    }
}

/// The log of one cluster.
#[derive(Debug)]
pub struct KafkaLog {
    options: Options,
    admin: Arc<KafkaAdmin>,
}

impl KafkaLog {
    /// Prepares clients; connects to nothing yet. Fails for a property that librdkafka does not know.
    pub fn new(options: Options) -> Result<Arc<Self>> {
        let admin = Arc::new(KafkaAdmin::new(&options)?);
        Ok(Arc::new(Self { options, admin }))
    }
}

impl Log for KafkaLog {
    fn consumer(&self, options: ConsumerOptions) -> Result<Box<dyn Consumer>> {
        Ok(Box::new(KafkaConsumer::new(&self.options, &options)?))
    }

    fn producer(&self, options: ProducerOptions) -> Result<Box<dyn Producer>> {
        Ok(Box::new(KafkaProducer::new(&self.options, options, Arc::clone(&self.admin))?))
    }

    fn admin(&self) -> Arc<dyn Admin> {
        Arc::<KafkaAdmin>::clone(&self.admin)
    }
}
