//! What `serve` has to be told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sealock_store::Store;
use sealock_store::pushed::Settings;
use sealock_trust::KeySet;

use crate::access::AccessFiles;
use crate::clock::Clock;

/// Everything [`crate::Server::bind`] needs.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// The store whose current release is served.
    pub store: Store,
    /// The keys that sign releases, from the site root.
    pub site_keys: KeySet,
    /// Where it stands what is revoked; none where nothing can be.
    pub revocations: Option<RevocationSource>,
    /// Where it stands who may do what; without it everybody may pull, and nobody may do anything else.
    pub access: Option<AccessFiles>,
    /// How pushed content is kept; none where it is neither taken nor served, as where the store cannot be written.
    pub pushed: Option<Settings>,
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
    /// How the store is kept clean and whole.
    pub upkeep: UpkeepPolicy,
    /// What time it is.
    pub clock: Clock,
}

/// How the store is kept clean and whole while it is served.
#[derive(Clone, Debug)]
pub struct UpkeepPolicy {
    /// How often garbage is collected; only when somebody asks where there is nothing.
    pub collect_every: Option<Duration>,
    /// For how long a reply promises a blob.
    pub lease: Duration,
    /// For how long a blob stays condemned before it is deleted.
    pub grace: Duration,
    /// How many releases are retained beside the current one; all where there is nothing.
    pub retain: Option<u64>,
    /// Bytes that are hashed in a second to find rot; none where there is nothing.
    pub scrub_rate: Option<u64>,
    /// How often each blob is hashed, if the rate allows it.
    pub scrub_every: Duration,
    /// Bytes that are copied in a second, out of bundles that were taken in and into the store; none where there is nothing.
    pub migrate_rate: Option<u64>,
    /// How often it is looked for such bundles.
    pub migrate_every: Duration,
    /// What migration leaves free on the disk, in bytes.
    pub migrate_headroom: u64,
    /// How often the store is asked for a newer release that nobody told of; not zero.
    pub look_every: Duration,
    /// The folder of the clusters' folders, which say what was made from which release.
    pub clusters: Option<PathBuf>,
}

impl Default for UpkeepPolicy {
    fn default() -> Self {
        Self {
            collect_every: Some(Duration::from_secs(3600)),
            lease: Duration::from_secs(3600),
            grace: Duration::from_secs(3600),
            retain: None,
            scrub_rate: Some(8 << 20),
            scrub_every: Duration::from_secs(7 * 24 * 3600),
            migrate_rate: Some(32 << 20),
            migrate_every: Duration::from_secs(10),
            migrate_headroom: 1 << 30,
            look_every: Duration::from_secs(5),
            clusters: None,
        }
    }
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
    /// Without any progress in sending, and for each 128 KiB, or whole manifest, that a client sends.
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
