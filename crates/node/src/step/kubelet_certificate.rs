//! A certificate for a kubelet whose own has ended, or is to be issued by another authority: by itself it never gets another one at that time.
//!
//! A control plane host issues it with the cluster's authority, so that no API server has to be up for it; from then on kubelet renews it by
//! itself again. Where the authority is kept outside, it was requested on the host and signed there: kubelet never renews such a one.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

use super::requests::{Signed, kubelet_shows};
use super::{Act, Probe};
use crate::certificates::Facts;
use crate::context::Context;
use crate::error::StepError;
use crate::host::{Command, Host};
use crate::kubernetes_certificates::{KUBELET_CLIENT, authority_of, read, read_all};

/// The name of the secret: certificate and key, PEM.
const SECRET: &str = "${secret:kubelet-certificate}";
const RESTARTS: Duration = Duration::from_secs(180);

/// Gives kubelet a certificate by which the API server knows it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KubeletCertificate {
    /// The node's name in the cluster.
    pub node: String,
    /// The digest of the authority that must not have issued it: another one takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Digest>,
    /// The certificate, PEM, where an authority outside has signed it: its key waits on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<String>,
}

impl fmt::Display for KubeletCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "give kubelet a new certificate as {}, and start it anew", self.name())
    }
}

impl Act for KubeletCertificate {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        if let Some(signed) = self.signed()? {
            return Ok(signed.unfinished(host)?.map_or(Probe::Done, Probe::not_done));
        }
        let Some(facts) = read(host, KUBELET_CLIENT)? else {
            return Ok(Probe::not_done(format!("{KUBELET_CLIENT} is not there")));
        };
        Ok(self.problem(host, &facts)?.map_or(Probe::Done, Probe::not_done))
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        if let Some(signed) = self.signed()? {
            if signed.missing(host)?.is_some() {
                signed.lay_down(host)?;
            }
            start_anew(host)?;
            // Its key waits until kubelet has it: what is cut off before is done again.
            return Ok(signed.settle(host)?);
        }
        let pem = context.reveal(SECRET)?;
        let facts = Facts::of(&pem).map_err(|error| StepError::Invalid { problem: error.to_string() })?;
        if let Some(problem) = self.problem(host, &facts)? {
            return Err(StepError::Invalid { problem: format!("what was issued is of no use: {problem}") });
        }
        kubelet_shows(host, &pem)?;
        start_anew(host)
    }

    /// The one before has ended: nobody is helped by it.
    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(())
    }
}

fn start_anew(host: &dyn Host) -> Result<(), StepError> {
    Ok(Command::new("systemctl", ["restart", "kubelet.service"]).timeout(RESTARTS).must(host).map(drop)?)
}

impl KubeletCertificate {
    /// What an authority outside has signed, where one has.
    fn signed(&self) -> Result<Option<Signed>, StepError> {
        self.signed.as_ref().map(|text| Signed::of(KUBELET_CLIENT, text, &self.node)).transpose()
    }

    fn name(&self) -> String {
        format!("system:node:{}", self.node)
    }

    fn problem(&self, host: &dyn Host, facts: &Facts) -> Result<Option<String>, StepError> {
        if facts.name != self.name() {
            return Ok(Some(format!("the certificate is {}'s", facts.name)));
        }
        if facts.not_after <= Timestamp::now() {
            return Ok(Some(format!("it has ended at {}", facts.not_after)));
        }
        let Some(replaced) = &self.replaced else { return Ok(None) };
        let believed = read_all(host, authority_of(KUBELET_CLIENT).certificate)?;
        let others = believed.iter().filter(|one| one.digest() != *replaced);
        let is_new = others.into_iter().any(|authority| facts.is_issued_by(authority));
        Ok((!is_new).then(|| "it is not issued by the new authority".to_owned()))
    }
}
