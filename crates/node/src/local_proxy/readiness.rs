//! Whether an API server is ready, as it says itself: one that has just begun takes connections, and forbids what it does not know yet.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

/// As long as an API server may look at itself.
const ANSWERS: Duration = Duration::from_secs(5);

/// Asks API servers whether they are ready. Nothing is shown to them, and nobody is believed whom the cluster's authority has not vouched for.
#[derive(Debug)]
pub(super) struct Readiness {
    /// The cluster's authority: not there before the node has joined, and another one some day.
    ca: PathBuf,
    asking: Mutex<Option<Asking>>,
}

/// Asks by the authority that stood in the file: connections are kept, so that a question costs no handshake.
#[derive(Clone, Debug)]
struct Asking {
    pem: Vec<u8>,
    agent: Agent,
}

impl Readiness {
    pub(super) fn new(ca: PathBuf) -> Self {
        Self { ca, asking: Mutex::new(None) }
    }

    /// Nothing where `server` cannot be asked. One that tells it only to those whom it knows counts as ready.
    pub(super) fn of(&self, server: SocketAddr) -> Option<bool> {
        let (agent, address) = (self.agent()?, format!("https://{server}/readyz"));
        let ask = || match agent.get(&address).call() {
            Ok(answer) => Some(!answer.status().is_server_error()),
            Err(ureq::Error::Timeout(_)) => Some(false),
            Err(_) => None,
        };
        // A connection that was kept may be over.
        ask().or_else(ask)
    }

    fn agent(&self) -> Option<Agent> {
        let pem = fs::read(&self.ca).ok()?;
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        if asking.as_ref().is_none_or(|asking| asking.pem != pem) {
            *asking = Some(Asking { agent: agent(&pem)?, pem });
        }
        asking.as_ref().map(|asking| asking.agent.clone())
    }
}

/// Nothing where what the file holds is no certificate.
fn agent(pem: &[u8]) -> Option<Agent> {
    let certificates: Vec<Certificate<'static>> = parse_pem(pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return None;
    }
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .root_certs(RootCerts::Specific(Arc::new(certificates)))
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .https_only(true)
        .http_status_as_error(false)
        .max_redirects(0)
        // The API servers stand on the node's own network, and what the environment says is not ours to read.
        .proxy(None)
        .timeout_global(Some(ANSWERS))
        .user_agent(concat!("sealock/", env!("CARGO_PKG_VERSION")))
        .build();
    Some(config.into())
}
