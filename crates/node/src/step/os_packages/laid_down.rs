//! OS packages of the release, laid down before anything changes.

use std::fmt;

use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

use crate::changes::{Before, Changes, Subject};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Alteration, Entry, Host};
use crate::os_packages::{FOLDER, INDEX, contents, contents_of, is_file_name, place_of, set_folder};
use crate::source::Source;
use crate::step::{Act, Artifact, Mode, Probe};

/// OS packages of the release as files in one folder for each set, fetched by digest: these files, and no others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OsPackagesLaidDown {
    /// The sets, each with what is wanted of it.
    pub sets: Vec<OsPackageSet>,
}

/// A set of OS packages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OsPackageSet {
    /// Like `debian-12`.
    pub name: String,
    /// Where its bytes are.
    pub artifact: Artifact,
    /// The files that are wanted, the index among them.
    pub files: Vec<OsPackageFile>,
}

/// A file of a set of OS packages: a layer of its artifact.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OsPackageFile {
    /// Its name in the set's folder, as the index has it.
    pub name: String,
    /// Its digest.
    pub digest: Digest,
}

impl OsPackagesLaidDown {
    /// The digest of what lies in the folders once it is done: whoever uses them compares it.
    pub fn contents(&self) -> Digest {
        let of_set =
            |set: &OsPackageSet| set.files.iter().map(|file| (set.name.clone(), file.clone())).collect::<Vec<_>>();
        let all: Vec<(String, OsPackageFile)> = self.sets.iter().flat_map(of_set).collect();
        contents_of(all.iter().map(|(set, file)| (set.as_str(), file.name.as_str(), &file.digest)))
    }

    fn names(&self) -> Vec<&str> {
        self.sets.iter().map(|set| set.name.as_str()).collect()
    }

    fn check(&self) -> Result<(), StepError> {
        let is_well =
            |set: &OsPackageSet| is_file_name(&set.name) && set.files.iter().all(|file| is_file_name(&file.name));
        match self.sets.iter().find(|set| !is_well(set)) {
            Some(set) => {
                Err(StepError::Invalid { problem: format!("{:?} has files that no folder could have", set.name) })
            }
            None => Ok(()),
        }
    }
}

impl fmt::Display for OsPackagesLaidDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packages = self.sets.iter().flat_map(|set| &set.files).filter(|file| file.name != INDEX).count();
        let plural = if packages == 1 { "" } else { "s" };
        write!(f, "fetch {packages} OS package{plural} of {}", self.names().join(", "))
    }
}

impl Act for OsPackagesLaidDown {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        self.check()?;
        if contents(host, &self.names())? == self.contents() {
            return Ok(Probe::Done);
        }
        Ok(Probe::not_done(format!("{FOLDER} does not hold these packages, and no others")))
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        self.check()?;
        for set in &self.sets {
            context.admit(&set.artifact.repository, &set.artifact.digest)?;
        }
        let source = context.source()?;
        let mut changes = Changes::load(host)?;
        changes.before(host, Subject::Tree { path: FOLDER.to_owned() }, Before::Absent)?;
        self.sets.iter().try_for_each(|set| set.fetch(host, source, context))
    }

    fn undo(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        let mut changes = Changes::load(host)?;
        Ok(changes.undo(host, &Subject::Tree { path: FOLDER.to_owned() })?)
    }
}

impl OsPackageSet {
    /// What is not wanted any more goes first: there may be room for it alone.
    fn fetch(&self, host: &dyn Host, source: &Source, context: &Context<'_>) -> Result<(), StepError> {
        let folder = set_folder(&self.name);
        host.alter(Alteration::MakeDirectory { path: &folder, mode: Mode::EXECUTABLE })?;
        let is_wanted = |name: &String| self.files.iter().any(|file| file.name == *name);
        for name in host.list(&folder)?.iter().filter(|name| !is_wanted(name)) {
            host.alter(Alteration::RemoveTree { path: &place_of(&self.name, name) })?;
        }
        let manifest = source.manifest(&self.artifact.repository, &self.artifact.digest)?;
        for file in &self.files {
            let place = place_of(&self.name, &file.name);
            if matches!(host.inspect(&place)?, Entry::File { .. }) && host::digest(host, &place)? == file.digest {
                continue;
            }
            (context.progress)(&format!("fetching {}", file.name));
            let layer = manifest.layers.iter().find(|layer| layer.digest == file.digest);
            let layer = layer.ok_or_else(|| self.lacks(file))?;
            // Nothing takes the file's place before all of it has shown its digest.
            let mut blob = source.blob(&self.artifact.repository, layer)?;
            host.write(&place, Mode::FILE, &mut blob)?;
        }
        Ok(())
    }

    fn lacks(&self, file: &OsPackageFile) -> StepError {
        let problem = format!("it has no {} with the digest {}", file.name, file.digest);
        StepError::Malformed { repository: self.artifact.repository.clone(), problem }
    }
}
