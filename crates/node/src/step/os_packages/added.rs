//! OS packages that a host lacks, brought to it, and taken away again when it is given back.

use std::collections::BTreeMap;
use std::fmt;

use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

use super::OsPackagesInstalled;
use crate::changes::{Before, Change, Changes, Subject};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{Alteration, Command, Host};
use crate::os_packages::{Apt, Known, PackageChange, finish_interrupted, known, outlast_others};
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
        let there = known(host)?;
        let mut changes = Changes::load(host)?;
        for change in self.changes.iter().filter(|change| change.from.is_none()) {
            if let Some(was) = was(change, &there) {
                let (name, architecture) = (change.package.clone(), change.architecture.clone());
                changes.before(host, Subject::Package { name, architecture }, was)?;
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

/// What there was before a package that is new; nothing where it was there as a whole. What somebody had taken away, or was cut off in, has left
/// settings that are not ours, whatever the architecture.
fn was(change: &PackageChange, there: &There) -> Option<Before> {
    let same = there.iter().filter(|((package, _), _)| *package == change.package);
    let same: Vec<(&str, Known)> = same.map(|((_, of), known)| (of.as_str(), *known)).collect();
    if same.iter().any(|(of, known)| *known == Known::Whole && is_of(change, of)) {
        return None;
    }
    Some(if same.is_empty() { Before::Absent } else { Before::Settings })
}

fn is_of(change: &PackageChange, architecture: &str) -> bool {
    change.architecture.is_empty() || change.architecture == architecture
}

/// Takes away the packages that Sealock has brought, with their settings unless these were there before, but for those that something else has
/// come to need meanwhile: these stay, and are told. Repeatable: what is gone by then is not asked for again, and what was cut off on its way is.
pub(crate) fn take_back(host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
    let mut changes = Changes::load(host)?;
    let ours: Vec<Ours> = changes.iter().filter_map(Ours::of).collect();
    if ours.is_empty() {
        return Ok(());
    }
    outlast_others(host)?;
    if let Some(complaint) = finish_interrupted(host)? {
        return Err(StepError::NotHeld { because: format!("dpkg does not come to its end: {complaint}") });
    }
    let names = left(host, &ours)?;
    let apt = Apt::on(host, SCRATCH.to_owned(), &[])?;
    let going = needless(&apt, dispensable(host, names, context)?, context)?;
    if !going.is_empty() {
        (context.progress)(&format!("taking away {}", going.join(", ")));
        take_away(host, &apt, (&going, &ours))?;
    }
    let mut left = left(host, &ours)?;
    left.retain(|word| going.contains(word));
    if !left.is_empty() {
        return Err(StepError::NotHeld { because: format!("apt has left something of {}", left.join(", ")) });
    }
    host.alter(Alteration::RemoveTree { path: SCRATCH })?;
    ours.iter().try_for_each(|one| changes.forget(host, &one.subject))?;
    Ok(())
}

/// Takes away the packages of `going`: first those whose settings stay, for a purge takes the settings of all that goes with it.
fn take_away(host: &dyn Host, apt: &Apt<'_>, (going, ours): (&[String], &[Ours])) -> Result<(), StepError> {
    let stays = |word: &String| ours.iter().any(|one| one.settings_stay && one.word() == *word);
    let bare: Vec<String> = going.iter().filter(|word| stays(word)).cloned().collect();
    if !bare.is_empty() {
        apt.remove(&bare)?;
    }
    // What needed those has gone with them, and apt knows nothing by its name where it had no settings.
    let mut whole = left(host, ours)?;
    whole.retain(|word| going.contains(word));
    if whole.is_empty() { Ok(()) } else { apt.purge(&whole) }
}

/// Those of `ours` of which more is there than before they came, as apt is asked for them.
fn left(host: &dyn Host, ours: &[Ours]) -> Result<Vec<String>, StepError> {
    let there = known(host)?;
    Ok(ours.iter().filter(|one| one.is_left(&there)).map(Ours::word).collect())
}

/// What dpkg knows, by package and architecture.
type There = BTreeMap<(String, String), Known>;

/// A package that Sealock has brought.
struct Ours {
    subject: Subject,
    /// As dpkg's list has it.
    name: String,
    architecture: String,
    /// Whether its settings were there before it.
    settings_stay: bool,
}

impl Ours {
    fn of(change: &Change) -> Option<Self> {
        let Subject::Package { name, architecture } = &change.subject else { return None };
        Some(Self {
            subject: change.subject.clone(),
            name: name.clone(),
            architecture: architecture.clone(),
            settings_stay: change.was == Before::Settings,
        })
    }

    /// As apt is asked for it.
    fn word(&self) -> String {
        // What is for all architectures counts as of the machine's own.
        if self.architecture == "all" { self.name.clone() } else { format!("{}:{}", self.name, self.architecture) }
    }

    /// Whether more of it is there than before it came.
    fn is_left(&self, there: &There) -> bool {
        let known = there.get(&(self.name.clone(), self.architecture.clone()));
        known.is_some_and(|known| !(self.settings_stay && *known == Known::Settings))
    }
}

/// Whether it is a package.
pub(crate) fn is_package(subject: &Subject) -> bool {
    matches!(subject, Subject::Package { .. })
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
