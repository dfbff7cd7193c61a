//! How a cluster is reached: what `[kafka]` and the command line say of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

use super::document;
use super::external::External;
use crate::avro::ConfluentOptions;
use crate::streams::log::kafka;

/// How long a call of the registry may take.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(10);

/// What the command line says instead of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The brokers; none: those of the file.
    pub bootstrap_servers: Vec<String>,
    /// The address of the registry; checked with the file, since it may hold a password that no message should show.
    pub registry: Option<String>,
}

impl Overrides {
    /// Whether the command line says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A Kafka cluster with its schema registry.
#[derive(Clone, Debug)]
pub struct Kafka {
    /// Some of its brokers.
    pub bootstrap_servers: Vec<String>,
    /// Its registry; none where no value needs one.
    pub registry: Option<RegistryAddress>,
    /// Properties of librdkafka.
    pub properties: BTreeMap<String, External>,
    /// How many copies new topics have; none: three where there are three brokers.
    pub replication: Option<i32>,
    /// After this time without a heartbeat an instance's partitions go to others.
    pub session_timeout: Duration,
}

/// Where a registry is and who asks.
#[derive(Clone, Debug)]
pub struct RegistryAddress {
    /// Its URL.
    pub url: External,
    /// The user, where it wants one.
    pub username: Option<External>,
    /// The user's password.
    pub password: Option<External>,
    /// A file of certificates to trust, in PEM.
    pub ca: Option<PathBuf>,
}

impl Kafka {
    /// What `[kafka]` says, and the command line instead of it; none where neither names a broker.
    pub(super) fn assemble(table: Option<document::Kafka>, overrides: &Overrides, folder: &Path) -> Option<Self> {
        let file = table.map(|table| Self::of_file(table, folder));
        let mut kafka = file.unwrap_or_else(|| Self {
            bootstrap_servers: Vec::new(),
            registry: None,
            properties: BTreeMap::new(),
            replication: None,
            session_timeout: kafka::Options::new([""; 0]).session_timeout,
        });
        if !overrides.bootstrap_servers.is_empty() {
            kafka.bootstrap_servers.clone_from(&overrides.bootstrap_servers);
        }
        if let Some(url) = overrides.registry.as_deref().map(External::literal) {
            match &mut kafka.registry {
                Some(known) => known.url = url,
                None => kafka.registry = Some(RegistryAddress { url, username: None, password: None, ca: None }),
            }
        }
        (!kafka.bootstrap_servers.is_empty()).then_some(kafka)
    }

    fn of_file(table: document::Kafka, folder: &Path) -> Self {
        let document::Kafka { bootstrap_servers, registry, properties, replication, session_timeout, .. } = table;
        let registry = registry.and_then(|registry| {
            Some(RegistryAddress {
                url: registry.url?.into_inner(),
                username: registry.username.map(toml::Spanned::into_inner),
                password: registry.password.map(toml::Spanned::into_inner),
                ca: registry.ca.map(|ca| folder.join(ca.into_inner().expose())),
            })
        });
        Self {
            bootstrap_servers: bootstrap_servers.into_iter().flatten().map(toml::Spanned::into_inner).collect(),
            registry,
            properties: properties.into_iter().map(|property| (property.name.into_inner(), property.value.into_inner())).collect(),
            replication,
            session_timeout: session_timeout.unwrap_or_else(|| kafka::Options::new([""; 0]).session_timeout),
        }
    }

    /// What nobody may read of it, as far as it was read from outside: the registry's password, and properties with such names.
    pub fn secrets(&self) -> Vec<SecretString> {
        let properties = self.properties.iter().filter(|(name, _)| is_secret(name)).filter_map(|(_, value)| value.secret());
        let registry = self.registry.iter().filter_map(|registry| registry.password.as_ref()?.secret());
        properties.chain(registry).collect()
    }

    /// What the log needs to know.
    pub fn log_options(&self, client_id: &str) -> kafka::Options {
        kafka::Options {
            properties: self.properties.iter().map(|(name, value)| (name.clone(), value.expose())).collect(),
            client_id: client_id.to_owned(),
            session_timeout: self.session_timeout,
            replication: self.replication,
            ..kafka::Options::new(&self.bootstrap_servers)
        }
    }

    /// What the registry's client needs to know; none where there is no registry.
    pub fn registry_options(&self) -> Option<ConfluentOptions> {
        let registry = self.registry.as_ref()?;
        Some(ConfluentOptions {
            url: registry.url.expose(),
            username: registry.username.as_ref().map(External::expose),
            password: registry.password.as_ref().and_then(External::secret),
            ca: registry.ca.clone(),
            timeout: REGISTRY_TIMEOUT,
        })
    }
}

/// Whether a property of librdkafka holds what nobody may read.
pub(super) fn is_secret(property: &str) -> bool {
    ["password", "secret", "jaas", ".key.pem"].iter().any(|word| property.contains(word))
}

/// Whether `text` is `host:port`; if not, why.
pub(super) fn check_server(text: &str) -> Result<(), &'static str> {
    if text.contains("://") {
        return Err("without a protocol: `security.protocol` is one of the properties");
    }
    if text.contains(',') {
        return Err("each broker is a string of its own");
    }
    let Some((host, port)) = text.rsplit_once(':') else { return Err("the port is missing") };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let legal = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')),
    };
    if !legal {
        return Err("not a host's name or address");
    }
    match port.parse::<u16>() {
        Ok(1..) => Ok(()),
        _ => Err("the port is a number from 1 to 65535"),
    }
}

/// Whether `text` is the address of a registry; if not, why. The address itself may be a secret: it is in no reason.
pub(super) fn check_url(text: &str) -> Result<(), &'static str> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let Some(rest) = rest else { return Err("it must begin with http:// or https://") };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains('@') {
        return Err("user and password do not belong into it: `username` and `password` have a place of their own");
    }
    if host.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("it names no host");
    }
    Ok(())
}

/// A broker's address from the command line.
pub fn parse_server(text: &str) -> Result<String, String> {
    check_server(text).map(|()| text.to_owned()).map_err(|reason| format!("{reason}; as in broker:9092"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_a_host_and_a_port() {
        for good in ["broker:9092", "10.0.0.1:1", "pkc-4r.eu-west-1.aws.confluent.cloud:9092", "[::1]:9092", "my_broker:65535"] {
            assert_eq!(check_server(good), Ok(()), "{good}");
        }
        for bad in ["broker", "broker:", ":9092", "broker:0", "broker:65536", "SSL://broker:9092", "a:1,b:2", "a b:1", "::1:9092", "[x]:1"]
        {
            assert!(check_server(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_registry_is_http_without_a_user() {
        for good in ["http://registry:8081", "https://psrc.confluent.cloud", "http://localhost:8080/apis/ccompat/v7", "http://r/a@b"] {
            assert_eq!(check_url(good), Ok(()), "{good}");
        }
        for bad in ["registry:8081", "ftp://r", "http://", "http:///x", "https://user:secret@registry", "http://a b"] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
    }
}
