//! Certificates that an authority outside has signed, laid down with the keys that wait for them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::StepError;
use crate::host::Host;
use crate::step::{Act, Probe};

/// Lays down certificates that an authority outside has signed, each with the key that waits for it on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CertificatesSigned {
    /// The node's name in the cluster.
    pub node: String,
    /// The authorities, PEM, by the file in which kubeadm keeps each. They are laid down first, and never over another one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub authorities: BTreeMap<String, String>,
    /// The certificates, PEM, by the path of what shows them.
    pub certificates: BTreeMap<String, String>,
}

impl fmt::Display for CertificatesSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.certificates.len();
        write!(f, "lay down {number} certificate{} signed outside", if number == 1 { "" } else { "s" })
    }
}

impl Act for CertificatesSigned {
    fn probe(&self, _: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        Ok(Probe::unknown("what was signed is not looked at"))
    }

    fn apply(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Err(StepError::Unknown { because: "what was signed is not looked at".to_owned() })
    }

    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(())
    }
}
