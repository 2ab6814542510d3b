//! A workload of the cluster whose new image runs everywhere; runs on a control plane host.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::context::Context;
use crate::error::StepError;
use crate::host::Host;
use crate::step::node_ready::{ask, settle};
use crate::step::{Act, Probe};

/// What runs pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// One on each node.
    DaemonSet,
    /// As many as it says.
    Deployment,
    /// As many as it says, each with a name of its own.
    StatefulSet,
}

impl Workload {
    /// As kubectl takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DaemonSet => "daemonset",
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
        }
    }
}

/// Waits until all pods of a workload in `kube-system` run an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RolledOut {
    /// What it is.
    pub workload: Workload,
    /// Its name.
    pub name: String,
    /// The image, like `registry.k8s.io/kube-proxy:v1.37.2`.
    pub image: String,
    /// How long to wait.
    pub timeout_seconds: u32,
}

impl fmt::Display for RolledOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wait until {} runs {} (at most {} s)", self.name, self.image, self.timeout_seconds)
    }
}

impl Act for RolledOut {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        let Some(object) = ask(host, &["get", self.workload.as_str(), &self.name, "-n", "kube-system"])? else {
            return Ok(Probe::not_done(format!("{} does not show", self.name)));
        };
        Ok(self.unfinished(&object).map_or(Probe::Done, Probe::not_done))
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        let timeout = Duration::from_secs(self.timeout_seconds.into());
        settle(timeout, context, &format!("{} has not been rolled out", self.name), || self.probe(host, context))
    }

    /// Waiting changes nothing.
    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(())
    }
}

impl RolledOut {
    fn unfinished(&self, object: &Value) -> Option<String> {
        let name = &self.name;
        if object["spec"]["template"]["spec"]["containers"][0]["image"] != self.image.as_str() {
            return Some(format!("{name} does not say {} yet", self.image));
        }
        unfinished(self.workload, name, object)
    }
}

/// Why the roll-out of the workload `object`, called `name`, is not at its end, by the rules of `kubectl rollout status`.
pub(crate) fn unfinished(workload: Workload, name: &str, object: &Value) -> Option<String> {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let status = &object["status"];
    if number(&status["observedGeneration"]) < number(&object["metadata"]["generation"]) {
        return Some(format!("{name} has been changed just now"));
    }
    let (wanted, updated, ready) = match workload {
        Workload::DaemonSet => {
            (&status["desiredNumberScheduled"], &status["updatedNumberScheduled"], &status["numberAvailable"])
        }
        // Old pods that still run count among `replicas`.
        Workload::Deployment | Workload::StatefulSet => {
            (&status["replicas"], &status["updatedReplicas"], &status["availableReplicas"])
        }
    };
    let (wanted, updated, ready) = (number(wanted), number(updated), number(ready));
    let is_there = wanted > 0 && updated >= wanted && ready >= wanted;
    (!is_there).then(|| format!("of {wanted} pods of {name} {updated} are new and {ready} are ready"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_roll_out_ends_when_every_pod_is_new_and_ready() {
        let image = "registry.k8s.io/kube-proxy:v1.37.2".to_owned();
        let name = "kube-proxy".to_owned();
        let step = RolledOut { workload: Workload::DaemonSet, name, image: image.clone(), timeout_seconds: 1 };
        let object = |image: &str, observed: u32, updated: u32, ready: u32| {
            json!({
                "metadata": {"generation": 2}, "spec": {"template": {"spec": {"containers": [{"image": image}]}}},
                "status": {"observedGeneration": observed, "desiredNumberScheduled": 2, "updatedNumberScheduled": updated,
                    "numberAvailable": ready},
            })
        };
        assert_eq!(step.unfinished(&object(&image, 2, 2, 2)), None);
        let why = |object: &Value| step.unfinished(object).unwrap();
        assert!(why(&object("registry.k8s.io/kube-proxy:v1.36.3", 2, 2, 2)).contains("does not say"));
        assert!(why(&object(&image, 1, 2, 2)).contains("just now"));
        assert_eq!(why(&object(&image, 2, 1, 2)), "of 2 pods of kube-proxy 1 are new and 2 are ready");
        assert!(step.unfinished(&json!({})).is_some() && step.unfinished(&json!(7)).is_some());
    }
}
