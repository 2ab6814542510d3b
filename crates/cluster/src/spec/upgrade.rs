//! How the nodes of a cluster become something else one after the other, where a command does not say it.

use std::num::NonZeroU16;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How nodes become something else one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Upgrade {
    /// What is done with a node that fails to become what it is to be.
    pub on_failure: OnFailure,
    /// How many workers may be away at a time; one where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<NonZeroU16>,
    /// How `cluster upgrade`, `rollback` and `patch-os` empty a node where they are not told.
    #[serde(skip_serializing_if = "Drain::is_default")]
    pub drain: Drain,
}

/// Which pods may be lost when a node is emptied, and how long they are waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Drain {
    /// How long one node may take; 600 where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
    /// Whether pods go, too, that nothing starts anew.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// Whether pods go, too, that have written into emptyDir volumes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub delete_emptydir_data: bool,
}

/// What is done with a node that fails in an upgrade; the others wait in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// It becomes again what it was, where that can be had on the node alone, and is given back.
    #[default]
    Rollback,
    /// It stays as it is, for somebody to look at.
    Halt,
}

impl Upgrade {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Drain {
    /// How long one node may take where nobody says it.
    pub const TIMEOUT_SECONDS: u32 = 600;

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
