//! What can go wrong between here and an upstream, each with a name of its own.

use std::error::Error;
use std::time::Duration;

use http::StatusCode;
use sealock_trust::Digest;

/// A failed fetch: what was wanted, from where, and why it failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot fetch {wanted} from {place}: {failure}")]
pub struct UpstreamError {
    /// What was wanted, as a person would write it: an image reference or a URL.
    pub wanted: String,
    /// The host asked, and whose mirror it is where it is one.
    pub place: String,
    /// Why it failed.
    pub failure: Failure,
    /// What lies below, where something does.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

/// Why a fetch failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The host's name has no address.
    #[error("the host name does not resolve")]
    NameNotFound,
    /// No connection could be made.
    #[error("no connection could be made")]
    Unreachable,
    /// The TLS handshake failed; the certificate is not trusted, most often.
    #[error("the TLS handshake failed, so the server is not known to be the right one")]
    Tls,
    /// 401, and there are no credentials for the host.
    #[error("401 Unauthorized, and there are no credentials for this host")]
    NoCredentials,
    /// 401 in spite of credentials.
    #[error("401 Unauthorized: the credentials for this host were refused")]
    CredentialsRefused,
    /// The program that keeps the credentials failed.
    #[error("the credentials for this host cannot be had: {0}")]
    CredentialHelper(String),
    /// 403.
    #[error("403 Forbidden: these credentials may not read it")]
    Forbidden,
    /// 404.
    #[error("404 Not Found: there is no such thing there")]
    NotFound,
    /// 429, still after all tries.
    #[error("429 Too Many Requests")]
    RateLimited {
        /// How long the server asked us to wait.
        retry_after: Option<Duration>,
    },
    /// 5xx, still after all tries.
    #[error("the server answered {status}")]
    ServerError {
        /// The status.
        status: StatusCode,
        /// How long the server asked us to wait.
        retry_after: Option<Duration>,
    },
    /// Any other status that is not a success.
    #[error("the server answered {0}, which makes no sense here")]
    UnexpectedStatus(StatusCode),
    /// The server kept silent.
    #[error("the server sent nothing for {} after {received} bytes", seconds(.waited))]
    Stalled {
        /// How long nothing came.
        waited: Duration,
        /// Bytes until then.
        received: u64,
    },
    /// The server sends so slowly that it would take forever.
    #[error("the server is too slow: less than {floor} bytes a second after {received} bytes")]
    TooSlow {
        /// The slowest rate that is borne, in bytes per second.
        floor: u64,
        /// Bytes until then.
        received: u64,
    },
    /// The body ended early.
    #[error("the answer was cut off after {received} bytes{}", of(.expected))]
    Truncated {
        /// Bytes until then.
        received: u64,
        /// Bytes there should have been, where known.
        expected: Option<u64>,
    },
    /// The server announces or sends another number of bytes than there must be.
    #[error("it has {announced} bytes there, and must have {expected}")]
    WrongSize {
        /// Bytes there must be.
        expected: u64,
        /// Bytes announced or sent.
        announced: u64,
    },
    /// More bytes than are borne for this kind of thing.
    #[error("it is larger than {limit} bytes, which is the most such a thing may have")]
    TooLarge {
        /// The most that is borne, in bytes.
        limit: u64,
    },
    /// The content is not what its name says.
    #[error("the content there has the digest {got}, and must have {expected}")]
    WrongDigest {
        /// The digest asked for.
        expected: Digest,
        /// The digest of what came.
        got: Digest,
    },
    /// A redirect from TLS to plain text.
    #[error("the server redirects from https to http")]
    InsecureRedirect,
    /// The address or the answer is not what the protocol says.
    #[error("nothing can be made of it: {0}")]
    Malformed(String),
    /// The connection broke before an answer came.
    #[error("the connection broke")]
    Broken,
}

impl Failure {
    /// Whether the same command may succeed later.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::NameNotFound
                | Self::Unreachable
                | Self::RateLimited { .. }
                | Self::ServerError { .. }
                | Self::Stalled { .. }
                | Self::TooSlow { .. }
                | Self::Truncated { .. }
                | Self::Broken
        )
    }

    /// Whether to try again at once: a name that does not exist will not appear within seconds.
    pub(crate) fn worth_another_try(&self) -> bool {
        self.may_pass() && *self != Self::NameNotFound
    }

    /// Whether the upstream, or somebody on the way, gave something that must not be believed.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::WrongDigest { .. } | Self::WrongSize { .. })
    }

    /// What a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NameNotFound => {
                "check the spelling of the host and the name servers of this machine, or name a mirror under `mirrors:`"
            }
            Self::Unreachable | Self::Broken => {
                "check the network, the firewall and the proxy settings, then run the same command again"
            }
            Self::Tls => {
                "if the host has a certificate of your own authority, or a proxy opens TLS here, add that authority's certificate to the settings (`caFiles:`)"
            }
            Self::NoCredentials => {
                "log in to the host (`docker login HOST`), and check that the name is right: many registries answer 401 for what does not exist"
            }
            Self::CredentialsRefused => "log in again (`docker login HOST`): the password or token may have expired",
            Self::CredentialHelper(_) => {
                "repair the helper, or take its name out of docker's config.json (`credHelpers`, `credsStore`)"
            }
            Self::Forbidden => "ask the registry's owner for the right to read it",
            Self::NotFound => "check name and tag; a mirror may not have it yet",
            Self::RateLimited { .. } => {
                "wait, log in to get a higher limit, or name a mirror under `mirrors:`; what was fetched is kept"
            }
            Self::ServerError { .. } | Self::Stalled { .. } | Self::TooSlow { .. } | Self::Truncated { .. } => {
                "run the same command again later, or name a mirror under `mirrors:`; what was fetched is kept"
            }
            Self::WrongDigest { .. } | Self::WrongSize { .. } => {
                "do not use it: a mirror or proxy changes content, or the upstream was tampered with; compare with another network"
            }
            Self::TooLarge { .. } | Self::UnexpectedStatus(_) | Self::Malformed(_) => {
                "check that the address is that of a registry or file server, and not of a login page"
            }
            Self::InsecureRedirect => "use a mirror that stays on https",
        }
    }
}

fn seconds(duration: &Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{} s", duration.as_secs())
    } else {
        format!("{} ms", duration.as_millis())
    }
}

fn of(expected: &Option<u64>) -> String {
    expected.map_or_else(String::new, |expected| format!(" of {expected}"))
}
