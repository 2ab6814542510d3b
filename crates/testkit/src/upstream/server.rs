//! Accepts connections on a thread of its own, so that synchronous tests can use it too.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use super::{Shared, answer};

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(shared: Arc<Shared>, tls: Arc<rustls::ServerConfig>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = accept(listener, shared, TlsAcceptor::from(tls)) => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        };
        Self { address, stop: Some(stop), thread: Some(std::thread::spawn(run)) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().is_none_or(|thread| thread.join().is_ok());
        assert!(ended || std::thread::panicking(), "the upstream's thread panicked");
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, tls: TlsAcceptor) {
    let address = listener.local_addr().unwrap();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        tokio::spawn(async move { connection(stream, shared, tls, address).await });
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>, tls: TlsAcceptor, address: SocketAddr) {
    // Clients that do not trust the certificate, or that break off, are part of the tests.
    let Ok(stream) = tls.accept(stream).await else { return };
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { answer::to(&request, &shared, address).await }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
