//! The log of a Kafka cluster, through librdkafka. The only place that names rdkafka.

mod owned;
mod stub;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

pub use owned::{Refusal, owned, refusal};
pub use stub::KafkaLog;

/// How a cluster is reached.
#[derive(Clone)]
pub struct Options {
    /// `host:port` of some brokers.
    pub bootstrap_servers: Vec<String>,
    /// Further properties of librdkafka, security above all; none of those that [`owned`] knows.
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
