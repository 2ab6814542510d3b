//! A certificate for a kubelet whose own has ended: by itself it never gets another one, for it has nothing left to show.
//!
//! A control plane host issues it with the cluster's authority, so that no API server has to be up for it. From then on kubelet renews
//! it by itself again.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Act, Mode, Probe};
use crate::certificates::Facts;
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Alteration, Command, Host};
use crate::kubernetes_certificates::{KUBELET_CLIENT, read};

const FOLDER: &str = "/var/lib/kubelet/pki";
/// The name of the secret: certificate and key, PEM.
const SECRET: &str = "${secret:kubelet-certificate}";
const RESTARTS: Duration = Duration::from_secs(180);

/// Gives kubelet a certificate by which the API server knows it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KubeletCertificate {
    /// The node's name in the cluster.
    pub node: String,
}

impl fmt::Display for KubeletCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "give kubelet a new certificate as {}, and start it anew", self.name())
    }
}

impl Act for KubeletCertificate {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        let Some(facts) = read(host, KUBELET_CLIENT)? else {
            return Ok(Probe::not_done(format!("{KUBELET_CLIENT} is not there")));
        };
        Ok(self.problem(&facts).map_or(Probe::Done, Probe::not_done))
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        let pem = context.reveal(SECRET)?;
        let facts = Facts::of(&pem).map_err(|error| StepError::Invalid { problem: error.to_string() })?;
        if let Some(problem) = self.problem(&facts) {
            return Err(StepError::Invalid { problem: format!("what was issued is of no use: {problem}") });
        }
        // As kubelet itself keeps them: a file for each, and a link to the one in use.
        let file = format!("{FOLDER}/kubelet-client-{}.pem", Timestamp::now().strftime("%Y-%m-%d-%H-%M-%S"));
        host::write(host, &file, Mode::PRIVATE, pem.as_bytes())?;
        host.alter(Alteration::Link { path: KUBELET_CLIENT, target: &file })?;
        Command::new("systemctl", ["restart", "kubelet.service"]).timeout(RESTARTS).must(host)?;
        Ok(())
    }

    /// The one before has ended: nobody is helped by it.
    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(())
    }
}

impl KubeletCertificate {
    fn name(&self) -> String {
        format!("system:node:{}", self.node)
    }

    fn problem(&self, facts: &Facts) -> Option<String> {
        if facts.name != self.name() {
            return Some(format!("the certificate is {}'s", facts.name));
        }
        (facts.not_after <= Timestamp::now()).then(|| format!("it has ended at {}", facts.not_after))
    }
}
