//! Credentials, as registries ask for them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealock_trust::Digest;

/// Who may read.
#[derive(Clone, Debug)]
pub enum Login {
    /// This name and password with every request.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// A token from the token service, which wants this name and password.
    Bearer {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// A token that anyone gets from the token service.
    Anonymous,
}

impl Login {
    /// Whether a request with this `Authorization` header may read below `/v2/<repository>/`.
    pub(crate) fn admits(&self, authorization: Option<&str>, repository: &str) -> bool {
        match self {
            Self::Basic { user, password } => authorization == Some(&basic(user, password)),
            Self::Bearer { .. } | Self::Anonymous => {
                authorization == Some(&format!("Bearer {}", token(&scope(repository))))
            }
        }
    }

    /// What a 401 says.
    pub(crate) fn challenge(&self, base: &str, repository: &str) -> String {
        match self {
            Self::Basic { .. } => "Basic realm=\"upstream\"".to_owned(),
            Self::Bearer { .. } | Self::Anonymous => {
                format!("Bearer realm=\"{base}/token\",service=\"upstream\",scope=\"{}\"", scope(repository))
            }
        }
    }

    /// What the token service answers.
    pub(crate) fn issue(&self, authorization: Option<&str>, scope: &str) -> Option<String> {
        let admitted = match self {
            Self::Basic { .. } => false,
            Self::Bearer { user, password } => authorization == Some(&basic(user, password)),
            Self::Anonymous => true,
        };
        admitted.then(|| token(scope))
    }
}

fn scope(repository: &str) -> String {
    format!("repository:{repository}:pull")
}

fn token(scope: &str) -> String {
    Digest::sha256(scope.as_bytes()).hex().to_owned()
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}
