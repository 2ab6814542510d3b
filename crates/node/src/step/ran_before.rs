//! The marks of kubeadm's phases on a node that others made.
//!
//! What kubeadm left is looked at, phase by phase, and where all of it is there the phases count as run: an apply has nothing to do over,
//! and an upgrade finds a node like any other.

use std::fmt;

use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

use super::{Act, KubeadmCommand, KubeadmPhase, Probe};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Alteration, Host};

/// The phases of kubeadm that made this node before Sealock came count as run with a configuration. What they left has to be there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RanBefore {
    /// By which command the node was made.
    pub command: KubeadmCommand,
    /// Its phases, in their order.
    pub phases: Vec<String>,
    /// The node's name in the cluster.
    pub node: String,
    /// The digest of the configuration by which Sealock would have made it.
    pub config: Digest,
}

impl fmt::Display for RanBefore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "note what kubeadm {} has made of the node: {} phases", self.command.as_str(), self.phases.len())
    }
}

impl Act for RanBefore {
    fn probe(&self, host: &dyn Host, context: &Context<'_>) -> Result<Probe, StepError> {
        let wanted = self.config.to_string();
        let (mut probe, mut away) = (Probe::Done, None);
        for phase in self.each() {
            if let Some(missing) = phase.missing(host, context)? {
                if phase.is_away(host, context)? {
                    // Whether all of it is there shows when the node runs again, which earlier steps see to.
                    away = Some(missing);
                    continue;
                }
                let made = format!("kubeadm {} phase {}", self.command.as_str(), phase.phase);
                return Ok(Probe::foreign(format!("what {made} leaves is not whole: {missing}")));
            }
            if host::read_text(host, &phase.mark_path())?.is_none_or(|mark| mark.trim() != wanted) {
                probe = Probe::not_done("the node was made by others");
            }
        }
        Ok(away.map_or(probe, Probe::not_done))
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        self.each().try_for_each(|phase| phase.await_answer(host, context))?;
        if let Probe::Foreign { found } = self.probe(host, context)? {
            return Err(StepError::Foreign { found });
        }
        let wanted = self.config.to_string();
        self.each().try_for_each(|phase| phase.mark_as(host, &wanted))
    }

    fn undo(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        for phase in self.each() {
            host.alter(Alteration::RemoveFile { path: &phase.mark_path() })?;
        }
        Ok(())
    }
}

impl RanBefore {
    fn each(&self) -> impl Iterator<Item = KubeadmPhase> + '_ {
        self.phases.iter().map(|phase| KubeadmPhase {
            command: self.command,
            phase: phase.clone(),
            node: self.node.clone(),
            config: String::new(),
        })
    }
}
