//! OS packages: sets of Debian packages that hosts take from a release (docs/formats/os-packages.md).
//!
//! One artifact is one set for one architecture: its first layer is an index as `apt` reads it, the others are the packages.
//! What vouches for them inside is the release; no archive's signature is needed there any more.

mod config;
mod control;
mod index;
mod relation;
mod release;
mod sbom;
mod set;
mod version;

pub use config::{ArchiveFacts, SetFacts};
pub use control::{Stanza, StanzaError, StanzaLimits, Stanzas};
pub use index::{IndexError, MAX_INDEX, MAX_PACKAGES, Packaged, file_name, index_of, packages_of};
pub use relation::{Dependency, ParseRelationError, Provided, Relation, dependencies, provided};
pub use release::{IndexFile, ReleaseError, ReleaseFile, Spread};
pub use sbom::{Described, spdx};
pub use set::{OsPackage, OsPackages, OsPackagesError, PackageFile, in_release};
pub use version::{ParseVersionError, Version};

use crate::names::{ParseNameError, Platform};
use crate::reference::ArtifactName;
use crate::spec::OsPackageSetName;

/// Artifact type of a set of packages.
pub const ARTIFACT: &str = "application/vnd.sealock.os-packages.v1";
/// Media type of its config: what it is, and where it is from.
pub const CONFIG: &str = "application/vnd.sealock.os-packages.config.v1+json";
/// Media type of its first layer: the index.
pub const INDEX: &str = "application/vnd.sealock.os-packages.index.v1";
/// Media type of a package, as it is registered.
pub const PACKAGE: &str = "application/vnd.debian.binary-package";
/// The file name of the index.
pub const INDEX_FILE: &str = "Packages";
/// What the names of all sets begin with.
pub const REPOSITORY: &str = "os-packages";

/// The name under which a set for one architecture (as Debian names it) travels: `os-packages/debian-12:amd64`.
///
/// # Errors
/// When `architecture` is no legal tag.
pub fn artifact_name(set: &OsPackageSetName, architecture: &str) -> Result<ArtifactName, ParseNameError> {
    format!("{REPOSITORY}/{set}:{architecture}").parse()
}

/// What Debian calls the architecture of `platform`; none where it has no name for it.
pub fn architecture(platform: &Platform) -> Option<&'static str> {
    let variant = platform.variant.as_deref();
    match (platform.os.as_str(), platform.architecture.as_str(), variant) {
        ("linux", "amd64", None) => Some("amd64"),
        ("linux", "arm64", None | Some("v8")) => Some("arm64"),
        ("linux", "arm", None | Some("v7")) => Some("armhf"),
        ("linux", "386", None) => Some("i386"),
        ("linux", "ppc64le", None) => Some("ppc64el"),
        ("linux", "riscv64", None) => Some("riscv64"),
        ("linux", "s390x", None) => Some("s390x"),
        _ => None,
    }
}
