//! A node that empties itself: where no administrator of the cluster speaks, kubelet's own credentials may evict what runs on the node,
//! pod by pod, as `kubectl drain` does (Kubernetes API `policy/v1`, Eviction): PodDisruptionBudgets hold.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::drained::{Drained, stays};
use crate::context::Context;
use crate::error::StepError;
use crate::host::Host;
use crate::step::kubectl_here::kubectl_here;
use crate::wait;

/// As [`stays`] takes a pod, and behind that what it is called, which one it is, and its `emptyDir` volumes.
const PODS: &str = concat!(
    r#"jsonpath={range .items[*]}{.metadata.ownerReferences[?(@.controller==true)].kind}{"\t"}"#,
    r#"{.metadata.annotations.kubernetes\.io/config\.mirror}{"\t"}{.status.phase}{"\t"}"#,
    r#"{range .spec.tolerations[*]}{.key}={.operator},{end}{"\t"}"#,
    r#"{.metadata.namespace}{"\t"}{.metadata.name}{"\t"}{.metadata.uid}{"\t"}"#,
    r#"{range .spec.volumes[?(@.emptyDir)]}{.name},{end}{"\n"}{end}"#
);
const BETWEEN: Duration = Duration::from_secs(2);

/// A pod that is to leave.
struct Leaving {
    namespace: String,
    name: String,
    uid: String,
}

/// Evicts all that does not belong to the node, and waits until it is gone.
pub(super) fn evict_all(drained: &Drained, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
    kubectl_here(host, ["cordon", &drained.node])?.must(host)?;
    let (timeout, mut told) = (Duration::from_secs(drained.timeout_seconds.into()), String::new());
    let mut ending = BTreeSet::new();
    let gone = wait::until(timeout, BETWEEN, || {
        let mut left = Vec::new();
        for pod in leaving(drained, host)? {
            let kept = if ending.contains(&pod.uid) { None } else { evict(&pod, host)? };
            if kept.is_none() {
                ending.insert(pod.uid.clone());
            }
            let why = kept.unwrap_or_else(|| "it is ending".to_owned());
            left.push(format!("{}/{}: {why}", pod.namespace, pod.name));
        }
        let state = left.join("; ");
        if !state.is_empty() && state != told {
            (context.progress)(&state);
            told = state;
        }
        Ok::<_, StepError>(left.is_empty().then_some(()))
    })?;
    let what = format!("node {} is not empty", drained.node);
    gone.ok_or_else(|| StepError::Late { what, seconds: timeout.as_secs(), state: told })
}

/// What is to leave; nothing is evicted where something would be lost by it that may not be.
fn leaving(drained: &Drained, host: &dyn Host) -> Result<Vec<Leaving>, StepError> {
    let selector = format!("--field-selector=spec.nodeName={}", drained.node);
    let pods = kubectl_here(host, ["get", "pods", "--all-namespaces", &selector, "-o", PODS])?.must(host)?;
    let (mut leaving, mut held) = (Vec::new(), Vec::new());
    for pod in pods.lines().filter(|pod| !stays(pod)) {
        let mut fields = pod.split('\t');
        let [owner, _, phase, _, namespace, name, uid, volumes] = [(); 8].map(|()| fields.next().unwrap_or_default());
        let is_over = ["Succeeded", "Failed"].contains(&phase);
        let volumes = volumes.trim_end_matches(',');
        if !is_over && owner.is_empty() && !drained.force {
            held.push(format!("{namespace}/{name}: nothing starts it anew"));
        }
        if !is_over && !volumes.is_empty() && !drained.delete_emptydir_data {
            held.push(format!("{namespace}/{name}: what is in its emptyDir {volumes} goes with it"));
        }
        leaving.push(Leaving { namespace: namespace.to_owned(), name: name.to_owned(), uid: uid.to_owned() });
    }
    if held.is_empty() { Ok(leaving) } else { Err(StepError::Held { node: drained.node.clone(), pods: held }) }
}

/// Asks for the eviction of this very pod; what keeps it, where something does.
fn evict(pod: &Leaving, host: &dyn Host) -> Result<Option<String>, StepError> {
    let Leaving { namespace, name, uid } = pod;
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"namespace": namespace, "name": name},
        "deleteOptions": {"preconditions": {"uid": uid}},
    });
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction");
    let command = kubectl_here(host, ["create", "--raw", &path, "--filename", "-"])?.stdin(eviction.to_string());
    let output = host.run(&command)?;
    if output.status == 0 {
        return Ok(None);
    }
    let said = output.complaint();
    match said {
        // The precondition: a later pod of this name is another one.
        said if said.contains("(NotFound)") || said.contains("(Conflict)") => Ok(None),
        said if said.contains("(TooManyRequests)") => {
            Ok(Some(said.split_once("): ").map_or(said.clone(), |(_, sentence)| sentence.to_owned())))
        }
        said => Ok(Some(said)),
    }
}
