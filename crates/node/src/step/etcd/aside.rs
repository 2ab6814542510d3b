//! A folder under another name. Data is never deleted here.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Alteration, Entry, Host};
use crate::step::file::check_path;
use crate::step::{Act, Mode, Probe};

/// What a file system keeps at its top by itself.
const LOST_AND_FOUND: &str = "lost+found";

/// Gives a folder another name, with all that is in it. Where the folder is the top of a file system, its content goes into a
/// folder of that name inside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SetAside {
    /// Absolute path of the folder.
    pub path: String,
    /// Its new name, beside it: one that no other plan takes, like `etcd.2026-11-26T06-48-02Z`.
    pub name: String,
}

impl fmt::Display for SetAside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "move {} aside, to {}", self.path, self.beside())
    }
}

impl Act for SetAside {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        self.check()?;
        if host::exists(host, &self.beside())? {
            return Ok(Probe::Done);
        }
        match host.inspect(&self.path)? {
            Entry::Missing => Ok(Probe::Done),
            Entry::Directory { .. } if self.left(host)?.is_empty() => Ok(Probe::Done),
            Entry::Directory { .. } => Ok(Probe::not_done(format!("{} holds something", self.path))),
            _ => Ok(Probe::foreign(format!("{} is no folder", self.path))),
        }
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        match self.probe(host, context)? {
            Probe::Done => return Ok(()),
            Probe::Foreign { found } => return Err(StepError::Foreign { found }),
            _ => {}
        }
        let moved = host.alter(Alteration::Move { path: &self.path, target: &self.beside() });
        match moved {
            Err(error) if error.is_another_file_system() => self.move_content(host),
            moved => Ok(moved?),
        }
    }

    fn undo(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        self.check()?;
        let (beside, inside) = (self.beside(), self.inside());
        if host::exists(host, &beside)? {
            host.alter(Alteration::RemoveEmptyDirectory { path: &self.path })?;
            host.alter(Alteration::Move { path: &beside, target: &self.path })?;
        }
        for name in host.list(&inside)? {
            let (path, target) = (format!("{inside}/{name}"), format!("{}/{name}", self.path));
            host.alter(Alteration::Move { path: &path, target: &target })?;
        }
        Ok(host.alter(Alteration::RemoveEmptyDirectory { path: &inside })?)
    }
}

impl SetAside {
    pub(super) fn check(&self) -> Result<(), StepError> {
        check_path(&self.path)?;
        check_path(&self.beside())?;
        if self.name.is_empty() || self.name.contains('/') {
            return Err(StepError::Invalid { problem: format!("{:?} is no name", self.name) });
        }
        Ok(())
    }

    pub(super) fn beside(&self) -> String {
        format!("{}/{}", host::parent(&self.path).trim_end_matches('/'), self.name)
    }

    fn inside(&self) -> String {
        format!("{}/{}", self.path, self.name)
    }

    /// What still stands in the folder that is to go.
    fn left(&self, host: &dyn Host) -> Result<Vec<String>, StepError> {
        let mut names = host.list(&self.path)?;
        // Where the folder itself cannot be moved, what was moved before stands in it, and what this one moves too.
        names.retain(|name| name != LOST_AND_FOUND && *name != self.name && !is_aside(&self.path, name));
        Ok(names)
    }

    fn move_content(&self, host: &dyn Host) -> Result<(), StepError> {
        let inside = self.inside();
        host.alter(Alteration::MakeDirectory { path: &inside, mode: Mode::new(0o700) })?;
        for name in self.left(host)? {
            let (path, target) = (format!("{}/{name}", self.path), format!("{inside}/{name}"));
            host.alter(Alteration::Move { path: &path, target: &target })?;
        }
        Ok(())
    }
}

/// Whether `name` is what an earlier plan gave the content of `path`.
fn is_aside(path: &str, name: &str) -> bool {
    let own = path.rsplit('/').next().unwrap_or_default();
    name.strip_prefix(own).is_some_and(|rest| rest.starts_with(".20") && rest.ends_with('Z'))
}
