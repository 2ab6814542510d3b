//! Waits until an app is ready, and finds out what holds it up.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior};

use super::programs::Programs;
use super::render::Rendered;
use super::{App, AppError, Blocked, Progress};
use crate::programs::ProgramError;

const LOOK: Duration = Duration::from_secs(30);
const EVERY: Duration = Duration::from_secs(1);

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Workload {
    /// `Deployment`, `DaemonSet`, `StatefulSet` or `Job`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// The workloads of an app.
pub(super) fn workloads(app: &App, rendered: &Rendered) -> Vec<Workload> {
    let waited_for = |kind: &str| matches!(kind, "Deployment" | "DaemonSet" | "StatefulSet" | "Job");
    let objects = rendered.objects.iter().filter(|object| waited_for(&object.place.kind) && !object.is_hook());
    let found: BTreeSet<Workload> = objects
        .map(|object| Workload {
            kind: object.place.kind.clone(),
            namespace: object.namespace().unwrap_or(namespace_of(app, &object.place.origin)).to_owned(),
            name: object.place.name.clone(),
        })
        .collect();
    found.into_iter().collect()
}

/// Where objects of `origin` go that name no namespace.
pub(super) fn namespace_of<'a>(app: &'a App, origin: &str) -> &'a str {
    let chart = origin
        .strip_prefix("chart ")
        .and_then(|name| app.spec().charts.iter().find(|chart| chart.name.as_str() == name));
    chart.map_or(app.spec().namespace.as_str(), |chart| app.namespace_of(chart).as_str())
}

/// Waits until all `workloads` are ready.
pub(super) async fn until_ready(
    programs: &Programs,
    workloads: &[Workload],
    timeout: Duration,
    progress: &(dyn Fn(&Progress<'_>) + Sync),
) -> Result<(), AppError> {
    let deadline = Instant::now() + timeout;
    let mut looks = tokio::time::interval(EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let seen = look(programs, workloads).await?;
        let unready: Vec<(&Workload, String)> = workloads
            .iter()
            .filter_map(|workload| match state(seen.iter().find(|object| is(object, workload))) {
                State::Ready => None,
                State::NotYet(how_far) => Some((workload, how_far)),
            })
            .collect();
        let pending: Vec<String> =
            unready.iter().map(|(workload, how_far)| format!("{workload} ({how_far})")).collect();
        progress(&Progress::Waiting {
            ready: workloads.len() - pending.len(),
            total: workloads.len(),
            pending: &pending,
        });
        if pending.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let blocked = blocked(programs, &seen, &unready).await?;
            return Err(AppError::NotReady { seconds: timeout.as_secs(), workloads: pending, blocked });
        }
    }
}

async fn look(programs: &Programs, workloads: &[Workload]) -> Result<Vec<Value>, AppError> {
    let namespaces: BTreeSet<&str> = workloads.iter().map(|workload| workload.namespace.as_str()).collect();
    let mut seen = Vec::new();
    for namespace in namespaces {
        seen.extend(list(programs, "deployments,daemonsets,statefulsets,jobs", namespace).await?);
    }
    Ok(seen)
}

async fn list(programs: &Programs, kinds: &str, namespace: &str) -> Result<Vec<Value>, AppError> {
    let answer = programs.kubectl(&["get", kinds, "--namespace", namespace, "--output", "json"], b"", LOOK).await?;
    let not_understood = |error: serde_json::Error| ProgramError::Failed {
        command: format!("kubectl get {kinds}"),
        said: error.to_string(),
    };
    let answer: Value = serde_json::from_slice(&answer).map_err(not_understood)?;
    Ok(answer["items"].as_array().cloned().unwrap_or_default())
}

fn is(object: &Value, workload: &Workload) -> bool {
    object["kind"] == workload.kind.as_str()
        && object["metadata"]["name"] == workload.name.as_str()
        && object["metadata"]["namespace"] == workload.namespace.as_str()
}

enum State {
    Ready,
    NotYet(String),
}

/// Whether a workload is ready, as `kubectl rollout status` has it.
fn state(object: Option<&Value>) -> State {
    let Some(object) = object else { return State::NotYet("not there yet".into()) };
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    if number("/status/observedGeneration") < number("/metadata/generation") && object["kind"] != "Job" {
        return State::NotYet("not looked at yet".into());
    }
    let (ready, wanted) = match object["kind"].as_str().unwrap_or_default() {
        "DaemonSet" => {
            let updated = number("/status/updatedNumberScheduled").min(number("/status/numberAvailable"));
            (updated, number("/status/desiredNumberScheduled"))
        }
        "Job" => {
            (number("/status/succeeded"), object.pointer("/spec/completions").and_then(Value::as_u64).unwrap_or(1))
        }
        "StatefulSet" => (number("/status/readyReplicas").min(number("/status/updatedReplicas")), replicas(object)),
        _ => {
            let left_over = number("/status/replicas").saturating_sub(number("/status/updatedReplicas"));
            if left_over > 0 {
                return State::NotYet(format!("{left_over} old pods to go"));
            }
            (number("/status/availableReplicas").min(number("/status/updatedReplicas")), replicas(object))
        }
    };
    if ready >= wanted { State::Ready } else { State::NotYet(format!("{ready} of {wanted} ready")) }
}

fn replicas(object: &Value) -> u64 {
    object.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1)
}

/// The pods of what is not ready that are not ready themselves, and why.
async fn blocked(
    programs: &Programs,
    seen: &[Value],
    unready: &[(&Workload, String)],
) -> Result<Vec<Blocked>, AppError> {
    let mut found = Vec::new();
    let namespaces: BTreeSet<&str> = unready.iter().map(|(workload, _)| workload.namespace.as_str()).collect();
    for namespace in namespaces {
        let pods = list(programs, "pods", namespace).await?;
        let events = list(programs, "events", namespace).await?;
        let here = unready.iter().filter(|(workload, _)| workload.namespace == namespace);
        for (workload, _) in here {
            let Some(object) = seen.iter().find(|object| is(object, workload)) else { continue };
            let mine = pods.iter().filter(|pod| selects(object, pod) && !pod_is_ready(pod));
            let waiting: Vec<Blocked> = mine.map(|pod| describe(pod, &events)).collect();
            if waiting.is_empty() {
                // No pod at all: the controller itself says why.
                found.extend(warning(&events, &workload.name).map(|event| Blocked {
                    pod: format!("{namespace}/{}-…", workload.name),
                    node: None,
                    state: "is not made".into(),
                    event: Some(event),
                }));
            }
            found.extend(waiting);
        }
    }
    Ok(found)
}

fn selects(object: &Value, pod: &Value) -> bool {
    let Some(labels) = object.pointer("/spec/selector/matchLabels").and_then(Value::as_object) else { return false };
    labels.iter().all(|(key, value)| &pod["metadata"]["labels"][key] == value)
}

fn pod_is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn describe(pod: &Value, events: &[Value]) -> Blocked {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str);
    let name = text("/metadata/name").unwrap_or("?");
    Blocked {
        pod: format!("{}/{name}", text("/metadata/namespace").unwrap_or("?")),
        node: text("/spec/nodeName").map(ToOwned::to_owned),
        state: pod_state(pod),
        event: warning(events, name),
    }
}

fn pod_state(pod: &Value) -> String {
    let lists = ["initContainerStatuses", "containerStatuses"];
    let statuses = lists.iter().filter_map(|list| pod["status"][*list].as_array()).flatten();
    for status in statuses {
        let name = status["name"].as_str().unwrap_or("?");
        if let Some(waiting) = status["state"]["waiting"].as_object() {
            let reason = waiting.get("reason").and_then(Value::as_str).unwrap_or("waiting");
            let message =
                waiting.get("message").and_then(Value::as_str).map(|text| format!(": {text}")).unwrap_or_default();
            return format!("container {name}: {reason}{message}");
        }
        if status["state"]["terminated"].is_object() && status["state"]["terminated"]["exitCode"] != 0 {
            return format!("container {name} ended with exit code {}", status["state"]["terminated"]["exitCode"]);
        }
        if status["ready"] == false && status["state"]["running"].is_object() {
            return format!("container {name} runs, and is not ready");
        }
    }
    let conditions = pod["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let unscheduled =
        conditions.iter().find(|condition| condition["type"] == "PodScheduled" && condition["status"] == "False");
    let why = unscheduled.and_then(|condition| condition["message"].as_str());
    why.map_or_else(|| pod["status"]["phase"].as_str().unwrap_or("unknown").to_owned(), ToOwned::to_owned)
}

/// The last warning about `name`, or about what a controller of that name makes.
fn warning(events: &[Value], name: &str) -> Option<String> {
    let prefix = format!("{name}-");
    let about = |event: &&Value| {
        let object = event["involvedObject"]["name"].as_str().unwrap_or_default();
        // `Error: ImagePullBackOff` says less than the state of the container does.
        let says_something = !event["message"].as_str().unwrap_or_default().starts_with("Error: ");
        event["type"] == "Warning" && says_something && (object == name || object.starts_with(&prefix))
    };
    let time =
        |event: &&Value| event["lastTimestamp"].as_str().or(event["eventTime"].as_str()).unwrap_or_default().to_owned();
    let last = events.iter().filter(about).max_by_key(time)?;
    Some(format!("{}: {}", last["reason"].as_str().unwrap_or("?"), last["message"].as_str().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn how_far(object: &Value) -> Option<String> {
        match state(Some(object)) {
            State::Ready => None,
            State::NotYet(how_far) => Some(how_far),
        }
    }

    #[test]
    fn ready_is_what_rollout_status_calls_ready() {
        let deployment = |status: Value| json!({"kind": "Deployment", "metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status});
        let fresh =
            deployment(json!({"observedGeneration": 1, "updatedReplicas": 2, "availableReplicas": 2, "replicas": 2}));
        assert_eq!(how_far(&fresh).as_deref(), Some("not looked at yet"));
        let rolling =
            deployment(json!({"observedGeneration": 2, "updatedReplicas": 1, "availableReplicas": 2, "replicas": 2}));
        assert_eq!(how_far(&rolling).as_deref(), Some("1 old pods to go"));
        let starting =
            deployment(json!({"observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 1, "replicas": 2}));
        assert_eq!(how_far(&starting).as_deref(), Some("1 of 2 ready"));
        let done =
            deployment(json!({"observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 2, "replicas": 2}));
        assert_eq!(how_far(&done), None);
        assert_eq!(how_far(&json!({"kind": "Job", "status": {"succeeded": 1}})), None);
        assert_eq!(
            how_far(&json!({"kind": "DaemonSet", "status": {"desiredNumberScheduled": 2}})).as_deref(),
            Some("0 of 2 ready")
        );
    }

    #[test]
    fn a_pod_that_cannot_pull_says_so_with_its_event() {
        let pod = json!({
            "metadata": {"name": "web-1", "namespace": "demo"},
            "spec": {"nodeName": "w1"},
            "status": {"phase": "Pending", "containerStatuses": [
                {"name": "nginx", "ready": false, "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}}
            ]},
        });
        let event = |time: &str, message: &str| {
            json!({
                "type": "Warning", "reason": "Failed", "message": message, "lastTimestamp": time, "involvedObject": {"name": "web-1"}
            })
        };
        let events = [
            event("2026-11-23T22:00:02Z", "connection refused"),
            event("2026-11-23T22:00:01Z", "older"),
            event("2026-11-23T22:00:03Z", "Error: ImagePullBackOff"),
        ];
        assert_eq!(
            describe(&pod, &events).to_string(),
            "pod demo/web-1 on w1: container nginx: ImagePullBackOff: Back-off pulling image (Failed: connection refused)"
        );
    }
}
