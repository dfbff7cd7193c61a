//! The properties of librdkafka that users may not set, and why; and what librdkafka itself says of the others.

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

/// Properties with a setting of ours.
const OURS: &[(&str, &str)] = &[
    ("bootstrap.servers", "`bootstrap_servers` of [kafka] sets it"),
    ("metadata.broker.list", "`bootstrap_servers` of [kafka] sets it"),
    ("client.id", "it is made of the application's id and the instance's"),
    ("group.id", "it is the `application_id`"),
    ("group.instance.id", "it is made of `instance_id` of [engine], or else of the id in the state directory"),
    ("transactional.id", "it is made of the `application_id` and the instance's id, so that a restart fences what it left behind"),
    ("transaction.timeout.ms", "`transaction_timeout_ms` of [engine] sets it"),
    ("session.timeout.ms", "`session_timeout_ms` of [kafka] sets it"),
    ("auto.offset.reset", "`start` of each source says where a group without a position begins"),
];

/// Properties that the engine's guarantee rests on.
const PINNED: &[(&str, &str)] = &[
    ("enable.auto.commit", COMMITS),
    ("auto.commit.interval.ms", COMMITS),
    ("auto.commit.enable", COMMITS),
    ("enable.auto.offset.store", COMMITS),
    ("offset.store.method", COMMITS),
    ("offset.store.path", COMMITS),
    ("offset.store.sync.interval.ms", COMMITS),
    ("isolation.level", "only committed records may be read, or results of aborted transactions would count"),
    ("check.crcs", "records are always checked: a damaged one must not become state"),
    ("enable.partition.eof", "the engine knows by itself where the input ends"),
    ("allow.auto.create.topics", "`tidewatch setup` creates topics, with the settings that they need"),
    ("fetch.queue.backoff.ms", "librdkafka's default costs three quarters of the read rate; 10 is set"),
    ("partition.assignment.strategy", GROUP),
    ("group.protocol", GROUP),
    ("group.protocol.type", GROUP),
    ("group.remote.assignor", GROUP),
    ("heartbeat.interval.ms", "1000 is set, so that rebalances are quick"),
    ("max.poll.interval.ms", "it is the time limit of a rebalance too; 60000 is set"),
    ("coordinator.query.interval.ms", GROUP),
    ("enable.idempotence", TRANSACTIONS),
    ("enable.gapless.guarantee", TRANSACTIONS),
    ("acks", TRANSACTIONS),
    ("request.required.acks", TRANSACTIONS),
    ("max.in.flight", TRANSACTIONS),
    ("max.in.flight.requests.per.connection", TRANSACTIONS),
    ("retries", TRANSACTIONS),
    ("message.send.max.retries", TRANSACTIONS),
    ("message.timeout.ms", "it must stay below the transaction's timeout; `transaction_timeout_ms` of [engine] moves both"),
    ("delivery.timeout.ms", "it must stay below the transaction's timeout; `transaction_timeout_ms` of [engine] moves both"),
    ("socket.timeout.ms", "no transactional producer can be made where it is above the transaction's timeout"),
    ("partitioner", "keys are hashed as Java clients and ksqlDB hash them; state lies in the partition of its key"),
    ("plugin.library.paths", "no foreign code is loaded into the engine"),
    ("retry.backoff.ms", BACKOFF),
    ("retry.backoff.max.ms", BACKOFF),
    ("reconnect.backoff.ms", BACKOFF),
    ("reconnect.backoff.max.ms", BACKOFF),
];

const COMMITS: &str = "positions are committed in the transaction of the results, or exactly once is lost";
const GROUP: &str = "how partitions are handed over is part of the commit protocol";
const TRANSACTIONS: &str = "transactions need it as it is";
const BACKOFF: &str = "the time of a commit call tells whether it was sent twice, and the back-off makes the difference";
const KERBEROS: &str = "Kerberos (GSSAPI) is not built in; SSL, PLAIN, SCRAM and OAUTHBEARER are";

/// Why a property of librdkafka may not be set by users: the engine owns it, or it is not built in. None: it may.
pub fn owned(property: &str) -> Option<&'static str> {
    if property.starts_with("sasl.kerberos.") {
        return Some(KERBEROS);
    }
    OURS.iter().chain(PINNED).find(|(name, _)| *name == property).map(|&(_, reason)| reason)
}

/// What librdkafka has against a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It has no such property.
    Unknown,
    /// It has, but not with this value, or not as it was built; with its words, which may repeat the value.
    Value(String),
}

/// Asks librdkafka whether it would take a property with this value; none: it would.
pub fn refusal(property: &str, value: &str) -> Option<Refusal> {
    match ClientConfig::new().set(property, value).create_native_config() {
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => Some(Refusal::Unknown),
        Err(KafkaError::ClientConfig(_, words, ..)) => Some(Refusal::Value(words)),
        Err(_) => Some(Refusal::Value("a null byte is in it".to_owned())),
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_keeps_what_its_guarantee_rests_on_and_leaves_the_rest() {
        for property in ["bootstrap.servers", "group.instance.id", "isolation.level", "partitioner", "sasl.kerberos.keytab"] {
            assert!(owned(property).is_some(), "{property}");
        }
        for property in ["security.protocol", "sasl.password", "sasl.mechanism", "ssl.ca.location", "linger.ms", "debug", "client.rack"] {
            assert_eq!(owned(property), None, "{property}");
        }
    }

    #[test]
    fn every_owned_property_is_one_of_librdkafka() {
        // Java's names that librdkafka takes as well, and values that each type has.
        // Asking about plugins would load them.
        for (property, _) in OURS.iter().chain(PINNED).filter(|(property, _)| *property != "plugin.library.paths") {
            let refusals: Vec<_> = ["1", "x", "earliest", "file"].iter().map(|value| refusal(property, value)).collect();
            assert!(!refusals.contains(&Some(Refusal::Unknown)), "{property}");
        }
    }

    #[test]
    fn librdkafka_is_asked_about_the_others() {
        assert_eq!(refusal("security.protocol", "SASL_SSL"), None);
        assert!(matches!(refusal("security.protocol", "TLS"), Some(Refusal::Value(words)) if words.contains("TLS")));
        assert_eq!(refusal("security.protokoll", "SSL"), Some(Refusal::Unknown));
        assert_eq!(refusal("linger.ms", "5"), None);
        assert!(matches!(refusal("linger.ms", "soon"), Some(Refusal::Value(_))));
        assert!(matches!(refusal("client.rack", "\0"), Some(Refusal::Value(_))));
    }
}
