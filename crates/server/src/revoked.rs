//! What of a release is revoked: blocked at once, but for what a live cluster uses.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sealock_store::closure::Closure;
use sealock_store::{Published, Store, StoreError};
use sealock_trust::directory::{DirectoryError, Revoked, Standing};
use sealock_trust::reason::Code;
use sealock_trust::{Digest, KeySet, StreamName, TrustDirectory};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::view::View;

/// The plan that was carried out last, in the folder of a cluster (docs/formats/plan.md).
pub(crate) const APPLIED: &str = "applied.json";

/// What of its release was blocked when it was carried out: the cluster does not use that.
const BLOCKED: &str = "blocked.json";

/// No plan is longer than this; in bytes.
const LONGEST_PLAN: u64 = 64 << 20;

/// Why it is not known what is revoked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevokedError {
    /// The trust directory cannot be read.
    #[error(transparent)]
    Trust(#[from] DirectoryError),
    /// A release cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The plans of the clusters cannot be read.
    #[error("cannot read {}", path.display())]
    Plans {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A plan that was carried out is damaged.
    #[error("the plan {} is damaged", path.display())]
    Plan {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: serde_json::Error,
    },
}

impl RevokedError {
    /// The stable reason code, where this is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Trust(source) => source.code(),
            Self::Store(source) => source.code(),
            Self::Plans { .. } | Self::Plan { .. } => None,
        }
    }

    /// Whether trying again won't help, since content is untrusted or invalid.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }

    /// Whether the machine is at fault, so that trying again may help.
    pub fn is_environment(&self) -> bool {
        match self {
            Self::Plans { .. } | Self::Trust(DirectoryError::Io { .. }) => true,
            Self::Store(source) => source.is_environment(),
            Self::Trust(_) | Self::Plan { .. } => false,
        }
    }
}

/// What is revoked, and what live clusters use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocations {
    revoked: Revoked,
    /// What the releases name that applied plans are bound to.
    in_use: BTreeSet<Digest>,
}

/// Something of the release that is revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Affected {
    /// The reference.
    pub name: String,
    /// The stream that brought it.
    pub stream: String,
    /// What the name stands for.
    pub reference: Digest,
    /// What was revoked: what the reference stands for, or something that hangs on it.
    pub digest: Digest,
    /// Why.
    pub reason: String,
    /// Whether pulls are blocked. If not, a live cluster uses it, and the site has to confirm.
    pub blocked: bool,
}

impl Revocations {
    /// Reads the trust directory `trust`, and from the folder `clusters` which releases live clusters were made from.
    ///
    /// # Errors
    /// [`RevokedError`].
    pub fn read(trust: &Path, clusters: &Path, store: &Store, site_keys: &KeySet) -> Result<Self, RevokedError> {
        let revoked = TrustDirectory::open(trust)?.revoked()?;
        // Where nothing is revoked, it makes no difference what is used.
        if revoked.lists().next().is_none() {
            return Ok(Self { revoked, in_use: BTreeSet::new() });
        }
        let mut in_use = BTreeSet::new();
        for Applied { release, blocked } in applied(clusters)? {
            let release = store.release(release, site_keys)?.release;
            let digests = release.references.into_iter().map(|reference| reference.digest);
            in_use.extend(digests.filter(|digest| !blocked.contains(digest)));
        }
        Ok(Self { revoked, in_use })
    }

    /// What is known against the reference `name`, which leads to `closure`.
    pub(crate) fn judge(&self, reference: &sealock_store::release::Reference, closure: &Closure) -> Option<Affected> {
        let stream: StreamName = reference.stream.parse().ok()?;
        let is_in_use = self.in_use.contains(&reference.digest);
        let found = closure.digests().map(|digest| (digest, self.revoked.standing(&stream, digest, is_in_use)));
        // Blocked outweighs an alarm, wherever it stands.
        let rank = |standing: &Standing<'_>| match standing {
            Standing::Blocked(_) => 2,
            Standing::Alarm(_) => 1,
            Standing::Clear => 0,
        };
        let (digest, standing) = found.max_by_key(|(_, standing)| rank(standing))?;
        let (entry, blocked) = match standing {
            Standing::Clear => return None,
            Standing::Alarm(entry) => (entry, false),
            Standing::Blocked(entry) => (entry, true),
        };
        Some(Affected {
            name: reference.name.clone(),
            stream: reference.stream.clone(),
            reference: reference.digest.clone(),
            digest: digest.clone(),
            reason: entry.reason.to_string(),
            blocked,
        })
    }
}

/// What of `release` is revoked, whether it is blocked or raises an alarm.
pub fn affected(store: &Store, release: &Published, revocations: &Revocations) -> Vec<Affected> {
    // What hangs on each reference is read off the store, and makes no difference here.
    if revocations.revoked.lists().all(|(_, list)| list.entries().is_empty()) {
        return Vec::new();
    }
    View::build(store, Some(release), &[], revocations).affected
}

/// What a cluster was made from.
struct Applied {
    /// The number of the release.
    release: u64,
    /// What of it was blocked already.
    blocked: BTreeSet<Digest>,
}

/// What the clusters were made from whose folders are in `clusters`.
fn applied(clusters: &Path) -> Result<Vec<Applied>, RevokedError> {
    #[derive(Deserialize)]
    struct Plan {
        release: Release,
    }
    #[derive(Deserialize)]
    struct Release {
        number: u64,
    }
    let entries = match fs::read_dir(clusters) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed(clusters))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let folder = entry.map_err(failed(clusters))?.path();
        let Some(plan) = read::<Plan>(&folder.join(APPLIED))? else { continue };
        let blocked = read(&folder.join(BLOCKED))?.unwrap_or_default();
        found.push(Applied { release: plan.release.number, blocked });
    }
    Ok(found)
}

/// What stands in the file `path`, if there is one.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, RevokedError> {
    let mut bytes = Vec::new();
    match fs::File::open(path).and_then(|file| file.take(LONGEST_PLAN).read_to_end(&mut bytes)) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        read => read.map_err(failed(path))?,
    };
    let parsed = serde_json::from_slice(&bytes);
    parsed.map(Some).map_err(|source| RevokedError::Plan { path: path.to_owned(), source })
}

pub(crate) fn failed(path: &Path) -> impl FnOnce(io::Error) -> RevokedError {
    let path = path.to_owned();
    move |source| RevokedError::Plans { path, source }
}
