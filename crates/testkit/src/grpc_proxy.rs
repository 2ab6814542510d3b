//! A proxy for gRPC in clear that loses what it is told to lose: a request before it is sent on, a reply after the server gave it,
//! or a stream in its middle. It ends the whole connection then, as a cut cable does.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http2 as server;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The request: the server never sees it.
    Request,
    /// The reply: the server did what was asked.
    Reply,
    /// All of the reply after about this many bytes.
    After(usize),
}

#[derive(Debug)]
struct Rule {
    path: String,
    loss: Loss,
    times: usize,
    /// It counts only once a call with this ending has gone by.
    after: Option<String>,
}

#[derive(Debug)]
struct State {
    target: SocketAddr,
    rules: Mutex<Vec<Rule>>,
    /// Paths that went by, in order.
    seen: Mutex<Vec<String>>,
}

/// The proxy. It runs on the runtime that it was made in.
#[derive(Debug)]
pub struct GrpcProxy {
    address: SocketAddr,
    state: Arc<State>,
}

impl GrpcProxy {
    /// Listens on loopback, and sends everything on to `target`.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { target, rules: Mutex::default(), seen: Mutex::default() });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { address, state }
    }

    /// Where it listens, as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Loses the next `times` calls whose path ends with `path`.
    pub fn lose(&self, path: &str, loss: Loss, times: usize) {
        self.state.rules.lock().unwrap().push(Rule { path: path.to_owned(), loss, times, after: None });
    }

    /// Once a call whose path ends with `first` has gone by, loses the next `times` requests whose path ends with `path`.
    pub fn lose_after_next(&self, first: &str, path: &str, times: usize) {
        let after = Some(first.to_owned());
        self.state.rules.lock().unwrap().push(Rule { path: path.to_owned(), loss: Loss::Request, times, after });
    }

    /// Loses nothing any more.
    pub fn heal(&self) {
        self.state.rules.lock().unwrap().clear();
    }

    /// How many calls went by whose path ends with `path`, lost ones included.
    pub fn count(&self, path: &str) -> usize {
        self.state.seen.lock().unwrap().iter().filter(|seen| seen.ends_with(path)).count()
    }
}

impl State {
    fn next_loss(&self, path: &str) -> Option<Loss> {
        self.seen.lock().unwrap().push(path.to_owned());
        let mut rules = self.rules.lock().unwrap();
        for rule in rules.iter_mut().filter(|rule| rule.after.as_ref().is_some_and(|first| path.ends_with(first))) {
            rule.after = None;
        }
        let rule =
            rules.iter_mut().find(|rule| rule.times > 0 && rule.after.is_none() && path.ends_with(&rule.path))?;
        rule.times -= 1;
        Some(rule.loss)
    }
}

/// One connection, with one of its own to the target, until one of them ends or it is cut.
async fn serve(stream: TcpStream, state: Arc<State>) {
    let Ok(upstream) = TcpStream::connect(state.target).await else { return };
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(upstream)).await;
    let Ok((sender, connection)) = handshake else { return };
    let cut = Arc::new(Notify::new());
    let service = service_fn(|request: Request<Incoming>| {
        let (mut sender, cut, loss) = (sender.clone(), Arc::clone(&cut), state.next_loss(request.uri().path()));
        async move {
            if loss == Some(Loss::Request) {
                return never(&cut).await;
            }
            let (mut parts, body) = request.into_parts();
            parts.version = hyper::Version::HTTP_2;
            let Ok(response) = sender.send_request(Request::from_parts(parts, body)).await else {
                return never(&cut).await;
            };
            if loss == Some(Loss::Reply) {
                return never(&cut).await;
            }
            let left = if let Some(Loss::After(bytes)) = loss { Some(bytes) } else { None };
            let (parts, body) = response.into_parts();
            Ok::<_, Infallible>(Response::from_parts(parts, Cutting { body, left, cut }))
        }
    });
    let serving = server::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = serving => {}
        _ = connection => {}
        () = cut.notified() => {}
    }
}

/// Cuts the connection; whoever waits for this answer gets none.
async fn never(cut: &Notify) -> Result<Response<Cutting>, Infallible> {
    cut.notify_one();
    std::future::pending().await
}

/// A body that cuts the connection after so many bytes.
struct Cutting {
    body: Incoming,
    left: Option<usize>,
    cut: Arc<Notify>,
}

impl Body for Cutting {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if self.left == Some(0) {
            self.cut.notify_one();
            return Poll::Pending;
        }
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let (Some(left), Poll::Ready(Some(Ok(frame)))) = (self.left, &polled) {
            let length = frame.data_ref().map_or(0, Bytes::len);
            self.left = Some(left.saturating_sub(length));
        }
        polled
    }
}
