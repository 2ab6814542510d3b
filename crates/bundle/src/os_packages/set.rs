//! The sets of packages in a release, as whoever plans with them reads them.

use std::collections::BTreeMap;
use std::io::{self, Read};

use sealock_store::release::{Reference, ReferenceKind, Release};
use sealock_store::{Store, StoreError};
use sealock_trust::Digest;
use sealock_trust::reason::Code;
use serde::Deserialize;

use super::config::SetFacts;
use super::index::{IndexError, MAX_INDEX, MAX_PACKAGES, Packaged, packages_of};
use super::version::Version;
use super::{ARTIFACT, CONFIG, INDEX, INDEX_FILE, PACKAGE};
use crate::artifact::TITLE;

/// An OCI manifest that clients accept.
const MAX_MANIFEST: u64 = 4 << 20;
const MAX_CONFIG: u64 = 1 << 20;

/// A set of packages for one architecture.
#[derive(Clone, Debug)]
pub struct OsPackages {
    /// What it is, and where it is from: its name, its architecture, its archives.
    pub facts: SetFacts,
    /// The repository that the site registry serves it in: `os-packages/debian-12`.
    pub repository: String,
    /// The stream that brought it.
    pub stream: String,
    /// The digest of its OCI manifest, which the release names.
    pub manifest: Digest,
    /// Its index.
    pub index: PackageFile,
    /// Its packages, in the order of the index: by name, then version.
    pub packages: Vec<OsPackage>,
}

/// A file of a set: a blob that is pulled by its digest, and the name that it has in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageFile {
    /// Without folders.
    pub name: String,
    /// Its digest.
    pub digest: Digest,
    /// Its length, in bytes.
    pub size: u64,
}

/// A package of a set.
#[derive(Clone, Debug)]
pub struct OsPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// `amd64`, `all`.
    pub architecture: String,
    /// Its file.
    pub file: PackageFile,
}

/// Why a set cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OsPackagesError {
    /// The store does not give out what it should.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A blob is missing, too large, or not what its name says.
    #[error("{name}: {digest} is missing, too large or damaged")]
    Blob {
        /// The set.
        name: String,
        /// The blob.
        digest: Digest,
    },
    /// A blob cannot be read.
    #[error("{name}: {digest} cannot be read")]
    Read {
        /// The set.
        name: String,
        /// The blob.
        digest: Digest,
        /// What the operating system said.
        source: io::Error,
    },
    /// It is not put together as a set is.
    #[error("{name} is not put together as a set of OS packages is: {reason}")]
    Artifact {
        /// The set.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Its index is none.
    #[error("the index of {name} cannot be used")]
    Index {
        /// The set.
        name: String,
        /// Why.
        source: IndexError,
    },
}

impl OsPackagesError {
    /// The reason code of a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Store(source) => source.code(),
            Self::Blob { .. } => Some(Code::Digest),
            Self::Read { .. } => None,
            Self::Artifact { .. } | Self::Index { .. } => Some(Code::TypeMismatch),
        }
    }

    /// True where trying again cannot help.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }

    /// Whether the machine is at fault, so that trying again may help.
    pub fn is_environment(&self) -> bool {
        match self {
            Self::Store(source) => source.is_environment(),
            other => matches!(other, Self::Read { .. }),
        }
    }
}

/// Every set of `release`, by name and architecture. Each blob that is read has the digest that the release vouches for.
///
/// # Errors
/// [`OsPackagesError`]: one of them cannot be read.
pub fn in_release(store: &Store, release: &Release) -> Result<Vec<OsPackages>, OsPackagesError> {
    let carried = release.references.iter().filter(|reference| reference.kind == ReferenceKind::OsPackages);
    carried.map(|reference| read(store, reference)).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    artifact_type: String,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// A title that is not what is expected is refused, so it needs no other check.
    fn is(&self, media_type: &str, title: &str) -> bool {
        self.media_type == media_type && self.annotations.get(TITLE).is_some_and(|said| said == title)
    }
}

fn read(store: &Store, reference: &Reference) -> Result<OsPackages, OsPackagesError> {
    let name = &reference.name;
    let unfit = |reason: &str| OsPackagesError::Artifact { name: name.clone(), reason: reason.to_owned() };
    let bytes = blob(store, name, &reference.digest, MAX_MANIFEST)?;
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|_| unfit("it is no manifest of one"))?;
    if manifest.artifact_type != ARTIFACT || manifest.config.media_type != CONFIG {
        return Err(unfit("it is an artifact of another kind"));
    }
    let config = blob(store, name, &manifest.config.digest, MAX_CONFIG)?;
    let facts: SetFacts = serde_json::from_slice(&config).map_err(|_| unfit("its config does not say what it is"))?;
    let said = super::artifact_name(&facts.name, &facts.architecture).map_err(|error| unfit(&error.to_string()))?;
    if said.as_str() != name {
        return Err(unfit("its config says that it is another set"));
    }
    let (index, layers) = manifest.layers.split_first().ok_or_else(|| unfit("it has no index"))?;
    if !index.is(INDEX, INDEX_FILE) || layers.len() > MAX_PACKAGES {
        return Err(unfit("its first layer is no index, or it has more packages than a set has"));
    }
    let listed = packages_of(&blob(store, name, &index.digest, MAX_INDEX as u64)?);
    let listed = listed.map_err(|source| OsPackagesError::Index { name: name.clone(), source })?;
    Ok(OsPackages {
        repository: said.repository().to_owned(),
        stream: reference.stream.clone(),
        manifest: reference.digest.clone(),
        index: PackageFile { name: INDEX_FILE.to_owned(), digest: index.digest.clone(), size: index.size },
        packages: paired(listed, layers, &facts.architecture)
            .ok_or_else(|| unfit("its index and its layers differ"))?,
        facts,
    })
}

/// The packages of the index, each of which is the layer in its place.
fn paired(listed: Vec<Packaged>, layers: &[Descriptor], architecture: &str) -> Option<Vec<OsPackage>> {
    let fits = |package: &Packaged, layer: &Descriptor| {
        layer.is(PACKAGE, &package.file_name())
            && layer.digest == package.digest
            && layer.size == package.size
            && [architecture, "all"].contains(&package.architecture.as_str())
    };
    let fit = listed.len() == layers.len() && listed.iter().zip(layers).all(|(package, layer)| fits(package, layer));
    let package = |package: Packaged| OsPackage {
        file: PackageFile { name: package.file_name(), digest: package.digest, size: package.size },
        name: package.name,
        version: package.version,
        architecture: package.architecture,
    };
    fit.then(|| listed.into_iter().map(package).collect())
}

/// A small blob, which has the digest that it is asked for by.
fn blob(store: &Store, name: &str, digest: &Digest, limit: u64) -> Result<Vec<u8>, OsPackagesError> {
    let lost = || OsPackagesError::Blob { name: name.to_owned(), digest: digest.clone() };
    let blob = store.open_blob(digest)?.filter(|blob| blob.size() <= limit).ok_or_else(lost)?;
    let mut bytes = Vec::new();
    let failed = |source| OsPackagesError::Read { name: name.to_owned(), digest: digest.clone(), source };
    blob.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    if Digest::of(digest.algorithm(), &bytes) == *digest { Ok(bytes) } else { Err(lost()) }
}
