//! Waits until an app is ready.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior};

use super::blocked::blocked;
use super::programs::Programs;
use super::render::Rendered;
use super::{AppError, Attempt, Progress};
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

/// The workloads of an app, without hooks: Helm itself waits for those.
pub(super) fn workloads(rendered: &Rendered) -> Vec<Workload> {
    let waited_for = |kind: &str| matches!(kind, "Deployment" | "DaemonSet" | "StatefulSet" | "Job");
    let objects = rendered.objects.iter().filter(|object| waited_for(&object.place.kind) && object.hooks().is_empty());
    let found: BTreeSet<Workload> = objects
        .map(|object| Workload {
            kind: object.place.kind.clone(),
            namespace: object.namespace().unwrap_or(&object.home).to_owned(),
            name: object.place.name.clone(),
        })
        .collect();
    found.into_iter().collect()
}

/// Waits until all `workloads` are ready.
pub(super) async fn until_ready(
    programs: &Programs,
    workloads: &[Workload],
    attempt: &Attempt<'_>,
) -> Result<(), AppError> {
    let begun = Instant::now();
    let mut looks = tokio::time::interval(EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let seen = look(programs, workloads).await?;
        let states =
            workloads.iter().map(|workload| (workload, state(seen.iter().find(|object| is(object, workload)))));
        let (mut unready, mut is_hopeless) = (Vec::new(), false);
        for (workload, state) in states {
            is_hopeless |= matches!(state, State::Hopeless(_));
            if let State::NotYet(how_far) | State::Hopeless(how_far) = state {
                unready.push((workload, how_far));
            }
        }
        let pending: Vec<String> =
            unready.iter().map(|(workload, how_far)| format!("{workload} ({how_far})")).collect();
        (attempt.progress)(&Progress::Waiting {
            ready: workloads.len() - pending.len(),
            total: workloads.len(),
            pending: &pending,
        });
        if pending.is_empty() {
            return Ok(());
        }
        if is_hopeless || begun.elapsed() >= attempt.timeout {
            let blocked = blocked(programs, &seen, &unready).await?;
            return Err(AppError::NotReady {
                seconds: begun.elapsed().min(attempt.timeout).as_secs(),
                workloads: pending,
                blocked,
            });
        }
    }
}

async fn look(programs: &Programs, workloads: &[Workload]) -> Result<Vec<Value>, AppError> {
    let namespaces: BTreeSet<&str> = workloads.iter().map(|workload| workload.namespace.as_str()).collect();
    let mut seen = Vec::new();
    for namespace in namespaces {
        seen.extend(list(programs, &["deployments,daemonsets,statefulsets,jobs", "--namespace", namespace]).await?);
    }
    Ok(seen)
}

/// What `kubectl get` answers to `what`.
pub(super) async fn list(programs: &Programs, what: &[&str]) -> Result<Vec<Value>, AppError> {
    let answer = programs.kubectl(&[&["get"], what, &["--output", "json"]].concat(), b"", LOOK).await?;
    let not_understood = |error: serde_json::Error| ProgramError::Failed {
        command: format!("kubectl get {}", what.join(" ")),
        said: error.to_string(),
    };
    let answer: Value = serde_json::from_slice(&answer).map_err(not_understood)?;
    Ok(answer["items"].as_array().cloned().unwrap_or_default())
}

pub(super) fn is(object: &Value, workload: &Workload) -> bool {
    object["kind"] == workload.kind.as_str()
        && object["metadata"]["name"] == workload.name.as_str()
        && object["metadata"]["namespace"] == workload.namespace.as_str()
}

enum State {
    Ready,
    NotYet(String),
    /// Waiting does not help.
    Hopeless(String),
}

/// Whether a workload is ready, as `kubectl rollout status` has it.
fn state(object: Option<&Value>) -> State {
    let Some(object) = object else { return State::NotYet("not there yet".into()) };
    if let Some(why) = gave_up(object) {
        return State::Hopeless(why);
    }
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

/// What a Job says that it tries no more.
fn gave_up(object: &Value) -> Option<String> {
    let conditions = object["status"]["conditions"].as_array().filter(|_| object["kind"] == "Job")?;
    let failed = conditions.iter().find(|one| one["type"] == "Failed" && one["status"] == "True")?;
    Some(format!(
        "failed: {}",
        failed["message"].as_str().or(failed["reason"].as_str()).unwrap_or("it does not say why")
    ))
}

fn replicas(object: &Value) -> u64 {
    object.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn how_far(object: &Value) -> Option<String> {
        match state(Some(object)) {
            State::Ready => None,
            State::NotYet(how_far) | State::Hopeless(how_far) => Some(how_far),
        }
    }

    #[test]
    fn a_job_that_gave_up_is_not_waited_for() {
        let conditions =
            json!([{"type": "Failed", "status": "True", "message": "Job has reached the specified backoff limit"}]);
        let job = json!({"kind": "Job", "status": {"failed": 1, "conditions": conditions}});
        let State::Hopeless(why) = state(Some(&job)) else { panic!("it is waited for") };
        assert_eq!(why, "failed: Job has reached the specified backoff limit");
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
}
