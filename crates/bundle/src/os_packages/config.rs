//! The config of a set: what it is, and from which archives it was put together.

use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

use crate::artifact::{self, Artifact, Content};
use crate::spec::OsPackageSetName;

use super::{ARTIFACT, CONFIG, INDEX, INDEX_FILE, PACKAGE};

/// What a set is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SetFacts {
    /// Its name in the spec.
    pub name: OsPackageSetName,
    /// As Debian names it: `amd64`.
    pub architecture: String,
    /// The archives that it is from, in the order of the spec.
    pub archives: Vec<ArchiveFacts>,
    /// The packages that the spec names, sorted; the others came along.
    pub wanted: Vec<String>,
}

/// An archive, and who vouched for it outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ArchiveFacts {
    /// Its address.
    pub uri: String,
    /// The suite or codename that the spec names.
    pub suite: String,
    /// The components that the spec names.
    pub components: Vec<String>,
    /// The digest of the file of keys under which its index was signed.
    pub keyring: Digest,
}

impl SetFacts {
    /// The artifact of this set: its index, and its packages in the order of the index.
    pub fn artifact(&self, index: &[u8], packages: &[Content]) -> Artifact {
        let index = Content { digest: Digest::sha256(index), size: index.len() as u64, title: INDEX_FILE.to_owned() };
        let packages = packages.iter().map(|package| (PACKAGE, package));
        let layers: Vec<(&str, &Content)> = std::iter::once((INDEX, &index)).chain(packages).collect();
        let config = serde_json::to_value(self).unwrap_or_default();
        artifact::of_layers(ARTIFACT, (CONFIG, &config), &layers)
    }
}
