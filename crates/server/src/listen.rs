//! Takes connections, within bounds.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::access::{Peer, gate};
use crate::config::Limits;
use crate::error::ServeError;
use crate::observe::Observer;
use crate::read_ahead::{Lanes, ReadAhead};
use crate::state::State;

/// What is sent but not acknowledged beyond this stays with us: a client that hangs up in the middle of an open-ended
/// range, as containerd does, has then not been sent megabytes for nothing. In bytes.
const UNSENT_AT_MOST: u32 = 128 * 1024;

/// The smallest buffer that hyper allows, enough for any header that clients of registries send; in bytes.
const HEADER_AT_MOST: usize = 16 * 1024;

/// After the process ran out of descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// What every connection shares.
#[derive(Clone)]
pub(crate) struct Connections {
    pub(crate) state: Arc<State>,
    pub(crate) tls: TlsAcceptor,
    pub(crate) limits: Limits,
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) lanes: Lanes,
    pub(crate) stop: watch::Receiver<bool>,
}

pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ServeError::PortInUse { address, source },
        _ => ServeError::Listen { address, source },
    })
}

impl Connections {
    /// Accepts until it is told to stop, then waits for the running requests, but not longer than the grace.
    pub(crate) async fn run(self, listener: TcpListener) {
        let graceful = GracefulShutdown::new();
        let mut stop = self.stop.clone();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                accepted = self.accept(&listener) => accepted,
            };
            match accepted {
                Some((stream, address, slot)) => {
                    let connection = self.clone().serve((stream, address), slot, graceful.watcher());
                    tokio::spawn(connection);
                }
                // Out of descriptors or memory: the connections that end make room.
                None => {
                    let _ = timeout(BREATH, stop.wait_for(|stop| *stop)).await;
                }
            }
        }
        drop(listener);
        if timeout(self.limits.grace, graceful.shutdown()).await.is_err() {
            tracing::warn!("downloads that did not end in time are cut off");
        }
    }

    /// The next connection, once there is room for it.
    async fn accept(&self, listener: &TcpListener) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let slot = self.slots.clone().acquire_owned().await.ok()?;
        match listener.accept().await {
            Ok((stream, address)) => Some((stream, address, slot)),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                None
            }
        }
    }

    async fn serve(self, (stream, address): (TcpStream, SocketAddr), slot: OwnedSemaphorePermit, watcher: Watcher) {
        let _counted = Counted::new(self.state.observer());
        if let Err(error) = tune(&stream) {
            tracing::debug!(%error, "the connection is gone already");
            return;
        }
        let mut stop = self.stop.clone();
        let handshake = timeout(self.limits.handshake, self.tls.accept(ReadAhead::new(stream, &self.lanes)));
        let stream = tokio::select! {
            accepted = handshake => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        // Too slow, or no TLS at all.
        let Ok(Ok(stream)) = stream else { return };
        let peer = self.peer(address, &stream);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.limits.stalled));
        let state = self.state;
        let service = service_fn(move |mut request| {
            let state = state.clone();
            let pending = state.observer().begin(address, &request);
            request.extensions_mut().insert(peer.clone());
            async move {
                let response = gate::answer(&state, request).await;
                Ok::<_, std::convert::Infallible>(pending.answered(response))
            }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(self.limits.header).max_buf_size(HEADER_AT_MOST);
        let connection = http.serve_connection(TokioIo::new(Box::pin(stream)), service);
        // Resets in the middle of a download are how some clients stop reading.
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "a connection ended early");
        }
        drop(slot);
    }

    /// Who is at the other end.
    fn peer(&self, address: SocketAddr, stream: &TlsStream<ReadAhead<TcpStream>>) -> Peer {
        let policy = self.state.access().policy();
        let holder =
            |chain| policy.authorities.as_ref().and_then(|authorities| authorities.holder(chain, self.state.clock()));
        let certificate = stream.get_ref().1.peer_certificates().and_then(holder);
        Peer { address: address.ip(), certificate }
    }
}

/// An open connection, as long as it lives.
struct Counted(Arc<Observer>);

impl Counted {
    fn new(observer: &Arc<Observer>) -> Self {
        observer.metrics.connections.inc();
        Self(observer.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.metrics.connections.dec();
    }
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(UNSENT_AT_MOST)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(60)))
}
