//! A server on loopback in Telegram's place, which answers as a test says: real HTTP, one connection per request.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use crate::loopback::Listener;

/// What arrived.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    /// Method and target: `POST /bot1:a/sendMessage`.
    pub(super) line: String,
    /// The headers, in lower case.
    pub(super) headers: String,
    /// The body, which is JSON.
    pub(super) body: Value,
}

/// What is done about it.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// A status, further headers (each with its line's end) and a body.
    Of(u16, &'static str, Vec<u8>),
    /// These bytes, and then the end of the connection.
    Raw(Vec<u8>),
    /// These bytes, and then nothing for as long as the client waits.
    Slow(Vec<u8>),
    /// The request is read to the end, and then the connection is cut without an answer.
    Close,
    /// The connection is reset in the middle of the request.
    Reset,
}

type Script = dyn Fn(&Asked) -> Answer + Send + Sync;

/// The server; it ends when it is dropped.
pub(super) struct Fake {
    seen: Arc<Mutex<Vec<Asked>>>,
    listener: Listener,
}

impl Fake {
    pub(super) fn start(script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let seen = Arc::<Mutex<Vec<Asked>>>::default();
        let requests = Arc::clone(&seen);
        Self { seen, listener: Listener::start(move |stream| serve(&stream, &requests, &script)) }
    }

    /// One that always answers the same.
    pub(super) fn always(answer: Answer) -> Self {
        Self::start(move |_| answer.clone())
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.listener.address())
    }

    /// What arrived since the last time.
    pub(super) fn seen(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.seen.lock())
    }
}

fn serve(stream: &TcpStream, seen: &Mutex<Vec<Asked>>, script: &Script) -> std::io::Result<()> {
    let mut reader = BufReader::with_capacity(1, stream);
    let mut asked = Asked::default();
    reader.read_line(&mut asked.line)?;
    asked.line = asked.line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    if matches!(script(&asked), Answer::Reset) {
        // What was sent and not read makes the end of the connection a reset.
        return Ok(());
    }
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim_end().is_empty() {
            break;
        }
        line.make_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        asked.headers.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    asked.body = serde_json::from_slice(&body).unwrap_or_default();
    seen.lock().push(asked.clone());
    let mut stream = stream;
    match script(&asked) {
        Answer::Of(status, headers, body) => {
            let head = format!("HTTP/1.1 {status} Fake\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n", body.len());
            stream.write_all(&[head.as_bytes(), &body].concat())
        }
        Answer::Raw(bytes) => stream.write_all(&bytes),
        Answer::Slow(bytes) => {
            stream.write_all(&bytes)?;
            // Reading ends when the client goes away.
            stream.read(&mut [0]).map(drop)
        }
        Answer::Close | Answer::Reset => Ok(()),
    }
}
