//! What `serve` has to be told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sealock_store::Store;
use sealock_trust::KeySet;

/// Everything [`crate::Server::bind`] needs.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// The store whose current release is served.
    pub store: Store,
    /// The keys that sign releases, from the site root.
    pub site_keys: KeySet,
    /// Where it stands what is revoked; none where nothing can be.
    pub revocations: Option<RevocationSource>,
    /// Where to listen; several for several addresses of the station.
    pub listen: Vec<SocketAddr>,
    /// The registry's certificate.
    pub tls: TlsFiles,
    /// The registry's own names and addresses, with and without port: what clients may send as `?ns=` without meaning an
    /// upstream registry.
    pub names: Vec<String>,
    /// Where `import` tells that there is a new release; usually `/run/sealock/control.sock`.
    pub control_socket: Option<PathBuf>,
    /// The socket of the service manager (sd_notify(3)), from the environment of the process.
    pub notify_socket: Option<PathBuf>,
    /// Where Prometheus asks, in plain HTTP; nowhere if none.
    pub metrics: Option<SocketAddr>,
    /// The file that gets a line for each request; none is written without.
    pub access_log: Option<PathBuf>,
    /// Bounds of what clients can take.
    pub limits: Limits,
}

/// Where it stands what is revoked, and what is in use.
#[derive(Clone, Debug)]
pub struct RevocationSource {
    /// The trust directory.
    pub trust: PathBuf,
    /// The folder of the clusters' folders, whose applied plans say what is in use.
    pub clusters: PathBuf,
}

/// The files of a certificate, read again at each reload.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// PEM: the certificate of the registry, then the ones above it.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
}

/// Bounds of what clients can take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; further ones wait to be accepted.
    pub connections: usize,
    /// Until the TLS handshake must be done.
    pub handshake: Duration,
    /// Until the header of a request must have come, also of the next one on an idle connection.
    pub header: Duration,
    /// Without any progress in sending.
    pub stalled: Duration,
    /// For running downloads, once the server is told to stop.
    pub grace: Duration,
    /// Free bytes on the filesystem of the store below which health is degraded, and the log says so.
    pub headroom: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(60),
            stalled: Duration::from_secs(60),
            grace: Duration::from_secs(20),
            headroom: 5 << 30,
        }
    }
}
