//! What people are shown of roots and requests before they sign, and afterwards.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sealock_bundle::Manifest;
use sealock_bundle::lock::{ReferenceKind, VerdictRule};
use sealock_bundle::sign;
use sealock_trust::request::{SigningRequest, Subject, Tally};
use sealock_trust::tuf::{DelegatedRole, Root, Targets, role_changes};
use sealock_trust::{Digest, KeyId, RoleName};
use serde_json::Value;

use super::delegate::{beginnings, describe_role};
use crate::error::Result;
use crate::ui::{bytes, facts};

/// What a request asks to sign: recomputed from the very bytes that are to be signed.
pub struct Summary {
    pub text: String,
    pub value: Value,
}

/// Reads the summary off `request`.
///
/// # Errors
/// What is to be signed contradicts itself.
pub fn summary(request: &SigningRequest) -> Result<Summary> {
    let manifest = sign::manifest_of(request)?;
    let (mut text, value) = match (request.subject(), &manifest) {
        (Subject::Root { previous, root }, _) => new_root(previous.as_ref(), root)?,
        (Subject::Bundle { manifest: bytes, vendor_versions, revocations, .. }, Some(manifest)) => {
            let (mut text, mut value) = bundle(manifest, &Digest::sha256(bytes), vendor_versions);
            if let Some(list) = revocations {
                let _ = writeln!(text, "with the revocation list {list}");
                value["revocations"] = list.to_string().into();
            }
            (text, value)
        }
        (Subject::Bundle { .. }, None) => (String::new(), Value::Null),
        (Subject::Vendor { delegation, targets, .. }, _) => vendor(delegation, targets),
    };
    let mut asked = Vec::new();
    for asked_role in request.asked() {
        let (threshold, keys) = (asked_role.keys.threshold(), asked_role.keys.keys().len());
        asked.push(("asked", format!("{threshold} of {keys} {}", asked_role.role)));
    }
    if let Some(fingerprint) = request.root_fingerprint()? {
        asked.push(("root", fingerprint.to_string()));
    }
    asked.push(("request", request.digest().to_string()));
    let _ = write!(text, "\n{}", facts(asked));
    Ok(Summary { text, value })
}

fn new_root(previous: Option<&Root>, root: &Root) -> Result<(String, Value)> {
    let mut text = root_text(root)?;
    let changes = previous.map(|previous| role_changes(previous, root)).transpose()?;
    if let Some(previous) = previous {
        let _ = write!(text, "\n{}", difference(previous, root)?);
    }
    let value = serde_json::json!({"kind": "root", "root": root, "changes": changes});
    Ok((text, value))
}

/// What a vendor is asked to vouch for: names and digests, and nothing about who carries them.
fn vendor(delegation: &DelegatedRole, targets: &Targets) -> (String, Value) {
    let count = targets.targets.len();
    let mut text = facts([
        ("vendor", delegation.name.to_string()),
        ("vouches for", format!("{count} {}, whoever carries them", if count == 1 { "artifact" } else { "artifacts" })),
        ("version", targets.version.to_string()),
        ("expires", targets.expires.to_string()),
        ("delegated", beginnings(delegation)),
    ]);
    for (name, target) in &targets.targets {
        let digests: Vec<String> = target.hashes.iter().map(|(algorithm, hex)| format!("{algorithm}:{hex}")).collect();
        let _ = writeln!(text, "  {}@{}  {} bytes", name.escape_debug(), digests.join(" "), target.length);
    }
    let value = serde_json::json!({"kind": "vendor", "delegation": delegation, "targets": targets});
    (text, value)
}

fn bundle(manifest: &Manifest, digest: &Digest, versions: &BTreeMap<RoleName, u64>) -> (String, Value) {
    let sites: Vec<String> = manifest.audience.sites.iter().map(ToString::to_string).collect();
    let class = manifest.audience.classification.as_ref().map(|class| format!(" ({class:?})")).unwrap_or_default();
    let previous = manifest.previous.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
    let content = format!("{} in {} blobs", bytes(manifest.limits.bytes), manifest.limits.blobs);
    let mut text = facts([
        ("bundle", manifest.name.to_string()),
        ("stream", format!("{}, sequence {}", manifest.stream, manifest.sequence)),
        ("manifest", digest.to_string()),
        ("previous", previous),
        ("for the sites", format!("{}{class}", sites.join(" "))),
        ("issued", manifest.issued.to_string()),
        ("expires", manifest.expires.to_string()),
        ("made by", format!("{:?}", manifest.tool)),
        ("content", content),
    ]);
    for reference in &manifest.references {
        let kind = kind(reference.kind);
        let _ = write!(text, "  {kind:8}  {}@{}", reference.name, reference.digest);
        if reference.verdict.rule == VerdictRule::Unsigned {
            let reason = reference.verdict.reason.as_deref().unwrap_or_default();
            let _ = write!(text, "  unsigned upstream: {reason:?}");
        }
        text.push('\n');
    }
    for (role, delegations) in manifest.delegations.iter().flat_map(|all| all.roles.iter().map(move |role| (role, all)))
    {
        text.push_str(&describe_role(role, delegations));
        if let Some(version) = versions.get(&role.name) {
            let _ = writeln!(text, "  its file has version {version}");
        }
    }
    let value = serde_json::json!({
        "kind": "bundle", "digest": digest, "manifest": manifest, "vendor_versions": versions,
    });
    (text, value)
}

fn kind(kind: ReferenceKind) -> &'static str {
    match kind {
        ReferenceKind::Image => "image",
        ReferenceKind::Chart => "chart",
        ReferenceKind::Manifest => "manifest",
        ReferenceKind::File => "file",
        ReferenceKind::Referrer => "referrer",
        ReferenceKind::Attestation => "attestation",
        ReferenceKind::Sealock => "sealock",
        ReferenceKind::OsPackages => "OS packages",
    }
}

/// A root as a person reads it.
///
/// # Errors
/// A role that can't be filled.
pub fn root_text(root: &Root) -> Result<String> {
    let mut text = facts([("root", format!("version {}", root.version)), ("expires", root.expires.to_string())]);
    for (role, keys) in root.named_roles()? {
        let _ = writeln!(text, "{role}: {} of {}", keys.threshold(), keys.keys().len());
        for (id, key) in keys.keys() {
            let _ = writeln!(text, "  {}  {}", grouped(id.as_str()), key.scheme().escape_debug());
        }
    }
    if root.extension.is_none() {
        text.push_str("revoker: none\n");
    }
    Ok(text)
}

/// What changes from one root to the next, as a person reads it.
///
/// # Errors
/// A role that can't be filled.
pub fn difference(before: &Root, after: &Root) -> Result<String> {
    let mut text = format!("from root {} to root {}\n", before.version, after.version);
    let changes = role_changes(before, after)?;
    for change in &changes {
        let threshold = |threshold: Option<u32>| threshold.map_or("none".to_owned(), |count| count.to_string());
        let (old, new) = (threshold(change.threshold_before), threshold(change.threshold_after));
        let threshold = if old == new { format!("threshold {new}") } else { format!("threshold {old} -> {new}") };
        let _ = writeln!(text, "  {}: {threshold}", change.role);
        for (sign, ids) in [('+', &change.added), ('-', &change.removed)] {
            for id in ids {
                let _ = writeln!(text, "    {sign} {}", grouped(id.as_str()));
            }
        }
    }
    if changes.is_empty() {
        text.push_str("  the roles stay as they are\n");
    }
    if before.expires != after.expires {
        let _ = writeln!(text, "  expires: {} -> {}", before.expires, after.expires);
    }
    Ok(text)
}

/// Who has signed, and who is missing.
pub fn tally_text(tally: &[Tally]) -> String {
    let mut text = String::new();
    for role in tally {
        let state = if role.met { "enough" } else { "not enough yet" };
        let _ = writeln!(text, "{}: {} of {} signed, {state}", role.role, role.signed.len(), role.threshold);
        for id in &role.signed {
            let _ = writeln!(text, "  signed   {id}");
        }
        for id in role.missing.iter().filter(|_| !role.met) {
            let _ = writeln!(text, "  missing  {id}");
        }
    }
    text
}

/// Whether every threshold is met.
pub fn is_met(tally: &[Tally]) -> bool {
    tally.iter().all(|role| role.met)
}

/// Hexadecimal in groups of four, as people compare it.
pub fn grouped(hex: &str) -> String {
    let characters: Vec<char> = hex.chars().collect();
    characters.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

/// The first characters of a key id, for file names.
pub fn brief(id: &KeyId) -> &str {
    id.as_str().get(..8).unwrap_or_default()
}
