//! Pods that read the authority of the API server, and since when they run.
//!
//! kubelet brings another authority into a pod that runs (the ConfigMap `kube-root-ca.crt`, projected); what reads it at its start alone goes
//! on with the one before.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use sealock_node::step::{Workload, held_back};
use serde_json::Value;

use super::api::Api;
use super::{NodeError, PodName};
use crate::apps::Target;
use crate::plan::Workloads;

const PUBLISHED: &str = "kube-root-ca.crt";
/// Within this time kubelet has brought it to a pod that ran before.
const ARRIVES: SignedDuration = SignedDuration::from_mins(2);
/// What can be told to start its pods anew, as an object calls it.
const WORKLOADS: [(Workload, &str); 3] =
    [(Workload::Deployment, "Deployment"), (Workload::DaemonSet, "DaemonSet"), (Workload::StatefulSet, "StatefulSet")];

/// A pod that runs since before the authority was published that its namespace is told of now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldReader {
    /// The pod.
    pub pod: PodName,
    /// What starts it anew; nothing where nothing does that can be told to.
    pub of: Option<Workloads>,
    /// What keeps its workload from doing so, where that is its strategy.
    pub held_back: Option<String>,
}

impl fmt::Display for OldReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pod.fmt(f)?;
        self.held_back.iter().try_for_each(|because| write!(f, " ({because})"))
    }
}

/// The pods of the cluster that may have read an authority from before.
///
/// # Errors
/// What kubectl says.
pub async fn old_readers(target: &Target<'_>) -> Result<Vec<OldReader>, NodeError> {
    let api = Api::open(target)?;
    let everywhere = ["--all-namespaces"];
    let selector = format!("metadata.name={PUBLISHED}");
    let maps = ["--all-namespaces", "--show-managed-fields", "--field-selector", &selector];
    let maps = api.list("configmaps", &maps).await?;
    let pods = api.list("pods", &everywhere).await?;
    let mut owners = Vec::new();
    for kinds in ["replicasets", "deployments", "daemonsets", "statefulsets"] {
        owners.extend(api.list(kinds, &everywhere).await?);
    }
    Ok(among(&pods, &maps, &owners))
}

/// Those of `pods` that have read what was before `maps`; `owners` are whatever may run pods.
fn among(pods: &[Value], maps: &[Value], owners: &[Value]) -> Vec<OldReader> {
    let published = maps.iter().filter_map(|map| Some((text(&map["metadata"]["namespace"]), changed(map)?)));
    let published: BTreeMap<&str, Timestamp> = published.collect();
    let is_old = |pod: &&Value| {
        let at = published.get(text(&pod["metadata"]["namespace"]));
        reads(pod) && at.is_some_and(|at| runs_since_before(pod, *at))
    };
    let reader = |pod: &Value| {
        let name = |field: &str| text(&pod["metadata"][field]).into();
        let of = workload_of(pod, owners);
        let held_back = of.as_ref().and_then(|of| why_held_back(of, owners));
        let of = of.filter(|_| held_back.is_none());
        OldReader { pod: PodName { namespace: name("namespace"), name: name("name") }, of, held_back }
    };
    pods.iter().filter(is_old).map(reader).collect()
}

/// When a map was last changed.
fn changed(map: &Value) -> Option<Timestamp> {
    let fields = map["metadata"]["managedFields"].as_array().map(Vec::as_slice).unwrap_or_default();
    fields.iter().filter_map(|field| time(&field["time"])).max()
}

fn reads(pod: &Value) -> bool {
    let volumes = pod["spec"]["volumes"].as_array().map(Vec::as_slice).unwrap_or_default();
    volumes.iter().any(|volume| {
        let sources = volume["projected"]["sources"].as_array().map(Vec::as_slice).unwrap_or_default();
        sources.iter().any(|source| source["configMap"]["name"] == PUBLISHED)
    })
}

fn runs_since_before(pod: &Value, at: Timestamp) -> bool {
    if time(&pod["metadata"]["creationTimestamp"]).is_none_or(|created| created >= at) {
        return false;
    }
    let containers = pod["status"]["containerStatuses"].as_array().map(Vec::as_slice).unwrap_or_default();
    let started = containers.iter().filter_map(|one| time(&one["state"]["running"]["startedAt"]));
    started.into_iter().any(|started| started < at + ARRIVES)
}

fn workload_of(pod: &Value, owners: &[Value]) -> Option<Workloads> {
    let namespace = text(&pod["metadata"]["namespace"]);
    let (kind, name) = match controller(pod)? {
        ("ReplicaSet", name) => controller(find(owners, ("ReplicaSet", namespace, name))?)?,
        controller => controller,
    };
    let (kind, _) = WORKLOADS.into_iter().find(|(_, called)| *called == kind)?;
    Some(Workloads { namespace: namespace.to_owned(), kind, name: name.to_owned() })
}

/// Why the workload starts no pods anew, where it does not, in words.
fn why_held_back(of: &Workloads, owners: &[Value]) -> Option<String> {
    let (_, kind) = WORKLOADS.into_iter().find(|(workload, _)| *workload == of.kind)?;
    let because = held_back(of.kind, find(owners, (kind, &of.namespace, &of.name))?)?;
    Some(format!("{kind} {}: {because}", of.name))
}

fn find<'a>(objects: &'a [Value], (kind, namespace, name): (&str, &str, &str)) -> Option<&'a Value> {
    let is_it = |object: &&Value| {
        let metadata = &object["metadata"];
        object["kind"] == kind && metadata["namespace"] == namespace && metadata["name"] == name
    };
    objects.iter().find(is_it)
}

fn controller(object: &Value) -> Option<(&str, &str)> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    let owner = owners.iter().find(|owner| owner["controller"] == true)?;
    Some((text(&owner["kind"]), text(&owner["name"])))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, created: &str, started: &str, owner: Option<(&str, &str)>) -> Value {
        let owners = owner.map(|(kind, name)| json!([{"kind": kind, "name": name, "controller": true}]));
        json!({
            "metadata": {"namespace": "shop", "name": name, "creationTimestamp": created, "ownerReferences": owners},
            "spec": {"volumes": [{"projected": {"sources": [{"configMap": {"name": PUBLISHED}}]}}]},
            "status": {"containerStatuses": [{"state": {"running": {"startedAt": started}}}]},
        })
    }

    #[test]
    fn whoever_runs_since_before_the_authority_was_published_is_named_with_what_starts_it_anew() {
        let map = json!({"metadata": {"namespace": "shop", "managedFields": [
            {"time": "2026-11-27T09:00:00Z"}, {"time": "2026-11-27T10:00:00Z"}]}});
        let set = json!({"kind": "ReplicaSet", "metadata": {"namespace": "shop", "name": "web-1",
            "ownerReferences": [{"kind": "Deployment", "name": "web", "controller": true}]}});
        let before = "2026-11-27T09:30:00Z";
        let mut blind = pod("blind", before, before, None);
        blind["spec"]["volumes"] = json!([]);
        let pods = [
            pod("web-1-a", before, before, Some(("ReplicaSet", "web-1"))),
            pod("db-0", before, "2026-11-27T10:01:00Z", Some(("StatefulSet", "db"))),
            pod("job", before, before, Some(("Job", "job"))),
            pod("new", "2026-11-27T10:00:00Z", "2026-11-27T10:00:01Z", None),
            pod("again", before, "2026-11-27T10:02:00Z", None),
            blind,
        ];
        let found = among(&pods, std::slice::from_ref(&map), std::slice::from_ref(&set));
        let said: Vec<(&str, Option<&str>)> =
            found.iter().map(|one| (one.pod.name.as_str(), one.of.as_ref().map(|of| of.name.as_str()))).collect();
        assert_eq!(said, [("web-1-a", Some("web")), ("db-0", Some("db")), ("job", None)]);
        assert_eq!(found[0].of.as_ref().unwrap().kind, Workload::Deployment);
        let by_hand = json!({"kind": "StatefulSet", "metadata": {"namespace": "shop", "name": "db"},
            "spec": {"updateStrategy": {"type": "OnDelete"}}});
        let held = among(&pods, &[map], &[set, by_hand]);
        assert_eq!(held[1].of, None, "nobody waits for what comes when somebody deletes it");
        assert_eq!(
            held[1].to_string(),
            "shop/db-0 (StatefulSet db: its pods are replaced when somebody deletes them (`OnDelete`))"
        );
        assert!(held[0].of.is_some() && held[0].to_string() == "shop/web-1-a");
        assert!(among(&pods, &[], &[]).is_empty(), "nobody was told of anything there");
    }
}
