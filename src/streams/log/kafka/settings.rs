//! The settings of librdkafka's clients. Those of the user come first, so that what the protocol rests on cannot be changed by them.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::Options;
use crate::streams::log::{ConsumerOptions, Isolation, ProducerOptions};

/// Bytes that a consumer fetches ahead, per partition: as fast as the default of 64 MB, and most of a process's memory otherwise.
const FETCH_AHEAD_KBYTES: &str = "8192";

/// Records that a consumer fetches ahead, per partition. Each takes more than three times a small record's own bytes, which the limit above does not
/// count: the default of 100,000 costs 40 MB more and is no faster.
const FETCH_AHEAD_RECORDS: &str = "20000";

/// How often a consumer asks for the topics' metadata. A member has been seen to wait for metadata in the middle of its join (`WAIT_METADATA` in
/// `rdkafka_cgrp.c` of librdkafka 2.12) until the next periodic answer came: after five minutes by default, in which it was in no group.
const METADATA_EVERY_MS: &str = "10000";

/// Bytes that wait in a producer for the broker.
const PRODUCE_KBYTES: &str = "16384";

/// Also the time that a rebalance waits for a member.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(60);

fn ms(duration: Duration) -> String {
    duration.as_millis().to_string()
}

fn set(config: &mut ClientConfig, pairs: &[(&str, &str)]) {
    for (key, value) in pairs {
        config.set(*key, *value);
    }
}

/// What all clients have in common. `tuning` may be overridden by the user's own properties.
fn client(options: &Options, tuning: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    set(&mut config, tuning);
    for (key, value) in &options.properties {
        config.set(key, value);
    }
    config.set("bootstrap.servers", options.bootstrap_servers.join(","));
    config.set("client.id", &options.client_id);
    config.set("allow.auto.create.topics", "false");
    config.set_log_level(RDKafkaLogLevel::Warning);
    config
}

/// For topics, offsets and groups.
pub(super) fn admin(options: &Options) -> ClientConfig {
    client(options, &[("socket.timeout.ms", "10000")])
}

/// For queries that must see the high watermark or the last stable offset: the client's isolation level decides which.
pub(super) fn query(options: &Options, isolation: Isolation) -> ClientConfig {
    let mut config = admin(options);
    config.set("isolation.level", level(isolation));
    config
}

/// For reading; with a group also for membership and committed offsets.
pub(super) fn consumer(options: &Options, wanted: &ConsumerOptions) -> ClientConfig {
    let tuning = [
        // A full queue sleeps this long before it fetches again; the default of 1000 costs three quarters of the rate.
        ("fetch.queue.backoff.ms", "10"),
        ("queued.max.messages.kbytes", FETCH_AHEAD_KBYTES),
        ("queued.min.messages", FETCH_AHEAD_RECORDS),
        ("socket.timeout.ms", "60000"),
        ("topic.metadata.refresh.interval.ms", METADATA_EVERY_MS),
    ];
    let mut config = client(options, &tuning);
    set(
        &mut config,
        &[
            ("isolation.level", level(wanted.isolation)),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            // The topology says where to begin; an offset that is gone is an error and no reason to begin elsewhere.
            ("auto.offset.reset", "error"),
            ("enable.partition.eof", "false"),
            ("check.crcs", "true"),
            ("group.protocol", "classic"),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("heartbeat.interval.ms", "1000"),
        ],
    );
    config.set("session.timeout.ms", ms(options.session_timeout));
    config.set("max.poll.interval.ms", ms(MAX_POLL_INTERVAL));
    // Without a group librdkafka assigns nothing. This one has no members and no offsets: nobody subscribes or commits under it.
    config.set("group.id", wanted.group.as_deref().map_or_else(|| format!("{}-reader", options.client_id), str::to_owned));
    if let Some(instance) = &wanted.instance_id {
        config.set("group.instance.id", &**instance);
    }
    config
}

/// What a producer puts into one batch at most, in bytes.
pub(super) const BATCH_BYTES: i64 = 262_144;

/// For transactions.
pub(super) fn producer(options: &Options, wanted: &ProducerOptions) -> ClientConfig {
    let batch = BATCH_BYTES.to_string();
    let tuning = [("linger.ms", "1"), ("batch.size", &*batch), ("queue.buffering.max.kbytes", PRODUCE_KBYTES)];
    let mut config = client(options, &tuning);
    set(
        &mut config,
        &[
            ("enable.idempotence", "true"),
            ("acks", "all"),
            // Java and ksqlDB hash so; librdkafka's default does not.
            ("partitioner", "murmur2_random"),
            // A topic that does not exist is said to be so before the records for it time out, which would look like an outage.
            ("topic.metadata.propagation.max.ms", "5000"),
            // A request that was sent twice then costs at least 400 ms: the engine's guard tells it by that.
            ("retry.backoff.ms", "500"),
            ("retry.backoff.max.ms", "1000"),
            ("reconnect.backoff.ms", "500"),
            ("reconnect.backoff.max.ms", "1000"),
        ],
    );
    config.set("transactional.id", &*wanted.transactional_id);
    config.set("transaction.timeout.ms", ms(wanted.transaction_timeout));
    // Below the transaction's, so that a record that cannot be delivered fails before the transaction does. No socket.timeout.ms here:
    // with a transaction timeout below it the client cannot be made.
    config.set("message.timeout.ms", ms(wanted.transaction_timeout.saturating_sub(Duration::from_millis(500))));
    config
}

fn level(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::ReadCommitted => "read_committed",
        Isolation::ReadUncommitted => "read_uncommitted",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        let mut options = Options::new(["a:1", "b:2"]);
        options.properties = [("linger.ms", "7"), ("isolation.level", "read_uncommitted"), ("acks", "0"), ("sasl.password", "s3cr3t")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        options
    }

    #[test]
    fn a_users_properties_tune_but_never_weaken() {
        let wanted = ProducerOptions { transactional_id: "x".into(), topics: Vec::new(), transaction_timeout: Duration::from_secs(10) };
        let config = producer(&options(), &wanted);
        assert_eq!(config.get("linger.ms"), Some("7"));
        assert_eq!(config.get("acks"), Some("all"));
        assert_eq!(config.get("message.timeout.ms"), Some("9500"));
        assert_eq!(config.get("socket.timeout.ms"), None);
        assert_eq!(config.get("bootstrap.servers"), Some("a:1,b:2"));
        let wanted = ConsumerOptions { group: Some("g".into()), instance_id: None, isolation: Isolation::ReadCommitted };
        let config = consumer(&options(), &wanted);
        assert_eq!(config.get("isolation.level"), Some("read_committed"));
        assert_eq!(config.get("auto.offset.reset"), Some("error"));
        assert_eq!(config.get("group.instance.id"), None);
    }

    #[test]
    fn secrets_are_not_shown() {
        assert!(!format!("{:?}", options()).contains("s3cr3t"));
    }
}
