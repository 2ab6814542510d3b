//! Restore drills, of clusters and of the station: what is asked for, where it runs, and what is told and kept of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sealock_cluster::backup::drill::{Evidence, Order, Outcome, Places, Verdict};
use sealock_cluster::backup::evidence::{Shelf, Whose};
use sealock_cluster::backup::{Identities, Interrupt};
use sealock_trust::reason::Code;
use sealock_trust::site::SiteKeys;
use serde::Serialize;

use super::backup_file::identities;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::identity;
use crate::keys::Passphrases;
use crate::station::Station;
use crate::ui::{bytes, facts, took};

/// What a drill is given.
#[derive(Debug, clap::Args)]
pub struct DrillFileArgs {
    /// The backup, or the folder whose newest one is meant
    #[arg(value_name = "BACKUP|DIR")]
    pub backup: PathBuf,
    /// The key that opens it: a file of `sealock site recovery-key` or `age-keygen`
    #[arg(long, value_name = "FILE")]
    recovery_key: PathBuf,
    /// File whose first line is the passphrase of that key
    #[arg(long, value_name = "FILE")]
    recovery_passphrase_file: Option<PathBuf>,
    /// File whose first line is the passphrase of the site's key, which signs the record
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Where the content is laid out for a while [default: memory (/dev/shm) where it has room, else the state folder]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

/// A drill that can begin: every key is open.
pub struct Ready {
    keys: SiteKeys,
    identities: Identities,
    file: PathBuf,
    places: Places,
}

impl DrillFileArgs {
    /// Opens the keys, before anything else is done. `newest` finds the newest backup in a folder.
    ///
    /// # Errors
    /// A key cannot be opened; there is no backup in the folder.
    pub fn ready(
        &self,
        station: &Station,
        newest: impl FnOnce(&Path) -> Result<Option<PathBuf>>,
        context: &Context,
    ) -> Result<Ready> {
        let file = if self.backup.is_dir() {
            let none = || CommandError::failed(format!("{} holds no backup of it", self.backup.display()));
            newest(&self.backup)?.ok_or_else(none)?
        } else {
            self.backup.clone()
        };
        let places = Places::new(self.scratch.as_deref(), context.paths.state());
        let keys = station.keys(context, &Passphrases::new(context, self.passphrase_file.as_deref()))?;
        let identities = identities(&self.recovery_key, self.recovery_passphrase_file.as_deref(), context)?;
        Ok(Ready { keys, identities, file, places })
    }
}

impl Ready {
    /// What is to be done, until `interrupt`.
    pub fn order<'a>(&'a self, station: &'a Station, interrupt: &'a Interrupt) -> Order<'a> {
        Order {
            file: &self.file,
            site: &station.site,
            identities: &self.identities,
            places: &self.places,
            interrupt,
            sealock: identity::version(),
        }
    }

    /// Signs and keeps what a drill came to, and tells it.
    ///
    /// # Errors
    /// It was not passed; the record cannot be kept.
    pub fn conclude(&self, whose: Whose<'_>, outcome: Outcome, context: &Context) -> Result<()> {
        let Outcome { evidence, error } = outcome;
        let signed = evidence.sign(&self.keys)?;
        let kept = Shelf::new(context.paths.evidence()).keep_drill(whose, &evidence, &signed)?;
        context.ui.result(&Told { evidence: &evidence, kept: &kept }, text(&evidence, &kept))?;
        let Some(error) = error else { return Ok(()) };
        let coded = error.code().is_some();
        let error = CommandError::from(error);
        let refused = match coded {
            true => error,
            false => CommandError::refused(Code::Drill, error.chain().join(": ")),
        };
        let hint = format!("The record is kept all the same: {}.", kept.display());
        Err(refused.context(format!("drilling {}", self.file.display())).hint(hint))
    }
}

/// What a drill came to, as it is told.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    evidence: &'a Evidence,
    /// Where its record lies.
    kept: &'a Path,
}

fn text(evidence: &Evidence, kept: &Path) -> String {
    let record = &evidence.record;
    let verdict = match &record.code {
        None => "passed".to_owned(),
        Some(code) => format!("failed: {code}"),
    };
    let backup = record.backup.as_ref().map(|backup| {
        let age = crate::ui::age(backup.age_seconds);
        [("digest", backup.digest.to_string()), ("taken", format!("{}, {age} before", backup.taken))]
    });
    let checks = record.checks.iter().map(|check| {
        let mark = match check.verdict {
            Verdict::Passed => "ok",
            Verdict::Failed => "FAILED",
            Verdict::Absent => "nothing to check",
        };
        (&*check.name, format!("{mark}: {}", check.found))
    });
    let first = [("backup", evidence.file.clone()), ("drill", format!("{verdict}, begun {}", record.begun))];
    let last = [("took", took(Duration::from_millis(record.took_ms))), ("record", kept.display().to_string())];
    facts(first.into_iter().chain(backup.into_iter().flatten()).chain(checks).chain(last))
}

/// What would be done.
///
/// # Errors
/// The file cannot be looked at; there is no room.
pub fn foretell(ready: &Ready, context: &Context) -> Result<()> {
    let path = ready.file.display();
    let size = fs::metadata(&ready.file).map_err(|error| CommandError::from(error).context(path.to_string()))?.len();
    // It is not opened: of what it holds it has at least the size.
    let scratch = ready.places.choose(size)?.display();
    context.ui.note(format_args!("would drill {path} ({}) in {scratch}", bytes(size)));
    Ok(())
}
