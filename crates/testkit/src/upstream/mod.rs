//! A registry and file server on loopback, with TLS, credentials and faults.
//!
//! Everything real lives below its real host's name, as behind a mirror: `/v2/<host>/<repository>/…` and `/<host>/<path>`.

mod answer;
mod auth;
mod content;
mod fault;
mod server;
mod tls;

use std::path::Path;
use std::sync::{Arc, Mutex};

use sealock_trust::Digest;

pub use auth::Login;
pub use content::Content;
pub use fault::Fault;

use crate::image::Image;

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `GET`, `HEAD`, …
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The `Range` header.
    pub range: Option<String>,
    /// Whether credentials or a token came along.
    pub authorized: bool,
}

/// What all connections share.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) content: Mutex<Content>,
    pub(crate) faults: Mutex<Vec<fault::Rule>>,
    pub(crate) login: Mutex<Option<Login>>,
    pub(crate) seen: Mutex<Vec<Seen>>,
}

/// A running upstream; it ends when dropped.
pub struct Upstream {
    shared: Arc<Shared>,
    server: server::Server,
    ca_pem: String,
    folder: tempfile::TempDir,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").field("url", &self.url()).finish_non_exhaustive()
    }
}

impl Upstream {
    /// Starts an empty upstream on a free port of 127.0.0.1.
    pub fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let identity = tls::identity();
        let server = server::Server::start(Arc::clone(&shared), identity.config);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), &identity.ca_pem).unwrap();
        Self { shared, server, ca_pem: identity.ca_pem, folder }
    }

    /// `https://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("https://{}", self.authority())
    }

    /// `127.0.0.1:<port>`.
    pub fn authority(&self) -> String {
        self.server.address.to_string()
    }

    /// Where this upstream stands in for `host`.
    pub fn mirror_of(&self, host: &str) -> String {
        format!("{}/{host}", self.url())
    }

    /// The authority that signed this upstream's certificate.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The same as a file, which lives as long as the upstream.
    pub fn ca_file(&self) -> std::path::PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A folder that lives as long as the upstream.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Adds `image` under a full name like `quay.io/team/app:v1`; answers with the digest that the tag stands for.
    pub fn push(&self, name: &str, image: &Image) -> Digest {
        self.content(|content| content.push(name, image))
    }

    /// Adds `image`, which refers to another one, to a repository like `quay.io/team/app`, under no tag.
    pub fn attach(&self, repository: &str, image: &Image) -> Digest {
        self.content(|content| content.attach(repository, image))
    }

    /// Adds the file of a real address without its scheme, like `dl.k8s.io/release/v1/kubeadm`.
    pub fn put(&self, path: &str, bytes: impl Into<bytes::Bytes>) {
        self.content(|content| content.put(path, bytes.into()));
    }

    /// Looks into, or changes, what is served.
    pub fn content<T>(&self, change: impl FnOnce(&mut Content) -> T) -> T {
        change(&mut self.shared.content.lock().unwrap())
    }

    /// From now on every request whose target holds `part` meets `fault`.
    pub fn fail(&self, part: &str, fault: Fault) {
        self.fail_times(part, fault, u32::MAX);
    }

    /// The next `times` requests whose target holds `part` meet `fault`.
    pub fn fail_times(&self, part: &str, fault: Fault, times: u32) {
        self.shared.faults.lock().unwrap().push(fault::Rule { part: part.to_owned(), fault, times });
    }

    /// All is well again.
    pub fn heal(&self) {
        self.shared.faults.lock().unwrap().clear();
    }

    /// Asks for credentials from now on.
    pub fn require(&self, login: Login) {
        *self.shared.login.lock().unwrap() = Some(login);
    }

    /// All requests since the start, or since the last call of this.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.shared.seen.lock().unwrap())
    }
}
