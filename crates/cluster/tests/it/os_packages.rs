//! Plans that bring OS packages to nodes.

use std::collections::{BTreeMap, BTreeSet};

use sealock_cluster::plan::{Draining, HostPackages, Printed, plan_os_packages};
use sealock_cluster::{Inventory, Plan, PlanError};
use sealock_node::os_packages::{OsLook, PackageChange};
use sealock_node::step::{Artifact, OsPackageFile, OsPackageSet, RestartWhen};
use sealock_node::{Class, StepKind};
use sealock_trust::Digest;
use sealock_trust::reason::Code;

use crate::fixture::{
    ONE_AND_ONE, THREE_AND_THREE, cluster, draining, kubernetes_images, nodes, release, spec, with_intent,
};

const RUNS: &str = "v1.36.3";

/// What waits for a host: a package that becomes another one.
fn waiting() -> HostPackages {
    let file = |name: &str| OsPackageFile { name: name.into(), digest: Digest::sha256(name.as_bytes()) };
    let artifact = Artifact { repository: "os-packages/debian-12".into(), digest: Digest::sha256(b"set") };
    let files = vec![file("Packages"), file("openssl_3.0.15-1_amd64.deb")];
    let [from, to] = ["3.0.14-1", "3.0.15-1"].map(|version| Some(version.to_owned()));
    HostPackages {
        sets: vec![OsPackageSet { name: "debian-12".into(), artifact, files }],
        changes: vec![PackageChange { package: "openssl".into(), architecture: "amd64".into(), from, to }],
        restart: None,
        differed: BTreeSet::new(),
        interrupted: false,
        kept_back: Vec::new(),
    }
}

fn all(hosts: &[&str]) -> BTreeMap<String, HostPackages> {
    hosts.iter().map(|host| ((*host).to_owned(), waiting())).collect()
}

fn patching(
    text: &str,
    draining: &Draining,
    (hosts, restart): (&BTreeMap<String, HostPackages>, Option<RestartWhen>),
    inventory: &Inventory,
) -> Result<Plan, PlanError> {
    let (cluster, release) = (cluster(text), release());
    with_intent((&cluster, &release, &kubernetes_images()), |intent| {
        plan_os_packages(&intent, draining, (hosts, restart), inventory)
    })
}

#[test]
fn one_control_plane_and_one_worker() {
    let hosts = all(&["cp1", "w1"]);
    let inventory = nodes(ONE_AND_ONE, RUNS);
    let plan = patching(ONE_AND_ONE, &draining(), (&hosts, Some(RestartWhen::Required)), &inventory).unwrap();
    insta::assert_snapshot!("os_packages_one_and_one", Printed { plan: &plan, assessment: None }.to_string());
    assert_eq!(Plan::from_json(&plan.to_json().unwrap()).unwrap(), plan);
    assert_eq!(HostPackages::in_plan(&plan), hosts, "what goes on with it finds what it was made from");
    let set = Digest::sha256(b"set");
    assert!(plan.needs().any(|(digest, _)| *digest == set), "a set that was revoked would be let pass");
}

/// Packages are on every host first; then each control plane behind a look at etcd, and never two of them at a time.
#[test]
fn control_planes_one_after_the_other_then_workers() {
    let text = spec(&THREE_AND_THREE).replace("endpoint: 10.77.0.11:6443", "endpoint: 10.77.0.10:6443");
    let hosts = all(&["cp1", "cp3", "w1", "w2", "w3"]);
    let draining = Draining { max_unavailable: 2, ..draining() };
    let plan = patching(&text, &draining, (&hosts, Some(RestartWhen::Always)), &nodes(&text, RUNS)).unwrap();
    let after = |task: &str| plan.task(task).unwrap().after.join(" ");
    assert_eq!(after("cp1/snapshot"), "cp1/stage cp3/stage w1/stage w2/stage w3/stage");
    assert_eq!(after("cp1/quorum-cp1"), "cp1/snapshot");
    assert_eq!(after("cp1/drain-cp1"), "cp1/quorum-cp1");
    assert_eq!(after("cp1/os-packages"), "cp1/drain-cp1");
    assert_eq!(after("cp1/restart"), "cp1/os-packages");
    assert_eq!(after("cp1/stands"), "cp1/restart");
    assert_eq!(after("cp1/ready-cp1"), "cp1/stands");
    assert_eq!(after("cp1/services"), "cp1/ready-cp1");
    assert_eq!(after("cp1/quorum-cp3"), "cp1/return-cp1");
    assert_eq!((after("cp1/drain-w1"), after("cp1/drain-w2")), ("cp1/return-cp3".into(), "cp1/return-cp3".into()));
    assert_eq!(after("cp1/drain-w3"), "cp1/return-w1");
    let etcd = |task: &str| {
        let steps = plan.task(task).unwrap().steps.iter();
        let members = steps.filter_map(|step| match &step.action {
            StepKind::EtcdWell(well) => Some(well.members),
            _ => None,
        });
        members.collect::<Vec<_>>()
    };
    assert_eq!((etcd("cp1/quorum-cp3"), etcd("cp1/ready-cp3"), etcd("cp1/ready-w1")), (vec![3], vec![3], vec![]));
    assert!(!plan.tasks.iter().any(|task| task.id.contains("cp2")), "it has what the release has, and is left alone");
}

#[test]
fn machines_are_restarted_only_where_that_was_asked_for() {
    let restarts = |hosts: &BTreeMap<String, HostPackages>, restart| {
        let plan = patching(ONE_AND_ONE, &draining(), (hosts, restart), &nodes(ONE_AND_ONE, RUNS)).unwrap();
        let is_restart = |step: &&sealock_node::Step| matches!(step.action, StepKind::MachineRestarted(_));
        plan.tasks.iter().flat_map(|task| &task.steps).filter(is_restart).count()
    };
    assert_eq!(restarts(&all(&["w1"]), None), 0);
    assert_eq!(restarts(&all(&["w1"]), Some(RestartWhen::Required)), 1);
    // What was put off the last time: nothing is installed.
    let put_off = HostPackages { restart: Some("it is asked for".into()), ..HostPackages::default() };
    assert!(put_off.has_work(Some(RestartWhen::Required)) && !put_off.has_work(None));
    let hosts = BTreeMap::from([("w1".to_owned(), put_off)]);
    assert_eq!(restarts(&hosts, Some(RestartWhen::Required)), 1);
    let plan = patching(ONE_AND_ONE, &draining(), (&hosts, Some(RestartWhen::Required)), &nodes(ONE_AND_ONE, RUNS));
    let plan = plan.unwrap();
    assert!(plan.task("w1/os-packages").is_none() && plan.task("w1/stage").is_none());
    assert_eq!(plan.task("w1/restart").unwrap().after, ["cp1/drain-w1"]);
}

#[test]
fn the_only_node_is_not_emptied_and_what_dpkg_does_has_no_way_back() {
    let text = spec(&[("cp1", "10.77.0.11", "control-plane, worker")]);
    let plan = patching(&text, &draining(), (&all(&["cp1"]), None), &nodes(&text, RUNS)).unwrap();
    let steps = || plan.tasks.iter().flat_map(|task| &task.steps);
    assert!(!steps().any(|step| matches!(step.action, StepKind::Drained(_) | StepKind::Uncordoned(_))));
    let one_way: Vec<&str> =
        steps().filter(|step| step.class() == Class::OneWay).map(|step| step.id.as_str()).collect();
    assert_eq!(one_way, ["os-packages/installed"]);
}

#[test]
fn who_is_away_comes_first_and_who_takes_no_pods_goes_on_like_that() {
    let text = spec(&THREE_AND_THREE).replace("endpoint: 10.77.0.11:6443", "endpoint: 10.77.0.10:6443");
    let [away, cordoned] = [["w2"], ["w1"]].map(|names| names.map(ToOwned::to_owned).into());
    let draining = Draining { away, cordoned, ..draining() };
    let plan = patching(&text, &draining, (&all(&["w1", "w2"]), None), &nodes(&text, RUNS)).unwrap();
    assert_eq!(plan.task("cp1/drain-w1").unwrap().after, ["cp1/return-w2"]);
    let both = patching(&text, &draining, (&all(&["cp2", "w2"]), None), &nodes(&text, RUNS)).unwrap();
    assert_eq!(both.task("cp1/quorum-cp2").unwrap().after, ["cp1/return-w2"], "nobody else goes while one is away");
    assert_eq!(plan.task("cp1/return-w1").unwrap().steps, []);
    assert_eq!(plan.task("cp1/return-w2").unwrap().steps.len(), 1);
    assert!(plan.task("cp1/snapshot").is_none(), "etcd has nothing to lose where no control plane changes");
}

#[test]
fn what_was_different_before_is_not_laid_to_the_packages() {
    let differed = BTreeSet::from(["/etc/containerd/config.toml was changed".to_owned()]);
    let hosts = BTreeMap::from([("w1".to_owned(), HostPackages { differed: differed.clone(), ..waiting() })]);
    let plan = patching(ONE_AND_ONE, &draining(), (&hosts, None), &nodes(ONE_AND_ONE, RUNS)).unwrap();
    let StepKind::StandsAsBefore(stands) = &plan.task("w1/stands").unwrap().steps[0].action else { panic!("no look") };
    assert_eq!(stands.differed, differed);
}

#[test]
fn a_host_that_cannot_say_is_refused() {
    let busy = OsLook { busy: true, ..OsLook::default() };
    let refused = HostPackages::of("w1", busy, &[]).unwrap_err();
    assert!(refused.hint().unwrap().contains("wait"), "{refused}");
    let strange = OsLook { changes: waiting().changes, ..OsLook::default() };
    let refused = HostPackages::of("w1", strange, &[]).unwrap_err();
    assert_eq!(refused.code(), Some(Code::NotInRelease));
    assert!(refused.to_string().contains("openssl 3.0.14-1 to 3.0.15-1"), "{refused}");
    let nothing = OsLook { restart: Some("it is asked for".into()), ..OsLook::default() };
    let nothing = HostPackages::of("w1", nothing, &[]).unwrap();
    assert!(nothing.sets.is_empty() && nothing.has_work(Some(RestartWhen::Required)));
}

/// Of a control plane that a package has broken the own member need not be well: it is what is to be mended.
#[test]
fn a_control_plane_that_is_away_is_mended_by_the_word_of_the_others() {
    let text = spec(&THREE_AND_THREE).replace("endpoint: 10.77.0.11:6443", "endpoint: 10.77.0.10:6443");
    let draining = Draining { away: BTreeSet::from(["cp2".to_owned()]), ..draining() };
    let plan = patching(&text, &draining, (&all(&["cp2", "cp3"]), None), &nodes(&text, RUNS)).unwrap();
    let but = |task: &str| match &plan.task(task).unwrap().steps[0].action {
        StepKind::EtcdWell(well) => well.but.clone(),
        other => panic!("{other}"),
    };
    assert_eq!((but("cp1/quorum-cp2"), but("cp1/quorum-cp3")), (Some("cp2".into()), None));
}

/// Nothing comes to it, and what dpkg has left is finished.
#[test]
fn a_host_that_was_cut_off_has_work_whatever_comes() {
    let cut_off = HostPackages { interrupted: true, ..HostPackages::default() };
    assert!(cut_off.has_work(None));
    let hosts = BTreeMap::from([("w1".to_owned(), cut_off)]);
    let plan = patching(ONE_AND_ONE, &draining(), (&hosts, None), &nodes(ONE_AND_ONE, RUNS)).unwrap();
    assert!(matches!(plan.task("w1/os-packages").unwrap().steps[0].action, StepKind::OsPackagesInstalled(_)));
}

#[test]
fn sets_are_called_after_the_system_without_its_dots() {
    let mut inventory = nodes(ONE_AND_ONE, RUNS);
    let facts = &mut inventory.hosts.get_mut("w1").unwrap().facts;
    (facts.os.id, facts.os.version) = ("ubuntu".into(), "24.04".into());
    assert_eq!(sealock_cluster::plan::system_of(facts), "ubuntu-24-04");
}
