//! Stands in for the log of a cluster until it is there: everything but its creation fails.

use std::sync::Arc;

use super::Options;
use crate::streams::clock::Timestamp;
use crate::streams::log::{
    Admin, Class, Committed, Consumer, ConsumerOptions, Error, Isolation, Log, Offset, Producer, ProducerOptions, Result, TopicConfig,
    TopicDescription, TopicPartition,
};

/// The log of a Kafka cluster.
#[derive(Debug)]
pub struct KafkaLog {
    options: Options,
}

impl KafkaLog {
    /// Connects lazily: brokers that cannot be reached are an error of the first call that needs them.
    pub fn new(options: Options) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { options }))
    }
}

fn absent<T>(servers: &[String]) -> Result<T> {
    Err(Error::new(Class::Fatal, format!("talking to {}", servers.join(",")), "not there yet"))
}

impl Log for KafkaLog {
    fn consumer(&self, _: ConsumerOptions) -> Result<Box<dyn Consumer>> {
        absent(&self.options.bootstrap_servers)
    }

    fn producer(&self, _: ProducerOptions) -> Result<Box<dyn Producer>> {
        absent(&self.options.bootstrap_servers)
    }

    fn admin(&self) -> Arc<dyn Admin> {
        Arc::new(AbsentAdmin { servers: self.options.bootstrap_servers.clone() })
    }
}

#[derive(Debug)]
struct AbsentAdmin {
    servers: Vec<String>,
}

impl Admin for AbsentAdmin {
    fn brokers(&self) -> Result<usize> {
        absent(&self.servers)
    }
    fn topics(&self) -> Result<Vec<TopicDescription>> {
        absent(&self.servers)
    }
    fn describe(&self, _: &str) -> Result<Option<TopicDescription>> {
        absent(&self.servers)
    }
    fn create_topic(&self, _: &str, _: &TopicConfig) -> Result<()> {
        absent(&self.servers)
    }
    fn delete_topic(&self, _: &str) -> Result<()> {
        absent(&self.servers)
    }
    fn watermarks(&self, _: &TopicPartition, _: Isolation) -> Result<(Offset, Offset)> {
        absent(&self.servers)
    }
    fn offset_for_time(&self, _: &TopicPartition, _: Timestamp) -> Result<Option<Offset>> {
        absent(&self.servers)
    }
    fn group_offsets(&self, _: &str) -> Result<Vec<(TopicPartition, Committed)>> {
        absent(&self.servers)
    }
    fn alter_group_offsets(&self, _: &str, _: &[(TopicPartition, Option<Committed>)]) -> Result<()> {
        absent(&self.servers)
    }
    fn maintain(&self, _: Timestamp) -> Result<()> {
        absent(&self.servers)
    }
}
