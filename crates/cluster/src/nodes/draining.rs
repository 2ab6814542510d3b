//! What draining a node does to which pod.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// Namespace and name of a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PodName {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An API server that is not what it should be may say anything: nothing of it moves a cursor.
        write!(f, "{}/{}", self.namespace.escape_debug(), self.name.escape_debug())
    }
}

/// What may be lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Pods that nobody will start anew.
    pub force: bool,
    /// What pods wrote into their `emptyDir` volumes.
    pub delete_emptydir_data: bool,
}

/// A pod that is to leave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leaving {
    /// Its name.
    pub pod: PodName,
    /// Tells it from a later one of the same name.
    #[serde(skip)]
    pub uid: String,
}

/// A pod that stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Staying {
    /// Its name.
    pub pod: PodName,
    /// Why.
    pub why: Stays,
}

/// Why a pod stays on a node that is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stays {
    /// Its DaemonSet would put it there again.
    DaemonSet,
    /// It comes from a file on the node.
    Static,
}

/// A pod that must not simply be evicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its name.
    pub pod: PodName,
    /// Why, never empty.
    pub reasons: Vec<Reason>,
}

/// Why a pod must not simply be evicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing would start it anew.
    NoController,
    /// The `emptyDir` volumes that go with it.
    LocalData(Vec<String>),
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons: Vec<String> = self.reasons.iter().map(ToString::to_string).collect();
        write!(f, "{}: {}", self.pod, reasons.join("; "))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoController => f.write_str("nothing starts it anew"),
            Self::LocalData(volumes) => write!(f, "what is in its emptyDir {} goes with it", volumes.join(", ")),
        }
    }
}

/// What draining a node will do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Draining {
    /// What is evicted, sorted.
    pub leaving: Vec<Leaving>,
    /// What stays, sorted.
    pub staying: Vec<Staying>,
    /// What keeps the node from being drained, sorted.
    #[serde(skip)]
    pub held: Vec<Held>,
}

impl Draining {
    /// Sorts the `pods` of a node, objects of the Kubernetes API `v1`, as `kubectl drain` does.
    pub fn of(pods: &[Value], rules: Rules) -> Self {
        let mut draining = Self::default();
        for pod in pods {
            let name = name_of(pod);
            if let Some(why) = stays(pod) {
                draining.staying.push(Staying { pod: name, why });
                continue;
            }
            let reasons = reasons(pod, rules);
            if !reasons.is_empty() {
                draining.held.push(Held { pod: name.clone(), reasons });
            }
            draining.leaving.push(Leaving { pod: name, uid: text(pod, "/metadata/uid").to_owned() });
        }
        draining.leaving.sort_by(|a, b| a.pod.cmp(&b.pod));
        draining.staying.sort_by(|a, b| a.pod.cmp(&b.pod));
        draining.held.sort_by(|a, b| a.pod.cmp(&b.pod));
        draining
    }
}

fn stays(pod: &Value) -> Option<Stays> {
    if pod.pointer("/metadata/annotations/kubernetes.io~1config.mirror").is_some() {
        return Some(Stays::Static);
    }
    let is_of_daemon_set = controller(pod).is_some_and(|owner| owner["kind"] == "DaemonSet");
    (is_of_daemon_set && !is_over(pod)).then_some(Stays::DaemonSet)
}

/// A pod that has ended loses nothing any more.
fn reasons(pod: &Value, rules: Rules) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if is_over(pod) {
        return reasons;
    }
    if controller(pod).is_none() && !rules.force {
        reasons.push(Reason::NoController);
    }
    let volumes = list(pod, "/spec/volumes").iter().filter(|volume| volume.get("emptyDir").is_some());
    let volumes: Vec<String> = volumes.map(|volume| text(volume, "/name").to_owned()).collect();
    if !volumes.is_empty() && !rules.delete_emptydir_data {
        reasons.push(Reason::LocalData(volumes));
    }
    reasons
}

fn is_over(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

fn controller(pod: &Value) -> Option<&Value> {
    list(pod, "/metadata/ownerReferences").iter().find(|owner| owner["controller"] == true)
}

fn name_of(pod: &Value) -> PodName {
    PodName { namespace: text(pod, "/metadata/namespace").to_owned(), name: text(pod, "/metadata/name").to_owned() }
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, owner: Option<&str>, phase: &str, volumes: &Value) -> Value {
        let owners: Vec<Value> =
            owner.iter().map(|kind| json!({"kind": kind, "name": "x", "controller": true})).collect();
        json!({
            "metadata": {"namespace": "demo", "name": name, "uid": format!("uid-{name}"), "ownerReferences": owners},
            "spec": {"volumes": volumes}, "status": {"phase": phase},
        })
    }

    fn names<'a>(pods: impl Iterator<Item = &'a PodName>) -> Vec<&'a str> {
        pods.map(|pod| pod.name.as_str()).collect()
    }

    fn node() -> Vec<Value> {
        let none = json!([]);
        let scratch = json!([{"name": "scratch", "emptyDir": {}}, {"name": "config", "configMap": {"name": "c"}}]);
        let mut from_file = pod("static", Some("Node"), "Running", &none);
        from_file["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "abc"});
        vec![
            pod("web", Some("ReplicaSet"), "Running", &none),
            pod("agent", Some("DaemonSet"), "Running", &scratch),
            pod("agent-that-ended", Some("DaemonSet"), "Failed", &none),
            pod("cache", Some("StatefulSet"), "Running", &scratch),
            pod("alone", None, "Running", &scratch),
            pod("job", None, "Succeeded", &scratch),
            from_file,
        ]
    }

    #[test]
    fn daemons_and_static_pods_stay_and_the_rest_leaves() {
        let draining = Draining::of(&node(), Rules { force: true, delete_emptydir_data: true });
        let leaving = names(draining.leaving.iter().map(|leaving| &leaving.pod));
        assert_eq!(leaving, ["agent-that-ended", "alone", "cache", "job", "web"]);
        let staying: Vec<_> = draining.staying.iter().map(|staying| (staying.pod.name.as_str(), staying.why)).collect();
        assert_eq!(staying, [("agent", Stays::DaemonSet), ("static", Stays::Static)]);
        assert!(draining.held.is_empty());
        assert_eq!(draining.leaving[4].uid, "uid-web");
    }

    #[test]
    fn what_would_be_lost_is_named_until_it_may_be() {
        let told = |rules| {
            let held = Draining::of(&node(), rules).held;
            held.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let data = "what is in its emptyDir scratch goes with it";
        assert_eq!(
            told(Rules::default()),
            [format!("demo/alone: nothing starts it anew; {data}"), format!("demo/cache: {data}")]
        );
        assert_eq!(
            told(Rules { force: true, delete_emptydir_data: false }),
            [format!("demo/alone: {data}"), format!("demo/cache: {data}")]
        );
        assert_eq!(told(Rules { force: false, delete_emptydir_data: true }), ["demo/alone: nothing starts it anew"]);
    }

    #[test]
    fn a_pod_of_another_shape_leaves_and_is_held() {
        let draining = Draining::of(&[json!({}), json!({"metadata": 7})], Rules::default());
        assert_eq!((draining.leaving.len(), draining.held.len()), (2, 2));
        let hostile = json!({"metadata": {"namespace": "demo", "name": "\u{1b}[2Jx"}});
        let held = Draining::of(&[hostile], Rules::default()).held;
        assert_eq!(held[0].to_string(), "demo/\\u{1b}[2Jx: nothing starts it anew");
    }
}
