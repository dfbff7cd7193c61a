//! What may stand in front of a registry: a gate that asks for a password, goes wrong when told to, and counts; and TLS around it.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::PATIENCE;
use super::http::{Answer, Request, Server};
use super::or_skip;
use super::packages::succeed;
use super::process::Process;
use super::python::script;
use super::security::Certificates;

/// What the gate does to a request instead of passing it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Answers with this status.
    Status(u16),
    /// Closes the connection without an answer.
    Close,
    /// Holds the request back for so long, then passes it on.
    Delay(Duration),
}

#[derive(Debug, Default)]
struct State {
    always: Option<Fault>,
    next: VecDeque<Fault>,
    seen: Vec<String>,
}

/// A gate before another server of the loopback.
#[derive(Debug)]
pub(crate) struct Gate {
    server: Server,
    state: Arc<Mutex<State>>,
}

impl Gate {
    /// One before a port; it lets in only who has the user and the password, where there are some.
    pub(crate) fn before(port: u16, basic: Option<(&str, &str)>) -> Self {
        let wanted = basic.map(|(user, password)| format!("Basic {}", base64(format!("{user}:{password}").as_bytes())));
        let state = Arc::new(Mutex::new(State::default()));
        let seen = Arc::clone(&state);
        let server = Server::start(move |request| {
            let fault = {
                let mut state = seen.lock().unwrap();
                state.seen.push(format!("{} {}", request.method, request.target));
                state.next.pop_front().or_else(|| state.always.clone())
            };
            match fault {
                Some(Fault::Close) => return None,
                Some(Fault::Status(status)) => {
                    return Some(Answer::json(status, &serde_json::json!({"error_code": status, "message": "told to"})));
                }
                Some(Fault::Delay(time)) => std::thread::sleep(time),
                None => {}
            }
            if wanted.is_some() && request.headers.get("authorization") != wanted.as_ref() {
                let refused = Answer::json(401, &serde_json::json!({"error_code": 401, "message": "Unauthorized"}));
                return Some(refused.with_header("www-authenticate", "Basic realm=\"registry\""));
            }
            // No connection to what is behind looks like none to the gate.
            forward(port, request).ok()
        });
        Self { server, state }
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.server.port()
    }

    /// From now on does this to each request, or passes them on again.
    pub(crate) fn always(&self, fault: Option<Fault>) {
        self.state.lock().unwrap().always = fault;
    }

    /// Does this to the next request that nothing else was ordered for.
    pub(crate) fn next(&self, fault: Fault) {
        self.state.lock().unwrap().next.push_back(fault);
    }

    /// The requests so far: `GET /path`.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.state.lock().unwrap().seen.clone()
    }
}

/// Passes a request on; a connection for each.
fn forward(port: u16, request: &Request) -> std::io::Result<Answer> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut head = format!("{} {} HTTP/1.0\r\ncontent-length: {}\r\n", request.method, request.target, request.body.len());
    let own = ["content-length", "connection", "transfer-encoding", "authorization", "expect", "upgrade", "http2-settings"];
    for (name, value) in request.headers.iter().filter(|(name, _)| !own.contains(&name.as_str())) {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    Write::write_all(&mut &stream, &[head.as_bytes(), b"\r\n", &request.body].concat())?;
    let mut reader = BufReader::new(&stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(|| std::io::Error::other(line.clone()))?;
    let mut answer = Answer { status, headers: Vec::new(), body: Vec::new() };
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-type") {
            answer.headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    // As HTTP/1.0 has it: the body ends with the connection.
    reader.read_to_end(&mut answer.body)?;
    Ok(answer)
}

/// TLS before a port of the loopback, with certificates of its own. Needs openssl and Python.
#[derive(Debug)]
pub(crate) struct Tls {
    port: u16,
    certificates: Certificates,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Tls {
    /// TLS before a port.
    pub(crate) fn before(port: u16) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("tidewatch-tls-").tempdir().unwrap();
        let certificates = or_skip(Certificates::make(folder.path()))?;
        or_skip(succeed("python3", std::process::Command::new("python3").arg("--version")))?;
        let (certificate, key) = certificates.server();
        let command = ["python3".into(), script("tls.py").into(), certificate.into(), key.into(), port.to_string().into()];
        let mut process = Process::start("the TLS proxy", folder.path(), &command);
        let said_port = |process: &Process| process.said().lines().next()?.strip_prefix("listening on ")?.parse().ok();
        let port = process.wait_for("listening", said_port).unwrap_or_else(|said| panic!("{said}"));
        Some(Self { port, certificates, _process: process, _folder: folder })
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its certificates.
    pub(crate) fn certificates(&self) -> &Certificates {
        &self.certificates
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_usize, |bits, &byte| bits << 8 | usize::from(byte)) << (8 * (3 - chunk.len()));
        let letters = (0..4).map(|place| if place > chunk.len() { '=' } else { char::from(ALPHABET[bits >> (18 - 6 * place) & 63]) });
        text.extend(letters);
    }
    text
}

#[test]
fn base64_is_the_known_one() {
    for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("user:pass", "dXNlcjpwYXNz")] {
        assert_eq!(base64(plain.as_bytes()), coded);
    }
}
