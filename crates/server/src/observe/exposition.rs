//! `GET /metrics` on a listener of its own: plain HTTP, for the address that the site's Prometheus reaches.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::http::Body;
use crate::state::State;

/// Whoever scrapes needs one.
const CONNECTIONS: usize = 16;

/// For one connection, all in all: scrapers that want to stay come again.
const PATIENCE: Duration = Duration::from_secs(30);

/// After the process ran out of descriptors.
const BREATH: Duration = Duration::from_millis(100);

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// The listener for Prometheus.
#[derive(Debug)]
pub(crate) struct Exposition {
    listener: TcpListener,
}

impl Exposition {
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self { listener }
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Answers for ever.
    pub(crate) async fn run(self, state: Arc<State>) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let state = state.clone();
                    tokio::spawn(async move {
                        serve(stream, state).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection for metrics could not be accepted");
                    // Out of descriptors or memory: what ends makes room.
                    let _ = timeout(BREATH, std::future::pending::<()>()).await;
                }
            }
        }
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    let service = service_fn(move |request| {
        let state = state.clone();
        async move { Ok::<_, Infallible>(answer(&state, &request).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(16 * 1024).keep_alive(false);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    if let Ok(Err(error)) = timeout(PATIENCE, connection).await {
        tracing::debug!(%error, "a connection for metrics ended early");
    }
}

async fn answer(state: &Arc<State>, request: &Request<Incoming>) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => {
            let state = state.clone();
            // The free space is the filesystem's to tell, and it may hang.
            let text = tokio::task::spawn_blocking(move || state.metrics_text()).await.unwrap_or_default();
            response.headers_mut().insert(CONTENT_TYPE, OPEN_METRICS);
            *response.body_mut() = Body::bytes(Bytes::from(text));
        }
        (_, "/metrics") => *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED,
        _ => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    response
}
