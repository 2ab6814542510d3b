//! A host that is, after its packages have changed, what it was for Sealock.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::StepError;
use crate::facts;
use crate::host::Host;
use crate::os_packages::{Interrupted, is_interrupted};
use crate::step::node_ready::settle;
use crate::step::{Act, Probe};

/// Waits until containerd and kubelet run, and looks whether all that Sealock left on the host is as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct StandsAsBefore {
    /// What was not as Sealock left it when the plan was made.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub differed: BTreeSet<String>,
    /// How long to wait.
    pub timeout_seconds: u32,
}

impl fmt::Display for StandsAsBefore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { differed, timeout_seconds } = self;
        write!(f, "look whether containerd and kubelet run, and all of Sealock is as it was")?;
        if !differed.is_empty() {
            write!(f, ", but for {}", differed.iter().map(String::as_str).collect::<Vec<_>>().join(", "))?;
        }
        write!(f, " (at most {timeout_seconds} s)")
    }
}

impl Act for StandsAsBefore {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        let found = facts::differences(host).map_err(|error| StepError::Unknown { because: error.to_string() })?;
        let new: Vec<String> = found.into_iter().filter(|one| !self.differed.contains(one)).collect();
        if !new.is_empty() {
            return Ok(Probe::not_done(new.join(", ")));
        }
        Ok(match is_interrupted(host)? {
            Interrupted::Not => Probe::Done,
            Interrupted::Runs => Probe::not_done("dpkg runs"),
            Interrupted::So(what) => Probe::not_done(format!("dpkg is not through: {what}")),
        })
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        let timeout = Duration::from_secs(self.timeout_seconds.into());
        settle(timeout, context, "the host is not what it was", || self.probe(host, context))
    }

    /// Waiting changes nothing.
    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(())
    }
}
