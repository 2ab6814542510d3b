//! OS packages: sets of packages for hosts, and the archives that they are taken from.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::names::OsPackageSetName;

/// A set of OS packages: what is named, and all that it depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OsPackageSet {
    /// What hosts call the set by, like `debian-12`: a DNS label.
    pub name: OsPackageSetName,
    /// The archives. Of a package that several have, the newest version is taken.
    pub apt: Vec<AptArchive>,
    /// The packages that are wanted by name. What they depend on comes along.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
    /// Lists of what hosts have installed, one for each host or for each kind of host, relative to the spec: the output of
    /// `dpkg-query -W -f '${Package}\t${Version}\t${Architecture}\t${db:Status-Status}\n'`. What an archive has in a newer version comes
    /// along, and a dependency that all of them have stays away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub installed: Vec<PathBuf>,
}

/// An archive of Debian packages, as a line of `sources.list` names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AptArchive {
    /// The address, like `https://archive.example.org/debian`. Mirrors of the settings apply.
    pub uri: String,
    /// The suite, like `bookworm` or `bookworm-security`. It has to be the suite or the codename that the archive says of itself.
    pub suite: String,
    /// The components, like `main`.
    pub components: Vec<String>,
    /// A file of OpenPGP public keys, with or without armour, relative to the spec. One of them must have signed the archive's index.
    pub signed_by: PathBuf,
}
