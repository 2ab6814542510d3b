//! OS packages that a host lacks, brought to it, and taken away again when it is given back.

use std::fmt;

use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

use super::OsPackagesInstalled;
use crate::changes::{Before, Changes, Subject};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{Alteration, Command, Host};
use crate::os_packages::{Apt, PackageChange, finish_interrupted, installed, outlast_others};
use crate::step::{Act, Probe};

/// apt's own files while packages are taken away; in memory.
const SCRATCH: &str = "/run/sealock/os-packages-back";

/// Makes exactly these changes to the OS packages of the host, for programs that it lacks. What is new goes again with a reset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OsPackagesAdded {
    /// The sets that apt may take from.
    pub sets: Vec<String>,
    /// The digest of all that lies in the folders of the sets.
    pub contents: Digest,
    /// What changes.
    pub changes: Vec<PackageChange>,
}

impl fmt::Display for OsPackagesAdded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lay in what the host lacks: ")?;
        for (n, change) in self.changes.iter().enumerate() {
            write!(f, "{}{change}", if n > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

impl Act for OsPackagesAdded {
    fn probe(&self, host: &dyn Host, context: &Context<'_>) -> Result<Probe, StepError> {
        self.installed().probe(host, context)
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        if self.changes.iter().any(|change| change.to.is_none()) {
            return Err(StepError::Invalid { problem: "what a host lacks takes nothing away from it".to_owned() });
        }
        let there = installed(host)?;
        let mut changes = Changes::load(host)?;
        for change in self.changes.iter().filter(|change| change.from.is_none()) {
            let is_there = there.keys().any(|(package, of)| *package == change.package && is_of(change, of));
            if !is_there {
                let (name, architecture) = (change.package.clone(), change.architecture.clone());
                changes.before(host, Subject::Package { name, architecture }, Before::Absent)?;
            }
        }
        self.installed().apply(host, context)
    }

    fn undo(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        take_back(host, context)
    }
}

impl OsPackagesAdded {
    fn installed(&self) -> OsPackagesInstalled {
        let Self { sets, contents, changes } = self.clone();
        OsPackagesInstalled { sets, contents, changes }
    }
}

fn is_of(change: &PackageChange, architecture: &str) -> bool {
    change.architecture.is_empty() || change.architecture == architecture
}

/// Takes away the packages that Sealock has brought, with their settings, but for those that something else has come to need meanwhile: these
/// stay, and are told. Repeatable: what is gone by then is not asked for again.
pub(crate) fn take_back(host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
    let mut changes = Changes::load(host)?;
    let ours: Vec<Subject> = changes.iter().map(|change| change.subject.clone()).filter(is_package).collect();
    if ours.is_empty() {
        return Ok(());
    }
    outlast_others(host)?;
    if let Some(complaint) = finish_interrupted(host)? {
        return Err(StepError::NotHeld { because: format!("dpkg does not come to its end: {complaint}") });
    }
    let there = installed(host)?;
    let names: Vec<String> =
        ours.iter().filter_map(word).filter(|(key, _)| there.contains_key(key)).map(|(_, word)| word).collect();
    let apt = Apt::on(host, SCRATCH.to_owned(), &[])?;
    let going = needless(&apt, dispensable(host, names, context)?, context)?;
    if !going.is_empty() {
        (context.progress)(&format!("taking away {}", going.join(", ")));
        apt.purge(&going)?;
    }
    host.alter(Alteration::RemoveTree { path: SCRATCH })?;
    ours.iter().try_for_each(|subject| changes.forget(host, subject))?;
    Ok(())
}

/// Whether it is a package.
pub(crate) fn is_package(subject: &Subject) -> bool {
    matches!(subject, Subject::Package { .. })
}

/// A package as dpkg's list has it, and as apt is asked for it.
fn word(subject: &Subject) -> Option<((String, String), String)> {
    let Subject::Package { name, architecture } = subject else { return None };
    // What is for all architectures counts as of the machine's own.
    let word = if architecture == "all" { name.clone() } else { format!("{name}:{architecture}") };
    Some(((name.clone(), architecture.clone()), word))
}

/// Those of `names` that a system may be without: apt takes away no others, unless somebody insists.
fn dispensable(host: &dyn Host, names: Vec<String>, context: &Context<'_>) -> Result<Vec<String>, StepError> {
    let fields = r"${Package}\t${Essential} ${Protected} ${Important}\n";
    let said = Command::new("dpkg-query", ["-W", "-f", fields]).must(host)?;
    let is_vital = |word: &String| {
        let mut lines = said.lines().filter_map(|line| line.split_once('\t'));
        lines.any(|(package, flags)| word.split(':').next() == Some(package) && flags.contains("yes"))
    };
    let (vital, rest): (Vec<String>, Vec<String>) = names.into_iter().partition(is_vital);
    for word in vital {
        (context.progress)(&format!("{word} stays: it is one that every system has"));
    }
    Ok(rest)
}

/// Those of `names` that can go without anything else going with them.
fn needless(apt: &Apt<'_>, names: Vec<String>, context: &Context<'_>) -> Result<Vec<String>, StepError> {
    let strangers = |going: &[String]| -> Result<Vec<String>, StepError> {
        let would = apt.simulate_purge(going)?.changes;
        let is_named =
            |change: &PackageChange| going.iter().any(|word| word.split(':').next() == Some(change.package.as_str()));
        Ok(would.into_iter().filter(|change| !is_named(change)).map(|change| change.package).collect())
    };
    let mut going = names;
    while !going.is_empty() && !strangers(&going)?.is_empty() {
        let mut rest = Vec::new();
        for word in &going {
            let others = strangers(std::slice::from_ref(word))?;
            let others: Vec<String> = others
                .into_iter()
                .filter(|other| !going.iter().any(|word| word.split(':').next() == Some(other)))
                .collect();
            if others.is_empty() {
                rest.push(word.clone());
            } else {
                (context.progress)(&format!("{word} stays: {} came to need it", others.join(", ")));
            }
        }
        if rest.len() == going.len() {
            (context.progress)(&format!("{} stay: together they are needed by others", going.join(", ")));
            return Ok(Vec::new());
        }
        going = rest;
    }
    Ok(going)
}
