//! Pods of a workload started anew, so that they read what they read at their start alone; runs on a control plane host.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::kubeadm::kubectl;
use super::node_ready::{ask, settle};
use super::upgrade::unfinished;
use super::{Act, Probe, Workload};
use crate::context::Context;
use crate::error::StepError;
use crate::host::Host;

/// Pods get it with the workload's own template, so that it is seen which of them are new.
const ANNOTATION: &str = "sealock/restarted-for";

/// Starts the pods of a workload anew, as its own strategy does it, and waits for that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Restarted {
    /// What it is.
    pub workload: Workload,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What for: once for each.
    pub because: String,
    /// How long to wait.
    pub timeout_seconds: u32,
}

impl fmt::Display for Restarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workload, namespace, name, timeout_seconds, .. } = self;
        write!(f, "start the pods of {} {namespace}/{name} anew (at most {timeout_seconds} s)", workload.as_str())
    }
}

impl Act for Restarted {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        let Some(object) = ask(host, &["get", self.workload.as_str(), &self.name, "-n", &self.namespace])? else {
            return Ok(Probe::not_done(format!("{} does not show", self.name)));
        };
        Ok(self.missing(&object).map_or(Probe::Done, Probe::not_done))
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        let annotations = json!({ANNOTATION: self.because});
        let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}}).to_string();
        let kind = self.workload.as_str();
        kubectl(["patch", kind, &self.name, "-n", &self.namespace, "--type", "merge", "--patch", &patch]).must(host)?;
        let timeout = Duration::from_secs(self.timeout_seconds.into());
        settle(timeout, context, &format!("{} has not been started anew", self.name), || self.probe(host, context))
    }

    /// Pods that are new stay.
    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(())
    }
}

impl Restarted {
    fn missing(&self, object: &Value) -> Option<String> {
        if object["spec"]["template"]["metadata"]["annotations"][ANNOTATION] != self.because.as_str() {
            return Some(format!("{} has not been started anew", self.name));
        }
        unfinished(self.workload, &self.name, object)
    }
}
