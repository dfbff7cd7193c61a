//! The second line before secrets: what is said on standard error goes through here, and a secret that got that far does not get further.
//!
//! The first line is that no error, log line or `Debug` holds one. Libraries say things, too.

use std::io::{self, Write};
use std::sync::Arc;

use parking_lot::RwLock;
use secrecy::{ExposeSecret as _, SecretString};

/// What stands in the place of a secret.
const INSTEAD: &[u8] = b"[secret]";

/// Shorter ones would be found in ordinary words.
const BYTES_MIN: usize = 6;

static SECRETS: RwLock<Vec<Arc<SecretString>>> = RwLock::new(Vec::new());

/// From now on these are not said.
pub(crate) fn conceal(secrets: impl IntoIterator<Item = SecretString>) {
    let long = secrets.into_iter().filter(|secret| secret.expose_secret().len() >= BYTES_MIN);
    SECRETS.write().extend(long.map(Arc::new));
}

/// Standard error without secrets.
pub(crate) fn stderr() -> Redacting<io::Stderr> {
    Redacting { to: io::stderr(), secrets: SECRETS.read().clone() }
}

/// A writer that leaves out secrets; each is looked for in one write at a time, as a line of the log is written.
#[derive(Debug)]
pub(crate) struct Redacting<W> {
    to: W,
    secrets: Vec<Arc<SecretString>>,
}

impl<W: Write> Write for Redacting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while let Some((at, length)) = self.secrets.iter().filter_map(|secret| find(rest, secret.expose_secret().as_bytes())).min() {
            let (before, found) = rest.split_at(at);
            self.to.write_all(before)?;
            self.to.write_all(INSTEAD)?;
            rest = found.get(length..).unwrap_or_default();
        }
        self.to.write_all(rest)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Where `wanted` begins, and its length.
fn find(bytes: &[u8], wanted: &[u8]) -> Option<(usize, usize)> {
    bytes.windows(wanted.len()).position(|window| window == wanted).map(|at| (at, wanted.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_gets_through() {
        let secrets = ["7000000001:AAtoken", "s3cret"].map(|secret| Arc::new(SecretString::from(secret)));
        let mut writer = Redacting { to: Vec::new(), secrets: secrets.to_vec() };
        writer.write_all(b"https://api/bot7000000001:AAtoken/x s3crets3cret and s3cre").unwrap();
        assert_eq!(String::from_utf8(writer.to).unwrap(), "https://api/bot[secret]/x [secret][secret] and s3cre");
    }

    #[test]
    fn what_is_too_short_is_no_secret() {
        conceal(["a".into(), String::new().into()]);
        assert!(stderr().secrets.iter().all(|secret| secret.expose_secret().len() >= BYTES_MIN));
    }
}
