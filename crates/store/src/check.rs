//! The check: whether blobs, releases and the log of a store are what they say of each other.
//!
//! It changes nothing, and goes on behind what it finds. What is derived from these (the index of what was pushed, say) is for
//! whoever derives it to make anew.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;

use sealock_trust::{Digest, KeySet};
use serde::{Deserialize, Serialize};

use crate::error::{IoContext, StoreError};
use crate::gc::{Amount, Plan, chain};
use crate::layout::ALGORITHMS;
use crate::lent::foreign;
use crate::operations::Operation;
use crate::scrub::Hashed;
use crate::store::Store;

/// What a check looked at, and what it found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Releases whose signature and place were checked, retired ones too.
    pub releases: u64,
    /// Records of the operation log.
    pub records: u64,
    /// Blobs.
    pub blobs: Amount,
    /// Blobs that were hashed, and are what their names say.
    pub hashed: Amount,
    /// What is wrong, each in a sentence.
    pub findings: Vec<String>,
}

impl Checked {
    /// Whether nothing is wrong.
    pub fn is_whole(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, finding: impl Into<String>) {
        self.findings.push(finding.into());
    }
}

impl Store {
    /// Compares the store with its releases, signed by `keys`, and its log; `plan` is what the garbage collector says of it.
    /// With `deep` every blob is hashed, which hears how many bytes were read, and says whether to go on.
    ///
    /// # Errors
    /// [`StoreError`] where the folders cannot be read at all.
    pub fn check(
        &self,
        keys: &KeySet,
        plan: &Plan,
        deep: Option<&mut dyn FnMut(u64) -> ControlFlow<()>>,
    ) -> Result<Checked, StoreError> {
        let mut checked = Checked::default();
        let digests = self.check_releases(keys, &mut checked)?;
        self.check_log(&digests, &mut checked);
        checked.findings.extend(plan.doubts.iter().cloned());
        // What keeps the collector from deleting names the same blob.
        let is_told = |digest: &Digest| plan.doubts.iter().any(|doubt| doubt.contains(&digest.to_string()));
        let missing = plan.missing.iter().filter(|missing| !is_told(&missing.digest));
        checked.findings.extend(missing.map(|missing| format!("{}, needed by {}", missing.problem, missing.needed_by)));
        for digest in self.quarantined()? {
            checked.find(format!("{digest} has rotted, and is in quarantine"));
        }
        self.check_names(&mut checked)?;
        self.check_blobs(deep, &mut checked)?;
        Ok(checked)
    }

    /// Signatures, numbers and the chain of releases. Returns the digest of each release file.
    fn check_releases(&self, keys: &KeySet, checked: &mut Checked) -> Result<BTreeMap<u64, Digest>, StoreError> {
        let mut digests: BTreeMap<u64, Digest> = BTreeMap::new();
        let current = match self.current_number() {
            Ok(current) => current.unwrap_or(0),
            Err(error) => {
                checked.find(chain(&error));
                self.release_numbers()?.into_iter().max().unwrap_or(0)
            }
        };
        for number in 1..=current {
            match self.release(number, keys) {
                Ok(published) => {
                    checked.releases += 1;
                    let before = number.checked_sub(1).and_then(|before| digests.get(&before));
                    if before.is_some_and(|before| published.release.previous.as_ref() != Some(before)) {
                        checked.find(format!("release {number} does not follow the release before it"));
                    }
                    digests.insert(number, published.digest);
                }
                Err(error) => checked.find(format!("release {number}: {}", chain(&error))),
            }
        }
        Ok(digests)
    }

    /// The chain of the log, and whether it tells of these very releases.
    fn check_log(&self, digests: &BTreeMap<u64, Digest>, checked: &mut Checked) {
        let records = match self.operations() {
            Ok(records) => records,
            Err(error) => return checked.find(chain(&error)),
        };
        checked.records = records.len() as u64;
        let mut announced = None;
        let mut published = BTreeMap::new();
        for record in records {
            match record.operation {
                Operation::Publish { release, digest } => announced = Some((release, digest)),
                Operation::Published { release } => published.extend(announced.take().filter(|one| one.0 == release)),
                _ => {}
            }
        }
        for (number, digest) in digests {
            match published.get(number) {
                Some(logged) if logged == digest => {}
                Some(logged) => checked.find(format!("release {number} is {digest}, and the log says {logged}")),
                None => checked.find(format!("the log does not tell of release {number}")),
            }
        }
    }

    /// What bears no digest for a name, or is no file, has no business among the blobs, or the bundles that lend some.
    fn check_names(&self, checked: &mut Checked) -> Result<(), StoreError> {
        for algorithm in ALGORITHMS {
            let folder = self.layout.blobs().join(algorithm.as_str());
            for entry in fs::read_dir(&folder).during("read", &folder)? {
                let entry = entry.during("read", &folder)?;
                let name = entry.file_name().into_string().unwrap_or_default();
                let is_blob = format!("{}:{name}", algorithm.as_str()).parse::<Digest>().is_ok();
                if !is_blob || !entry.file_type().during("look at", &entry.path())?.is_file() {
                    checked.find(format!("{} does not belong into a store", entry.path().display()));
                }
            }
        }
        for path in foreign(&self.layout)? {
            checked.find(format!("{} does not belong into a store", path.display()));
        }
        self.unreadable_lenders()?.into_iter().for_each(|finding| checked.find(finding));
        Ok(())
    }

    fn check_blobs(
        &self,
        deep: Option<&mut dyn FnMut(u64) -> ControlFlow<()>>,
        checked: &mut Checked,
    ) -> Result<(), StoreError> {
        let mut blobs = Vec::new();
        self.each_blob(&mut |digest, size| blobs.push((digest, size)))?;
        checked.blobs = blobs.iter().map(|(_, size)| *size).collect();
        let Some(pace) = deep else { return Ok(()) };
        blobs.sort();
        for (digest, size) in blobs {
            match self.hash(&digest, pace)? {
                Hashed::Whole => checked.hashed.add(size),
                Hashed::Rotten(problem) => checked.find(format!("{digest} has rotted: {problem}")),
                Hashed::Gone => {}
                Hashed::Stopped => break,
            }
        }
        Ok(())
    }
}
