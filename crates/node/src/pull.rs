//! Fetching by digest from the site registry: the one module of this crate that opens a socket to another machine, beside
//! the local proxy.
//!
//! The registry's name is looked up nowhere: the request brings its address. Its certificate must come from the site's CA.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sealock_store::StoreError;
use sealock_trust::reason::Code;
use sealock_trust::{Algorithm, Digest, Hasher};
use serde::Deserialize;
use ureq::http::{Response, StatusCode, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Body};

use crate::request::Registry;

pub(crate) const MANIFEST_LIMIT: u64 = 4 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
const BODY_TIMEOUT: Duration = Duration::from_secs(30 * 60);
const ATTEMPTS: u32 = 4;

/// A connection to the site registry.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    name: String,
}

/// Why the site registry did not deliver.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The address of the request is not an IP address.
    #[error("{0} is not an IP address")]
    Address(String),
    /// The CA of the request is not a certificate.
    #[error("the CA of site registry {0} is not a certificate in PEM")]
    Ca(String),
    /// It could not be reached, or broke off.
    #[error("site registry {registry} does not deliver {what}")]
    Unreachable {
        /// Its name.
        registry: String,
        /// What was asked for.
        what: String,
        /// What happened.
        #[source]
        source: Box<ureq::Error>,
    },
    /// It answered, but not with the content.
    #[error("site registry {registry} answered {status} for {what}")]
    Status {
        /// Its name.
        registry: String,
        /// What was asked for.
        what: String,
        /// The HTTP status.
        status: u16,
    },
    /// What it sent has another digest.
    #[error("site registry {registry} sent {what} with digest {found}")]
    WrongDigest {
        /// Its name.
        registry: String,
        /// What was asked for.
        what: String,
        /// What came.
        found: Digest,
    },
    /// What it sent is longer than its descriptor says, or than a manifest can be.
    #[error("site registry {registry} sent more than {limit} bytes for {what}")]
    TooLong {
        /// Its name.
        registry: String,
        /// What was asked for.
        what: String,
        /// How many were expected.
        limit: u64,
    },
    /// The body could not be read to its end.
    #[error("site registry {registry} broke off while sending {what}")]
    Broken {
        /// Its name.
        registry: String,
        /// What was asked for.
        what: String,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// The manifest is not one.
    #[error("the manifest {what} is not an OCI image manifest")]
    Manifest {
        /// What was asked for.
        what: String,
        /// Where it stops making sense.
        #[source]
        source: serde_json::Error,
    },
    /// The copy of the store refuses, or is none.
    #[error("{path} gives out nothing", path = .path.display())]
    Store {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<StoreError>,
    },
    /// The copy of the store is not whole.
    #[error("the copy of the store in {store} does not hold {what}", store = .store.display())]
    Absent {
        /// The folder.
        store: PathBuf,
        /// What was asked for.
        what: String,
    },
    /// The copy of the store holds something else in its place.
    #[error("what the copy of the store in {store} holds as {what} is something else", store = .store.display())]
    Damaged {
        /// The folder.
        store: PathBuf,
        /// What was asked for.
        what: String,
    },
    /// The copy of the store cannot be read.
    #[error("cannot read {what} in the copy of the store in {store}", store = .store.display())]
    Unread {
        /// The folder.
        store: PathBuf,
        /// What was asked for.
        what: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl PullError {
    /// True where trying again cannot help.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }

    /// The reason code of a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::WrongDigest { .. } | Self::Damaged { .. } => Some(Code::Digest),
            Self::Store { source, .. } => source.code(),
            Self::Absent { .. } => Some(Code::Incomplete),
            Self::TooLong { .. } => Some(Code::Size),
            Self::Manifest { .. } => Some(Code::Format),
            Self::Status { status: 404, .. } => Some(Code::NotInRelease),
            _ => None,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } => Some(
                "Is `sealock serve` running at the station, and can the node reach it? Run the command again: it goes on where it stopped.",
            ),
            Self::Status { status: 404, .. } => {
                Some("The served release does not hold it: look at `sealock release show`, and plan again.")
            }
            Self::WrongDigest { .. } => {
                Some("Look at the station's disk, and run `sealock import` of the bundle again.")
            }
            Self::Store { .. } => Some("Name the folder that was copied from the station: /var/lib/sealock/store."),
            Self::Absent { .. } | Self::Damaged { .. } => {
                Some("Copy the station's store again, whole, once `sealock store scrub` has found it sound there.")
            }
            _ => None,
        }
    }
}

/// A descriptor (OCI image specification 1.1, "Content Descriptors"), as far as a node needs it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The content's digest.
    pub digest: Digest,
    /// The content's length in bytes.
    pub size: u64,
}

/// An image manifest (OCI image specification 1.1), as far as a node needs it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Its layers.
    pub layers: Vec<Descriptor>,
}

impl Client {
    /// A client of `registry`.
    pub fn new(registry: &Registry) -> Result<Self, PullError> {
        let address: IpAddr = registry.address.parse().map_err(|_| PullError::Address(registry.address.clone()))?;
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .root_certs(RootCerts::Specific(Arc::new(certificates(registry)?)))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .https_only(true)
            .http_status_as_error(false)
            .max_redirects(0)
            // The site registry is never behind a proxy, and what the environment says is not ours to read.
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(ANSWER_TIMEOUT))
            .timeout_recv_body(Some(BODY_TIMEOUT))
            .user_agent(concat!("sealock/", env!("CARGO_PKG_VERSION")))
            .build();
        let agent = Agent::with_parts(config, DefaultConnector::default(), Pinned(address));
        Ok(Self { agent, name: registry.name.clone() })
    }

    /// The manifest with `digest` in `repository`, verified and parsed.
    pub fn manifest(&self, repository: &str, digest: &Digest) -> Result<Manifest, PullError> {
        let what = format!("{repository}@{digest}");
        let path = format!("/v2/{repository}/manifests/{digest}");
        let mut content = Vec::new();
        let mut body = self.ask(&path, &what)?.into_body().into_reader().take(MANIFEST_LIMIT + 1);
        body.read_to_end(&mut content).map_err(|source| self.broken(&what, source))?;
        if content.len() as u64 > MANIFEST_LIMIT {
            return Err(PullError::TooLong { registry: self.name.clone(), what, limit: MANIFEST_LIMIT });
        }
        let found = Digest::of(digest.algorithm(), &content);
        if found != *digest {
            return Err(PullError::WrongDigest { registry: self.name.clone(), what, found });
        }
        serde_json::from_slice(&content).map_err(|source| PullError::Manifest { what, source })
    }

    /// The blob that `descriptor` describes. Reading it fails, before its end is reported, if its length or digest is wrong.
    pub fn blob(&self, repository: &str, descriptor: &Descriptor) -> Result<BlobReader, PullError> {
        let what = format!("{repository}@{}", descriptor.digest);
        let path = format!("/v2/{repository}/blobs/{}", descriptor.digest);
        let body = self.ask(&path, &what)?.into_body().into_with_config().limit(u64::MAX).reader();
        Ok(BlobReader::new(Box::new(body), descriptor))
    }

    /// Whether the registry answers at all.
    pub fn ping(&self) -> Result<(), PullError> {
        self.ask("/v2/", "its greeting").map(drop)
    }

    fn ask(&self, path: &str, what: &str) -> Result<Response<Body>, PullError> {
        let url = format!("https://{}{path}", self.name);
        let accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*";
        let mut attempt = 1;
        loop {
            let transient = match self.agent.get(&url).header("accept", accept).call() {
                Ok(response) if response.status() == StatusCode::OK => return Ok(response),
                Ok(response) => {
                    let status = response.status();
                    let error = PullError::Status {
                        registry: self.name.clone(),
                        what: what.to_owned(),
                        status: status.as_u16(),
                    };
                    if !status.is_server_error() && status != StatusCode::TOO_MANY_REQUESTS {
                        return Err(error);
                    }
                    error
                }
                Err(source) => PullError::Unreachable {
                    registry: self.name.clone(),
                    what: what.to_owned(),
                    source: Box::new(source),
                },
            };
            if attempt == ATTEMPTS {
                return Err(transient);
            }
            crate::wait::pause(Duration::from_millis(250) * 2u32.pow(attempt));
            attempt += 1;
        }
    }

    fn broken(&self, what: &str, source: io::Error) -> PullError {
        PullError::Broken { registry: self.name.clone(), what: what.to_owned(), source }
    }
}

fn certificates(registry: &Registry) -> Result<Vec<Certificate<'static>>, PullError> {
    let invalid = || PullError::Ca(registry.name.clone());
    let mut found = Vec::new();
    for der in CertificateDer::pem_slice_iter(registry.ca.as_bytes()) {
        found.push(Certificate::from_der(&der.map_err(|_| invalid())?).to_owned());
    }
    if found.is_empty() {
        return Err(invalid());
    }
    Ok(found)
}

/// Resolves every name to the one address of the request.
#[derive(Debug)]
struct Pinned(IpAddr);

impl Resolver for Pinned {
    fn resolve(&self, uri: &Uri, _: &ureq::config::Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        addresses.push(SocketAddr::new(self.0, uri.port_u16().unwrap_or(443)));
        Ok(addresses)
    }
}

/// A blob as it arrives; its digest and length are judged at its end.
pub struct BlobReader {
    body: Box<dyn Read + Send>,
    wanted: Descriptor,
    hasher: Hasher,
    left: u64,
    ended: bool,
}

impl std::fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobReader").field("wanted", &self.wanted).field("left", &self.left).finish_non_exhaustive()
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        let count = self.body.read(buffer)?;
        if count as u64 > self.left {
            return Err(self.complaint(&format!("is longer than {} bytes", self.wanted.size)));
        }
        self.left -= count as u64;
        self.hasher.update(&buffer[..count]);
        if count == 0 {
            self.judge()?;
        }
        Ok(count)
    }
}

impl BlobReader {
    /// `body` is to be what `descriptor` describes.
    pub(crate) fn new(body: Box<dyn Read + Send>, descriptor: &Descriptor) -> Self {
        let hasher = Hasher::new(descriptor.digest.algorithm());
        Self { body, wanted: descriptor.clone(), hasher, left: descriptor.size, ended: false }
    }

    fn judge(&mut self) -> io::Result<()> {
        self.ended = true;
        if self.left > 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{} broke off {} bytes before its end", self.wanted.digest, self.left),
            ));
        }
        let hasher = std::mem::replace(&mut self.hasher, Hasher::new(Algorithm::Sha256));
        let found = hasher.finish();
        if found == self.wanted.digest {
            return Ok(());
        }
        Err(self.complaint(&format!("has digest {found}")))
    }

    fn complaint(&self, problem: &str) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, format!("{} {problem}", self.wanted.digest))
    }
}
