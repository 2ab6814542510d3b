//! Keys made on a host, and requests for certificates to them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::StepError;
use crate::host::Host;
use crate::requests::expected;
use crate::step::{Act, Probe};

/// Makes keys and requests for what this node shows, with kubeadm, where they wait for certificates. What is in use stays what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CertificatesRequested {
    /// The node's name in the cluster.
    pub node: String,
    /// Whether it is a control plane: a worker asks for its kubelet's certificate alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub control_plane: bool,
    /// Whether a member of etcd runs on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub etcd: bool,
    /// Whether the cluster begins on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub super_admin: bool,
    /// kubeadm's configuration (v1beta4), as for `kubeadm init` on this host: names and kinds of keys come from it.
    pub config: String,
    /// The serials that are to be replaced, by path, as the plan saw them; none on a bare host. Keys that were made for others are made anew.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub serials: BTreeMap<String, String>,
}

impl fmt::Display for CertificatesRequested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = expected(self.control_plane, self.etcd, self.super_admin).len();
        let noun = if number == 1 { "key, and a request" } else { "keys, and requests" };
        write!(f, "make {number} {noun} for certificates")
    }
}

impl Act for CertificatesRequested {
    fn probe(&self, _: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        Ok(Probe::unknown("the requests are not looked at"))
    }

    fn apply(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Err(StepError::Unknown { because: "the requests are not looked at".to_owned() })
    }

    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(())
    }
}
