//! The HTTP server under the simulated services: on a free port of the loopback, with the ways of an answer to go wrong.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::time::{Sleep, sleep};

use super::Fault;

/// More connections at a time wait until one ends. Requests that hang keep theirs.
const CONNECTIONS_MAX: usize = 1024;

/// Bytes of a request's body.
const BODY_BYTES_MAX: usize = 1 << 20;

/// How long a request may take to arrive with its headers, and how long an idle connection is kept.
const HEADER_TIME: Duration = Duration::from_secs(60);

/// Pieces of an answer that comes slowly.
const PIECES: usize = 20;

/// What a cut answer is given to leave the machine before its connection ends.
const CUT_PAUSE: Duration = Duration::from_millis(20);

/// Why a simulated service does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No port of the loopback can be had.
    #[error("nothing can listen on loopback")]
    Listen(#[source] io::Error),
    /// Its thread cannot be started.
    #[error("the thread of a simulated service cannot be started")]
    Thread(#[source] io::Error),
}

/// A request, read whole.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    /// The parameters of the query, decoded, in order.
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Asked {
    /// The first parameter of the query with this name.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find_map(|(known, value)| (known == name).then_some(value.as_str()))
    }

    /// A header as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    async fn read(request: hyper::Request<Incoming>) -> Self {
        let (head, body) = request.into_parts();
        // A body that breaks off or is too long is as good as none.
        let body = axum::body::to_bytes(axum::body::Body::new(body), BODY_BYTES_MAX).await.unwrap_or_default();
        let query = head.uri.query().map(pairs).unwrap_or_default();
        Self { method: head.method.to_string(), path: head.uri.path().to_owned(), query, headers: head.headers, body: body.into() }
    }
}

/// Names and values of a query or of a form, decoded.
pub(super) fn pairs(encoded: &str) -> Vec<(String, String)> {
    let Ok(mut url) = reqwest::Url::parse("http://localhost/") else { return Vec::new() };
    url.set_query(Some(encoded));
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

/// An answer, and how it gets to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    pub(super) pace: Pace,
}

/// How an answer's body gets to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// At once.
    Whole,
    /// In pieces, over this time.
    Over(Duration),
    /// The first half, and then the end of the connection.
    Half,
}

impl Answer {
    pub(super) fn json(status: u16, document: &serde_json::Value) -> Self {
        let headers = vec![("content-type", "application/json; charset=UTF-8".to_owned())];
        Self { status, headers, body: document.to_string().into_bytes(), pace: Pace::Whole }
    }

    /// The page that a proxy shows when there is nobody behind it.
    pub(super) fn bad_gateway() -> Self {
        let page = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n\
                    <hr><center>nginx/1.18.0</center>\r\n</body>\r\n</html>\r\n";
        Self { status: 502, headers: vec![("content-type", "text/html".to_owned())], body: page.into(), pace: Pace::Whole }
    }

    /// With one more header.
    pub(super) fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// What this fault leaves of the answer to a request that was taken; none where the connection is reset.
    pub(super) async fn after(mut self, fault: Option<Fault>) -> Option<Self> {
        match fault {
            Some(Fault::HangAfter) => hang().await,
            Some(Fault::ResetAfter) => return None,
            Some(Fault::SlowBody(over)) => self.pace = Pace::Over(over),
            Some(Fault::CutBody) => self.pace = Pace::Half,
            _ => {}
        }
        Some(self)
    }
}

/// Waits for the client to go away: then this is dropped.
pub(super) async fn hang() {
    std::future::pending::<()>().await;
}

/// Whatever answers requests.
pub(super) trait Service: Send + Sync + 'static {
    /// The answer; none resets the connection.
    fn answer(&self, asked: Asked) -> impl Future<Output = Option<Answer>> + Send;
}

/// Answers until it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Server {
    /// Listens on a free port, with a thread of its own called `name`.
    pub(super) fn start(name: &str, service: Arc<impl Service>) -> Result<Self, Error> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build().map_err(Error::Thread)?;
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).map_err(Error::Listen)?;
        let address = listener.local_addr().map_err(Error::Listen)?;
        runtime.spawn(accept(listener, service));
        Ok(Self { address, runtime: Some(runtime) })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Nobody waits for requests that hang.
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, service: Arc<impl Service>) {
    let limit = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(permit) = Arc::clone(&limit).acquire_owned().await {
        // The next one may do better: a client that is gone before it is accepted is no end of the service.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let service = Arc::clone(&service);
        tokio::spawn(async move {
            converse(stream, service).await;
            drop(permit);
        });
    }
}

/// The connection is to be reset.
#[derive(Debug, thiserror::Error)]
#[error("the connection is reset, as the plan says")]
struct Reset;

/// Requests and answers, one after the other, until one of the two ends it.
async fn converse(stream: TcpStream, service: Arc<impl Service>) {
    // Small answers go out at once; where that cannot be set they come a little later.
    stream.set_nodelay(true).unwrap_or_default();
    let answering = service_fn(move |request| {
        let service = Arc::clone(&service);
        Box::pin(async move { service.answer(Asked::read(request).await).await.map(written).ok_or(Reset) })
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIME);
    let mut connection = http.serve_connection(TokioIo::new(stream), answering);
    let ended = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let reset = ended.is_err_and(|error| matches!(std::error::Error::source(&error), Some(cause) if cause.is::<Reset>()));
    if reset {
        // Closing then sends RST instead of an orderly end; where it cannot be set, the end is orderly and just as early.
        connection.into_parts().io.into_inner().set_zero_linger().unwrap_or_default();
    }
}

fn written(answer: Answer) -> hyper::Response<Written> {
    let mut response = hyper::Response::new(Written::new(answer.body, answer.pace));
    *response.status_mut() = hyper::StatusCode::from_u16(answer.status).unwrap_or_default();
    let headers = response.headers_mut();
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    if answer.pace == Pace::Half {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let length = response.body().whole;
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

/// A body on its way.
#[derive(Debug)]
struct Written {
    whole: usize,
    left: Bytes,
    piece: usize,
    pause: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    cut: bool,
}

impl Written {
    fn new(body: Vec<u8>, pace: Pace) -> Self {
        let whole = body.len();
        let mut left = Bytes::from(body);
        let (piece, pause) = match pace {
            Pace::Whole => (whole, Duration::ZERO),
            Pace::Over(time) => (whole.div_ceil(PIECES), time / u32::try_from(PIECES).unwrap_or(1)),
            Pace::Half => (whole, CUT_PAUSE),
        };
        let cut = pace == Pace::Half;
        if cut {
            left.truncate(whole / 2);
        }
        Self { whole, left, piece: piece.max(1), pause, waiting: None, cut }
    }
}

impl Body for Written {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(waiting) = &mut self.waiting {
            std::task::ready!(waiting.as_mut().poll(context));
            self.waiting = None;
        }
        if self.left.is_empty() {
            let cut = self.cut.then(|| Err(io::ErrorKind::UnexpectedEof.into()));
            return Poll::Ready(cut);
        }
        let piece = self.piece.min(self.left.len());
        let data = self.left.split_to(piece);
        self.waiting = (!self.pause.is_zero()).then(|| Box::pin(sleep(self.pause)));
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && !self.cut
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::new()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    /// Answers with what it was asked; the path says what becomes of it.
    struct Echo;

    impl Service for Echo {
        async fn answer(&self, asked: Asked) -> Option<Answer> {
            let fault = match asked.path.as_str() {
                "/reset" => Some(Fault::ResetAfter),
                "/hang" => Some(Fault::HangAfter),
                "/slow" => Some(Fault::SlowBody(Duration::from_millis(40))),
                "/cut" => Some(Fault::CutBody),
                _ => None,
            };
            let document = serde_json::json!([asked.method, asked.query, String::from_utf8_lossy(&asked.body)]);
            Answer::json(200, &document).with("retry-after", 3).after(fault).await
        }
    }

    /// What comes back on one connection for one request with this path.
    fn ask(server: &Server, target: &str) -> io::Result<String> {
        let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        write!(stream, "POST {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn a_request_is_read_and_answered() {
        let server = Server::start("echo", Arc::new(Echo)).unwrap();
        for path in ["/any", "/slow"] {
            let text = ask(&server, &format!("{path}?a=1%262&b=x+y")).unwrap();
            assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("retry-after: 3\r\n"), "{text}");
            assert!(text.ends_with(r#"["POST",[["a","1&2"],["b","x y"]],"hi"]"#), "{text}");
        }
    }

    #[test]
    fn an_answer_is_cut_in_half_a_connection_reset_and_a_request_left_waiting() {
        let server = Server::start("echo", Arc::new(Echo)).unwrap();
        let text = ask(&server, "/cut").unwrap();
        assert!(text.contains("content-length: 16\r\n") && text.ends_with("\r\n\r\n[\"POST\","), "{text}");
        assert_eq!(ask(&server, "/reset").unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
        stream.write_all(b"GET /hang HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        // The end of the service ends what hangs.
        drop(server);
        assert_eq!(stream.read(&mut [0]).unwrap_or_default(), 0);
    }
}
