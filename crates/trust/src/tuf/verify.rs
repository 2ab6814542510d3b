//! The client workflow (TUF specification 1.0.34, section 5), on files instead of downloads.
//!
//! Numbers in comments are the specification's steps; "Off-spec" marks where we are stricter, and why.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use jiff::Timestamp;

use super::delegation::{self, Vendor, Vouch};
use super::metadata::Form;
use super::roots::{RootWalk, walk_roots_in};
use super::rules::{Rules, check_issued, check_reach};
use super::{
    Delegations, FileMeta, MANIFEST, Metadata, MetadataSet, REVOCATIONS, Root, Signed, Snapshot, StreamState,
    TargetFile, Targets, TimestampMeta, TrustError,
};
use crate::digest::{Algorithm, Digest};
use crate::key::KeyId;
use crate::names::{RoleName, StreamName};
use crate::role::{KeySet, RoleError};

/// A manifest that is genuine: only [`Verifier::verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    root_version: u64,
    sequence: u64,
    manifest: Digest,
    issued: Option<Timestamp>,
    expires: Timestamp,
    root_expires: Timestamp,
    signers: Vec<KeyId>,
    progress: Progress,
    newer_roots: Vec<(u64, Vec<u8>)>,
    delegations: Option<Delegations>,
    vendors: Vec<Vendor>,
}

impl Verified {
    /// The version of the root that it was verified under.
    pub fn root_version(&self) -> u64 {
        self.root_version
    }

    /// The roots, ascending, that lead from the trusted one to that.
    pub fn newer_roots(&self) -> &[(u64, Vec<u8>)] {
        &self.newer_roots
    }

    /// The bundle's place in its stream.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The digest of `manifest.json`.
    pub fn manifest(&self) -> &Digest {
        &self.manifest
    }

    /// When it was issued, where the publisher signed that.
    pub fn issued(&self) -> Option<Timestamp> {
        self.issued
    }

    /// The earliest hard expiry of the four metadata files.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// When the newest root expires.
    pub fn root_expires(&self) -> Timestamp {
        self.root_expires
    }

    /// The publisher's keys that signed it, and that are not revoked.
    pub fn signers(&self) -> &[KeyId] {
        &self.signers
    }

    /// To whom the publisher delegates, as it signed it.
    pub fn delegations(&self) -> Option<&Delegations> {
        self.delegations.as_ref()
    }

    /// The vendors whose files came with it and are genuine, in the order of the search.
    pub fn vendors(&self) -> Vec<&Vendor> {
        delegation::all(&self.vendors)
    }

    /// What its delegations say of the artifact called `name`.
    pub fn vouch(&self, name: &str) -> Vouch<'_> {
        delegation::vouch(&self.vendors, name)
    }

    /// Whether exactly this one was accepted before (`ALREADY`): it is genuine, and there is nothing to do.
    pub fn is_already_accepted(&self) -> bool {
        self.progress.already
    }

    /// The sequences that were skipped, and that the caller said may be missing.
    pub fn missing(&self) -> Option<RangeInclusive<u64>> {
        self.progress.missing.clone()
    }

    /// The accepted manifest that this one directly follows: what its `previous` has to name.
    pub fn follows(&self) -> Option<&Digest> {
        self.progress.follows.as_ref()
    }

    /// What a site remembers once it has accepted this. An unsigned issue time leaves the time floor where `before` had it.
    pub fn to_state(&self, stream: &StreamName, before: Option<&StreamState>) -> StreamState {
        let floor = before.map_or(Timestamp::UNIX_EPOCH, |state| state.issued);
        StreamState {
            stream: stream.clone(),
            sequence: self.sequence,
            manifest: self.manifest.clone(),
            issued: self.issued.map_or(floor, |issued| issued.max(floor)),
            signers: self.signers.clone(),
            root_version: self.root_version,
            delegated: self.delegated_versions(before),
        }
    }

    /// A vendor that this bundle does not know keeps the version it had: it may come back.
    fn delegated_versions(&self, before: Option<&StreamState>) -> BTreeMap<RoleName, u64> {
        let mut versions = before.map(|state| state.delegated.clone()).unwrap_or_default();
        versions.extend(self.vendors().into_iter().map(|vendor| (vendor.name.clone(), vendor.version)));
        versions
    }
}

/// Verifies `manifest` from `trusted_root`, at the time `now`, against what was accepted before.
///
/// # Errors
/// [`TrustError`], each with its reason code.
pub fn verify(
    trusted_root: &[u8],
    set: &MetadataSet,
    manifest: &[u8],
    now: Timestamp,
    state: Option<&StreamState>,
) -> Result<Verified, TrustError> {
    Verifier { trusted_root, now, state, accept_gap: None, rules: Rules::default() }.verify(set, manifest)
}

/// What a manifest is verified against.
#[derive(Clone, Debug)]
pub struct Verifier<'a> {
    /// The newest root that is trusted: the enrolled one, or one that followed it.
    pub trusted_root: &'a [u8],
    /// The time.
    pub now: Timestamp,
    /// What was accepted last in this stream.
    pub state: Option<&'a StreamState>,
    /// Sequences that a person said may be missing.
    pub accept_gap: Option<RangeInclusive<u64>>,
    /// What the site adds to the specification's rules.
    pub rules: Rules<'a>,
}

impl Verifier<'_> {
    /// Verifies `manifest`. Nothing is remembered: see `TrustDirectory::accept`.
    ///
    /// # Errors
    /// [`TrustError`], each with its reason code.
    pub fn verify(&self, set: &MetadataSet, manifest: &[u8]) -> Result<Verified, TrustError> {
        self.verify_in(Form::Canonical, set, manifest)
    }

    /// As [`Self::verify`], for a repository that another implementation wrote: its files may be spelled in any way that
    /// the specification allows, and carry signatures by keys that have no say. A bundle is never read like this.
    ///
    /// # Errors
    /// [`TrustError`], each with its reason code.
    pub fn verify_repository(&self, set: &MetadataSet, manifest: &[u8]) -> Result<Verified, TrustError> {
        self.verify_in(Form::AnyJson, set, manifest)
    }

    fn verify_in(&self, form: Form, set: &MetadataSet, manifest: &[u8]) -> Result<Verified, TrustError> {
        // 5.3.1: one time for the whole verification.
        // Off-spec: it never runs behind the last accepted issue time, so that a clock set back revives nothing.
        let now = self.state.map_or(self.now, |state| state.issued.max(self.now));
        // Off-spec: where a glass is broken nothing expires; the caller asks `expires` what was waived.
        let judged = if self.rules.waive { Timestamp::MIN } else { now };
        let RootWalk { newest: root, newer: newer_roots, .. } = self.newest_root(form, set, judged)?;
        let judge = Judge { form, now: judged, rules: &self.rules };
        let (timestamp, snapshot, targets) = metadata(&root, set, judge)?;
        let target = target(&targets.file.signed)?;
        check_manifest(target, manifest)?;
        check_issued(issued(target), now)?;

        let sequence = timestamp.file.signed.version;
        let manifest = Digest::sha256(manifest);
        let progress = self.progress(&root, (sequence, issued(target)), &manifest)?;
        let accepted = self.state.map(|state| &state.delegated);
        let snapshot_meta = &snapshot.file.signed;
        let walk = delegation::Context { set, snapshot: snapshot_meta, judge, accepted };
        let vendors = delegation::verify(&walk, &targets.file.signed)?;
        let expiries = [root.expires, timestamp.file.signed.expires, snapshot.file.signed.expires];
        Ok(Verified {
            root_version: root.version,
            sequence,
            manifest,
            issued: issued(target),
            expires: delegation::expires(
                &vendors,
                expiries.into_iter().fold(targets.file.signed.expires, Timestamp::min),
            ),
            root_expires: root.expires,
            signers: targets.signers,
            progress,
            newer_roots,
            delegations: targets.file.signed.delegations,
            vendors,
        })
    }

    /// 5.3: updates the root.
    fn newest_root(&self, form: Form, set: &MetadataSet, now: Timestamp) -> Result<RootWalk, TrustError> {
        let mut walk = walk_roots_in(form, self.trusted_root, set)?;
        if let Some(fault) = walk.fault.take() {
            return Err(fault);
        }
        // 5.3.10: only the newest root must not have expired.
        check_expiry(&format!("{}.root.json", walk.newest.version), walk.newest.expires, now)?;
        Ok(walk)
    }

    /// 5.4.3 and 5.5.5: never back. They come last, so that their verdict is about content that is known to be signed.
    fn progress(
        &self,
        root: &Root,
        (sequence, issued): (u64, Option<Timestamp>),
        manifest: &Digest,
    ) -> Result<Progress, TrustError> {
        let Some(state) = self.state else {
            return self.rules.check_first(sequence).map(|()| Progress::default());
        };
        // 5.3.11: keys that were rotated away take the versions they signed with them, else a stolen key's last act
        // could be a version that no successor reaches. What is left of the accepted signers must meet the threshold.
        let publisher = publisher_keys(root)?;
        let accepted = state.sequence;
        if !publisher.is_met_by(&state.signers) {
            // Off-spec: the numbers begin anew, time does not. Keys that stay may have signed older bundles by themselves.
            let begins_anew = state.may_begin_anew_at(issued);
            return if begins_anew {
                check_reach(accepted, sequence).map(|()| Progress::default())
            } else {
                Err(TrustError::Rollback { sequence, accepted })
            };
        }
        if sequence < accepted {
            return Err(TrustError::Rollback { sequence, accepted });
        }
        if sequence == accepted {
            // 5.4.3.1 ends quietly here. Off-spec: two contents of one sequence are told from a repetition.
            let (accepted, found) = (state.manifest.clone(), manifest.clone());
            let same = accepted == found;
            let progress = Progress { already: true, ..Progress::default() };
            return if same { Ok(progress) } else { Err(TrustError::Equivocation { sequence, accepted, found }) };
        }
        self.forward(state, sequence)
    }

    /// Off-spec: nothing may be held back unnoticed (`GAP`), and nobody gets to the end of all numbers (`JUMP`).
    fn forward(&self, state: &StreamState, sequence: u64) -> Result<Progress, TrustError> {
        let accepted = state.sequence;
        check_reach(accepted, sequence)?;
        if sequence == accepted + 1 {
            return Ok(Progress { follows: Some(state.manifest.clone()), ..Progress::default() });
        }
        let missing = accepted + 1..=sequence - 1;
        let is_named = |gap: &RangeInclusive<u64>| gap.contains(missing.start()) && gap.contains(missing.end());
        if self.rules.waive || self.accept_gap.as_ref().is_some_and(is_named) {
            return Ok(Progress { missing: Some(missing), ..Progress::default() });
        }
        Err(TrustError::Gap { missing })
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Progress {
    already: bool,
    missing: Option<RangeInclusive<u64>>,
    follows: Option<Digest>,
}

/// Metadata whose signatures hold.
pub(super) struct Believed<T> {
    pub(super) file: Signed<T>,
    pub(super) signers: Vec<KeyId>,
}

type Online = (Believed<TimestampMeta>, Believed<Snapshot>, Believed<Targets>);

/// 5.4 to 5.6: timestamp, snapshot, targets.
fn metadata(root: &Root, set: &MetadataSet, judge: Judge<'_>) -> Result<Online, TrustError> {
    let keys = |role| {
        KeySet::from_role(&root.keys, role).map_err(|source| TrustError::RootUnsound { version: root.version, source })
    };
    // 5.4.2 and 5.4.4.
    let timestamp: Believed<TimestampMeta> =
        judge.believe("timestamp.json", &set.timestamp, &keys(&root.roles.timestamp)?)?;
    // 5.5.2 to 5.5.4 and 5.5.6.
    let promise = Promise::of("timestamp.json", &timestamp.file.signed.meta, "snapshot.json")?;
    promise.check_bytes(&set.snapshot)?;
    let snapshot: Believed<Snapshot> = judge.believe("snapshot.json", &set.snapshot, &keys(&root.roles.snapshot)?)?;
    promise.check_version(snapshot.file.signed.version)?;
    // 5.6.2 to 5.6.5.
    let promise = Promise::of("snapshot.json", &snapshot.file.signed.meta, "targets.json")?;
    promise.check_bytes(&set.targets)?;
    let targets: Believed<Targets> = judge.believe("targets.json", &set.targets, &keys(&root.roles.targets)?)?;
    promise.check_version(targets.file.signed.version)?;
    // Off-spec: the three count the stream's sequence together.
    let sequence = timestamp.file.signed.version;
    let (file, found) = ("snapshot.json".to_owned(), snapshot.file.signed.version);
    if found != sequence {
        return Err(TrustError::Mixed { file, by: "timestamp.json", promised: sequence, found });
    }
    let (file, found) = ("targets.json".to_owned(), targets.file.signed.version);
    if found != sequence {
        return Err(TrustError::Mixed { file, by: "timestamp.json", promised: sequence, found });
    }
    Ok((timestamp, snapshot, targets))
}

impl Targets {
    /// Whether `list` is the revocation list that these targets promise, or none is promised and none is there. Whose word
    /// targets and list are, this does not say.
    ///
    /// # Errors
    /// [`TrustError::MissingFile`], [`TrustError::UnknownFile`], [`TrustError::Size`], [`TrustError::Digest`].
    pub fn check_revocations(&self, list: Option<&[u8]>) -> Result<(), TrustError> {
        let name = || REVOCATIONS.to_owned();
        match (self.targets.get(REVOCATIONS), list) {
            (None, None) => Ok(()),
            (Some(_), None) => Err(TrustError::MissingFile(name())),
            (None, Some(_)) => Err(TrustError::UnknownFile(name())),
            (Some(promised), Some(list)) => {
                check_length(REVOCATIONS, promised.length, list)?;
                let holds = digests_hold(REVOCATIONS, "targets.json", &promised.hashes, list)?;
                if holds { Ok(()) } else { Err(TrustError::Digest { file: name(), by: "targets.json" }) }
            }
        }
    }
}

/// What every metadata file is held against.
#[derive(Clone, Copy)]
pub(super) struct Judge<'a> {
    form: Form,
    now: Timestamp,
    rules: &'a Rules<'a>,
}

impl Judge<'_> {
    pub(super) fn believe<T: Metadata>(
        self,
        file: &str,
        bytes: &[u8],
        keys: &KeySet,
    ) -> Result<Believed<T>, TrustError> {
        let parsed: Signed<T> = Signed::parse_in(self.form, file, bytes)?;
        let signers = parsed.verify(keys).map_err(|source| TrustError::Role { file: file.to_owned(), source })?;
        // Off-spec: the specification passes over other keys' signatures. In a bundle no byte of the file goes unjudged.
        if let (Form::Canonical, Some(keyid)) = (self.form, signers.foreign.into_iter().next()) {
            return Err(TrustError::ForeignSignature { file: file.to_owned(), keyid });
        }
        // Off-spec: a revoked key may have signed, but does not count.
        let signers = self.rules.unrevoked(file, keys, signers.valid)?;
        check_expiry(file, parsed.signed.expires(), self.now)?;
        Ok(Believed { file: parsed, signers })
    }
}

/// 5.4.4 and its like: believed until the very second of its expiry, not from it on.
fn check_expiry(file: &str, expires: Timestamp, now: Timestamp) -> Result<(), TrustError> {
    if now < expires { Ok(()) } else { Err(TrustError::Expired { file: file.to_owned(), expires, now }) }
}

/// What one metadata file says of the next.
pub(super) struct Promise<'a> {
    pub(super) by: &'static str,
    pub(super) file: &'a str,
    pub(super) meta: &'a FileMeta,
}

impl<'a> Promise<'a> {
    fn of(by: &'static str, meta: &'a BTreeMap<String, FileMeta>, file: &'a str) -> Result<Self, TrustError> {
        let meta = meta.get(file).ok_or_else(|| TrustError::MissingFile(format!("{file} in {by}")))?;
        Ok(Self { by, file, meta })
    }

    pub(super) fn check_bytes(&self, bytes: &[u8]) -> Result<(), TrustError> {
        if let Some(promised) = self.meta.length {
            check_length(self.file, promised, bytes)?;
        }
        if !self.meta.hashes.is_empty() && !digests_hold(self.file, self.by, &self.meta.hashes, bytes)? {
            return Err(TrustError::Digest { file: self.file.to_owned(), by: self.by });
        }
        Ok(())
    }

    pub(super) fn check_version(&self, found: u64) -> Result<(), TrustError> {
        let promised = self.meta.version;
        if promised == found {
            return Ok(());
        }
        Err(TrustError::Mixed { file: self.file.to_owned(), by: self.by, promised, found })
    }
}

/// 5.6.7: the one target. The search ends where it begins: the manifest is the publisher's own word.
fn target(targets: &Targets) -> Result<&TargetFile, TrustError> {
    targets.targets.get(MANIFEST).ok_or(TrustError::NoManifest)
}

/// 5.7.2: length and digest.
fn check_manifest(target: &TargetFile, manifest: &[u8]) -> Result<(), TrustError> {
    check_length(MANIFEST, target.length, manifest)?;
    if digests_hold(MANIFEST, "targets.json", &target.hashes, manifest)? {
        return Ok(());
    }
    Err(TrustError::ManifestAltered { found: Digest::sha256(manifest) })
}

fn check_length(file: &str, promised: u64, bytes: &[u8]) -> Result<(), TrustError> {
    let found = bytes.len() as u64;
    if found == promised { Ok(()) } else { Err(TrustError::Size { file: file.to_owned(), promised, found }) }
}

/// Whether every digest that can be computed fits; there must be at least one.
fn digests_hold(
    file: &str,
    by: &'static str,
    hashes: &BTreeMap<String, String>,
    bytes: &[u8],
) -> Result<bool, TrustError> {
    let known = [Algorithm::Sha256, Algorithm::Sha512];
    let mut promised = known.iter().filter_map(|algorithm| {
        hashes.get(algorithm.as_str()).map(|hex| Digest::of(*algorithm, bytes).hex() == hex.as_str())
    });
    let first = promised.next().ok_or_else(|| TrustError::NoDigest { file: file.to_owned(), by })?;
    Ok(first && promised.all(|holds| holds))
}

fn issued(target: &TargetFile) -> Option<Timestamp> {
    target.custom.as_ref()?.get("issued")?.as_str()?.parse().ok()
}

fn publisher_keys(root: &Root) -> Result<KeySet, TrustError> {
    root.publisher_keys().map_err(|source: RoleError| TrustError::RootUnsound { version: root.version, source })
}
