//! What the server says of its work: numbers for Prometheus, and a line for each request.

mod access_log;
mod body;
mod exposition;
mod metrics;
mod route;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http::header::{RANGE, USER_AGENT};
use http::{HeaderName, Request, Response};

pub(crate) use access_log::AccessLog;
pub(crate) use body::Observed;
pub(crate) use exposition::Exposition;
use metrics::RequestLabels;
pub(crate) use metrics::{Metrics, Standing};
use route::Route;

use crate::clock::Clock;

/// Text of a client that goes into the log; in bytes.
const LONGEST_TEXT: usize = 1024;

/// Who asked, as far as that is known: an extension of the response, put there by whoever found out.
#[derive(Clone, Debug)]
pub(crate) struct Who(pub(crate) Arc<str>);

/// Counts and logs.
#[derive(Debug)]
pub(crate) struct Observer {
    pub(crate) metrics: Metrics,
    log: Option<AccessLog>,
    clock: Clock,
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Pending {
    observer: Arc<Observer>,
    begun: Instant,
    route: Route,
    record: Record,
}

/// One line of the access log.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
struct Record {
    /// When the request had come, RFC 3339 in UTC.
    at: String,
    /// Bytes of the body that were handed to the connection.
    bytes: u64,
    client: SocketAddr,
    /// Whether the whole body was handed over.
    complete: bool,
    /// From the header of the request to the last byte.
    duration_us: u64,
    method: String,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<String>,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
}

impl Observer {
    pub(crate) fn new(log: Option<AccessLog>, clock: Clock) -> Self {
        Self { metrics: Metrics::default(), log, clock }
    }

    /// Opens the access log anew, after somebody renamed it.
    pub(crate) fn reopen(&self) {
        if let Some(log) = &self.log {
            log.reopen();
        }
    }

    /// Lines of the access log that a slow disk cost.
    pub(crate) fn dropped_lines(&self) -> u64 {
        self.log.as_ref().map_or(0, AccessLog::dropped)
    }

    /// Takes note of a request that has just come from `client`.
    pub(crate) fn begin<B>(self: &Arc<Self>, client: SocketAddr, request: &Request<B>) -> Pending {
        let text = |name: HeaderName| request.headers().get(name).map(|value| bounded(value.as_bytes()));
        let path = request.uri().path_and_query().map_or("", |path| path.as_str());
        self.metrics.in_progress.inc();
        Pending {
            observer: self.clone(),
            begun: Instant::now(),
            route: Route::of(request.uri().path()),
            record: Record {
                at: self.clock.now().to_string(),
                bytes: 0,
                client,
                complete: false,
                duration_us: 0,
                method: bounded(request.method().as_str().as_bytes()),
                path: bounded(path.as_bytes()),
                principal: None,
                range: text(RANGE),
                status: 0,
                user_agent: text(USER_AGENT),
            },
        }
    }
}

impl Pending {
    /// Goes on counting while the body is sent.
    pub(crate) fn answered<B: http_body::Body>(mut self, mut response: Response<B>) -> Response<Observed<B>> {
        self.record.status = response.status().as_u16();
        self.record.principal = response.extensions_mut().remove::<Who>().map(|who| who.0.to_string());
        response.map(|body| Observed::new(body, self))
    }
}

impl Drop for Pending {
    /// The body is sent, or nobody waits for it any more.
    fn drop(&mut self) {
        let Self { observer, begun, route, record } = self;
        let duration = begun.elapsed();
        record.duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let metrics = &observer.metrics;
        metrics.in_progress.dec();
        metrics.answered(&RequestLabels::new(&record.method, *route, record.status), duration);
        metrics.sent(*route, record.bytes, record.complete);
        if let Some(log) = &observer.log {
            log.write(record);
        }
    }
}

/// A client's text, shortened; JSON escapes whatever could forge a line or move a cursor.
fn bounded(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(LONGEST_TEXT)]).into_owned()
}
