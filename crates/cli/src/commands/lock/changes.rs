//! What is different between two locks, for the person who reviews it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use sealock_bundle::Lock;
use sealock_bundle::lock::{LockedReference, ReferenceKind};
use sealock_bundle::parameters::{ParameterValue, Parameters};
use sealock_trust::tuf::DelegatedRole;
use sealock_trust::{Digest, RoleName};
use serde::Serialize;

use crate::commands::trust::delegate::beginnings;
use crate::ui::short;

/// What is different, by name.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    added: BTreeMap<String, Digest>,
    removed: BTreeMap<String, Digest>,
    /// From which digest to which.
    moved: BTreeMap<String, (Digest, Digest)>,
    /// Vendors who are new, gone or other than before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vendors: Vec<VendorChange>,
    /// Parameters with another value: from which to which; none where it came or went.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    parameters: BTreeMap<String, (Option<ParameterValue>, Option<ParameterValue>)>,
}

/// A vendor before and after; none where it is not asked.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct VendorChange {
    vendor: RoleName,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<DelegatedRole>,
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<DelegatedRole>,
}

impl VendorChange {
    fn all(before: Option<&Lock>, now: &Lock) -> Vec<Self> {
        let roles = |lock: &Lock| -> BTreeMap<RoleName, DelegatedRole> {
            let roles = lock.delegations.iter().flat_map(|delegations| &delegations.roles);
            roles.map(|role| (role.name.clone(), role.clone())).collect()
        };
        let (before, now) = (before.map(roles).unwrap_or_default(), roles(now));
        let vendors: BTreeSet<&RoleName> = before.keys().chain(now.keys()).collect();
        let changed = vendors.into_iter().filter(|vendor| before.get(*vendor) != now.get(*vendor));
        let change = |vendor: &RoleName| Self {
            vendor: vendor.clone(),
            before: before.get(vendor).cloned(),
            now: now.get(vendor).cloned(),
        };
        changed.map(change).collect()
    }

    fn text(&self) -> String {
        let says =
            |role: &DelegatedRole| format!("{} of {} keys for {}", role.threshold, role.keyids.len(), beginnings(role));
        match (&self.before, &self.now) {
            (Some(before), Some(now)) => format!("~ vendor {}: {} -> {}\n", self.vendor, says(before), says(now)),
            (None, Some(now)) => format!("+ vendor {}: {}\n", self.vendor, says(now)),
            _ => format!("- vendor {}\n", self.vendor),
        }
    }
}

impl Changes {
    pub fn between(before: Option<&Lock>, now: &Lock) -> Self {
        let (vendors, parameters) = (VendorChange::all(before, now), parameters(before, now));
        let (before, now) = (before.map(names).unwrap_or_default(), names(now));
        let mut changes = Self { vendors, parameters, ..Self::default() };
        for (name, digest) in &now {
            match before.get(name) {
                None => drop(changes.added.insert(name.clone(), digest.clone())),
                Some(old) if old != digest => {
                    changes.moved.insert(name.clone(), (old.clone(), digest.clone()));
                }
                Some(_) => {}
            }
        }
        changes.removed = before.into_iter().filter(|(name, _)| !now.contains_key(name)).collect();
        changes
    }

    pub fn text(&self) -> String {
        let short = |digest: &Digest| short(&digest.to_string());
        let mut text = String::new();
        for (name, (old, new)) in &self.parameters {
            let _ = match (old, new) {
                (Some(old), Some(new)) => writeln!(text, "~ parameter {name}: {old} -> {new}"),
                (None, Some(new)) => writeln!(text, "+ parameter {name}: {new}"),
                (Some(old), None) => writeln!(text, "- parameter {name}: {old}"),
                (None, None) => Ok(()),
            };
        }
        for (name, digest) in &self.added {
            let _ = writeln!(text, "+ {name} {}", short(digest));
        }
        for (name, (old, new)) in &self.moved {
            let _ = writeln!(text, "~ {name} {} -> {}", short(old), short(new));
        }
        for (name, digest) in &self.removed {
            let _ = writeln!(text, "- {name} {}", short(digest));
        }
        self.vendors.iter().for_each(|change| text.push_str(&change.text()));
        text
    }
}

fn parameters(before: Option<&Lock>, now: &Lock) -> BTreeMap<String, (Option<ParameterValue>, Option<ParameterValue>)> {
    let none = Parameters::new();
    let (before, now) = (before.map_or(&none, |before| &before.parameters), &now.parameters);
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let changes = names.into_iter().filter(|name| before.get(*name) != now.get(*name));
    changes.map(|name| (name.clone(), (before.get(name).cloned(), now.get(name).cloned()))).collect()
}

fn names(lock: &Lock) -> BTreeMap<String, Digest> {
    let told = lock.references.iter().filter(|reference| reference.kind != ReferenceKind::Attestation);
    told.map(|reference| (name(lock, reference), reference.digest.clone())).collect()
}

/// A reference's name, without the sequence where that is its tag: Kubernetes manifests travel as `manifests/…:7`, and
/// are not another thing in bundle 8.
pub fn name(lock: &Lock, reference: &LockedReference) -> String {
    let name = reference.name.to_string();
    match name.strip_suffix(&format!(":{}", lock.sequence)) {
        Some(plain) if reference.kind == ReferenceKind::Manifest => plain.to_owned(),
        _ => name,
    }
}
