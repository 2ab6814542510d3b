//! What a root says of its roles, and what changes from one root to the next.

use serde::Serialize;

use super::Root;
use crate::key::KeyId;
use crate::role::{KeySet, RoleError};

impl Root {
    /// Every role that this root fills, by its name: `root`, `publisher`, `revoker`. TUF knows the publisher as targets,
    /// snapshot and timestamp; where these differ, as in a root that others made, each stands for itself.
    ///
    /// # Errors
    /// [`RoleError`] for a role that can't be filled.
    pub fn named_roles(&self) -> Result<Vec<(&'static str, KeySet)>, RoleError> {
        let keys = |role| KeySet::from_role(&self.keys, role);
        let mut named = vec![("root", self.root_keys()?)];
        let (targets, snapshot, timestamp) =
            (keys(&self.roles.targets)?, keys(&self.roles.snapshot)?, keys(&self.roles.timestamp)?);
        if targets == snapshot && snapshot == timestamp {
            named.push(("publisher", targets));
        } else {
            named.extend([("targets", targets), ("snapshot", snapshot), ("timestamp", timestamp)]);
        }
        named.extend(self.revoker_keys()?.map(|revoker| ("revoker", revoker)));
        Ok(named)
    }
}

/// How one role differs between two roots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoleChange {
    /// The role.
    pub role: &'static str,
    /// The threshold before; none where the role is new.
    pub threshold_before: Option<u32>,
    /// The threshold after; none where the role is gone.
    pub threshold_after: Option<u32>,
    /// Keys that have a say from now on.
    pub added: Vec<KeyId>,
    /// Keys that have none any more.
    pub removed: Vec<KeyId>,
}

/// The roles that differ between `before` and `after`.
///
/// # Errors
/// [`RoleError`] for a role that can't be filled.
pub fn role_changes(before: &Root, after: &Root) -> Result<Vec<RoleChange>, RoleError> {
    let (before, after) = (before.named_roles()?, after.named_roles()?);
    let mut roles: Vec<&'static str> = after.iter().map(|(role, _)| *role).collect();
    roles.extend(before.iter().map(|(role, _)| *role).filter(|role| !after.iter().any(|(other, _)| other == role)));
    let find = |roles: &[(&'static str, KeySet)], name: &str| {
        roles.iter().find(|(role, _)| *role == name).map(|(_, keys)| keys.clone())
    };
    let changes = roles.into_iter().map(|role| change(role, find(&before, role), find(&after, role)));
    Ok(changes.flatten().collect())
}

fn change(role: &'static str, before: Option<KeySet>, after: Option<KeySet>) -> Option<RoleChange> {
    if before == after {
        return None;
    }
    let ids =
        |keys: &Option<KeySet>| -> Vec<KeyId> { keys.iter().flat_map(|keys| keys.keys().keys().cloned()).collect() };
    let (old, new) = (ids(&before), ids(&after));
    Some(RoleChange {
        role,
        threshold_before: before.map(|keys| keys.threshold()),
        threshold_after: after.map(|keys| keys.threshold()),
        added: new.iter().filter(|id| !old.contains(id)).cloned().collect(),
        removed: old.into_iter().filter(|id| !new.contains(id)).collect(),
    })
}
