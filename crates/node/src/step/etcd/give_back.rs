//! What Sealock changed, given back.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::changes::{Changes, Subject};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{Command, Host};
use crate::step::{Act, Probe};

/// Gives back what these were before Sealock's first change, in this order. One that Sealock never changed stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GiveBack {
    /// What.
    pub subjects: Vec<Subject>,
}

impl fmt::Display for GiveBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.subjects.len();
        write!(f, "return what was changed to what it was ({count} places)")
    }
}

impl Act for GiveBack {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        let changes = Changes::load(host)?;
        match self.subjects.iter().filter(|subject| changes.find(subject).is_some()).count() {
            0 => Ok(Probe::Done),
            left => Ok(Probe::not_done(format!("{left} are still as Sealock made them"))),
        }
    }

    fn apply(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        let mut changes = Changes::load(host)?;
        for subject in &self.subjects {
            changes.undo(host, subject)?;
        }
        if self.subjects.iter().any(|subject| matches!(subject, Subject::Unit { .. })) {
            Command::new("systemctl", ["daemon-reload"]).must(host)?;
        }
        Ok(())
    }

    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Err(StepError::Invalid { problem: "what was given back is gone".to_owned() })
    }
}
