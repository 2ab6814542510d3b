//! A folder of backups: which ones stay when another one is written into it.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sealock_cluster::backup::{Folder, Found, Retention, Subject};
use sealock_trust::Digest;
use sealock_trust::site::SiteRoot;
use serde::Serialize;

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::ui::count;

/// How many backups stay in the folder.
#[derive(Debug, clap::Args)]
pub struct KeepArgs {
    /// Remove older backups from the folder once the new one is whole, but for so many of the newest
    #[arg(long, value_name = "BACKUPS", requires = "to", value_parser = clap::value_parser!(u16).range(1..))]
    keep_last: Option<u16>,
    /// … and but for the newest of each of so many days (UTC) that have one
    #[arg(long, value_name = "DAYS", requires = "to", value_parser = clap::value_parser!(u16).range(1..))]
    keep_daily: Option<u16>,
    /// … and but for the newest of each of so many weeks (from Monday, UTC) that have one
    #[arg(long, value_name = "WEEKS", requires = "to", value_parser = clap::value_parser!(u16).range(1..))]
    keep_weekly: Option<u16>,
}

/// What was done about older backups.
#[derive(Debug, Default, Serialize)]
pub struct Kept {
    /// The folder.
    folder: PathBuf,
    /// How many backups are in it now, the new one among them.
    backups: usize,
    /// What was removed, or would be.
    removed: Vec<PathBuf>,
}

impl KeepArgs {
    fn retention(&self) -> Retention {
        let number = |given: Option<u16>| given.map_or(0, usize::from);
        Retention { last: number(self.keep_last), daily: number(self.keep_daily), weekly: number(self.keep_weekly) }
    }

    /// Whether anything is to go; then `to` has to be a folder.
    ///
    /// # Errors
    /// It is none.
    pub fn check(&self, to: Option<&Path>) -> Result<bool> {
        match to {
            Some(to) if self.retention().is_said() && !is_folder(to) => Err(CommandError::usage(format!(
                "{} is no folder, and only in a folder backups are kept",
                to.display()
            ))
            .hint("Give `--to DIR/`: each backup is named by what it is of, and when it was taken.")),
            _ => Ok(self.retention().is_said()),
        }
    }

    /// Says what would go from the folder of `new` if it was written now.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn foretell(
        &self,
        new: &Path,
        taken: Timestamp,
        (site, subject): (&SiteRoot, Subject<'_>),
        context: &Context,
    ) -> Result<()> {
        let folder = Folder::read(folder_of(new), site, subject)?;
        warn_of(&folder, taken, context);
        let surplus = folder.surplus_at(&self.retention(), taken);
        for found in &surplus {
            context.ui.note(format_args!("would remove {}, taken {}", found.path.display(), found.taken));
        }
        let left = folder.count() + 1 - different(&surplus);
        context.ui.note(format_args!("{} would be in {} then", count(left as u64, "backup"), folder_of(new).display()));
        Ok(())
    }

    /// Removes what is not to stay beside the backup `made`, which was written to `new`. What was removed is told also where the next one could
    /// not be.
    ///
    /// # Errors
    /// The folder cannot be read, or `made` is not whole: then nothing goes.
    pub fn carry_out(
        &self,
        (new, made, taken): (&Path, &Digest, Timestamp),
        (site, subject): (&SiteRoot, Subject<'_>),
        context: &Context,
    ) -> Result<Kept> {
        let folder = Folder::read(folder_of(new), site, subject)?;
        warn_of(&folder, taken, context);
        let mut removed = Vec::new();
        let mut gone = Vec::new();
        for found in folder.surplus(&self.retention(), made)? {
            if found.remove()? {
                context.ui.done(format_args!("removed {}, taken {}", found.path.display(), found.taken));
                removed.push(found.path.clone());
                gone.push(found);
            }
        }
        Ok(Kept { folder: folder_of(new).to_owned(), backups: folder.count() - different(&gone), removed })
    }
}

impl Kept {
    /// As it stands beside the other facts of a backup.
    pub fn text(&self) -> String {
        let backups = count(self.backups as u64, "backup");
        format!("{backups} in {}; {} removed", self.folder.display(), self.removed.len())
    }
}

/// What is said where a backup was made, and those before it could not be looked after.
pub fn made_anyway(new: &Path) -> impl FnOnce(CommandError) -> CommandError {
    let path = new.display().to_string();
    move |error| error.context(format!("keeping to what is to be kept, after {path} was written"))
}

/// What is said where a backup was made, and the station could not note that.
pub fn not_remembered(new: &Path) -> impl FnOnce(CommandError) -> CommandError {
    let path = new.display().to_string();
    move |error| error.context(format!("noting that {path} was written"))
}

/// Whether a path names a folder, also one that is not there.
pub fn is_folder(path: &Path) -> bool {
    path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn different(found: &[&Found]) -> usize {
    found.iter().map(|found| &found.digest).collect::<std::collections::BTreeSet<_>>().len()
}

/// What stays for a reason that somebody should know.
fn warn_of(folder: &Folder, taken: Timestamp, context: &Context) {
    for (path, error) in &folder.damaged {
        context.ui.warn(format_args!("{} is damaged, stays, and counts for nothing: {error}", path.display()));
    }
    for (path, error) in &folder.unbelieved {
        context.ui.warn(format_args!(
            "{} looks like a backup, and nobody can vouch for it: it stays, and counts for nothing: {error}",
            path.display()
        ));
    }
    for found in folder.later_than(taken) {
        let path = found.path.display();
        context.ui.warn(format_args!(
            "{path} says that it was taken {}, stays, and counts for nothing: a clock was wrong",
            found.taken
        ));
    }
    for path in &folder.earlier {
        context.ui.note(format_args!("{} is of another cluster that once had this name: it stays", path.display()));
    }
    for path in &folder.unfinished {
        context
            .ui
            .note(format_args!("{} is being written, or was left by a run that was cut off: it stays", path.display()));
    }
}
