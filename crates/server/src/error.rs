//! What can go wrong with serving.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use sealock_trust::reason::Code;

use crate::revoked::RevokedError;

/// Why the server did not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Another process listens there.
    #[error("another process listens on {address} already")]
    PortInUse {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// No address was given.
    #[error("no address to listen on was given")]
    NoAddress,
    /// Another server uses the control socket.
    #[error("a server is running already: it answers on {path}", path = .path.display())]
    AlreadyRunning {
        /// The control socket.
        path: PathBuf,
    },
    /// The control socket cannot be made.
    #[error("cannot make the control socket {path}", path = .path.display())]
    Control {
        /// The control socket.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The access log cannot be written.
    #[error("cannot open the access log {path}", path = .path.display())]
    AccessLog {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The store, its current release or the trust directory cannot be used.
    #[error(transparent)]
    Content(#[from] RevokedError),
    /// Signals cannot be received.
    #[error("cannot receive signals")]
    Signals(#[source] io::Error),
}

impl ServeError {
    /// The stable reason code, where this is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Content(error) => error.code(),
            _ => None,
        }
    }

    /// Whether trying again won't help, since content is untrusted or invalid.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }

    /// Whether the machine is at fault (port in use, server running already), so that trying again may help.
    pub fn is_environment(&self) -> bool {
        match self {
            Self::PortInUse { .. }
            | Self::Listen { .. }
            | Self::AlreadyRunning { .. }
            | Self::Control { .. }
            | Self::AccessLog { .. }
            | Self::Signals(_) => true,
            Self::Content(error) => error.is_environment(),
            Self::Tls(_) | Self::NoAddress => false,
        }
    }
}

/// Why a certificate cannot be issued or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or holds no PEM of the right kind.
    #[error("cannot read {what} from {path}", path = .path.display())]
    Read {
        /// `a certificate` or `a private key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: rustls_pki_types::pem::Error,
    },
    /// The certificate belongs to another key, or the key is of a kind that TLS does not know.
    #[error("the certificate {certificate} and the key {key} cannot be used together", certificate = .certificate.display(), key = .key.display())]
    Pair {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What the TLS library said.
        source: rustls::Error,
    },
    /// The TLS library refused its configuration.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
    /// A certificate cannot be made.
    #[error("cannot issue a certificate for {name}")]
    Issue {
        /// Whom it was for.
        name: String,
        /// What the certificate library said.
        source: rcgen::Error,
    },
    /// The files are not those of a certificate authority.
    #[error("this is not the certificate and key of an authority")]
    NotAnAuthority(#[source] rcgen::Error),
    /// No date that far can be written into a certificate.
    #[error("the clock says {0}, from which no validity can be computed")]
    Date(jiff::Timestamp),
}

impl TlsError {
    /// Never: certificates are the site's own.
    pub fn is_refusal(&self) -> bool {
        false
    }
}
