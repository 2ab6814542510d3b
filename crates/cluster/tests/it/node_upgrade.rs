//! A machine by itself that goes to another version: the steps are those of a cluster's upgrade, with one host.

use std::collections::{BTreeMap, BTreeSet};

use sealock_cluster::machine::upgrade::{self, Emptying, Goal, Plane};
use sealock_cluster::machine::{BegunUpgrade, MachineError, MachinePlan, plan};
use sealock_cluster::plan::{Intent, plan_upgrade};
use sealock_node::facts::{HostFacts, Kubernetes};
use sealock_node::step::BY_ITSELF;
use sealock_node::{Probe, Step, StepKind};
use sealock_trust::json::jcs;
use sealock_trust::reason::Code;
use sealock_trust::{Digest, format};

use crate::fixture::{
    ONE_AND_ONE, cluster, draining, kubernetes_images, next_images, next_release, nodes, registry, release,
};

const NEXT: &str = "v1.37.2";
const PROGRAM: &str = "/opt/sealock/sealock/0.1.0/sealock";

/// The machine `name` of the cluster of one and one, as `sealock node` has set it up.
fn machine(name: &str) -> HostFacts {
    let mut facts = nodes(ONE_AND_ONE, "v1.36.3").hosts.remove(name).unwrap().facts;
    let Kubernetes::Sealock(node) = &mut facts.kubernetes else { panic!("a node") };
    node.cluster = BY_ITSELF.into();
    facts
}

fn begun(node: &str, control_plane: Option<Plane>) -> BegunUpgrade {
    BegunUpgrade {
        format: format::NODE_UPGRADE.current.into(),
        since: "v1.36.3 of release 2".into(),
        cluster: "plant-7".parse().unwrap(),
        node: node.into(),
        from: "v1.36.3".parse().unwrap(),
        to: NEXT.parse().unwrap(),
        components: false,
        alone: false,
        cordoned: false,
        services: "10.96.0.0/12".parse().unwrap(),
        dns_domain: "cluster.local".into(),
        routed: true,
        kube_proxy: Some(format!("registry.k8s.io/kube-proxy:{NEXT}")),
        control_plane,
    }
}

const ONLY: Plane = Plane { first: true, last: true, coredns: true };

fn upgraded(begun: &BegunUpgrade) -> MachinePlan {
    planned((begun, false), &machine(&begun.node)).unwrap()
}

fn planned((begun, resumed): (&BegunUpgrade, bool), facts: &HostFacts) -> Result<MachinePlan, MachineError> {
    let of_next = !begun.components;
    let (release, images) = if of_next { (next_release(), next_images()) } else { (release(), kubernetes_images()) };
    let overrides = cluster(ONE_AND_ONE).spec().overrides.clone();
    let prepared = plan::Intent {
        kubernetes: begun.to,
        control_plane: begun.control_plane.is_some(),
        images: &images,
        release: &release,
        site: &plan::SiteName { id: "plant-7".into(), root: Digest::sha256(b"a site root") },
        registry: &registry(),
        overrides: &overrides,
    };
    let emptying = Emptying { force: false, delete_emptydir_data: false, timeout_seconds: 600 };
    let etcd_members = begun.control_plane.filter(|_| !resumed).map(|_| 3);
    let intent = upgrade::Intent { prepared: &prepared, begun, resumed, etcd_members, emptying, program: PROGRAM };
    upgrade::upgrade(&intent, facts)
}

#[test]
fn the_only_control_plane_the_worker_and_the_only_node() {
    insta::assert_snapshot!("node_upgrade_plane", upgraded(&begun("cp1", Some(ONLY))));
    insta::assert_snapshot!("node_upgrade_worker", upgraded(&begun("w1", None)));
    let alone = BegunUpgrade { alone: true, ..begun("cp1", Some(ONLY)) };
    let plan = upgraded(&alone);
    let ids: Vec<&str> = plan.steps.iter().map(|step| step.id.as_str()).collect();
    assert!(!ids.contains(&"drain") && !ids.contains(&"uncordon"), "{ids:?}");
    assert!(plan.warnings[0].contains("the only node"), "{:?}", plan.warnings);
}

#[test]
fn containerd_alone_becomes_another_one_under_the_same_kubernetes() {
    let from = "v1.36.3".parse().unwrap();
    let begun = BegunUpgrade { components: true, to: from, ..begun("cp1", Some(ONLY)) };
    insta::assert_snapshot!("node_upgrade_components", upgraded(&begun));
}

/// But for what is looked at of others, and for what keeps what was asked.
#[test]
fn the_steps_are_those_of_a_clusters_upgrade() {
    let cluster = cluster(ONE_AND_ONE).with_version(NEXT.parse().unwrap());
    let intent = Intent {
        cluster: &cluster,
        release: &next_release(),
        registry: &registry(),
        kubernetes_images: &next_images(),
        earlier_pod_ranges: &BTreeMap::new(),
        earlier_speaker: "",
        program: PROGRAM,
        etcd_client: None,
        supplied: None,
        signed: None,
    };
    let of_cluster = plan_upgrade(&intent, &draining(), &nodes(ONE_AND_ONE, "v1.36.3")).unwrap();
    for (node, plane) in [("cp1", Some(ONLY)), ("w1", None)] {
        let is_of_node = |step: &&Step| match &step.action {
            StepKind::Drained(step) => step.node == node,
            StepKind::Uncordoned(step) => step.node == node,
            StepKind::NodeReady(step) => step.node == node,
            StepKind::ObjectsKept(_) | StepKind::EtcdSnapshot(_) | StepKind::RolledOut(_) => plane.is_some(),
            StepKind::KubeadmPhase(phase) => phase.node == node,
            StepKind::RunAs(_) => false,
            _ => true,
        };
        let tasks = of_cluster.tasks.iter().filter(|task| task.host == node || task.host == "cp1");
        let own = |task: &&sealock_cluster::plan::Task| {
            task.host == node
                || task.steps.iter().any(|step| {
                    matches!(&step.action, StepKind::Drained(step) if step.node == node)
                        || matches!(&step.action, StepKind::NodeReady(step) if step.node == node)
                        || matches!(&step.action, StepKind::Uncordoned(step) if step.node == node)
                })
        };
        let wanted = tasks.filter(own).flat_map(|task| &task.steps).filter(is_of_node);
        let wanted: BTreeSet<String> = wanted.map(|step| format!("{:?}", step.action)).collect();
        let alone = upgraded(&begun(node, plane)).steps;
        // By kubectl a worker empties itself.
        let is_shared = |step: &&Step| !["begun", "component/kubectl", "etcd/well"].contains(&step.id.as_str());
        let found: BTreeSet<String> = alone.iter().filter(is_shared).map(|step| format!("{:?}", step.action)).collect();
        let wanted: BTreeSet<String> = wanted
            .into_iter()
            .filter(|step| plane.is_none() || !step.contains("\"kubectl\"") || step.contains("staged: true"))
            .collect();
        assert_eq!(found, wanted, "{node}");
    }
}

#[test]
fn a_further_control_plane_leaves_the_cluster_to_the_first_and_to_the_last() {
    let between = upgraded(&begun("cp1", Some(Plane { first: false, last: false, coredns: true })));
    let ids: Vec<&str> = between.steps.iter().map(|step| step.id.as_str()).collect();
    assert!(ids.contains(&"kubeadm/upgrade-node/control-plane"), "{ids:?}");
    assert!(!ids.iter().any(|id| id.contains("addon") || id.contains("upgrade-apply") || *id == "objects-kept"));
    assert!(between.warnings[0].contains("the last control plane"), "{:?}", between.warnings);
    let last = upgraded(&begun("cp1", Some(Plane { first: false, last: true, coredns: false })));
    let ids: Vec<&str> = last.steps.iter().map(|step| step.id.as_str()).collect();
    assert!(ids.contains(&"kubeadm/upgrade-apply/addon-all") && ids.contains(&"kube-proxy"), "{ids:?}");
    assert!(!ids.contains(&"coredns"), "{ids:?}");
}

#[test]
fn what_is_no_node_by_itself_or_too_far_away_is_refused() {
    let to = |version: &str| Goal::Kubernetes(version.parse().unwrap());
    let refused = |goal, facts: &HostFacts, code, words: &str| {
        let error = upgrade::upgradable(goal, facts).unwrap_err();
        assert_eq!(error.code(), Some(code), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    let worker = machine("w1");
    refused(to("v1.38.0"), &worker, Code::Spec, "a minor version would be passed over");
    refused(to("v1.36.2"), &worker, Code::Spec, "runs Kubernetes v1.36.3");
    let mut driven = worker.clone();
    driven.kubernetes = crate::fixture::joined("plant-7");
    refused(to(NEXT), &driven, Code::Foreign, "driven from a station");
    let mut bare = worker.clone();
    bare.kubernetes = Kubernetes::None;
    refused(to(NEXT), &bare, Code::Preflight, "no complete node");
    // Cut off between kubeadm and kubelet: it is what the older one is.
    let mut between = worker.clone();
    between.components.insert("kubeadm".into(), NEXT.into());
    let node = upgrade::upgradable(to(NEXT), &between).unwrap();
    assert_eq!((node.from.to_string(), node.control_plane), ("v1.36.3".into(), false));
    refused(to("v1.36.3"), &between, Code::Spec, "runs Kubernetes v1.37.2");
    assert_eq!(upgrade::upgradable(Goal::Components, &worker).unwrap().to.to_string(), "v1.36.3");
}

#[test]
fn only_what_failed_on_the_node_itself_is_taken_back() {
    let of_plane = upgraded(&begun("cp1", Some(ONLY)));
    let is_of_node = |plan: &MachinePlan, step: &str| upgrade::is_of_the_node(plan, step);
    for step in ["kubeadm/upgrade-apply/control-plane", "component/containerd", "kubelet/unit", "ready"] {
        assert!(is_of_node(&of_plane, step), "{step}");
    }
    for step in ["begun", "stage/images", "etcd/snapshot", "kept", "drain", "uncordon", "coredns", "services", "no"] {
        assert!(!is_of_node(&of_plane, step), "{step}");
    }
    let of_worker = upgraded(&begun("w1", None));
    assert!(is_of_node(&of_worker, "services") && !is_of_node(&of_worker, "drain"));
    let back = upgrade::back(&begun("w1", None), &of_worker);
    insta::assert_snapshot!("node_upgrade_back", back);
}

#[test]
fn nothing_is_to_do_where_all_but_what_only_keeps_is_done() {
    let plan = upgraded(&begun("w1", None));
    let open = |id: &str| ["begun", "kept", "drain", "etcd/well"].contains(&id);
    let probe = |id: &str| if open(id) { Probe::not_done("it is not") } else { Probe::Done };
    let mut probes: BTreeMap<String, Probe> =
        plan.steps.iter().map(|step| (step.id.clone(), probe(&step.id))).collect();
    assert!(upgrade::is_through(&plan, &probes));
    probes.insert("kubelet/unit".into(), Probe::not_done("it is stopped"));
    assert!(!upgrade::is_through(&plan, &probes));
}

/// Where nothing says that etcd's data was not raised, the control plane stays what it has become.
#[test]
fn a_control_plane_whose_etcd_does_not_answer_does_not_go_back() {
    let root = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let manifest = |version: &str| {
        format!("spec:\n  containers:\n  - command: [etcd]\n    image: registry.k8s.io/etcd:{version}\n")
    };
    let files =
        serde_json::json!({"/etc/kubernetes/manifests/etcd.yaml": {"mode": "0600", "content": manifest("3.6.8-0")}});
    let kept = serde_json::json!({
        "format": "node-kept/1.0", "since": "v1.36.3 of release 2", "files": files, "links": {}, "marks": {},
    });
    put("var/lib/sealock/node/kept.json", &kept.to_string());
    let host = sealock_node::Local::rooted(root.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let check = || runtime.block_on(upgrade::check_goes_back(&host, &begun("cp1", Some(ONLY))));
    put("etc/kubernetes/manifests/etcd.yaml", &manifest("3.6.9-0"));
    check().unwrap();
    put("etc/kubernetes/manifests/etcd.yaml", &manifest("3.7.0-0"));
    let error = check().unwrap_err();
    assert_eq!(error.code(), Some(Code::OneWay));
    assert!(matches!(error, MachineError::Upgrade(_)) && error.hint().unwrap().contains("Forward"), "{error}");
}

/// Whatever kube-proxy does, a machine without a route does not reach what has addresses of the cluster alone.
#[test]
fn a_machine_without_a_route_to_services_does_not_look_for_them() {
    let plan = upgraded(&BegunUpgrade { routed: false, ..begun("w1", None) });
    assert!(!plan.steps.iter().any(|step| step.id == "services"));
    assert!(plan.warnings[0].contains("no route to the Services (10.96.0.0/12)"), "{:?}", plan.warnings);
}

/// A drain that was cut off, or a way back that did not get to its end, leaves the node without new pods.
#[test]
fn a_node_that_an_unfinished_upgrade_has_cordoned_takes_pods_again() {
    let root = tempfile::tempdir().unwrap();
    let host = sealock_node::Local::rooted(root.path());
    let asked_anew = || BegunUpgrade { cordoned: true, ..begun("w1", None) }.after_last(&host).unwrap();
    let gives_back = |begun: &BegunUpgrade| upgraded(begun).steps.iter().any(|step| step.id == "uncordon");
    assert!(!gives_back(&asked_anew()));
    let path = root.path().join("var/lib/sealock/node/upgrade.json");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let leave = |last: &BegunUpgrade| std::fs::write(&path, jcs::to_vec(last).unwrap()).unwrap();
    leave(&begun("w1", None));
    assert_eq!(BegunUpgrade::load(&host, Goal::Kubernetes(NEXT.parse().unwrap())).unwrap(), None);
    assert!(gives_back(&asked_anew()));
    leave(&begun("w2", None));
    assert!(!gives_back(&asked_anew()));
    leave(&BegunUpgrade { cordoned: true, ..begun("w1", None) });
    assert!(!gives_back(&asked_anew()));
}

/// Cut off while the node is emptied, it goes on by what was asked before.
#[test]
fn the_node_is_kept_before_it_is_emptied() {
    let components = BegunUpgrade { components: true, to: "v1.36.3".parse().unwrap(), ..begun("cp1", Some(ONLY)) };
    for begun in [begun("cp1", Some(ONLY)), begun("w1", None), components] {
        let plan = upgraded(&begun);
        let place = |id: &str| plan.steps.iter().position(|step| step.id == id).unwrap();
        assert!(place("kept") < place("drain"), "{plan}");
    }
}

/// After an hour, too: a snapshot of then would be of something in between, and would push an older one out.
#[test]
fn an_upgrade_that_goes_on_keeps_what_was_kept_before_it() {
    for components in [false, true] {
        let to = if components { "v1.36.3" } else { NEXT };
        let begun = BegunUpgrade { components, to: to.parse().unwrap(), ..begun("cp1", Some(ONLY)) };
        let ids = |resumed| -> Vec<String> {
            let plan = planned((&begun, resumed), &machine("cp1")).unwrap();
            plan.steps.into_iter().map(|step| step.id).collect()
        };
        let (anew, resumed) = (ids(false), ids(true));
        let keeps = |id: &String| ["objects-kept", "etcd/snapshot", "etcd/well"].contains(&id.as_str());
        assert!(anew.iter().any(keeps));
        let rest: Vec<String> = anew.into_iter().filter(|id| !keeps(id)).collect();
        assert_eq!(resumed, rest);
    }
}

/// It may have taken the room itself.
#[test]
fn an_upgrade_that_goes_on_does_not_ask_for_room_again() {
    let begun = begun("w1", None);
    let mut facts = machine("w1");
    facts.disk.free_bytes = 1 << 30;
    let error = planned((&begun, false), &facts).unwrap_err();
    assert_eq!(error.code(), Some(Code::Preflight));
    planned((&begun, true), &facts).unwrap();
    facts.swap_bytes = 1 << 30;
    planned((&begun, true), &facts).unwrap_err();
}

/// Images and a question lie between what was asked of etcd and kubeadm's stopping a member of it.
#[test]
fn etcd_is_well_right_before_kubeadm_changes_the_control_plane() {
    let plan = upgraded(&begun("cp1", Some(ONLY)));
    let place = |id: &str| plan.steps.iter().position(|step| step.id == id).unwrap();
    assert!(place("etcd/snapshot") < place("etcd/well"), "{plan}");
    // Before anything counts as changed.
    assert_eq!(place("etcd/well") + 1, place("kept"), "{plan}");
    assert!(place("kept") < place("kubeadm/upgrade-apply/control-plane"), "{plan}");
}

/// As where the control plane that was to be the last is lost.
#[test]
fn a_control_plane_that_is_there_brings_what_the_last_one_has_not_brought() {
    let there = |proxy: &str, plane| BegunUpgrade {
        from: NEXT.parse().unwrap(),
        kube_proxy: Some(format!("registry.k8s.io/kube-proxy:{proxy}")),
        ..begun("cp1", Some(plane))
    };
    let lacks = there("v1.36.3", ONLY);
    assert!(lacks.lacks_add_ons());
    let ids: Vec<String> = upgraded(&lacks).steps.into_iter().map(|step| step.id).collect();
    assert_eq!(ids, ["kubeadm/upgrade-apply/addon-all", "kube-proxy", "coredns", "services"]);
    assert!(!there(NEXT, ONLY).lacks_add_ons());
    assert!(!there("v1.36.3", Plane { last: false, ..ONLY }).lacks_add_ons());
    assert!(!begun("cp1", Some(ONLY)).lacks_add_ons());
}

#[test]
fn a_worker_without_kube_proxy_is_told_what_it_does_not_see() {
    let plan = upgraded(&BegunUpgrade { kube_proxy: None, ..begun("w1", None) });
    assert!(plan.warnings[0].contains("no kube-proxy"), "{:?}", plan.warnings);
}
