//! What can be done at a registry.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Read manifests, blobs, tags and referrers.
    Pull,
    /// Write blobs, manifests and tags.
    Push,
    /// Take manifests, tags and blobs away.
    Delete,
    /// See the repository in the list of all.
    Catalog,
}

/// A set of actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Actions(u8);

impl Actions {
    /// What can be done to a repository.
    pub(crate) fn of_repository() -> Self {
        [Action::Pull, Action::Push, Action::Delete].into_iter().collect()
    }

    pub(crate) fn contains(self, action: Action) -> bool {
        self.0 & (1 << action as u8) != 0
    }

    pub(crate) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Action> {
        [Action::Pull, Action::Push, Action::Delete, Action::Catalog]
            .into_iter()
            .filter(move |&action| self.contains(action))
    }
}

impl From<Action> for Actions {
    fn from(action: Action) -> Self {
        Self(1 << action as u8)
    }
}

impl FromIterator<Action> for Actions {
    fn from_iter<I: IntoIterator<Item = Action>>(actions: I) -> Self {
        actions.into_iter().map(Self::from).collect()
    }
}

impl FromIterator<Self> for Actions {
    fn from_iter<I: IntoIterator<Item = Self>>(sets: I) -> Self {
        sets.into_iter().fold(Self::default(), Self::union)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
            Self::Catalog => "catalog",
        })
    }
}

/// As scopes have them: `pull,push`.
impl fmt::Display for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for action in self.iter() {
            write!(f, "{comma}{action}")?;
            comma = ",";
        }
        Ok(())
    }
}
