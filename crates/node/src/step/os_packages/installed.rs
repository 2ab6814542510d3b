//! OS packages installed, from what was laid down.

use std::fmt;

use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::StepError;
use crate::host::{Host, HostError};
use crate::os_packages::{
    Apt, Begun, FOLDER, Interrupted, PackageChange, contents, finish_interrupted, installed, is_at_least, is_file_name,
    is_interrupted, is_package_name, outlast_others, set_folder,
};
use crate::step::{Act, Probe};

/// So many packages are named where all of them would be too many.
const NAMED: usize = 6;

/// Makes exactly these changes to the OS packages of the host. apt says once more what it would do, just before: where that is more than
/// this, nothing is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OsPackagesInstalled {
    /// The sets that apt may take from.
    pub sets: Vec<String>,
    /// The digest of all that lies in the folders of the sets.
    pub contents: Digest,
    /// What changes.
    pub changes: Vec<PackageChange>,
}

impl fmt::Display for OsPackagesInstalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.changes.len();
        write!(f, "change {count} OS package{}: ", if count == 1 { "" } else { "s" })?;
        for (n, change) in self.changes.iter().take(NAMED).enumerate() {
            write!(f, "{}{change}", if n > 0 { ", " } else { "" })?;
        }
        match count.saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl Act for OsPackagesInstalled {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        self.check()?;
        if let Err(StepError::Host(HostError::NoProgram { program })) = installed(host) {
            return Ok(Probe::unknown(format!("there is no {program}")));
        }
        let undone = self.undone(host)?;
        if let Some((change, found)) = undone.first() {
            let found =
                found.as_ref().map_or_else(|| "is not installed whole".to_owned(), |found| format!("is {found}"));
            return Ok(Probe::not_done(format!("{} {found}", change.package)));
        }
        Ok(match is_interrupted(host)? {
            Interrupted::Not => Probe::Done,
            Interrupted::Runs => Probe::not_done("dpkg runs"),
            Interrupted::So(what) => Probe::not_done(what),
        })
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        self.check()?;
        let sets: Vec<&str> = self.sets.iter().map(String::as_str).collect();
        if contents(host, &sets)? != self.contents {
            let because = format!("{FOLDER} does not hold what was laid down there any more");
            return Err(StepError::NotHeld { because });
        }
        outlast_others(host)?;
        let complaint = finish_interrupted(host)?;
        let undone: Vec<PackageChange> = self.undone(host)?.into_iter().map(|(change, _)| change).collect();
        if !undone.is_empty() {
            let folders: Vec<String> = sets.iter().map(|set| set_folder(set)).collect();
            let apt = Apt::on(host, format!("{FOLDER}/.apt"), &folders)?;
            let left = self.left(&apt, &undone)?;
            // Before the first package changes: whoever comes back after a power cut has to know.
            Begun::keep(host, &left)?;
            (context.progress)(&format!("installing {} packages", left.len()));
            return apt.install(&undone);
        }
        match complaint {
            Some(because) => Err(StepError::NotHeld { because }),
            None => Ok(()),
        }
    }

    /// dpkg keeps nothing of what was there before.
    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(())
    }
}

impl OsPackagesInstalled {
    fn check(&self) -> Result<(), StepError> {
        let plain = |text: &str| !text.is_empty() && !text.contains(['/', '\0', '\n', ' ', '=']);
        let sets = self.sets.iter().all(|set| is_file_name(set));
        let is_plain = |change: &PackageChange| {
            let architecture = change.architecture.is_empty() || plain(&change.architecture);
            is_package_name(&change.package) && architecture && change.to.as_deref().is_none_or(plain)
        };
        let changes = self.changes.iter().all(is_plain);
        if sets && changes {
            Ok(())
        } else {
            Err(StepError::Invalid { problem: "what is to change is no package".to_owned() })
        }
    }

    /// The changes that are not made yet, each with the version that is there whole.
    fn undone(&self, host: &dyn Host) -> Result<Vec<(PackageChange, Option<String>)>, StepError> {
        let there = installed(host)?;
        let mut undone = Vec::new();
        for change in &self.changes {
            let found = there.iter().find(|((package, architecture), _)| change.is_of(package, architecture));
            let found = found.map(|(_, version)| version.clone());
            let is_done = match (&change.to, &found) {
                (None, found) => found.is_none(),
                (Some(_), None) => false,
                // Newer is what somebody else has brought meanwhile: nothing goes back.
                (Some(to), Some(found)) => is_at_least(host, found, to)?,
            };
            if !is_done {
                undone.push((change.clone(), found));
            }
        }
        Ok(undone)
    }

    /// What apt would do to make `undone`: these changes, and nothing else of what is planned.
    fn left(&self, apt: &Apt<'_>, undone: &[PackageChange]) -> Result<Vec<PackageChange>, StepError> {
        let would = apt.simulate(undone)?.changes;
        let is_planned = |one: &PackageChange| {
            let same =
                |planned: &&PackageChange| planned.is_of(&one.package, &one.architecture) && planned.to == one.to;
            self.changes.iter().any(|planned| same(&planned))
        };
        match would.iter().find(|one| !is_planned(one)) {
            Some(other) => Err(StepError::OtherThanPlanned { found: format!("apt would change {other}, too") }),
            None => Ok(would),
        }
    }
}

impl PackageChange {
    /// Whether it is about this package. What goes may stand without its architecture.
    fn is_of(&self, package: &str, architecture: &str) -> bool {
        let same = self.architecture == architecture || self.architecture.is_empty() || architecture.is_empty();
        self.package == package && same
    }
}
