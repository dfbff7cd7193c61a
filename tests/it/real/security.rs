//! Certificates made for one broker or proxy, and the settings of a broker that asks who its clients are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::packages::succeed;

/// The only user of a secured broker.
pub(crate) const USER: &str = "tidewatch";

/// Their password. Not so simple that a place which forgets to quote it would pass.
pub(crate) const PASSWORD: &str = "s3cret =with; #signs";

/// Where a client may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listener {
    /// Whoever comes.
    Plaintext,
    /// TLS; the client may have a certificate or not.
    Ssl,
    /// TLS, and the client must have a certificate.
    MutualSsl,
    /// SCRAM-SHA-256 or SCRAM-SHA-512 in the clear.
    SaslPlaintext,
    /// PLAIN, under TLS: what Confluent Cloud asks for.
    SaslSsl,
}

impl Listener {
    /// Those that only a secured broker has.
    pub(crate) const SECURED: [Self; 4] = [Self::Ssl, Self::MutualSsl, Self::SaslPlaintext, Self::SaslSsl];

    /// Its name in the broker's settings, and the protocol that it speaks.
    pub(crate) fn name_and_protocol(self) -> (&'static str, &'static str) {
        match self {
            Self::Plaintext => ("PLAINTEXT", "PLAINTEXT"),
            Self::Ssl => ("SSL", "SSL"),
            Self::MutualSsl => ("MUTUAL", "SSL"),
            Self::SaslPlaintext => ("SASL_PLAINTEXT", "SASL_PLAINTEXT"),
            Self::SaslSsl => ("SASL_SSL", "SASL_SSL"),
        }
    }
}

/// A certificate authority, and what it has signed, as PEM files.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Makes them in a folder. The server's is for `localhost` and 127.0.0.1.
    pub(crate) fn make(folder: &Path) -> Result<Self, String> {
        let made = Self { folder: folder.to_owned() };
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let authority = ["-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=tidewatch test authority"];
        made.openssl(&[&["req", "-x509"], &key[..], &authority].concat())?;
        let names = "subjectAltName=DNS:localhost,IP:127.0.0.1\n";
        fs::write(folder.join("names"), names).map_err(|error| error.to_string())?;
        for name in ["server", "client"] {
            let [key_file, request, signed, subject] =
                [format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"), format!("/CN={name}")];
            made.openssl(&[&["req"], &key[..], &["-keyout", &key_file, "-out", &request, "-subj", &subject]].concat())?;
            let by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", "2"];
            made.openssl(&[&["x509", "-req", "-in", &request, "-out", &signed], &by[..]].concat())?;
        }
        let read = |name: &str| fs::read_to_string(folder.join(name)).map_err(|error| error.to_string());
        fs::write(folder.join("server-store.pem"), read("server.key")? + &read("server.pem")?).map_err(|error| error.to_string())?;
        Ok(made)
    }

    fn openssl(&self, arguments: &[&str]) -> Result<(), String> {
        succeed("openssl", Command::new("openssl").args(arguments).current_dir(&self.folder)).map(drop)
    }

    /// What a client must trust.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The server's certificate and its key.
    pub(crate) fn server(&self) -> (PathBuf, PathBuf) {
        (self.folder.join("server.pem"), self.folder.join("server.key"))
    }

    /// The certificate of a client and its key.
    pub(crate) fn client(&self) -> (PathBuf, PathBuf) {
        (self.folder.join("client.pem"), self.folder.join("client.key"))
    }

    /// The broker's settings for [`Listener::SECURED`].
    pub(crate) fn broker_properties(&self) -> String {
        let folder = self.folder.display();
        // In a properties file a backslash escapes, and so it does within the quotes of a JAAS line: the password has neither.
        let login = "org.apache.kafka.common.security";
        format!(
            "ssl.keystore.type=PEM\n\
             ssl.keystore.location={folder}/server-store.pem\n\
             ssl.truststore.type=PEM\n\
             ssl.truststore.location={folder}/ca.pem\n\
             ssl.client.auth=requested\n\
             listener.name.mutual.ssl.client.auth=required\n\
             listener.name.sasl_plaintext.sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512\n\
             listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config={login}.scram.ScramLoginModule required;\n\
             listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config={login}.scram.ScramLoginModule required;\n\
             listener.name.sasl_ssl.ssl.client.auth=none\n\
             listener.name.sasl_ssl.sasl.enabled.mechanisms=PLAIN\n\
             listener.name.sasl_ssl.plain.sasl.jaas.config={login}.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";\n"
        )
    }
}

/// What formatting a broker's storage needs to know of its users.
pub(crate) fn scram_arguments() -> Vec<String> {
    let user = |mechanism: &str| ["--add-scram".to_owned(), format!("{mechanism}=[name={USER},password=\"{PASSWORD}\"]")];
    ["SCRAM-SHA-256", "SCRAM-SHA-512"].iter().flat_map(|mechanism| user(mechanism)).collect()
}
