//! Waits until a node is Ready.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::kubectl_here::kubectl_here;
use super::{Act, NodeReady, Probe};
use crate::context::Context;
use crate::error::StepError;
use crate::external_etcd::is_external;
use crate::host::{Host, HostError};
use crate::wait;

/// How long a node that was upgraded is to be Ready without a break.
const STEADY: Duration = Duration::from_secs(10);
const LATELY: SignedDuration = SignedDuration::from_mins(3);
/// What kubeadm labels the static pods of a control plane with.
const CONTROL_PLANE: &[&str] = &["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

impl Act for NodeReady {
    /// Whether it lasts, and whether it was said since, is known to nobody who has not waited.
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        match self.look(host, is_of_now)? {
            Probe::Done if self.is_said_anew() => {
                Ok(Probe::not_done(format!("has kubelet on {} said so since?", self.node)))
            }
            probe => Ok(probe),
        }
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        let timeout = Duration::from_secs(self.timeout_seconds.into());
        let late = format!("node {} is not Ready", self.node);
        let mut first = None;
        let mut reports = |renewed| {
            let since = *first.get_or_insert(renewed) != renewed;
            since || (!self.is_said_anew() && is_of_now(renewed))
        };
        let mut look = || self.look(host, &mut reports);
        if !self.is_to_last() {
            return settle(timeout, context, &late, look);
        }
        let mut since: Option<Instant> = None;
        settle(timeout, context, &late, || {
            let probe = look()?;
            let begun = *since.get_or_insert_with(Instant::now);
            match probe {
                Probe::Done if begun.elapsed() >= STEADY => Ok(Probe::Done),
                Probe::Done => Ok(Probe::not_done(format!("node {} is Ready; is it so for {STEADY:?}?", self.node))),
                other => {
                    since = None;
                    Ok(other)
                }
            }
        })
    }

    /// That it reports was seen while it was waited for.
    fn verify(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        self.look(host, |_| true)
    }

    /// Waiting changes nothing.
    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(())
    }
}

impl NodeReady {
    /// Whether it has to be so for a while. A kubelet that was started anew starts the pods of its control plane anew, too.
    fn is_to_last(&self) -> bool {
        self.version.is_some() && (self.control_plane || self.lately)
    }

    /// Whether the node has to report after the wait began. Where its own API server was away, what lies there of it is of before that, as
    /// recent as it may look.
    fn is_said_anew(&self) -> bool {
        self.lately && self.version.is_some()
    }

    /// `reports` is told when the node's lease was renewed last, where it is asked whether the node reports.
    fn look(&self, host: &dyn Host, reports: impl FnOnce(Timestamp) -> bool) -> Result<Probe, StepError> {
        let Some(node) = ask(host, &["get", "node", &self.node])? else {
            // Looked at before anything was installed, or before it has joined.
            return Ok(Probe::not_done(format!("there is no node {}", self.node)));
        };
        if let Some(because) = self.unfit(&node) {
            return Ok(Probe::not_done(because));
        }
        if self.lately && !renewed(host, &self.node)?.is_some_and(reports) {
            return Ok(Probe::not_done(format!("kubelet on {} has not reported since", self.node)));
        }
        if !self.control_plane {
            return Ok(Probe::Done);
        }
        let selector = format!("--field-selector=spec.nodeName={}", self.node);
        let pods = ask(host, &["get", "pods", "-n", "kube-system", "-l", "tier=control-plane", &selector])?;
        let pods = pods.as_ref().and_then(|pods| pods["items"].as_array()).map(Vec::as_slice).unwrap_or_default();
        let pods: Vec<&Value> = pods.iter().filter(|pod| is_of(pod, &node)).collect();
        let reported = |component: &&&str| pods.iter().any(|pod| pod["metadata"]["labels"]["component"] == **component);
        // What is elsewhere is no pod of the node's. All control planes of a cluster have it in one place, this one, too.
        let components = if is_external(host)? { &CONTROL_PLANE[1..] } else { CONTROL_PLANE };
        if let Some(missing) = components.iter().find(|component| !reported(component)) {
            return Ok(Probe::not_done(format!("{missing} on {} has not reported yet", self.node)));
        }
        let because = pods.iter().find_map(|pod| unready(pod, pod["metadata"]["name"].as_str().unwrap_or_default()));
        Ok(because.map_or(Probe::Done, Probe::not_done))
    }

    /// Why the node itself is not what it is to be.
    fn unfit(&self, node: &Value) -> Option<String> {
        let unready = unready(node, &format!("node {}", self.node));
        unready.or_else(|| self.other_version(node)).or_else(|| self.other_containerd(node))
    }

    fn other_version(&self, node: &Value) -> Option<String> {
        let wanted = self.version.as_ref()?;
        let found = node["status"]["nodeInfo"]["kubeletVersion"].as_str().unwrap_or_default();
        (found != wanted).then(|| format!("kubelet on {} is {found}", self.node))
    }

    /// kubelet says what answered it last, as `containerd://2.4.2`.
    fn other_containerd(&self, node: &Value) -> Option<String> {
        let wanted = number(self.containerd.as_ref()?);
        let found = node["status"]["nodeInfo"]["containerRuntimeVersion"].as_str().unwrap_or_default();
        let speaks = found.strip_prefix("containerd://").is_some_and(|found| number(found) == wanted);
        (!speaks).then(|| format!("kubelet on {} speaks to {found}, and not to containerd {wanted} yet", self.node))
    }
}

/// A version without what builders put around it: kubelet takes the `v` away, and builds may add theirs behind a `+`.
fn number(version: &str) -> &str {
    version.trim_start_matches('v').split('+').next().unwrap_or_default()
}

/// Whether kubelet told of `pod` as this `node`. What a node left that had the same name, and is out of the cluster, stays in the API for a while.
fn is_of(pod: &Value, node: &Value) -> bool {
    let owners = pod["metadata"]["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default();
    owners.iter().any(|owner| owner["kind"] == "Node" && owner["uid"] == node["metadata"]["uid"])
}

/// When the node's lease was renewed last, by the clock of its kubelet.
fn renewed(host: &dyn Host, node: &str) -> Result<Option<Timestamp>, StepError> {
    let lease = ask(host, &["get", "lease", "-n", "kube-node-lease", node])?;
    let renewed = lease.as_ref().and_then(|lease| lease["spec"]["renewTime"].as_str());
    Ok(renewed.and_then(|at| at.parse().ok()))
}

/// Whether that is as good as now: kubelet renews every ten seconds, and clocks may be off by a little. What lies ahead by more was renewed
/// before a clock was set back, nobody knows when.
fn is_of_now(renewed: Timestamp) -> bool {
    Timestamp::now().duration_since(renewed).abs() < LATELY
}

/// Looks every second until `probe` says that it is done; tells what is missing, whenever that changes.
pub(super) fn settle(
    timeout: Duration,
    context: &Context<'_>,
    late: &str,
    mut probe: impl FnMut() -> Result<Probe, StepError>,
) -> Result<(), StepError> {
    let mut last = String::new();
    let done = wait::until(timeout, Duration::from_secs(1), || {
        let probe = probe()?;
        if let Probe::NotDone { because } = &probe
            && *because != last
        {
            (context.progress)(because);
            last.clone_from(because);
        }
        Ok::<_, StepError>(probe.is_done().then_some(()))
    })?;
    done.ok_or_else(|| StepError::Late { what: late.to_owned(), seconds: timeout.as_secs(), state: last })
}

/// What kubectl answers, where it does.
pub(super) fn ask(host: &dyn Host, arguments: &[&str]) -> Result<Option<Value>, StepError> {
    match host.run(&kubectl_here(host, arguments.iter().copied().chain(["-o", "json"]))?) {
        Err(HostError::NoProgram { .. }) => Ok(None),
        Ok(output) if output.status != 0 => Ok(None),
        output => serde_json::from_str(&output?.stdout)
            .map(Some)
            .map_err(|_| StepError::Unknown { because: "kubectl did not answer in JSON".to_owned() }),
    }
}

/// Why `object`, called `name`, is not Ready, where it is not.
fn unready(object: &Value, name: &str) -> Option<String> {
    let conditions = object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    match conditions.iter().find(|condition| condition["type"] == "Ready") {
        Some(ready) if ready["status"] == "True" => None,
        Some(ready) => {
            let message = ready["message"].as_str().unwrap_or("it gives no reason");
            Some(format!("{name} is not Ready: {message}"))
        }
        None => Some(format!("{name} has not reported yet")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_runtime_is_there_when_kubelet_names_it() {
        let ready = |containerd: Option<&str>| NodeReady {
            node: "w1".into(),
            control_plane: false,
            version: None,
            containerd: containerd.map(Into::into),
            lately: false,
            timeout_seconds: 1,
        };
        let node = |runtime: &str| {
            let conditions = json!([{"type": "Ready", "status": "True"}]);
            json!({"status": {"conditions": conditions, "nodeInfo": {"containerRuntimeVersion": runtime}}})
        };
        let why = |runtime: &str| ready(Some("v2.4.2")).unfit(&node(runtime));
        assert_eq!(why("containerd://2.4.2"), None);
        assert_eq!(why("containerd://v2.4.2+vendor1"), None);
        assert_eq!(
            why("containerd://2.4.1").unwrap(),
            "kubelet on w1 speaks to containerd://2.4.1, and not to containerd 2.4.2 yet"
        );
        assert!(why("").is_some() && why("containerd://2.4.20").is_some());
        assert_eq!(ready(None).unfit(&node("containerd://2.4.1")), None);
        assert!(ready(None).unfit(&json!({})).unwrap().contains("has not reported"));
    }
}
