//! Whether a machine is to be started anew, and why.

use serde::{Deserialize, Serialize};

use super::PackageChange;
use crate::changes::NODE_FOLDER;
use crate::error::StepError;
use crate::host::{self, Alteration, Host, HostError};
use crate::step::Mode;

/// The kernel makes one up at each start of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Where packages of Debian and Ubuntu say that the machine is to be started anew.
const WANTED: &str = "/run/reboot-required";
const WANTED_BY: &str = "/run/reboot-required.pkgs";
const RECORD: &str = "os-packages.json";

/// What was begun to be installed last: written before the first package changes, so that a machine that was cut off in the middle still
/// knows what it runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Begun {
    /// The start of the machine in which it was begun.
    pub(crate) boot: String,
    /// What was to change.
    pub(crate) changes: Vec<PackageChange>,
}

impl Begun {
    /// Writes down that `changes` are begun. What an earlier attempt in this start of the machine has changed counts, too.
    pub(crate) fn keep(host: &dyn Host, changes: &[PackageChange]) -> Result<(), StepError> {
        let boot = boot(host)?;
        let earlier = Self::load(host)?.filter(|begun| begun.boot == boot).map(|begun| begun.changes);
        let mut all = earlier.unwrap_or_default();
        all.extend(changes.iter().cloned());
        all.sort();
        all.dedup();
        let begun = Self { boot, changes: all };
        let text = serde_json::to_vec(&begun).map_err(|error| StepError::Invalid { problem: error.to_string() })?;
        host.alter(Alteration::MakeDirectory { path: NODE_FOLDER, mode: Mode::new(0o700) })?;
        Ok(host::write(host, &path(), Mode::PRIVATE, &text)?)
    }

    fn load(host: &dyn Host) -> Result<Option<Self>, StepError> {
        let Some(text) = host::read(host, &path(), 8 << 20)? else { return Ok(None) };
        let damaged = |error| StepError::Unknown { because: format!("{} cannot be read: {error}", path()) };
        serde_json::from_slice(&text).map(Some).map_err(damaged)
    }
}

/// Which start of the machine this is.
pub(crate) fn boot(host: &dyn Host) -> Result<String, HostError> {
    Ok(host::read_text(host, BOOT_ID)?.unwrap_or_default().trim().to_owned())
}

/// Why the machine is to be started anew, in words; nothing where it need not be. Where `always`, whatever was installed is a reason.
pub(crate) fn reason(host: &dyn Host, always: bool) -> Result<Option<String>, StepError> {
    let boot = boot(host)?;
    let since = Begun::load(host)?.filter(|begun| begun.boot == boot).map(|begun| begun.changes).unwrap_or_default();
    if let Some(kernel) = since.iter().find(|change| change.is_kernel()) {
        let to = kernel.to.as_deref().unwrap_or_default();
        return Ok(Some(format!("{} {to} was installed since it was started", kernel.package)));
    }
    if host::exists(host, WANTED)? {
        let names = host::read_text(host, WANTED_BY)?.unwrap_or_default();
        let mut names: Vec<&str> = names.split_whitespace().collect();
        names.sort_unstable();
        names.dedup();
        let by = if names.is_empty() { String::new() } else { format!(" by {}", names.join(", ")) };
        return Ok(Some(format!("it is asked for{by} ({WANTED})")));
    }
    Ok((always && !since.is_empty()).then(|| "packages were installed since it was started".to_owned()))
}

fn path() -> String {
    format!("{NODE_FOLDER}/{RECORD}")
}
