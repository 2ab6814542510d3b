//! The marks of kubeadm's phases, once an upgrade has made the node what they would have made of it.

use std::fmt;

use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Host};
use crate::step::kubeadm::marks;
use crate::step::{Act, KubeadmCommand, Mode, Probe};

/// From now on the phases of kubeadm count as run with another configuration: an upgrade has led to what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RunAs {
    /// By which command the node was made.
    pub command: KubeadmCommand,
    /// The digest of the configuration.
    pub config: Digest,
    /// The Kubernetes version that it says.
    pub version: String,
}

impl fmt::Display for RunAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "note that the node is what kubeadm {} makes with {}", self.command.as_str(), self.version)
    }
}

impl Act for RunAs {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        let wanted = self.config.to_string();
        for mark in marks(host, self.command)? {
            if host::read_text(host, &mark)?.is_none_or(|found| found.trim() != wanted) {
                return Ok(Probe::not_done(format!("{mark} names an older configuration")));
            }
        }
        Ok(Probe::Done)
    }

    fn apply(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        let wanted = self.config.to_string();
        for mark in marks(host, self.command)? {
            host::write(host, &mark, Mode::FILE, wanted.as_bytes())?;
        }
        Ok(())
    }

    /// There is nothing to go back to: the node is what it is.
    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(())
    }
}
