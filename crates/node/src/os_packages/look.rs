//! What the packages of a release would change on this machine: apt is asked, and nothing is changed.

use serde::{Deserialize, Serialize};

use super::apt::{self, Apt, Interrupted};
use super::{FOLDER, INDEX, PackageChange, is_file_name, is_package_name, restart_reason};
use crate::error::StepError;
use crate::facts;
use crate::host::{self, Alteration, Host};
use crate::step::Mode;

/// In memory; whoever looks has a folder of its own beside it.
const SCRATCH: &str = "/run/sealock/os-packages";

/// Which packages are asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OsLookRequest {
    /// The sets that are for this machine.
    pub sets: Vec<OsSetIndex>,
    /// Whether packages may go that are in the way of others.
    pub allow_removals: bool,
    /// Whether a plan of ours may have been cut off here in the middle of dpkg: then that is no reason to say nothing.
    #[serde(default)]
    pub begun: bool,
    /// Packages that are to be there besides what is installed.
    #[serde(default)]
    pub install: Vec<String>,
    /// Whether these alone are to come, and what they need: all else stays as it is.
    #[serde(default)]
    pub only: bool,
}

/// A set of OS packages by its index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OsSetIndex {
    /// Like `debian-12`.
    pub name: String,
    /// Its `Packages`.
    pub index: String,
}

/// What this machine says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct OsLook {
    /// What would change.
    pub changes: Vec<PackageChange>,
    /// What is newer and does not come: on hold, or others would have to go for it.
    #[serde(default)]
    pub kept_back: Vec<String>,
    /// Whether a dpkg runs here just now.
    #[serde(default)]
    pub busy: bool,
    /// Why the machine is to be started anew as it is, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<String>,
    /// Whether a dpkg was cut off here: then nobody can say what would change.
    #[serde(default)]
    pub interrupted: bool,
    /// Where something is not what Sealock left, in words.
    #[serde(default)]
    pub differences: Vec<String>,
}

/// Asks apt on `host`.
///
/// # Errors
/// There is no apt here, or it says no.
pub fn look(host: &dyn Host, request: &OsLookRequest) -> Result<OsLook, StepError> {
    let restart = restart_reason(host, false)?;
    let differences = facts::differences(host).map_err(|error| StepError::Unknown { because: error.to_string() })?;
    let state = apt::is_interrupted(host)?;
    let (busy, interrupted) = (state == Interrupted::Runs, matches!(state, Interrupted::So(_)));
    if busy || (interrupted && !request.begun) {
        return Ok(OsLook { restart, busy, interrupted, differences, ..OsLook::default() });
    }
    let scratch = format!("{SCRATCH}-{}", std::process::id());
    let resolved = resolve(host, &scratch, request);
    host.alter(Alteration::RemoveTree { path: &scratch })?;
    let apt::Resolved { changes, kept_back } = resolved?;
    Ok(OsLook { changes, kept_back, restart, busy, interrupted, differences })
}

fn resolve(host: &dyn Host, scratch: &str, request: &OsLookRequest) -> Result<apt::Resolved, StepError> {
    let mut folders = Vec::new();
    for set in &request.sets {
        if !is_file_name(&set.name) {
            return Err(StepError::Invalid { problem: format!("{FOLDER}/{:?} is no folder of a set", set.name) });
        }
        let folder = format!("{scratch}/{}", set.name);
        host.alter(Alteration::MakeDirectory { path: &folder, mode: Mode::new(0o700) })?;
        host::write(host, &format!("{folder}/{INDEX}"), Mode::FILE, set.index.as_bytes())?;
        folders.push(folder);
    }
    if let Some(name) = request.install.iter().find(|name| !is_package_name(name)) {
        return Err(StepError::Invalid { problem: format!("{name:?} is no name of a package") });
    }
    let apt = Apt::on(host, format!("{scratch}/.apt"), &folders)?;
    if request.only { apt.addition(&request.install) } else { apt.upgrade(&request.install, request.allow_removals) }
}
