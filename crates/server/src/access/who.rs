//! Who somebody was found to be.

use jiff::Timestamp;

use super::identity::Identity;
use super::scope::Scopes;

/// Somebody, and what they brought.
#[derive(Debug)]
pub(crate) struct Who {
    pub(crate) identity: Identity,
    /// The identity, written out.
    pub(crate) name: Box<str>,
    /// `oidc-group/PROVIDER/GROUP`.
    pub(crate) groups: Vec<Box<str>>,
    /// What their token allows at most; all that they may where they brought another proof.
    pub(crate) scopes: Option<Scopes>,
    /// From when to when this holds.
    pub(crate) begins: Timestamp,
    pub(crate) expires: Timestamp,
}

impl Who {
    pub(crate) fn new(identity: Identity, groups: Vec<Box<str>>) -> Self {
        let name = identity.to_string().into();
        Self { identity, name, groups, scopes: None, begins: Timestamp::MIN, expires: Timestamp::MAX }
    }

    /// The same, from `begins` to `expires` only.
    pub(crate) fn within(self, begins: Timestamp, expires: Timestamp) -> Self {
        Self { begins, expires, ..self }
    }

    /// The same, with no more than `scopes`.
    pub(crate) fn with_scopes(self, scopes: Scopes) -> Self {
        Self { scopes: Some(scopes), ..self }
    }

    pub(crate) fn is_anonymous(&self) -> bool {
        self.identity == Identity::Anonymous
    }

    pub(crate) fn holds_at(&self, now: Timestamp) -> bool {
        self.begins <= now && now < self.expires
    }
}
