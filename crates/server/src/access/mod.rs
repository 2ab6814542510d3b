//! Who may do what at the registry: who sends a request, what they may, and what they are told where they may not.
//!
//! [`Access::judge`] finds out who sends a request, and [`Access::may`] what they may. Both see one immutable policy, which
//! [`Access::reload`] replaces as a whole. Deny by default: what no grant allows is refused.

mod action;
mod bounded;
mod challenge;
pub mod credentials;
pub mod document;
mod error;
pub(crate) mod gate;
pub mod glob;
pub mod htpasswd;
pub mod identity;
mod issuer;
pub mod jwt;
mod key;
mod limits;
mod load;
mod login;
mod passwords;
mod peer;
mod policy;
pub mod robot;
pub mod scope;
mod summary;
pub mod token;
mod who;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use http::HeaderValue;
use http::header::HOST;
use http::request::Parts;
use jiff::Timestamp;

pub use action::Action;
pub(crate) use challenge::Challenge;
pub use error::AccessError;
pub(crate) use load::read as read_file;
pub(crate) use peer::Peer;
pub use summary::{Summary, summary};

use key::TokenKey;
use limits::{Allowance, Limiter, Permit};
use passwords::Passwords;
use policy::Policy;
use who::Who;

use crate::clock::Clock;
use crate::rules::Rules;

/// Where it stands who may do what.
#[derive(Clone, Debug)]
pub struct AccessFiles {
    /// The document of kind `Registry`.
    pub registry: PathBuf,
    /// Where the key is kept by which tokens are signed; made where there is none.
    pub token_key: PathBuf,
}

/// Who may do what, and what is remembered about those who ask.
#[derive(Debug)]
pub struct Access {
    files: Option<AccessFiles>,
    policy: ArcSwap<Policy>,
    key: TokenKey,
    passwords: Passwords,
    requests: Limiter,
    /// Computations of bcrypt, by address.
    attempts: Limiter,
    started: Instant,
    clock: Clock,
}

/// Who sends a request, and under which policy it is answered. The request counts against their limit until the last clone is
/// dropped: keep one with the body of the response.
#[derive(Clone, Debug)]
pub(crate) struct Principal {
    policy: Arc<Policy>,
    who: Arc<Who>,
    /// What the client calls us.
    host: Option<HeaderValue>,
    _permit: Option<Arc<Permit>>,
}

impl Access {
    /// Reads the policy. Without files everybody may pull, and nobody may do anything else.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn open(files: Option<AccessFiles>, clock: Clock) -> Result<Self, AccessError> {
        let no_random = |source| AccessError::TokenKey { path: PathBuf::new(), source };
        let (policy, key) = match &files {
            Some(files) => (Policy::load(&files.registry)?, TokenKey::open(&files.token_key)?),
            None => (Policy::default(), TokenKey::for_now().map_err(no_random)?),
        };
        Ok(Self {
            files,
            policy: ArcSwap::from_pointee(policy),
            key,
            passwords: Passwords::new().map_err(no_random)?,
            requests: Limiter::default(),
            attempts: Limiter::default(),
            started: Instant::now(),
            clock,
        })
    }

    /// Reads the policy again. Where that fails the old one stays.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn reload(&self) -> Result<(), AccessError> {
        if let Some(files) = &self.files {
            self.policy.store(Arc::new(Policy::load(&files.registry)?));
        }
        Ok(())
    }

    /// Who sends the request with this head, if they may ask for anything at all now.
    ///
    /// # Errors
    /// A [`Challenge`]: 401 for credentials that are none, 429 for too many requests.
    pub(crate) async fn judge(&self, head: &Parts) -> Result<Principal, Challenge> {
        self.judge_at(head, self.clock.now()).await
    }

    async fn judge_at(&self, head: &Parts, now: Timestamp) -> Result<Principal, Challenge> {
        let policy = self.policy();
        let host = head.headers.get(HOST);
        let who = match credentials::Credentials::of_headers(&head.headers) {
            Ok(None) => self.without_credentials(&policy, head),
            Ok(Some(credentials)) if credentials.is_empty() => self.without_credentials(&policy, head),
            Ok(Some(credentials)) => self
                .log_in(&policy, &credentials, &Peer::of(head), now)
                .await
                .map_err(|refusal| Challenge::of_login(&policy, host, &refusal))?,
            Err(error) => return Err(Challenge::of_login(&policy, host, &error.into())),
        };
        let permit = self.admit(&policy, &who, &Peer::of(head))?;
        Ok(Principal { policy, who, host: host.cloned(), _permit: permit.map(Arc::new) })
    }

    /// Somebody whom nobody asked who they are: for what everybody may see, and does not count.
    pub(crate) fn anybody(&self) -> Principal {
        let policy = self.policy();
        Principal { who: policy.nobody.clone(), policy, host: None, _permit: None }
    }

    /// Whether `principal` may do `action` on `repository`.
    pub(crate) fn may(&self, principal: &Principal, repository: &str, action: Action) -> bool {
        principal.policy.may(&principal.who, repository, action)
    }

    /// Like [`Access::may`], with the answer for whoever may not.
    ///
    /// # Errors
    /// A [`Challenge`]: 401 where another login, or a token with more scopes, could help; else 403.
    pub(crate) fn demand(&self, principal: &Principal, repository: &str, action: Action) -> Result<(), Challenge> {
        if self.may(principal, repository, action) {
            return Ok(());
        }
        let Principal { policy, who, host, .. } = principal;
        Err(Challenge::of_denial(policy, who, host.as_ref(), (repository, action)))
    }

    /// Whether `principal` may ask for the list of repositories; each in it is a matter of [`Access::may`] with
    /// [`Action::Catalog`].
    ///
    /// # Errors
    /// A [`Challenge`].
    pub(crate) fn demand_catalog(&self, principal: &Principal) -> Result<(), Challenge> {
        let Principal { policy, who, host, .. } = principal;
        let scoped = who.scopes.as_ref().is_none_or(scope::Scopes::has_catalog);
        if policy.anonymous.catalog || scoped && policy.may_list(who) {
            return Ok(());
        }
        Err(Challenge::of_denial(policy, who, host.as_ref(), ("", Action::Catalog)))
    }

    /// Whether `principal` may know that this is a registry (`GET /v2/`): some clients say who they are only where they are asked
    /// for it here.
    ///
    /// # Errors
    /// A [`Challenge`] with 401.
    pub(crate) fn demand_at_the_door(&self, principal: &Principal) -> Result<(), Challenge> {
        let Principal { policy, who, host, .. } = principal;
        if policy.asks_at_the_door() && who.is_anonymous() && who.scopes.is_none() {
            return Err(Challenge::at_the_door(policy, host.as_ref()));
        }
        Ok(())
    }

    /// Whether there is a policy by which somebody may push.
    pub(crate) fn takes_pushes(&self) -> bool {
        self.files.is_some()
    }

    /// What may be pushed now, and how that is called in what is stored.
    pub fn rules(&self) -> Arc<Rules> {
        self.policy().rules.clone()
    }

    pub(crate) fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    fn without_credentials(&self, policy: &Policy, head: &Parts) -> Arc<Who> {
        match Peer::of(head).certificate {
            Some(name) => Arc::new(Who::new(identity::Identity::Certificate(name), Vec::new())),
            None => policy.nobody.clone(),
        }
    }

    /// Counts a request, by name, or by address where nobody has said who they are.
    fn admit(&self, policy: &Policy, who: &Who, peer: &Peer) -> Result<Option<Permit>, Challenge> {
        // Most sites have no limits, and then nothing is looked up or remembered.
        if policy.allowance == Allowance::default() {
            return Ok(None);
        }
        let admitted = if who.is_anonymous() {
            self.requests.admit(&format!("anonymous/{}", peer.address()), &policy.allowance, self.started.elapsed())
        } else {
            self.requests.admit(&who.name, &policy.allowance, self.started.elapsed())
        };
        admitted.map(Some).map_err(|too_much| Challenge::too_much(&who.name, too_much.retry_after))
    }
}

impl Principal {
    /// Who it is, for logs and the operation log: `user/anna`.
    pub(crate) fn name(&self) -> &str {
        &self.who.name
    }

    /// Whether they did not say who they are.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.who.is_anonymous()
    }

    /// Whether they showed something else than a token from here: a password, a certificate, or an issuer's token.
    pub(crate) fn has_own_proof(&self) -> bool {
        !self.is_anonymous() && self.who.scopes.is_none()
    }
}

#[cfg(test)]
mod tests;
