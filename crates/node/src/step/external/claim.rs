//! An etcd that is elsewhere, taken for one cluster before its first API server writes there.

use std::fmt;
use std::time::Duration;

use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

use crate::changes::NODE_FOLDER;
use crate::context::Context;
use crate::error::StepError;
use crate::facts;
use crate::host::{self, Alteration, Command, Host, HostError};
use crate::step::{Act, Mode, Probe};

/// What was claimed from here.
pub(in crate::step) const MARK: &str = "/var/lib/sealock/node/etcd-claim";
const TAKES: Duration = Duration::from_secs(120);
/// The exit code of a refusal (DESIGN §4).
const REFUSED: i32 = 3;

/// Takes an etcd that is elsewhere for this cluster, by a mark in it that nobody else's cluster gets: refused where a cluster is in it
/// already. Runs on the control plane host that the cluster begins on, when its authority is there and its API server is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EtcdClaim {
    /// Absolute path of Sealock on this host.
    pub program: String,
    /// The cluster's name.
    pub cluster: String,
    /// Where etcd answers.
    pub endpoints: Vec<String>,
}

impl fmt::Display for EtcdClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "claim the external etcd at {} for cluster {}", self.endpoints.join(", "), self.cluster)
    }
}

impl Act for EtcdClaim {
    /// By what was written down here: whose it is now, the station asks etcd itself before each plan.
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        let Some(wanted) = self.mark(host)? else {
            return Ok(Probe::not_done("the cluster has no authority yet"));
        };
        let is_claimed = host::read_text(host, MARK)?.is_some_and(|mark| mark.trim() == wanted);
        Ok(if is_claimed { Probe::Done } else { Probe::not_done("it is not claimed from here") })
    }

    fn apply(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        let because = || "the cluster has no authority yet, by which its etcd would know it".to_owned();
        let mark = self.mark(host)?.ok_or_else(|| StepError::NotHeld { because: because() })?;
        let endpoints = self.endpoints.iter().flat_map(|endpoint| ["--endpoint", endpoint]);
        let arguments = ["node", "etcd-claim", "--cluster", &self.cluster].into_iter().chain(endpoints);
        let command = Command::new(&self.program, arguments).timeout(TAKES);
        let output = host.run(&command)?;
        match output.status {
            0 => {}
            REFUSED => return Err(StepError::Foreign { found: output.complaint() }),
            status => {
                let (line, detail) = (command.line(), output.complaint());
                return Err(HostError::Command { line, status, detail }.into());
            }
        }
        host.alter(Alteration::MakeDirectory { path: NODE_FOLDER, mode: Mode::new(0o700) })?;
        Ok(host::write(host, MARK, Mode::FILE, mark.as_bytes())?)
    }

    /// What is in etcd is the cluster's, and stays.
    fn undo(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(host.alter(Alteration::RemoveFile { path: MARK })?)
    }
}

impl EtcdClaim {
    /// What stands here once it is claimed; nothing before the cluster has an authority.
    fn mark(&self, host: &dyn Host) -> Result<Option<String>, StepError> {
        let Some(authority) = facts::ca_hash(host)? else { return Ok(None) };
        let what = format!("{}\n{authority}\n{}", self.cluster, self.endpoints.join("\n"));
        Ok(Some(Digest::sha256(what.as_bytes()).to_string()))
    }
}
