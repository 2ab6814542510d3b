//! One side of a comparison.

use std::collections::{BTreeMap, BTreeSet};

use sealock_store::Published;
use sealock_store::release::ReferenceKind;
use sealock_trust::revocation::RevocationList;
use sealock_trust::tuf::{DelegatedRole, Delegations};
use sealock_trust::{Digest, NamePrefix};

use super::model::{Amount, CarriedList, Kind, Origin, Parameter, SideSummary, Source, StreamPosition, Trust};
use crate::lock::{BlobRole, Lock, LockError, Verdict};
use crate::manifest::Manifest;
use crate::parameters::Parameters;
use crate::plain::Plain;

/// What a bundle, a lock or a release names.
#[derive(Clone, Debug)]
pub struct Side {
    pub(super) summary: SideSummary,
    pub(super) entries: Vec<Entry>,
    pub(super) blobs: BTreeMap<Digest, Facts>,
    /// A release lists no blobs: they are found by reading.
    pub(super) lists_blobs: bool,
}

/// One artifact under its name.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The name without what merely counts bundles.
    pub(super) key: String,
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) digest: Digest,
    pub(super) platform: Option<String>,
    pub(super) origin: Option<Origin>,
    pub(super) vendor: Option<String>,
}

/// What is known of a blob without reading it.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) size: u64,
    pub(super) media_type: String,
    pub(super) role: BlobRole,
}

impl Side {
    /// A bundle, from its manifest. `signers` are those that hold, where `trust` says verified, and else those claimed.
    pub fn of_bundle(label: &str, manifest: &Manifest, digest: &Digest, trust: Trust, signers: &[String]) -> Self {
        let summary = SideSummary {
            label: Plain::of(label),
            source: Source::Bundle,
            trust,
            digest: Plain::of(digest),
            signers: signers.iter().map(Plain::of).collect(),
            name: Some(Plain::of(&manifest.name)),
            streams: vec![StreamPosition { stream: Plain::of(&manifest.stream), sequence: manifest.sequence }],
            previous: manifest.previous.as_ref().map(Plain::of),
            issued: manifest.issued,
            soft_expiry: Some(manifest.soft_expiry),
            expires: Some(manifest.expires),
            sites: manifest.audience.sites.iter().map(Plain::of).collect(),
            classification: manifest.audience.classification.as_ref().map(Plain::of),
            platforms: manifest.platforms.iter().map(Plain::of).collect(),
            parameters: parameters(&manifest.parameters),
            tool: Some(Plain::of(&manifest.tool)),
            vendors: vendors(manifest.delegations.as_ref()),
            annotations: annotations(&manifest.annotations),
            revocations: None,
            artifacts: manifest.references.len() as u64,
            content: Amount { blobs: manifest.limits.blobs, bytes: manifest.limits.bytes },
        };
        let entry = |reference: &crate::manifest::Reference| Entry {
            key: key(reference.name.as_str(), reference.kind, Some(manifest.sequence)),
            name: reference.name.to_string(),
            kind: kind(reference.kind, reference.platform.is_some()),
            digest: reference.digest.clone(),
            platform: reference.platform.as_ref().map(ToString::to_string),
            origin: Some(origin(&reference.verdict)),
            vendor: vendor_of(manifest.delegations.as_ref(), reference.name.as_str()),
        };
        let facts = |blob: &crate::manifest::Blob| {
            (blob.digest.clone(), Facts { size: blob.size, media_type: blob.media_type.clone(), role: blob.role })
        };
        Self {
            summary,
            entries: manifest.references.iter().map(entry).collect(),
            blobs: manifest.blobs.iter().map(facts).collect(),
            lists_blobs: true,
        }
    }

    /// The same with the revocation list that the bundle carries.
    #[must_use]
    pub fn carrying(mut self, list: Option<&RevocationList>) -> Self {
        let carried = |list: &RevocationList| CarriedList {
            version: list.version(),
            expires: list.expires(),
            revoked: list.entries().iter().map(|entry| Plain::of(&entry.subject)).collect(),
        };
        self.summary.revocations = list.map(carried);
        self
    }

    /// A lock: what the bundle built from it will say, signed by nobody yet.
    ///
    /// # Errors
    /// When the lock contradicts itself.
    pub fn of_lock(label: &str, lock: &Lock) -> Result<Self, LockError> {
        let manifest = Manifest::from_lock(lock)?;
        let mut side = Self::of_bundle(label, &manifest, &manifest.lock, Trust::Read, &[]);
        side.summary.source = Source::Lock;
        Ok(side)
    }

    /// A release, whose signature by the site was checked when it was read.
    pub fn of_release(published: &Published) -> Self {
        let release = &published.release;
        let sequences: BTreeMap<&str, u64> =
            release.streams.iter().map(|selection| (selection.stream.as_str(), selection.sequence)).collect();
        let position = |selection: &sealock_store::release::Selection| StreamPosition {
            stream: Plain::of(&selection.stream),
            sequence: selection.sequence,
        };
        let summary = SideSummary {
            label: Plain::of(format_args!("release {}", release.number)),
            source: Source::Release,
            trust: Trust::Site,
            digest: Plain::of(&published.digest),
            signers: Vec::new(),
            name: None,
            streams: release.streams.iter().map(position).collect(),
            previous: release.previous.as_ref().map(Plain::of),
            issued: release.issued,
            soft_expiry: None,
            expires: None,
            sites: Vec::new(),
            classification: None,
            platforms: Vec::new(),
            parameters: Vec::new(),
            tool: None,
            vendors: Vec::new(),
            annotations: annotations(&release.annotations),
            revocations: None,
            artifacts: release.references.len() as u64,
            content: Amount::default(),
        };
        let entry = |reference: &sealock_store::release::Reference| Entry {
            key: key(&reference.name, reference.kind, sequences.get(reference.stream.as_str()).copied()),
            name: reference.name.clone(),
            kind: kind(reference.kind, false),
            digest: reference.digest.clone(),
            platform: None,
            origin: None,
            vendor: reference.vendor.as_ref().map(ToString::to_string),
        };
        let mut seen = BTreeSet::new();
        let entries = release.references.iter().map(entry).filter(|entry| seen.insert(entry.name.clone())).collect();
        Self { summary, entries, blobs: BTreeMap::new(), lists_blobs: false }
    }
}

/// A name without the sequence where that is its tag: Kubernetes manifests travel as `manifests/…:7`, attestations as
/// `attestations/…:7`, and are not another thing in bundle 8.
fn key(name: &str, kind: ReferenceKind, sequence: Option<u64>) -> String {
    let plain = sequence.and_then(|sequence| name.strip_suffix(&format!(":{sequence}")));
    plain.filter(|_| matches!(kind, ReferenceKind::Manifest | ReferenceKind::Attestation)).unwrap_or(name).to_owned()
}

fn kind(kind: ReferenceKind, for_one_platform: bool) -> Kind {
    match kind {
        ReferenceKind::Image => Kind::Image,
        ReferenceKind::Chart => Kind::Chart,
        ReferenceKind::Manifest => Kind::Manifest,
        ReferenceKind::File if for_one_platform => Kind::Component,
        ReferenceKind::File => Kind::File,
        ReferenceKind::Referrer => Kind::Referrer,
        ReferenceKind::Attestation => Kind::Attestation,
        ReferenceKind::Sealock => Kind::Sealock,
        ReferenceKind::OsPackages => Kind::OsPackages,
    }
}

/// Whatever fields a verdict has, those beside rule and reason say who vouches: read off its own serialisation, so that a
/// new kind of rule is compared from the day it exists.
fn origin(verdict: &Verdict) -> Origin {
    let serde_json::Value::Object(mut fields) = serde_json::to_value(verdict).unwrap_or_default() else {
        return Origin { rule: Plain::of("unknown"), by: Plain::default(), reason: None };
    };
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    let rule = fields.remove("rule").map(text).unwrap_or_default();
    let reason = fields.remove("reason").map(text);
    let by: BTreeMap<String, String> = fields.into_iter().map(|(name, value)| (name, text(value))).collect();
    let by: Vec<String> = by.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Origin { rule: Plain::of(rule), by: Plain::of(by.join(" ")), reason: reason.map(Plain::of) }
}

fn vendor_of(delegations: Option<&Delegations>, name: &str) -> Option<String> {
    Some(delegations?.asked_for(name)?.name.to_string())
}

/// `acme: 1 of 2 keys 1a2b3c4d 5e6f7a8b for quay.io/acme`.
fn vendors(delegations: Option<&Delegations>) -> Vec<Plain> {
    let vendor = |role: &DelegatedRole| {
        let keys: Vec<&str> = role.keyids.iter().map(|id| id.as_str().get(..8).unwrap_or_default()).collect();
        let names: Vec<String> = NamePrefix::of_patterns(&role.paths).iter().map(ToString::to_string).collect();
        let (threshold, count) = (role.threshold, keys.len());
        Plain::of(format_args!("{}: {threshold} of {count} keys {} for {}", role.name, keys.join(" "), names.join(" ")))
    };
    delegations.iter().flat_map(|delegations| &delegations.roles).map(vendor).collect()
}

fn parameters(parameters: &Parameters) -> Vec<Parameter> {
    parameters.iter().map(|(name, value)| Parameter { name: Plain::of(name), value: Plain::of(value) }).collect()
}

fn annotations(annotations: &BTreeMap<String, String>) -> Vec<Plain> {
    annotations.iter().map(|(name, value)| Plain::of(format_args!("{name}={value}"))).collect()
}
