//! A thousand hosts. How long a plan for them takes is what `cargo xtask bench --planner` shows.

use std::fmt::Write as _;
use std::time::Instant;

use sealock_cluster::{Inventory, Plan};

use crate::fixture::{cluster, host, kubernetes_images, plan_with, release};

const HOSTS: usize = 1000;

fn name(n: usize) -> String {
    if n < 3 { format!("cp{n}") } else { format!("w{n}") }
}

fn address(n: usize) -> String {
    format!("10.80.{}.{}", n / 250, n % 250 + 1)
}

/// A cluster of so many hosts, all of which show this key.
pub(crate) fn spec_of(hosts: usize, key: &str) -> String {
    let mut text = "apiVersion: sealock/v1alpha1\nkind: Cluster\nmetadata: {name: plant-7}\nspec:\n  site: plant-7\n  \
        kubernetes: {version: v1.36.3}\n  controlPlane: {endpoint: \"api.plant-7.internal:7443\", localProxy: true}\n  \
        network: {pods: 10.128.0.0/12}\n  overrides:\n    kubelet: {failCgroupV1: false}\n  hosts:\n"
        .to_owned();
    for n in 0..hosts {
        let role = if n < 3 { "control-plane" } else { "worker" };
        let _ = writeln!(
            text,
            "    - {{name: {}, address: {}, roles: [{role}], ssh: {{user: ops, hostKey: \"{key}\"}}}}",
            name(n),
            address(n)
        );
    }
    text
}

#[test]
fn a_thousand_hosts_are_planned_and_the_plan_is_read_again() {
    let begun = Instant::now();
    let cluster = cluster(&spec_of(HOSTS, "SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8"));
    let read = begun.elapsed();
    let hosts = (0..HOSTS).map(|n| (name(n), host(&name(n), &address(n)))).collect();
    let (hosts, release, images) = (Inventory { hosts }, release(), kubernetes_images());
    let begun = Instant::now();
    let plan = plan_with(&cluster, &hosts, &release, &images).unwrap();
    let planned = begun.elapsed();
    let text = plan.to_json().unwrap();
    let written = begun.elapsed();
    println!(
        "spec read in {read:.1?}, planned in {planned:.1?}, written in {:.1?}, {} bytes",
        written - planned,
        text.len()
    );
    assert!(plan.tasks.len() > HOSTS);
    assert_eq!(Plan::from_json(&text).unwrap(), plan);
}
