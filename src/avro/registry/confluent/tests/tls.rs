//! A registry behind TLS with an authority of one's own, played by `openssl s_server`; skipped, and said so, where there is no openssl.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;

/// Makes a certificate for localhost that is its own authority.
fn certificate(folder: &Path, name: &str) -> bool {
    let arguments = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1";
    let mut command = Command::new("openssl");
    command
        .args(arguments.split(' '))
        .arg("-keyout")
        .arg(folder.join(format!("{name}.key")))
        .arg("-out")
        .arg(folder.join(format!("{name}.pem")));
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

#[test]
fn only_an_authority_that_is_named_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    if !certificate(folder.path(), "own") || !certificate(folder.path(), "other") {
        eprintln!("SKIPPED: TLS to the schema registry is not tested, there is no openssl");
        return;
    }
    // It serves files as whole answers: this is that to the look-up of schema 1.
    let ids = folder.path().join("schemas/ids");
    std::fs::create_dir_all(&ids).unwrap();
    let body = json!({ "schema": TEXT }).to_string();
    std::fs::write(ids.join("1?deleted=true"), format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())).unwrap();
    let mut command = Command::new("openssl");
    command.args(["s_server", "-HTTP", "-accept", "127.0.0.1:0", "-cert", "own.pem", "-key", "own.key"]);
    let mut server = Killed(command.current_dir(folder.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
    let accepts = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("ACCEPT ").map(str::to_owned)).unwrap();
    let port = accepts.rsplit(':').next().unwrap();
    let with = |ca: Option<&str>| {
        let ca = ca.map(|name| folder.path().join(name));
        ConfluentRegistry::new(&ConfluentOptions { ca, ..ConfluentOptions::new(format!("https://127.0.0.1:{port}")) }).unwrap()
    };
    for ca in [None, Some("other.pem")] {
        let error = with(ca).schema(SchemaId(1)).unwrap_err();
        assert!(matches!(error, RegistryError::Unavailable { .. }));
        assert!(
            said(&error).contains("certificate") && said(&error).ends_with("(an authority of one's own is named with `ca`)"),
            "{}",
            said(&error)
        );
    }
    assert_eq!(with(Some("own.pem")).schema(SchemaId(1)).unwrap().as_deref(), Some(&schema()));
}
