//! What hosts lack, and how the release brings it.

use std::collections::{BTreeMap, BTreeSet};

use sealock_cluster::plan::{HostPackages, Printed, go_on_with, lacking, with_needs};
use sealock_cluster::{Inventory, Plan, PlanError};
use sealock_node::os_packages::PackageChange;
use sealock_node::step::{Artifact, OsPackageFile, OsPackageSet};
use sealock_node::time::TimeDaemon;
use sealock_trust::Digest;
use sealock_trust::reason::Code;

use crate::fixture::{ONE_AND_ONE, cluster, plan_of, with};

fn timed() -> String {
    ONE_AND_ONE.replacen("  hosts:", "  time: {servers: [10.77.0.2]}\n  hosts:", 1)
}

/// A worker that lacks nft and losetup, and has nobody who keeps its clock.
pub(crate) fn poor() -> Inventory {
    with("w1", |w1| {
        w1.facts.missing_programs = vec!["nft".into(), "losetup".into(), "umount".into()];
        w1.facts.time.daemon = None;
    })
}

pub(crate) fn brought(packages: &[&str]) -> BTreeMap<String, HostPackages> {
    let file = |name: &str| OsPackageFile { name: name.into(), digest: Digest::sha256(name.as_bytes()) };
    let artifact = Artifact { repository: "os-packages/debian-12".into(), digest: Digest::sha256(b"set") };
    let change = |package: &&str| PackageChange {
        package: (*package).into(),
        architecture: "amd64".into(),
        from: None,
        to: Some("1.0".into()),
    };
    let files = std::iter::once(file("Packages")).chain(packages.iter().map(|name| file(name))).collect();
    let packages = HostPackages {
        sets: vec![OsPackageSet { name: "debian-12".into(), artifact, files }],
        changes: packages.iter().map(change).collect(),
        ..HostPackages::default()
    };
    BTreeMap::from([("w1".to_owned(), packages)])
}

fn planned(text: &str, inventory: &Inventory, needs: &BTreeMap<String, HostPackages>) -> Result<Plan, PlanError> {
    Ok(plan_of(text, &with_needs(inventory, needs))?.with_needs(needs))
}

#[test]
fn what_hosts_lack_is_named_by_the_packages_that_bring_it() {
    let named = |text: &str, inventory: &Inventory| lacking(&cluster(text), inventory);
    let of_w1 = |packages: &[&str]| {
        BTreeMap::from([("w1".to_owned(), packages.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>())])
    };
    assert_eq!(named(&timed(), &poor()), of_w1(&["chrony", "mount", "nftables"]));
    assert_eq!(named(ONE_AND_ONE, &poor()), of_w1(&["mount", "nftables"]));
    let other = with("w1", |w1| {
        w1.facts.time.daemon = None;
        w1.facts.time.others = vec!["ntpsec.service".into()];
        w1.facts.missing_programs = vec!["systemctl".into()];
    });
    assert_eq!(named(&timed(), &other), BTreeMap::new(), "neither is mended by a package beside");
}

#[test]
fn what_a_host_lacks_comes_behind_its_claim_and_before_all_that_needs_it() {
    let needs = brought(&["chrony", "mount", "nftables"]);
    let plan = planned(&timed(), &poor(), &needs).unwrap();
    let ids: Vec<&str> = plan.task("w1/prepare").unwrap().steps.iter().map(|step| step.id.as_str()).take(6).collect();
    assert_eq!(
        ids,
        ["claim", "os-packages/laid-down", "os-packages/added", "kernel-modules", "sysctl", "registry/name"]
    );
    let printed = Printed { plan: &plan, assessment: None }.to_string();
    let lines: Vec<&str> =
        printed.lines().filter(|line| line.contains("OS package") || line.contains("lacks")).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    + fetch 3 OS packages of debian-12
    + lay in what the host lacks: chrony 1.0 (new), mount 1.0 (new), nftables 1.0 (new)
    ");
    assert!(plan.task("cp1/prepare").unwrap().steps.iter().all(|step| !step.id.starts_with("os-packages")));
    assert_eq!(plan.needs_of_hosts(), needs, "what goes on with it finds what it was made from");
    assert_eq!(Plan::from_json(&plan.to_json().unwrap()).unwrap(), plan);
    let set = Digest::sha256(b"set");
    assert!(plan.needs().any(|(digest, _)| *digest == set), "a set that was revoked would be let pass");
}

#[test]
fn what_the_release_does_not_bring_is_told_with_what_to_do() {
    let refused = |inventory: &Inventory, needs: &BTreeMap<String, HostPackages>| {
        let Err(PlanError::Gates(failures)) = planned(&timed(), inventory, needs) else { panic!("it is planned") };
        assert_eq!(PlanError::Gates(failures.clone()).code(), Some(Code::Preflight));
        failures.iter().map(|one| format!("{one}: {}\n", one.remedy)).collect::<String>()
    };
    let mut dnf = poor();
    dnf.hosts.get_mut("w1").unwrap().facts.os.id = "rocky".into();
    let told =
        [refused(&poor(), &BTreeMap::new()), refused(&poor(), &brought(&["chrony"])), refused(&dnf, &BTreeMap::new())];
    insta::assert_snapshot!(told.join("--\n"), @r"
    w1: it lacks nft, losetup, umount: install mount, nftables there (the packages of Debian and Ubuntu that bring nft, losetup, umount); or carry a bundle that has mount, nftables in a set `debian-12` of its `osPackages`: `cluster apply` brings it then, or `cluster restore` where the cluster is made again
    w1: it has neither chrony nor systemd-timesyncd, and `spec.time` says from whom it is to get its time: install chrony there; or carry a bundle that has chrony in a set `debian-12` of its `osPackages`: `cluster apply` brings it then, or `cluster restore` where the cluster is made again
    --
    w1: it lacks nft, losetup, umount: install mount, nftables there (the packages of Debian and Ubuntu that bring nft, losetup, umount); or carry a bundle that has mount, nftables in a set `debian-12` of its `osPackages`: `cluster apply` brings it then, or `cluster restore` where the cluster is made again
    --
    w1: it lacks nft, losetup, umount: install mount, nftables there (the packages of Debian and Ubuntu that bring nft, losetup, umount); Sealock brings packages of the release to hosts with apt alone
    w1: it has neither chrony nor systemd-timesyncd, and `spec.time` says from whom it is to get its time: install chrony there; Sealock brings packages of the release to hosts with apt alone
    ");
}

#[test]
fn who_has_a_program_for_the_clock_keeps_it() {
    let needs = brought(&["chrony"]);
    let inventory = with("w1", |w1| w1.facts.time.daemon = Some(TimeDaemon::Timesyncd));
    let after = with_needs(&inventory, &needs);
    assert_eq!(after.hosts["w1"].facts.time.daemon, Some(TimeDaemon::Timesyncd));
}

/// An apply was cut off in bringing nftables and mount; since then the spec has come to name servers for the time.
#[test]
fn a_host_that_lacks_something_more_is_asked_anew() {
    let goes_on = |text: &str| {
        let (mut begun, mut lacking) = (brought(&["mount", "nftables"]), lacking(&cluster(text), &poor()));
        go_on_with(&mut begun, &mut lacking);
        (begun, lacking)
    };
    assert_eq!(goes_on(ONE_AND_ONE), (brought(&["mount", "nftables"]), BTreeMap::new()), "it is gone on with as it is");
    let (begun, asked) = goes_on(&timed());
    assert!(begun.is_empty(), "chrony would never come: {begun:?}");
    assert_eq!(asked, lacking(&cluster(&timed()), &poor()));
    // All of it has come, and nothing is lacking: what is left of the plan is gone on with.
    let (mut begun, mut none) = (brought(&["nftables"]), BTreeMap::new());
    go_on_with(&mut begun, &mut none);
    assert_eq!((begun, none), (brought(&["nftables"]), BTreeMap::new()));
}
