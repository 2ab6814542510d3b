//! The pods that hold an app up: where they are, what they wait for, and what they logged last.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::AppError;
use super::programs::Programs;
use super::wait::{Workload, is, list};

const LOOK: Duration = Duration::from_secs(30);
/// So many lines of a log are told.
const LINES: usize = 8;
/// And so much of each.
const WIDTH: usize = 200;

/// A pod that does not get ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// Namespace and name.
    pub pod: String,
    /// The node, once it has one.
    pub node: Option<String>,
    /// What it waits for, like `container app: ImagePullBackOff`.
    pub state: String,
    /// The last event that warns, as the cluster words it.
    pub event: Option<String>,
    /// The end of what its container logged, where that may say why.
    pub log: Vec<String>,
    /// What kind of trouble it is.
    pub trouble: Trouble,
}

/// What holds a pod up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No node takes it.
    Unscheduled,
    /// Its image does not come.
    Pull,
    /// A container ends by itself.
    Crash,
    /// Anything else.
    Other,
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.node.as_deref().map(|node| format!(" on {node}")).unwrap_or_default();
        write!(f, "pod {}{node}: {}", self.pod, self.state)?;
        if let Some(event) = &self.event {
            write!(f, " ({event})")?;
        }
        if !self.log.is_empty() {
            f.write_str("; it logged last:")?;
        }
        self.log.iter().try_for_each(|line| write!(f, "\n    | {line}"))
    }
}

/// What is wrong with a container, and whose log says more.
struct Culprit<'a> {
    container: &'a str,
    /// It runs anew: what it logged before it ended is asked for.
    is_restarted: bool,
}

/// The pods of what is not ready that are not ready themselves, and why.
pub(super) async fn blocked(
    programs: &Programs,
    seen: &[Value],
    unready: &[(&Workload, String)],
) -> Result<Vec<Blocked>, AppError> {
    let mut found = Vec::new();
    let namespaces: BTreeSet<&str> = unready.iter().map(|(workload, _)| workload.namespace.as_str()).collect();
    for namespace in namespaces {
        let pods = list(programs, &["pods", "--namespace", namespace]).await?;
        let events = list(programs, &["events", "--namespace", namespace]).await?;
        let here = unready.iter().filter(|(workload, _)| workload.namespace == namespace);
        for (workload, _) in here {
            let Some(object) = seen.iter().find(|object| is(object, workload)) else { continue };
            let mine: Vec<&Value> = pods.iter().filter(|pod| selects(object, pod) && !pod_is_ready(pod)).collect();
            for pod in &mine {
                found.push(examine(programs, pod, &events).await);
            }
            if mine.is_empty() {
                found.extend(not_made(&events, workload));
            }
        }
    }
    Ok(found)
}

/// What `pod` waits for, with its log.
pub(super) async fn examine(programs: &Programs, pod: &Value, events: &[Value]) -> Blocked {
    let mut blocked = describe(pod, events);
    if let Some(culprit) = culprit(pod) {
        blocked.log = log(programs, pod, &culprit).await;
    }
    blocked
}

/// No pod at all: the controller itself says why.
fn not_made(events: &[Value], workload: &Workload) -> Option<Blocked> {
    let event = warning(events, &workload.name)?;
    Some(Blocked {
        pod: format!("{}/{}-…", workload.namespace, workload.name),
        node: None,
        state: "is not made".into(),
        event: Some(event),
        log: Vec::new(),
        trouble: Trouble::Other,
    })
}

fn selects(object: &Value, pod: &Value) -> bool {
    let Some(labels) = object.pointer("/spec/selector/matchLabels").and_then(Value::as_object) else { return false };
    labels.iter().all(|(key, value)| &pod["metadata"]["labels"][key] == value)
}

fn pod_is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|condition| condition["status"] == "True")
}

fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a Value> {
    pod["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

fn describe(pod: &Value, events: &[Value]) -> Blocked {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str);
    let name = text("/metadata/name").unwrap_or("?");
    let (state, trouble) = pod_state(pod);
    // The scheduler's event is what its condition says already.
    let event = warning(events, name).filter(|event| !event.ends_with(&state));
    Blocked {
        pod: format!("{}/{name}", text("/metadata/namespace").unwrap_or("?")),
        node: text("/spec/nodeName").map(ToOwned::to_owned),
        state,
        event,
        log: Vec::new(),
        trouble,
    }
}

fn statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["initContainerStatuses", "containerStatuses"];
    lists.into_iter().filter_map(|list| pod["status"][list].as_array()).flatten()
}

fn pod_state(pod: &Value) -> (String, Trouble) {
    for status in statuses(pod) {
        if let Some(found) = container_state(status) {
            return found;
        }
    }
    let unscheduled = condition(pod, "PodScheduled").filter(|condition| condition["status"] == "False");
    if let Some(why) = unscheduled.and_then(|condition| condition["message"].as_str()) {
        return (why.to_owned(), Trouble::Unscheduled);
    }
    (pod["status"]["phase"].as_str().unwrap_or("unknown").to_owned(), Trouble::Other)
}

fn container_state(status: &Value) -> Option<(String, Trouble)> {
    let name = status["name"].as_str().unwrap_or("?");
    let ended = |state: &Value| state["terminated"]["exitCode"].as_i64().filter(|code| *code != 0);
    if let Some(waiting) = status["state"]["waiting"].as_object() {
        let text = |field: &str| waiting.get(field).and_then(Value::as_str);
        let reason = text("reason").unwrap_or("waiting");
        let message = text("message").map(|text| format!(": {text}")).unwrap_or_default();
        let code = ended(&status["lastState"]).map(|code| format!(", the last time with exit code {code}"));
        let trouble = match reason {
            _ if reason.contains("ImagePull") || reason.contains("ErrImage") => Trouble::Pull,
            "CrashLoopBackOff" => Trouble::Crash,
            _ => Trouble::Other,
        };
        return Some(match (trouble, code) {
            (Trouble::Crash, Some(code)) => (format!("container {name} ends again and again{code}"), trouble),
            _ => (format!("container {name}: {reason}{message}"), trouble),
        });
    }
    if let Some(code) = ended(&status["state"]) {
        return Some((format!("container {name} ended with exit code {code}"), Trouble::Crash));
    }
    let runs = status["ready"] == false && status["state"]["running"].is_object();
    // An init container that runs is never ready.
    runs.then(|| match ended(&status["lastState"]) {
        Some(code) => (format!("container {name} runs anew, after exit code {code}"), Trouble::Crash),
        None => (format!("container {name} runs, and is not ready"), Trouble::Other),
    })
}

/// The container that ended by itself, or does not get ready.
fn culprit(pod: &Value) -> Option<Culprit<'_>> {
    let status = statuses(pod).find(|status| container_state(status).is_some())?;
    let has_run = !status["state"]["waiting"].is_object() || status["lastState"]["terminated"].is_object();
    let is_restarted = status["lastState"]["terminated"].is_object() && !status["state"]["terminated"].is_object();
    has_run.then(|| Culprit { container: status["name"].as_str().unwrap_or_default(), is_restarted })
}

/// The end of a log. Where it cannot be had, the rest is still worth telling.
async fn log(programs: &Programs, pod: &Value, culprit: &Culprit<'_>) -> Vec<String> {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let tail = format!("--tail={LINES}");
    let mut arguments = vec!["logs", text("/metadata/name"), "--namespace", text("/metadata/namespace"), &tail];
    arguments.extend(["--container", culprit.container, "--limit-bytes=65536"]);
    arguments.extend(culprit.is_restarted.then_some("--previous"));
    let said = programs.kubectl(&arguments, b"", LOOK).await.unwrap_or_default();
    last_lines(&String::from_utf8_lossy(&said))
}

/// Without what would do something to a terminal.
fn last_lines(text: &str) -> Vec<String> {
    let plain = |line: &str| line.chars().filter(|c| !c.is_control()).take(WIDTH).collect::<String>();
    let lines: Vec<String> = text.lines().map(plain).filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].to_vec()
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
    // Probes answer in several lines.
    let message: Vec<&str> = last["message"].as_str().unwrap_or_default().split_whitespace().collect();
    Some(format!("{}: {}", last["reason"].as_str().unwrap_or("?"), message.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
        assert_eq!(describe(&pod, &events).trouble, Trouble::Pull);
        assert!(culprit(&pod).is_none(), "what never ran has no log");
    }

    #[test]
    fn a_container_that_ends_again_and_again_is_told_with_its_log() {
        let status = json!({
            "name": "app", "ready": false, "restartCount": 3,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}},
            "lastState": {"terminated": {"exitCode": 3}},
        });
        let pod =
            json!({"metadata": {"name": "web-1", "namespace": "demo"}, "status": {"containerStatuses": [status]}});
        let mut blocked = describe(&pod, &[]);
        assert!(culprit(&pod).unwrap().is_restarted);
        blocked.log = last_lines("starting\n\n\u{1b}[31mno such table: pumps\n");
        assert_eq!(
            blocked.to_string(),
            "pod demo/web-1: container app ends again and again, the last time with exit code 3; it logged last:\n    \
             | starting\n    | [31mno such table: pumps"
        );
        assert_eq!(blocked.trouble, Trouble::Crash);
    }

    #[test]
    fn a_pod_that_no_node_takes_says_what_the_scheduler_says_once() {
        let why = "0/2 nodes are available: 2 Insufficient cpu.";
        let pod = json!({
            "metadata": {"name": "web-1", "namespace": "demo"},
            "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": why}]},
        });
        let event = json!({
            "type": "Warning", "reason": "FailedScheduling", "message": why, "involvedObject": {"name": "web-1"},
        });
        let blocked = describe(&pod, &[event]);
        assert_eq!(blocked.to_string(), format!("pod demo/web-1: {why}"));
        assert_eq!(blocked.trouble, Trouble::Unscheduled);
    }

    #[test]
    fn of_a_log_the_last_lines_are_told() {
        let text: String = (1..=20).map(|n| format!("line {n}\n")).collect();
        let lines = last_lines(&text);
        assert_eq!((lines.len(), lines[0].as_str()), (LINES, "line 13"));
    }
}
