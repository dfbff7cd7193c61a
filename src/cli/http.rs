//! `--http`: where the HTTP server listens.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Error, Result};
use crate::operate::health::Reported;
use crate::operate::http::{Server, Services};
use crate::operate::installation::Installation;

/// The flag of the commands that go on for a while.
#[derive(Debug, clap::Args)]
pub(super) struct Listen {
    /// Answer over HTTP: /livez, /readyz and, of the embedded log, the schemas in the form of Confluent's registry (/subjects, /schemas/ids/1).
    /// A port alone is one of 127.0.0.1; port 0 takes a free one, which standard error names
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = address)]
    http: Option<SocketAddr>,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let port = text.strip_prefix("localhost:").or_else(|| text.strip_prefix(':')).unwrap_or(text);
    let port = port.parse().map(|port| SocketAddr::new(loopback, port));
    port.or_else(|_| text.parse()).map_err(|_| "not an address and a port such as 127.0.0.1:8080, or 8080".to_owned())
}

impl Listen {
    /// Starts the server, if one is wanted; it ends when it is dropped.
    pub(super) fn serve(&self, installation: &Installation, reported: &Reported) -> Result<Option<Server>> {
        let Some(address) = self.http else { return Ok(None) };
        let services = Services { reported: reported.clone(), registry: installation.schemas() };
        let server = Server::start(address, services).map_err(|error| Error::unavailable(error).hinted("--http names another address."))?;
        Ok(Some(server))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_on_loopback() {
        for (text, expected) in [
            ("8080", "127.0.0.1:8080"),
            (":0", "127.0.0.1:0"),
            ("localhost:1", "127.0.0.1:1"),
            ("0.0.0.0:8080", "0.0.0.0:8080"),
            ("[::1]:8080", "[::1]:8080"),
        ] {
            assert_eq!(address(text).map(|address| address.to_string()), Ok(expected.to_owned()));
        }
        for wrong in ["", "127.0.0.1", "http://127.0.0.1:80", "70000", "example.org:80"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
