//! The licences that a bundle's SBOMs name, for the person who has to answer for them.
//!
//! An SBOM says what its maker says: a summary of it proves nothing, and says which artifacts it knows nothing of.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use crate::diff::{self, Readable};
use crate::plain::Plain;
use crate::sbom::Sbom;

/// Packages of one licence that are named; all are counted.
pub const MAX_NAMED: usize = 500;

/// What the SBOMs of one bundle say of licences.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Licences {
    /// Every licence, as an SPDX expression or however the SBOM calls it; sorted by name.
    pub licences: Vec<Licence>,
    /// Packages of which no SBOM names a licence; none where there are no such packages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unnamed: Option<Packages>,
    /// Images and charts that bring no SBOM, or none that can be read; sorted.
    pub without_sbom: Vec<Plain>,
    /// What could not be read, or was left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Plain>,
}

/// One licence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Licence {
    /// What it is called.
    pub licence: Plain,
    /// What is under it.
    #[serde(flatten)]
    pub of: Packages,
}

/// Packages, and the artifacts that they are in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Packages {
    /// How many packages; one that several artifacts hold counts once.
    pub count: u64,
    /// Their names, sorted; at most [`MAX_NAMED`].
    pub packages: Vec<Plain>,
    /// The artifacts whose SBOMs name them, sorted.
    pub artifacts: Vec<Plain>,
}

/// Bytes of names that are kept while summing up: far beyond what a thousand images name.
const MAX_NAMES: usize = 64 << 20;

/// Sums up the SBOMs of `readable`.
///
/// # Errors
/// When a blob cannot be read, or is not what its digest promises.
pub fn of<E>(readable: Readable<'_, E>) -> Result<Licences, E> {
    let mut notes = Vec::new();
    let mut found = Found::default();
    let without_sbom = diff::sboms(readable, &mut notes, &mut |artifact, sbom| {
        found.add(artifact, sbom);
        found.kept <= MAX_NAMES
    })?;
    if found.kept > MAX_NAMES {
        notes.push(Plain::of(format_args!("more than {} MiB of names: the rest was not read", MAX_NAMES >> 20)));
    }
    notes.sort();
    notes.dedup();
    Ok(found.summed_up(without_sbom, notes))
}

#[derive(Default)]
struct Found {
    by_licence: BTreeMap<Plain, Under>,
    unnamed: Under,
    /// Bytes of names.
    kept: usize,
}

#[derive(Default)]
struct Under {
    packages: BTreeSet<Plain>,
    artifacts: BTreeSet<Plain>,
}

impl Found {
    fn add(&mut self, artifact: &Plain, sbom: &Sbom) {
        for (package, versions) in &sbom.packages {
            if versions.licences.is_empty() {
                self.kept += self.unnamed.add(artifact, package);
            }
            for licence in &versions.licences {
                if !self.by_licence.contains_key(licence) {
                    self.kept += licence.as_str().len();
                }
                self.kept += self.by_licence.entry(licence.clone()).or_default().add(artifact, package);
            }
            if self.kept > MAX_NAMES {
                return;
            }
        }
    }

    fn summed_up(self, mut without_sbom: Vec<Plain>, notes: Vec<Plain>) -> Licences {
        let licence = |(licence, under): (Plain, Under)| Licence { licence, of: under.summed_up() };
        let unnamed = Some(self.unnamed).filter(|under| !under.packages.is_empty());
        without_sbom.sort();
        without_sbom.dedup();
        Licences {
            licences: self.by_licence.into_iter().map(licence).collect(),
            unnamed: unnamed.map(Under::summed_up),
            without_sbom,
            notes,
        }
    }
}

impl Under {
    /// Adds one package of one artifact; how many bytes of names that keeps.
    fn add(&mut self, artifact: &Plain, package: &Plain) -> usize {
        keep(&mut self.packages, package) + keep(&mut self.artifacts, artifact)
    }

    fn summed_up(self) -> Packages {
        Packages {
            count: self.packages.len() as u64,
            packages: self.packages.into_iter().take(MAX_NAMED).collect(),
            artifacts: self.artifacts.into_iter().collect(),
        }
    }
}

fn keep(names: &mut BTreeSet<Plain>, name: &Plain) -> usize {
    if names.contains(name) {
        return 0;
    }
    names.insert(name.clone());
    name.as_str().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sbom::{Format, Versions};

    fn sbom(packages: impl Iterator<Item = (String, &'static str)>) -> Sbom {
        let package = |(name, licence): (String, &str)| {
            let licences = (!licence.is_empty()).then(|| Plain::of(licence)).into_iter().collect();
            (Plain::of(name), Versions { versions: BTreeSet::new(), licences })
        };
        Sbom { format: Format::Spdx, packages: packages.map(package).collect() }
    }

    #[test]
    fn a_package_in_two_artifacts_counts_once() {
        let mut found = Found::default();
        let packages = || [("zlib", "Zlib"), ("curl", "curl"), ("odd", "")].map(|(name, of)| (name.to_owned(), of));
        found.add(&Plain::of("a"), &sbom(packages().into_iter()));
        found.add(&Plain::of("b"), &sbom(packages().into_iter().take(2)));
        let summed = found.summed_up(vec![Plain::of("d"), Plain::of("c")], Vec::new());
        let counts: Vec<_> =
            summed.licences.iter().map(|licence| (licence.licence.as_str(), licence.of.count)).collect();
        assert_eq!(counts, [("Zlib", 1), ("curl", 1)]);
        assert_eq!(summed.licences[0].of.artifacts, [Plain::of("a"), Plain::of("b")]);
        assert_eq!(summed.unnamed.unwrap().packages, [Plain::of("odd")]);
        assert_eq!(summed.without_sbom, [Plain::of("c"), Plain::of("d")]);
    }

    /// However much a bundle names, only so much of it is kept.
    #[test]
    fn names_without_end_take_bounded_memory() {
        let mut found = Found::default();
        let long = "x".repeat(900);
        found.add(&Plain::of("a"), &sbom((0..100_000).map(|number| (format!("{number}{long}"), ""))));
        assert!(found.kept > MAX_NAMES && found.kept < MAX_NAMES + 2000, "{}", found.kept);
        let summed = found.summed_up(Vec::new(), Vec::new()).unnamed.unwrap();
        assert_eq!(summed.packages.len(), MAX_NAMED);
        assert!(summed.count > MAX_NAMED as u64);
    }
}
