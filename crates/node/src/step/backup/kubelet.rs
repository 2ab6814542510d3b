//! kubelet of a worker that outlived its cluster's control plane.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::changes::NODE_FOLDER;
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Alteration, Command, Host};
use crate::step::{Act, Mode, Probe};

const TAKES: Duration = Duration::from_secs(120);

/// kubelet, started once after a restore: the restored cluster may not know this node, and kubelet registers it only when it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KubeletRegistered {
    /// Tells this restore from another.
    pub run: String,
}

impl fmt::Display for KubeletRegistered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "start kubelet once more, so that the restored cluster knows the node")
    }
}

impl Act for KubeletRegistered {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        match host::read_text(host, &mark())? {
            Some(run) if run.trim() == self.run => Ok(Probe::Done),
            _ => Ok(Probe::not_done("kubelet has not been started since")),
        }
    }

    fn apply(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Command::new("systemctl", ["restart", "kubelet.service"]).timeout(TAKES).must(host)?;
        host.alter(Alteration::MakeDirectory { path: NODE_FOLDER, mode: Mode::new(0o700) })?;
        Ok(host::write(host, &mark(), Mode::PRIVATE, format!("{}\n", self.run).as_bytes())?)
    }

    /// A kubelet that was started is in nobody's way.
    fn undo(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(host.alter(Alteration::RemoveFile { path: &mark() })?)
    }
}

/// After which restore kubelet was started.
pub(crate) fn mark() -> String {
    format!("{NODE_FOLDER}/kubelet-registered")
}
