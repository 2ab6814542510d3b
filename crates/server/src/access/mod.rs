//! Who asks, and what they may do: closed by default.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::AUTHORIZATION;
use http::request;
use sealock_store::pushed::{Demands, Verdict};
use sealock_trust::Digest;

use crate::view::name::is_upstream;

/// Who may do what.
#[derive(Clone, Debug, Default)]
pub struct Access(Rule);

#[derive(Clone, Debug, Default)]
enum Rule {
    /// Everyone may read, and nobody may push.
    #[default]
    Closed,
    /// One user may do all, and nobody else anything.
    OneUser { name: String, password: Digest, demands: Demands },
}

/// What somebody wants to do to a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Pull,
    Push,
    Delete,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    /// None for who did not say.
    pub(crate) name: Option<String>,
}

/// How to say who one is: the value of `WWW-Authenticate` (RFC 9110, section 11.6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenge(pub(crate) String);

impl Access {
    /// Everyone may read, and nobody may push.
    pub fn closed() -> Self {
        Self::default()
    }

    /// One user, who may do all under `demands`; nobody else may do anything.
    pub fn one_user(name: &str, password: &str, demands: Demands) -> Self {
        Self(Rule::OneUser { name: name.to_owned(), password: Digest::sha256(password.as_bytes()), demands })
    }

    /// Whether there is anybody who may push.
    pub(crate) fn takes_pushes(&self) -> bool {
        matches!(self.0, Rule::OneUser { .. })
    }

    /// Who sends `head`; where that is not enough, how to say it.
    pub(crate) fn judge(&self, head: &request::Parts) -> Result<Principal, Challenge> {
        let Rule::OneUser { name, password, .. } = &self.0 else { return Ok(Principal { name: None }) };
        match credentials(head) {
            // Compared by digest, which takes as long for a near miss as for a far one.
            Some((said, secret)) if said == *name && Digest::sha256(secret.as_bytes()) == *password => {
                Ok(Principal { name: Some(said) })
            }
            _ => Err(Challenge("Basic realm=\"sealock\", charset=\"UTF-8\"".to_owned())),
        }
    }

    /// Whether `principal` may do `action` to `repository`. Those of upstreams take no pushes.
    pub(crate) fn may(&self, principal: &Principal, repository: &str, action: Action) -> bool {
        match (&self.0, action) {
            (_, Action::Pull) => true,
            (Rule::Closed, _) => false,
            (Rule::OneUser { name, .. }, _) => principal.name.as_ref() == Some(name) && !is_upstream(repository),
        }
    }

    /// What `repository` demands of a manifest, and why one that meets it is let in.
    pub(crate) fn demands(&self, _repository: &str) -> (Demands, Verdict) {
        let demands = match &self.0 {
            Rule::Closed => Demands::default(),
            Rule::OneUser { demands, .. } => *demands,
        };
        (demands, Verdict { rule: "one-user".to_owned(), policy_epoch: 0 })
    }
}

/// Name and password of HTTP's basic scheme (RFC 7617).
fn credentials(head: &request::Parts) -> Option<(String, String)> {
    let value = head.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, value) = value.split_once(' ')?;
    let decoded = BASE64_STANDARD.decode(value.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let text = String::from_utf8(decoded).ok()?;
    text.split_once(':').map(|(name, password)| (name.to_owned(), password.to_owned()))
}
