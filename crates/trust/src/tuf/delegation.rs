//! Vendors: delegated targets inside one publisher's bundle (TUF specification 1.0.34, sections 4.5 and 5.6.7).
//!
//! A delegation names a role, its keys and the names it may vouch for. The role's file `NAME.json` names artifacts with their
//! digests. Where a delegation covers an artifact's name, nobody but its role vouches for it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::verify::{Judge, Promise};
use super::{FileMeta, MetadataSet, Snapshot, TargetFile, Targets, TrustError};
use crate::key::{KeyId, PublicKey};
use crate::names::{NamePrefix, RoleName};
use crate::role::{KeySet, Role, RoleError};

/// Delegations within one another at most.
pub const MAX_DELEGATION_DEPTH: usize = 8;
/// Delegated roles of one bundle at most.
pub const MAX_DELEGATED_ROLES: usize = 64;
/// Patterns of one delegated role at most.
pub const MAX_PATTERNS: usize = 64;

/// Who may vouch for which names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegations {
    /// Every key of these roles, by id.
    pub keys: BTreeMap<KeyId, PublicKey>,
    /// The roles, in the order in which they are asked.
    pub roles: Vec<DelegatedRole>,
}

/// One delegated role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelegatedRole {
    /// Its name; its file is `NAME.json`.
    pub name: RoleName,
    /// Its keys.
    pub keyids: Vec<KeyId>,
    /// How many of them must sign.
    pub threshold: u32,
    /// Whether the search for a name that it covers ends with it. What Sealock writes always does.
    pub terminating: bool,
    /// The names that it may vouch for: `*` and `?` stand for anything but `/`.
    pub paths: Vec<String>,
}

impl DelegatedRole {
    /// The role's keys and threshold.
    ///
    /// # Errors
    /// [`RoleError`] for a role that can't be filled.
    pub fn key_set(&self, keys: &BTreeMap<KeyId, PublicKey>) -> Result<KeySet, RoleError> {
        KeySet::from_role(keys, &Role { keyids: self.keyids.clone(), threshold: self.threshold })
    }

    /// Whether the role may vouch for `name`.
    pub fn covers(&self, name: &str) -> bool {
        self.paths.iter().any(|pattern| matches(pattern, name))
    }

    /// That `targets`, the content of `file`, names nothing but what the role may vouch for.
    ///
    /// # Errors
    /// [`TrustError::OutOfScope`].
    pub(crate) fn check_scope(&self, file: &str, targets: &Targets) -> Result<(), TrustError> {
        match targets.targets.keys().find(|name| !self.covers(name)) {
            Some(name) => Err(TrustError::OutOfScope { file: file.to_owned(), name: name.clone() }),
            None => Ok(()),
        }
    }
}

impl DelegatedRole {
    /// The beginnings of names that its patterns were made from; none where they were made in another way.
    pub fn prefixes(&self) -> Option<Vec<NamePrefix>> {
        let prefixes = NamePrefix::of_patterns(&self.paths);
        let made = prefixes.iter().flat_map(NamePrefix::patterns);
        (!prefixes.is_empty() && made.eq(self.paths.iter().cloned())).then_some(prefixes)
    }
}

impl Delegations {
    /// The role that is asked for the artifact called `name`: the first that covers it.
    pub fn asked_for(&self, name: &str) -> Option<&DelegatedRole> {
        self.roles.iter().find(|role| role.covers(name))
    }

    /// The delegation to `role`, with its keys and nothing else.
    pub fn only(&self, role: &RoleName) -> Option<Self> {
        self.roles.iter().any(|delegated| delegated.name == *role).then(|| self.keeping(|name| name == role))
    }

    /// The delegations to the roles that `is_kept` says, with their keys and nothing else.
    #[must_use]
    pub fn keeping(&self, is_kept: impl Fn(&RoleName) -> bool) -> Self {
        let roles: Vec<DelegatedRole> = self.roles.iter().filter(|role| is_kept(&role.name)).cloned().collect();
        let is_used = |id: &KeyId| roles.iter().any(|role| role.keyids.contains(id));
        let keys = self.keys.iter().filter(|(id, _)| is_used(id)).map(|(id, key)| (id.clone(), key.clone())).collect();
        Self { keys, roles }
    }

    /// What every verifier asks of delegations by themselves: bounds, each role once, keys that can fill it.
    ///
    /// # Errors
    /// [`TrustError`], of `file`.
    pub fn check(&self, file: &str) -> Result<(), TrustError> {
        if self.roles.len() > MAX_DELEGATED_ROLES {
            return Err(TrustError::TooManyDelegations { what: "delegated roles", limit: MAX_DELEGATED_ROLES });
        }
        let mut seen = BTreeSet::new();
        for role in &self.roles {
            if !seen.insert(&role.name) {
                return Err(TrustError::DelegationCycle { role: role.name.clone() });
            }
            if role.paths.len() > MAX_PATTERNS {
                return Err(TrustError::TooManyDelegations { what: "patterns of one delegation", limit: MAX_PATTERNS });
            }
            let fault = |source| TrustError::Role { file: file.to_owned(), source };
            role.key_set(&self.keys).map_err(fault)?;
        }
        Ok(())
    }
}

/// The file name of a delegated role.
pub(crate) fn role_file(name: &RoleName) -> String {
    format!("{name}.json")
}

/// Whether `name` fits `pattern` (specification 4.5, PATHPATTERN): segment by segment.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (mut patterns, mut names) = (pattern.split('/'), name.split('/'));
    loop {
        match (patterns.next(), names.next()) {
            (None, None) => return true,
            (Some(pattern), Some(name)) if segment_matches(pattern.as_bytes(), name.as_bytes()) => {}
            _ => return false,
        }
    }
}

/// One segment, in time that grows with the product of the lengths: only the last `*` is tried again.
fn segment_matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut place) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while place < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[place] => {
                at += 1;
                place += 1;
            }
            _ => match star {
                Some((after, from)) => {
                    (at, place) = (after + 1, from + 1);
                    star = Some((after, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// A delegated role whose file is genuine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vendor {
    /// The role.
    pub name: RoleName,
    /// The version of its file.
    pub version: u64,
    /// The keys that signed it.
    pub signers: Vec<KeyId>,
    role: DelegatedRole,
    targets: BTreeMap<String, TargetFile>,
    expires: Timestamp,
    children: Vec<Vendor>,
}

/// What the delegations of a bundle say of one artifact's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vouch<'a> {
    /// No delegation covers the name: the publisher's word stands.
    Free,
    /// The role vouches for the name with this content.
    Vouched(&'a RoleName, &'a TargetFile),
    /// The role's delegation covers the name, and nobody vouches for it.
    Unvouched(&'a RoleName),
}

impl Vendor {
    /// The artifacts that it vouches for, whether the bundle carries them or not.
    pub fn targets(&self) -> &BTreeMap<String, TargetFile> {
        &self.targets
    }

    /// From when on its file is not believed any more.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Files of this role and of those below it.
    fn all<'a>(&'a self, found: &mut Vec<&'a Self>) {
        found.push(self);
        self.children.iter().for_each(|child| child.all(found));
    }
}

/// The roles of `vendors` and below, in the order of the search.
pub(super) fn all(vendors: &[Vendor]) -> Vec<&Vendor> {
    let mut found = Vec::new();
    vendors.iter().for_each(|vendor| vendor.all(&mut found));
    found
}

/// The earliest expiry among `vendors` and below.
pub(super) fn expires(vendors: &[Vendor], by: Timestamp) -> Timestamp {
    all(vendors).into_iter().map(|vendor| vendor.expires).fold(by, Timestamp::min)
}

/// 5.6.7: the preorder depth-first search for `name`.
pub(super) fn vouch<'a>(vendors: &'a [Vendor], name: &str) -> Vouch<'a> {
    let mut covered = Vouch::Free;
    for vendor in vendors.iter().filter(|vendor| vendor.role.covers(name)) {
        if let Some(target) = vendor.targets.get(name) {
            return Vouch::Vouched(&vendor.name, target);
        }
        let below = vouch(&vendor.children, name);
        if matches!(below, Vouch::Vouched(..)) {
            return below;
        }
        if matches!(covered, Vouch::Free) {
            covered = Vouch::Unvouched(&vendor.name);
        }
        // 5.6.7.2.1: a terminating delegation ends the search, whatever others would say (CVE-2025-2886).
        if vendor.role.terminating {
            break;
        }
    }
    covered
}

/// Verifies every delegated role below `targets`, asked for or not: no file of the set goes unjudged.
pub(super) fn verify(walk: &Context<'_>, targets: &Targets) -> Result<Vec<Vendor>, TrustError> {
    let mut seen = BTreeSet::new();
    let vendors = level(walk, targets, &[], &mut seen)?;
    match walk.set.delegated.keys().find(|name| !seen.contains(*name)) {
        Some(stray) => Err(TrustError::UnknownFile(role_file(stray))),
        None => Ok(vendors),
    }
}

/// What delegated roles are verified against.
pub(super) struct Context<'a> {
    pub(super) set: &'a MetadataSet,
    pub(super) snapshot: &'a Snapshot,
    pub(super) judge: Judge<'a>,
    /// The versions that were accepted before, by role.
    pub(super) accepted: Option<&'a BTreeMap<RoleName, u64>>,
}

fn level(
    walk: &Context<'_>,
    targets: &Targets,
    above: &[&DelegatedRole],
    seen: &mut BTreeSet<RoleName>,
) -> Result<Vec<Vendor>, TrustError> {
    let Some(delegations) = &targets.delegations else { return Ok(Vec::new()) };
    if above.len() >= MAX_DELEGATION_DEPTH {
        return Err(TrustError::TooManyDelegations { what: "levels of delegations", limit: MAX_DELEGATION_DEPTH });
    }
    let mut vendors = Vec::new();
    for role in &delegations.roles {
        // Off-spec: the specification passes over a role that was visited. Here a role has one delegation, so that the
        // delegations are a tree and nobody has to ask which keys were meant.
        if !seen.insert(role.name.clone()) {
            return Err(TrustError::DelegationCycle { role: role.name.clone() });
        }
        if seen.len() > MAX_DELEGATED_ROLES {
            return Err(TrustError::TooManyDelegations { what: "delegated roles", limit: MAX_DELEGATED_ROLES });
        }
        let keys = role.key_set(&delegations.keys);
        let keys = keys.map_err(|source| TrustError::Role { file: role_file(&role.name), source })?;
        vendors.push(one(walk, (role, &keys), above, seen)?);
    }
    Ok(vendors)
}

fn one(
    walk: &Context<'_>,
    (role, keys): (&DelegatedRole, &KeySet),
    above: &[&DelegatedRole],
    seen: &mut BTreeSet<RoleName>,
) -> Result<Vendor, TrustError> {
    if role.paths.len() > MAX_PATTERNS {
        return Err(TrustError::TooManyDelegations { what: "patterns of one delegation", limit: MAX_PATTERNS });
    }
    let file = role_file(&role.name);
    let missing = || TrustError::MissingFile(file.clone());
    // 5.6.2 to 5.6.6 for delegated targets, as for the top-level ones (CVE-2026-6967).
    let promised: &FileMeta = walk.snapshot.meta.get(&file).ok_or_else(missing)?;
    let bytes = walk.set.delegated.get(&role.name).ok_or_else(missing)?;
    let promise = Promise { by: "snapshot.json", file: &file, meta: promised };
    promise.check_bytes(bytes)?;
    let believed = walk.judge.believe::<Targets>(&file, bytes, keys)?;
    let (targets, signers) = (believed.file.signed, believed.signers);
    promise.check_version(targets.version)?;
    // 5.5.5: never back, for each file that the snapshot lists (CVE-2025-2887).
    if let Some(accepted) =
        walk.accepted.and_then(|accepted| accepted.get(&role.name)).filter(|accepted| targets.version < **accepted)
    {
        return Err(TrustError::DelegatedRollback { file, version: targets.version, accepted: *accepted });
    }
    let path: Vec<&DelegatedRole> = above.iter().copied().chain([role]).collect();
    path.iter().try_for_each(|role| role.check_scope(&file, &targets))?;
    let children = level(walk, &targets, &path, seen)?;
    Ok(Vendor {
        name: role.name.clone(),
        version: targets.version,
        signers,
        role: role.clone(),
        targets: targets.targets,
        expires: targets.expires,
        children,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_segment_by_segment() {
        for (pattern, name) in [
            ("quay.io/team/*", "quay.io/team/app:v1"),
            ("*/team/app:v?", "quay.io/team/app:v1"),
            ("a*b*c", "axxbyybzc"),
            ("**", "x"),
            ("", ""),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("quay.io/team/*", "quay.io/team/sub/app:v1"),
            ("quay.io/team/*", "quay.io/teams/app:v1"),
            ("quay.io/team", "quay.io/team/app"),
            ("*", "a/b"),
            ("a*b*c", "axxbyyb"),
            ("?", ""),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_time_worth_speaking_of() {
        let pattern = "a*".repeat(500) + "b";
        assert!(!matches(&pattern, &"a".repeat(2_000)));
    }
}
