//! Pods of a workload started anew, so that they read what they read at their start alone; runs on a control plane host.

use std::fmt;
use std::time::Duration;

use sealock_trust::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::kubeadm::kubectl;
use super::node_ready::settle;
use super::upgrade::unfinished;
use super::{Act, Probe, Workload};
use crate::certificates::Facts;
use crate::context::Context;
use crate::error::StepError;
use crate::host::{Host, HostError};
use crate::kubernetes_certificates::{AUTHORITIES, read_all};

/// Pods get it with the workload's own template, so that it is seen which of them are new.
const ANNOTATION: &str = "sealock/restarted-for";

/// Starts the pods of a workload anew, as its own strategy does it, and waits for that: once for each set of authorities that this host
/// believes. What its strategy does not start anew, or what is not there any more, is passed by with a word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Restarted {
    /// What it is.
    pub workload: Workload,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What for: once for each, beside the authorities.
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
    fn probe(&self, host: &dyn Host, context: &Context<'_>) -> Result<Probe, StepError> {
        Ok(match self.found(host)? {
            Found::Nothing(because) => Probe::not_done(because),
            Found::Gone => self.pass_by("it is not there any more", context),
            Found::Object(object) => match held_back(self.workload, &object) {
                Some(because) => self.pass_by(because, context),
                None if runs_nothing(self.workload, &object) => Probe::Done,
                None => self.missing(&object, &self.mark(host)?).map_or(Probe::Done, Probe::not_done),
            },
        })
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        let annotations = json!({ANNOTATION: self.mark(host)?});
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

/// What the API server says of the workload.
enum Found {
    /// Nothing, and why.
    Nothing(String),
    /// That there is none.
    Gone,
    /// What it is.
    Object(Value),
}

impl Restarted {
    fn found(&self, host: &dyn Host) -> Result<Found, StepError> {
        let asked =
            ["get", self.workload.as_str(), &self.name, "-n", &self.namespace, "--ignore-not-found", "-o", "json"];
        let output = match host.run(&kubectl(asked)) {
            Err(HostError::NoProgram { program }) => return Ok(Found::Nothing(format!("there is no {program}"))),
            output => output?,
        };
        if output.status != 0 {
            return Ok(Found::Nothing(format!("{} does not show: {}", self.name, output.complaint())));
        }
        if output.stdout.trim().is_empty() {
            return Ok(Found::Gone);
        }
        let object = serde_json::from_str(&output.stdout);
        object
            .map(Found::Object)
            .map_err(|_| StepError::Unknown { because: "kubectl did not answer in JSON".to_owned() })
    }

    /// What its pods get: another one wherever the host believes other authorities, in whatever order they stand.
    fn mark(&self, host: &dyn Host) -> Result<String, StepError> {
        let [kubernetes, ..] = AUTHORITIES;
        let mut held: Vec<String> =
            read_all(host, kubernetes.certificate)?.iter().map(|one| Facts::digest(one).to_string()).collect();
        held.sort();
        Ok(format!("{}-{}", self.because, &Digest::sha256(held.join(" ").as_bytes()).hex()[..12]))
    }

    fn pass_by(&self, because: &str, context: &Context<'_>) -> Probe {
        let Self { workload, namespace, name, .. } = self;
        (context.progress)(&format!("{} {namespace}/{name} is passed by: {because}", workload.as_str()));
        Probe::Done
    }

    fn missing(&self, object: &Value, mark: &str) -> Option<String> {
        if object["spec"]["template"]["metadata"]["annotations"][ANNOTATION] != mark {
            return Some(format!("{} has not been started anew", self.name));
        }
        unfinished(self.workload, &self.name, object)
    }
}

/// Why a workload does not start its pods anew where its template changes, where it does not: that was somebody's choice.
pub fn held_back(workload: Workload, object: &Value) -> Option<&'static str> {
    let strategy = &object["spec"]["updateStrategy"];
    match workload {
        Workload::Deployment => (object["spec"]["paused"] == true).then_some("it is paused"),
        _ if strategy["type"] == "OnDelete" => Some("its pods are replaced when somebody deletes them (`OnDelete`)"),
        Workload::StatefulSet if strategy["rollingUpdate"]["partition"].as_u64().unwrap_or_default() > 0 => {
            Some("a partition keeps pods of it as they are")
        }
        Workload::DaemonSet | Workload::StatefulSet => None,
    }
}

/// Whether it is to run no pods: those that come later read what is there then.
fn runs_nothing(workload: Workload, object: &Value) -> bool {
    match workload {
        Workload::Deployment | Workload::StatefulSet => object["spec"]["replicas"] == 0,
        Workload::DaemonSet => {
            let status = &object["status"];
            status["observedGeneration"] == object["metadata"]["generation"] && status["desiredNumberScheduled"] == 0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_start_its_pods_anew_is_known_by_its_strategy() {
        let held = |workload, spec: Value| held_back(workload, &json!({"spec": spec}));
        for workload in [Workload::Deployment, Workload::DaemonSet, Workload::StatefulSet] {
            assert_eq!(held(workload, json!({"updateStrategy": {"type": "RollingUpdate"}, "paused": false})), None);
            assert_eq!(held(workload, json!({})), None);
        }
        assert!(held(Workload::Deployment, json!({"paused": true})).is_some());
        for workload in [Workload::DaemonSet, Workload::StatefulSet] {
            assert!(held(workload, json!({"updateStrategy": {"type": "OnDelete"}})).unwrap().contains("OnDelete"));
        }
        let partition = |at: u64| json!({"updateStrategy": {"rollingUpdate": {"partition": at}}});
        assert!(held(Workload::StatefulSet, partition(1)).unwrap().contains("partition"));
        assert_eq!(held(Workload::StatefulSet, partition(0)), None);
    }

    #[test]
    fn what_runs_no_pods_has_none_to_start_anew() {
        let scaled = |replicas: u64| json!({"spec": {"replicas": replicas}, "status": {"replicas": 1}});
        for workload in [Workload::Deployment, Workload::StatefulSet] {
            assert!(runs_nothing(workload, &scaled(0)) && !runs_nothing(workload, &scaled(1)));
            assert!(!runs_nothing(workload, &json!({})), "one is what it says where it says nothing");
        }
        let set = |observed: u64, desired: u64| {
            let status = json!({"observedGeneration": observed, "desiredNumberScheduled": desired});
            json!({"metadata": {"generation": 2}, "status": status})
        };
        assert!(runs_nothing(Workload::DaemonSet, &set(2, 0)));
        assert!(!runs_nothing(Workload::DaemonSet, &set(1, 0)), "nobody has looked at what it says now");
        assert!(!runs_nothing(Workload::DaemonSet, &set(2, 3)));
    }
}
