//! Pods that read the authority of the API server, and since when they run.
//!
//! kubelet brings another authority into a pod that runs (the ConfigMap `kube-root-ca.crt`, projected); what reads it at its start alone goes
//! on with the one before.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sealock_node::step::Workload;
use serde_json::Value;

use super::api::Api;
use super::{NodeError, PodName};
use crate::apps::Target;
use crate::plan::Workloads;

const PUBLISHED: &str = "kube-root-ca.crt";
/// Within this time kubelet has brought it to a pod that ran before.
const ARRIVES: SignedDuration = SignedDuration::from_mins(2);

/// A pod that runs since before the authority was published that its namespace is told of now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldReader {
    /// The pod.
    pub pod: PodName,
    /// What starts it anew; nothing where nothing does that can be told to.
    pub of: Option<Workloads>,
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
    let replica_sets = api.list("replicasets", &everywhere).await?;
    Ok(among(&pods, &maps, &replica_sets))
}

fn among(pods: &[Value], maps: &[Value], replica_sets: &[Value]) -> Vec<OldReader> {
    let published = maps.iter().filter_map(|map| Some((text(&map["metadata"]["namespace"]), changed(map)?)));
    let published: BTreeMap<&str, Timestamp> = published.collect();
    let is_old = |pod: &&Value| {
        let at = published.get(text(&pod["metadata"]["namespace"]));
        reads(pod) && at.is_some_and(|at| runs_since_before(pod, *at))
    };
    let reader = |pod: &Value| OldReader {
        pod: PodName {
            namespace: text(&pod["metadata"]["namespace"]).into(),
            name: text(&pod["metadata"]["name"]).into(),
        },
        of: workload_of(pod, replica_sets),
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

fn workload_of(pod: &Value, replica_sets: &[Value]) -> Option<Workloads> {
    let namespace = text(&pod["metadata"]["namespace"]);
    let (kind, name) = controller(pod)?;
    let (kind, name) = if kind == "ReplicaSet" {
        let is_it = |set: &&Value| text(&set["metadata"]["namespace"]) == namespace && set["metadata"]["name"] == name;
        controller(replica_sets.iter().find(is_it)?)?
    } else {
        (kind, name)
    };
    let kind = match kind {
        "Deployment" => Workload::Deployment,
        "DaemonSet" => Workload::DaemonSet,
        "StatefulSet" => Workload::StatefulSet,
        _ => return None,
    };
    Some(Workloads { namespace: namespace.to_owned(), kind, name: name.to_owned() })
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
        let set = json!({"metadata": {"namespace": "shop", "name": "web-1",
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
        let found = among(&pods, &[map], &[set]);
        let said: Vec<(&str, Option<&str>)> =
            found.iter().map(|one| (one.pod.name.as_str(), one.of.as_ref().map(|of| of.name.as_str()))).collect();
        assert_eq!(said, [("web-1-a", Some("web")), ("db-0", Some("db")), ("job", None)]);
        assert_eq!(found[0].of.as_ref().unwrap().kind, Workload::Deployment);
        assert!(among(&pods, &[], &[]).is_empty(), "nobody was told of anything there");
    }
}
