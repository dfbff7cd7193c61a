//! The HTTP server: `/livez` and `/readyz` for an orchestrator and, on the embedded log, its schemas in the form of Confluent's registry.
//!
//! It has a small runtime of its own, and everything about it is bounded: connections, their time, headers, bodies, the time of an answer.
//! There is no authentication: it listens on loopback unless it is told otherwise. What changes something is refused to browsers, so that
//! no page that somebody looks at can do it.

use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::health::Reported;
use crate::avro::EmbeddedRegistry;

mod registry;
#[cfg(test)]
mod tests;

/// More connections at a time wait until one ends.
const CONNECTIONS_MAX: usize = 64;

/// A connection is closed after this time, at the end of the answer that is under way.
const CONNECTION_TIME: Duration = Duration::from_secs(60);

/// How long a request may take to arrive with its headers, and how long an idle connection is kept.
const HEADER_TIME: Duration = Duration::from_secs(10);

/// How long an answer may take, the request's body included.
const ANSWER_TIME: Duration = Duration::from_secs(15);

/// Bytes of a request's first line and headers.
const HEADER_BYTES_MAX: usize = 16 << 10;

/// Headers of a request.
const HEADERS_MAX: usize = 64;

/// Bytes of a request's body: schemas are a few kilobytes.
const BODY_BYTES_MAX: usize = 1 << 20;

/// How long the server stands still where no connection can be taken, for want of file descriptors for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("nothing can listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Its threads cannot be started.
    #[error("the threads of the HTTP server cannot be started")]
    Threads(#[source] std::io::Error),
}

/// What it answers from.
#[derive(Clone, Debug)]
pub struct Services {
    /// How the engine is.
    pub reported: Reported,
    /// The schemas of the embedded log; none where there is a registry elsewhere.
    pub registry: Option<Arc<EmbeddedRegistry>>,
}

/// A server that answers until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Server {
    /// Listens on `address`; port 0 takes one that is free.
    pub fn start(address: SocketAddr, services: Services) -> Result<Self, Error> {
        let listen = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let bound = listener.local_addr().map_err(listen)?;
        let runtime = Builder::new_multi_thread().worker_threads(1).max_blocking_threads(4).thread_name("http").enable_all().build();
        let runtime = runtime.map_err(Error::Threads)?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(listen)?
        };
        runtime.spawn(accept(listener, router(services)));
        if !bound.ip().is_loopback() {
            tracing::warn!(address = %bound, "the HTTP server listens beyond this machine and asks nobody for a password");
        }
        tracing::info!("HTTP on http://{bound}");
        Ok(Self { address: bound, runtime: Some(runtime) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Answers that are being made are cut off after this; nothing durable depends on them.
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

fn router(services: Services) -> Router {
    let health = Router::new().route("/livez", get(|| async { "ok\n" })).route("/readyz", get(ready)).with_state(services.reported);
    let all = services.registry.map_or_else(|| health.clone(), |known| health.clone().merge(registry::router(known)));
    let nothing = |status: StatusCode| async move { registry::fault(status, u32::from(status.as_u16()), "there is no such thing here") };
    all.fallback(move || nothing(StatusCode::NOT_FOUND))
        .method_not_allowed_fallback(move || nothing(StatusCode::METHOD_NOT_ALLOWED))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(guard))
}

async fn ready(State(reported): State<Reported>) -> Response {
    let health = reported.health();
    let status = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], axum::Json(health)).into_response()
}

/// Refuses what a browser sends for a page of somebody else's, and ends what takes too long.
async fn guard(request: Request, next: Next) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) && request.headers().contains_key(header::ORIGIN) {
        return registry::fault(StatusCode::FORBIDDEN, 403, "a browser may only read here");
    }
    // A body that says how long it is need not be waited for; any other is cut off while it is read.
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > BODY_BYTES_MAX) {
        return registry::fault(StatusCode::PAYLOAD_TOO_LARGE, 413, "the body is too long");
    }
    let answer = timeout(ANSWER_TIME, next.run(request)).await;
    answer.unwrap_or_else(|_| registry::fault(StatusCode::SERVICE_UNAVAILABLE, 50_002, "the answer took too long"))
}

async fn accept(listener: tokio::net::TcpListener, router: Router) {
    let limit = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(permit) = Arc::clone(&limit).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    serve(stream, router).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "an HTTP connection failed");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, router: Router) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIME).max_buf_size(HEADER_BYTES_MAX).max_headers(HEADERS_MAX);
    let router = router.into_service::<hyper::body::Incoming>();
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    let ended = if let Ok(ended) = timeout(CONNECTION_TIME, connection.as_mut()).await {
        ended
    } else {
        connection.as_mut().graceful_shutdown();
        timeout(ANSWER_TIME, connection).await.unwrap_or(Ok(()))
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP client went away");
    }
}

/// A body of this type.
fn typed(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    (status, [(header::CONTENT_TYPE, content_type)], body.into()).into_response()
}
