//! Who may do what, once all files are read: what requests are judged by.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use sealock_trust::Digest;

use super::action::{Action, Actions};
use super::bounded::Bounded;
use super::document::{Anonymous, Login};
use super::glob::Glob;
use super::htpasswd::Htpasswd;
use super::identity::{Identity, Subject};
use super::issuer::{Issuer, IssuerKind};
use super::limits::Allowance;
use super::who::Who;
use crate::rules::Rules;
use crate::tls::Authorities;

/// Tokens that were found good and need not be verified again.
const REMEMBERED: usize = 4096;

/// Who may do what. It never changes: a file that is read again makes another one.
#[derive(Debug)]
pub(crate) struct Policy {
    /// Whom tokens are for.
    pub(crate) service: Box<str>,
    pub(crate) login: Login,
    pub(crate) anonymous: Anonymous,
    pub(crate) users: Htpasswd,
    pub(crate) robots: BTreeMap<Box<str>, Robot>,
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) authorities: Option<Authorities>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) allowance: Allowance,
    /// Tokens that were verified under this policy, by their SHA-256.
    pub(crate) verified: Bounded<[u8; 32], Arc<Who>>,
    pub(crate) nobody: Arc<Who>,
}

/// An account of a program.
#[derive(Debug)]
pub(crate) struct Robot {
    pub(crate) secret: Digest,
    pub(crate) expires: Timestamp,
}

/// Who may do what, where.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) subjects: Vec<Subject>,
    pub(crate) repositories: Vec<Glob>,
    pub(crate) actions: Actions,
}

impl Default for Policy {
    /// Where there is no file: everybody may pull, and nobody may do anything else.
    fn default() -> Self {
        Self {
            service: "sealock".into(),
            login: Login::default(),
            anonymous: Anonymous::default(),
            users: Htpasswd::default(),
            robots: BTreeMap::new(),
            issuers: Vec::new(),
            authorities: None,
            grants: Vec::new(),
            rules: Arc::default(),
            allowance: Allowance::default(),
            verified: Bounded::new(REMEMBERED),
            nobody: Arc::new(Who::new(Identity::Anonymous, Vec::new())),
        }
    }
}

impl Policy {
    /// Whether anybody can log in.
    pub(crate) fn has_logins(&self) -> bool {
        self.users.len() + self.robots.len() + self.issuers.len() > 0 || self.authorities.is_some()
    }

    /// Whether a client that asks whether this is a registry must say who it is: some send what they know about themselves
    /// only where they were asked for it then.
    pub(crate) fn asks_at_the_door(&self) -> bool {
        self.has_logins()
    }

    /// Whether `who` may do `action`, with what they brought.
    pub(crate) fn may(&self, who: &Who, repository: &str, action: Action) -> bool {
        self.anybody_may(repository, action)
            || who.scopes.as_ref().is_none_or(|scopes| scopes.contains(repository, action))
                && self.is_granted(who, repository, action)
    }

    /// Whether `who` may do `action` at all, whatever they brought.
    pub(crate) fn may_at_all(&self, who: &Who, repository: &str, action: Action) -> bool {
        self.anybody_may(repository, action) || self.is_granted(who, repository, action)
    }

    /// Whether `who` may see a list of repositories, if only of some.
    pub(crate) fn may_list(&self, who: &Who) -> bool {
        let granted = |grant: &Grant| grant.actions.contains(Action::Catalog) && grant.is_for(who);
        self.anonymous.catalog || self.grants.iter().any(granted)
    }

    fn anybody_may(&self, repository: &str, action: Action) -> bool {
        let offered = match action {
            Action::Pull => true,
            Action::Catalog => self.anonymous.catalog,
            Action::Push | Action::Delete => false,
        };
        offered && self.anonymous.pull.iter().any(|glob| glob.matches(repository))
    }

    fn is_granted(&self, who: &Who, repository: &str, action: Action) -> bool {
        let fits = |grant: &Grant| grant.repositories.iter().any(|glob| glob.matches(repository));
        self.grants.iter().any(|grant| grant.actions.contains(action) && fits(grant) && grant.is_for(who))
    }

    /// Whether somebody who was known when their token was made still is.
    pub(crate) fn knows(&self, identity: &Identity, now: Timestamp) -> bool {
        match identity {
            Identity::Anonymous => true,
            Identity::User(name) => self.users.hash(name).is_some(),
            Identity::Robot(name) => self.robots.get(name).is_some_and(|robot| now < robot.expires),
            Identity::Certificate(_) => self.authorities.is_some(),
            Identity::Oidc { provider, .. } => self
                .issuers
                .iter()
                .any(|issuer| matches!(&issuer.kind, IssuerKind::Oidc { name, .. } if name == provider)),
            Identity::ServiceAccount { cluster, .. } => self
                .issuers
                .iter()
                .any(|issuer| matches!(&issuer.kind, IssuerKind::Cluster { name } if name == cluster)),
        }
    }
}

impl Grant {
    fn is_for(&self, who: &Who) -> bool {
        self.subjects.iter().any(|subject| subject.covers(&who.name, &who.groups))
    }
}
