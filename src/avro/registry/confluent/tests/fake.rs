//! A registry on loopback that answers as a test says: real HTTP, one connection per request.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::loopback::Listener;

/// What arrived.
#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    /// Method and target: `GET /schemas/ids/1?deleted=true`.
    pub(super) line: String,
    /// The headers as they came.
    pub(super) headers: String,
    pub(super) body: String,
}

/// What is sent back.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// A status and a body.
    Of(u16, String),
    /// These bytes, and then the end of the connection.
    Raw(String),
    /// Nothing, for as long as the client waits.
    Silence,
}

/// A JSON answer.
pub(super) fn json(status: u16, body: &serde_json::Value) -> Answer {
    Answer::Of(status, body.to_string())
}

/// An error as registries write it.
pub(super) fn error(status: u16, code: u32) -> Answer {
    json(status, &serde_json::json!({ "error_code": code, "message": format!("so says the registry with {code}") }))
}

type Script = Box<dyn Fn(&Request) -> Answer + Send + Sync>;

/// The server; it ends when it is dropped.
pub(super) struct Fake {
    seen: Arc<Mutex<Vec<Request>>>,
    script: Arc<Mutex<Arc<Script>>>,
    pub(super) listener: Listener,
}

impl Fake {
    pub(super) fn start(script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let seen = Arc::<Mutex<Vec<Request>>>::default();
        let script = Arc::new(Mutex::new(Arc::new(Box::new(script) as Script)));
        let (requests, answers) = (Arc::clone(&seen), Arc::clone(&script));
        Self { seen, script, listener: Listener::start(move |stream| serve(stream, &requests, &answers)) }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.listener.address())
    }

    /// From now on it answers otherwise.
    pub(super) fn answer(&self, script: impl Fn(&Request) -> Answer + Send + Sync + 'static) {
        *self.script.lock() = Arc::new(Box::new(script));
    }

    /// What arrived since the last time.
    pub(super) fn seen(&self) -> Vec<Request> {
        std::mem::take(&mut *self.seen.lock())
    }

    /// The first lines of it.
    pub(super) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|request| request.line).collect()
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<Request>>, script: &Mutex<Arc<Script>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = Request::default();
    reader.read_line(&mut request.line)?;
    request.line = request.line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim_end().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        request.headers.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    request.body = String::from_utf8(body).unwrap();
    seen.lock().push(request.clone());
    let script = Arc::clone(&script.lock());
    let mut stream = stream;
    match script(&request) {
        Answer::Of(status, body) => {
            write!(stream, "HTTP/1.1 {status} Fake\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
        }
        Answer::Raw(bytes) => stream.write_all(bytes.as_bytes()),
        // Reading ends when the client goes away.
        Answer::Silence => stream.read(&mut [0]).map(drop),
    }
}
