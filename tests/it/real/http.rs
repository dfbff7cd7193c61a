//! HTTP on the loopback, just enough for tests: a server of one handler, and a client that waits.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::PATIENCE;

/// What a client asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// By names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// What the server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A document in JSON.
    pub(crate) fn json(status: u16, document: &serde_json::Value) -> Self {
        Self { status, headers: vec![("content-type".into(), "application/json".into())], body: document.to_string().into_bytes() }
    }

    /// The same with one more header.
    pub(crate) fn with_header(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }
}

/// A server on a free port of the loopback, a thread per connection; ends when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    port: u16,
    closed: Arc<AtomicBool>,
}

impl Server {
    /// Answers each request with what `handler` says; a request for which it says nothing gets its connection closed.
    pub(crate) fn start(handler: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let closed = Arc::new(AtomicBool::new(false));
        let handler = Arc::new(handler);
        let accepting = Arc::clone(&closed);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.load(Ordering::Acquire) {
                    return;
                }
                let handler = Arc::clone(&handler);
                thread::spawn(move || {
                    // A client that goes away in between is its own affair.
                    drop(converse(&stream, &*handler));
                });
            }
        });
        Self { port, closed }
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
        // The thread that accepts looks up when somebody comes.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

/// Requests and answers, one after the other, until the client closes.
fn converse(stream: &TcpStream, handler: &dyn Fn(&Request) -> Option<Answer>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader)? {
        let Some(answer) = handler(&request) else { return Ok(()) };
        write_answer(stream, &answer)?;
    }
    Ok(())
}

fn read_request(reader: &mut BufReader<&TcpStream>) -> std::io::Result<Option<Request>> {
    let mut request = Request::default();
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    (request.method, request.target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        request.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    if request.headers.get("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        request.body = read_chunks(reader)?;
    } else {
        let length = request.headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        request.body.resize(length, 0);
        reader.read_exact(&mut request.body)?;
    }
    Ok(Some(request))
}

fn read_chunks(reader: &mut BufReader<&TcpStream>) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let digits = line.trim().split(';').next().unwrap_or_default();
        let length = usize::from_str_radix(digits, 16).map_err(std::io::Error::other)?;
        let start = body.len();
        body.resize(start + length, 0);
        reader.read_exact(&mut body[start..])?;
        reader.read_line(&mut line)?;
        if length == 0 {
            return Ok(body);
        }
    }
}

fn write_answer(mut to: impl Write, answer: &Answer) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Answer\r\ncontent-length: {}\r\n", answer.status, answer.body.len());
    for (name, value) in &answer.headers {
        fmt::Write::write_fmt(&mut head, format_args!("{name}: {value}\r\n")).unwrap();
    }
    head.push_str("\r\n");
    // In one piece, or the two would wait for each other's acknowledgement.
    to.write_all(&[head.as_bytes(), &answer.body].concat())
}

/// A client with what it needs to be let in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    /// User and password of HTTP's basic authentication.
    pub(crate) basic: Option<(String, String)>,
    /// The only authority that it trusts, as PEM.
    pub(crate) authority: Option<Vec<u8>>,
}

impl Client {
    /// Sends a request with a document in JSON, or none. The status and the document of the answer (null where it is none), or why there is none.
    pub(crate) fn send(&self, method: &str, url: &str, document: Option<&serde_json::Value>) -> Result<(u16, serde_json::Value), String> {
        super::block_on(async {
            let mut client = reqwest::Client::builder().timeout(PATIENCE).no_proxy();
            if let Some(authority) = &self.authority {
                client = client.tls_certs_only([reqwest::Certificate::from_pem(authority).map_err(|error| error.to_string())?]);
            }
            let client = client.build().map_err(|error| error.to_string())?;
            let mut request = client.request(method.parse().map_err(|_| "not a method".to_owned())?, url);
            if let Some((user, password)) = &self.basic {
                request = request.basic_auth(user, Some(password));
            }
            if let Some(document) = document {
                request = request.json(document);
            }
            let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
            let status = answer.status().as_u16();
            let body = answer.bytes().await.map_err(|error| error.to_string())?;
            Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
        })
    }
}

/// What a URL answers to GET with 200; none where there is no such answer.
pub(crate) fn get(url: &str) -> Option<serde_json::Value> {
    let (status, document) = Client::default().send("GET", url, None).ok()?;
    (status == 200).then_some(document)
}

#[test]
fn the_server_answers_on_one_connection_and_on_many() {
    let server = Server::start(|request| {
        let text = String::from_utf8_lossy(&request.body).into_owned();
        (request.target != "/none").then(|| Answer::json(200, &serde_json::json!([request.method, request.target, text])))
    });
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    for _ in 0..2 {
        stream.write_all(b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n").unwrap();
        let mut answer = vec![0; 256];
        let length = stream.read(&mut answer).unwrap();
        assert!(String::from_utf8_lossy(&answer[..length]).ends_with(r#"["POST","/a","abc"]"#));
    }
    let url = |path| format!("http://127.0.0.1:{}/{path}", server.port());
    let sent = Client::default().send("PUT", &url("b"), Some(&serde_json::json!({"x": 1})));
    assert_eq!(sent, Ok((200, serde_json::json!(["PUT", "/b", "{\"x\":1}"]))));
    assert!(Client::default().send("GET", &url("none"), None).is_err());
}
