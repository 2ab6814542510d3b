//! Plans that bring a cluster to the next version, and what makes them refused.

use std::collections::{BTreeMap, BTreeSet};

use sealock_cluster::plan::{Draining, Intent, Printed, Way, oldest, plan_neighbours, plan_upgrade};
use sealock_cluster::release::NotInRelease;
use sealock_cluster::{Inventory, Plan, PlanError};
use sealock_node::facts::Kubernetes;
use sealock_node::{Class, StepKind};
use sealock_trust::reason::Code;

use crate::fixture::{
    ONE_AND_ONE, THREE_AND_THREE, cluster, draining, next_images, next_release, nodes, plan_of, registry, release, spec,
};

const NEXT: &str = "v1.37.2";

fn upgrade(text: &str, draining: &Draining, inventory: &Inventory) -> Result<Plan, PlanError> {
    let cluster = cluster(text).with_version(NEXT.parse().unwrap());
    let intent = Intent {
        cluster: &cluster,
        release: &next_release(),
        registry: &registry(),
        kubernetes_images: &next_images(),
        earlier_pod_ranges: &BTreeMap::new(),
        earlier_speaker: "",
        program: "/opt/sealock/sealock/0.1.0/sealock",
        etcd_client: None,
        supplied: None,
        signed: None,
    };
    plan_upgrade(&intent, draining, inventory)
}

#[test]
fn one_control_plane_and_one_worker() {
    let plan = upgrade(ONE_AND_ONE, &draining(), &nodes(ONE_AND_ONE, "v1.36.3")).unwrap();
    insta::assert_snapshot!("upgrade_one_and_one", Printed { plan: &plan, assessment: None }.to_string());
    assert_eq!(Plan::from_json(&plan.to_json().unwrap()).unwrap(), plan);
}

#[test]
fn control_planes_one_after_the_other_and_then_the_workers_some_at_a_time() {
    let text = spec(&THREE_AND_THREE).replace("endpoint: 10.77.0.11:6443", "endpoint: 10.77.0.10:6443");
    let plan = upgrade(&text, &Draining { max_unavailable: 2, ..draining() }, &nodes(&text, "v1.36.3")).unwrap();
    let after = |task: &str| plan.task(task).unwrap().after.join(" ");
    assert_eq!(after("cp1/snapshot"), "cp1/stage cp2/stage cp3/stage w1/stage w2/stage w3/stage");
    assert_eq!(after("cp1/kubeadm"), "cp1/snapshot");
    assert_eq!(after("cp1/drain-cp1"), "cp1/kubeadm");
    assert_eq!(after("cp1/kubelet"), "cp1/drain-cp1");
    assert_eq!(after("cp2/kubeadm"), "cp1/ready-cp1");
    assert_eq!(after("cp3/kubeadm"), "cp1/ready-cp2");
    assert_eq!(after("cp1/cluster"), "cp1/ready-cp3");
    assert_eq!(after("w2/services"), "cp1/cluster");
    let looked = "cp1/services cp2/services cp3/services w1/services w2/services w3/services";
    assert_eq!((after("cp1/drain-w1"), after("cp1/drain-w2")), (looked.to_owned(), looked.to_owned()));
    assert_eq!((after("w1/upgraded"), after("cp1/return-w1")), ("cp1/ready-w1".into(), "w1/upgraded".into()));
    assert_eq!(after("cp1/drain-w3"), "cp1/return-w1");
    let command = |task: &str| {
        plan.task(task).unwrap().steps.iter().find_map(|step| match &step.action {
            StepKind::KubeadmPhase(phase) => Some(phase.command.as_str()),
            _ => None,
        })
    };
    assert_eq!((command("cp1/kubeadm"), command("cp2/kubeadm")), (Some("upgrade apply"), Some("upgrade node")));
}

/// There is no other place for its pods: they stay, and so does what they wrote.
#[test]
fn the_only_node_is_not_emptied() {
    let text = spec(&[("cp1", "10.77.0.11", "control-plane, worker")]);
    let plan = upgrade(&text, &draining(), &nodes(&text, "v1.36.3")).unwrap();
    let steps = || plan.tasks.iter().flat_map(|task| &task.steps);
    assert!(!steps().any(|step| matches!(step.action, StepKind::Drained(_) | StepKind::Uncordoned(_))));
    assert!(steps().all(|step| step.class() != Class::OneWay));
}

#[test]
fn a_node_that_takes_no_pods_goes_on_like_that() {
    let cordoned = BTreeSet::from(["w1".to_owned()]);
    let plan = upgrade(ONE_AND_ONE, &Draining { cordoned, ..draining() }, &nodes(ONE_AND_ONE, "v1.36.3")).unwrap();
    let uncordoned: Vec<String> = plan
        .tasks
        .iter()
        .flat_map(|task| &task.steps)
        .filter_map(|step| match &step.action {
            StepKind::Uncordoned(step) => Some(step.node.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(uncordoned, ["cp1"]);
}

/// After a command that was killed: no other node is emptied while one is away.
#[test]
fn nodes_that_are_away_are_ended_with_first() {
    let text = spec(&THREE_AND_THREE).replace("endpoint: 10.77.0.11:6443", "endpoint: 10.77.0.10:6443");
    let away = BTreeSet::from(["cp3".to_owned(), "w2".to_owned()]);
    let plan = upgrade(&text, &Draining { away, ..draining() }, &nodes(&text, "v1.36.3")).unwrap();
    let after = |task: &str| plan.task(task).unwrap().after.join(" ");
    assert_eq!(after("cp3/kubeadm"), "cp1/ready-cp1", "whoever speaks for the cluster changes it, and comes first");
    assert_eq!(after("cp2/kubeadm"), "cp1/ready-cp3");
    assert!(after("cp1/drain-w2").contains("w1/services"), "the first one to be emptied");
    assert_eq!((after("cp1/drain-w1"), after("cp1/drain-w3")), ("cp1/return-w2".into(), "cp1/return-w1".into()));
}

/// What has been begun without keeping what nodes were is not kept half way.
#[test]
fn nodes_that_are_something_in_between_are_not_kept() {
    let keeps = |since: &str| {
        let how = Draining { since: since.into(), ..draining() };
        let plan = upgrade(ONE_AND_ONE, &how, &nodes(ONE_AND_ONE, "v1.36.3")).unwrap();
        let steps = plan.tasks.iter().flat_map(|task| &task.steps);
        steps.filter(|step| matches!(step.action, StepKind::Kept(_) | StepKind::ObjectsKept(_))).count()
    };
    assert_eq!((keeps("v1.36.3 of release 1"), keeps("")), (3, 0));
}

/// While versions are mixed, a host that leaves changes routes on the others, and nothing else.
#[test]
fn whoever_stays_is_told_and_not_touched_otherwise() {
    let text = spec(&[("cp1", "10.77.0.11", "control-plane"), ("w1", "10.77.0.21", "worker")]);
    let cluster = cluster(&text);
    let intent = Intent {
        cluster: &cluster,
        release: &release(),
        registry: &registry(),
        kubernetes_images: &[],
        earlier_pod_ranges: &BTreeMap::new(),
        earlier_speaker: "",
        program: "/opt/sealock/sealock/0.1.0/sealock",
        etcd_client: None,
        supplied: None,
        signed: None,
    };
    let plan = plan_neighbours(&intent, &nodes(&text, NEXT)).unwrap();
    let steps: Vec<_> = plan.tasks.iter().map(|task| (task.id.as_str(), task.steps.len(), task.after.len())).collect();
    assert_eq!(steps, [("cp1/neighbours", 1, 0), ("w1/neighbours", 1, 0)]);
    assert!(plan.tasks.iter().all(|task| matches!(task.steps[0].action, StepKind::RoutedNetwork(_))));
}

#[test]
fn what_runs_is_not_applied_over_and_nothing_goes_back() {
    let older = nodes(ONE_AND_ONE, "v1.35.4");
    let refused = plan_of(ONE_AND_ONE, &older).unwrap_err();
    assert_eq!(refused.code(), Some(Code::Spec));
    assert_eq!(refused.to_string(), "host cp1 runs Kubernetes v1.35.4, and the spec says v1.36.3");
    plan_of(ONE_AND_ONE, &nodes(ONE_AND_ONE, "v1.36.3")).unwrap();

    let oldest = |version: &str, wanted: &str| {
        oldest(&cluster(ONE_AND_ONE), &nodes(ONE_AND_ONE, version), wanted.parse().unwrap())
    };
    assert_eq!(oldest("v1.35.4", NEXT).unwrap().to_string(), "v1.35.4");
    assert!(matches!(oldest("v1.37.2", "v1.37.1"), Err(PlanError::Downgrade { .. })));
    let mut half = nodes(ONE_AND_ONE, NEXT);
    half.hosts.get_mut("w1").unwrap().facts.components.insert("kubelet".into(), "v1.36.3".into());
    let found = sealock_cluster::plan::oldest(&cluster(ONE_AND_ONE), &half, NEXT.parse().unwrap()).unwrap();
    assert_eq!(found.to_string(), "v1.36.3", "one that was left half way is found");
    half.hosts.get_mut("w1").unwrap().facts.kubernetes = Kubernetes::None;
    let bare = sealock_cluster::plan::oldest(&cluster(ONE_AND_ONE), &half, NEXT.parse().unwrap()).unwrap_err();
    assert!(matches!(bare, PlanError::NotANode { .. }), "{bare}");
}

#[test]
fn no_minor_version_is_passed_over_and_what_was_begun_is_finished_first() {
    let hops = |from: &str, begun: Option<&str>, applied: &str, wanted: &str| {
        let [from, applied, wanted] = [from, applied, wanted].map(|version| version.parse().unwrap());
        let way = Way { from, begun: begun.map(|version| version.parse().unwrap()), applied, wanted };
        let hops = way.hops(&next_release(), "amd64")?;
        Ok::<_, NotInRelease>(hops.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let none: [&str; 0] = [];
    assert_eq!(
        hops("v1.35.4", None, "v1.35.4", NEXT).unwrap(),
        ["v1.36.3", NEXT],
        "the newest patch of what lies between"
    );
    assert_eq!(hops("v1.36.1", None, "v1.36.1", NEXT).unwrap(), [NEXT]);
    assert_eq!(hops("v1.37.1", None, "v1.37.1", NEXT).unwrap(), [NEXT], "a patch goes by the same way");
    assert_eq!(hops(NEXT, None, NEXT, NEXT).unwrap(), none);
    assert_eq!(hops("v1.35.4", Some("v1.36.3"), "v1.35.4", NEXT).unwrap(), ["v1.36.3", NEXT]);
    assert_eq!(
        hops("v1.36.3", Some("v1.36.3"), "v1.35.4", NEXT).unwrap(),
        ["v1.36.3", NEXT],
        "nodes are to be given back yet"
    );
    assert_eq!(hops("v1.36.3", Some("v1.37.1"), "v1.36.3", NEXT).unwrap(), [NEXT], "a better patch came");
    assert_eq!(hops(NEXT, Some(NEXT), "v1.36.3", NEXT).unwrap(), [NEXT]);
    assert_eq!(hops(NEXT, None, "v1.36.3", NEXT).unwrap(), [NEXT], "it was done, and not written down");
    let missing = hops("v1.34.9", None, "v1.34.9", NEXT).unwrap_err();
    assert!(missing.to_string().contains("no Kubernetes v1.35 for linux/amd64"), "{missing}");
}
