//! Plans that bring components to nodes whose Kubernetes stays, and what an apply leaves as it is.

use std::collections::BTreeSet;

use sealock_cluster::plan::{Draining, Printed, behind, plan_components};
use sealock_cluster::{Inventory, Plan, PlanError};
use sealock_node::facts::Kubernetes;
use sealock_node::{Class, StepKind};
use sealock_trust::reason::Code;

use crate::fixture::{
    ONE_AND_ONE, THREE_AND_THREE, bare_hosts, cluster, draining, kubernetes_images, nodes, plan_of, release, spec,
    with_intent,
};

const RUNS: &str = "v1.36.3";
/// All that the release has of it; the newest containerd is v2.4.10.
const AS_THE_RELEASE: [(&str, &str); 3] = [("runc", "v1.3.3"), ("containerd", "v2.4.10"), ("cni-plugins", "v1.9.1")];

/// The hosts of `text` as nodes with the components of the release, and of `older` with a containerd from before.
fn nodes_with(text: &str, older: &[&str]) -> Inventory {
    let mut inventory = nodes(text, RUNS);
    for (name, one) in &mut inventory.hosts {
        one.facts.components.extend(AS_THE_RELEASE.map(|(name, version)| (name.to_owned(), version.to_owned())));
        if older.contains(&name.as_str()) {
            one.facts.components.insert("containerd".into(), "v2.4.2".into());
        }
    }
    inventory
}

/// The plan for all hosts that differ.
fn components(text: &str, draining: &Draining, inventory: &Inventory) -> Result<Plan, PlanError> {
    let (cluster, release) = (cluster(text), release());
    let hosts: BTreeSet<String> = behind(&cluster, inventory, &release).into_iter().map(|one| one.host).collect();
    with_intent((&cluster, &release, &kubernetes_images()), |intent| {
        plan_components(&intent, draining, &hosts, inventory)
    })
}

/// The version of containerd that the plan puts in use on a host.
fn containerd(plan: &Plan, host: &str) -> Option<String> {
    let steps = plan.tasks.iter().filter(|task| task.host == host).flat_map(|task| &task.steps);
    let found = steps.filter_map(|step| match &step.action {
        StepKind::Component(one) if one.name == "containerd" && !one.staged => Some(one.version.clone()),
        _ => None,
    });
    found.reduce(|_, last| last)
}

#[test]
fn one_control_plane_and_one_worker() {
    let plan = components(ONE_AND_ONE, &draining(), &nodes_with(ONE_AND_ONE, &["cp1", "w1"])).unwrap();
    insta::assert_snapshot!("components_one_and_one", Printed { plan: &plan, assessment: None }.to_string());
    assert_eq!(Plan::from_json(&plan.to_json().unwrap()).unwrap(), plan);
}

#[test]
fn control_planes_one_after_the_other_then_workers_and_none_that_is_as_the_release_has_it() {
    let text = spec(&THREE_AND_THREE).replace("endpoint: 10.77.0.11:6443", "endpoint: 10.77.0.10:6443");
    let inventory = nodes_with(&text, &["cp2", "cp3", "w1", "w2", "w3"]);
    let plan = components(&text, &Draining { max_unavailable: 2, ..draining() }, &inventory).unwrap();
    let after = |task: &str| plan.task(task).unwrap().after.join(" ");
    assert_eq!(after("cp1/snapshot"), "cp1/stage cp2/stage cp3/stage w1/stage w2/stage w3/stage");
    assert_eq!(after("cp1/drain-cp2"), "cp1/snapshot");
    assert_eq!(after("cp2/components"), "cp1/drain-cp2");
    assert_eq!(after("cp1/ready-cp2"), "cp2/components");
    assert_eq!(after("cp2/upgraded"), "cp1/ready-cp2");
    assert_eq!(after("cp1/return-cp2"), "cp2/upgraded");
    assert_eq!(after("cp1/drain-cp3"), "cp1/return-cp2");
    assert_eq!((after("cp1/drain-w1"), after("cp1/drain-w2")), ("cp1/return-cp3".into(), "cp1/return-cp3".into()));
    assert_eq!(after("cp1/drain-w3"), "cp1/return-w1");
    let of_cp1: Vec<&str> = plan
        .tasks
        .iter()
        .map(|task| task.id.as_str())
        .filter(|id| id.ends_with("-cp1") || *id == "cp1/components")
        .collect();
    assert_eq!(of_cp1, [""; 0], "it has what the release has, and is left alone");
}

/// etcd has nothing to lose where no control plane changes.
#[test]
fn where_only_workers_differ_no_snapshot_is_taken() {
    let plan = components(ONE_AND_ONE, &draining(), &nodes_with(ONE_AND_ONE, &["w1"])).unwrap();
    assert!(plan.task("cp1/snapshot").is_none());
    assert_eq!(plan.task("cp1/drain-w1").unwrap().after, ["cp1/stage", "w1/stage"]);
    assert_eq!((containerd(&plan, "cp1"), containerd(&plan, "w1")), (None, Some("v2.4.10".into())));
}

#[test]
fn the_only_node_is_not_emptied() {
    let text = spec(&[("cp1", "10.77.0.11", "control-plane, worker")]);
    let plan = components(&text, &draining(), &nodes_with(&text, &["cp1"])).unwrap();
    let steps = || plan.tasks.iter().flat_map(|task| &task.steps);
    assert!(!steps().any(|step| matches!(step.action, StepKind::Drained(_) | StepKind::Uncordoned(_))));
    assert!(steps().all(|step| step.class() != Class::OneWay));
    assert_eq!(plan.task("cp1/components").unwrap().after, ["cp1/snapshot"]);
}

#[test]
fn a_node_that_takes_no_pods_goes_on_like_that() {
    let cordoned = BTreeSet::from(["w1".to_owned()]);
    let inventory = nodes_with(ONE_AND_ONE, &["cp1", "w1"]);
    let plan = components(ONE_AND_ONE, &Draining { cordoned, ..draining() }, &inventory).unwrap();
    assert_eq!(plan.task("cp1/return-w1").unwrap().steps, []);
    assert_eq!(plan.task("cp1/return-cp1").unwrap().steps.len(), 1);
}

/// Two are not away at a time because the release has changed while one was.
#[test]
fn who_is_away_already_is_ended_with_first() {
    let text = spec(&THREE_AND_THREE).replace("endpoint: 10.77.0.11:6443", "endpoint: 10.77.0.10:6443");
    let away: BTreeSet<String> = ["cp3", "w2"].map(ToOwned::to_owned).into();
    let inventory = nodes_with(&text, &["cp1", "cp3", "w1", "w2"]);
    let plan = components(&text, &Draining { away, ..draining() }, &inventory).unwrap();
    let after = |task: &str| plan.task(task).unwrap().after.join(" ");
    assert_eq!(after("cp1/drain-cp3"), "cp1/snapshot");
    assert_eq!(after("cp1/drain-cp1"), "cp1/return-cp3");
    assert_eq!(after("cp1/drain-w2"), "cp1/return-cp1");
    assert_eq!(after("cp1/drain-w1"), "cp1/return-w2");
}

/// Its only neighbour was removed after it had been emptied.
#[test]
fn the_only_node_is_given_back_where_it_was_emptied_before() {
    let text = spec(&[("cp1", "10.77.0.11", "control-plane, worker")]);
    let away = BTreeSet::from(["cp1".to_owned()]);
    let plan = components(&text, &Draining { away, ..draining() }, &nodes_with(&text, &["cp1"])).unwrap();
    assert_eq!(plan.task("cp1/return-cp1").unwrap().steps.len(), 1);
}

/// A runtime that does not start can be taken back: nothing asks it before it was replaced.
#[test]
fn images_are_looked_at_behind_the_new_runtime() {
    let plan = components(ONE_AND_ONE, &draining(), &nodes_with(ONE_AND_ONE, &["w1"])).unwrap();
    let has_images = |task: &str| {
        let last = plan.task(task).unwrap().steps.last().unwrap();
        matches!(last.action, StepKind::Images(_))
    };
    assert!(!has_images("w1/stage") && has_images("w1/components"));
}

/// The kubelet that drains are looked at by has the same version before and after: that says nothing of what changed.
#[test]
fn kubernetes_stays() {
    let plan = components(ONE_AND_ONE, &draining(), &nodes_with(ONE_AND_ONE, &["cp1", "w1"])).unwrap();
    assert_eq!(plan.kubernetes, RUNS);
    for step in plan.tasks.iter().flat_map(|task| &task.steps) {
        match &step.action {
            StepKind::KubeadmPhase(_) | StepKind::RunAs(_) => panic!("{step} changes Kubernetes"),
            StepKind::Drained(drained) => assert_eq!(drained.version, None),
            StepKind::NodeReady(ready) => assert_eq!(ready.containerd.as_deref(), Some("v2.4.10")),
            _ => {}
        }
    }
    let other = components(ONE_AND_ONE, &draining(), &nodes(ONE_AND_ONE, "v1.35.4")).unwrap_err();
    assert_eq!(other.code(), Some(Code::Spec));
    assert!(matches!(other, PlanError::OtherVersion { .. }), "{other}");
    let mut bare = nodes_with(ONE_AND_ONE, &["cp1"]);
    bare.hosts.get_mut("w1").unwrap().facts.kubernetes = Kubernetes::None;
    let bare = components(ONE_AND_ONE, &draining(), &bare).unwrap_err();
    assert!(matches!(bare, PlanError::NotANode { .. }), "{bare}");
}

#[test]
fn what_is_behind_is_told_for_nodes_alone() {
    let told = |inventory: &Inventory| -> Vec<String> {
        behind(&cluster(ONE_AND_ONE), inventory, &release()).iter().map(ToString::to_string).collect()
    };
    assert_eq!(told(&nodes_with(ONE_AND_ONE, &[])), [""; 0]);
    let mut inventory = nodes_with(ONE_AND_ONE, &["w1"]);
    inventory.hosts.get_mut("cp1").unwrap().facts.components.insert("cni-plugins".into(), "v1.10.0".into());
    let both = [
        "cp1 uses cni-plugins v1.10.0, and the release has v1.9.1",
        "w1 uses containerd v2.4.2, and the release has v2.4.10",
    ];
    assert_eq!(told(&inventory), both, "an older one is what the release has, too");
    inventory.hosts.get_mut("w1").unwrap().facts.kubernetes = Kubernetes::None;
    assert_eq!(told(&inventory), both[..1]);
    assert_eq!(told(&bare_hosts()), [""; 0]);
}

/// Nobody who looks whether all is as it should be starts the runtime of every node anew by that.
#[test]
fn an_apply_leaves_the_runtime_of_nodes_as_it_is() {
    let mut inventory = nodes_with(ONE_AND_ONE, &["cp1", "w1"]);
    let applied = |inventory: &Inventory| plan_of(ONE_AND_ONE, inventory).unwrap();
    assert_eq!(containerd(&applied(&inventory), "w1"), Some("v2.4.2".into()));
    let w1 = inventory.hosts.get_mut("w1").unwrap();
    w1.facts.components.insert("containerd".into(), "v2.3.7".into());
    assert_eq!(
        containerd(&applied(&inventory), "w1"),
        None,
        "the release has it no more: there is nothing to repair it by"
    );
    let w1 = inventory.hosts.get_mut("w1").unwrap();
    w1.facts.components.remove("containerd");
    assert_eq!(containerd(&applied(&inventory), "w1"), Some("v2.4.10".into()), "its links are gone");
    let w1 = inventory.hosts.get_mut("w1").unwrap();
    w1.facts.components.insert("containerd".into(), "v2.4.2".into());
    w1.facts.kubernetes = Kubernetes::None;
    assert_eq!(containerd(&applied(&inventory), "w1"), Some("v2.4.10".into()), "it is no node yet, and has no pods");
    assert_eq!(containerd(&applied(&inventory), "cp1"), Some("v2.4.2".into()));
}

/// Where the first apply failed because of a runtime, the bundle with a better one helps.
#[test]
fn a_host_that_kubeadm_is_not_through_with_gets_what_the_release_has() {
    let mut inventory = nodes_with(ONE_AND_ONE, &["w1"]);
    let Kubernetes::Sealock(node) = &mut inventory.hosts.get_mut("w1").unwrap().facts.kubernetes else {
        panic!("it is a node")
    };
    (node.joined, node.complete) = (true, false);
    assert_eq!(containerd(&plan_of(ONE_AND_ONE, &inventory).unwrap(), "w1"), Some("v2.4.10".into()));
    assert_eq!(behind(&cluster(ONE_AND_ONE), &inventory, &release()), []);
}
