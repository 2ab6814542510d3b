//! The files of trust metadata that a bundle carries.

use std::collections::BTreeMap;

use super::delegation::role_file;
use super::{MAX_DELEGATED_ROLES, MAX_ROOTS, TrustError};
use crate::names::RoleName;

/// The files of one bundle's `tuf/metadata/`. Only their names are judged yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataSet {
    /// Roots by the version in their file name.
    pub roots: BTreeMap<u64, Vec<u8>>,
    /// `targets.json`.
    pub targets: Vec<u8>,
    /// `snapshot.json`.
    pub snapshot: Vec<u8>,
    /// `timestamp.json`.
    pub timestamp: Vec<u8>,
    /// The files of delegated roles, by role.
    pub delegated: BTreeMap<RoleName, Vec<u8>>,
}

impl MetadataSet {
    /// The files by name, in the order in which a bundle holds them: roots ascending, then the others by name.
    pub fn files(&self) -> Vec<(String, &[u8])> {
        let roots = self.roots.iter().map(|(version, bytes)| (root_file(*version), bytes.as_slice()));
        let others =
            [("snapshot.json", &self.snapshot), ("targets.json", &self.targets), ("timestamp.json", &self.timestamp)];
        let others = others.into_iter().map(|(name, bytes)| (name.to_owned(), bytes.as_slice()));
        let delegated = self.delegated.iter().map(|(name, bytes)| (role_file(name), bytes.as_slice()));
        let mut others: Vec<_> = others.chain(delegated).collect();
        others.sort_by(|(left, _), (right, _)| left.cmp(right));
        roots.chain(others).collect()
    }

    /// Collects files by their names inside `tuf/metadata/`.
    ///
    /// # Errors
    /// [`TrustError::UnknownFile`] (also for one that comes twice), [`TrustError::MissingFile`],
    /// [`TrustError::TooManyRoots`].
    pub fn from_files(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<Self, TrustError> {
        let mut roots = BTreeMap::new();
        let mut others = BTreeMap::new();
        let mut delegated = BTreeMap::new();
        for (name, bytes) in files {
            let earlier = match root_version(&name) {
                Some(version) => roots.insert(version, bytes),
                None if ["targets.json", "snapshot.json", "timestamp.json"].contains(&name.as_str()) => {
                    others.insert(name.clone(), bytes)
                }
                None => match delegated_role(&name) {
                    Some(role) => delegated.insert(role, bytes),
                    None => return Err(TrustError::UnknownFile(name)),
                },
            };
            if earlier.is_some() {
                return Err(TrustError::UnknownFile(name));
            }
            if roots.len() > MAX_ROOTS {
                return Err(TrustError::TooManyRoots { limit: MAX_ROOTS });
            }
            if delegated.len() > MAX_DELEGATED_ROLES {
                return Err(TrustError::TooManyDelegations { what: "delegated roles", limit: MAX_DELEGATED_ROLES });
            }
        }
        let mut other = |name: &str| others.remove(name).ok_or_else(|| TrustError::MissingFile(name.to_owned()));
        Ok(Self {
            roots,
            targets: other("targets.json")?,
            snapshot: other("snapshot.json")?,
            timestamp: other("timestamp.json")?,
            delegated,
        })
    }
}

/// The file name of a root.
pub(super) fn root_file(version: u64) -> String {
    format!("{version}.root.json")
}

/// The role in the file name of a delegated role.
fn delegated_role(name: &str) -> Option<RoleName> {
    name.strip_suffix(".json")?.parse().ok()
}

/// The version in a root's file name, which has one spelling only.
fn root_version(name: &str) -> Option<u64> {
    let version: u64 = name.strip_suffix(".root.json")?.parse().ok()?;
    (version > 0 && root_file(version) == name).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Code;

    fn collect(names: &[&str]) -> Result<MetadataSet, Code> {
        let files = names.iter().map(|name| ((*name).to_owned(), name.as_bytes().to_vec()));
        MetadataSet::from_files(files).map_err(|error| error.code())
    }

    #[test]
    fn files_come_back_in_the_bundles_order() {
        let names = [
            "1.root.json",
            "2.root.json",
            "10.root.json",
            "acme.json",
            "snapshot.json",
            "targets.json",
            "timestamp.json",
            "zeta.json",
        ];
        let set = collect(&names).unwrap();
        assert_eq!(set.files().iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), names);
    }

    #[test]
    fn unknown_doubled_and_missing_files_are_refused() {
        let whole = ["snapshot.json", "targets.json", "timestamp.json"];
        for name in ["0.root.json", "01.root.json", "+1.root.json", "root.json", "mirrors.json", "targets.json"] {
            assert_eq!(collect(&[&whole[..], &[name]].concat()), Err(Code::Undeclared), "{name}");
        }
        assert_eq!(collect(&["1.root.json", "snapshot.json", "targets.json"]), Err(Code::Incomplete));
        let many: Vec<String> = (0..65).map(|number| format!("vendor-{number}.json")).collect();
        assert_eq!(collect(&many.iter().map(String::as_str).collect::<Vec<_>>()), Err(Code::Limit));
        let many: Vec<String> = (1..=257).map(root_file).collect();
        assert_eq!(collect(&many.iter().map(String::as_str).collect::<Vec<_>>()), Err(Code::Limit));
    }
}
