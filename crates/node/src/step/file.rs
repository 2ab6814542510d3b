//! A file with exactly this content.

use sealock_trust::Digest;

use super::{Act, File, Probe};
use crate::changes::{Changes, Subject};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Entry, Host};

impl Act for File {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        check_path(&self.path)?;
        let mode = match host.inspect(&self.path)? {
            Entry::Missing => return Ok(Probe::not_done(format!("{} is not there", self.path))),
            Entry::File { mode, .. } => mode,
            other => return Ok(Probe::foreign(format!("{} is {}", self.path, name(&other)))),
        };
        let found = host::digest(host, &self.path)?;
        if found != Digest::sha256(self.content.as_bytes()) {
            return self.probe_other(host, &found);
        }
        if mode != self.mode {
            return Ok(Probe::not_done(format!("{} has mode {mode}", self.path)));
        }
        Ok(Probe::Done)
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        if let Probe::Foreign { found } = self.probe(host, context)? {
            return Err(StepError::Foreign { found });
        }
        let digest = Digest::sha256(self.content.as_bytes());
        Changes::load(host)?.before_file(host, &self.path, &digest)?;
        Ok(host::write(host, &self.path, self.mode, self.content.as_bytes())?)
    }

    fn undo(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(Changes::load(host)?.undo(host, &Subject::File { path: self.path.clone() })?)
    }
}

impl File {
    fn probe_other(&self, host: &dyn Host, found: &Digest) -> Result<Probe, StepError> {
        let ours = Changes::load(host)?.wrote(&self.path, found);
        if ours {
            return Ok(Probe::not_done(format!("{} has content that Sealock wrote earlier", self.path)));
        }
        if self.replaces.as_ref() == Some(found) {
            return Ok(Probe::not_done(format!("{} has the content that the plan replaces", self.path)));
        }
        Ok(Probe::foreign(format!("{} has content that Sealock did not write ({found})", self.path)))
    }
}

/// Paths come from a plan: absolute, and without detours.
pub(super) fn check_path(path: &str) -> Result<(), StepError> {
    let straight = path.starts_with('/') && !path.ends_with('/') && !path.contains('\0');
    if straight && !path.split('/').any(|part| part == ".." || part == ".") {
        return Ok(());
    }
    Err(StepError::Invalid { problem: format!("{path:?} is not a plain absolute path") })
}

/// An entry as a person calls it.
pub(super) fn name(entry: &Entry) -> &'static str {
    match entry {
        Entry::Missing => "not there",
        Entry::File { .. } => "a file",
        Entry::Directory { .. } => "a folder",
        Entry::Link { .. } => "a symbolic link",
        Entry::Other => "a device, socket or pipe",
    }
}
