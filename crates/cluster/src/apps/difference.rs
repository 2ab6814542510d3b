//! Whether a cluster is as an app wants it already.
//!
//! Helm and the API server say what they would make of it; what is there is held against that. Hooks do not count: Helm makes them
//! anew each time. Where something cannot be told, there is a difference.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::App;
use super::programs::Programs;
use super::render::{Rendered, RenderedChart, upgrade_arguments};
use super::wait::namespace_of;
use crate::programs::ProgramError;

const LOOK: Duration = Duration::from_secs(60);

const TRY: [&str; 9] = [
    "apply",
    "--server-side",
    // What another manager owns counts only where its value would be another one.
    "--force-conflicts",
    "--dry-run=server",
    "--field-manager=sealock",
    "--output",
    "json",
    "--filename",
    "-",
];
const GET: [&str; 6] = ["get", "--ignore-not-found", "--output", "json", "--filename", "-"];

/// Whether the cluster is not yet as `app` wants it, or cannot tell.
pub(super) async fn is_there_any(app: &App, rendered: &Rendered, programs: &Programs) -> bool {
    for chart in &rendered.charts {
        if !is_installed(app, chart, programs).await.unwrap_or(false) {
            return true;
        }
    }
    for (namespace, objects) in by_namespace(app, rendered) {
        if !are_there(namespace, objects, programs).await.unwrap_or(false) {
            return true;
        }
    }
    false
}

/// Whether Helm has installed the chart, and would make the same of it again.
async fn is_installed(app: &App, chart: &RenderedChart, programs: &Programs) -> Result<bool, ProgramError> {
    let (name, namespace) = (chart.chart.name.as_str(), app.namespace_of(&chart.chart).as_str());
    let status = programs.helm(&["status", name, "--namespace", namespace, "--output", "json"], LOOK).await?;
    let mut arguments = upgrade_arguments(app, chart);
    arguments.extend(["--dry-run=server", "--output", "json"].map(str::to_owned));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let next = programs.helm(&arguments, LOOK).await?;
    Ok(is_deployed_as(&parse(&status), &parse(&next)))
}

fn is_deployed_as(there: &Value, wanted: &Value) -> bool {
    let manifest = |release: &Value| release["manifest"].as_str().map(|text| text.trim().to_owned());
    there["info"]["status"] == "deployed" && manifest(there).is_some() && manifest(there) == manifest(wanted)
}

/// The objects, by where those of them go that name no namespace.
fn by_namespace<'a>(app: &'a App, rendered: &'a Rendered) -> BTreeMap<&'a str, Vec<&'a Value>> {
    let mut groups: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for object in rendered.objects.iter().filter(|object| !object.is_hook()) {
        groups.entry(namespace_of(app, &object.place.origin)).or_default().push(&object.value);
    }
    groups
}

/// Whether the API server would leave each of the objects as it is.
async fn are_there(namespace: &str, objects: Vec<&Value>, programs: &Programs) -> Result<bool, ProgramError> {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    programs.use_namespace(namespace).await?;
    let there = programs.kubectl(&GET, list.as_bytes(), LOOK).await?;
    let wanted = programs.kubectl(&TRY, list.as_bytes(), LOOK).await?;
    let (there, wanted) = (wishes(&parse(&there)), wishes(&parse(&wanted)));
    Ok(!wanted.is_empty() && there == wanted)
}

/// Of each object, by kind and name, what somebody wished: without what the cluster itself notes about it.
fn wishes(answer: &Value) -> BTreeMap<String, Value> {
    let items = answer["items"].as_array().map_or(std::slice::from_ref(answer), Vec::as_slice);
    let wish = |object: &Value| {
        let mut wish = object.clone();
        if let Some(members) = wish.as_object_mut() {
            members.remove("status");
        }
        if let Some(metadata) = wish["metadata"].as_object_mut() {
            for note in ["managedFields", "resourceVersion", "generation"] {
                metadata.remove(note);
            }
        }
        let key = ["apiVersion", "kind"].map(|field| object[field].to_string());
        let name = ["namespace", "name"].map(|field| object["metadata"][field].to_string());
        (key.into_iter().chain(name).collect::<Vec<_>>().join(" "), wish)
    };
    items.iter().filter(|object| object.is_object()).map(wish).collect()
}

/// What a program wrote; nothing where that is no JSON: kubectl writes nothing where nothing is there.
fn parse(answer: &[u8]) -> Value {
    serde_json::from_slice(answer).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(replicas: u32, version: &str) -> Value {
        let metadata = json!({"name": "web", "namespace": "shop", "resourceVersion": version, "generation": replicas,
                              "managedFields": [{"manager": version}]});
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"replicas": replicas},
               "status": {"readyReplicas": version}})
    }

    #[test]
    fn what_the_cluster_notes_is_no_difference_and_what_somebody_wished_is() {
        let there = wishes(&json!({"kind": "List", "items": [deployment(2, "7")]}));
        assert_eq!(there, wishes(&deployment(2, "9")));
        assert_ne!(there, wishes(&deployment(3, "9")));
        assert!(wishes(&parse(b"")).is_empty());
    }

    #[test]
    fn a_chart_whose_last_installation_failed_is_not_there() {
        let release = |status: &str, manifest: &str| json!({"info": {"status": status}, "manifest": manifest});
        let wanted = release("pending-upgrade", "kind: Pod");
        assert!(is_deployed_as(&release("deployed", "kind: Pod\n"), &wanted));
        assert!(!is_deployed_as(&release("failed", "kind: Pod"), &wanted));
        assert!(!is_deployed_as(&release("deployed", "kind: Job"), &wanted));
        assert!(!is_deployed_as(&Value::Null, &Value::Null));
    }
}
