//! A YouTube on loopback that answers as a test says: real HTTP, one connection per request.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::loopback::Listener;

/// What arrived.
#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    /// Method and target: `GET /youtube/v3/videos?part=…`.
    pub(super) line: String,
    /// The headers as they came.
    pub(super) headers: String,
}

/// What is sent back.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// A status, more headers (each with its line end) and a body.
    Of(u16, String, Vec<u8>),
    /// These bytes, and then the end of the connection.
    Cut(Vec<u8>),
    /// These bytes, and then nothing for as long as the client waits.
    Slow(Vec<u8>),
}

/// A JSON answer of success.
pub(super) fn json(body: &str) -> Answer {
    Answer::Of(200, "content-type: application/json\r\n".to_owned(), body.as_bytes().to_vec())
}

type Script = Box<dyn Fn(&Request) -> Answer + Send + Sync>;

/// The server; it ends when it is dropped.
pub(super) struct Fake {
    seen: Arc<Mutex<Vec<Request>>>,
    listener: Listener,
}

impl Fake {
    pub(super) fn start(script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let seen = Arc::<Mutex<Vec<Request>>>::default();
        let (requests, script) = (Arc::clone(&seen), Box::new(script) as Script);
        Self { seen, listener: Listener::start(move |stream| serve(stream, &requests, &script)) }
    }

    /// Always the same answer.
    pub(super) fn saying(answer: Answer) -> Self {
        Self::start(move |_| answer.clone())
    }

    /// Where the API is.
    pub(super) fn url(&self) -> String {
        format!("http://{}/youtube/v3", self.listener.address())
    }

    /// What arrived since the last time.
    pub(super) fn seen(&self) -> Vec<Request> {
        std::mem::take(&mut *self.seen.lock())
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<Request>>, script: &Script) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = Request::default();
    reader.read_line(&mut request.line)?;
    request.line = request.line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim_end().is_empty() {
            break;
        }
        request.headers.push_str(&line);
    }
    seen.lock().push(request.clone());
    let mut stream = stream;
    match script(&request) {
        Answer::Of(status, headers, body) => {
            write!(stream, "HTTP/1.1 {status} Fake\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n", body.len())?;
            stream.write_all(&body)
        }
        Answer::Cut(bytes) => stream.write_all(&bytes),
        Answer::Slow(bytes) => {
            stream.write_all(&bytes)?;
            // Reading ends when the client goes away.
            stream.read(&mut [0]).map(drop)
        }
    }
}
