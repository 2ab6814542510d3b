//! Plans that take an upgrade back.

use std::collections::{BTreeMap, BTreeSet};

use sealock_cluster::plan::{Draining, Extent, Intent, Printed, plan_rollback};
use sealock_cluster::{Inventory, Plan, PlanError};
use sealock_node::{Class, StepKind};
use sealock_trust::reason::Code;

use crate::fixture::{
    ONE_AND_ONE, THREE_AND_THREE, cluster, draining, kubernetes_images, nodes, registry, release, spec,
};

/// The images of the Kubernetes of before, and who spoke for the cluster in the upgrade.
type Before<'a> = (&'a [String], &'a str);

fn back(text: &str, draining: &Draining, extent: Extent, hosts: &[&str], inventory: &Inventory) -> Plan {
    back_from(text, (&kubernetes_images(), ""), draining, (extent, hosts), inventory).unwrap()
}

fn back_from(
    text: &str,
    (images, speaker): Before<'_>,
    draining: &Draining,
    (extent, hosts): (Extent, &[&str]),
    inventory: &Inventory,
) -> Result<Plan, PlanError> {
    let cluster = cluster(text);
    let intent = Intent {
        cluster: &cluster,
        release: &release(),
        registry: &registry(),
        kubernetes_images: images,
        earlier_pod_ranges: &BTreeMap::new(),
        earlier_speaker: speaker,
        program: "/opt/sealock/sealock/0.1.0/sealock",
        etcd_client: None,
        supplied: None,
        signed: None,
    };
    let hosts = hosts.iter().map(ToString::to_string).collect();
    plan_rollback(&intent, draining, (extent, &hosts), inventory)
}

fn three_and_three() -> String {
    spec(&THREE_AND_THREE).replace("endpoint: 10.77.0.11:6443", "endpoint: 10.77.0.10:6443")
}

#[test]
fn one_control_plane_and_one_worker() {
    let inventory = nodes(ONE_AND_ONE, "v1.37.2");
    let plan = back(ONE_AND_ONE, &draining(), Extent::Kubernetes, &["cp1", "w1"], &inventory);
    insta::assert_snapshot!("rollback_one_and_one", Printed { plan: &plan, assessment: None }.to_string());
    assert_eq!(Plan::from_json(&plan.to_json().unwrap()).unwrap(), plan);
    assert!(plan.tasks.iter().flat_map(|task| &task.steps).all(|step| step.class() != Class::OneWay));
}

/// No kubelet and no kube-proxy is ever newer than an API server.
#[test]
fn workers_go_back_first_then_the_add_ons_and_whoever_speaks_for_the_cluster_last() {
    let text = three_and_three();
    let hosts = ["cp1", "cp2", "w1", "w3"];
    let plan = back(&text, &draining(), Extent::Kubernetes, &hosts, &nodes(&text, "v1.37.2"));
    let order: Vec<&str> = plan.tasks.iter().map(|task| task.id.as_str()).filter(|id| id.ends_with("/back")).collect();
    assert_eq!(order, ["w1/back", "w3/back", "cp2/back", "cp1/back"], "who has not changed is left alone");
    let after = |task: &str| plan.task(task).unwrap().after.join(" ");
    assert_eq!((after("w1/back"), after("cp1/return-w1")), ("cp1/drain-w1".into(), "w1/back".into()));
    assert_eq!(after("cp1/drain-w3"), "cp1/return-w1");
    assert_eq!(after("cp1/cluster"), "cp1/return-w3");
    assert_eq!((after("cp1/drain-cp2"), after("cp1/drain-cp1")), ("cp1/cluster".into(), "cp1/return-cp2".into()));
    assert_eq!(after("w2/upgraded"), "cp1/return-cp1", "services are looked at from every node");
}

/// The others go on with what the upgrade has made of the cluster.
#[test]
fn a_node_that_failed_goes_back_alone() {
    let text = three_and_three();
    let away = BTreeSet::from(["cp2".to_owned()]);
    let how = Draining { away, ..draining() };
    let plan = back(&text, &how, Extent::Nodes, &["cp2"], &nodes(&text, "v1.36.3"));
    let tasks: Vec<&str> = plan.tasks.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(tasks, ["cp2/back", "cp1/return-cp2"], "it is empty already");
    let returned = &plan.task("cp1/return-cp2").unwrap().steps;
    assert!(matches!(&returned[0].action, StepKind::NodeReady(ready) if ready.version.as_deref() == Some("v1.36.3")));
    assert!(matches!(&returned[1].action, StepKind::Uncordoned(uncordoned) if uncordoned.node == "cp2"));
}

/// Components leave nothing in the cluster, and a node that took no pods before takes none afterwards.
#[test]
fn components_go_back_on_the_nodes_alone() {
    let cordoned = BTreeSet::from(["w1".to_owned()]);
    let how = Draining { cordoned, ..draining() };
    let plan = back(ONE_AND_ONE, &how, Extent::Components, &["cp1", "w1"], &nodes(ONE_AND_ONE, "v1.36.3"));
    let tasks: Vec<&str> = plan.tasks.iter().map(|task| task.id.as_str()).collect();
    let [of_worker, of_plane] =
        ["w1", "cp1"].map(|node| [format!("cp1/drain-{node}"), format!("{node}/back"), format!("cp1/return-{node}")]);
    assert_eq!(tasks, [of_worker, of_plane].concat());
    assert_eq!(plan.task("cp1/return-w1").unwrap().steps.len(), 1, "it is not given back");
}

/// What is kept of the cluster is kept on one host, and another one would take it for what it was.
#[test]
fn an_upgrade_is_not_taken_back_without_the_host_that_keeps_what_the_cluster_was() {
    let (text, images) = (three_and_three(), kubernetes_images());
    let inventory = nodes(&text, "v1.37.2");
    let back = |speaker, extent| back_from(&text, (&images, speaker), &draining(), (extent, &["cp2"]), &inventory);
    assert_eq!(back("cp2", Extent::Kubernetes).unwrap().speaker, "cp2");
    let refused = back("cp9", Extent::Kubernetes).unwrap_err();
    assert_eq!(refused.code(), Some(Code::OneWay));
    insta::assert_snapshot!(
        format!("{refused}\n{}", refused.hint().unwrap()),
        @r"
    what kubeadm has changed in the cluster was kept on cp9 alone, which the upgrade was begun with and which is no control plane of it any more
    two ways are left: forward (`sealock cluster upgrade` goes on with the others); or back to a backup from before, which loses all that was written since (`sealock cluster reset`, then `sealock cluster restore`)
    "
    );
    assert_eq!(back("cp9", Extent::Nodes).unwrap().speaker, "cp1", "a node goes back by what it keeps itself");
}

/// A release need not have the Kubernetes of before any more for a node to go back by itself.
#[test]
fn nodes_and_components_go_back_by_what_is_kept() {
    let inventory = nodes(ONE_AND_ONE, "v1.36.3");
    for extent in [Extent::Nodes, Extent::Components] {
        let plan = back_from(ONE_AND_ONE, (&[], ""), &draining(), (extent, &["w1"]), &inventory).unwrap();
        assert!(plan.task("w1/back").is_some(), "{extent:?}");
    }
    let whole = back_from(ONE_AND_ONE, (&[], ""), &draining(), (Extent::Kubernetes, &["w1"]), &inventory);
    assert!(matches!(whole, Err(PlanError::NoImage { .. })));
}
