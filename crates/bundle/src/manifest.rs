//! The manifest: the signed table of contents of a bundle (docs/formats/manifest.md).

mod patched;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use sealock_trust::format::{self, UnknownFormat};
use sealock_trust::json::{self, Limits, jcs};
use sealock_trust::reason::Code;
use sealock_trust::tuf::{Delegations, TrustError};
use sealock_trust::{Digest, SiteId};
use serde::{Deserialize, Serialize};

use crate::archive::layout;
use crate::lock::{BlobRole, Lock, LockError, LockedBlob, ReferenceKind, Verdict};
use crate::names::{BundleName, Platform, Stream};
use crate::parameters::Parameters;
use crate::reference::ArtifactName;
use crate::spec::Audience;
use crate::vendors;

pub use patched::{Carried, Patch, Patching};

/// The value of `format`.
pub const FORMAT: &str = format::MANIFEST.current;

/// Blobs of one bundle at most.
pub const MAX_BLOBS: usize = 50_000;

/// References of one bundle at most.
pub const MAX_REFERENCES: usize = 50_000;

/// Patterns of delegations times references at most: each is held against each.
const MAX_MATCHES: usize = 50_000_000;

/// Bytes of `manifest.json` at most.
pub const MAX_BYTES: u64 = 24 << 20;

/// What `manifest.json` may hold at most, so that reading it stays far below 256 MiB of memory.
const LIMITS: Limits = Limits { bytes: MAX_BYTES as usize, ..Limits::MANIFEST };

/// The table of contents of a bundle. A lock determines it byte for byte; for a delta, lock and receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// The name of the bundle.
    pub name: BundleName,
    /// The line of bundles that it continues.
    pub stream: Stream,
    /// The number in the stream, from 1.
    pub sequence: u64,
    /// The digest of the manifest of the bundle before, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// When the lock was made.
    pub issued: Timestamp,
    /// From then on the bundle's age is reported.
    pub soft_expiry: Timestamp,
    /// From then on the bundle is refused.
    pub expires: Timestamp,
    /// The sites that may import it.
    pub audience: Audience,
    /// What images and binaries are carried for.
    pub platforms: Vec<Platform>,
    /// How many publisher keys the header keeps room for.
    pub publisher_keys: u32,
    /// To whom names are delegated: vendors who have to vouch for their own artifacts, beside the publisher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegations: Option<Delegations>,
    /// The digest of the lock.
    pub lock: Digest,
    /// What the parameters of the spec were: nothing inside acts on them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: Parameters,
    /// What made the lock: `sealock 0.1.0`.
    pub tool: String,
    /// What importing takes at most.
    pub limits: ManifestLimits,
    /// Everything that is carried under a name, sorted by name.
    pub references: Vec<Reference>,
    /// In a delta: what has to be at the site already. None in a full bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// Every blob of the bundle, carried or not, in the order of the archive.
    pub blobs: Vec<Blob>,
    /// Whatever else a person or a tool noted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What a delta relies on: the blobs without an offset, which earlier bundles brought to the site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Base {
    /// The site whose receipt the delta was made from.
    pub site: SiteId,
    /// The digest of that receipt's file.
    pub receipt: Digest,
    /// The manifests of the earlier bundles that list the blobs which are not carried, sorted.
    pub manifests: Vec<Digest>,
    /// Bytes of the blobs that are not carried.
    pub bytes: u64,
    /// The number of these blobs.
    pub blobs: u64,
}

/// What importing a bundle takes at most, known before the first blob is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ManifestLimits {
    /// Bytes of all blobs together.
    pub bytes: u64,
    /// The number of blobs.
    pub blobs: u64,
}

/// One artifact under its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Reference {
    /// The name that it is served under.
    pub name: ArtifactName,
    /// What it is.
    pub kind: ReferenceKind,
    /// The digest of its OCI manifest or image index.
    pub digest: Digest,
    /// The media type of that manifest or index.
    pub media_type: String,
    /// What it runs on, where it is for one platform only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The digest that it refers to, for [`ReferenceKind::Referrer`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    /// What the check of its origin came to, outside.
    pub verdict: Verdict,
}

/// One blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Blob {
    /// Its name.
    pub digest: Digest,
    /// Its length, in bytes.
    pub size: u64,
    /// Where its first byte stands, in bytes from the end of the header; none where it is not carried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Its media type.
    pub media_type: String,
    /// What it is for.
    pub role: BlobRole,
    /// In a delta, where a patch is carried in its place: from which the site makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<Patch>,
}

/// Why bytes are not a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not canonical JSON with the fields of a manifest.
    #[error("manifest.json is not a manifest")]
    Json(#[source] json::Error),
    /// Of a major version that this Sealock does not know.
    #[error("manifest.json is not of a version that is read here")]
    Format(#[source] UnknownFormat),
    /// Too many blobs, references or bytes.
    #[error("manifest.json declares more than {limit} {what}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// The allowed count.
        limit: u64,
    },
    /// One name stands in it twice, with two digests.
    #[error("manifest.json names {name} as {first} and as {second}")]
    Conflict {
        /// The name.
        name: ArtifactName,
        /// One digest.
        first: Digest,
        /// The other.
        second: Digest,
    },
    /// It delegates in a way that nobody can follow.
    #[error("the delegations of manifest.json are unsound")]
    Delegations(#[source] TrustError),
    /// A name is said to stand for something of another type than its blob.
    #[error("manifest.json says that {name} is {said}, and that {digest} is {of_blob}")]
    TypeMismatch {
        /// The name.
        name: ArtifactName,
        /// The media type of the name.
        said: String,
        /// The blob.
        digest: Digest,
        /// The media type of the blob.
        of_blob: String,
    },
    /// Well-formed, but contradictory.
    #[error("manifest.json contradicts itself: {0}")]
    Inconsistent(String),
}

impl ManifestError {
    /// The reason code of this refusal.
    pub fn code(&self) -> Code {
        match self {
            Self::Json(source) => source.code(),
            Self::Format(_) | Self::Inconsistent(_) => Code::Format,
            Self::Limit { .. } => Code::Limit,
            Self::Conflict { .. } => Code::Conflict,
            Self::Delegations(source) => source.code(),
            Self::TypeMismatch { .. } => Code::TypeMismatch,
        }
    }

    /// True: the same bytes are refused again.
    pub fn is_refusal(&self) -> bool {
        true
    }
}

impl Manifest {
    /// The manifest that `lock` determines.
    ///
    /// # Errors
    /// When the lock contradicts itself.
    pub fn from_lock(lock: &Lock) -> Result<Self, LockError> {
        Self::carrying(lock, |_| true)
    }

    /// The manifest of `lock` that carries only some of its blobs; its `base` is for the caller to fill in.
    pub(crate) fn carrying(lock: &Lock, is_carried: impl Fn(&LockedBlob) -> bool) -> Result<Self, LockError> {
        let digest = lock.digest()?;
        let mut lock = lock.clone();
        lock.sort();
        let limits = ManifestLimits { bytes: lock.content_size(), blobs: lock.blobs.len() as u64 };
        let carried = lock.blobs.iter().filter(|blob| is_carried(blob));
        let mut offsets = layout::offsets(carried.map(|blob| (&blob.digest, blob.size))).into_iter();
        let mut place = |blob: &LockedBlob| if is_carried(blob) { offsets.next() } else { None };
        let blobs: Vec<Blob> = lock
            .blobs
            .into_iter()
            .map(|blob| Blob {
                offset: place(&blob),
                digest: blob.digest,
                size: blob.size,
                media_type: blob.media_type,
                role: blob.role,
                patch: None,
            })
            .collect();
        let references = lock.references.into_iter().map(|reference| Reference {
            name: reference.name,
            kind: reference.kind,
            digest: reference.digest,
            media_type: reference.media_type,
            platform: reference.platform,
            subject: reference.subject,
            verdict: reference.verdict,
        });
        Ok(Self {
            format: FORMAT.to_owned(),
            name: lock.name,
            stream: lock.stream,
            sequence: lock.sequence,
            previous: lock.previous,
            issued: lock.issued,
            soft_expiry: lock.soft_expiry,
            expires: lock.expires,
            audience: lock.audience,
            platforms: lock.platforms,
            publisher_keys: lock.publisher_keys,
            delegations: lock.delegations,
            lock: digest,
            parameters: lock.parameters,
            tool: lock.tool,
            limits,
            references: references.collect(),
            base: None,
            blobs,
            annotations: lock.annotations,
        })
    }

    /// Reads the content of `manifest.json`: every number in it agrees with every other when this returns.
    ///
    /// # Errors
    /// When it is not canonical, of another format, too large, or contradictory.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ManifestError> {
        let manifest = format::read(bytes, &LIMITS, format::MANIFEST, |manifest: &Self| &manifest.format);
        let manifest = manifest.map_err(|error| error.either(ManifestError::Json, ManifestError::Format))?;
        manifest.check_limits()?;
        manifest.check_names()?;
        manifest.check_delegations()?;
        manifest.problem().map_or(Ok(()), |problem| Err(ManifestError::Inconsistent(problem)))?;
        manifest.check_types()?;
        Ok(manifest)
    }

    /// The content of `manifest.json`: canonical JSON.
    ///
    /// # Errors
    /// When a text in it holds what canonical JSON may not.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ManifestError> {
        jcs::to_vec(self).map_err(ManifestError::Json)
    }

    /// Bytes of the header that are kept for its vendors.
    pub(crate) fn vendor_room(&self) -> u64 {
        let names = self.references.iter().map(|reference| reference.name.as_str());
        vendors::room(self.delegations.as_ref(), names)
    }

    /// The artifact called `name`.
    pub fn reference(&self, name: &str) -> Option<&Reference> {
        self.references.iter().find(|reference| reference.name.as_str() == name)
    }

    /// What the archive carries, in its order: every blob, but in a delta.
    pub fn entries(&self) -> impl Iterator<Item = Carried<'_>> {
        self.blobs.iter().filter_map(Blob::carried)
    }

    /// The blobs that the archive carries whole, in its order.
    pub fn carried(&self) -> impl Iterator<Item = &Blob> {
        self.blobs.iter().filter(|blob| blob.offset.is_some())
    }

    /// The blobs that are expected at the site, since the archive does not carry them in any way.
    pub fn expected(&self) -> impl Iterator<Item = &Blob> {
        self.blobs.iter().filter(|blob| blob.offset.is_none() && blob.patch.is_none())
    }

    fn check_limits(&self) -> Result<(), ManifestError> {
        let limit = |what, limit| Err(ManifestError::Limit { what, limit });
        if self.blobs.len() > MAX_BLOBS {
            return limit("blobs", MAX_BLOBS as u64);
        }
        if self.references.len() > MAX_REFERENCES {
            return limit("references", MAX_REFERENCES as u64);
        }
        if self.publisher_keys > layout::MAX_PUBLISHER_KEYS {
            return limit("publisher keys", u64::from(layout::MAX_PUBLISHER_KEYS));
        }
        let size = self.blobs.iter().try_fold(0_u64, |sum, blob| sum.checked_add(blob.size));
        if size.is_none_or(|size| size > layout::MAX_CONTENT) {
            return limit("bytes", layout::MAX_CONTENT);
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), ManifestError> {
        for pair in self.references.windows(2) {
            let [first, second] = pair else { continue };
            if first.name == second.name && first.digest != second.digest {
                return Err(ManifestError::Conflict {
                    name: first.name.clone(),
                    first: first.digest.clone(),
                    second: second.digest.clone(),
                });
            }
            if first.name >= second.name {
                let problem = format!("{} does not come after {}", second.name, first.name);
                return Err(ManifestError::Inconsistent(problem));
            }
        }
        Ok(())
    }

    fn check_delegations(&self) -> Result<(), ManifestError> {
        let Some(delegations) = &self.delegations else { return Ok(()) };
        delegations.check("manifest.json").map_err(ManifestError::Delegations)?;
        // Patterns of any other shape could take for ever to match, and nobody could say what they cover.
        if delegations.roles.is_empty() || delegations.roles.iter().any(|role| role.prefixes().is_none()) {
            return Err(ManifestError::Inconsistent("its delegations are not by beginnings of names".to_owned()));
        }
        let patterns: usize = delegations.roles.iter().map(|role| role.paths.len()).sum();
        if patterns.saturating_mul(self.references.len()) > MAX_MATCHES {
            return Err(ManifestError::Limit { what: "references to find a vendor for", limit: MAX_MATCHES as u64 });
        }
        Ok(())
    }

    /// Whoever asks for a name gets the type that the name says, with the bytes of its blob.
    fn check_types(&self) -> Result<(), ManifestError> {
        let blobs: BTreeMap<&Digest, &Blob> = self.blobs.iter().map(|blob| (&blob.digest, blob)).collect();
        for reference in &self.references {
            let Some(blob) = blobs.get(&reference.digest) else { continue };
            let is_manifest = matches!(blob.role, BlobRole::Index | BlobRole::Manifest);
            if blob.media_type != reference.media_type || !is_manifest {
                return Err(ManifestError::TypeMismatch {
                    name: reference.name.clone(),
                    said: reference.media_type.clone(),
                    digest: blob.digest.clone(),
                    of_blob: blob.media_type.clone(),
                });
            }
        }
        Ok(())
    }

    fn problem(&self) -> Option<String> {
        if self.sequence == 0 {
            return Some("sequences begin at 1".to_owned());
        }
        if !(self.issued <= self.soft_expiry && self.soft_expiry <= self.expires) {
            return Some("it expires before it is issued".to_owned());
        }
        let mut digests = BTreeSet::new();
        if let Some(twice) = self.blobs.iter().find(|blob| !digests.insert(&blob.digest)) {
            return Some(format!("the blob {} stands in it twice", twice.digest));
        }
        if let Some(problem) = self.problem_of_patches(&digests) {
            return Some(problem);
        }
        if let Some(bare) = self.references.iter().find(|reference| !digests.contains(&reference.digest)) {
            return Some(format!("{} is {}, which is not among the blobs", bare.name, bare.digest));
        }
        let offsets = layout::offsets(self.entries().map(|entry| (entry.digest(), entry.size())));
        let mut placed = self.entries().filter_map(|entry| Some((entry.digest(), entry.offset()?))).zip(offsets);
        if let Some(((digest, said), offset)) = placed.find(|((_, said), offset)| said != offset) {
            return Some(format!("the blob {digest} is said to be at {said}, and must be at {offset}"));
        }
        if let Some(problem) = self.problem_of_base() {
            return Some(problem);
        }
        let bytes = self.blobs.iter().fold(0, |sum: u64, blob| sum.saturating_add(blob.size));
        let agrees = self.limits.bytes == bytes && self.limits.blobs == self.blobs.len() as u64;
        (!agrees).then(|| "its limits do not fit its blobs".to_owned())
    }

    /// A full bundle carries every blob, and a delta says exactly what it leaves out.
    fn problem_of_base(&self) -> Option<String> {
        let (count, bytes) = self.expected().fold((0, 0_u64), |(n, sum), blob| (n + 1, sum.saturating_add(blob.size)));
        let Some(base) = &self.base else {
            let bare = self.blobs.iter().find(|blob| blob.offset.is_none());
            return bare.map(|blob| format!("the blob {} is not carried, and no base is named", blob.digest));
        };
        match () {
            () if count == 0 && self.patched().next().is_none() => {
                Some("it names a base, and leaves out nothing".to_owned())
            }
            () if (base.blobs, base.bytes) != (count, bytes) => Some("its base does not fit its blobs".to_owned()),
            () if base.manifests.is_empty() => Some("its base names no manifest".to_owned()),
            () if !base.manifests.is_sorted_by(|a, b| a < b) => Some("its base is not sorted".to_owned()),
            () => None,
        }
    }
}
