//! A folder.

use super::file::{check_path, name};
use super::{Act, Directory, Probe};
use crate::changes::{Changes, Subject};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{Entry, Host};

impl Act for Directory {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        check_path(&self.path)?;
        Ok(match host.inspect(&self.path)? {
            Entry::Directory { .. } => Probe::Done,
            Entry::Missing => Probe::not_done(format!("{} is not there", self.path)),
            other => Probe::foreign(format!("{} is {}", self.path, name(&other))),
        })
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        match self.probe(host, context)? {
            Probe::Done => Ok(()),
            Probe::Foreign { found } => Err(StepError::Foreign { found }),
            _ => {
                let mut changes = Changes::load(host)?;
                changes.before_folder_of(host, &self.path)?;
                Ok(changes.make_folder(host, &self.path, self.mode)?)
            }
        }
    }

    fn undo(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(Changes::load(host)?.undo(host, &Subject::Directory { path: self.path.clone() })?)
    }
}
