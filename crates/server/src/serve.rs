//! The server as a whole: listeners, control socket, signals, the end.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at};
use tokio_rustls::TlsAcceptor;

use crate::config::ServeConfig;
use crate::control::{ControlSocket, reload_release};
use crate::error::ServeError;
use crate::listen::{Connections, bind};
use crate::notify::Notifier;
use crate::observe::{AccessLog, Exposition, Observer};
use crate::read_ahead::Lanes;
use crate::state::State;
use crate::tls::{Certificate, ClientCertificates};
use crate::upkeep::Upkeep;

/// How often it is looked for uploads to which nothing comes any more.
const TIDY: Duration = Duration::from_secs(600);

/// A server that listens, but answers only in [`Server::run`].
#[derive(Debug)]
pub struct Server {
    state: Arc<State>,
    upkeep: Option<Arc<Upkeep>>,
    certificate: Arc<Certificate>,
    listeners: Vec<TcpListener>,
    control: Option<ControlSocket>,
    exposition: Option<Exposition>,
    config: ServeConfig,
}

/// Serves until `shutdown`: [`Server::bind`], then [`Server::run`].
///
/// # Errors
/// [`ServeError`].
pub async fn serve(config: ServeConfig, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
    Server::bind(config).await?.run(shutdown).await
}

impl Server {
    /// Reads the current release and the certificate, and takes the addresses.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn bind(config: ServeConfig) -> Result<Self, ServeError> {
        let certificate = Certificate::load(config.tls.clone())?;
        let control = config.control_socket.as_deref().map(ControlSocket::bind).transpose()?;
        let mut listeners = Vec::new();
        for &address in &config.listen {
            listeners.push(bind(address).await?);
        }
        if listeners.is_empty() {
            return Err(ServeError::NoAddress);
        }
        let exposition = match config.metrics {
            Some(address) => Some(Exposition::new(bind(address).await?)),
            None => None,
        };
        let log = config.access_log.as_deref().map(open_access_log).transpose()?;
        let state = Arc::new(State::load(&config, Observer::new(log, config.clock.clone()))?);
        let upkeep = Upkeep::begin(&state, config.upkeep.clone());
        Ok(Self { state, upkeep, certificate, listeners, control, exposition, config })
    }

    /// Where it listens; with the port that the system chose where port 0 was asked for.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Where Prometheus asks, with the port that the system chose; nowhere unless that was asked for.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.exposition.as_ref().and_then(Exposition::address)
    }

    /// The number of the release that is served; none from an empty store.
    pub fn release(&self) -> Option<u64> {
        self.state.view().release
    }

    /// Answers until `shutdown`, then lets running downloads end. SIGHUP, and `reload` on the control socket, read
    /// certificate and release again, and begin the access log anew.
    ///
    /// # Errors
    /// [`ServeError::Tls`], [`ServeError::Signals`].
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let (stop, stopped) = watch::channel(false);
        let clients = Arc::new(ClientCertificates::new(self.state.access().clone()));
        let connections = Connections {
            state: self.state.clone(),
            tls: TlsAcceptor::from(Arc::new(
                self.certificate.clone().server_config(clients, self.config.clock.clone())?,
            )),
            limits: self.config.limits,
            slots: Arc::new(Semaphore::new(connection_limit(self.config.limits.connections))),
            lanes: Lanes::default(),
            stop: stopped,
        };
        let mut accepting = JoinSet::new();
        for listener in self.listeners {
            accepting.spawn(connections.clone().run(listener));
        }
        let notifier = Notifier::new(self.config.notify_socket);
        notifier.ready(&crate::describe(self.state.view().release));
        let control = self.control;
        let keepers = self.upkeep.as_ref().map(Upkeep::start).transpose().map_err(ServeError::Threads)?;
        let look_every = self.config.upkeep.look_every;
        tokio::select! {
            () = shutdown => {}
            result = follow(&self.state, &self.certificate, &notifier, look_every) => result?,
            () = listen_to_control(control.as_ref(), &self.state, self.upkeep.as_ref()) => {}
            () = expose(self.exposition, &self.state) => {}
        }
        notifier.stopping();
        // Whoever starts the next server need not wait for our downloads.
        drop(control);
        let _ = stop.send(true);
        if let Some(upkeep) = &self.upkeep {
            upkeep.stop();
        }
        while accepting.join_next().await.is_some() {}
        let ended = move || keepers.into_iter().flatten().try_for_each(std::thread::JoinHandle::join).is_ok();
        if !tokio::task::spawn_blocking(ended).await.unwrap_or(false) {
            tracing::error!("what keeps the store ended early");
        }
        Ok(())
    }
}

/// Never ends, also where there is no socket.
async fn listen_to_control(control: Option<&ControlSocket>, state: &Arc<State>, upkeep: Option<&Arc<Upkeep>>) {
    if let Some(control) = control {
        control.run(state, upkeep).await;
    }
    std::future::pending::<()>().await;
}

/// Never ends, also where nobody is to be told.
async fn expose(exposition: Option<Exposition>, state: &Arc<State>) {
    if let Some(exposition) = exposition {
        exposition.run(state.clone()).await;
    }
    std::future::pending::<()>().await;
}

fn open_access_log(path: &Path) -> Result<AccessLog, ServeError> {
    AccessLog::open(path).map_err(|source| ServeError::AccessLog { path: path.to_owned(), source })
}

/// Reloads at SIGHUP, and when the store has a release that nobody told of: an import may run where the socket is not.
async fn follow(
    state: &Arc<State>,
    certificate: &Certificate,
    notifier: &Notifier,
    look_every: Duration,
) -> Result<(), ServeError> {
    let mut hangup = signal(SignalKind::hangup()).map_err(ServeError::Signals)?;
    // What was read at the start need not be read again at once.
    let mut look = interval_at(Instant::now() + look_every, look_every);
    let mut tidy = tokio::time::interval(TIDY);
    loop {
        tokio::select! {
            _ = hangup.recv() => {
                state.observer().reopen();
                match certificate.reload() {
                    Ok(()) => tracing::info!("the certificate was read again"),
                    Err(error) => tracing::error!(%error, "the certificate cannot be read; the one before stays"),
                }
                reload_access(state).await;
            }
            _ = tidy.tick() => {
                let state = state.clone();
                // Whether it went well is in the log.
                let _ = tokio::task::spawn_blocking(move || state.expire_uploads()).await;
                continue;
            }
            _ = look.tick() => {
                let asked = state.clone();
                let look = move || {
                    asked.free_bytes();
                    asked.is_stale()
                };
                if !tokio::task::spawn_blocking(look).await.unwrap_or(false) {
                    continue;
                }
            }
        }
        if let Ok(release) = reload_release(state).await {
            notifier.ready(&release);
        }
    }
}

/// Reads again who may do what.
async fn reload_access(state: &Arc<State>) {
    let asked = state.clone();
    match tokio::task::spawn_blocking(move || asked.access().reload()).await {
        Ok(Ok(())) => tracing::info!("who may do what was read again"),
        Ok(Err(error)) => {
            tracing::error!(error = %chain(&error), "who may do what cannot be read; what was so before stays");
        }
        Err(error) => tracing::error!(%error, "who may do what was not read again"),
    }
}

/// An error with what led to it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    std::iter::once(error.to_string()).chain(sources.map(ToString::to_string)).collect::<Vec<_>>().join(": ")
}

/// As many connections as were asked for, if the process may have that many descriptors: one for the connection, one for
/// the blob it sends.
fn connection_limit(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let limit = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { limit };
    let descriptors = limit.current.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
    let affordable = (descriptors.saturating_sub(64) / 2).max(16);
    if affordable < wanted {
        tracing::warn!(wanted, affordable, "fewer connections at a time, as the limit of open files is low");
    }
    wanted.min(affordable)
}
